#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# --resident: the launcher holds the sockets, starts php-fpm for a connection, stops it when it is
# idle, and is fit to be a container's init.

load ../helpers
load ../preload/vhost
load launching

setup() {
  start_vhost
  www=$dir/www.sock
  configure www "$www"
}
teardown() { end_vhost; }

# live [OPTION...] [-- COMMAND...]: fpm-launcher --resident on $www, default php-fpm. Sets $resident.
# $as are words in front of it.
live() {
  local options=()
  while [ $# -gt 0 ] && [ "$1" != -- ]; do
    options+=("$1")
    shift
  done
  shift || true
  [ $# -gt 0 ] || set -- "$server_binary" -F -y "$dir/php-fpm.conf"
  # shellcheck disable=SC2086 # words
  start resident env "VHOST_DIRECTORY=$dir" ${as:-} "$launcher" "--preload=$shim" --resident \
    "--listen=$www" "${options[@]}" -- "$@"
  resident=$pid
  wait_for test -S "$www"
  chmod 666 "$www"
}

# The server that runs: the resident's only child. Nothing if it sleeps.
master() { pgrep -P "$resident"; }
is_asleep() { [ -z "$(master)" ]; }
is_awake() { [ -n "$(master)" ]; }
has_started() { [ "$(times_ready)" = "$1" ]; }

# Ends the resident by a signal: exit status 0, and nothing of it is left.
stop() {
  kill "-$1" "$resident"
  has_ended 0
}

has_ended() {
  local status=0
  wait_for is_gone "$resident"
  wait "$resident" || status=$?
  is "$status" "$1" "exit status of the resident"
  is "$(of_this_test)" '' "processes that are left"
}

# --- waking and sleeping -------------------------------------------------------------------------

@test "it sleeps until somebody connects, serves, sleeps, and serves again" {
  local run identity
  live --exit-idle-time=200ms
  identity=$(look "$www")
  for run in 1 2 3; do
    is_asleep
    is_up "$www"
    wait_for is_asleep
    is "$(times_ready)" "$run"
    is "$(look "$www")" "$identity" "the socket after run $run"
  done
  stop TERM
}

@test "without an idle span the first connection starts the server for good" {
  live
  is_asleep
  is_up "$www"
  is_awake
  is_up "$www"
  is "$(times_ready)" 1
  stop TERM
}

@test "it accepts nothing itself: who connects and is silent wakes the server, which gets him" {
  live --exit-idle-time=200ms
  is "$(body "$www" "$who" --pause=1)" www
  wait_for is_asleep
  is "$(times_ready)" 1
  stop TERM
}

@test "asleep and awake it does nothing by itself" {
  local moment calls
  live --exit-idle-time=1min
  is_up "$www"
  for moment in awake asleep; do
    calls=$(switches)
    sleep 2 # time is what is tested
    [ $(($(switches) - calls)) -le 2 ] || fail "$(($(switches) - calls)) wake-ups when $moment"
    [ "$moment" = asleep ] || kill -QUIT "$(master)"
    wait_for is_asleep
  done
  stop TERM
}

# How often the resident has waited for something.
switches() { awk '/^voluntary_ctxt_switches/ { print $2 }' "/proc/$resident/status"; }

@test "a connection that comes while the server stops starts the next run" {
  # Two are in the queue of a stopping server, whose one worker is in a request.
  local running waiting
  reconfigure www "$www" 'pm.max_children = 1'
  live --exit-idle-time=5s
  nap_begin running 1.5
  running=$client
  kill -QUIT "$(master)"
  start waiting "$fastcgi" --expect=hello "$www" "$hello"
  waiting=$pid
  wait "$running"
  wait "$waiting"
  is "$(times_ready)" 2
  stop TERM
}

@test "requests aimed at the idle exit: 300 sleeps, none is lost" {
  local n
  reconfigure www "$www" 'pm.max_children = 1'
  live --exit-idle-time=20ms
  start clients bash -c 'for n in {1..2}; do
      for pause in 0.0{18..40} 0.01 0.02 0.03; do
        "$@" || exit
        sleep "$pause"
      done
    done' - "$fastcgi" "$www" "$hello"
  n=$pid
  wait -n "$n" || fail "a request was lost: $(tail -n 3 "$dir/clients.log")"
  is "$(grep -c ^hello "$dir/clients.log")" 52
  stop TERM
  is "$(cat "$dir/resident.log")" ''
}

# --- signals -------------------------------------------------------------------------------------

@test "asleep, a stop signal ends it at once, and the others do nothing" {
  local signal
  for signal in TERM QUIT INT; do
    rm -f "$www"
    live --exit-idle-time=200ms
    kill -HUP "$resident"
    kill -USR1 "$resident"
    kill -USR2 "$resident"
    is_asleep
    stop "$signal"
  done
  [ ! -e "$dir/php-fpm.log" ]
}

@test "a stop signal waits for the request, then it ends with status 0" {
  local signal
  for signal in TERM QUIT INT; do
    rm -f "$www" "$dir"/out/*
    live --exit-idle-time=1min
    nap_begin "$signal" 1
    stop "$signal"
    wait "$client"
    [ -e "$dir/out/$signal.ended" ]
  done
}
