#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A vhost in a rootful podman container: fpm-waker-podman@.socket and .service, and a Quadlet.

load ../helpers
load podman
load ../unavailable

owner=root

setup_file() {
  prepare_podman
}

setup() {
  start_test
  began=$EPOCHREALTIME
}

teardown() {
  remove_podman_vhost
  end_test
}

@test "rootful: a vhost wakes, serves, sleeps and wakes; the socket stays as it was" {
  podman_vhost StopAfterSec=1s
  cycles
}

@test "rootful: no network, no new privileges, nothing leaks to programs that PHP starts" {
  podman_vhost StopAfterSec=infinity
  no_network_and_no_leak
}

@test "rootful: systemctl stop waits for the running request" {
  podman_vhost StopAfterSec=infinity
  stop_waits_for_request
}

@test "rootful: a program that a request left running holds the container awake" {
  podman_vhost StopAfterSec=1s
  program_holds
}

@test "rootful: time in which the container was paused is no idle time" {
  podman_vhost StopAfterSec=2s
  pause_is_not_idle
}

@test "rootful: while a container fails at each start, requests are answered, and served once it is repaired" {
  podman_vhost StopAfterSec=infinity
  answers_until_repaired
}

# Quadlet came with podman 4.4, Entrypoint= with 5.0: trixie has them, bookworm has not.
# bats test_tags=not-bookworm
@test "rootful: a Quadlet takes the place of the service, with the same socket" {
  quadlet_vhost 1s
  contains "$(manager show -P FragmentPath "$unit.service")" generator
  cycles
}

# bats test_tags=not-bookworm
@test "rootful: a Quadlet has no network, no new privileges, and nothing leaks" {
  quadlet_vhost infinity
  no_network_and_no_leak
}

# bats test_tags=not-bookworm
@test "rootful: systemctl stop of a Quadlet waits for the running request" {
  quadlet_vhost infinity
  stop_waits_for_request
}

# bats test_tags=not-bookworm
@test "rootful: a Quadlet that fails at each start, once repaired, serves the next request" {
  quadlet_vhost infinity
  crash_and_repair
}
