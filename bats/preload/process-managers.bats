#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Each way that php-fpm manages its workers, in the foreground and as a daemon.

load ../helpers
load vhost

setup() { start_vhost; }
teardown() { end_vhost; }

static=('pm = static' 'pm.max_children = 2')
dynamic=('pm = dynamic' 'pm.max_children = 4' 'pm.start_servers = 1' 'pm.min_spare_servers = 1'
  'pm.max_spare_servers = 2')
ondemand=('pm = ondemand' 'pm.max_children = 4' 'pm.process_idle_timeout = 1s')

# Six clients at once, each answered; then a reload, and again; then the end.
works() {
  local before
  before=$(look "$www")
  configure www "$www" "$@"
  serve
  "$fastcgi" --clients=6 --requests=20 "$www" "$hello"
  reload
  "$fastcgi" --clients=6 --requests=20 "$www" "$hello"
  end QUIT
  is "$status" 0
  is "$(look "$www")" "$before"
}

@test "static on a path" { hold www=unix && works "${static[@]}"; }
@test "static on TCP" { hold www=4 && works "${static[@]}"; }
@test "dynamic on a path" { hold www=unix && works "${dynamic[@]}"; }
@test "dynamic on TCP" { hold www=6 && works "${dynamic[@]}"; }
@test "ondemand on a path" { hold www=unix && works "${ondemand[@]}"; }
@test "ondemand on TCP" { hold www=4 && works "${ondemand[@]}"; }

@test "dynamic starts workers for those who wait, ends spare ones, and has none too few" {
  hold www=unix
  configure www "$www" "${dynamic[@]}"
  serve
  is_up "$www"
  "$fastcgi" --clients=4 --requests=1 --param=QUERY_STRING=s=2 "$www" "$nap"
  settled() { [ "$(workers | wc -l)" -le 2 ] && [ "$(workers | wc -l)" -ge 1 ]; }
  wait_for -t 20 settled
  is_up "$www"
}

@test "ondemand has no worker before the first request, and none after a while" {
  hold www=unix
  configure www "$www" "${ondemand[@]}"
  serve
  wait_for is_ready 1
  is "$(workers)" ''
  is_up "$www"
  [ -n "$(workers)" ]
  wait_for nobody
  is_up "$www"
}

nobody() { [ -z "$(workers)" ]; }

@test "ondemand sees a connection that came before the start" {
  hold www=unix
  configure www "$www" "${ondemand[@]}"
  start client "$fastcgi" "$www" "$hello"
  local client=$pid
  wait_for is_queued "$www" 1
  serve
  wait "$client"
}

@test "ondemand: a worker that is told to go while a connection comes does not leave it behind" {
  # php-fpm by itself sees an idle worker, starts none, and the connection hangs until the next.
  hold www=unix
  configure www "$www" "${ondemand[@]}"
  serve
  is_up "$www"
  local worker client
  worker=$(workers)
  kill -STOP "$worker"
  wait_for -t 15 is_told_to_go "$worker"
  start client "$fastcgi" --timeout=8 "$www" "$hello"
  client=$pid
  wait_for is_queued "$www" 1
  kill -CONT "$worker" 2>/dev/null || true
  wait "$client"
}

@test "ondemand: one of two connections that come at once is not left behind a long request" {
  # php-fpm by itself sees both in one look and starts one worker.
  local options n clients=() client
  hold www=unix
  configure www "$www" "${ondemand[@]}"
  serve
  wait_for is_ready 1
  for options in '--param=QUERY_STRING=s=0 --keep-conn --linger=8' '--param=QUERY_STRING=s=8'; do
    wait_for -t 15 nobody
    kill -STOP "$server"
    for n in 1 2 3; do
      # shellcheck disable=SC2086 # words
      start "client.$n" "$fastcgi" --timeout=20 $options "$www" "$nap"
      clients+=("$pid")
    done
    wait_for is_queued "$www" 3
    kill -CONT "$server"
    three() { [ "$(workers | wc -l)" = 3 ]; }
    wait_for -t 5 three
    wait_for -t 5 is_queued "$www" 0
    for client in "${clients[@]}"; do wait "$client"; done
    clients=()
  done
}

