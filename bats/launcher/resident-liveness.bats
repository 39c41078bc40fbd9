#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Resident mode: probes of liveness.

load ../helpers
load ../preload/vhost
load launching
load resident

# probe: what a probe gets.
probe() {
  local socket
  exec {socket}<>"/dev/tcp/127.0.0.1/$port"
  printf '%s\r\n' 'GET /healthz HTTP/1.1' 'Host: resident' '' >&"$socket"
  cat <&"$socket"
  exec {socket}>&-
}

live_probed() {
  port=$(free_port)
  live "--liveness=127.0.0.1:$port" "$@"
}

alive() { printf 'HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n' $((${#1} + 1)) &&
  printf 'Connection: close\r\n\r\n%s\n' "$1"; }

@test "liveness: asleep, awake, failing" {
  local n
  live_probed --exit-idle-time=200ms -- sh -c "[ ! -e $dir/out/bad ] || exit 9
    exec $server_binary -F -y $dir/php-fpm.conf"
  is "$(probe)" "$(alive asleep)"
  is "$(curl -s "http://127.0.0.1:$port/any")" asleep
  is_asleep
  nap_begin 1 1
  is "$(probe)" "$(alive awake)"
  wait "$client"
  wait_for is_asleep
  is "$(probe)" "$(alive asleep)"
  touch "$dir/out/bad"
  start client "$fastcgi" --timeout=30 "$www" "$hello"
  wait_for has_said 'next start'
  is "$(probe)" "$(alive failing)"
  stop TERM
}

@test "liveness: probes do not keep the server awake" {
  local n=0
  live_probed --exit-idle-time=2s
  is_up "$www"
  while is_awake; do
    is "$(probe)" "$(alive awake)" || is "$(probe)" "$(alive asleep)"
    n=$((n + 1))
    [ "$n" -lt 500 ] || fail 'it does not sleep'
    sleep 0.02 # as a hasty prober
  done
  [ "$n" -gt 5 ] || fail "only $n probes"
  is "$(times_ready)" 1
  stop TERM
}

@test "liveness: who just connects, closes, or is slow is no trouble" {
  local n since first
  live_probed --exit-idle-time=1min
  : <"/dev/tcp/127.0.0.1/$port"
  printf '\r\n\r\n\r\n' | socat -t 5 - "TCP:127.0.0.1:$port" >"$dir/out/blank"
  is "$(<"$dir/out/blank")" "$(alive asleep)"
  since=$(now_ms)
  is "$(socat -t 5 -u "TCP:127.0.0.1:$port" -)" "$(alive asleep)" 'to who says nothing'
  n=$(($(now_ms) - since))
  [ "$n" -ge 1900 ] && [ "$n" -lt 3500 ] || fail "answered after $n ms"

  # More silent ones than it has room for: others are answered at once, and requests served.
  for n in {1..40}; do
    exec {first}<>"/dev/tcp/127.0.0.1/$port"
  done
  since=$(now_ms)
  is "$(probe)" "$(alive asleep)"
  is_up "$www"
  is "$(probe)" "$(alive awake)"
  [ $(($(now_ms) - since)) -lt 1500 ] || fail "it took $(($(now_ms) - since)) ms"
  wait_for has_no_probe
  stop TERM
}

# The resident has its own four and the page's.
has_no_probe() { [ "$(find "/proc/$resident/fd" -lname 'socket:*' | wc -l)" = 2 ]; }

@test "liveness: the server and its children inherit nothing of it" {
  local process sockets first
  live_probed
  exec {first}<>"/dev/tcp/127.0.0.1/$port"
  is_up "$www"
  # Below 100 the resident has the liveness socket and its connections, from 100 on what is passed.
  sockets=$(find "/proc/$resident/fd" -lname 'socket:*' -name '?' -printf '%l\n' -o -lname 'socket:*' \
    -name '??' -printf '%l\n')
  is "$(wc -l <<<"$sockets")" 2
  for process in $(master) $(workers "$(master)"); do
    lacks "$(find "/proc/$process/fd" -printf '%l\n')" "$(head -n 1 <<<"$sockets")"
    lacks "$(find "/proc/$process/fd" -printf '%l\n')" "$(tail -n 1 <<<"$sockets")"
    is "$(find "/proc/$process/fd" -lname 'anon_inode:*signalfd*' -o -lname '*pidfd*')" ''
  done
  exec {first}>&-
  stop TERM
}

@test "by variables" {
  start resident env "VHOST_DIRECTORY=$dir" "FPM_WAKER_LISTEN=$www" FPM_WAKER_RESIDENT=yes \
    "FPM_WAKER_LIVENESS=$dir/live.sock" FPM_WAKER_EXIT_IDLE_TIME=200ms FPM_WAKER_BACKGROUND_LIMIT=0 \
    "FPM_WAKER_PRELOAD=$shim" "$launcher" "$server_binary" -F -y "$dir/php-fpm.conf"
  resident=$pid
  wait_for test -S "$dir/live.sock"
  chmod 666 "$www"
  is_up "$www"
  wait_for is_asleep
  is "$(curl -s --unix-socket "$dir/live.sock" http://resident/)" asleep
  stop TERM
}

@test "liveness on a unix socket" {
  live "--liveness=$dir/live.sock"
  is "$(curl -s --unix-socket "$dir/live.sock" http://resident/)" asleep
  stop TERM
}
