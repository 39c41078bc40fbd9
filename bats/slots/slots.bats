#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# What a worker's slot says, call by call: busy exactly while the worker has work. See slot-test.c.

load ../helpers
load ../preload/vhost

setup() { start_vhost; }
teardown() { end_vhost; }

# slots CASE [RESPONDER]: on a unix socket and on TCP, each with a server that accepts itself and
# with one that has a worker for that; nothing is printed.
slots() {
  local address fork
  hold www=unix tcp=4
  for address in "$www" "$tcp"; do
    for fork in '' fork; do
      run timeout 120 "$build/test/slot-test" "$1" "$dir/control" "$address" -- \
        env "VHOST_DIRECTORY=$dir" "$holder" run "$dir/holder" "$launcher" "--preload=$shim" -- \
        "$build/test/${2:-responder}" "$dir/control" "$address" ${fork:+fork}
      is "$status $output" '0 ' "$1 on $address $fork"
      rm "$dir/control"
    done
  done
}

# The same in a program that is linked with musl, whose interpreter beds have not got.
slots_musl() {
  local archive=/srv/cache/musl.tar
  [ "$in_bed" = yes ] || archive=/var/cache/fpm-waker/images/musl.tar
  [ -e "/lib/ld-musl-$(uname -m).so.1" ] ||
    tar -C / -xf "$archive" --wildcards './lib/ld-musl-*'
  slots "$1" responder-musl
}

@test "every way to receive and to send, in pieces of different sizes" { slots every-call; }
@test "every way to receive and to send, with musl" { slots_musl every-call; }
@test "what is only peeked at is not followed" { slots peek; }
@test "ways that do not show what they move err to busy" { slots unseen-calls; }
@test "a request that nobody saw coming" { slots unseen-request; }
@test "unless it is the content of a record" { slots unseen-content; }
@test "a read that does not wait does not" { slots no-wait; }
@test "a read that waits for a while is no news" { slots timeout; }
@test "a server that ends more requests than were begun" { slots ended-twice; }
@test "a client that leaves its answer unread is no news" { slots reset; }
@test "the gate closes between two requests" { slots closing; }
@test "the gate closes between two requests, with musl" { slots_musl closing; }
@test "the gate closes just when the next request comes" { slots closing-too-late; }
@test "requests cross the goodbyes of a closing gate again and again" { slots crossing; }
@test "poll and select between two requests" { slots waits; }
@test "poll and select between two requests, with musl" { slots_musl waits; }
@test "the gate closes during poll and select" { slots closing-waits; }
@test "a wait for several things errs to busy" { slots mixed-waits; }
@test "poll and select for the next client" { slots waits-for-clients; }
@test "poll and select for the next client while another thread works" { slots waits-left-behind; }
@test "a signal interrupts a wait if its handler says so" { slots signals; }
@test "a server that is told to stop in a request notices nothing before its end" {
  slots stop-in-request
}
@test "a handler of its own runs then, and interrupts accept" { slots stop-with-handler; }
@test "a handler of a reload runs then, and the server goes on" { slots reload-with-handler; }
@test "a server that is told to stop between two requests" { slots stop-between-requests; }
@test "a server that is told to stop signals nobody but its workers" { slots stop-spares-strangers; }
@test "a connection under other numbers" { slots copies; }
@test "a connection that is closed unseen" { slots closed-unseen; }
@test "a connection of another thread's" { slots left-behind; }
@test "the gate closes while another thread waits" { slots closing-left-behind; }
@test "a thread closes while another one accepts" { slots handed-out; }
@test "several threads accept" { slots threads; }
@test "a thread with hundreds of connections" { slots many; }
@test "a server whose accept does not wait" { slots at-once; }
@test "a server whose accept does not wait, with musl" { slots_musl at-once; }
@test "the gate closes to one whose accept does not wait" { slots at-once-closing; }
@test "one whose accept does not wait goes on while it is drained" { slots at-once-draining; }
@test "one whose accept does not wait is told to stop in a request" { slots at-once-stop; }
@test "a process that a worker forked" { slots forked; }
@test "a client that vanishes at any point" { slots vanish; }
@test "a client that vanishes at any point, with musl" { slots_musl vanish; }
