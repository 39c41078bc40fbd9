#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# What a pool's `listen` may look like, and the passed socket that it means.

load ../helpers
load vhost

setup() { start_vhost; }
teardown() { end_vhost; }

# finds ADDRESS LISTEN: a pool with this `listen` serves the passed socket, opens none of its own.
finds() {
  local listening
  # With musl, php-fpm cannot resolve "*", with or without fpm-waker.
  case ${PRELOAD_PHP_FPM:+musl}$2 in 'musl*:'*) return ;; esac
  listening=$(all_listening)
  reconfigure pool "$2"
  serve
  is "$(body "$1" "$who")" pool "listen = $2 on $1" || return
  is "$(all_listening)" "$listening" "listen = $2 on $1 opened another socket" || return
  end QUIT
  is "$status" 0 "exit status with listen = $2 on $1"
}

# All that listens in this test's directory or at the ports that occur in this file.
all_listening() {
  ss -Hlnx | awk '{ print $5 }' | grep -F "$dir/" | sort
  ss -Hlnt | awk '{ print $4 }' | grep -E ":(9000|${port:-9000})\$" | sort || true
}

# The only pool on the only socket, regardless of address.
alone() {
  local address=$1 listen
  for listen in 9000 127.0.0.1:9000 '[::]:9000' '[::1]:9000' '*:9000' "$dir/elsewhere.sock" \
    "$dir/no/such/directory.sock" relative.sock 'localhost:9000'; do
    finds "$address" "$listen"
  done
  LISTEN_HERE=127.0.0.1:9000 finds "$address" '${LISTEN_HERE}'
}

@test "alone on a unix socket" {
  hold www=unix
  alone "$www"
  finds "$www" "$www"
}

@test "alone on TCP, version 4" {
  hold www=4
  alone "$www"
  finds "$www" "$www"
}

@test "alone on TCP, version 6" {
  hold www=6
  alone "$www"
  finds "$www" "$www"
}

# The same beside a decoy, so that only the address can have found it. Names say nothing.
@test "by address: unix paths" {
  hold decoy=4 www=unix
  mkdir "$dir/real"
  ln -s "$dir" "$dir/real/link"
  finds "$www" "$www"
  finds "$www" "$dir/real/link/www.sock"
  finds "$www" "$dir/real/../www.sock"
  finds "$www" "$dir//www.sock"
  LISTEN_HERE=$dir finds "$www" '${LISTEN_HERE}/www.sock'
}

@test "by address: a unix path that was bound through a symbolic link" {
  mkdir "$dir/real"
  ln -s "$dir/real" "$dir/link"
  hold decoy=4 "www=$dir/link/www.sock"
  is "$www" "$dir/link/www.sock"
  finds "$www" "$dir/real/www.sock"
  finds "$www" "$dir/link/www.sock"
}

@test "by address: a path among other paths" {
  hold one=unix two=unix www=unix four=unix
  finds "$www" "$www"
}

@test "by address: TCP, version 4" {
  hold decoy=unix www=4
  local port=${www##*:}
  finds "$www" "$www"
  finds "$www" "localhost:$port"
  LISTEN_HERE=$www finds "$www" '${LISTEN_HERE}'
}

@test "by address: any TCP, version 4" {
  hold decoy=unix www=0.0.0.0:0
  local port=${www##*:}
  finds "127.0.0.1:$port" "0.0.0.0:$port"
  finds "127.0.0.1:$port" "*:$port"
  # php-fpm tries [::] first, then 0.0.0.0.
  finds "127.0.0.1:$port" "$port"
}

@test "by address: TCP, version 6" {
  hold decoy=unix www=6
  finds "$www" "$www"
}

@test "by address: any TCP, version 6" {
  hold decoy=unix 'www=[::]:0'
  local port=${www##*:}
  finds "127.0.0.1:$port" "$port"
  finds "[::1]:$port" "[::]:$port"
}

@test "by address: the same port on another address is another socket" {
  local port
  port=$(free_port)
  hold "decoy=127.0.0.2:$port" "www=127.0.0.1:$port"
  finds "127.0.0.1:$port" "127.0.0.1:$port"
  finds "127.0.0.2:$port" "127.0.0.2:$port"
}
