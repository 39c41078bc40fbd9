#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# A non-blocking listener makes the workers of a bare php-fpm exit at once, again and again, while
# every request is answered: only their number tells.

load ../helpers
load vhost

setup() { start_vhost; }
teardown() { end_vhost; }

# no_exit: the same workers before and after many requests, and php-fpm has logged no exit.
no_exit() {
  local before
  configure www "$www" 'pm = static' 'pm.max_children = 4'
  serve "$@"
  is_up "$www"
  wait_for have_workers 4 # the first may answer before the last is there
  before=$(workers)
  "$fastcgi" --clients=8 --requests=100 "$www" "$hello"
  is_up "$www"
  is "$(workers)" "$before"
  is "$(grep -c 'exited' "$dir/php-fpm.log")" 0
  end QUIT
  is "$status" 0
}

have_workers() { [ "$(workers | wc -l)" = "$1" ]; }

@test "passed blocking" { hold www=unix && no_exit; }
@test "passed non-blocking" { hold www=unix && holder_options=--nonblock no_exit; }
@test "passed non-blocking, TCP" { hold www=4 && holder_options=--nonblock no_exit; }
@test "with idle exit" { hold www=unix && no_exit --exit-idle-time=1min; }

@test "more workers than the gate has slots" {
  ulimit -Sn 8192 # php-fpm has two pipes for each of them
  hold www=unix
  configure www "$www" 'pm = static' 'pm.max_children = 1030'
  serve
  is_up "$www"
  wait_for -t 60 have_workers 1030
  "$fastcgi" --clients=20 --requests=200 "$www" "$hello"
  is "$(grep -c 'exited' "$dir/php-fpm.log")" 0
  is "$(workers | wc -l)" 1030
  end QUIT 30
  is "$status" 0
}

@test "two servers, one after the other, on a socket that the first left as it is" {
  hold www=unix
  no_exit
  rm "$dir/php-fpm.conf" "$dir/php-fpm.log"
  holder_options=--nonblock no_exit
}
