#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A container that fpm-waker has made by the engine's API: how it fails, who ends it, and what an
# engine does that is not there.

load ../helpers
load waker
load api
load ../unavailable

setup() { start_api_test; }

teardown() {
  engine_comes
  docker rmi late >/dev/null 2>&1 || true
  rm -rf "/run/systemd/system/$service.d"
  end_api_test
  if [ -e /etc/docker/daemon.json ]; then
    rm /etc/docker/daemon.json
    restart_docker
  fi
}

# fails_with STATUS TEXT: the next start of the service does, and leaves the socket alone.
fails_with() {
  local before
  before=$(socket_as_it_is)
  systemctl start "$service" 2>/dev/null && fail "it started"
  is "$(exit_status)" "$1"
  is "$(log_of_test | grep -c "^fpm-waker: ")" 1 "lines of fpm-waker: $(log_of_test)"
  contains "$(log_of_test | grep '^fpm-waker: ')" "$2"
  is "$(socket_as_it_is)" "$before" "the socket"
  no_container || fail "a container runs"
}

# The service itself would start it.
engine_goes() {
  systemctl mask --runtime --now docker.socket docker
}

engine_comes() {
  systemctl unmask --runtime docker.socket docker
  systemctl start docker
}

@test "the engine is not there" {
  conf_vhost RetryLimit=0
  engine_goes
  fails_with 8 'fpm-waker: the engine is not reachable: unix:///var/run/docker.sock: '
  engine_comes
  contains "$(hello)" hello
}

@test "DOCKER_HOST says where it is, and must be a unix socket" {
  conf_vhost RetryLimit=0
  mkdir -p "/run/systemd/system/$service.d"
  printf '%s\n' '[Service]' Environment=DOCKER_HOST=tcp://127.0.0.1:1 >"/run/systemd/system/$service.d/test.conf"
  systemctl daemon-reload
  fails_with 8 'fpm-waker: the engine is not reachable: DOCKER_HOST is not unix://PATH'
  printf '%s\n' '[Service]' Environment=DOCKER_HOST=unix:///run/../run/docker.sock \
    >"/run/systemd/system/$service.d/test.conf"
  systemctl daemon-reload
  contains "$(hello)" hello
}

@test "the image is missing, until it is there" {
  conf_vhost
  sed -i 's/^Image=.*/Image=late/' /etc/fpm-waker/site.conf
  contains "$(hello)" 'Status: 503 Service Unavailable'
  unavailable '[12]'
  matches "$(status_text)" '^Failing: the image is missing: .*No such image: late:latest; next attempt in [0-9]+ s$'
  docker tag php late
  wait_for -t 10 served
  is "$(log_of_test | grep -c '^fpm-waker: the image is missing: .*No such image: late:latest')" 1 "$(log_of_test)"
}

served() { hello | grep -qx hello; }

@test "the engine refuses the container" {
  conf_vhost RetryLimit=0 Network=no-such-network
  fails_with 9 'fpm-waker: the engine refused the container: '
}

@test "the launcher cannot be executed: the runtime's status" {
  conf_vhost RetryLimit=0 Volume=/dev/null:/fpm-waker/fpm-launcher:ro
  fails_with 126 'fpm-waker: docker ended with status 126 before fpm-launcher had the sockets: '
}

@test "the server in the container is missing: the launcher's own words" {
  conf_vhost RetryLimit=0 Command=no-such-server
  fails_with 127 'fpm-waker: docker ended with status 127 before fpm-launcher had the sockets: fpm-launcher: '
  contains "$(log_of_test)" "fpm-launcher: cannot find the server: no-such-server"
}

@test "php-fpm refuses its configuration: said once, with the reason, until it is right" {
  printf '[www]\nno_such_key = 1\n' >"$dir/zzz.conf"
  conf_vhost "Volume=$dir/zzz.conf:/usr/local/etc/php-fpm.d/zzz.conf:ro"
  contains "$(hello)" 'Status: 503 Service Unavailable'
  unavailable '[12]'
  wait_for says_next_attempt_in 2
  is "$(log_of_test | grep -c '^fpm-waker: the server ended with status 78 before it took requests: ERROR: ')" 1
  is "$(log_of_test | grep -c 'ERROR: FPM initialization failed')" 1 "$(log_of_test)"
  echo '[www]' >"$dir/zzz.conf"
  wait_for -t 10 served
}

says_next_attempt_in() { [[ $(status_text) == *"; next attempt in $1 s" ]]; }

