#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# pm.status_listen is a pool's second listener. It stays the server's own: it takes no passed
# socket, needs none, and lives and dies as without fpm-waker.

load ../helpers
load vhost

setup() { start_vhost; }
teardown() { end_vhost; }

# works STATUS-ADDRESS: the pool is behind the passed socket, the status page behind its own.
works() {
  local before run
  before=$(look "$www")
  for run in first second; do
    serve
    is "$(body "$www" "$who")" www "the pool, $run run"
    contains "$(body "$1" /status --param=SCRIPT_NAME=/status)" 'process manager:' "$run run"
    reload
    is "$(body "$www" "$who")" www "the pool, reloaded in the $run run"
    contains "$(body "$1" /status --param=SCRIPT_NAME=/status)" 'process manager:' 'reloaded'
    end QUIT
    is "$status" 0
    case $1 in /*) [ ! -e "$1" ] ;; *) is "$(backlog "$1")" '' ;; esac
    is "$(look "$www")" "$before"
    rm "$dir/php-fpm.log"
  done
}

@test "a path beside a pool whose address is the passed socket's" {
  hold www=unix
  configure www "$www" 'pm.status_path = /status' "pm.status_listen = $dir/status.sock"
  works "$dir/status.sock"
}

@test "a path beside a pool whose address is another" {
  hold www=unix
  configure www 127.0.0.1:9000 'pm.status_path = /status' "pm.status_listen = $dir/status.sock"
  works "$dir/status.sock"
}

@test "TCP beside a pool whose address is the passed socket's" {
  hold www=unix
  local port
  port=$(free_port)
  configure www "$www" 'pm.status_path = /status' "pm.status_listen = 127.0.0.1:$port"
  works "127.0.0.1:$port"
}

@test "TCP beside a pool whose address is another" {
  hold www=4
  local port
  port=$(free_port)
  configure www 9000 'pm.status_path = /status' "pm.status_listen = 127.0.0.1:$port"
  works "127.0.0.1:$port"
}

@test "two pools by name with a status page each" {
  hold one=unix two=unix
  configure two 9000 'pm.status_path = /status' "pm.status_listen = $dir/status2.sock"
  configure one 9001 'pm.status_path = /status' "pm.status_listen = $dir/status1.sock"
  serve
  is "$(body "$one" "$who")" one
  is "$(body "$two" "$who")" two
  matches "$(body "$dir/status1.sock" /status --param=SCRIPT_NAME=/status)" 'pool: +one'
  matches "$(body "$dir/status2.sock" /status --param=SCRIPT_NAME=/status)" 'pool: +two'
}

@test "a status page that is asked does not keep the vhost awake for ever" {
  hold www=unix
  configure www "$www" 'pm.status_path = /status' "pm.status_listen = $dir/status.sock"
  serve --exit-idle-time=1s
  is_up "$www"
  contains "$(body "$dir/status.sock" /status --param=SCRIPT_NAME=/status)" 'process manager:'
  ended
  is "$status" 0
}
