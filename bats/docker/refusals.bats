#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What cannot work is said in one line and with the status of fpm-waker(8). The passed socket is
# untouched: once the cause is gone, the next request is served. (Without further attempts: those
# are in failing.bats.)

load ../helpers
load waker

setup() {
  start_vhost_test
  run_options=--retry-limit=0
}

teardown() {
  systemctl start docker
  end_vhost_test
}

# fails_with STATUS TEXT: the next start of the service does.
fails_with() {
  local before
  before=$(socket_as_it_is)
  systemctl start "$service" 2>/dev/null && fail "it started"
  is "$(exit_status)" "$1"
  is "$(log_of_test | grep -c "^fpm-waker: ")" 1 "lines of fpm-waker: $(log_of_test)"
  contains "$(log_of_test | grep '^fpm-waker: ')" "$2"
  is "$(socket_as_it_is)" "$before" "the socket"
  is "$(queue_length "$socket")" 0 "connections in the queue"
}

# run_waker WORD...: outside of a unit. Sets $status and $output.
run_waker() {
  run env -u LISTEN_FDS -u LISTEN_PID fpm-waker "$@"
  is "${#lines[@]}" 1 "lines: $output"
}

@test "Docker is not running" {
  php_vhost
  systemctl stop docker.socket docker
  fails_with 8 'fpm-waker: the engine is not reachable: Cannot connect to the Docker daemon at unix:///var/run/docker.sock'
  systemctl start docker
  contains "$(hello)" hello
}

@test "the image is missing" {
  vhost --entrypoint "$launcher" no-such-image -- php-fpm
  fails_with 9 'fpm-waker: the image is missing: Error response from daemon: No such image: no-such-image:latest'
}

@test "Docker refuses the container" {
  vhost --network=no-such-network --entrypoint "$launcher" php -- php-fpm
  fails_with 9 'fpm-waker: the engine refused the container: '
}

@test "the launcher is not mounted, or is not the entrypoint" {
  vhost --entrypoint /no/such/launcher php -- php-fpm
  fails_with 127 'fpm-waker: docker ended with status 127 before fpm-launcher had the sockets'
}

@test "the server in the container is missing" {
  vhost --entrypoint "$launcher" php -- no-such-server
  systemctl start "$service" 2>/dev/null && fail "it started"
  is "$(exit_status)" 127
  wait_for logged no-such-server
}

@test "the engine's client itself is missing or not executable" {
  php_vhost
  sed -i 's,-- docker run,-- /no/such/docker run,' /run/systemd/system/waker.service
  systemctl daemon-reload
  systemctl start "$service" 2>/dev/null && fail "it started"
  is "$(exit_status)" 127
  wait_for logged 'fpm-waker: cannot execute /no/such/docker: No such file or directory'
}

@test "no socket is passed, or nonsense" {
  run_waker run --vhost=site -- docker run php
  is "$status" 3 "$output"
  contains "$output" 'fpm-waker: no socket passed (LISTEN_FDS is not set)'

  run env LISTEN_FDS=nonsense LISTEN_PID=1 fpm-waker run --vhost=site -- docker run php
  is "$status" 4 "$output"
  contains "$output" 'LISTEN_FDS'

  # Descriptor 3 is a file.
  run bash -c 'exec 3</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec fpm-waker run --vhost=site -- true'
  is "$status" 4 "$output"
  contains "$output" 'is not a listening stream socket'
}

@test "wrong usage" {
  local words
  while read -r words; do
    # shellcheck disable=SC2086 # words they are
    run_waker $words
    is "$status" 2 "fpm-waker $words: $output"
    matches "$output" '^fpm-waker: ' "fpm-waker $words"
  done <<'WORDS'

nonsense
--nonsense
run
run --nonsense
run --vhost
run --vhost= -- true
run --vhost=../etc -- true
run --vhost=a/b
run --vhost=.hidden
run --conf=/x -- true
run --handover=relative -- true
run --vhost=site --retry-limit=soon -- true
run -- true
WORDS
}

@test "help and version" {
  run fpm-waker --help
  is "$status" 0
  contains "$output" 'fpm-waker SUBCOMMAND'
  run fpm-waker run --help
  is "$status" 0
  contains "$output" '--handover=PATH'
  run fpm-waker --version
  is "$status" 0
  matches "$output" '^fpm-waker [0-9]+\.[0-9]+\.[0-9]+$'
  run bash -c 'fpm-waker --help >/dev/full'
  is "$status" 1
}
