#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# A span means here what it means to systemd, to the microsecond.

load ../helpers
load ../preload/vhost
load launching

setup() { start_test; }
teardown() { end_test; }

# Every unit, and what counts as one nowhere.
units=(usec us μs µs msec ms s sec second seconds m min minute minutes h hr hour hours
  d day days w week weeks M month months y year years)

@test "good spans: a unit each, fractions, sums, blanks" {
  local spans=(0 1 90 90s 5min 1.5s 100ms '1h 30min' '2 h' 1h30min '1y 12month' 0.5 .5 '1 .5' '5s 5ms' 1.0000001
    0.123456789h 1.5y '55s500ms' '300ms20s 5day' '  1s' '1s  ' $'1s\t2s\n' +5 +5s 2562047788015h 9223372036854s
    18446744073708s 1.999999999us 0.9999999ms 0.0 infinity ' infinity ' 00010 1.5.5s 1s.5 12.34s.56)
  local unit expected
  for unit in "${units[@]}"; do
    spans+=("1$unit" "2.5 $unit" "0.0625$unit 3$unit")
  done
  for span in "${spans[@]}"; do
    expected=$(LC_ALL=C.UTF-8 systemd-analyze timespan -- "$span" 2>/dev/null |
      sed -n 's/^ *[^ ]*s: \([0-9]*\)$/\1/p')
    case $expected in
      '') matches "$("$unit_test" span "$span")" '^E(INVAL|RANGE)$' "bad span $span" ;;
      18446744073709551615) is "$("$unit_test" span "$span")" infinity "$span" ;;
      *) is "$("$unit_test" span "$span")" "$expected" "$span" ;;
    esac
  done
}

@test "bad spans" {
  # shellcheck disable=SC2054 # the comma is in the text
  local spans=('' ' ' . s min 1. 1.s 1.5. 1.2.3 5x 5minx '5 x' 1,5 1e3 0x10 -1 -0 '1 -1' '- 1' 1-1 inf Infinity
    infinityx 'infinity 1' '1 infinity' ∞ 5MIN 5Ms $'1\x01' 99999999999999999999 584543y 18446744073710s
    '584000y 600y' 9223372036854775808us)
  for span in "${spans[@]}"; do
    ! systemd-analyze timespan -- "$span" >"$dir/out" 2>&1 || fail "systemd takes it: $span"
    matches "$("$unit_test" span "$span")" '^E(INVAL|RANGE)$' "bad span $span"
  done
}
