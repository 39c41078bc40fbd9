#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What systemd itself says about the units.

load ../helpers

kinds=(fpm-waker fpm-waker-native fpm-waker-nspawn fpm-waker-podman)

setup() {
  start_test
}

teardown() {
  end_test
}

@test "systemd-analyze verify is silent for all units" {
  local unit
  for unit in "${kinds[@]/%/@my-site.example.com.socket}" "${kinds[@]/%/@my-site.example.com.service}" \
    fpm-waker-engine-{a,b}@my-site.example.com.target fpm-waker-directories.service; do
    run systemd-analyze verify --man=no "$unit"
    is "$status $output" "0 " "$unit"
  done
  run systemd-analyze verify --man=no /usr/share/fpm-waker/{mysql,nginx}.service
  is "$status $output" "0 " "mysql.service, nginx.service"
}

@test "systemd-analyze verify is silent for the user's units" {
  export XDG_RUNTIME_DIR=$dir
  run systemd-analyze verify --user --man=no fpm-waker-podman@my-site.example.com.{socket,service}
  is "$status $output" "0 "
}

# Prints 1.7 for a service.
exposure() {
  systemd-analyze security --no-pager "$1" | sed -n 's/.*Overall exposure level.*: \([0-9.]*\) .*/\1/p'
}

@test "systemd-analyze security: at most 2.0, native and Docker" {
  local unit level
  for unit in fpm-waker-native@x.service fpm-waker@x.service; do
    level=$(exposure "$unit")
    echo "# $unit: $level" >&3
    [ "${level/./}" -le 20 ] || fail "$unit: $level"
  done
}

@test "the limits that could stop a vhost for good are off" {
  local kind
  for kind in "${kinds[@]}"; do
    is "$(systemctl show -P StartLimitIntervalUSec "$kind@x.service")" 0
    is "$(systemctl show -P TriggerLimitIntervalUSec "$kind@x.socket")" 0
    is "$(systemctl show -P Backlog "$kind@x.socket")" 4096
    is "$(systemctl show -P Listen "$kind@my-site.example.com.socket")" \
      "/run/fpm-waker/my-site.example.com.sock (Stream)"
  done
}

@test "no local user gets to a vhost's hand-over directory" {
  systemctl start fpm-waker@x.socket
  is "$(stat -c '%a %U' /run/fpm-waker-handover)" "700 root"
  systemctl stop fpm-waker@x.socket
  [ ! -e /run/fpm-waker/x.sock ] || fail "the socket's path outlived it"
}
