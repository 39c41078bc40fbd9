#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Resident mode in a container that nobody but the engine looks after: the launcher is its init.

load ../helpers

setup() {
  start_test
  load_image php
  socket=$dir/www.sock
  page hello.php <<<'<?php echo "hello";'
  page nap.php <<<'<?php touch("/out/began"); sleep(2); echo "slept";'
  mkdir -m 777 "$dir/out"
}

teardown() {
  [ -n "${BATS_TEST_COMPLETED:-}" ] || docker logs resident
  docker rm -f resident >/dev/null 2>&1 || true
  end_test
}

# resident [OPTION...] -- OPTION...: options of `docker run`, and of the launcher.
resident() {
  local options=()
  while [ "$1" != -- ]; do
    options+=("$1")
    shift
  done
  docker run -d --name resident --network=none --pull=never -v /usr/lib/fpm-waker:/fpm-waker:ro \
    -v "$dir:/run/php" -v "$dir/out:/out" -v "$dir/www:/var/www/html:ro" "${options[@]}" \
    --entrypoint /fpm-waker/fpm-launcher php --resident --listen=/run/php/www.sock \
    --liveness=/run/php/live.sock "${@:2}" -- docker-php-entrypoint php-fpm >/dev/null
  wait_for test -S "$dir/live.sock"
}

# What runs in the container besides the launcher and an init in front.
processes() { docker top resident -eo pid,args | tail -n +2 | grep -vE 'fpm-launcher|docker-init'; }
is_asleep() { [ -z "$(processes)" ]; }
alive() { curl -s --unix-socket "$dir/live.sock" http://resident/; }
asks() { request "$socket" "/var/www/html/$1" --timeout=30; }
runs() { docker logs resident 2>&1 | grep -c 'ready to handle connections'; }
state() { docker inspect -f "{{.State.$1}}" resident; }

# lives OPTION...: a whole life, with these options of `docker run`.
lives() {
  local began client
  resident "$@" -- --exit-idle-time=1s
  is_asleep
  is "$(alive)" asleep
  docker kill -s HUP resident >/dev/null
  contains "$(asks hello.php)" hello
  is "$(alive)" awake
  docker kill -s USR2 resident >/dev/null
  contains "$(asks hello.php)" hello
  wait_for is_asleep
  is "$(alive)" asleep
  contains "$(asks hello.php)" hello
  start client "$fastcgi" --expect=slept "$socket" /var/www/html/nap.php
  client=$pid
  wait_for test -e "$dir/out/began"
  began=$(now_ms)
  docker stop -t 30 resident >/dev/null
  [ $(($(now_ms) - began)) -lt 10000 ] || fail "the stop took $(($(now_ms) - began)) ms"
  wait "$client" || fail 'the request was cut off'
  is "$(state ExitCode)" 0
}

@test "it wakes, sleeps and wakes, and docker stop waits for the request" { lives; }

@test "without root, capabilities and a writable image" {
  chmod 777 "$dir"
  lives --user 33 --read-only --tmpfs /tmp --cap-drop=ALL --security-opt=no-new-privileges
}

@test "docker's own init in front" { lives --init; }

@test "docker stop while it sleeps is immediate" {
  local began
  resident -- --exit-idle-time=1s
  began=$(now_ms)
  docker stop -t 30 resident >/dev/null
  [ $(($(now_ms) - began)) -lt 5000 ] || fail "it took $(($(now_ms) - began)) ms"
  is "$(state ExitCode)" 0
}

# words KEY: those of a list in the manual's examples.
words() { sed -n "/^ *$1: \\[/,/\\]/p" "$tree/man/fpm-launcher.1" | tr -d '\n' | sed 's/.*\[//; s/\].*//; s/, */\n/g'; }

@test "the words of the manual's examples" {
  local key words here
  for key in entrypoint command; do
    mapfile -t words < <(words "$key")
    is "${words[0]} ${words[-1]}" '/fpm-waker/fpm-launcher docker-php-entrypoint'
    docker run -d --name resident --network=none --pull=never -v /usr/lib/fpm-waker:/fpm-waker:ro \
      -v "$dir/www:/var/www/html:ro" --entrypoint "${words[0]}" php "${words[@]:1}" php-fpm >/dev/null
    here=(nsenter -n -t "$(state Pid)")
    is "$("${here[@]}" curl -s --retry 20 --retry-connrefused http://127.0.0.1:9001/)" asleep
    contains "$("${here[@]}" "$fastcgi" 127.0.0.1:9000 /var/www/html/hello.php)" hello
    is "$("${here[@]}" curl -s http://127.0.0.1:9001/)" awake
    docker rm -f resident >/dev/null
  done
}
