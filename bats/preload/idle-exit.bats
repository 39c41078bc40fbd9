#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# --exit-idle-time: the server ends, with status 0, when it has had nothing to do for that long;
# and not earlier.

load ../helpers
load vhost

setup() {
  start_vhost
  hold www=unix
}
teardown() { end_vhost; }

# ended_after MOMENT [MILLISECONDS]: the server ends with status 0, one idle span (1 s) after its
# last work. That was at the given moment, or a bit before: as long as it took to look at the clock.
ended_after() {
  local took
  ended 15
  took=$(($(now_ms) - $1))
  is "$status" 0
  [ "$took" -ge "${2:-500}" ] || fail "ended $took ms after its last work"
  [ "$took" -le 4000 ] || fail "ended only $took ms after its last work"
}

@test "after its last request" {
  local since
  configure www "$www"
  serve --exit-idle-time=1s
  is_up "$www"
  since=$(now_ms)
  is_up "$www"
  ended_after "$since" 1000
}

@test "without any request" {
  local since
  configure www "$www"
  since=$(now_ms)
  serve --exit-idle-time=1s
  ended_after "$since" 1000
}

@test "the next run serves, ten times over" {
  local run before
  configure www "$www"
  before=$(look "$www")
  for run in {1..10}; do
    serve --exit-idle-time=100ms
    is_up "$www"
    ended
    is "$status" 0
    is "$(look "$www")" "$before" "run $run"
  done
}

@test "of every kind of process manager, and as a daemon" {
  local lines
  for lines in 'pm = static' 'pm = ondemand' \
    'pm = dynamic|pm.start_servers = 1|pm.min_spare_servers = 1|pm.max_spare_servers = 1'; do
    mapfile -t lines < <(tr '|' '\n' <<<"$lines")
    reconfigure www "$www" "${lines[@]}"
    serve --exit-idle-time=1s
    is_up "$www"
    ended_after "$(now_ms)"
    serve --exit-idle-time=1s -- "$server_binary" -D -y "$dir/php-fpm.conf"
    is_up "$www"
    server=$(cat "$dir/pid")
    wait_for is_gone "$server"
    wait_for no_process_but_holder
  done
}

@test "of pm = ondemand: without any request, and after a reload that none follows" {
  local since
  configure www "$www" 'pm = ondemand'
  since=$(now_ms)
  serve --exit-idle-time=1s
  ended_after "$since" 1000
  serve --exit-idle-time=1s
  is_up "$www"
  reload
  ended_after "$(now_ms)"
}

@test "TCP" {
  hold_tcp
  configure www "$tcp"
  run_server "$dir/holder.tcp" "$launcher" "--preload=$shim" --exit-idle-time=1s -- \
    "$server_binary" -F -y "$dir/php-fpm.conf"
  is_up "$tcp"
  ended_after "$(now_ms)"
}

@test "not during a request that is silent for longer" {
  configure www "$www"
  serve --exit-idle-time=1s
  nap_begin nap 3
  wait "$client"
  ended_after "$(now_ms)"
  [ -e "$dir/out/nap.ended" ]
}

@test "not during work after fastcgi_finish_request()" {
  configure www "$www"
  serve --exit-idle-time=1s
  is "$(get "$www" "$nap" 's=3&late=1')" slept
  [ ! -e "$dir/out/nap.ended" ]
  wait_for test -e "$dir/out/nap.ended"
  ended_after "$(now_ms)"
}

@test "not while a client has connected and is silent" {
  local pm
  for pm in static ondemand; do
    reconfigure www "$www" "pm = $pm" 'pm.process_idle_timeout = 10s'
    serve --exit-idle-time=1s
    is "$(body "$www" "$who" --pause=3)" www "$pm"
    ended_after "$(now_ms)"
  done
}

@test "not while a client is in the middle of its request" {
  configure www "$www"
  serve --exit-idle-time=1s
  is "$(body "$www" "$who" --pause=3 --pause-at=20)" www
  is "$(body "$www" "$who" --pause=3 --pause-at=5000 --body-size=10000)" www
  ended_after "$(now_ms)"
}

@test "not while requests come, one after the other" {
  local n
  configure www "$www"
  serve --exit-idle-time=1s
  for n in {1..8}; do
    is "$(get "$www" "$nap" "s=0.6&n=$n")" slept
  done
  kill -0 "$server"
  ended_after "$(now_ms)"
}

@test "not while requests come, with breaks that are shorter" {
  configure www "$www"
  serve --exit-idle-time=1s
  "$fastcgi" --requests=8 --between=0.6 "$www" "$hello"
  kill -0 "$server"
  ended_after "$(now_ms)"
}

@test "a connection that is kept alive without a request does not count" {
  configure www "$www"
  serve --exit-idle-time=1s
  nap_begin kept 0 --keep-conn --linger=60
  is_up "$www"
  ended_after "$(now_ms)"
  kill -0 "$client"
}

