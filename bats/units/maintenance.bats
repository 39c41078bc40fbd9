#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# fpm-waker maintenance: 503 on purpose. (Whether the vhost runs or sleeps, in each engine:
# bats/scenarios/maintenance.bats.)

load ../helpers
load ../unavailable

name=my-site.example.com
unit=fpm-waker@$name
socket=$(vhost_socket $name)
site=/srv/www/$name

setup() {
  start_test
  docker_vhost "$name" php 'Command=docker-php-entrypoint php-fpm' StopAfterSec=infinity
  echo '<?php echo "hello";' >"$site/hello.php"
}

teardown() {
  [ -n "${BATS_TEST_COMPLETED:-}" ] || journal_of "$unit.service"
  remove_vhosts "$name"
  rm -rf "/run/systemd/system/$unit.service.d"
  systemctl daemon-reload
  rm -f "/etc/fpm-waker/$name".*
  end_test
}

switch() { fpm-waker maintenance "$name" "$1"; }
hello() { request "$socket" /var/www/html/hello.php; }
says() { [ "$(systemctl show -P StatusText "$unit.service")" = "$1" ]; }
is_served() { contains "$(hello)" hello; }

@test "a file made or removed by other means is heeded at a reload, and nobody watches for it" {
  is_served
  # Of all that root runs, 128 processes may watch files: an awake vhost is none of them.
  is "$(find "/proc/$(systemctl show -P MainPID "$unit.service")/fd" -lname '*inotify*')" ''
  : >"/etc/fpm-waker/$name.maintenance"
  systemctl reload "$unit.service"
  wait_for says 'In maintenance'
  unavailable 60
  rm "/etc/fpm-waker/$name.maintenance"
  systemctl reload "$unit.service"
  is_served
}

@test "a page of one's own is shown, always the newest" {
  switch on
  unavailable 60
  echo '<p>Back at noon' >"/etc/fpm-waker/$name.maintenance.html"
  unavailable 60 '<p>Back at noon'
  echo '<p>Back at one' >"/etc/fpm-waker/$name.maintenance.html"
  unavailable 60 '<p>Back at one'
  : >"/etc/fpm-waker/$name.maintenance.html"
  unavailable 60
}

@test "a vhost that cannot start is not tried any more, until it shall be" {
  sed -i 's/^Image=.*/Image=no-such-image/' "/etc/fpm-waker/$name.conf"
  contains "$(hello)" 'Status: 503'
  unavailable '[12]'
  switch on
  wait_for says 'In maintenance'
  unavailable 60
  sed -i 's/^Image=.*/Image=php/' "/etc/fpm-waker/$name.conf"
  switch off
  wait_for is_served
}

@test "while it starts: no container goes on" {
  printf '%s\n' 'Command=sh -c "sleep 600; exec php-fpm"' Image=php >"/etc/fpm-waker/$name.conf"
  start client "$fastcgi" --timeout=60 "$socket" /var/www/html/hello.php
  wait_for says 'Waiting for the server to take requests'
  switch on
  wait "$pid"
  contains "$(cat "$dir/client.log")" 'Status: 503'
  no_container
  unavailable 60
}

@test "switched twice, or for what is not there" {
  switches() { # STATUS OUTPUT WORD...
    run fpm-waker maintenance "${@:3}"
    is "$status $output" "$1 $2" "${*:3}"
  }
  switches 0 "fpm-waker: maintenance of $name is off already" "$name" off
  switches 0 '' "$name" on
  switches 0 "fpm-waker: maintenance of $name is on already" "$name" on
  switches 0 '' "--conf=/etc/fpm-waker/$name.conf" off
  switches 7 'fpm-waker: unknown vhost: /etc/fpm-waker/none.conf: No such file or directory' none on
  switches 2 'fpm-waker: maintenance is on or off, not maybe' "$name" maybe
  switches 2 'fpm-waker: a vhost and on or off, see fpm-waker maintenance --help' "$name"
  switches 2 'fpm-waker: wrong option --nonsense, see fpm-waker maintenance --help' --nonsense
  matches "$(fpm-waker maintenance ../etc on 2>&1)" 'not the name of a vhost'
}
