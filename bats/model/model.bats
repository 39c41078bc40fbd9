#!/usr/bin/env bats
# bats file_tags=host
# SPDX-License-Identifier: MIT
#
# The protocol of the gate in every order of its steps: preload/gate.pml, searched by Spin. And each
# mistake that the protocol is there to avoid, or that it once had, is found.

load ../helpers

setup() {
  start_test
  cd "$dir" || return
}
teardown() { end_test; }

# search KIND DEFINITION...: searches every order; pan's report is in $output. KIND is np, which also
# finds what never comes to an end, or safety, which is faster. (-E: a process that waits for ever is
# judged by quiescence().)
search() {
  local kind=$1 definitions=() options=(-E -n -m20000)
  shift
  definitions=("${@/#/-D}")
  spin -a "${definitions[@]}" "$tree/preload/gate.pml" >spin.log
  case $kind in
    np)
      options+=(-l)
      cc -w -O2 -DNP -DNOREDUCE -DCOLLAPSE -DMEMLIM=1900 -o pan pan.c
      ;;
    safety) cc -w -O2 -DSAFETY -DNOREDUCE -DCOLLAPSE -DMEMLIM=1900 -o pan pan.c ;;
  esac
  run timeout 600 ./pan "${options[@]}"
}

# holds KIND DEFINITION...: no error, and the search was complete.
holds() {
  local word
  search "$@"
  contains "$output" ', errors: 0' "$*"
  for word in 'pan:1' 'not completed' 'too small' MEMLIM 'out of memory'; do
    lacks "$output" "$word" "$*"
  done
  is "$status" 0 "$*"
}

# finds WHAT KIND DEFINITION...: the first error is this one.
finds() {
  local what=$1
  shift
  search "$@"
  is "$(grep '^pan:1:' <<<"$output" | sed 's/ (at depth .*//')" "pan:1: $what" "$*"
}

# --- what holds ----------------------------------------------------------------------------------

@test "a stop, also while workers start" {
  holds np SIGNALS=1
  holds np SIGNALS=1 COLD
  holds safety SIGNALS=1 CLIENTS=2
}

@test "the watchdog, once and twice" {
  holds np LOOKS=1
  holds np LOOKS=1 OPENING_WAKES
  holds safety LOOKS=1 COLD
  holds safety LOOKS=2
}

@test "the watchdog and a stop" { holds safety LOOKS=1 SIGNALS=1; }

@test "the watchdog and a reload" {
  holds np SIGNALS=1 RELOAD
  holds safety LOOKS=1 SIGNALS=1 RELOAD FREE_DEAD_SLOTS
}

@test "killed workers, and a stop" {
  holds np KILLS=1
  holds safety KILLS=1 SIGNALS=1
}

@test "killed workers, and a watchdog that frees their slots too" {
  holds safety KILLS=1 LOOKS=1 FREE_DEAD_SLOTS
}

@test "killed workers, and a watchdog that dies at any moment" {
  holds safety KILLS=1 LOOKS=1 WATCHDOG_DIES
}

@test "dismissed workers" {
  holds np DISMISSALS=1
  holds safety DISMISSALS=1 KILLS=1
  holds safety DISMISSALS=1 SIGNALS=1
}

@test "interrupted workers" { holds safety INTERRUPTS=1 DISMISSALS=1 KILLS=1; }

@test "no workers at first" {
  holds np ON_DEMAND CLIENTS=2
  holds safety ON_DEMAND CLIENTS=2 KILLS=1
  holds safety ON_DEMAND CLIENTS=2 DISMISSALS=1
}

@test "connections that are kept alive" {
  holds np KEEP_ALIVE ONE_WORKER REQUESTS=2 SIGNALS=1
  holds np KEEP_ALIVE ONE_WORKER REQUESTS=2 LOOKS=1 WATCHDOG_DIES
  holds safety KEEP_ALIVE ONE_WORKER REQUESTS=3 LOOKS=2
  holds safety KEEP_ALIVE ONE_WORKER LOOKS=1 SIGNALS=1 WATCHDOG_DIES
  holds safety KEEP_ALIVE REQUESTS=2 SIGNALS=1 RELOAD
}

