#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Another library in LD_PRELOAD that wraps the same functions (counting.c) sees its calls, and
# php-fpm works through both.

load ../helpers
load vhost

setup() {
  start_vhost
  hold www=unix
  : >"$dir/counts"
  chmod 666 "$dir/counts"
}
teardown() { end_vhost; }

# calls PID: the functions that the process has called, sorted.
calls() { awk -v pid="$1" '$1 == pid { print $2 }' "$dir/counts" | sort -u | tr '\n' ' '; }

@test "it sees the calls of master and workers" {
  local worker before name
  before=$(look "$www")
  configure www "$www" 'listen.owner = www-data' 'pm.max_children = 1'
  export COUNTING_FILE=$dir/counts
  LD_PRELOAD=$counting serve
  is_up "$www"
  worker=$(workers)
  is_up "$www"
  for name in bind chown close connect listen unlink; do
    contains " $(calls "$server")" " $name " 'the master'
  done
  for name in accept close poll read; do
    contains " $(calls "$worker")" " $name " 'the worker'
  done
  is "$(look "$www")" "$before"
  reload
  is_up "$www"
  end QUIT
  is "$status" 0
  is "$(look "$www")" "$before"
}

@test "it counts each request once" {
  local worker accepts
  configure www "$www" 'pm.max_children = 1'
  export COUNTING_FILE=$dir/counts
  LD_PRELOAD=$counting serve
  is_up "$www"
  worker=$(workers)
  accepts() { grep -c "^$worker accept\$" "$dir/counts"; }
  # The worker is back in accept().
  wait_for grep -q "^$worker accept\$" "$dir/counts"
  accepts=$(accepts)
  "$fastcgi" --clients=1 --requests=10 "$www" "$hello"
  again() { [ "$(accepts)" -ge $((accepts + 10)) ]; }
  wait_for again
  # One more or less: where the worker was at the two looks.
  [ "$(accepts)" -le $((accepts + 11)) ]
}

@test "several, separated as ld.so allows, and one that does not exist" {
  configure www "$www"
  LD_PRELOAD="$counting:/nonexistent.so  $counting" serve
  is_up "$www"
  end QUIT
  is "$status" 0
}

@test "in front of a server that is stopped while it is busy" {
  configure www "$www"
  export COUNTING_FILE=$dir/counts
  LD_PRELOAD=$counting serve
  is_up "$www"
  nap_begin nap 1
  end QUIT
  is "$status" 0
  wait "$client"
}
