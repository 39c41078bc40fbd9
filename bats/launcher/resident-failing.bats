#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Resident mode: a server that fails is started again, after ever longer breaks, and requests get a 503
# meanwhile.

load ../helpers
load ../unavailable
load ../preload/vhost
load launching
load resident

# What unavailable() asks for.
ask_for_hello() { socket=$www script=$hello; }

served() { request "$www" "$hello" | grep -qx hello; }

# Asks, so that it goes on, until the log has a line.
asks_until_said() {
  request "$www" "$hello" >/dev/null
  has_said "$1"
}

@test "a server that cannot start: 503, ever longer breaks, and it is served after the repair" {
  local waiting=() since took calls n
  ask_for_hello
  mv "$dir/php-fpm.conf" "$dir/good.conf"
  echo '[www]' >"$dir/php-fpm.conf"
  live --exit-idle-time=1min
  since=$(now_ms)
  for n in 1 2 3; do
    start "client$n" "$fastcgi" --timeout=30 "$www" "$hello"
    waiting+=("$pid")
  done
  # It has only just been accepted by the time of the second start, and is spared by it.
  wait_for responder
  start silent "$fastcgi" --pause=3 "$www" "$hello"
  waiting+=("$pid")
  unavailable 1
  wait_for has_said 'next start is in 2 s'
  unavailable '[12]'
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
  unavailable '[34]'
  for pid in "${waiting[@]}"; do
    wait "$pid"
  done
  for n in client1 client2 client3 silent; do
    contains "$(cat "$dir/$n.log")" 'Status: 503 Service Unavailable'
  done
  calls=$(activity)
  mv "$dir/good.conf" "$dir/php-fpm.conf"
  wait_for served
  took=$(($(now_ms) - since))
  [ "$took" -ge 7000 ] || fail "the fourth start was after $took ms"
  # While the server starts, it looks every 20 ms whether that takes requests.
  n=$(($(activity) - calls))
  [ "$n" -le $((15 + (took - 7000) / 20)) ] || fail "it did not just wait: $n steps in $took ms"
  wait_for not responder
  stop TERM
}

@test "a signal for the server cuts the break short, a stop signal ends it" {
  local since
  live -- false
  contains "$(request "$www" "$hello")" 'Status: 503'
  wait_for asks_until_said 'next start is in 2 s'
  since=$(now_ms)
  kill -HUP "$resident"
  wait_for has_said 'next start is in 4 s'
  kill -USR2 "$resident"
  wait_for has_said 'next start is in 8 s'
  [ $(($(now_ms) - since)) -lt 1500 ] || fail "it took $(($(now_ms) - since)) ms"
  since=$(now_ms)
  stop TERM
  [ $(($(now_ms) - since)) -lt 1000 ] || fail "it took $(($(now_ms) - since)) ms"
}

@test "a signal of before the failure does not cut the break short" {
  local since
  ask_for_hello
  live -- sh -c "echo >>$dir/out/began; sleep 0.5; exit 1"
  start client "$fastcgi" --timeout=30 "$www" "$hello"
  wait_for test -e "$dir/out/began"
  kill -USR2 "$resident"
  wait_for has_said 'next start is in 1 s'
  since=$(now_ms)
  unavailable 1
  wait_for has_begun 2
  [ $(($(now_ms) - since)) -ge 800 ] || fail "started again after $(($(now_ms) - since)) ms"
  stop TERM
}
has_begun() { [ "$(wc -l <"$dir/out/began")" -ge "$1" ]; }

@test "a server that ends well without ever being ready has failed, too" {
  live -- true
  wait_for asks_until_said 'ended with status 0 before it was ready; the next start is in 2 s'
  stop TERM
}

@test "a server that was ready is not punished for an earlier failure" {
  local since
  live -- sh -c "if [ -e $dir/out/bad ]; then exit 9; fi; exec $server_binary -F -y $dir/php-fpm.conf"
  is_up "$www"
  touch "$dir/out/bad"
  kill -QUIT "$(master)"
  wait_for is_asleep
  wait_for asks_until_said 'status 9 before it was ready; the next start is in 2 s'
  rm "$dir/out/bad"
  wait_for served
  kill -KILL "$(master)"
  wait_for has_said 'was ended by signal 9; the next start is in 1 s'
  wait_for served
  kill -QUIT "$(master)"
  wait_for is_asleep
  since=$(now_ms)
  is_up "$www"
  [ $(($(now_ms) - since)) -lt 900 ] || fail "a good run was followed by a break"
  stop TERM
}

# The request itself is answered in the first break, so that a second start follows.
@test "after a break in which nobody has asked it sleeps, and the next request starts the server" {
  live -- false
  contains "$(request "$www" "$hello")" 'Status: 503'
  wait_for has_said 'next start is in 2 s'
  wait_for not responder
  is "$(said 'next start is in')" 2
  contains "$(request "$www" "$hello")" 'Status: 503'
  is "$(said 'next start is in 4 s')" 1
  stop TERM
}
