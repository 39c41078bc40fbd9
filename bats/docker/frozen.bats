#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A container that is frozen while fpm-waker is not: that time is no idle time.

load ../helpers
load waker

setup() { start_vhost_test; }
teardown() { end_vhost_test; }

# sleeps_after MOMENT MILLISECONDS: the vhost falls asleep, no sooner than that after the moment.
sleeps_after() {
  local took
  wait_for is_asleep
  took=$(($(now_ms) - $1))
  is "$(exit_status)" 0
  [ "$took" -ge "$2" ] || fail "asleep $took ms after the thaw"
}

@test "paused for longer than the idle time: it is there afterwards, serves, and sleeps later" {
  local first since
  php_vhost --exit-idle-time=2s
  hello
  first=$(docker ps -q)
  docker pause waker >/dev/null
  sleep 5 # two idle times and more must pass
  is_waked || fail 'it was stopped while frozen'
  is "$(status_text)" 'Serving requests'
  since=$(now_ms)
  docker unpause waker >/dev/null
  contains "$(hello)" hello
  is "$(docker ps -q)" "$first" 'the container'
  sleeps_after "$since" 2000
}

# paused SECONDS: and no request afterwards. A whole idle time is left from the thaw on.
paused() {
  local since
  php_vhost --exit-idle-time=2s
  hello
  docker pause waker >/dev/null
  sleep "$1" # time is what is tested
  since=$(now_ms)
  docker unpause waker >/dev/null
  sleeps_after "$since" 2000
}

# After 3.5 s the thaw is in the middle between two looks; no look falls into a pause of 1 s.
@test "paused for longer than the idle time: a whole idle time is left" { paused 3.5; }
@test "paused for less than the idle time: a whole idle time is left, too" { paused 1; }

@test "fpm-waker itself is stopped for longer than the idle time" {
  local since
  php_vhost --exit-idle-time=2s
  hello
  kill -STOP "$(master_of_service)"
  sleep 4 # twice the idle time
  since=$(now_ms)
  kill -CONT "$(master_of_service)"
  sleeps_after "$since" 2000
}

@test "a request that comes while it is paused is answered when it goes on" {
  local first
  php_vhost --exit-idle-time=1s
  hello
  first=$(docker ps -q)
  docker pause waker >/dev/null
  start client "$fastcgi" --expect=hello "$socket" /var/www/html/hello.php
  sleep 2.5 # twice the idle time
  docker unpause waker >/dev/null
  wait "$pid"
  is "$(docker ps -q)" "$first" 'the container'
}
