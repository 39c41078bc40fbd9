#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# A short form of `make soak`: real php-fpm behind real systemd, and requests that are aimed at its
# idle exit. None is lost, none hangs.

load ../helpers
load vhosts
load parts

setup_file() { set_up_soak; }

setup() {
  start_test
  seed=$RANDOM hammer_log=$dir
  echo "seed $seed"
}

teardown() {
  [ -n "${BATS_TEST_COMPLETED:-}" ] || tail -n 20 "$dir"/*.losses "$dir"/*.report
  stop_vhosts
  end_test
}

# none_lost ENDS SIGNALS: and there were so many ends and signals at least.
none_lost() {
  is "$lost lost, $cut cut off, $hang hanging" '0 lost, 0 cut off, 0 hanging'
  [ "$ends" -ge "$1" ] || fail "only $ends ends"
  [ "$signals" -ge "$2" ] || fail "only $signals signals"
}

@test "requests at the moment of the idle exit" {
  idle_exits --requests=10000000 --seconds=20
  none_lost 50 0
}

@test "workers are killed: each takes one request with it at most" {
  killed_workers --requests=10000000 --seconds=8
  none_lost 10 50
}

@test "the masters get SIGQUIT, SIGTERM and SIGUSR2" {
  signalled_masters --requests=10000000 --seconds=8
  none_lost 10 20
}

@test "systemctl stop, restart and reload" {
  systemctl_verbs --requests=10000000 --seconds=8
  none_lost 10 10
}

@test "the host is short of processors" {
  short_of_processors 8 --requests=10000000
  none_lost 10 0
}

@test "requests at the moment of the freeze, and of each other tier" {
  native_tiers --requests=10000000 --seconds=20
  none_lost 10 10
}

@test "the same in Docker" {
  docker_tiers --requests=10000000 --seconds=20
  none_lost 1 5
}

@test "the same in podman and nspawn" {
  other_tiers --requests=10000000 --seconds=15
  none_lost 1 3
}

@test "behind nginx, which tries nothing twice" {
  behind_nginx --requests=10000000 --seconds=8
  none_lost 5 0
}

@test "php-fpm that gets a plain signal when it is idle loses requests: these clients do see that" {
  signalled 'plain SIGQUIT' QUIT "$hasty" --requests=10000000 --seconds=5
  [ "$lost" -gt 0 ] || fail "nothing was lost"
}
