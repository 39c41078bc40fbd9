#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What keeps a native vhost awake, in its sandbox and by real units.

load ../helpers
load native

setup() { start_test; }

teardown() {
  systemctl thaw "$unit.service" 2>/dev/null || true
  remove_native_vhost
  end_test
}

# leave_running: a program, by a request. Sets $program.
leave_running() {
  mkfifo -m 666 "$www/fifo"
  echo "<?php exec('cat $www/fifo >/dev/null 2>&1 &'); echo 'left';" >"$www/leave.php"
  contains "$(request "$socket" "$www/leave.php")" left
  wait_for pgrep -f "^cat $www/fifo"
  program=$(pgrep -f "^cat $www/fifo")
}

logged() { journal_of "$unit.service" | grep -qF -- "$1"; }

@test "a program that a request left running: the service ends after it" {
  native_vhost background.example StopAfterSec=500ms
  leave_running
  wait_for logged "still awake: 1 program that requests left running: $program (cat); the \
background limit is 3600 s after the last request"
  contains "$(request "$socket" "$www/hello.php")" "hello from "
  timeout 10 sh -c ': >"$0"' "$www/fifo"
  wait_for sleeps_natively
  is "$(systemctl show -P Result "$unit.service")" success
}

@test "BackgroundLimit=: when it is over, the program ends with its service" {
  native_vhost background.example StopAfterSec=500ms BackgroundLimit=1500ms
  leave_running
  wait_for sleeps_natively
  wait_for logged "the background limit of 1.5 s is over: stopping, and cutting off 1 program that \
requests left running: $program (cat)"
  is_gone "$program" || fail 'the program survived its service'
  is "$(systemctl show -P Result "$unit.service")" success
}

@test "systemctl freeze and thaw: the frozen time is no idle time" {
  local seconds since took
  native_vhost frozen.example StopAfterSec=2s
  for seconds in 4 1; do
    contains "$(request "$socket" "$www/hello.php")" "hello from "
    systemctl freeze "$unit.service"
    sleep "$seconds" # time is what is tested
    since=$(now_ms)
    systemctl thaw "$unit.service"
    [ "$seconds" = 1 ] || contains "$(request "$socket" "$www/hello.php")" "hello from "
    wait_for sleeps_natively
    took=$(($(now_ms) - since))
    [ "$took" -ge 2000 ] || fail "it slept $took ms after the thaw"
    is "$(systemctl show -P Result "$unit.service")" success
  done
  is "$(journal_of "$unit.service" | grep -c '^Started ')" 2 "starts"
}
