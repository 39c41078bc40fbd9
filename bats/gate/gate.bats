#!/usr/bin/env bats
# bats file_tags=host
# SPDX-License-Identifier: MIT
#
# The protocol of the gate by itself, each case of gate-test.c under each sanitizer.

load ../helpers

setup() { start_test; }
teardown() { end_test; }

# check CASE: nothing is printed, not by the case and not by a sanitizer.
check() {
  local kind
  for kind in '' -asan -tsan; do
    # The thread sanitizer knows only some layouts of memory: no random one.
    run setarch -R timeout 180 "$build/test/gate-test$kind" "$1"
    is "$status $output" '0 ' "$1$kind"
  done
}

@test "never quiet while a worker holds a connection" { check hammer; }
@test "a dismissed worker takes no connection" { check dismissed; }
@test "who may be dismissed" { check dismissal; }
@test "never quiet while a kept-alive worker takes a request" { check kept-alive; }
@test "closing and opening twice is the same as once" { check idempotent; }
@test "a dead watchdog holds the gate no longer than its lease" { check lease; }
@test "a renewed lease holds longer" { check lease-renewed; }
@test "the master's closing has no lease" { check lease-is-not-for-the-master; }
@test "leases that lapse at once leave no closing eventfd raised" { check lapsing; }
@test "two closers at once are both sure of their closing" { check two-closers; }
@test "a closer that died half-way is made up for by the next one" { check died-between; }
@test "who parked is woken by the opening of the last closer" { check parked; }
@test "what each state counts as" { check look; }
@test "the countdown starts at readiness or at the last request's end" { check last-end; }
@test "a thousand slots, claimed, freed and claimed again" { check slots; }
@test "two that free a dead worker's slot at once never free the next one's" { check freers; }
@test "a new server on an old page" { check reset; }
@test "a new server beside workers of a killed one" { check reset-spares-orphans; }
@test "the first readiness of all outlives a reload" { check become-ready; }
@test "a page full of nonsense is read safely" { check nonsense; }
