#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The same shim, built with glibc's headers, in an image where every program is linked with musl
# (bats/images/alpine). A shim that needs glibc breaks every program there.

load ../helpers

setup_file() {
  load_image alpine
}

setup() { start_test; }

teardown() {
  remove_vhosts musl
  end_test
}

socket=$(vhost_socket musl)

# alpine [DOCKER-OPTION...] -- CMD...: in a container, with the shim in LD_PRELOAD or without
with_shim() { run_alpine --env=LD_PRELOAD=/fpm-waker/libfpm-waker.so "$@"; }
run_alpine() { docker run --rm --network=none --volume=/usr/lib/fpm-waker:/fpm-waker:ro "$@"; }

@test "the image is musl's: no glibc in it, the shim loads" {
  is "$(run_alpine alpine sh -c 'ls /lib')" "ld-musl-$(uname -m).so.1"
  # What is mapped into a program there: the shim, and no library but musl.
  run -0 with_shim alpine cat /proc/self/maps
  contains "$output" libfpm-waker.so
  contains "$output" ld-musl
}

@test "programs behave as without the shim: sh, tar, id, env, php-fpm -v and -t" {
  local command
  for command in 'sh --help' 'echo $((6 * 7)); ls /; exit 3' 'tar -c -f - /usr | tar -t -f -' \
    'id; id nobody' 'find /usr/local | sort' 'php-fpm -v' 'php-fpm -t' 'php-fpm -i' \
    'php-fpm --nonsense' 'cat /none' 'x=$(sh -c "echo inner"); echo "$x" | grep inn'; do
    run --separate-stderr run_alpine alpine sh -c "$command"
    without="$status $output $stderr"
    run --separate-stderr with_shim alpine sh -c "$command"
    is "$(neutral "$status $output $stderr")" "$(neutral "$without")" "$command"
  done
}

# Takes away what differs from run to run: times, the container's name, and the variable itself.
neutral() {
  sed -E '/LD_PRELOAD/d; /HOSTNAME|REQUEST_TIME|^System =>/d; s/[0-9]{2}:[0-9]{2}:[0-9]{2}//' <<<"$1"
}

@test "wakes, serves, reloads and sleeps" {
  docker_vhost musl alpine Command='docker-php-entrypoint php-fpm' StopAfterSec=2s
  echo '<?php echo "served by ", getmypid();' >/srv/www/musl/index.php
  before=$(socket_identity "$socket")
  contains "$(request "$socket" /var/www/html/index.php)" 'served by'
  start hammer "$fastcgi" --clients=3 --duration=3 --expect='served by' "$socket" \
    /var/www/html/index.php
  systemctl reload fpm-waker@musl.service
  systemctl reload fpm-waker@musl.service
  wait "$pid"
  matches "$(cat "$dir/hammer.log")" '^ok [0-9]+ lost 0 '
  wait_for -t 20 sleeps musl
  no_container
  is "$(socket_identity "$socket")" "$before"
  contains "$(request "$socket" /var/www/html/index.php)" 'served by'
}

@test "large bodies both ways" {
  docker_vhost musl alpine Command='docker-php-entrypoint php-fpm -d post_max_size=10M' \
    StopAfterSec=1min
  head -c 5000000 /dev/urandom >"$dir/body"
  printf '%s' '<?php echo md5(file_get_contents("php://input")), PHP_EOL;
    for ($i = 0; $i < 20; $i++) echo str_repeat(chr(65 + $i), 1000000);' >/srv/www/musl/large.php
  request "$socket" /var/www/html/large.php --body="$dir/body" >"$dir/response"
  contains "$(head -c 400 "$dir/response")" "$(md5sum <"$dir/body" | cut -d' ' -f1)"
  is "$(tail -c 20000000 "$dir/response" | tr -d A-T | wc -c)" 0
}

@test "programs that PHP starts see nothing of ours" {
  docker_vhost musl alpine Command='docker-php-entrypoint php-fpm' StopAfterSec=1min \
    Environment=OWN=kept
  echo '<?php echo shell_exec("env; ls -l /proc/self/fd; cat /proc/self/maps");' \
    >/srv/www/musl/child.php
  run -0 request "$socket" /var/www/html/child.php
  contains "$output" OWN=kept
  lacks "$output" FPM_WAKER
  lacks "$output" LD_PRELOAD
  lacks "$output" LISTEN_
  lacks "$output" FPM_SOCKETS
  lacks "$output" libfpm-waker
  lacks "$output" memfd
  lacks "$output" eventfd
}

says() { journal_of fpm-waker@musl.service | grep -Fq "$1"; }

@test "a wrong pool fails the start, and says which" {
  docker_vhost musl alpine Command='docker-php-entrypoint php-fpm' StopAfterSec=1min \
    Volume=/srv/two.conf:/usr/local/etc/php-fpm.conf:ro
  printf '%s\n' '[global]' 'error_log = /proc/self/fd/2' 'daemonize = no' '[one]' \
    'listen = 9001' 'user = www-data' 'pm = static' 'pm.max_children = 1' \
    '[two]' 'listen = /run/two.sock' 'user = www-data' 'pm = static' 'pm.max_children = 1' \
    >/srv/two.conf
  before=$(socket_identity "$socket")
  run request "$socket" /var/www/html/index.php --timeout=3
  wait_for says 'fpm-waker: pool [two] listens on /run/two.sock'
  says "passed: $socket"
  is "$(socket_identity "$socket")" "$before"
}
