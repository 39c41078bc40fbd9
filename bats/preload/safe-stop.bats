#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# A signal to the master waits until no request is running (process_control_timeout is 0 here, as
# it is by default: a bare php-fpm cuts them off after a millisecond or two).

load ../helpers
load vhost

setup() {
  start_vhost
  hold www=unix
}
teardown() { end_vhost; }

# One request is running, another one waits behind it, when the signal comes.
under_way() {
  configure www "$www" 'pm.max_children = 1'
  serve "${@:2}"
  nap_begin running 1.5
  running=$client
  start waiting "$fastcgi" "--param=QUERY_STRING=s=0&n=waiting" --expect=slept "$www" "$nap"
  waiting=$pid
  wait_for is_queued "$www" 1
  kill "-$1" "$server"
}

for_the_next_run() {
  under_way "$@"
  wait "$running"
  ended
  is "$status" 0
  is "$(queue_length "$www")" 1
  [ ! -e "$dir/out/waiting.began" ]
  serve
  wait "$waiting"
}

@test "QUIT: the request is finished, the next one is the next run's" { for_the_next_run QUIT; }
@test "TERM: the request is finished, the next one is the next run's" { for_the_next_run TERM; }
@test "INT: the request is finished, the next one is the next run's" { for_the_next_run INT; }
@test "QUIT with a watchdog" { for_the_next_run QUIT --exit-idle-time=1min; }

@test "USR2: the request is finished, the next one is served after the reload" {
  under_way USR2
  wait "$running"
  wait "$waiting"
  wait_for is_ready 2
}

@test "two signals: a reload, and a stop while it waits" {
  under_way USR2
  kill -QUIT "$server"
  wait "$running"
  ended
  is "$status" 0
  serve
  wait "$waiting"
}

@test "a stop, and a stop again, is no less patient" {
  under_way TERM
  kill -TERM "$server"
  kill -INT "$server"
  kill -QUIT "$server"
  wait "$running"
  ended
  is "$status" 0
}

@test "a stop when nothing runs is immediate" {
  local signal since
  configure www "$www"
  for signal in QUIT TERM INT; do
    serve
    is_up "$www"
    since=$(now_ms)
    end "$signal"
    is "$status" 0
    [ $(($(now_ms) - since)) -lt 1000 ]
  done
}

@test "a stop right after the start" {
  local signal delay before
  configure www "$www"
  before=$(look "$www")
  for signal in QUIT TERM INT; do
    for delay in 0.00 0.01 0.02 0.03 0.05 0.08; do
      serve
      sleep "$delay" # where in the start it hits is what varies here
      kill "-$signal" "$server"
      ended
      is "$(look "$www")" "$before"
    done
  done
  serve
  is_up "$www"
}

@test "work after fastcgi_finish_request() is finished" {
  configure www "$www"
  serve
  is "$(get "$www" "$nap" 's=1.5&late=1')" slept
  [ ! -e "$dir/out/nap.ended" ]
  end QUIT
  is "$status" 0
  [ -e "$dir/out/nap.ended" ]
}

@test "a client that is slow to send is waited for" {
  configure www "$www"
  serve
  is_up "$www"
  local client taken
  taken=$(accepted)
  start client "$fastcgi" --pause=2 --pause-at=20 "$www" "$hello"
  client=$pid
  wait_for is_taken "$taken"
  end TERM
  is "$status" 0
  wait "$client"
}

@test "php-fpm's idle maintenance does not cut it off while a stop waits" {
  local silent taken
  configure www "$www" 'pm = ondemand' 'pm.process_idle_timeout = 1s'
  serve
  nap_begin running 4.5
  running=$client
  taken=$(accepted)
  start silent "$fastcgi" --pause=4 "$www" "$hello"
  silent=$pid
  wait_for is_taken "$taken"
  end QUIT
  is "$status" 0
  wait "$running"
  wait "$silent"
}

# Sockets that workers have: the listener, and a connection that was accepted.
accepted() {
  local worker
  for worker in $(workers); do
    find "/proc/$worker/fd" -lname 'socket:*'
  done | wc -l
}
is_taken() { [ "$(accepted)" -gt "$1" ]; }

