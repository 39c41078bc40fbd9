#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# fpm-waker@.socket and .service: what is the unit's part in a vhost in Docker.

load ../helpers
load ../unavailable

setup_file() {
  load_image php
}

setup() {
  start_test
  began=$EPOCHREALTIME
}

teardown() {
  if [ -z "${BATS_TEST_COMPLETED:-}" ]; then
    systemctl status --no-pager 'fpm-waker@*' || true
    journalctl -q --no-pager -n 40 -u 'fpm-waker@*' --since="@$began" || true
  fi
  remove_vhosts my-site.example.com
  rm -rf /etc/systemd/system/fpm-waker@my-site.example.com.service.d
  systemctl daemon-reload
  end_test
}

# vhost [LINE...]
vhost() {
  docker_vhost my-site.example.com php 'Command=docker-php-entrypoint php-fpm' "$@"
  unit=fpm-waker@my-site.example.com
  socket=$(vhost_socket my-site.example.com)
  echo '<?php echo "hello from ", getmypid();' >/srv/www/my-site.example.com/hello.php
}

hello() { request "$socket" /var/www/html/hello.php "$@"; }

@test "a vhost in Docker wakes, serves, sleeps after the idle time, and wakes again" {
  vhost StopAfterSec=1s
  before=$(socket_identity "$socket" && backlog "$socket")
  sleeps my-site.example.com || fail "it runs before the first request"
  for _ in 1 2; do
    contains "$(hello)" "hello from "
    contains "$(hello)" "hello from "
    is "$(systemctl show -P ActiveState "$unit.service")" active
    wait_for sleeps my-site.example.com
    is "$(systemctl show -P Result "$unit.service")" success
    is "$(socket_identity "$socket" && backlog "$socket")" "$before"
    no_container || fail "a container is left"
  done
}

@test "in its sandbox, fpm-waker sees programs that a request left running" {
  vhost StopAfterSec=1s
  mkfifo -m 666 /srv/www/my-site.example.com/fifo
  echo '<?php exec("cat fifo >/dev/null 2>&1 &"); echo "left";' >/srv/www/my-site.example.com/leave.php
  contains "$(request "$socket" /var/www/html/leave.php)" left
  wait_for logged 'fpm-waker: still awake: 1 program that requests left running: [0-9]* (cat); '
  contains "$(hello)" "hello from "
  timeout 10 sh -c ': >/srv/www/my-site.example.com/fifo'
  wait_for sleeps my-site.example.com
  is "$(systemctl show -P Result "$unit.service")" success
}

logged() { journal_of "$unit.service" --since="@$began" | grep -q -- "$1"; }

@test "in its sandbox, nothing of the kernel can be written but cgroups" {
  vhost StopAfterSec=infinity
  contains "$(hello)" "hello from "
  run nsenter -m -t "$(systemctl show -P MainPID "$unit.service")" bash -c '
    for path in /sys /sys/kernel /sys/kernel/{debug,tracing} /sys/fs/cgroup /proc/self/oom_score_adj; do
      [ ! -w "$path" ] || echo "$path"
    done
    ls -d /proc/sys /proc/sysrq-trigger /proc/irq /proc/kcore'
  is "$(grep -v '^ls: ' <<<"$output")" $'/sys/fs/cgroup\n/proc/self/oom_score_adj'
}

@test "the drop-in for many awake vhosts: no mounts of its own, and it serves" {
  install -D -m 644 -t /etc/systemd/system/fpm-waker@my-site.example.com.service.d \
    /usr/share/fpm-waker/examples/many-awake.conf
  systemctl daemon-reload
  vhost StopAfterSec=1s
  contains "$(hello)" "hello from "
  is "$(readlink "/proc/$(systemctl show -P MainPID "$unit.service")/ns/mnt")" "$(readlink /proc/1/ns/mnt)"
  wait_for sleeps my-site.example.com
  is "$(systemctl show -P Result "$unit.service")" success
}

