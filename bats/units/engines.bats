#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The sockets of one vhost with different engines: one goes before the next one comes.

load ../helpers

engines=(fpm-waker fpm-waker-native fpm-waker-nspawn fpm-waker-podman)
vhost=switched.example.com
path=/run/fpm-waker/$vhost.sock

setup() { start_test; }

teardown() {
  systemctl stop "${engines[@]/%/@$vhost.socket}" "fpm-waker-engine-"{a,b}"@$vhost.target"
  end_test
}

state() { systemctl is-active "$1@$vhost.socket" || true; }

@test "starting one engine's socket stops that of any other, and the path is the new one's" {
  local old new before
  for old in "${engines[@]}"; do
    for new in "${engines[@]}"; do
      [ "$old" != "$new" ] || continue
      systemctl start "$old@$vhost.socket"
      before=$(socket_identity "$path")
      systemctl start "$new@$vhost.socket"
      is "$(state "$old") $(state "$new")" "inactive active" "$old, then $new"
      [ "$(socket_identity "$path")" != "$before" ] || fail "$old, then $new: still the old socket"
      is "$(stat -c '%U:%G %a' "$path")" "root:www-data 660"
      is "$(backlog "$path")" 4096 "$old, then $new: nobody listens"
      systemctl stop "$new@$vhost.socket"
      [ ! -e "$path" ] || fail "$old, then $new: the path is left"
    done
  done
}

@test "a socket can be started, stopped and started again" {
  local engine
  for engine in "${engines[@]}"; do
    systemctl start "$engine@$vhost.socket"
    systemctl restart "$engine@$vhost.socket"
    is "$(state "$engine")" active "$engine"
    is "$(backlog "$path")" 4096 "$engine"
  done
}

@test "a vhost's socket does not have systemd load the units of other engines" {
  local engine
  for engine in "${engines[@]}"; do
    systemctl start "$engine@$vhost.socket"
    is "$(systemctl list-units --all --no-legend --plain "*@$vhost.*" | grep -c "^$engine@")" 2
    systemctl stop "$engine@$vhost.socket"
  done
  is "$(systemctl list-dependencies --all --plain --no-pager fpm-waker@$vhost.socket |
    grep -c 'fpm-waker-\(native\|nspawn\|podman\)')" 0
}

@test "the web server's group gets to a socket, and others do not get to the hand-over" {
  systemctl start "fpm-waker@$vhost.socket"
  setpriv --reuid=www-data --regid=www-data --clear-groups socat -u OPEN:/dev/null "UNIX-CONNECT:$path"
  ! setpriv --reuid=nobody --regid=nogroup --clear-groups socat -u OPEN:/dev/null "UNIX-CONNECT:$path" \
    2>/dev/null || fail "nobody gets to it"
  is "$(stat -c '%a %U' /run/fpm-waker-handover)" "700 root"
}

@test "a drop-in may name another user, group and mode" {
  mkdir -p "/run/systemd/system/fpm-waker-native@$vhost.socket.d"
  printf '%s\n' '[Socket]' SocketUser=nobody SocketGroup=nogroup SocketMode=0600 \
    >"/run/systemd/system/fpm-waker-native@$vhost.socket.d/test.conf"
  systemctl daemon-reload
  systemctl start "fpm-waker-native@$vhost.socket"
  is "$(stat -c '%U:%G %a' "$path")" "nobody:nogroup 600"
  rm -r "/run/systemd/system/fpm-waker-native@$vhost.socket.d"
  systemctl daemon-reload
}
