#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# fpm-waker maintenance, the same in every engine. (Its page, its words: bats/units/maintenance.bats.)

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
  end_test
}

switch() { as_owner fpm-waker maintenance --conf="$conf" "$1"; }

no_server() { [ -z "$(server)" ]; }

# A running server finishes its requests, is stopped, and is there again afterwards; one that sleeps wakes
# for the page alone.
is_maintained() {
  local main
  engine_vhost "$1" StopAfterSec=infinity
  script=$scripts/hello.php
  is_served
  main=$(main_pid)
  hold_request
  switch on
  wait_for says 'Stopping for maintenance'
  let_go
  wait_for says 'In maintenance'
  wait_for no_server
  unavailable 60
  switch off
  wait_for served
  wait_for not responder
  is "$(main_pid)" "$main" "the same service"

  manager stop "$unit.service"
  switch on
  has_slept || fail "it woke for maintenance"
  contains "$(hello | tr -d '\r')" $'Status: 503 Service Unavailable\nRetry-After: 60\n'
  no_server || fail "the page woke the server"
  manager stop "$unit.service"
  is "$(manager show -P Result "$unit.service")" success
  switch off
  is_served
}

@test "docker: maintenance, awake and asleep" { is_maintained docker; }
@test "podman: maintenance, awake and asleep" { is_maintained podman; }
@test "rootless podman: maintenance, awake and asleep" { is_maintained rootless; }
@test "nspawn: maintenance, awake and asleep" { is_maintained nspawn; }
@test "native: maintenance, awake and asleep" { is_maintained native; }