@test "ondemand and dynamic: a worker whose client is still silent is not killed as idle" {
  # php-fpm by itself counts it as idle until the first byte: it sends SIGQUIT, then SIGKILL.
  local client clients=() n pm
  hold www=unix
  for pm in ondemand dynamic; do
    reconfigure www "$www" "${ondemand[@]}" "pm = $pm" 'pm.start_servers = 1' \
      'pm.min_spare_servers = 1' 'pm.max_spare_servers = 1'
    serve
    is_up "$www"
    for n in 1 2 3; do
      start "client.$n" "$fastcgi" --pause=4 "$www" "$hello"
      clients+=("$pid")
    done
    for client in "${clients[@]}"; do wait "$client"; done
    clients=()
    is "$(grep -c SIGKILL "$dir/php-fpm.log")" 0
    end QUIT
  done
}

@test "ondemand: a worker that gets a client just when it is sent away as idle serves all of it" {
  # Between php-fpm's look at its workers and its signal, which is delayed here, a client comes. A
  # worker that has got SIGQUIT ends a kept-alive connection behind the request that it has.
  hold www=unix
  configure www "$www" "${ondemand[@]}"
  "$fastcgi" --print-request --keep-conn --param=QUERY_STRING=s=1 . "$nap" >"$dir/first"
  "$fastcgi" --print-request . "$hello" >"$dir/second"
  cat "$dir/first" "$dir/second" >"$dir/both"
  serve
  start strace strace -qq -e trace=kill -e inject=kill:delay_enter=600000 -p "$server"
  is_up "$www"
  wait_for grep -q SIGQUIT "$dir/strace.log"
  "$fastcgi" --raw="$dir/both" --half-close "$www" >"$dir/answers"
  is "$(grep -ac '^slept$' "$dir/answers")" 1
  is "$(grep -ac '^hello$' "$dir/answers")" 1
}

# A stopped process on which a signal waits: SIGQUIT (3) or SIGKILL has ended it.
is_told_to_go() {
  local pending
  [ -e "/proc/$1" ] || return 0
  pending=$(awk '/^(SigPnd|ShdPnd)/ { print $2 }' "/proc/$1/status" | tr '\n' '|')
  [ $((0x0${pending//|/ | 0x0} & 4)) != 0 ]
}

# A daemon: the process that was started ends at once, the server is another one; and yet another
# after a reload, since php-fpm then daemonizes again.
daemon() {
  local before
  before=$(look "$www")
  configure www "$www" "$@"
  serve --exit-idle-time=1s -- "$server_binary" -D -y "$dir/php-fpm.conf"
  ended
  is "$status" 0
  server=$(cat "$dir/pid")
  is_up "$www"
  "$fastcgi" --clients=6 --requests=20 "$www" "$hello"
  reload
  server=$(cat "$dir/pid")
  is_up "$www"
  is "$(get "$www" "$nap" s=2)" slept
  # Its watchdog has followed it.
  wait_for is_gone "$server"
  wait_for no_process_but_holder
  is "$(look "$www")" "$before"
  is "$(tail -n 1 "$dir/php-fpm.log" | cut -d' ' -f3-)" 'NOTICE: exiting, bye-bye!'
}

@test "static as a daemon" { hold www=unix && daemon "${static[@]}"; }
@test "dynamic as a daemon" { hold www=4 && daemon "${dynamic[@]}"; }
@test "ondemand as a daemon" { hold www=unix && daemon "${ondemand[@]}"; }

@test "a daemon that is stopped" {
  local before
  hold www=unix
  before=$(look "$www")
  configure www "$www"
  serve -- "$server_binary" -D -y "$dir/php-fpm.conf"
  ended
  is_up "$www"
  server=$(cat "$dir/pid")
  kill -TERM "$server"
  wait_for no_process_but_holder
  is "$(look "$www")" "$before"
}
