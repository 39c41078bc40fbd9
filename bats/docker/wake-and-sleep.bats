#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# One vhost in Docker from the first request to sleep and back.

load ../helpers
load waker

setup() { start_vhost_test; }
teardown() { end_vhost_test; }

@test "the first request starts the container, the second finds it, idleness ends it" {
  local before cycle first
  php_vhost --exit-idle-time=500ms
  before=$(socket_as_it_is)
  nothing_runs || fail "a container runs before the first request"

  for cycle in 1 2 3; do
    contains "$(hello)" hello "cycle $cycle: cold"
    first=$(docker ps -q)
    contains "$(hello)" hello "cycle $cycle: warm"
    is "$(docker ps -q)" "$first" "cycle $cycle: the second request had another container"
    wait_for is_asleep
    nothing_runs || fail "cycle $cycle: the container is still there"
    is "$(exit_status)" 0 "cycle $cycle: exit status after idleness"
    is "$(socket_as_it_is)" "$before" "cycle $cycle: the socket changed"
  done
}

@test "idle is counted from the last request, not from the wake" {
  local began n
  php_vhost --exit-idle-time=1500ms
  hello
  first=$(docker ps -q)
  began=$(now_ms)
  for n in 1 2 3 4 5; do
    request "$socket" /var/www/html/hello.php --pause=0.5 >/dev/null
    is "$(docker ps -q)" "$first" "request $n had another container"
  done
  [ $(($(now_ms) - began)) -gt 2000 ] || fail "the requests did not span the idle time"
  began=$(now_ms)
  wait_for is_asleep
  [ $(($(now_ms) - began)) -gt 1000 ] || fail "it slept too early"
}

@test "a long silent request is not idle" {
  echo '<?php sleep(3); echo "slept";' >/srv/www/waker/sleep.php
  php_vhost --exit-idle-time=500ms
  contains "$(request "$socket" /var/www/html/sleep.php)" slept
  wait_for is_asleep
  is "$(exit_status)" 0
}

@test "systemd hears READY when the server takes requests, and the phase before" {
  mkdir -p "$dir/gates"
  chmod 777 "$dir/gates"
  vhost -v "$dir/gates:/gates" --entrypoint "$launcher" php --exit-idle-time=1min -- \
    sh -c 'until [ -e /gates/go ]; do sleep 0.1; done; exec php-fpm'
  start client "$fastcgi" --timeout=60 "$socket" /var/www/html/hello.php
  wait_for says 'Waiting for the server to take requests'
  is "$(systemctl show -P ActiveState "$service")" activating "before the server is there"

  touch "$dir/gates/go"
  wait_for is_waked
  is "$(status_text)" 'Serving requests'
  wait "$pid"
  contains "$(cat "$dir/client.log")" hello
}

@test "a TCP socket, IPv4 and IPv6, works without any network in the container" {
  local address
  php_vhost --exit-idle-time=1min
  systemctl stop waker.socket
  for address in 127.0.0.1:9000 '[::1]:9000'; do
    sed -i "s/^ListenStream=.*/ListenStream=$address/; /^SocketMode\|^SocketGroup/d" \
      /run/systemd/system/waker.socket
    systemctl daemon-reload
    systemctl start waker.socket
    contains "$(request "$address" /var/www/html/hello.php)" hello "$address"
    is "$(docker inspect -f '{{.HostConfig.NetworkMode}}' waker)" none
    systemctl stop waker.socket "$service"
  done
}
