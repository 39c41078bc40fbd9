#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The service manager's orders under load: no request is lost, at no moment.

load ../helpers
load waker

setup() { start_vhost_test; }
teardown() { end_vhost_test; }

@test "stop, restart and reload under load lose nothing" {
  local n
  php_vhost --exit-idle-time=1min
  start_load 8
  for n in 1 2 3; do
    systemctl reload "$service"
    wait_for says 'Serving requests'
    systemctl restart "$service"
    systemctl stop "$service" # the load wakes it again
    wait_for is_waked
  done
  load_lost_nothing
}

@test "a stop in the middle of a reload is not lost" {
  local n
  php_vhost --exit-idle-time=1min
  start_load 6
  for n in 1 2 3 4 5; do
    kill -HUP "$(master_of_service)"
    timeout 10 systemctl stop "$service" || fail "stop $n was lost"
    is "$(systemctl show -P Result "$service")" success "stop $n"
    wait_for is_waked # by the load
  done
  load_lost_nothing
}

@test "docker stop and docker kill -s USR2 under load lose nothing" {
  vhost --stop-signal SIGQUIT --entrypoint "$launcher" php --exit-idle-time=1min -- php-fpm
  start_load 6
  for _ in 1 2 3; do
    hello # the server has its handlers
    docker kill -s USR2 waker >/dev/null
    docker stop -t 60 waker >/dev/null # in the middle of the reload
    wait_for is_waked
    wait_for docker inspect waker
  done
  load_lost_nothing
}

@test "the service ends with the running request, and with status 0" {
  echo '<?php sleep(2); echo "slept";' >/srv/www/waker/sleep.php
  php_vhost --exit-idle-time=1min
  hello
  start client "$fastcgi" "$socket" /var/www/html/sleep.php
  wait_for request_runs
  systemctl stop waker.socket "$service"
  wait "$pid" || fail "the request was lost: $(cat "$dir/client.log")"
  contains "$(cat "$dir/client.log")" slept
  is "$(exit_status)" 0
  nothing_runs || fail "the container is still there"
}

# The one connection has left the queue.
request_runs() { pgrep -f "$fastcgi.*sleep.php" >/dev/null && [ "$(queue_length "$socket")" = 0 ]; }

@test "reload reaches the master behind a shell, and READY follows when it is there again" {
  local master
  vhost --entrypoint "$launcher" php --exit-idle-time=1min -- sh -c 'php-fpm; exit $?'
  hello
  master=$(docker top waker -eo pid,args | awk '/master process/ { print $1 }')
  echo '<?php echo "hello again";' >/srv/www/waker/hello.php
  systemctl reload "$service"
  wait_for says 'Serving requests'
  contains "$(hello)" 'hello'
  is "$(docker top waker -eo pid,args | awk '/master process/ { print $1 }')" "$master" "its pid"
  wait_for logged 'Reloading in progress'
}

@test "a reload of pm = ondemand is done when no worker is there either, and then it sleeps" {
  printf '%s\n' '[www]' 'pm = ondemand' >"$dir/zzz.conf"
  vhost -v "$dir/zzz.conf:/usr/local/etc/php-fpm.d/zzz.conf:ro" --entrypoint "$launcher" php \
    --exit-idle-time=2s -- php-fpm
  contains "$(hello)" hello
  timeout 20 systemctl reload "$service" || fail 'the reload does not come to its end'
  wait_for -t 10 says 'Serving requests'
  wait_for -t 10 is_asleep
  is "$(exit_status)" 0
}

@test "a reload that fails is a failed service" {
  echo '[www]' >"$dir/zzz.conf"
  vhost -v "$dir/zzz.conf:/usr/local/etc/php-fpm.d/zzz.conf:ro" --entrypoint "$launcher" php \
    --exit-idle-time=1min -- php-fpm
  hello
  echo 'pm = nonsense' >>"$dir/zzz.conf"
  systemctl stop waker.socket
  systemctl reload "$service" && fail "the reload is said to have worked"
  wait_for has_failed
  is "$(exit_status)" 78
  nothing_runs || fail "the container is still there"
}

@test "a stop at any moment of the start ends cleanly and leaves no container" {
  local delay
  php_vhost --exit-idle-time=1min
  for delay in 0 0.03 0.06 0.09 0.12 0.15 0.18 0.22 0.26 0.3 0.4; do
    systemctl start waker.socket
    systemctl start --no-block "$service"
    # No event to wait for: the moment itself is what varies.
    sleep "$delay"
    systemctl stop waker.socket "$service"
    is "$(systemctl show -P Result "$service")" success "stopped after $delay s"
    nothing_runs || fail "stopped after $delay s: $(docker ps -a)"
  done
}

@test "a stop while an entrypoint still works waits ten seconds for it, as docker stop does" {
  local began
  vhost --entrypoint "$launcher" php --exit-idle-time=1min -- sh -c 'sleep 600; exec php-fpm'
  systemctl start --no-block "$service"
  wait_for says 'Waiting for the server to take requests'
  began=$(now_ms)
  systemctl stop waker.socket "$service"
  [ $(($(now_ms) - began)) -lt 15000 ] || fail "it took $(($(now_ms) - began)) ms"
  is "$(systemctl show -P Result "$service")" success
  nothing_runs || fail "the container is still there"
}

@test "an entrypoint that ends by itself after the stop is not killed, nor is its server" {
  vhost -v "$dir:/gates" --entrypoint "$launcher" php --exit-idle-time=1min -- \
    sh -c 'until [ -e /gates/go ]; do sleep 0.1; done; exec php-fpm'
  systemctl start --no-block "$service"
  wait_for says 'Waiting for the server to take requests'
  systemctl stop --no-block waker.socket "$service"
  wait_for says 'Stopping when the running requests are done'
  touch "$dir/go"
  wait_for is_asleep
  is "$(exit_status)" 0
  wait_for logged 'bye-bye'
}

@test "a server that does not end is killed when its drain limit is over" {
  echo '<?php while (true) sleep(1);' >/srv/www/waker/forever.php
  vhost --entrypoint "$launcher" php --exit-idle-time=1min --drain-limit=1s -- php-fpm
  hello
  start client "$fastcgi" --timeout=60 "$socket" /var/www/html/forever.php
  wait_for pgrep -f "$fastcgi.*forever.php"
  wait_for -t 5 eval '[ "$(queue_length "$socket")" = 0 ]'
  systemctl stop waker.socket "$service"
  nothing_runs || fail "the container is still there"
}
