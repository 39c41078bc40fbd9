#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# bats file_tags=host
# The gate's protocol as a Spin model (preload/gate.pml): every order of steps is tried. What is
# right finds no error, and each mistake is found, by the property that it breaks.

load ../helpers

setup() { start_test; }
teardown() { end_test; }

# search SIZE...: tries all orders. Prints "errors: 0", or the property that was broken.
search() {
  local sizes=("${@/#/-D}") found
  cd "$dir" || return
  spin -a "${sizes[@]}" "$tree/preload/gate.pml" >spin.log
  cc -w -O2 -DSAFETY -DNOREDUCE -DCOLLAPSE -DMEMLIM=2000 -o pan pan.c
  ./pan -E -m500000 -n >pan.log 2>&1
  found=$(sed -nE 's/^pan:1: assertion violated +!\((.*)\) \(at.*/\1/p' pan.log)
  # The whole of it was searched: neither depth nor memory came to an end.
  is "$(grep -cE 'max search depth too small|out of memory|Search not completed' pan.log)" \
    "$([ -z "$found" ] && echo 0 || echo 1)" "$(<pan.log)"
  echo "${found:-$(grep -o 'errors: [0-9]*' pan.log)}"
}

right() { is "$(search "$@")" 'errors: 0' "$*"; }

# wrong MISTAKE PROPERTY SIZE...
wrong() { is "$(search "$1" "${@:3}")" "$2" "$*"; }

@test "an idle exit cuts nothing off" { right LOOKS=1; }
@test "a stop cuts nothing off" { right SIGNALS=1; }
@test "a reload cuts nothing off, and the gate opens again" { right SIGNALS=1 RELOAD; }
@test "kept-alive clients lose nothing at a stop" { right SIGNALS=1 KEEP_ALIVE REQUESTS=2; }
@test "a watchdog that dies leaves no gate closed" { right LOOKS=1 WATCHDOG_DIES KEEP_ALIVE; }
@test "a worker that is killed strands nobody" { right KILLS=1; }
@test "a worker that is killed strands nobody, with pm = ondemand" { right ON_DEMAND KILLS=1; }

@test "mistake: the gate is read before the state is written" {
  wrong SWAPPED_ORDER stopped_busy LOOKS=1
  wrong SWAPPED_ORDER accepted_late SIGNALS=1
}
@test "mistake: no second look" { wrong NO_SECOND_LOOK stopped_busy LOOKS=1; }
@test "mistake: no look at the queue" { wrong NO_LOOK_AT_THE_QUEUE stopped_busy LOOKS=1; }
@test "mistake: no lease" { wrong NO_LEASE stays_closed LOOKS=1 WATCHDOG_DIES; }
@test "mistake: a dead worker's slot is not freed" { wrong WAITPID_DOES_NOT_FREE slot_lost KILLS=1; }
@test "mistake: a dead worker wakes nobody" { wrong WAITPID_DOES_NOT_WAKE stranded KILLS=1; }
@test "mistake: a look reads a state twice" {
  wrong TWO_LOADS request_cut SIGNALS=1 KEEP_ALIVE REQUESTS=2
}
@test "mistake: no goodbye" { wrong NO_GOODBYE request_lost SIGNALS=1 KEEP_ALIVE REQUESTS=2; }
@test "mistake: a dismissal that a new worker takes back" {
  wrong DISMISSED_IS_A_FLAG request_cut DISMISSALS=1 COLD
}
