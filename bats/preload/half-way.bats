#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Somebody dies half-way through closing or opening the gate, or is the only one that was told of a
# connection: nobody waits for ever. A model of the protocol has found these (preload/gate.pml).

load ../helpers
load vhost

setup() {
  start_vhost
  hold www=unix
  configure www "$www"
  mkfifo "$dir/orders" "$dir/answers"
  serve -- "$build/test/gatekeeper" "$dir/orders" "$dir/answers" \
    "$server_binary" -F -y "$dir/php-fpm.conf"
  is_up "$www"
}
teardown() { end_vhost; }

# Its answer is printed: nothing, if it did something.
gatekeeper() {
  echo "$1" >"$dir/orders"
  cat "$dir/answers"
}
states_are() { [ "$(gatekeeper states)" = "$1" ]; }

@test "the only worker that was told of a connection is killed while the gate is closed" {
  local told other
  wait_for states_are 'waiting waiting'
  is "$(gatekeeper close)" ''
  start client "$fastcgi" "$www" "$hello"
  client=$pid
  wait_for states_are 'waiting parked raised'
  told=$(gatekeeper parked)
  other=$(workers | grep -vx "$told")
  kill -KILL "$told"
  replaced() { [ "$(workers | grep -vcx -e "$told" -e "$other")" = 1 ]; }
  wait_for replaced
  # The other one has looked, as after any worker's death, and so has the replacement, which is put
  # out of the way.
  wait_for states_are 'parked parked raised'
  kill -STOP "$(workers | grep -vx "$other")"
  is "$(gatekeeper open)" ''
  wait "$client"
}

@test "a watchdog that dies half-way through opening keeps no kept-alive worker awake" {
  nap_begin kept 0 --keep-conn --linger=60
  wait_for states_are 'waiting kept-alive'
  is "$(gatekeeper raise)" ''
  wait_for states_are 'waiting kept-alive'
}

@test "one that dies half-way through opening while the master drains does not prolong that" {
  nap_begin kept 1.5 --keep-conn --linger=60
  kill -QUIT "$server"
  wait_for states_are 'waiting busy raised'
  is "$(gatekeeper lower)" ''
  ended
  is "$status" 0
  kill -0 "$client"
}
