#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# A pool for which there is no passed socket would be an outage that nobody sees. So the start
# fails, with one line that names what the pool wanted and what there is.

load ../helpers
load vhost

setup() { start_vhost; }
teardown() { end_vhost; }

# fails LISTEN: the start fails, and the shim's line says what was wanted and what is there.
fails() {
  local listen=$1 name said before
  before=$(for name in a b; do look "${!name}"; done)
  rm -f "$dir/server.log" "$dir/php-fpm.log"
  serve
  ended
  is "$status" 78 "exit status with listen = $listen"
  said=$(grep '^fpm-waker: ' "$dir/server.log" || true)
  is "$(wc -l <<<"$said")" 1 "lines: $said"
  contains "$said" "$listen" 'what the pool wanted'
  for name in a b; do
    contains "$said" "${!name}" 'what there is'
    contains "$said" "$name" 'its name'
  done
  is "$(for name in a b; do look "${!name}"; done)" "$before" 'the passed sockets'
}

@test "a path, another path" {
  hold a=unix b=unix
  configure www "$dir/none.sock"
  fails "$dir/none.sock"
  [ ! -e "$dir/none.sock" ]
}

@test "an IP address, version 4" {
  hold a=unix b=4
  configure www 127.0.0.1:9
  fails 127.0.0.1:9
}

@test "an IP address, version 6" {
  hold a=6 b=4
  configure www '[::1]:9'
  fails '[::1]:9'
}

@test "the right port on another address" {
  hold a=unix b=4
  configure www "127.0.0.2:${b##*:}"
  fails "127.0.0.2:${b##*:}"
}

@test "two pools, of which one has a socket" {
  hold a=unix b=unix
  configure one "$a"
  configure two "$dir/none.sock"
  fails "$dir/none.sock"
}

@test "two pools, and the only socket is the second's: the first does not keep it" {
  hold a=unix
  configure one "$dir/none.sock"
  configure two "$a"
  serve
  ended
  is "$status" 78
  is "$(grep '^fpm-waker: ' "$dir/server.log")" "fpm-waker: a pool listens on $a, but that passed \
socket already went to another pool, whose own address matches no passed socket"
}

@test "more pools than sockets" {
  hold www=unix
  local before
  before=$(look "$www")
  configure one 127.0.0.1:9
  configure two "$dir/none.sock"
  serve
  ended
  is "$status" 78
  contains "$(cat "$dir/server.log")" "$www"
  is "$(look "$www")" "$before"
}

@test "the next start, with the right address, works" {
  hold a=unix b=unix
  configure www "$dir/none.sock"
  serve
  ended
  is "$status" 78
  reconfigure www "$a"
  serve
  is_up "$a"
}
