#!/usr/bin/env bats
# bats file_tags=host
# SPDX-License-Identifier: MIT
#
# preload/record.c by itself, against a judge that has the whole stream before it (whole.c).
# `make fuzz` is the long form of this.

load ../helpers

setup() { start_test; }
teardown() { end_test; }

@test "streams of every shape, cut in every way" {
  run timeout 120 "$build/test/record-test"
  is "$status $output" '0 '
}

# fuzz RUNS SIZE: so many inputs of up to SIZE bytes, the same ones each time.
fuzz() {
  mkdir "$dir/seeds"
  "$build/test/record-test" "$dir/seeds"
  run timeout 300 "$build/test/record-fuzz" -seed=1 "-runs=$1" "-max_len=$2" \
    "-artifact_prefix=$dir/" "$dir/seeds"
  is "$status" 0 "$output"
  contains "$output" "Done $1 runs"
}

@test "fuzzed, short streams" { fuzz 400000 4096; }
@test "fuzzed, as long as two of the largest records" { fuzz 4000 140000; }
