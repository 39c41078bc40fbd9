#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# A server that is one event loop: its accept() does not wait, and many requests are open at once.

load ../helpers
load vhost

setup() {
  start_vhost
  hold www=unix tcp=4
  export OUT=$dir/out
}
teardown() { end_vhost; }

# serve_loop SPAN ADDRESS [edge]
serve_loop() { serve --exit-idle-time="$1" -- "$BATS_TEST_DIRNAME/event-loop.py" "${@:2}"; }

@test "it works on several requests at once, and ends when the last one is answered" {
  local address mode before
  for address in "$www" "$tcp"; do
    for mode in '' edge; do
      before=$(look "$address")
      serve_loop 300ms "$address" $mode
      www=$address nap_begin 1 1.5
      is "$(body "$address" "$hello")" slept
      kill -0 "$client" # has not been answered
      "$fastcgi" --clients=20 --requests=20 "$address" "$hello"
      wait "$client"
      ended
      is "$status" 0
      is "$(look "$address")" "$before"
      rm "$dir/out/1.began"
    done
  done
}

@test "it ends although nobody has come, and so does one that is told to" {
  local mode
  for mode in '' edge; do
    serve_loop 100ms "$www" $mode
    ended
    is "$status" 0
    serve_loop infinity "$www" $mode
    wait_for is_polled
    end TERM
    is "$status" 0
  done
}
is_polled() { grep -qs tfd: /proc/"$server"/fdinfo/*; }

# The time of processors that the server has taken, in ticks.
ticks() { awk '{ print $14 + $15 }' "/proc/$server/stat"; }

@test "it is told of nothing but connections" {
  local mode before
  for mode in '' edge; do
    serve_loop infinity "$www" $mode
    "$fastcgi" --clients=20 --requests=50 "$www" "$hello"
    before=$(ticks)
    sleep 0.5 # to see that nothing happens
    [ $(($(ticks) - before)) -le 5 ] || fail "it spins: $(($(ticks) - before)) ticks in 50"
    end TERM
  done
}

@test "no request is lost around its idle exit" {
  local mode load
  for mode in '' edge; do
    start load "$fastcgi" --clients=4 --requests=60 --between=0.03 "$www" "$hello"
    load=$pid
    until is_gone "$load"; do
      serve_loop 25ms "$www" $mode
      ended
      is "$status" 0
    done
    wait "$load" || fail "$(<"$dir/load.log")"
  done
}

@test "told to stop, it answers what it has and takes nothing more" {
  local mode first second late
  for mode in '' edge; do
    serve_loop infinity "$www" $mode
    nap_begin "1$mode" 0.5
    first=$client
    nap_begin "2$mode" 1
    second=$client
    kill -TERM "$server"
    start late "$fastcgi" --expect=slept "$www" "$hello"
    late=$pid
    wait_for is_queued "$www" 1
    wait "$first"
    wait "$second"
    ended
    is_queued "$www" 1
    serve_loop 100ms "$www" $mode
    wait "$late"
    ended
    is "$status" 0
  done
}
