#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Reload by SIGUSR2: php-fpm executes itself again, and finds its passed sockets again.

load ../helpers
load vhost

setup() { start_vhost; }
teardown() { end_vhost; }

# What php-fpm warns of under load, and of a worker that it has just forked and already tells to go.
harmless='max_children|busy|attributes of listening socket, errno: 9$|child failed to initialize$'

# Twenty in a row under load: nothing lost, the same process, one listener of its own.
twenty() {
  local before descriptors
  configure www "$www" "$@"
  before=$(look "$www" | sed 's/queued.*//')
  serve
  is_up "$www"
  descriptors=$(listeners_of "$server" "$www")
  is "$(awk '$1 < 100' <<<"$descriptors" | wc -l)" 1 "$descriptors"
  load_begin "$www" "$hello"
  for _ in {1..20}; do
    reload
  done
  load_end
  is "$(times_ready)" 21
  is "$(listeners_of "$server" "$www")" "$descriptors"
  is "$(look "$www" | sed 's/queued.*//')" "$before"
  is "$(queue_length "$www")" 0
  is "$(grep -E 'WARNING|ERROR|ALERT' "$dir/php-fpm.log" | grep -Ev "$harmless")" ''
  end QUIT
  is "$status" 0
}

@test "twenty under load, static on a path" {
  hold www=unix
  twenty 'listen.owner = www-data' 'listen.mode = 0600'
}

@test "twenty under load, dynamic on TCP" {
  hold www=4
  twenty 'pm = dynamic' 'pm.start_servers = 1' 'pm.min_spare_servers = 1' \
    'pm.max_spare_servers = 2' 'pm.max_children = 4'
}

@test "twenty under load, ondemand on a path" {
  hold www=unix
  twenty 'pm = ondemand' 'pm.max_children = 4'
}

@test "twenty under load that keeps its connections" {
  hold www=unix
  configure www "$www" 'pm.max_children = 5'
  serve
  is_up "$www"
  load_begin "$www" "$hello"
  start keeper "$fastcgi" --keep-conn --requests=1000000 --timeout=30 "$www" "$hello"
  for _ in {1..20}; do
    reload
  done
  load_end
  is "$(times_ready)" 21
}

@test "signals that come faster than reloads" {
  hold www=unix
  configure www "$www"
  serve
  is_up "$www"
  load_begin "$www" "$hello"
  for _ in {1..50}; do
    kill -USR2 "$server"
    sleep 0.01
  done
  load_end
  is_up "$www"
  end QUIT
  is "$status" 0
}

@test "a reload that adds a pool, drops it, and adds it again" {
  local before
  hold one=unix two=unix
  before=$(look "$one" && look "$two")
  configure one "$one"
  serve
  is "$(body "$one" "$who")" one
  for _ in 1 2; do
    configure two "$two"
    reload
    is "$(body "$one" "$who")" one
    is "$(body "$two" "$who")" two
    reconfigure one "$one"
    reload
    is "$(body "$one" "$who")" one
    is "$(look "$one" && look "$two")" "$before" 'after a reload that drops a pool'
  done
  end QUIT
  is "$status" 0
  is "$(look "$one" && look "$two")" "$before"
}

@test "a dropped pool's connections wait for it" {
  hold one=unix two=unix
  configure one "$one"
  configure two "$two"
  serve
  is "$(body "$two" "$who")" two
  reconfigure one "$one"
  reload
  start client "$fastcgi" "$two" "$hello"
  local client=$pid
  wait_for is_queued "$two" 1
  configure two "$two"
  reload
  wait "$client"
}

@test "a reload that moves a pool to another passed socket" {
  hold one=unix two=unix
  configure www "$one"
  serve
  is "$(body "$one" "$who")" www
  reconfigure www "$two"
  reload
  is "$(body "$two" "$who")" www
  end QUIT
  is "$status" 0
}

@test "a reload with a broken configuration ends the server, and the socket is untouched" {
  local before
  hold www=unix
  configure www "$www"
  before=$(look "$www")
  serve
  is_up "$www"
  echo 'nonsense = 1' >>"$dir/php-fpm.conf"
  kill -USR2 "$server"
  ended
  is "$status" 78
  is "$(look "$www")" "$before"
}

@test "the gate and the idle exit work on after a reload" {
  hold www=unix
  configure www "$www"
  serve --exit-idle-time=2s
  is_up "$www"
  reload
  is_up "$www"
  is "$(get "$www" "$nap" s=3)" slept
  ended
  is "$status" 0
}
