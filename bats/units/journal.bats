#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What fpm-waker tells the journal and systemd: one entry an event, with fields for programs.

load ../helpers
load native
load status

setup() {
  start_test
  vhosts=()
  began=$EPOCHREALTIME
}

teardown() {
  [ -n "${BATS_TEST_COMPLETED:-}" ] || journal_of 'fpm-waker*' --since="@$began" | tail -n 30
  remove_many
  remove_vhosts docker.example
  rm -rf /etc/systemd/system/fpm-waker*.service.d
  systemctl daemon-reload
  end_test
}

# fields OF-VHOST FIELD...: a line for each of its events since the test began.
fields() {
  journalctl --sync
  journalctl -q -o json --since="@$began" "FPM_WAKER_VHOST=$1" | php -r '
    while ($line = fgets(STDIN)) {
      $entry = json_decode($line, true, 8, JSON_THROW_ON_ERROR);
      echo implode("|", array_map(fn($field) => $entry[$field] ?? "-", array_slice($argv, 1))), "\n";
    }' "${@:2}"
}

events() { fields "$1" FPM_WAKER_EVENT | tr '\n' ' '; }
has_events() { [ "$(events "$1")" = "$2 " ]; }

break_vhost() { sed -i 's/^pm = .*/pm = nonsense/' "/etc/fpm-waker/$vhost.php-fpm.conf"; }
repair_vhost() { sed -i 's/^pm = .*/pm = dynamic/' "/etc/fpm-waker/$vhost.php-fpm.conf"; }
is_served() { hello | grep "hello from "; }

@test "a life of a native vhost, event by event, each with its fields and in one entry" {
  local reason

  many life.example StopAfterSec=1h
  contains "$(hello)" "hello from "
  systemctl reload "$unit.service"
  wait_for has_events life.example 'ready reloading reloaded'
  fpm-waker maintenance life.example on
  wait_for has_events life.example 'ready reloading reloaded maintenance-on'
  contains "$(hello)" 'Status: 503'
  fpm-waker maintenance life.example off
  wait_for has_events life.example 'ready reloading reloaded maintenance-on maintenance-off ready'
  systemctl stop "$unit.service"

  break_vhost
  contains "$(hello)" 'Status: 503'
  repair_vhost
  wait_for is_served
  # An end of the service that is wanted ends the failing period as ten seconds do.
  systemctl stop "$unit.service"
  is "$(fields life.example FPM_WAKER_EVENT PRIORITY MESSAGE_ID _SYSTEMD_UNIT)" \
    "ready|6|85aa53176e1c4caca032bb19c8051a39|$unit.service
reloading|6|609d1c32c70c4f658266cc262c89d015|$unit.service
reloaded|6|05928e3bed964116abc848177c13893a|$unit.service
maintenance-on|5|4afce02a4f5a4b9d82be49aab9fbe4d9|$unit.service
maintenance-off|5|e722dccb08ac49b495da05e29e0c33fd|$unit.service
ready|6|85aa53176e1c4caca032bb19c8051a39|$unit.service
failing|3|1aa92d308c1d4864a440e8727b28dab5|$unit.service
ready|6|85aa53176e1c4caca032bb19c8051a39|$unit.service
recovered|5|911e8453205a48de98bf50cfb3a786ca|$unit.service"

  reason='the server ended with status 78 before it took requests: ERROR: '
  reason+="[/etc/fpm-waker/life.example.php-fpm.conf:11] unable to parse value for entry 'pm': "
  reason+='invalid process manager (static, dynamic or ondemand)'
  is "$(fields life.example FPM_WAKER_EVENT FPM_WAKER_REASON | grep -v -e '-$')" "failing|$reason
recovered|$reason"
  # Each is one entry: it is not on standard error as well.
  is "$(journal_of "$unit.service" --since="@$began" | grep -Fxc "fpm-waker: $reason")" 1
  is "$(journal_of "$unit.service" --since="@$began" | grep -c '^fpm-waker: ready after ')" 3
}

@test "how long a wake took, from the start to the first answer's possibility" {
  local -a wakes

  many wake.example StopAfterSec=1h
  sed -i "s|^Command=|Command=sh -c 'sleep 1; exec \"\$@\"' sh |" /etc/fpm-waker/wake.example.conf
  contains "$(hello)" "hello from "
  wait_for has_events wake.example ready
  matches "$(fields wake.example MESSAGE FPM_WAKER_WAKE_USEC)" \
    '^fpm-waker: ready after ([0-9]+) ms\|\1[0-9]{3}$'
  mapfile -t wakes < <(fields wake.example FPM_WAKER_WAKE_USEC)
  [ "${wakes[0]}" -ge 1000000 ] || fail "it took ${wakes[0]} us"
  is "$(value wake.example last_wake_usec)" "${wakes[0]}"
}

