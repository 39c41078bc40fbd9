#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# bats file_tags=host
# `make bench` measures: here only that it does, since what it finds is no matter for a test.

load ../helpers

setup() { start_test; }
teardown() { end_test; }

@test "make bench: both servers answer, on every path, and their system calls are counted" {
  make -s -C "$BATS_TEST_DIRNAME/../.." bench BENCH_ROUNDS=1 BENCH_SECONDS=1 >"$dir/bench.log" 2>&1
  is "$(grep -Ec '^(unix socket|TCP)(, kept alive)? +(1|4|16) +([0-9.]+ \([0-9.]+-[0-9.]+\) +){3}[0-9.]+ -> [0-9.]+$' \
    "$dir/bench.log")" 12 "$(<"$dir/bench.log")"
  contains "$(<"$dir/bench.log")" 'System calls of a worker for one request, unix socket:'
  contains "$(<"$dir/bench.log")" 'System calls of a worker for one request, unix socket, kept alive:'
}
