#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Several pools on several passed sockets: never swapped, whatever the order.

load ../helpers
load vhost

setup() { start_vhost; }
teardown() { end_vhost; }

# serves POOL ADDRESS...: each address is answered by its pool.
serves() {
  while [ $# -gt 0 ]; do
    is "$(body "$2" "$who")" "$1" "the pool behind $2"
    shift 2
  done
}

@test "by address, whatever the names and the order" {
  local order
  # The names say the opposite.
  hold a=unix b=unix
  for order in 'a b' 'b a'; do
    rm -f "$dir/php-fpm.conf"
    for pool in $order; do
      case $pool in
        a) configure a "$b" ;;
        b) configure b "$a" ;;
      esac
    done
    serve
    serves a "$b" b "$a"
    reload
    serves a "$b" b "$a"
    end QUIT
    is "$status" 0
  done
}

@test "by address, of different kinds" {
  hold one=4 two=unix three=6
  configure unix "$two"
  configure v6 "$three"
  configure v4 "$one"
  serve
  serves unix "$two" v6 "$three" v4 "$one"
}

@test "by name, if the addresses are others" {
  local order
  hold a=unix b=unix
  for order in 'a b' 'b a'; do
    rm -f "$dir/php-fpm.conf"
    for pool in $order; do
      case $pool in
        a) configure a 9000 ;;
        b) configure b "$dir/elsewhere.sock" ;;
      esac
    done
    serve
    serves a "$a" b "$b"
    reload
    serves a "$a" b "$b"
    end QUIT
    is "$status" 0
  done
}

@test "one by address, the other by name" {
  hold a=unix b=4
  configure a 127.0.0.1:9000
  configure other "$b"
  serve
  serves a "$a" other "$b"
}

@test "an address wins over a name" {
  hold a=unix b=unix
  configure a "$b"
  configure b "$a"
  serve
  serves a "$b" b "$a"
}

@test "eight pools on eight sockets" {
  local n pools=() address
  hold p1=unix p2=4 p3=unix p4=6 p5=unix p6=unix p7=4 p8=unix
  for n in 5 3 8 1 7 2 6 4; do
    address=p$n
    configure "$address" "${!address}" 'pm.max_children = 1'
    pools+=("$address" "${!address}")
  done
  serve
  serves "${pools[@]}"
}
