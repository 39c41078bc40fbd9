#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A server that cannot start: each request gets a 503 with Retry-After at once, and is served once
# the cause is gone. Nobody has to reset anything.

load ../helpers
load waker
load ../unavailable

setup() { start_vhost_test; }

teardown() {
  systemctl start docker
  docker rmi late >/dev/null 2>&1 || true
  end_vhost_test
}

# fails REASON: the first request makes the first attempt, and gets its 503 when that has failed.
fails() {
  contains "$(hello)" 'Status: 503 Service Unavailable'
  wait_for says_next_attempt "$1"
}

says_next_attempt() { [[ $(status_text) == "Failing: $1"*"; next attempt in "*" s" ]]; }

# Within the back-off.
is_served_again() {
  wait_for -t 10 served
  is "$(is_waked && echo yes)" yes
}

served() { hello | grep -qx hello; }

# said N REASON: that many lines.
said() { is "$(log_of_test | grep -c "^fpm-waker: $2")" "$1" "lines: $(log_of_test)"; }

@test "the image is missing, until it is there" {
  local before
  vhost --entrypoint "$launcher" late -- php-fpm
  before=$(socket_as_it_is)
  fails 'the image is missing: '
  unavailable '[12]'
  docker tag php late
  is_served_again
  said 1 'the image is missing: Error response from daemon: No such image: late:latest'
  is "$(socket_as_it_is)" "$before" "the socket"
}

@test "php-fpm refuses its configuration, then for another reason, until it is right" {
  printf '[www]\nno_such_key = 1\n' >"$dir/zzz.conf"
  vhost -v "$dir/zzz.conf:/usr/local/etc/php-fpm.d/zzz.conf:ro" --entrypoint "$launcher" php \
    --exit-idle-time=1min -- php-fpm
  fails 'the server ended with status 78 before it took requests: ERROR: '
  unavailable '[12]'
  wait_for says_next_attempt_in 2
  said 1 'the server ended with status 78 before it took requests: ERROR: '
  is "$(log_of_test | grep -c 'ERROR: FPM initialization failed')" 1 "$(log_of_test)"
  # In place: the mount is of this very file.
  printf '[www]\npm = nonsense\n' >"$dir/zzz.conf"
  wait_for logged 'ERROR: [/usr/local/etc/php-fpm.d/zzz.conf:2] unable to parse'
  unavailable '[1-4]'
  echo '[www]' >"$dir/zzz.conf"
  is_served_again
  said 2 'the server ended with status 78 before it took requests: ERROR: '
  # What it wrote itself, too.
  is "$(log_of_test | grep -c 'ERROR: FPM initialization failed')" 2 "$(log_of_test)"
}

@test "the engine is stopped, until it is started" {
  php_vhost --exit-idle-time=1min
  systemctl stop docker.socket docker
  fails 'the engine is not reachable: '
  unavailable '[12]'
  systemctl start docker
  is_served_again
  said 1 'the engine is not reachable: '
}

