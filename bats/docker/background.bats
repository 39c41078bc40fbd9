#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Programs that a request left running in a container hold it awake: as long as they run, up to a
# limit. What else runs there does not.

load ../helpers
load waker

setup() {
  start_vhost_test
  # Runs a command and does not wait for it.
  echo '<?php exec("$_GET[run] >/dev/null 2>&1 &"); echo "left";' >/srv/www/waker/leave.php
  # Whoever opens it waits for release.
  mkdir -m 711 "$dir/gates"
  mkfifo -m 666 "$dir/gates/fifo"
}

teardown() { end_vhost_test; }

# gates_vhost WORD...: vhost() with the fifo in it, as /gates/fifo.
gates_vhost() { vhost -v "$dir/gates:/gates" "$@"; }

# leave_running COMMAND: by a request. Sets $program, the pid of what waits at the fifo.
leave_running() {
  contains "$(request "$socket" /var/www/html/leave.php "--param=QUERY_STRING=run=${1// /+}" \
    --timeout=30)" left
  wait_for waits_at_fifo
  program=$(at_fifo)
}

at_fifo() {
  local process
  for process in $(pgrep -f /gates/fifo); do
    ! grep -qs wait_for_partner "/proc/$process/wchan" || echo "$process"
  done
}
waits_at_fifo() { [ -n "$(at_fifo)" ]; }
release() { timeout 10 sh -c ': >"$0"' "$dir/gates/fifo"; }

# held [LIMIT]: fpm-waker has said, once, that $program is what it waits for.
held() {
  wait_for logged 'still awake'
  is "$(log_of_test | grep 'still awake')" "fpm-waker: still awake: 1 program that requests left \
running: $program (cat); the background limit is ${1:-3600} s after the last request"
}

sleeps_after_release() {
  release
  wait_for is_asleep
  is "$(exit_status)" 0
  is "$(log_of_test | grep -c 'background limit')" 1
}

@test "a container whose first process is php-fpm, and so gets all orphans" {
  local first
  gates_vhost --entrypoint "$launcher" php --exit-idle-time=300ms -- php-fpm
  leave_running 'cat /gates/fifo'
  held
  is "$(ps -o ppid= "$program" | tr -d ' ')" "$(docker inspect -f '{{.State.Pid}}' waker)"
  first=$(docker ps -q)
  contains "$(hello)" hello
  is "$(docker ps -q)" "$first" "the container"
  sleeps_after_release
}

@test "behind an init, in all confinement, and a program that is a session of its own" {
  gates_vhost --init --user 33:33 --cap-drop=ALL --security-opt=no-new-privileges --read-only \
    --tmpfs /tmp --entrypoint "$launcher" php --exit-idle-time=300ms -- php-fpm
  leave_running 'setsid cat /gates/fifo'
  held
  sleeps_after_release
}

@test "what the entrypoint starts before the server does not hold it, nor what that starts" {
  gates_vhost --entrypoint "$launcher" php --exit-idle-time=500ms -- \
    sh -c 'sleep 1000 & while :; do cat /gates/fifo; sleep 0.05; done & exec php-fpm'
  contains "$(hello)" hello
  wait_for is_asleep
  is "$(exit_status)" 0
  is "$(log_of_test | grep -c 'still awake')" 0
}

@test "a zombie that nobody waits for does not hold it" {
  gates_vhost -v "$build/test/background-test:/init:ro" --entrypoint "$launcher" php \
    --exit-idle-time=1s -- /init lazy-init php-fpm
  leave_running 'cat /gates/fifo'
  held
  release
  wait_for is_zombie "$program"
  wait_for is_asleep
  is "$(exit_status)" 0
}

is_zombie() { [ "$(ps -o stat= "$1" | cut -c 1)" = Z ]; }

@test "docker exec holds it as long as it runs" {
  gates_vhost --entrypoint "$launcher" php --exit-idle-time=3s -- php-fpm
  contains "$(hello)" hello
  start exec docker exec waker cat /gates/fifo
  wait_for waits_at_fifo
  program=$(at_fifo)
  held
  sleeps_after_release
}

@test "when the limit is over, the log names what is cut off" {
  gates_vhost --entrypoint "$launcher" php --exit-idle-time=300ms --background-limit=1500ms -- php-fpm
  leave_running 'cat /gates/fifo'
  held 1.5
  wait_for is_asleep
  is "$(exit_status)" 0
  is_gone "$program" || fail 'the program survived its container'
  is "$(log_of_test | grep 'is over')" "fpm-waker: the background limit of 1.5 s is over: \
stopping, and cutting off 1 program that requests left running: $program (cat)"
}

@test "a limit of 0: no program holds it" {
  gates_vhost --entrypoint "$launcher" php --exit-idle-time=300ms --background-limit=0 -- php-fpm
  leave_running 'cat /gates/fifo'
  wait_for is_asleep
  is "$(exit_status)" 0
  is "$(log_of_test | grep -c 'still awake\|background limit')" 0
}

@test "a reload leaves the program alone, and it holds the container on" {
  gates_vhost --entrypoint "$launcher" php --exit-idle-time=1s -- php-fpm
  leave_running 'cat /gates/fifo'
  systemctl reload "$service"
  wait_for says 'Serving requests'
  held
  sleeps_after_release
}

@test "the stop does not wait for it" {
  local since
  gates_vhost --entrypoint "$launcher" php --exit-idle-time=1min -- php-fpm
  leave_running 'cat /gates/fifo'
  since=$(now_ms)
  systemctl stop waker.socket "$service"
  [ $(($(now_ms) - since)) -lt 5000 ] || fail "$(($(now_ms) - since)) ms"
  is "$(exit_status)" 0
  is_gone "$program" || fail 'the program survived its container'
}
