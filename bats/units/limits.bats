#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Whatever a vhost does, its socket lives: no limit of systemd's shuts it for good.

load ../helpers
load ../unavailable
load native

setup() {
  start_test
  began=$EPOCHREALTIME
}

teardown() {
  [ -n "${BATS_TEST_COMPLETED:-}" ] || log | tail -n 30
  remove_native_vhost
  end_test
}

# A configuration that php-fpm refuses.
break_vhost() { sed -i 's/^pm = .*/pm = nonsense/' "/etc/fpm-waker/$vhost.php-fpm.conf"; }
repair_vhost() { sed -i 's/^pm = .*/pm = dynamic/' "/etc/fpm-waker/$vhost.php-fpm.conf"; }

log() { journal_of "$unit.service" --since="@$began"; }
status_text() { systemctl show -P StatusText "$unit.service"; }
hello() { request "$socket" "$www/hello.php"; }
is_served() { hello | grep "hello from "; }

# attempts N: so many have been made.
attempts() { [[ $(status_text) =~ 'attempt '([0-9]+)' is being made'$ ]] && [ "${BASH_REMATCH[1]}" -gt "$1" ]; }

@test "a server that crashes at start 100 times under a flood, once repaired, serves the next request" {
  # Systemd's own limits (start: 5 in 10 s, trigger: 20 in 2 s) would have shut the socket long before.
  native_vhost crash-loop.example StopAfterSec=infinity RetryLimit=50ms
  before=$(socket_identity "$socket")
  break_vhost
  contains "$(hello)" 'Status: 503'
  flood "$www/hello.php"
  wait_for -t 60 attempts 100
  repair_vhost
  wait_for is_served
  flood_dries
  is "$(systemctl show -P ActiveState "$unit.socket")" active
  is "$(socket_identity "$socket")" "$before"
  is "$(log | grep -c '^fpm-waker: the server ended with status 78 before it took requests')" 1
  is "$(log | grep -c 'Failed with result')" 0
}

@test "the same with a service that ends with each failure: its socket lives" {
  native_vhost no-retry.example StopAfterSec=infinity RetryLimit=0
  drop_in ExecStopPost=
  before=$(socket_identity "$socket")
  break_vhost
  start clients setsid "$fastcgi" --clients=4 --duration=100 --timeout=0.2 "$socket" "$www/hello.php"
  clients=$pid
  wait_for -t 60 has_failed 100
  repair_vhost
  kill -KILL -- "-$clients"
  contains "$(hello)" "hello from "
  is "$(systemctl show -P ActiveState "$unit.socket")" active
  is "$(socket_identity "$socket")" "$before"
}

has_failed() { [ "$(log | grep -c 'Failed with result')" -ge "$1" ]; }

@test "a crash loop under a flood is calm: after 1, 2 and 4 seconds" {
  local since
  native_vhost calm.example StopAfterSec=infinity
  script=$www/hello.php
  break_vhost
  contains "$(hello)" 'Status: 503'
  since=$(now_ms)
  unavailable '[12]'
  flood "$www/hello.php"
  wait_for eval '[[ $(status_text) == *"; next attempt in 8 s" ]]'
  [ $(($(now_ms) - since)) -ge 6500 ] || fail "4 starts in $(($(now_ms) - since)) ms"
  unavailable '[1-8]'
  repair_vhost
  wait_for is_served
  flood_dries
}

@test "whatever is wrong with the conf itself is said and answered, until it is right" {
  native_vhost wrong-conf.example StopAfterSec=infinity RetryLimit=1s
  script=$www/hello.php
  cp "/etc/fpm-waker/$vhost.conf" "$dir/good"
  echo nonsense >"/etc/fpm-waker/$vhost.conf"
  contains "$(hello)" 'Status: 503'
  unavailable '[1-4]'
  is "$(log | grep -c "^fpm-waker: /etc/fpm-waker/$vhost.conf:1: nonsense: is not KEY=VALUE")" 1
  cp "$dir/good" "/etc/fpm-waker/$vhost.conf"
  wait_for is_served
}
