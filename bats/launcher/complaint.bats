#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Which line of what a server wrote before it ended is said to be why.

load ../helpers
load ../preload/vhost
load launching

setup() { start_test; }
teardown() { end_test; }

# chooses EXPECTED LINE...
chooses() { is "$(printf '%s\n' "${@:2}" | "$unit_test" complaint)" "$1" "${*:2}"; }

@test "the first line that speaks of an error, else the last, without php-fpm's time" {
  chooses ''
  chooses '' '' '  '
  chooses 'b' 'a' 'b' '' ' '
  chooses 'ERROR: [/etc/x.conf:2] unknown entry' \
    '[26-Nov-2026 01:49:21] NOTICE: configuration file /etc/x.conf' \
    '[26-Nov-2026 01:49:21] ERROR: [/etc/x.conf:2] unknown entry' \
    '[26-Nov-2026 01:49:21] ERROR: FPM initialization failed'
  chooses 'WARNING: gone' '[26-Nov-2026 01:49:21.123456] WARNING: gone'
  chooses 'PHP Fatal error: no' 'first' 'PHP Fatal error: no' 'last'
  chooses '[pool www] gone' '[pool www] gone'
  chooses '[1' '[1'
  chooses '[1]x' '[1]x'
}