@test "what only saves time: the wake-up of parked workers, and a leaving worker's last look" {
  holds safety LOOKS=1 NO_WAKE_PARKED
  holds safety DISMISSALS=1 LEAVE_WITHOUT_LOOK
}

# --- mistakes that are found ---------------------------------------------------------------------

@test "the gate read before the state is written" {
  finds 'assertion violated  !(accepted_late)' safety SIGNALS=1 SWAPPED_ORDER
}

@test "a watchdog that does not look again, at the workers or at the queue" {
  finds 'assertion violated  !(stopped_busy)' safety LOOKS=1 NO_SECOND_LOOK
  finds 'assertion violated  !(stopped_busy)' safety LOOKS=1 NO_LOOK_AT_THE_QUEUE
}

@test "a watchdog's closing without a lease" {
  finds 'assertion violated  !(stays_closed)' safety LOOKS=1 WATCHDOG_DIES NO_LEASE
}

@test "a slot that waitpid() does not free" {
  finds 'assertion violated  !(slot_lost)' safety KILLS=1 WAITPID_DOES_NOT_FREE
}

@test "a death of which nobody is told" {
  finds 'assertion violated  !(stranded)' safety KILLS=1 WAITPID_DOES_NOT_WAKE
  finds 'assertion violated  !(stranded)' safety ON_DEMAND CLIENTS=2 DISMISSALS=1 \
    WAITPID_DOES_NOT_ARM
}

@test "parked workers that wait again when the gate opens, and are not told of the queue" {
  finds 'assertion violated  !(stranded)' safety KILLS=1 LOOKS=1 PARK_THEN_WAIT
  finds 'assertion violated  !(stranded)' safety KILLS=1 DISMISSALS=1 PARK_THEN_WAIT
  finds 'assertion violated  !(stranded)' safety KILLS=1 DISMISSALS=1 INTERRUPTS=1 FORGETS_PARKED
}

@test "a look that reads a state twice" {
  finds 'assertion violated  !(request_cut)' safety KEEP_ALIVE ONE_WORKER REQUESTS=2 SIGNALS=1 \
    TWO_LOADS
}

@test "a slot's pid and state in two words" {
  finds 'assertion violated  !(slot_lost)' safety KILLS=1 LOOKS=1 FREE_DEAD_SLOTS PID_APART
  finds 'assertion violated  !(stopped_busy)' safety LOOKS=1 SIGNALS=1 RELOAD FREE_DEAD_SLOTS \
    PID_APART
}

@test "dismissals that fail and wake nobody, that pass on to the next worker, or that a stop waives" {
  finds 'assertion violated  !(stranded)' safety KILLS=1 DISMISSALS=1 DISMISSAL_DOES_NOT_WAKE
  finds 'assertion violated  !(request_cut)' safety KILLS=1 DISMISSALS=1 DISMISSED_IS_A_FLAG
  finds 'assertion violated  !(request_cut)' safety SIGNALS=1 DISMISSALS=1 DRAIN_DISMISSES_ALL
}

@test "no goodbye, or one in a connection's life" {
  finds 'assertion violated  !(request_lost)' safety KEEP_ALIVE ONE_WORKER REQUESTS=2 SIGNALS=1 \
    NO_GOODBYE
  finds 'assertion violated  !(request_lost)' safety KEEP_ALIVE ONE_WORKER REQUESTS=3 LOOKS=2 \
    GOODBYE_ONCE
}

@test "a closing eventfd that nobody puts right" {
  finds 'assertion violated  !(stays_closed)' safety KEEP_ALIVE ONE_WORKER LOOKS=1 SIGNALS=1 \
    WATCHDOG_DIES CLOSES_UNSETTLED
  finds 'non-progress cycle' np KEEP_ALIVE ONE_WORKER LOOKS=1 WATCHDOG_DIES NOBODY_SETTLES
}
