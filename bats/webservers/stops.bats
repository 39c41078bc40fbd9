#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Web servers before a php-fpm that reloads, stops and starts again, by order or when it is idle: of
# the POSTs that come all the while, each is answered, and was run exactly once.

load ../helpers
load ../preload/vhost
load webserver

setup() { start_webserver_test; }
teardown() { end_webserver_test; }

rounds=12

# under_load SERVER...: starts that web server, and stops php-fpm while it is busy.
under_load() {
  "$@"
  serve
  wait_for is_ready 1
  posts_begin --clients=16 --requests=5000
  stop_and_reload
  posts_end
}

loses_nothing() {
  under_load "$@"
  is "$lost" 0 "$(cat "$dir/posts.log")"
}

# None of the stops may take long, whatever the web server does. (A reload that comes right behind a
# start, and a stop right behind a reload, are what varies here.)
stop_and_reload() {
  local n since took
  for ((n = 0; n < rounds; n++)); do
    reload
    since=$(now_ms)
    end QUIT
    took=$(($(now_ms) - since))
    is "$status" 0
    [ "$took" -lt 1000 ] || fail "stop $n took $took ms"
    serve
    wait_for is_ready $((2 * n + 3))
  done
}

over_tcp() {
  end_webserver_test
  start_webserver_test 4
}

@test "nginx with fastcgi_keep_conn" { loses_nothing nginx_server on; }
@test "nginx with fastcgi_keep_conn, TCP" {
  over_tcp
  loses_nothing nginx_server on
}
@test "nginx" { loses_nothing nginx_server off; }
@test "HAProxy with http-reuse always" { loses_nothing haproxy_server; }
@test "HAProxy with http-reuse always, TCP" {
  over_tcp
  loses_nothing haproxy_server
}
@test "Apache" { loses_nothing apache_server; }
@test "lighttpd" { loses_nothing lighttpd_server; }
@test "Caddy" { loses_nothing caddy_server; }

# Apache cannot be told: what it writes in the very moment of the close is lost. It shall be rare, and
# on a unix socket it shall not have been run.
loses_few() {
  under_load "$@"
  [ "$lost" -le "$rounds" ] || fail "$(cat "$dir/posts.log")"
}
@test "Apache with enablereuse=on" {
  loses_few apache_server enablereuse=on max=4
  is "$in_vain" 0 "$(cat "$dir/posts.log")"
}
@test "Apache with enablereuse=on, TCP" {
  over_tcp
  loses_few apache_server enablereuse=on max=4
}

# Under systemd's socket activation, bursts come at about the moment at which php-fpm exits because it
# is idle. The connections that a web server has kept are idle then, too.
idle_exits() {
  "$@"
  activate --exit-idle-time=50ms
  posts_begin --clients=4 --requests=5000 --burst=3 --period=0.12
  wait_for -t 30 is_ready "$rounds"
  posts_end
  is "$lost" 0 "$(cat "$dir/posts.log")"
}
@test "idle exits: nginx with fastcgi_keep_conn" { idle_exits nginx_server on; }
@test "idle exits: HAProxy with http-reuse always" { idle_exits haproxy_server; }
@test "idle exits: Apache" { idle_exits apache_server; }
