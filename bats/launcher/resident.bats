#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# --resident: the launcher holds the sockets, starts php-fpm for a connection, stops it when it is
# idle, and is fit to be a container's init.

load ../helpers
load ../preload/vhost
load launching
load resident

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

@test "time in which the resident was stopped is no idle time" {
  local seconds since
  live --exit-idle-time=2s
  for seconds in 3 1; do # longer than the span, and shorter
    is_up "$www"
    kill -STOP "$resident"
    sleep "$seconds" # time is what is tested
    since=$(now_ms)
    kill -CONT "$resident"
    wait_for is_asleep
    [ $(($(now_ms) - since)) -ge 2000 ] || fail "it slept $(($(now_ms) - since)) ms after it went on"
  done
  stop TERM
}

@test "each process manager" {
  local manager
  for manager in static dynamic ondemand; do
    rm -f "$www"
    reconfigure www "$www" "pm = $manager" 'pm.start_servers = 1' 'pm.min_spare_servers = 1' \
      'pm.max_spare_servers = 1'
    live --exit-idle-time=200ms
    is_up "$www"
    wait_for is_asleep
    is_up "$www"
    stop TERM
  done
}

@test "whichever of several sockets somebody connects to" {
  local other
  other=127.0.0.1:$(free_port)
  configure other "$other"
  live --exit-idle-time=200ms "--listen=$other"
  is "$(body "$other" "$who")" other
  wait_for is_asleep
  is "$(body "$www" "$who")" www
  wait_for is_asleep
  is "$(times_ready)" 2
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
    calls=$(activity)
    sleep 2 # time is what is tested
    [ $(($(activity) - calls)) -le 2 ] || fail "$(($(activity) - calls)) steps when $moment"
    [ "$moment" = asleep ] || kill -QUIT "$(master)"
    wait_for is_asleep
  done
  stop TERM
}

@test "while connections wait for a busy server, it does not look at them" {
  local calls
  reconfigure www "$www" 'pm.max_children = 1'
  live --exit-idle-time=1min
  is_up "$www"
  nap_begin 1 1.5
  start waiting "$fastcgi" --expect=hello "$www" "$hello"
  wait_for is_queued "$www" 1
  calls=$(activity)
  wait "$client"
  wait "$pid"
  [ $(($(activity) - calls)) -le 3 ] || fail "$(($(activity) - calls)) steps"
  stop TERM
}

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

@test "requests aimed at the idle exit: hundreds of sleeps, none is lost" {
  # The break is the idle span, give or take what it takes to stop: the worst moments, over and over.
  local break sleeps
  reconfigure www "$www" 'pm.max_children = 1'
  live --exit-idle-time=20ms
  for break in 0.020 0.0205 0.021 0.0215 0.022 0.023 0.025 0.028 0.032 0.04; do
    "$fastcgi" --requests=60 "--between=$break" --expect=hello "$www" "$hello" >"$dir/clients.log" ||
      fail "with breaks of $break s: $(<"$dir/clients.log")"
    is "$(grep -c '^hello$' "$dir/clients.log")" 60
  done
  sleeps=$(times_ready)
  [ "$sleeps" -ge 200 ] || fail "it slept only $sleeps times"
  stop TERM
  is "$(<"$dir/resident.log")" ''
}

@test "clients all the time, while the server is stopped again and again: none is lost" {
  local n
  live --exit-idle-time=20ms
  is_up "$www"
  load_begin "$www" "$hello"
  for n in {1..40}; do
    wait_for is_awake
    kill -QUIT "$(master)" 2>/dev/null || true
    wait_for has_served_since "$n"
  done
  load_end
  stop TERM
}
has_served_since() { [ "$(times_ready)" -gt "$1" ]; }