@test "its end is not that of a request: the span does not begin anew" {
  # Hung up by the server when the span is over, or by the client before.
  local linger since took
  configure www "$www"
  for linger in 60 2; do
    rm -f "$dir"/out/*
    serve --exit-idle-time=4s
    nap_begin kept 0 --keep-conn "--linger=$linger"
    is_up "$www"
    since=$(now_ms)
    ended 15
    took=$(($(now_ms) - since))
    is "$status" 0
    [ "$took" -ge 3500 ] || fail "ended $took ms after its last request"
    [ "$took" -lt 5500 ] || fail "ended only $took ms after its last request"
    kill "$client" 2>/dev/null || true
  done
}

@test "one that is kept alive does count while it has a request" {
  configure www "$www"
  serve --exit-idle-time=1s
  "$fastcgi" --keep-conn --requests=3 --param=QUERY_STRING=s=2 --expect=slept "$www" "$nap"
  kill -0 "$server"
  ended_after "$(now_ms)"
}

@test "kept alive with breaks that are shorter than the span" {
  configure www "$www"
  serve --exit-idle-time=1s
  "$fastcgi" --keep-conn --requests=6 --between=0.6 "$www" "$hello"
  kill -0 "$server"
  ended_after "$(now_ms)"
}

@test "a worker that was killed, busy or not, does not count" {
  local worker
  configure www "$www" 'pm.max_children = 2'
  serve --exit-idle-time=1s
  is_up "$www"
  for worker in $(workers); do
    kill -KILL "$worker"
  done
  is_up "$www"
  nap_begin nap 60
  for worker in $(workers); do
    kill -KILL "$worker"
  done
  is "$(wait "$client" && echo answered || echo lost)" lost
  ended_after "$(now_ms)"
}

@test "a worker that crashed does not count" {
  configure www "$www" 'pm.max_children = 1'
  serve --exit-idle-time=1s
  nap_begin nap 60
  kill -SEGV "$(workers)"
  is "$(wait "$client" && echo answered || echo lost)" lost
  is_up "$www"
  ended_after "$(now_ms)"
}

@test "the countdown starts when the server is ready, not at the wake" {
  local since
  configure www "$www"
  # shellcheck disable=SC2016 # for sh
  serve --exit-idle-time=1s -- sh -c 'sleep 2; touch "$1/out/slept"; exec "$0" -F -y "$1/php-fpm.conf"' \
    "$server_binary" "$dir"
  wait_for test -e "$dir/out/slept"
  since=$(date -r "$dir/out/slept" +%s%3N)
  ended_after "$since" 1000
  is "$(times_ready)" 1
}

@test "a request that waits for a slow start is served" {
  configure www "$www"
  # shellcheck disable=SC2016 # for sh
  serve --exit-idle-time=1s -- sh -c 'sleep 2; exec "$0" -F -y "$1/php-fpm.conf"' \
    "$server_binary" "$dir"
  is_up "$www"
  ended_after "$(now_ms)"
}

@test "a worker that still starts when all others are silent is no reason to wait for ever" {
  configure www "$www" 'pm = ondemand' 'pm.max_children = 3' 'pm.process_idle_timeout = 10s'
  serve --exit-idle-time=1s
  "$fastcgi" --clients=3 --requests=3 "$www" "$hello"
  ended_after "$(now_ms)"
}

@test "request after request at the very moment: each one is answered, by this run or the next" {
  # The client's break is the idle span, give or take: the worst moment, over and over.
  local n lost=0
  configure www "$www" 'pm.max_children = 1'
  serve_again() {
    while [ ! -e "$dir/enough" ]; do
      env "VHOST_DIRECTORY=$dir" "$holder" run "$dir/holder" "$launcher" "--preload=$shim" \
        --exit-idle-time=100ms -- "$server_binary" -F -y "$dir/php-fpm.conf" || return
    done
  }
  start server serve_again
  server=$pid
  for n in {1..100}; do
    request "$www" "$hello" >/dev/null || lost=$((lost + 1))
    sleep "0.$((900 + n % 20 * 10))"
  done
  touch "$dir/enough"
  ended
  is "$status" 0
  is "$lost" 0
}

@test "never, if there is no span" {
  configure www "$www"
  serve --exit-idle-time=infinity
  is_up "$www"
  # No watchdog either: only the server, its workers and the holder.
  is "$(of_this_test | wc -l)" "$(($(workers | wc -l) + 2))"
  end QUIT
  is "$status" 0
}

@test "the watchdog is not the server's child, and ends with it" {
  configure www "$www"
  serve --exit-idle-time=1min
  is_up "$www"
  is "$(pgrep -P "$server" | sort -n)" "$(workers)"
  is "$(of_this_test | wc -l)" "$(($(workers | wc -l) + 3))"
  kill -KILL "$server"
  wait "$server" || true
  watchdog_is_gone() { ! of_this_test | xargs -I{} cat /proc/{}/comm | grep -q launcher; }
  wait_for watchdog_is_gone
  is "$(grep -c 'unknown child' "$dir/php-fpm.log")" 0
}
