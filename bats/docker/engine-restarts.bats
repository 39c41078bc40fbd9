#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The container is restarted or ended behind fpm-waker's back, by docker or with docker.

load ../helpers
load waker

setup() { start_vhost_test; }

teardown() {
  end_vhost_test
  if [ -e /etc/docker/daemon.json ]; then
    rm /etc/docker/daemon.json
    restart_docker
  fi
}

@test "docker restart: the new container is served, with a new idle time" {
  vhost --stop-signal SIGQUIT --entrypoint "$launcher" php --exit-idle-time=2s -- php-fpm
  hello
  waker=$(master_of_service)
  docker restart -t 60 waker >/dev/null
  contains "$(hello)" hello
  is "$(master_of_service)" "$waker" "fpm-waker was started anew"
  wait_for is_asleep
  is "$(exit_status)" 0
  nothing_runs || fail "the container is still there"
}

@test "the container crashes: the service fails with its status, the next request wakes it" {
  run_options=--retry-limit=0
  php_vhost --exit-idle-time=1min
  hello
  docker kill -s KILL waker >/dev/null
  wait_for has_failed
  is "$(exit_status)" 137
  contains "$(hello)" hello
}

@test "a server that fails at its start fails the service with its status" {
  run_options=--retry-limit=0
  vhost --entrypoint "$launcher" php -- php-fpm --nonsense
  systemctl start "$service" && fail "it started"
  is "$(exit_status)" 64
  nothing_runs || fail "the container is still there"
}

@test "the Docker daemon is restarted under load: nothing is lost" {
  php_vhost --exit-idle-time=1min
  start_load 8
  restart_docker
  wait_for is_waked
  load_lost_nothing
}

# Without --rm: with it, Docker 20.10 kills a running container when the daemon comes back.
@test "with live-restore, the container outlives the daemon, falls asleep, and wakes again" {
  local container
  echo '{"live-restore": true}' >/etc/docker/daemon.json
  restart_docker
  docker_run=${docker_run/ --rm/}
  php_vhost --exit-idle-time=20s
  hello
  container=$(docker ps -q)
  restart_docker
  contains "$(hello)" hello
  is "$(docker ps -q)" "$container" "another container answered"
  wait_for -t 60 is_asleep
  is "$(exit_status)" 0
  wait_for no_container
  contains "$(hello)" hello "after its sleep"
}
