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

serve_loop() { serve --exit-idle-time="$2" -- "$BATS_TEST_DIRNAME/event-loop.py" "$1"; }

# The answer of one that takes no time is there while another one sleeps.
@test "it works on several requests at once, and ends when the last one is answered" {
  local address before
  for address in "$www" "$tcp"; do
    before=$(look "$address")
    serve_loop "$address" 300ms
    www=$address nap_begin 1 1.5
    is "$(body "$address" "$hello")" slept
    "$fastcgi" --clients=20 --requests=20 "$address" "$hello"
    wait "$client"
    ended
    is "$status" 0
    is "$(look "$address")" "$before"
    rm "$dir/out/1.began"
  done
}

@test "no request is lost around its idle exit" {
  local load
  start load "$fastcgi" --clients=4 --requests=60 --between=0.03 "$www" "$hello"
  load=$pid
  until is_gone "$load"; do
    serve_loop "$www" 25ms
    ended
    is "$status" 0
  done
  wait "$load" || fail "$(<"$dir/load.log")"
}

@test "told to stop, it answers what it has and takes nothing more" {
  local signal first second late
  for signal in TERM INT; do
    serve_loop "$www" infinity
    nap_begin "$signal-1" 0.5
    first=$client
    nap_begin "$signal-2" 1
    second=$client
    kill "-$signal" "$server"
    start late "$fastcgi" --expect=slept "$www" "$hello"
    late=$pid
    wait_for is_queued "$www" 1
    wait "$first"
    wait "$second"
    ended
    is_queued "$www" 1
    serve_loop "$www" 100ms
    wait "$late"
    ended
    is "$status" 0
  done
}
