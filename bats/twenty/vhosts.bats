#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A small web host: twenty vhosts in Docker. Each runs only while somebody asks for it.

load ../helpers

vhosts=()
for number in {01..20}; do
  vhosts+=("site-$number.example.com")
done

setup_file() {
  local name
  for name in "${vhosts[@]}"; do
    docker_vhost "$name" php Command='docker-php-entrypoint php-fpm' StopAfterSec=15s
    echo "<?php echo 'this is $name';" >"/srv/www/$name/index.php"
  done
}

teardown_file() { remove_vhosts "${vhosts[@]}"; }
setup() { start_test; }
teardown() { end_test; }

identities() {
  local name
  for name in "${vhosts[@]}"; do
    socket_identity "$(vhost_socket "$name")"
  done
}

ask() { request "$(vhost_socket "$1")" /var/www/html/index.php --timeout=60; }

@test "none runs at first" {
  no_container
  is "$(systemctl list-units 'fpm-waker@*.socket' --state=active --no-legend | wc -l)" 20
  is "$(systemctl list-units 'fpm-waker@*.service' --state=active --no-legend | wc -l)" 0
  identities >"$BATS_FILE_TMPDIR/identities"
}

@test "each wakes on its own first request, and no other does" {
  local name awake=0
  for name in "${vhosts[@]}"; do
    sleeps "$name" || fail "$name runs before anybody asked for it"
    contains "$(ask "$name")" "this is $name"
    awake=$((awake + 1))
    # The first ones may be asleep again if the machine is slow.
    [ "$(docker ps -q | wc -l)" -le "$awake" ] || fail "more containers than were asked for"
  done
}

@test "all sleep when nobody asks any more: docker ps is empty" {
  local name
  for name in "${vhosts[@]}"; do
    wait_for -t 60 sleeps "$name"
  done
  is "$(docker ps --quiet)" ''
  is "$(systemctl list-units 'fpm-waker@*.service' --state=failed --no-legend)" ''
  is "$(identities)" "$(cat "$BATS_FILE_TMPDIR/identities")" "a socket has changed"
}

@test "all at once: twenty cold starts, none is lost" {
  local name pids=()
  for name in "${vhosts[@]}"; do
    ask "$name" >"$dir/$name" 2>&1 3>&- &
    pids+=($!)
  done
  wait "${pids[@]}"
  for name in "${vhosts[@]}"; do
    contains "$(cat "$dir/$name")" "this is $name"
  done
  is "$(docker ps -q | wc -l)" 20
}

@test "while they sleep, no process of theirs is left" {
  local name
  for name in "${vhosts[@]}"; do
    wait_for -t 60 sleeps "$name"
  done
  is "$(docker ps --quiet)" ''
  is "$(docker ps --all --quiet | wc -l)" 20 "each has its one container, stopped"
  is "$(pgrep -lx 'php-fpm.*|fpm-waker|fpm-docker|fpm-launcher|containerd-shim.*' || true)" ''
}
