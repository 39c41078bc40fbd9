#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What happens to a vhost, the same in every engine.

load ../helpers
load ../unavailable
load ../podman/podman
load engines

setup_file() { prepare_engines; }

setup() {
  start_test
  began=$EPOCHREALTIME
}

teardown() {
  remove_engine_vhost
  if [ -e /etc/docker/daemon.json ]; then
    rm /etc/docker/daemon.json
    restart_docker
  fi
  end_test
}

# --- the scenarios -------------------------------------------------------------------------------

# Cold, warm, asleep, and again.
life() {
  goes_down "$1" sleeps_cleanly StopAfterSec=1s
}

# goes_down ENGINE HOW LINE...: what a vhost with that conf does when nobody asks, twice.
goes_down() {
  local before first
  engine_vhost "$1" "${@:3}"
  before=$(socket_identity "$socket" && backlog "$socket")
  has_slept || fail "it runs before the first request"
  for _ in 1 2; do
    is_served
    first=$(main_pid)
    is_served
    is_awake
    is "$(main_pid)" "$first" "the same service"
    "$2"
    is "$(socket_identity "$socket" && backlog "$socket")" "$before" "the socket changed"
  done
  is_served
}

# Frozen, thawed by a request, frozen again, light, woken, and down to nothing.
through_the_tiers() {
  local main master
  main=$(main_pid)
  wait_for rests Frozen
  master=$(server)
  is_served
  is "$(server)" "$master" "the server was thawed"
  wait_for rests Frozen
  wait_for rests Light
  is "$(server)" ''
  is_served
  [ "$(server)" != "$master" ] || fail "it is still the server of before"
  is "$(main_pid)" "$main" "the same service"
  sleeps_cleanly
}
rests() { [[ $(status_text) == "$1 since "* ]]; }

tiers() {
  goes_down "$1" through_the_tiers FreezeAfterSec=500ms LightAfterSec=3s StopAfterSec=5s
}

# SIGKILL of fpm-waker while nothing moves: the next request is served, and nothing is left.
is_killed_frozen() {
  engine_vhost "$1" FreezeAfterSec=500ms StopAfterSec=1h
  is_served
  wait_for rests Frozen
  kill -KILL "$(main_pid)"
  is_served
  wait_for rests Frozen
  manager stop "$unit.service"
  nothing_remains || fail "$(remains)"
}

# The master stays, its workers are new ones; a request that is running is waited for.
reloads() {
  local before after
  engine_vhost "$1" StopAfterSec=infinity
  before=$(hello | tail -n 1)
  hold_request
  manager reload --no-block "$unit.service"
  wait_for says Reloading
  let_go
  wait_for says 'Serving requests'
  after=$(hello | tail -n 1)
  is "${after% *}" "${before% *}" "the master"
  [ "$after" != "$before" ] || fail "the same worker: $after"
}

# It ends, and another one comes while the stop waits: that one wakes the vhost again.
stops_behind_request() {
  local stop
  engine_vhost "$1" StopAfterSec=infinity
  is_served
  hold_request
  start stop manager stop "$unit.service"
  stop=$pid
  wait_for says 'Stopping when the running requests are done'
  start late "$fastcgi" --timeout=60 "$socket" "$scripts/hello.php"
  let_go
  wait "$stop"
  wait "$pid"
  contains "$(cat "$dir/late.log")" 'hello from '
}

# Three stops while four clients ask without a pause, and a last sleep: none of them is refused.
stops_under_load() {
  local load
  engine_vhost "$1" StopAfterSec=1s
  start load "$fastcgi" --clients=4 --duration=6 --timeout=60 --expect=hello "$socket" "$scripts/hello.php"
  load=$pid
  for _ in 1 2 3; do
    wait_for is_awake
    manager stop "$unit.service"
  done
  wait "$load" || fail "requests were lost: $(cat "$dir/load.log")"
  matches "$(cat "$dir/load.log")" '^ok [1-9][0-9]* lost 0'
  sleeps_cleanly
}

# crashes ENGINE COMMAND...: the server's own process is killed by that; the vhost is back by itself.
crashes() {
  local before
  engine_vhost "$1" StopAfterSec=3s
  before=$(socket_identity "$socket")
  is_served
  "${@:2}" >/dev/null
  wait_for served
  sleeps_cleanly
  is_served
  is "$(socket_identity "$socket")" "$before" "the socket changed"
}

# conmon knows how to clean up, and does not any more: the container serves on, and the next one
# replaces what is left of it.
loses_monitor() {
  engine_vhost "$1" StopAfterSec=2s
  is_served
  pkill -KILL -x conmon
  is_served
  wait_for has_slept
  is_served
  sleeps_cleanly
}

kill_server() { kill -KILL "$(server)"; }

# Nothing is left behind, and the next request is served at once, while that is still so or later.
is_killed() {
  local before former
  engine_vhost "$1" StopAfterSec=1s
  before=$(socket_identity "$socket")
  is_served
  former=$(main_pid)
  kill -KILL "$former"
  # Until then the former server may still take a request, and be killed with it.
  wait_for is_not_main "$former"
  is_served
  sleeps_cleanly
  is_served
  kill -KILL "$(main_pid)"
  wait_for nothing_remains || fail "$(remains)"
  is_served
  is "$(socket_identity "$socket")" "$before" "the socket changed"
}