@test "an idle exit says how many requests there were" {
  many idle.example StopAfterSec=1s
  contains "$(hello)" "hello from "
  contains "$(hello)" "hello from "
  wait_for sleeps_natively
  is "$(fields idle.example FPM_WAKER_EVENT MESSAGE_ID FPM_WAKER_REQUESTS MESSAGE | tail -n 1)" \
    'idle|e693282ad8e2410fbbce63391b7d6848|2|fpm-waker: idle, stopping (requests: 2)'
}

@test "a server that is killed after its drain limit" {
  many killed.example StopAfterSec=1h DrainLimit=1s
  echo '<?php touch(session_save_path() . "/begun"); while (true) sleep(1);' >"$www/forever.php"
  contains "$(hello)" "hello from "
  start forever "$fastcgi" --timeout=100 "$socket" "$www/forever.php"
  wait_for test -e "/var/lib/private/fpm-waker/$vhost/begun"
  # That long it has for its end beyond the drain limit: the shim in the server is faster.
  kill -STOP "$(pgrep -P "$(main_pid)" -f 'php-fpm: master')"
  systemctl stop "$unit.service"
  contains "$(fields killed.example FPM_WAKER_EVENT PRIORITY MESSAGE_ID MESSAGE)" \
    'killed|4|ca05a0426c064e4cbd8ec7494aa2b886|fpm-waker: the server has not ended within its drain limit: killing it'
}

@test "the last words of a service are found by its unit" {
  mkdir -p /etc/fpm-waker
  printf '%s\n' Image=no-such-image Command=php-fpm RetryLimit=0 >/etc/fpm-waker/docker.example.conf
  systemctl start fpm-waker@docker.example.socket
  run ! systemctl start fpm-waker@docker.example.service
  journalctl --sync
  contains "$(journalctl -q -o cat --since="@$began" -u fpm-waker@docker.example.service FPM_WAKER_EVENT=failed)" \
    'fpm-waker: the image is missing: '
}

@test "the man page has the MESSAGE_ID of each event" {
  local ids
  ids=$(sed -n 's/.*X([A-Z_]*, "\([a-z-]*\)", "\([0-9a-f]\{32\}\)".*/\1 \2/p' "$tree/launcher/events.h")
  is "$(wc -l <<<"$ids")" 14
  is "$(sed -n 's/^\.It Cm \([a-z-]*\) : \([0-9a-f]\{32\}\)$/\1 \2/p' "$tree/man/fpm-waker.8")" "$ids"
}

@test "STATUS= has the requests, and no news is not told" {
  many told.example StopAfterSec=11s
  contains "$(hello)" "hello from "
  is "$(systemctl show -P StatusText "$unit.service")" 'Serving requests'
  # One look of the watchdog comes after eleven seconds: then there is a request.
  echo '<?php touch(session_save_path() . "/begun"); while (!file_exists(__DIR__ . "/go")) { usleep(20000); clearstatcache(); }' >"$www/pause.php"
  start pause "$fastcgi" --timeout=100 "$socket" "$www/pause.php"
  wait_for matches_status '^Serving requests: 2 since [0-9][0-9]:[0-9][0-9]$'
  touch "$www/go"
  wait_for sleeps_natively
}

matches_status() { [[ $(systemctl show -P StatusText "$unit.service") =~ $1 ]]; }

@test "a fpm-waker that hangs is ended by systemd, and the next request is served" {
  local main

  many hangs.example StopAfterSec=1h
  drop_in WatchdogSec=2s
  sed -i "s|^Command=|Command=sh -c 'env >\$STATE_DIRECTORY/env; exec \"\$@\"' sh |" /etc/fpm-waker/hangs.example.conf
  contains "$(hello)" "hello from "
  main=$(main_pid)
  # What is for fpm-waker alone is not for php-fpm.
  contains "$(cat /var/lib/private/fpm-waker/hangs.example/env)" STATE_DIRECTORY=
  lacks "$(cat /var/lib/private/fpm-waker/hangs.example/env)" WATCHDOG
  # It goes on for longer than the watchdog's time,
  wait_for -t 10 eval '[ "$(age "$main")" -gt 5 ]'
  is "$(main_pid)" "$main"
  # and then it does not.
  kill -STOP "$main"
  wait_for eval '[ "$(main_pid)" != "$main" ]'
  contains "$(hello)" "hello from "
  contains "$(journalctl -q -o cat --since="@$began" -u "$unit.service")" 'Watchdog timeout'
}

# Seconds since a process has started.
age() { ps -o etimes= -p "$1"; }

@test "the units have a watchdog, which wakes an idle vhost hardly ever" {
  local kind switches

  for kind in fpm-waker fpm-waker-native; do
    is "$(systemctl cat "$kind@x.service" | grep ^WatchdogSec=)" WatchdogSec=5min
  done
  many quiet.example StopAfterSec=1h
  contains "$(hello)" "hello from "
  wait_for is_why quiet.example idle
  is "$(systemctl show -P WatchdogUSec "$unit.service")" 5min
  switches=$(grep ^voluntary "/proc/$(main_pid)/status")
  sleep 3 # time is what is tested
  is "$(grep ^voluntary "/proc/$(main_pid)/status")" "$switches"
}
