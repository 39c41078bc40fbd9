#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Whatever a vhost does, its socket lives: no limit of systemd's shuts it for good.

load ../helpers
load native
load flood

setup() {
  start_test
  began=$EPOCHREALTIME
}

teardown() {
  end_flood
  remove_native_vhost
  end_test
}

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
  flood "$www/hello.php"
  wait_for -t 60 has_failed 100
  repair_vhost
  end_flood
  run request "$socket" "$www/hello.php"
  is "$status" 0 "the request after the repair"
  contains "$output" "hello from "
  is "$(systemctl show -P ActiveState "$unit.socket")" active
  is "$(socket_identity "$socket")" "$before"
}

@test "a crash loop under a flood is calm: one start a second" {
  native_vhost calm.example ExitIdleTime=infinity
  break_vhost
  flood "$www/hello.php"
  wait_for -t 15 has_failed 5
  took=$(failing_for 5)
  [ "$took" -ge 4000 ] || fail "4 starts in $took ms"
  repair_vhost
  end_flood
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
