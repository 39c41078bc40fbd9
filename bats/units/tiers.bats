#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A native vhost on its way down, tier by tier, and up again.

load ../helpers
load ../tiers/scenarios
load native

setup() { start_test; }

teardown() {
  if [ -z "${BATS_TEST_COMPLETED:-}" ]; then
    systemctl status --no-pager "$unit.service" || true
    journal_of "$unit.service" | tail -n 30 || true
  fi
  rm -f "/etc/fpm-waker/$vhost.maintenance"
  remove_native_vhost
  end_test
}

tiers_vhost() {
  native_vhost tiers.example "$@"
  site=$www
  pages
}

cgroup() { echo "/sys/fs/cgroup$(systemctl show -P ControlGroup "$unit.service")"; }
freezer() { echo "$(cgroup)/server"; }
processes() { find "$(cgroup)" -name cgroup.procs -exec cat {} + | grep -vx "$(main_pid)"; }
php_fpm_conf() { echo "/etc/fpm-waker/$vhost.php-fpm.conf"; }
leftovers() {
  find /sys/fs/cgroup/system.slice -name "$unit.service"
  find /run/fpm-waker-native/ -mindepth 2
}

@test "hot, frozen, hot: the same server each time, nothing changes at the socket" { hot_frozen_hot; }
@test "frozen, light, stopped: each at its time, and nothing is left" { all_the_way_down; }
@test "light wakes in the same service" { light_wakes; }
@test "a tier that would come no sooner than a later one is left out" { only_stops; }
@test "a start by hand is light at once, without a server" { started_by_hand; }
@test "a start by hand ends after its time, too" { stopped_by_idleness_without_a_request; }
@test "systemctl stop, restart, reload and maintenance while frozen" { administered frozen; }
@test "systemctl stop, restart, reload and maintenance while light" { administered light; }
@test "systemctl stop while hot ends a resident launcher, too" { stopped_while_hot; }
@test "a reload while frozen is done when systemctl returns" { reloaded_while_frozen; }
@test "kill -9 of fpm-waker while frozen: the next request is served, nothing is left" { killed_while frozen; }
@test "kill -9 of fpm-waker while light: the next request is served, nothing is left" { killed_while light; }
@test "a kept-alive connection does not keep it hot" { kept_connection; }
@test "a long silent request does" { long_request; }
@test "somebody else thaws it: a whole span is left" { thawed_by_somebody; }
@test "a wake that fails: 503 with the reason in the journal, until it is repaired" { failing_wake; }
@test "POSTs at the moment of the freeze: none is lost" { posts_at_the_freeze; }
@test "the first byte after a thaw, 200 times" { thaw_latency; }

# --- what only a native vhost has ----------------------------------------------------------------

@test "a program that a request left running keeps it hot" {
  tiers_vhost FreezeAfterSec=300ms LightAfterSec=infinity "StopAfterSec=$far"
  mkfifo -m 666 "$www/fifo"
  echo "<?php exec('cat $www/fifo >/dev/null 2>&1 &'); echo 'left';" >"$www/leave.php"
  contains "$(request "$socket" "$www/leave.php")" left
  wait_for logged "still awake: 1 program that requests left running"
  is_hot || fail "$(state_text)"
  timeout 10 sh -c ': >"$0"' "$www/fifo"
  wait_for is_frozen
}

# As on a machine whose unit has no cgroup of its own to give.
@test "without the right to freeze, it says so once and is stopped at its time" {
  local began
  drop_in_first ProtectControlGroups=yes
  tiers_vhost FreezeAfterSec=200ms LightAfterSec=infinity StopAfterSec=2s
  began=$(now_ms)
  hello
  wait_for is_stopped
  [ "$(took_ms "$began")" -ge 2000 ] || fail "stopped after $(took_ms "$began") ms"
  is "$(journal_of "$unit.service" | grep -c 'cannot freeze the server')" 1
  logged 'cannot freeze the server, so it just runs until it is stopped: Read-only file system' || fail "another reason"
}

drop_in_first() {
  vhost=tiers.example unit=fpm-waker-native@tiers.example
  drop_in "$@"
}

@test "php cannot freeze more than itself" {
  tiers_vhost FreezeAfterSec="$far" LightAfterSec=infinity StopAfterSec=2h
  cat >"$www/cgroup.php" <<'PHP'
<?php
$own = '/sys/fs/cgroup' . trim(substr(file_get_contents('/proc/self/cgroup'), strrpos(file_get_contents('/proc/self/cgroup'), '0::') + 3));
foreach ([$own, dirname($own), dirname($own, 2), dirname($own, 3)] as $level => $cgroup)
        echo "level $level=", (int)is_writable("$cgroup/cgroup.freeze"), "\n";
PHP
  run request "$socket" "$www/cgroup.php"
  is "$status" 0
  contains "$output" $'level 0=1\nlevel 1=0\nlevel 2=0\nlevel 3=0'
}
