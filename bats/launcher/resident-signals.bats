#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Resident mode: signals to it and to its server.

load ../helpers
load ../preload/vhost
load launching
load resident

@test "asleep, a stop signal ends it at once, and the others do nothing" {
  local signal
  for signal in TERM QUIT INT; do
    rm -f "$www"
    live --exit-idle-time=200ms
    kill -HUP "$resident"
    kill -USR1 "$resident"
    kill -USR2 "$resident"
    is_asleep
    stop "$signal"
  done
  [ ! -e "$dir/php-fpm.log" ]
}

@test "a stop signal waits for the request, then it ends with status 0" {
  local signal
  for signal in TERM QUIT INT; do
    rm -f "$www" "$dir"/out/*
    live --exit-idle-time=1min
    nap_begin "$signal" 1
    stop "$signal"
    wait "$client"
    [ -e "$dir/out/$signal.ended" ]
  done
}

@test "signals reach the master: a reload, its log anew" {
  live
  is_up "$www"
  kill -USR2 "$resident"
  wait_for is_ready 2
  is_up "$www"
  mv "$dir/php-fpm.log" "$dir/php-fpm.old"
  kill -USR1 "$resident"
  wait_for test -e "$dir/php-fpm.log"
  stop TERM
}

@test "a signal that the server has no handler for does not end it, as with an init" {
  local signal
  # shellcheck disable=SC2016 # for the inner shell
  live -- bash -c 'exec "$0" claim $$' "$unit_test"
  start client "$fastcgi" "$www" "$hello"
  wait_for has_line "$dir/resident.log" idle
  for signal in HUP USR1 USR2; do
    kill "-$signal" "$resident"
    sleep 0.2 # time for what must not happen
    is_awake
  done
  kill "$(master)"
  wait_for has_said 'was ended by signal 15'
  stop TERM
}

@test "signals that come during a reload: none is lost, and none ends the server" {
  local n before
  live
  is_up "$www"
  before=$(master)
  nap_begin 1 1
  for n in {1..30}; do
    kill -USR2 "$resident"
    kill -HUP "$resident"
    sleep 0.01 # the moment is what varies
  done
  wait "$client"
  wait_for is_ready 2
  for n in {1..30}; do
    kill -USR2 "$resident"
    kill -HUP "$resident"
    sleep "0.0$((10 + n))"
  done
  wait_for is_ready 4
  is "$(master)" "$before"
  is_up "$www"
  stop TERM
  is "$(grep -c ^fpm-launcher "$dir/resident.log" || true)" 0
}

@test "a reload that comes while the server starts is not lost, and ends nothing" {
  mkfifo "$dir/gate"
  # shellcheck disable=SC2016 # for the inner shell
  live -- sh -c 'read -r line <"$0"; exec "$@"' "$dir/gate" "$server_binary" -F -y \
    "$dir/php-fpm.conf"
  start client "$fastcgi" --expect=hello "$www" "$hello"
  client=$pid
  wait_for is_awake
  kill -USR2 "$resident"
  echo go >"$dir/gate"
  wait "$client"
  wait_for is_ready 2
  is_up "$www"
  stop TERM
}

@test "a stop while the entrypoint still works" {
  local signal
  for signal in TERM INT QUIT; do
    rm -f "$www"
    live -- sh -c "touch $dir/out/began; sleep 60; exit 1"
    start client "$fastcgi" "$www" "$hello"
    wait_for test -e "$dir/out/began"
    stop "$signal"
    is "$(<"$dir/resident.log")" ''
    rm "$dir/out/began"
  done
}

@test "a stop while the entrypoint of a later run still works, deaf to SIGQUIT" {
  # shellcheck disable=SC2016 # for the inner shell
  live -- sh -c 'if [ -e "$0" ]; then trap "" QUIT; touch "$0.again"; sleep 60; fi; touch "$0"
    exec "$@"' "$dir/out/began" "$server_binary" -F -y "$dir/php-fpm.conf"
  is_up "$www"
  kill -QUIT "$(master)"
  wait_for is_asleep
  start client "$fastcgi" "$www" "$hello"
  wait_for test -e "$dir/out/began.again"
  stop TERM
}

@test "behind a shell it is the master that is stopped, and the shell goes on" {
  # shellcheck disable=SC2016 # for the inner shell
  live --exit-idle-time=200ms -- sh -c '"$@"; echo "ended $?"; exit 3' sh "$server_binary" -F -y \
    "$dir/php-fpm.conf"
  is_up "$www"
  wait_for is_asleep
  is "$(<"$dir/resident.log")" "ended 0
fpm-launcher: the server ended with status 3 when it was told to stop"
  is_up "$www"
  nap_begin 1 0.5
  stop TERM
  wait "$client"
}

@test "when the resident is killed, the server ends too, after its request" {
  live
  nap_begin 1 1
  kill -KILL "$resident"
  wait "$client"
  wait_for nothing_is_left
}
