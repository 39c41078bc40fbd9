#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# A passed socket is after any number of runs what it was before the first: its inode, owner, mode,
# ACL and backlog, and no connection of the server's own waits in it.

load ../helpers
load vhost

setup() { start_vhost; }
teardown() { end_vhost; }

# lives ADDRESS: two runs and reloads for each way to end one, and the socket is never another.
lives() {
  local address=$1 before signal run
  before=$(look "$address")
  contains "$before" 'queued 0'
  for signal in QUIT TERM INT KILL; do
    for run in first second; do
      serve
      is_up "$address"
      is "$(look "$address")" "$before" "after the $run start"
      reload
      is_up "$address"
      is "$(look "$address")" "$before" "after the reload of the $run run"
      if [ "$signal" = KILL ]; then
        end_kill
      else
        end "$signal"
        is "$status" 0 "exit status after SIG$signal"
      fi
      is "$(look "$address")" "$before" "after the $run stop by SIG$signal"
      rm "$dir/php-fpm.log"
    done
  done
}

@test "a path that php-fpm wants to own" {
  hold --backlog=77 www=unix
  configure www "$www" 'listen.owner = nobody' 'listen.group = nogroup' 'listen.mode = 0600' \
    'listen.backlog = 13'
  chown www-data:www-data "$www"
  chmod 660 "$www"
  contains "$(look "$www")" 'backlog 77'
  lives "$www"
}

@test "a path with an ACL, on which php-fpm wants to set its own" {
  hold www=unix
  configure www "$www" 'listen.acl_users = nobody,www-data' 'listen.acl_groups = nogroup'
  chmod 600 "$www"
  setfacl -m u:games:rw,g:www-data:rw "$www"
  contains "$(look "$www")" 'user:5:rw-'
  lives "$www"
}

@test "a path without an ACL, on which php-fpm wants to set one" {
  hold www=unix
  configure www "$www" 'listen.acl_users = nobody'
  lives "$www"
}

@test "TCP, version 4" {
  hold --backlog=77 www=4
  configure www "$www" 'listen.backlog = 13'
  contains "$(look "$www")" 'backlog 77'
  lives "$www"
}

@test "TCP, version 6" {
  hold --backlog=77 www=6
  configure www "$www" 'listen.backlog = 13'
  lives "$www"
}

@test "a path that does not exist where the server runs" {
  hold www=unix
  local before elsewhere=$dir/nowhere/www.sock
  configure www "$elsewhere" 'listen.owner = nobody' 'listen.acl_users = nobody'
  before=$(look "$www")
  serve
  is_up "$www"
  end QUIT
  is "$status" 0
  [ ! -e "$dir/nowhere" ]
  is "$(look "$www")" "$before"
}

@test "the test for another instance is not queued as a connection" {
  # The second pool fails the start after the first was adopted: nobody accepts.
  hold www=unix
  configure www "$www"
  configure other "$dir/other.sock"
  serve
  ended
  is "$status" 78
  is "$(queue_length "$www")" 0
}

@test "the test for another instance is not counted as one" {
  hold www=unix
  configure www "$www" 'pm.status_path = /status'
  serve
  is_up "$www"
  matches "$(body "$www" /status --param=SCRIPT_NAME=/status)" 'accepted conn: +2'
}

@test "connections that wait from before the start are served" {
  hold www=unix
  local client clients=() n
  configure www "$www"
  for n in 1 2 3 4 5; do
    request "$www" "$hello" >"$dir/answer.$n" 3>&- &
    clients+=($!)
  done
  wait_for is_queued "$www" 5
  serve
  for client in "${clients[@]}"; do wait "$client"; done
  for n in 1 2 3 4 5; do
    is "$(cat "$dir/answer.$n")" "$(headed hello)"
  done
}