@test "in its sandbox, fpm-waker sees that the container is paused, and for how long" {
  local seconds since took
  vhost StopAfterSec=2s
  for seconds in 3.5 1; do
    contains "$(hello)" "hello from "
    docker pause fpm-waker-my-site.example.com >/dev/null
    sleep "$seconds" # time is what is tested
    since=$(now_ms)
    docker unpause fpm-waker-my-site.example.com >/dev/null
    wait_for sleeps my-site.example.com
    took=$(($(now_ms) - since))
    [ "$took" -ge 2000 ] || fail "it slept $took ms after the end of the pause"
    is "$(systemctl show -P Result "$unit.service")" success
  done
}

@test "systemctl reload returns when the new configuration is in force" {
  vhost StopAfterSec=infinity "Volume=$dir/zz.conf:/usr/local/etc/php-fpm.d/zzz.conf"
  echo '<?php echo "limit ", ini_get("memory_limit"), ".";' >/srv/www/my-site.example.com/limit.php
  printf '[www]\nphp_admin_value[memory_limit] = 99M\n' >"$dir/zz.conf"
  for megabytes in 99 100 101 102 103; do
    # In place: the mount is of this very file.
    printf '[www]\nphp_admin_value[memory_limit] = %sM\n' "$megabytes" >"$dir/zz.conf"
    [ "$megabytes" = 99 ] || systemctl reload "$unit.service"
    contains "$(request "$socket" /var/www/html/limit.php)" "limit ${megabytes}M."
  done
  is "$(journal_of "$unit.service" --since="@$began" | grep -c '^Started ')" 1 "starts"
}

@test "systemctl stop waits for the running request" {
  vhost StopAfterSec=infinity
  echo '<?php touch(__DIR__ . "/begun"); sleep(2); echo "complete";' >/srv/www/my-site.example.com/slow.php
  chown 33 /srv/www/my-site.example.com
  contains "$(hello)" "hello from "
  start slow "$fastcgi" "$socket" /var/www/html/slow.php
  wait_for test -e /srv/www/my-site.example.com/begun
  systemctl stop "$unit.service"
  wait "$pid"
  contains "$(cat "$dir/slow.log")" complete
  no_container || fail "a container is left"
}

@test "a container that fails at each start under a flood, once repaired in its conf, is served" {
  vhost StopAfterSec=infinity RetryLimit=100ms
  sed -i 's/^Command=.*/Command=php-fpm --no-such-option/' /etc/fpm-waker/my-site.example.com.conf
  contains "$(hello)" 'Status: 503'
  flood /var/www/html/hello.php
  wait_for logged 'fpm-waker: the server ended with status 64 before it took requests: '
  main=$(systemctl show -P MainPID "$unit.service")
  wait_for -t 60 is_at_attempt_20
  sed -i 's/^Command=.*/Command=docker-php-entrypoint php-fpm/' /etc/fpm-waker/my-site.example.com.conf
  wait_for eval 'hello | grep "hello from "'
  flood_dries
  is "$(journal_of "$unit.service" --since="@$began" | grep -c 'ended with status 64')" 1
  is "$(journal_of "$unit.service" --since="@$began" | grep -c '^Usage: php')" 1
  is "$(systemctl show -P MainPID "$unit.service")" "$main"
}

is_at_attempt_20() { [[ $(systemctl show -P StatusText "$unit.service") == *"attempt 20 is being made" ]]; }

@test "a process left in the unit's cgroup holds up neither the end nor the next start" {
  vhost StopAfterSec=1s
  mkdir -p "/etc/systemd/system/$unit.service.d"
  # Deaf to SIGTERM, and in the unit's cgroup.
  printf '%s\n' '[Service]' "ExecStartPre=sh -c 'trap \"\" TERM HUP; setsid sleep 1000 &'" \
    >"/etc/systemd/system/$unit.service.d/test.conf"
  systemctl daemon-reload
  for _ in 1 2; do
    contains "$(hello)" "hello from "
    wait_for sleeps my-site.example.com
    ! pgrep -f '^sleep 1000' || fail "it is still there"
  done
}
