#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Images as people run them, with their own entrypoints and words: each wakes, serves and sleeps,
# and leaves the socket as systemd made it.

load ../helpers

setup() { start_test; }

teardown() {
  remove_vhosts shape
  end_test
}

socket=$(vhost_socket shape)

# sleeps_and_wakes SCRIPT EXPECTED [SECONDS]: the whole life, twice. SCRIPT is the container's path.
sleeps_and_wakes() {
  local before after cycle
  before=$(socket_identity "$socket")
  for cycle in 1 2; do
    no_container || fail "runs without a request"
    contains "$(request "$socket" "$1")" "$2" "cycle $cycle"
    is "$(docker ps -q | wc -l)" 1
    wait_for -t "${3:-15}" sleeps shape
    is "$(systemctl show -P Result fpm-waker@shape.service)" success
    no_container || fail "a container is left: $(docker ps)"
    after=$(socket_identity "$socket")
    is "$after" "$before" "the socket has changed"
    is "$(queue_length "$socket")" 0
    is "$(backlog "$socket")" 4096
  done
  is "$(journal_of fpm-waker@shape.service | grep -m1 -E 'ERROR|WARNING')" ''
}

who='<?php echo "user ", posix_geteuid(), ", pid 1 is ", trim(file_get_contents("/proc/1/comm")), "\n";'

@test "php:fpm" {
  docker_vhost shape php Command='docker-php-entrypoint php-fpm' StopAfterSec=1s
  echo "$who" >/srv/www/shape/who.php
  sleeps_and_wakes /var/www/html/who.php "user 33, pid 1 is php-fpm"
}

@test "php:fpm, its entrypoint given options only" {
  docker_vhost shape php Command='docker-php-entrypoint -d precision=3' StopAfterSec=1s
  echo '<?php echo ini_get("precision");' >/srv/www/shape/precision.php
  sleeps_and_wakes /var/www/html/precision.php 3
}

@test "php:fpm without its entrypoint; with an init before it" {
  docker_vhost shape php Command=php-fpm StopAfterSec=1s
  echo "$who" >/srv/www/shape/who.php
  sleeps_and_wakes /var/www/html/who.php "user 33"
  remove_vhosts shape
  docker_vhost shape php Command='docker-php-entrypoint php-fpm' StopAfterSec=1s \
    Init=yes
  echo "$who" >/srv/www/shape/who.php
  sleeps_and_wakes /var/www/html/who.php "user 33, pid 1 is docker-init"
}

@test "wordpress:fpm installs into its empty volume" {
  # What fpm-waker.conf(5) says for an image that installs its files as root.
  docker_vhost shape wordpress Command='docker-entrypoint.sh php-fpm' StopAfterSec=1s \
    Capability=CHOWN Capability=DAC_OVERRIDE Capability=FOWNER
  is "$(ls /srv/www/shape)" ''
  sleeps_and_wakes /var/www/html/index.php 'WordPress 6.0, running in /var/www/html'
  is "$(stat -c %U /srv/www/shape /srv/www/shape/index.php | sort -u)" www-data
  contains "$(journal_of fpm-waker@shape.service)" 'Complete! WordPress has been'
  is "$(journal_of fpm-waker@shape.service | grep -c 'copying now')" 1 "installed once"
}

@test "wordpress:fpm with another first word installs nothing, as without fpm-waker" {
  docker_vhost shape wordpress StopAfterSec=1s \
    Command='docker-entrypoint.sh /usr/local/sbin/php-fpm'
  echo "$who" >/srv/www/shape/who.php
  sleeps_and_wakes /var/www/html/who.php "user 33"
  is "$(ls /srv/www/shape)" who.php
}

@test "serversideup/php:fpm: no root in it, and a health check that does not keep it awake" {
  docker_vhost shape serversideup Command='entrypoint php-fpm' StopAfterSec=6s
  echo '<?php echo "user ", posix_geteuid(), " greeted ", getenv("GREETED");' \
    >/srv/www/shape/index.php
  sleeps_and_wakes /var/www/html/index.php "user 33 greeted yes" 20
  contains "$(journal_of fpm-waker@shape.service)" 'running as www-data'
}

@test "bitnami/php-fpm: no entrypoint, SIGTERM to stop, pm = ondemand" {
  docker_vhost shape bitnami StopAfterSec=1s Volume=/srv/www/shape:/app \
    Command='php-fpm -F --pid /tmp/php-fpm.pid -y /opt/bitnami/php/etc/php-fpm.conf'
  echo "$who" >/srv/www/shape/who.php
  sleeps_and_wakes /app/who.php "user 1, pid 1 is php-fpm"
}

@test "php:fpm-alpine" {
  docker_vhost shape alpine Command='docker-php-entrypoint php-fpm' StopAfterSec=1s
  echo "$who" >/srv/www/shape/who.php
  sleeps_and_wakes /var/www/html/who.php "user 82, pid 1 is php-fpm"
}
