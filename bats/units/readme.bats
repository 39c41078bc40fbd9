#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What README.md tells an administrator to type does what it says.

load ../helpers

readme=$BATS_TEST_DIRNAME/../../README.md

setup() {
  start_test
  load_image php
}

teardown() {
  systemctl stop my-site.socket my-site.service 2>/dev/null || true
  rm -f /run/systemd/system/my-site.{socket,service}
  remove_vhosts my-site.example.com
  docker rm -f fpm-waker-my-site.example.com >/dev/null 2>&1 || true
  rm -rf /var/www/my-site
  systemctl daemon-reload
  end_test
}

# block NAME: the indented lines behind "<!-- tested: NAME -->".
block() {
  awk -v "mark=<!-- tested: $1 -->" '
    $0 == mark { on = 1; next }
    on && /^    / { print substr($0, 5); seen = 1; next }
    on && seen { exit }' "$readme"
}

site() {
  mkdir -p /var/www/my-site
  echo '<?php echo "my site";' >/var/www/my-site/index.php
}

@test "a vhost on a real host" {
  site
  docker tag php php:8.2-fpm
  block conf >/etc/fpm-waker/my-site.example.com.conf
  is "$(grep -c = /etc/fpm-waker/my-site.example.com.conf)" 3
  bash -euc "$(block enable | sed 's/^sudo //')"
  no_container
  contains "$(request /run/fpm-waker/my-site.example.com.sock /var/www/html/index.php --timeout=30)" \
    'my site'
}

@test "status, and a vhost that goes down in steps" {
  site
  docker tag php php:8.2-fpm
  {
    block conf | grep -v '^StopAfterSec='
    block tiers
  } >/etc/fpm-waker/my-site.example.com.conf
  is "$(grep -c = /etc/fpm-waker/my-site.example.com.conf)" 5
  systemctl start fpm-waker@my-site.example.com.socket
  matches "$(eval "$(block status)")" 'my-site\.example\.com +stopped '
  contains "$(request /run/fpm-waker/my-site.example.com.sock /var/www/html/index.php --timeout=30)" \
    'my site'
  matches "$(eval "$(block status)")" 'my-site\.example\.com +hot .* [1-9][0-9]* +[1-9][0-9]* .* idle'
}

@test "a docker run line of one's own" {
  site
  printf '%s\n' '[Socket]' ListenStream=/run/my-site.sock >/run/systemd/system/my-site.socket
  printf '%s\n' '[Service]' Type=notify KillMode=mixed RuntimeDirectory=fpm-waker-handover/my-site \
    RuntimeDirectoryMode=0711 "ExecStart=$(block wrapper | tr -s '\n ' ' ' |
      sed 's/^fpm-waker/\/usr\/bin\/&/; s/ IMAGE / -v \/var\/www\/my-site:\/var\/www\/html php /')" \
    >/run/systemd/system/my-site.service
  systemctl daemon-reload
  systemctl start my-site.socket
  contains "$(request /run/my-site.sock /var/www/html/index.php --timeout=30)" 'my site'
}
