#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Resident mode: whoever has lost his parent, and what a run leaves behind.

load ../helpers
load ../preload/vhost
load launching
load resident

@test "orphans are reaped" {
  local orphan n
  orphan=$(page orphan.php <<<'<?php exec("(true &) ; (sleep 0.2 &)"); echo "ok\n";')
  live --exit-idle-time=1min
  for n in 1 2 3; do
    is "$(get "$www" "$orphan" '')" ok
  done
  wait_for has_no_orphan
  stop TERM
}

@test "helpers of an entrypoint end with each run, and do not keep the next one awake" {
  local run
  # shellcheck disable=SC2016 # for the inner shell
  live --exit-idle-time=200ms --background-limit=1h -- sh -c 'sleep 300 & exec "$@"' sh "$server_binary" -F -y \
    "$dir/php-fpm.conf"
  for run in 1 2 3; do
    is_up "$www"
    wait_for is_asleep
    is "$(of_this_test)" "$resident"
  done
  is "$(<"$dir/resident.log")" ''
  stop TERM
}

@test "a program of a request is waited for, and killed when its limit is over" {
  local leave
  leave=$(page leave.php <<<'<?php exec("sleep 300 >/dev/null 2>&1 & echo $! >" . dirname(__DIR__) .
    "/out/program"); echo "left\n";')
  live --exit-idle-time=200ms --background-limit=2s
  is "$(get "$www" "$leave" '')" left
  sleep 1 # time is what is tested
  kill -0 "$(<"$dir/out/program")"
  is_awake
  wait_for is_asleep
  is_gone "$(<"$dir/out/program")" || fail 'the program runs on'
  has_line "$dir/resident.log" "cutting off .* $(<"$dir/out/program") \(sleep\)"
  stop TERM
}

@test "what ran before the resident is left alone, and reaped when it ends" {
  local helper
  cat >"$dir/before" <<END
#!/bin/sh
sleep 300 &
echo \$! >$dir/out/helper
exec "\$@"
END
  chmod +x "$dir/before"
  as=$dir/before live --exit-idle-time=200ms
  helper=$(<"$dir/out/helper")
  is_only_child "$helper"
  is_up "$www"
  wait_for has_started 1
  wait_for is_only_child "$helper"
  is_up "$www"
  wait_for has_started 2
  wait_for is_only_child "$helper"
  kill "$helper"
  wait_for is_asleep # no zombie either
  stop TERM
}
is_only_child() { [ "$(pgrep -P "$resident")" = "$1" ]; }

@test "a master that is killed: its worker's request is finished, and the next run serves" {
  live --exit-idle-time=300ms
  nap_begin 1 2.5
  kill -KILL "$(pgrep -P "$resident" -f master)"
  wait_for has_said 'was ended by signal 9'
  is_up "$www"
  [ ! -e "$dir/out/1.ended" ]
  wait "$client"
  is "$(<"$dir/resident.log")" \
    'fpm-launcher: the server was ended by signal 9; the next start is in 1 s at the earliest'
  wait_for is_asleep
  is "$(times_ready)" 2
  stop TERM
}

@test "a stop right after that waits for the request, too" {
  live
  nap_begin 1 2
  kill -KILL "$(pgrep -P "$resident" -f master)"
  wait_for has_said 'was ended by signal 9'
  kill "$resident"
  has_ended 0
  [ -e "$dir/out/1.ended" ]
  wait "$client"
}

@test "a server that goes to the background is followed" {
  live --exit-idle-time=300ms -- "$server_binary" -D -y "$dir/php-fpm.conf"
  is_up "$www"
  wait_for has_started 1
  wait_for is_asleep
  is_up "$www"
  nap_begin 1 1
  stop QUIT
  wait "$client"
  is "$(<"$dir/resident.log")" ''
}
