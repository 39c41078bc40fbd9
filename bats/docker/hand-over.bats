#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Who is refused on the hand-over socket, and that it harms nobody.

load ../helpers
load waker

setup() {
  start_vhost_test
  handover=/run/fpm-waker-handover/waker/handover
  # The container is there, but its launcher waits until the test says go.
  vhost -v "$dir:/gates" --entrypoint sh php -c \
    "until [ -e /gates/go ]; do sleep 0.1; done; exec $launcher --exit-idle-time=1min -- php-fpm"
  systemctl start --no-block "$service"
  wait_for is_served
  wait_for docker inspect waker
}

teardown() { end_vhost_test; }

is_served() { [ -S "$handover" ]; }

# say BYTES: one message on the hand-over socket, then waits for the other side to hang up.
say() { printf %b "$1" | socat -t 8 - "UNIX-CONNECT:$handover,type=5"; }

refusals() { log_of_test | grep -c "refused process .*: $1\$" || true; }

is_refused() { is "$(refusals "$1")" "${2:-1}" "lines with the reason: $1"; }

# The hello that fpm-launcher says: magic and version, little endian.
hello_bytes='\x68\x6d\x70\x66\x03\x00\x00\x00'

hand_over() {
  touch "$dir/go"
  contains "$(hello)" hello
}

@test "garbage, half a message, silence and a wrong program are refused; the launcher is served" {
  local began
  say 'GET / HTTP/1.0\r\n\r\n'
  is_refused 'not a word of the hand-over'
  say '\x68\x6d'
  is_refused 'half a message'
  say '\x68\x6d\x70\x66\x63\x00\x00\x00'
  is_refused 'fpm-launcher of another version'
  say "$hello_bytes"
  is_refused 'it is not fpm-launcher'
  say "${hello_bytes}more"
  is_refused 'not a word of the hand-over' 2

  # Nobody waits for the silent one: the launcher is served meanwhile.
  began=$(now_ms)
  mkfifo "$dir/silence"
  start silent socat -t 0.1 "OPEN:$dir/silence,rdwr" "UNIX-CONNECT:$handover,type=5"
  wait_for client_is_connected
  hand_over
  wait "$pid"
  is_refused 'silent for two seconds'
  [ $(($(now_ms) - began)) -lt 6000 ] || fail "it took $(($(now_ms) - began)) ms"
}

client_is_connected() { [ "$(ss -Hx state connected | grep -c "$handover")" -ge 1 ]; }

@test "many silent clients neither block the launcher nor the stop" {
  local n
  mkfifo "$dir/silence"
  for n in 1 2 3 4 5 6 7 8 9 10; do
    start "silent$n" socat -t 0.1 "OPEN:$dir/silence,rdwr" "UNIX-CONNECT:$handover,type=5"
  done
  wait_for logged 'silent while others wait'
  wait_for logged 'silent for two seconds'
  hand_over
  systemctl stop waker.socket "$service"
  is "$(systemctl show -P Result "$service")" success
}

@test "while the container lives, a second launcher is refused and the first serves on" {
  local status=0
  hand_over
  docker exec waker "$launcher" -- true >"$dir/second" 2>&1 || status=$?
  is "$status" 6 "$(cat "$dir/second")"
  is_refused 'the sockets are already in a living container'
  fpm-launcher --handover="$handover" -- true >"$dir/second" 2>&1 || status=$?
  is "$status" 6 "$(cat "$dir/second")"
  is_refused 'the sockets are already in a living container' 2
  say 'nonsense'
  is_refused 'not a word of the hand-over'
  contains "$(hello)" hello
  is "$(docker ps -q | wc -l)" 1
  is "$(systemctl show -P ActiveState "$service")" active
}

@test "no user of the host but root reaches the socket" {
  hand_over
  is "$(stat -c %a /run/fpm-waker-handover /run/fpm-waker-handover/waker "$handover" | xargs)" \
    '700 711 666'
  setpriv --reuid=33 --clear-groups socat - "UNIX-CONNECT:$handover,type=5" </dev/null \
    2>"$dir/denied" && fail "it came through"
  contains "$(cat "$dir/denied")" 'Permission denied'
}

@test "one socket has one fpm-waker; a killed one's is replaced" {
  local status=0
  hand_over
  systemd-run -q --wait --collect -p StandardError=file:"$dir/second" sh -c \
    'exec systemd-socket-activate -l "$0/socket" fpm-waker run --handover="$1" -- true' \
    "$dir" "$handover" &
  wait_for test -S "$dir/socket"
  request "$dir/socket" /none >/dev/null 2>&1 || true
  wait $! || status=$?
  is "$status" 6 "$(cat "$dir/second")"
  contains "$(cat "$dir/second")" "cannot listen at $handover: Address already in use"
  contains "$(hello)" hello "the first one is harmed"
}