@test "the server gets what it gets without --resident" {
  # shellcheck disable=SC2016 # for the inner shell
  # dash would unblock all signals.
  local command=(bash -c 'grep -E "^Sig(Blk|Ign)" /proc/self/status; env | sort; pwd; umask;
    ls -l /proc/self/fd | sed "s/.* \([0-9]*\) -> /\1 /; s/[0-9]*\]//" | grep ^1..; "$0" page' "$unit_test")
  start plain env "VHOST_DIRECTORY=$dir" "$launcher" "--preload=$shim" "--listen=$www" \
    --background-limit=0 -- "${command[@]}"
  wait "$pid"
  live --exit-idle-time=5min -- "${command[@]}"
  start client "$fastcgi" "$www" "$hello"
  wait_for has_line "$dir/resident.log" ^socket
  # Whoever else has the page is not to stop what the resident would start again.
  is "$(grep ^exit-idle "$dir/resident.log")" 'exit-idle infinity'
  is "$(grep -v ^fpm-launcher "$dir/resident.log" | head -n "$(wc -l <"$dir/plain.log")")" "$(<"$dir/plain.log")"
  stop TERM
}

# --- where the sockets come from, and where it runs ----------------------------------------------

@test "sockets of a service manager, and as descriptor 0" {
  local option
  for option in '' --fd0; do
    rm -f "$www" "$dir"/holder "$dir"/php-fpm.*
    held=()
    hold www=unix
    configure www "$www"
    # shellcheck disable=SC2086 # words
    run_server $option "$dir/holder" "$launcher" "--preload=$shim" --resident \
      --background-limit=0 --exit-idle-time=200ms -- "$server_binary" -F -y "$dir/php-fpm.conf"
    resident=$server server=''
    for run in 1 2; do
      is_up "$www"
      wait_for is_asleep
      is "$(times_ready)" "$run"
    done
    kill -TERM "$resident"
    wait "$resident"
    kill -KILL "${started[-2]}"
  done
}

@test "a server of descriptor 0" {
  type -P fcgiwrap >/dev/null || skip 'needs fcgiwrap'
  local run script=$dir/www/hello.cgi
  printf '#!/bin/sh\nprintf "Content-type: text/plain\\n\\nhello\\n"\n' >"$script"
  chmod 755 "$script"
  live --exit-idle-time=300ms --fd0 -- "$(type -P fcgiwrap)"
  for run in 1 2 3; do
    contains "$(request "$www" "$script")" hello
    wait_for is_asleep
  done
  stop TERM
  is "$(<"$dir/resident.log")" ''
}

@test "sockets of a hand-over: it watches itself, and ends when the host is gone, asleep or not" {
  local moment
  for moment in asleep awake; do
    rm -f "$www" "$dir"/php-fpm.* "$dir/host.log"
    configure www "$www"
    start host "$fake_host" good "$dir/handover" "$www"
    host=$pid
    wait_for has_line "$dir/host.log" listening
    chmod 666 "$www"
    start resident env "VHOST_DIRECTORY=$dir" "$launcher" "--preload=$shim" --resident \
      --background-limit=0 --exit-idle-time=300ms "--handover=$dir/handover" -- "$server_binary" -F -y "$dir/php-fpm.conf"
    resident=$pid
    for run in 1 2; do
      is_up "$www"
      wait_for is_asleep
      is "$(times_ready)" "$run"
    done
    [ "$moment" = asleep ] || nap_begin last 1
    kill -KILL "$host"
    has_ended 0
    [ "$moment" = asleep ] || wait "$client"
    rm -f "$dir/handover"
  done
}

@test "with a hand-over it ends as its server has failed, and leaves the next start to fpm-waker" {
  start host "$fake_host" good "$dir/handover" "$www"
  wait_for has_line "$dir/host.log" listening
  chmod 666 "$www"
  start resident "$launcher" "--preload=$shim" --resident "--handover=$dir/handover" -- sh -c 'exit 78'
  resident=$pid
  wait_for has_line "$dir/host.log" granted
  start client "$fastcgi" --timeout=5 "$www" "$(page hello.php <<<'<?php echo "hello";')"
  has_ended 78
  is "$(<"$dir/resident.log")" ''
}

@test "as the init of a container: signals, orphans, sleep" {
  local outside signal
  for signal in TERM QUIT INT; do
    rm -f "$www" "$dir"/php-fpm.* "$dir"/out/*
    configure www "$www"
    as='unshare --pid --fork --kill-child --mount-proc' live --exit-idle-time=300ms
    outside=$resident
    resident=$(pgrep -P "$outside")
    is "$(awk '/^NSpid/ { print $3 }' "/proc/$resident/status")" 1
    kill -HUP "$resident"
    kill -USR1 "$resident"
    kill -USR2 "$resident"
    is_up "$www"
    is "$(get "$www" "$(page orphan.php <<<'<?php exec("(sleep 0.1 &)"); echo "ok\n";')" '')" ok
    wait_for has_no_orphan
    wait_for is_asleep
    is "$(times_ready)" 1
    nap_begin 1 1
    kill "-$signal" "$resident"
    wait "$client"
    wait "$outside" || fail "it ended with status $?"
    is "$(of_this_test)" ''
    as=
  done
}