@test "a crash is the service's failure, with its status; the next request wakes it" {
  conf_vhost RetryLimit=0 StopAfterSec=1min
  contains "$(hello)" hello
  docker kill -s KILL "$container" >/dev/null
  wait_for has_failed
  is "$(exit_status)" 137
  contains "$(hello)" hello
}

@test "docker stop, start and restart behind its back cost no request" {
  conf_vhost StopAfterSec=1min
  start_load 8
  docker stop "$container" >/dev/null
  docker restart "$container" >/dev/null || true
  docker start "$container" >/dev/null || true
  load_lost_nothing
}

@test "docker start while it sleeps: it does not run, and the next request wakes it" {
  conf_vhost StopAfterSec=500ms
  live_once
  docker start "$container" || true
  wait_for no_container
  live_once
}

@test "SIGKILL of fpm-waker under load loses nothing, and leaves nothing behind" {
  local waker killed=0 id
  conf_vhost StopAfterSec=1min
  contains "$(hello)" hello
  id=$(container_id)
  start_load 8
  while [ $((killed += 1)) -le 4 ]; do
    waker=$(master_of_service)
    kill -KILL "$waker"
    wait_for is_gone "$waker"
    wait_for is_waked
  done
  load_lost_nothing
  is "$(container_id)" "$id" "one container did it all"
  systemctl stop "$service"
  no_container || fail "a container runs"
  is "$(pgrep -lx 'fpm-.*' || true)" ''
}

@test "the container of a killed fpm-waker finishes its requests, and is then started again" {
  local id
  conf_vhost StopAfterSec=1min
  echo '<?php touch("begun"); sleep(4); echo "slept";' >/srv/www/site/sleep.php
  contains "$(hello)" hello
  id=$(container_id)
  start client "$fastcgi" "$socket" /var/www/html/sleep.php
  wait_for test -e /srv/www/site/begun
  kill -KILL "$(master_of_service)"
  wait_for has_failed
  systemctl start --no-block "$service"
  wait_for says 'Waiting for the former container to end'
  contains "$(hello)" hello
  contains "$(cat "$dir/client.log")" slept
  is "$(container_id)" "$id"
}

@test "SIGKILL of fpm-waker while fpm-docker talks to the engine" {
  local n
  conf_vhost StopAfterSec=1min
  for n in 1 2 3 4 5 6; do
    systemctl start --no-block "$service"
    wait_for pgrep -x fpm-docker
    systemctl kill --kill-who=all -s KILL "$service"
    contains "$(hello)" hello "kill $n"
    systemctl stop "$service"
  done
  is "$(docker ps -aq | wc -l)" 1
}

@test "the Docker daemon is restarted under load: nothing is lost" {
  conf_vhost StopAfterSec=1min
  start_load 8
  restart_docker
  wait_for is_waked
  load_lost_nothing
}

@test "the Docker daemon is restarted, and is gone for a while, while the vhost sleeps" {
  local id
  conf_vhost StopAfterSec=500ms
  live_once
  id=$(container_id)
  restart_docker
  live_once
  is "$(container_id)" "$id"
  engine_goes
  contains "$(hello)" 'Status: 503'
  engine_comes
  wait_for -t 10 served
  is "$(container_id)" "$id"
}

@test "with live-restore, the container outlives the daemon, falls asleep, and wakes again" {
  local started
  echo '{"live-restore": true}' >/etc/docker/daemon.json
  restart_docker
  conf_vhost StopAfterSec=20s
  contains "$(hello)" hello
  started=$(told '{{.Id}} {{.State.StartedAt}}')
  restart_docker
  contains "$(hello)" hello
  is "$(told '{{.Id}} {{.State.StartedAt}}')" "$started" "another container answered"
  wait_for -t 60 is_asleep
  is "$(exit_status)" 0
  no_container || fail "a container runs"
  contains "$(hello)" hello "after its sleep"
}

@test "a stop while it starts turns the container away; a stop while it runs leaves it stopped" {
  conf_vhost StopAfterSec=1min
  contains "$(hello)" hello
  systemctl stop "$service"
  is "$(told '{{.State.Status}} {{.State.ExitCode}}')" 'exited 0'
  systemctl start --no-block "$service"
  wait_for pgrep -x fpm-docker
  systemctl stop "$service"
  is "$(systemctl show -P Result "$service")" success
  wait_for no_container
  is "$(docker ps -aq | wc -l)" 1
}
