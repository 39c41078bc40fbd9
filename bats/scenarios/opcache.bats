#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# OpcacheFileCache=: what PHP has compiled outlives the stop, the same in every engine, and nobody else
# gets to it.

load ../helpers
load ../podman/podman
load engines

setup_file() { prepare_engines; }

setup() {
  start_test
  export began=$EPOCHREALTIME
}

teardown() {
  remove_engine_vhost
  clean
  end_test
}

# script CONTENT TIME: OPcache does not keep files that are just being written.
script() {
  echo "<?php echo '$1';" >"$www/page.php"
  touch -d "$2" "$www/page.php"
}

answers() { contains "$(request "$socket" "$scripts/page.php" --timeout=40)" "$1"; }

cache_of_vhost() {
  if [ "$owner" = user ]; then
    echo "/home/waker/.cache/fpm-waker/$vhost"
  else
    echo "/var/cache/fpm-waker/$vhost"
  fi
}

# A user's files in a container are those of users below.
clean() {
  if [ "$owner" = user ]; then
    as_owner podman unshare rm -rf "$(cache_of_vhost)"
  else
    manager clean --what=cache "$unit.service"
  fi
}

kept() { find -L "$(cache_of_vhost)" -name 'page.php.bin' -printf '%i %p\n'; }
as_nobody() { setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"; }

keeps_files() {
  local before
  engine_vhost "$1" StopAfterSec=infinity OpcacheFileCache=yes
  script one 2020-01-01
  answers one
  before=$(kept)
  is "$(wc -l <<<"$before")" 1 "files kept"
  manager stop "$unit.service"
  is "$(kept)" "$before" "after the stop"

  # That they are used shows a change that cannot be seen.
  script two 2020-01-01
  answers one
  is "$(kept)" "$before" "after the wake"
  manager reload "$unit.service"
  answers one

  script three 2020-01-02
  manager reload "$unit.service"
  answers three
  manager stop "$unit.service"
  answers three
}

is_closed() {
  local directory
  directory=$(cache_of_vhost)
  is "$(stat -L -c %a "$directory")" 700
  [ -n "$(find -L "$directory" -name 'opcache*')" ] || fail "nothing is in $directory"
  ! as_nobody ls "$directory/" 2>/dev/null || fail "nobody may look into $directory"
  ! as_nobody touch "$directory"/opcache*/x 2>/dev/null || fail "nobody may write to it"
}

is_cleaned() {
  manager stop "$unit.service"
  clean
  [ ! -e "$(cache_of_vhost)/" ] || fail "still there: $(find -L "$(cache_of_vhost)")"
  script four 2020-01-02
  answers four
}

@test "docker: OPcache's files outlive stop and reload, of each image its own" {
  keeps_files docker
  is_closed
  contains "$(kept)" "/opcache-$(docker image inspect -f '{{slice .Id 7 19}}' php)/"
  is_cleaned
}

@test "podman: OPcache's files outlive stop and reload" {
  keeps_files podman
  is_closed
  is_cleaned
}

@test "rootless podman: OPcache's files outlive stop and reload" {
  keeps_files rootless
  is_closed
  is_cleaned
}

@test "nspawn: OPcache's files outlive stop and reload" {
  keeps_files nspawn
  is_closed
  is_cleaned
}

@test "native: OPcache's files outlive stop and reload" {
  keeps_files native
  is_closed
  is_cleaned
}

@test "without the key nothing is kept, and PHP is asked for nothing" {
  engine_vhost docker StopAfterSec=infinity
  script one 2020-01-01
  answers one
  is "$(find "/var/cache/fpm-waker/$vhost/" -mindepth 1)" ''
  lacks "$(docker inspect "fpm-waker-$vhost")" opcache
}

@test "a container whose php-fpm is not root, and one whose server is light" {
  engine_vhost docker StopAfterSec=infinity LightAfterSec=200ms User=1234:1234 OpcacheFileCache=yes
  script one 2020-01-01
  answers one
  is "$(kept | wc -l)" 1
  wait_for is_light
  script two 2020-01-01
  answers one
}
is_light() { status_text | grep -q '^Light since'; }
