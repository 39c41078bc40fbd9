#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# fpm-waker is killed: the container drains and ends by itself, the next start replaces it.

load ../helpers
load waker

setup() { start_vhost_test; }
teardown() { end_vhost_test; }

@test "SIGKILL of fpm-waker under load loses nothing, and the vhost goes on" {
  local waker killed=0
  php_vhost --exit-idle-time=1min
  start_load 8
  while [ $((killed += 1)) -le 4 ]; do
    waker=$(master_of_service)
    kill -KILL "$waker"
    wait_for is_gone "$waker"
    wait_for is_waked
  done
  load_lost_nothing
}

@test "the container of a killed fpm-waker finishes its requests and ends" {
  echo '<?php sleep(2); echo "slept";' >/srv/www/waker/sleep.php
  php_vhost --exit-idle-time=1min
  hello
  start client "$fastcgi" "$socket" /var/www/html/sleep.php
  wait_for eval '[ "$(queue_length "$socket")" = 0 ] && pgrep -f "$fastcgi.*sleep.php"'
  systemctl stop waker.socket
  kill -KILL "$(master_of_service)"
  wait "$pid" || fail "the request was lost: $(cat "$dir/client.log")"
  contains "$(cat "$dir/client.log")" slept
  wait_for nothing_runs
}

@test "a container that was created and never started does not block the name" {
  php_vhost --exit-idle-time=1min
  docker create --rm --name waker php >/dev/null
  contains "$(hello)" hello
  wait_for logged 'which was not running'
}

@test "a start waits until the former container has ended" {
  php_vhost --exit-idle-time=1min
  docker run -d --rm --name waker --entrypoint sleep php 600 >/dev/null
  start client "$fastcgi" --timeout=60 "$socket" /var/www/html/hello.php
  wait_for says 'Waiting for the former container to end'
  docker rm -f waker >/dev/null
  wait "$pid" || fail "the request was lost: $(cat "$dir/client.log")"
  contains "$(cat "$dir/client.log")" hello
}

@test "a stop while it waits for the former container ends at once and leaves that alone" {
  local former
  php_vhost --exit-idle-time=1min
  former=$(docker run -d --rm --name waker --entrypoint sleep php 600)
  systemctl start --no-block "$service"
  wait_for says 'Waiting for the former container to end'
  systemctl stop waker.socket "$service"
  is "$(systemctl show -P Result "$service")" success
  is "$(docker inspect -f '{{.State.Running}}' "$former")" true
}