is_not_main() { [ "$(main_pid)" != "$1" ]; }

restart_docker() {
  systemctl reset-failed docker.service docker.socket 2>/dev/null || true
  systemctl restart docker
}

# daemon_restarts ENGINE LIVE_RESTORE
daemon_restarts() {
  echo "{\"live-restore\": $2}" >/etc/docker/daemon.json
  restart_docker
  engine_vhost "$1" StopAfterSec=3s
  restart_docker
  is_served
  restart_docker
  wait_for served
  sleeps_cleanly
  restart_docker
  is_served
}

# --- the engines ---------------------------------------------------------------------------------

@test "docker: cold, warm, asleep, and again" { life docker; }
@test "docker: frozen, light, stopped" { tiers docker; }
@test "docker: a reload" { reloads docker; }
@test "docker: a stop during a request" { stops_behind_request docker; }
@test "docker: stops under load" { stops_under_load docker; }
@test "docker: a crash of the container" { crashes docker kill_server; }
@test "docker: docker kill" { crashes docker docker kill "fpm-waker-my-site.example.com"; }
@test "docker: a kill of fpm-waker" { is_killed docker; }
@test "docker: a kill of fpm-waker while frozen" { is_killed_frozen docker; }
@test "docker: a restart of the daemon, without live-restore" { daemon_restarts docker false; }
@test "docker: a restart of the daemon, with live-restore" { daemon_restarts docker true; }

@test "docker run: cold, warm, asleep, and again" { life wrapper; }
@test "docker run: a reload" { reloads wrapper; }
@test "docker run: a stop during a request" { stops_behind_request wrapper; }
@test "docker run: stops under load" { stops_under_load wrapper; }
@test "docker run: a crash of the container" { crashes wrapper kill_server; }
@test "docker run: docker kill" { crashes wrapper docker kill wrapped; }
@test "docker run: a kill of fpm-waker" { is_killed wrapper; }
@test "docker run: a restart of the daemon, without live-restore" { daemon_restarts wrapper false; }
@test "docker run: a restart of the daemon, with live-restore" { daemon_restarts wrapper true; }

@test "podman: cold, warm, asleep, and again" { life podman; }
@test "podman: frozen, light, stopped" { tiers podman; }
@test "podman: a reload" { reloads podman; }
@test "podman: a stop during a request" { stops_behind_request podman; }
@test "podman: stops under load" { stops_under_load podman; }
@test "podman: a crash of the container" { crashes podman kill_server; }
@test "podman: podman kill" { crashes podman podman kill "fpm-waker-my-site.example.com"; }
@test "podman: a kill of the monitor" { loses_monitor podman; }
@test "podman: a kill of fpm-waker" { is_killed podman; }
@test "podman: a kill of fpm-waker while frozen" { is_killed_frozen podman; }

@test "rootless podman: cold, warm, asleep, and again" { life rootless; }
@test "rootless podman: frozen, light, stopped" { tiers rootless; }
@test "rootless podman: a reload" { reloads rootless; }
@test "rootless podman: a stop during a request" { stops_behind_request rootless; }
@test "rootless podman: stops under load" { stops_under_load rootless; }
@test "rootless podman: a crash of the container" { crashes rootless kill_server; }
@test "rootless podman: podman kill" { crashes rootless as_owner podman kill "fpm-waker-my-site.example.com"; }
@test "rootless podman: a kill of the monitor" { loses_monitor rootless; }
@test "rootless podman: a kill of fpm-waker" { is_killed rootless; }
@test "rootless podman: a kill of fpm-waker while frozen" { is_killed_frozen rootless; }

@test "nspawn: cold, warm, asleep, and again" { life nspawn; }
@test "nspawn: frozen, light, stopped" { tiers nspawn; }
@test "nspawn: a reload" { reloads nspawn; }
@test "nspawn: a stop during a request" { stops_behind_request nspawn; }
@test "nspawn: stops under load" { stops_under_load nspawn; }
@test "nspawn: a crash of the server" { crashes nspawn kill_server; }
@test "nspawn: a kill of systemd-nspawn" { crashes nspawn pkill -KILL -x systemd-nspawn; }
@test "nspawn: a kill of fpm-waker" { is_killed nspawn; }
@test "nspawn: a kill of fpm-waker while frozen" { is_killed_frozen nspawn; }

@test "native: cold, warm, asleep, and again" { life native; }
@test "native: frozen, light, stopped" { tiers native; }
@test "native: a reload" { reloads native; }
@test "native: a stop during a request" { stops_behind_request native; }
@test "native: stops under load" { stops_under_load native; }
@test "native: a crash of the server" { crashes native kill_server; }
@test "native: a kill of fpm-waker" { is_killed native; }
@test "native: a kill of fpm-waker while frozen" { is_killed_frozen native; }
