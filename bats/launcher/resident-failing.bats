#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Resident mode: a server that fails is started again, after ever longer breaks.

load ../helpers
load ../preload/vhost
load launching
load resident

@test "a server that cannot start: ever longer breaks, and who waits is served after the repair" {
  local client waiting=() since took calls n
  mv "$dir/php-fpm.conf" "$dir/good.conf"
  echo '[www]' >"$dir/php-fpm.conf"
  live --exit-idle-time=1min
  since=$(now_ms)
  for n in 1 2 3; do
    start "client$n" "$fastcgi" --timeout=30 --expect=hello "$www" "$hello"
    waiting+=("$pid")
  done
  wait_for has_said 'next start is in 4 s'
  took=$(($(now_ms) - since))
  [ "$took" -ge 3000 ] || fail "three starts in $took ms"
  is "$(sed 's/\[.*\] //' "$dir/resident.log" | grep fpm-launcher)" \
    "fpm-launcher: the server ended with status 78 before it was ready; the next start is in 1 s at \
the earliest
fpm-launcher: the server ended with status 78 before it was ready; the next start is in 2 s at \
the earliest
fpm-launcher: the server ended with status 78 before it was ready; the next start is in 4 s at \
the earliest"
  calls=$(activity)
  mv "$dir/good.conf" "$dir/php-fpm.conf"
  for client in "${waiting[@]}"; do
    wait "$client"
  done
  took=$(($(now_ms) - since))
  [ "$took" -ge 7000 ] || fail "the fourth start was after $took ms"
  [ $(($(activity) - calls)) -le 15 ] || fail "it did not just wait: $(($(activity) - calls)) steps"
  stop TERM
}

@test "a signal for the server cuts the break short, a stop signal ends it" {
  local since
  live -- false
  start client "$fastcgi" --timeout=30 "$www" "$hello"
  wait_for has_said 'next start is in 2 s'
  since=$(now_ms)
  kill -HUP "$resident"
  wait_for has_said 'next start is in 4 s'
  kill -USR2 "$resident"
  wait_for has_said 'next start is in 8 s'
  [ $(($(now_ms) - since)) -lt 4000 ] || fail "it took $(($(now_ms) - since)) ms"
  since=$(now_ms)
  stop TERM
  [ $(($(now_ms) - since)) -lt 4000 ] || fail "it took $(($(now_ms) - since)) ms"
}

@test "a signal of before the failure does not cut the break short" {
  local since
  live -- sh -c "echo >>$dir/out/began; sleep 0.5; exit 1"
  start client "$fastcgi" --timeout=30 "$www" "$hello"
  wait_for test -e "$dir/out/began"
  kill -USR2 "$resident"
  wait_for has_said 'next start is in 1 s'
  since=$(now_ms)
  wait_for has_begun 2
  [ $(($(now_ms) - since)) -ge 800 ] || fail "started again after $(($(now_ms) - since)) ms"
  stop TERM
}
has_begun() { [ "$(wc -l <"$dir/out/began")" -ge "$1" ]; }

@test "a server that ends well without ever being ready has failed, too" {
  live -- true
  start client "$fastcgi" --timeout=30 "$www" "$hello"
  wait_for has_said 'ended with status 0 before it was ready; the next start is in 2 s'
  stop TERM
}

@test "a server that was ready is not punished for an earlier failure" {
  local since
  live -- sh -c "if [ -e $dir/out/bad ]; then exit 9; fi; exec $server_binary -F -y $dir/php-fpm.conf"
  is_up "$www"
  touch "$dir/out/bad"
  kill -QUIT "$(master)"
  wait_for is_asleep
  start client "$fastcgi" --timeout=30 --expect=hello "$www" "$hello"
  wait_for has_said 'status 9 before it was ready; the next start is in 2 s'
  rm "$dir/out/bad"
  wait "$pid"
  kill -KILL "$(master)"
  wait_for has_said 'was ended by signal 9; the next start is in 1 s'
  is_up "$www"
  kill -QUIT "$(master)"
  wait_for is_asleep
  since=$(now_ms)
  is_up "$www"
  [ $(($(now_ms) - since)) -lt 900 ] || fail "a good run was followed by a break"
  stop TERM
}

@test "after the break nobody waits any more: it sleeps" {
  live -- false
  "$fastcgi" --timeout=0.2 "$www" "$hello" || true
  wait_for has_said 'next start is in 1 s'
  # The connection is in the queue although its client is gone: a worker has to take it.
  wait_for has_said 'next start is in 2 s'
  stop TERM
}
