#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# bats file_tags=host
# `make demo` shows the main job, and shows it working.

load ../helpers

setup() { start_test; }
teardown() { end_test; }

@test "make demo: cold, warm, idle exit, and the next request wakes" {
  make -s -C "$BATS_TEST_DIRNAME/../.." demo >"$dir/demo.log" 2>&1
  contains "$(cat "$dir/demo.log")" 'Every request was answered.'
  contains "$(cat "$dir/demo.log")" '20 clients at once, 20 are answered'
  is "$(grep -c 'www-data 0 .*/run/fpm-waker/.*\.example\.com\.sock$' "$dir/demo.log")" 2
}
