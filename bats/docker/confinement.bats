#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# However the container is locked in, and whatever stands before the server.

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

# A whole life: cold wake, reload under load, idle exit with status 0.
lives() {
  contains "$(hello)" hello "cold wake"
  start_load 2
  systemctl reload "$service"
  wait_for says 'Serving requests'
  load_lost_nothing
  wait_for is_asleep
  is "$(exit_status)" 0 "exit status after idleness"
  nothing_runs || fail "the container is still there"
}

@test "root as PID 1 with no more than three capabilities" {
  vhost --read-only --tmpfs /tmp --cap-drop=ALL --cap-add=SETUID --cap-add=SETGID --cap-add=KILL \
    --security-opt=no-new-privileges --entrypoint "$launcher" php --exit-idle-time=1s -- php-fpm
  lives
}

@test "not root, read-only, no capability, no new privileges" {
  vhost --user 33 --read-only --tmpfs /tmp --cap-drop=ALL --security-opt=no-new-privileges \
    --entrypoint "$launcher" php --exit-idle-time=1s -- php-fpm
  lives
}

@test "docker's own init in front" {
  vhost --init --entrypoint "$launcher" php --exit-idle-time=1s -- php-fpm
  lives
}

@test "tini in front, before and behind the launcher" {
  vhost --entrypoint /usr/bin/tini php -- "$launcher" --exit-idle-time=1s -- tini -- php-fpm
  lives
}

@test "a shell stays in front" {
  vhost --entrypoint "$launcher" php --exit-idle-time=1s -- sh -c 'php-fpm; exit $?'
  lives
}

@test "an entrypoint script that execs php-fpm after other work" {
  vhost --entrypoint "$launcher" php --exit-idle-time=1s -- \
    bash -c 'exec 3</etc/passwd 9>/tmp/lock; flock 9; php-fpm -v; php-fpm -t; exec php-fpm'
  lives
}

@test "the image's own copy of the launcher" {
  vhost --tmpfs /opt:exec --entrypoint sh php -c 'cp /fpm-waker/*launcher /fpm-waker/*.so /opt &&
    exec /opt/fpm-launcher --exit-idle-time=1s --handover=/fpm-waker/run/handover -- php-fpm'
  lives
}

@test "userns-remap" {
  grep -q '^dockremap:' /etc/subuid || {
    useradd -rMs /usr/sbin/nologin dockremap
    echo dockremap:100000:65536 | tee -a /etc/subuid >>/etc/subgid
  }
  echo '{"userns-remap": "dockremap"}' >/etc/docker/daemon.json
  restart_docker
  load_image php # the remapped engine has a store of its own
  php_vhost --exit-idle-time=1s
  hello
  is "$(docker top waker -eo pid,uid,args | awk '/master process/ { print $2 }')" 100000 "uid of root"
  lives
}