@test "an answer that the client reads slowly is not cut off" {
  page big.php <<<'<?php echo str_repeat("0123456789abcdef", 500000), "\n";'
  configure www "$www"
  serve
  is_up "$www"
  mkfifo "$dir/pipe"
  "$fastcgi" --timeout=30 "$www" "$dir/www/big.php" >"$dir/pipe" 3>&- &
  local client=$!
  exec 8<"$dir/pipe"
  head -c 1000 <&8 >"$dir/begun"
  kill -QUIT "$server"
  cat <&8 >"$dir/rest"
  exec 8<&-
  wait "$client"
  ended
  is "$status" 0
  is "$(cat "$dir/begun" "$dir/rest" | tail -c 8000001 | md5sum)" \
    "$(yes 0123456789abcdef | head -n 500000 | tr -d '\n' | { cat && echo; } | md5sum)"
}

@test "an idle kept-alive connection is no reason to wait" {
  local signal since
  for signal in QUIT TERM; do
    reconfigure www "$www"
    serve
    nap_begin "$signal" 0 --keep-conn --linger=60
    is_up "$www"
    since=$(now_ms)
    end "$signal"
    is "$status" 0
    [ $(($(now_ms) - since)) -lt 2000 ]
  done
}

@test "signals to all processes at once, as KillMode=control-group sends them" {
  local signal
  configure www "$www"
  for signal in TERM INT; do
    rm -f "$dir"/out/*
    serve
    nap_begin "$signal" 1.5
    # shellcheck disable=SC2046 # words
    kill "-$signal" "$server" $(workers)
    wait "$client"
    ended
    is "$status" 0
  done
}

@test "no longer than the drain limit" {
  local since took
  configure www "$www"
  serve --drain-limit=1s
  nap_begin nap 30
  since=$(now_ms)
  end QUIT
  took=$(($(now_ms) - since))
  is "$status" 0
  [ "$took" -ge 990 ] || fail "$took ms"
  [ "$took" -lt 5000 ] || fail "$took ms"
  is "$(wait "$client" && echo answered || echo lost)" lost
}

@test "a worker that is killed meanwhile does not hold it up" {
  configure www "$www" 'pm.max_children = 1'
  serve
  nap_begin nap 60
  kill -QUIT "$server"
  kill -KILL "$(workers)"
  ended
  is "$status" 0
}

@test "stops and starts under load: not one request is lost" {
  local n
  configure www "$www" 'pm.max_children = 3'
  serve
  is_up "$www"
  load_begin "$www" "$hello"
  for n in {1..15}; do
    case $((n % 3)) in
      0) end QUIT ;;
      1) end TERM ;;
      2) end INT ;;
    esac
    is "$status" 0
    serve
    wait_for is_ready $((n + 1)) # before that, a signal just ends the program
  done
  load_end
}

@test "stops and starts under load of kept-alive connections: not one of the requests is cut off" {
  # Between two requests a connection may end; a request that was begun may not. The client of this
  # test speaks one request a connection, with FCGI_KEEP_CONN set, and closes it late.
  local n
  configure www "$www" 'pm.max_children = 6'
  serve
  is_up "$www"
  load_begin "$www" "$hello" --keep-conn --linger=0.01 --requests=1
  for n in {1..10}; do
    end QUIT
    is "$status" 0
    serve
    wait_for is_ready $((n + 1))
  done
  load_end
}

# at_start SIGNAL...: runs that get the signals while they start, at another moment each, under load.
# At that time php-fpm may have its handlers but no socket yet, or be between two images. Before it
# has its handlers, the signal ends it, and no request is its own yet.
at_start() {
  local moment name
  configure www "$www" 'pm.max_children = 3'
  serve
  load_begin "$www" "$nap" --param=QUERY_STRING=s=0.005
  end QUIT
  for moment in {4..40}; do
    set -m # without, bash has the server ignore SIGQUIT until the holder has put that right
    start server env "VHOST_DIRECTORY=$dir" "$holder" run "$dir/holder" "$launcher" \
      "--preload=$shim" -- "$server_binary" -F -y "$dir/php-fpm.conf"
    set +m
    server=$pid
    for name; do
      sleep "$(printf '0.%03d' "$moment")" # the moment is what is tested
      kill "-$name" "$server" 2>/dev/null || true
    done
    ended
  done
  serve
  load_end
  end QUIT
}

@test "a reload and a stop while the server starts: nothing is lost, and the stop is not forgotten" {
  at_start USR2 QUIT
}

@test "a stop by QUIT while the server starts" { at_start QUIT; }

@test "a stop by TERM while the server starts" { at_start TERM; }