@test "an engine that only just restarts costs no request an answer" {
  cat >"$dir/engine" <<'ENGINE'
#!/bin/sh
if mkdir "$0.gone" 2>/dev/null; then
  echo 'docker: error during connect: Post "http://%2Fvar%2Frun%2Fdocker.sock/v1.45/start": EOF.' >&2
  exit 125
fi
exec docker "$@"
ENGINE
  chmod 755 "$dir/engine"
  docker_run=$dir/engine${docker_run#docker}
  php_vhost
  contains "$(hello)" hello
  [ -d "$dir/engine.gone" ]
  said 1 'ready after '
  said 1 ''
}

@test "the hand-over is refused, until the launcher is the right one" {
  vhost -v "$dir:/gates" --entrypoint sh php -c \
    "cp $launcher /tmp/other; echo >>/tmp/other; [ ! -e /gates/right ] || exec $launcher -- php-fpm;
    exec /tmp/other --handover=/fpm-waker/run/handover --preload=/fpm-waker/libfpm-waker.so -- php-fpm"
  contains "$(hello)" 'Status: 503 Service Unavailable'
  wait_for logged 'it is not fpm-launcher'
  wait_for eval '[[ $(status_text) == *"; next attempt in 4 s" ]]'
  is "$(log_of_test | grep -c 'it is not fpm-launcher')" 1
  unavailable '[1-4]'
  touch "$dir/right"
  is_served_again
}

@test "the server dies in its start for lack of memory, until it has enough" {
  echo 80000 >"$dir/limit"
  vhost -v "$dir:/gates" --entrypoint "$launcher" php -- \
    sh -c 'ulimit -v "$(cat /gates/limit)"; exec php-fpm'
  fails 'the server ended with status '
  unavailable '[12]'
  echo unlimited >"$dir/limit"
  is_served_again
}

@test "a crash loop under a flood: each request is answered, within a second, and then served" {
  run_options=--retry-limit=100ms
  touch "$dir/broken"
  chmod 777 "$dir"
  vhost -v "$dir:/gates" --entrypoint "$launcher" php --exit-idle-time=1min -- \
    sh -c 'echo >>/gates/starts; [ ! -e /gates/broken ] || exit 3; exec php-fpm'
  contains "$(hello)" 'Status: 503 Service Unavailable'
  flood /var/www/html/hello.php
  wait_for -t 120 has_started 20
  unavailable 1
  rm "$dir/broken"
  is_served_again
  flood_dries
  said 1 'the server ended with status 3 before it took requests'
  is "$(systemctl show -P NRestarts "$service")" 0
}

has_started() { [ "$(wc -l <"$dir/starts")" -ge "$1" ]; }

@test "a server that takes requests and dies at once, again and again, is given more and more time" {
  vhost -v "$dir:/gates" --entrypoint "$launcher" php --exit-idle-time=1min -- \
    sh -c 'php-fpm & [ -e /gates/right ] || { sleep 1; kill -KILL $!; }; wait $!'
  contains "$(hello)" hello
  wait_for says_next_attempt 'the server ended with status 137'
  unavailable '[12]'
  wait_for says 'Failing: the server ended with status 137; next attempt in 2 s'
  wait_for says 'Failing: the server ended with status 137; next attempt in 4 s'
  unavailable '[1-4]'
  touch "$dir/right"
  is_served_again
  said 1 'the server ended with status 137'
  is "$(log_of_test | grep -c 'takes requests again')" 0
  # Once it has lasted for ten seconds, that was it.
  wait_for logged 'takes requests again after failing for '
  matches "$(log_of_test)" 'takes requests again after failing for [0-9]+ s \(3 failed attempts\)'
}

@test "when nobody asks any more it fails for systemd, and the next request finds it all the same" {
  local before
  run_options=--retry-limit=2s
  vhost --entrypoint "$launcher" late -- php-fpm
  before=$(socket_as_it_is)
  fails 'the image is missing: '
  wait_for has_failed
  is "$(exit_status)" 9
  is "$(systemctl show -P ActiveState waker.socket)" active
  contains "$(hello)" 'Status: 503 Service Unavailable'
  wait_for has_failed
  docker tag php late
  contains "$(hello)" hello
  is "$(socket_as_it_is)" "$before" "the socket"
}

@test "slow and silent clients keep nobody waiting, and are answered when they ask" {
  local n
  vhost --entrypoint "$launcher" late -- php-fpm
  fails 'the image is missing: '
  for n in 1 2 3 4 5 6 7 8; do
    start "silent$n" "$fastcgi" --pause=6 "$socket" /var/www/html/hello.php
    silent[n]=$pid
    start "slow$n" "$fastcgi" --pause=6 --pause-at=40 "$socket" /var/www/html/hello.php
    slow[n]=$pid
  done
  wait_for in_conversation 16
  unavailable '[1-4]'
  docker tag php late
  is_served_again
  # They came before, and it is still there for them; but for nobody else.
  in_conversation 16
  for n in 1 2 3 4 5 6 7 8; do
    wait "${silent[n]}"
    contains "$(cat "$dir/silent$n.log")" 'Status: 503 Service Unavailable'
    wait "${slow[n]}"
    contains "$(cat "$dir/slow$n.log")" 'Status: 503 Service Unavailable'
  done
  wait_for not responder
}

# One thread waits for connections, all others have one.
in_conversation() { [ "$(ps -o nlwp= -p "$(responder)" | xargs)" = $(($1 + 1)) ]; }

@test "kept-alive connections are answered, and told to go when the server is there" {
  vhost --entrypoint "$launcher" late -- php-fpm
  fails 'the image is missing: '
  is "$(request "$socket" /var/www/html/hello.php --keep-conn --requests=3 --between=0.2 \
    --body-size=100000 | grep -c '^Status: 503')" 3
  start kept "$fastcgi" --keep-conn --requests=2 --between=30 "$socket" /var/www/html/hello.php
  wait_for in_conversation 1
  docker tag php late
  is_served_again
  wait_for not responder
}

@test "it leaves the socket as systemd passes it, and is not there while the server is" {
  vhost --entrypoint "$launcher" late -- php-fpm
  fails 'the image is missing: '
  responder
  # O_RDWR | O_CLOEXEC; not O_NONBLOCK, which systemd takes away at each start.
  is "$(flags_of_socket | xargs)" 'flags: 02000002'
  # Nothing else is held: the three standard ones, the socket, and the pipe that tells it to finish.
  is "$(find "/proc/$(responder)/fd" -type l | wc -l)" 5 "$(ls -l "/proc/$(responder)/fd")"
  docker tag php late
  is_served_again
  wait_for not responder
}

# Of the open file description that systemd and all others share.
flags_of_socket() {
  local inode link
  inode=$(awk -v path="$socket" '$8 == path && $4 == "00010000" { print $7 }' /proc/net/unix)
  link=$(find /proc/1/fd -lname "socket:\[$inode\]" | head -n 1)
  grep flags "/proc/1/fdinfo/${link##*/}"
}

@test "a start job is not ended while it fails" {
  vhost --entrypoint "$launcher" late -- php-fpm
  sed -i 's/^Type=notify$/&\nTimeoutStartSec=2/' /run/systemd/system/waker.service
  systemctl daemon-reload
  fails 'the image is missing: '
  is "$(systemctl show -P ActiveState "$service")" activating
  waker=$(master_of_service)
  wait_for says_next_attempt_in 4
  unavailable '[1-4]'
  docker tag php late
  is_served_again
  is "$(master_of_service)" "$waker"
}

says_next_attempt_in() { [[ $(status_text) == "Failing: "*"; next attempt in $1 s" ]]; }

@test "reload makes the next attempt at once" {
  local began
  vhost --entrypoint "$launcher" late -- php-fpm
  fails 'the image is missing: '
  wait_for says_next_attempt_in 8
  docker tag php late
  began=$(now_ms)
  systemctl kill --kill-who=main -s HUP "$service"
  wait_for is_waked
  [ $(($(now_ms) - began)) -lt 6000 ] || fail "it took $(($(now_ms) - began)) ms"
}

@test "a stop while it fails ends it at once, at any moment" {
  local delay began
  vhost --entrypoint "$launcher" late -- php-fpm
  for delay in 0 0.1 0.2 0.5 0.9 1 1.1 1.3; do
    systemctl start waker.socket
    fails 'the image is missing: '
    # No event to wait for: the moment itself is what varies.
    sleep "$delay"
    began=$(now_ms)
    systemctl stop waker.socket "$service"
    [ $(($(now_ms) - began)) -lt 2000 ] || fail "it took $(($(now_ms) - began)) ms"
    is "$(systemctl show -P Result "$service")" success "stopped after $delay s"
    not responder
    nothing_runs
  done
}

@test "fpm-waker is killed while it fails: the next request is answered all the same" {
  local former
  vhost --entrypoint "$launcher" late -- php-fpm
  fails 'the image is missing: '
  former=$(responder)
  kill -KILL "$(master_of_service)"
  wait_for is_gone "$former"
  contains "$(hello)" 'Status: 503 Service Unavailable'
  unavailable '[12]'
  is "$(responder | wc -l)" 1
  docker tag php late
  is_served_again
}
