#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Whatever a vhost does, its socket lives: no limit of systemd's shuts it for good.

load ../helpers
load native

setup() {
  start_test
}

teardown() {
  remove_native_vhost
  end_test
}

# Lets clients connect and go without end, as a web server under load does.
flood() {
  start flood "$fastcgi" --clients=4 --duration=100 --timeout=0.2 "$socket" "$www/hello.php"
  flood=$pid
}

# How often the service has failed so far.
failures() { journal_of "$unit.service" | grep -c 'Failed with result'; }
has_failed() { [ "$(failures)" -ge "$1" ]; }

# A configuration that php-fpm refuses.
break_vhost() { sed -i 's/^pm = .*/pm = nonsense/' "/etc/fpm-waker/$vhost.php-fpm.conf"; }
repair_vhost() { sed -i 's/^pm = .*/pm = dynamic/' "/etc/fpm-waker/$vhost.php-fpm.conf"; }

@test "a server that crashes at start 100 times under a flood, once repaired, serves the next request" {
  native_vhost crash-loop.example ExitIdleTime=infinity
  # Without its back-off the unit gets through 100 failures in a few seconds, where systemd's own
  # limits (start: 5 in 10 s, trigger: 20 in 2 s) would have shut it long before.
  drop_in ExecStopPost=
  before=$(socket_identity "$socket")
  break_vhost
  flood
  wait_for -t 60 has_failed 100
  repair_vhost
  kill "$flood"
  run request "$socket" "$www/hello.php"
  is "$status" 0 "the request after the repair"
  contains "$output" "hello from "
  is "$(systemctl show -P ActiveState "$unit.socket")" active
  is "$(socket_identity "$socket")" "$before"
}

@test "a crash loop under a flood is calm: about one start a second" {
  native_vhost calm.example ExitIdleTime=infinity
  break_vhost
  flood
  wait_for has_failed 1
  sleep 5
  [ "$(failures)" -le 6 ] || fail "$(failures) starts in 5 s"
  has_failed 3 || fail "only $(failures) starts in 5 s"
  repair_vhost
  kill "$flood"
  contains "$(request "$socket" "$www/hello.php")" "hello from "
}

@test "requests that wait while the server crashes are served once it is repaired" {
  native_vhost waiting.example ExitIdleTime=infinity
  break_vhost
  start patient "$fastcgi" "$socket" "$www/hello.php"
  patient=$pid
  wait_for has_failed 2
  repair_vhost
  wait "$patient"
  contains "$(cat "$dir/patient.log")" "hello from "
}
