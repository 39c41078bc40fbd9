#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# `service mysql ...` and `service nginx ...` for the Docker containers of these names.

load ../helpers

setup_file() {
  load_image php
}

setup() {
  start_test
}

teardown() {
  systemctl stop mysql.service nginx.service 2>/dev/null || true
  docker rm -f mysql nginx >/dev/null 2>&1 || true
  rm -f /etc/systemd/system/{mysql,nginx}.service
  systemctl daemon-reload
  systemctl reset-failed
  end_test
}

# As the comment in the file tells the administrator.
link_service() {
  systemctl link -q "/usr/share/fpm-waker/$1.service"
}

# A server with mysqld's manners: HUP is a reload, TERM a clean end that takes its time.
create_mysql() {
  docker create --name mysql --stop-signal SIGTERM --entrypoint bash php -c '
    trap "echo reloaded" HUP
    trap "sleep 0.3; echo shut down; exit 0" TERM
    echo ready
    while :; do sleep 0.05; done' >/dev/null
}

# nginx itself, out of the bed's files, in a container with the stop signal of nginx's own image.
create_nginx() {
  docker create --name nginx --stop-signal SIGQUIT --network none --entrypoint nginx php \
    -g 'daemon off; error_log stderr notice;' >/dev/null
  {
    echo /usr/sbin/nginx
    ldd /usr/sbin/nginx | grep -o '/[^ ]*'
    printf '%s\n' /etc/nginx/mime.types /var/lib/nginx /var/log/nginx /usr/share/nginx/html
  } | tar -C / -ch --no-recursion --transform 's,^lib,usr/lib,' -T - -f - 2>/dev/null |
    docker cp - nginx:/
  nginx_conf 'events {}' 'http { server { listen unix:/run/nginx.sock; } }'
}

nginx_conf() {
  printf '%s\n' "$@" >"$dir/nginx.conf"
  docker cp "$dir/nginx.conf" nginx:/etc/nginx/nginx.conf >/dev/null 2>&1
}

is_running() {
  [ "$(docker inspect -f '{{.State.Running}}' "$1")" = true ]
}

started_at() {
  docker inspect -f '{{.State.StartedAt}}' "$1"
}

log_says() {
  docker logs "$1" 2>&1 | grep -q -- "$2"
}

@test "service mysql start, status, restart, reload and stop are the container's" {
  create_mysql
  link_service mysql
  service mysql start
  wait_for is_running mysql
  wait_for log_says mysql ready
  run service mysql status
  is "$status" 0 "status of a running container"
  contains "$output" "The Docker container mysql"

  service mysql reload
  wait_for log_says mysql reloaded

  first=$(started_at mysql)
  service mysql restart
  wait_for is_running mysql
  [ "$(started_at mysql)" != "$first" ] || fail "restart did not restart the container"
  log_says mysql "shut down" || fail "restart killed the container instead of stopping it"

  wait_for log_says mysql ready
  service mysql stop
  is "$(docker inspect -f '{{.State.Running}} {{.State.ExitCode}}' mysql)" "false 0" "after stop"
  run service mysql status
  is "$status" 3 "status of a stopped container"
}

@test "the container's end is the unit's end, and its output is in the journal" {
  create_mysql
  link_service mysql
  service mysql start
  wait_for log_says mysql ready
  docker stop mysql >/dev/null
  wait_for is_state mysql.service inactive
  contains "$(journal_of mysql.service)" "shut down"
}

@test "a container that runs already is taken over, not restarted" {
  create_mysql
  link_service mysql
  docker start mysql >/dev/null
  first=$(started_at mysql)
  service mysql start
  wait_for is_state mysql.service active
  is "$(started_at mysql)" "$first"
  service mysql stop
  not is_running mysql || fail "still running"
}

@test "a container that crashes is started again" {
  create_mysql
  link_service mysql
  service mysql start
  wait_for log_says mysql ready
  first=$(started_at mysql)
  docker kill --signal KILL mysql >/dev/null
  restarted() { is_running mysql && [ "$(started_at mysql)" != "$first" ]; }
  wait_for restarted
}

@test "without such a container the service says so and fails" {
  link_service mysql
  run service mysql start
  wait_for has_journal mysql.service 'No such container: mysql'
}

has_journal() {
  journal_of "$1" | grep -q -- "$2"
}

@test "service nginx reload makes nginx read its configuration; a wrong one is refused and harmless" {
  create_nginx
  link_service nginx
  service nginx start
  wait_for log_says nginx 'start worker process'
  master=$(docker inspect -f '{{.State.Pid}}' nginx)

  service nginx reload
  wait_for log_says nginx 'signal 1 (SIGHUP) received'

  nginx_conf 'nonsense;'
  run service nginx reload
  [ "$status" != 0 ] || fail "reload with a wrong configuration was reported as success"
  is "$(docker inspect -f '{{.State.Pid}}' nginx)" "$master" "nginx died of a wrong reload"
  is "$(docker logs nginx 2>&1 | grep -c 'signal 1 (SIGHUP) received')" 1 "HUPs that nginx got"
  contains "$(journal_of nginx.service)" 'unknown directive "nonsense"'

  service nginx stop
  log_says nginx 'signal 3 (SIGQUIT) received' || fail "nginx was not stopped gracefully"
}
