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
# $as are words in front of it. Programs are not looked for unless an option says so: on this machine
# all sorts of them may run in the cgroup of the tests.
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
    "--listen=$www" --background-limit=0 "${options[@]}" -- "$@"
  resident=$pid
  wait_for test -S "$www"
  chmod 666 "$www"
  # For of_this_test(): php-fpm hides its environment, but has the socket.
  held=(-lname "socket:\[$(awk -v path="$www" '$8 == path && $4 == "00010000" { print $7 }' \
    /proc/net/unix)\]")
}

# The server that runs: the resident's only child. Nothing if it sleeps.
master() { pgrep -P "$resident"; }
is_asleep() { [ -z "$(master)" ]; }
nothing_is_left() { [ -z "$(of_this_test)" ]; }
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

# How often the resident has waited for something, and ticks of processor time.
activity() {
  local switches ticks
  switches=$(awk '/^voluntary_ctxt_switches/ { print $2 }' "/proc/$resident/status")
  ticks=$(awk '{ print $14 + $15 }' "/proc/$resident/stat")
  echo $((switches + ticks))
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

@test "signals reach the master: a reload, its log anew" {
  live
  is_up "$www"
  kill -USR2 "$resident"
  wait_for is_ready 2
  is_up "$www"
  mv "$dir/php-fpm.log" "$dir/php-fpm.old"
  kill -USR1 "$resident"
  wait_for test -e "$dir/php-fpm.log"
  stop TERM
}

@test "a signal that the server has no handler for does not end it, as with an init" {
  local signal
  # shellcheck disable=SC2016 # for the inner shell
  live -- bash -c 'exec "$0" claim $$' "$unit_test"
  start client "$fastcgi" "$www" "$hello"
  wait_for has_line "$dir/resident.log" idle
  for signal in HUP USR1 USR2; do
    kill "-$signal" "$resident"
    sleep 0.2 # time for what must not happen
    is_awake
  done
  kill "$(master)"
  wait_for has_said 'was ended by signal 15'
  stop TERM
}

@test "signals that come during a reload: none is lost, and none ends the server" {
  local n before
  live
  is_up "$www"
  before=$(master)
  nap_begin 1 1
  for n in {1..30}; do
    kill -USR2 "$resident"
    kill -HUP "$resident"
    sleep 0.01 # the moment is what varies
  done
  wait "$client"
  wait_for is_ready 2
  for n in {1..30}; do
    kill -USR2 "$resident"
    kill -HUP "$resident"
    sleep "0.0$((10 + n))"
  done
  wait_for is_ready 4
  is "$(master)" "$before"
  is_up "$www"
  stop TERM
  is "$(grep -c ^fpm-launcher "$dir/resident.log" || true)" 0
}

@test "a reload that comes while the server starts is not lost, and ends nothing" {
  mkfifo "$dir/gate"
  # shellcheck disable=SC2016 # for the inner shell
  live -- sh -c 'read -r line <"$0"; exec "$@"' "$dir/gate" "$server_binary" -F -y \
    "$dir/php-fpm.conf"
  start client "$fastcgi" --expect=hello "$www" "$hello"
  client=$pid
  wait_for is_awake
  kill -USR2 "$resident"
  echo go >"$dir/gate"
  wait "$client"
  wait_for is_ready 2
  is_up "$www"
  stop TERM
}

@test "a stop while the entrypoint still works" {
  local signal
  for signal in TERM INT QUIT; do
    rm -f "$www"
    live -- sh -c "touch $dir/out/began; sleep 60; exit 1"
    start client "$fastcgi" "$www" "$hello"
    wait_for test -e "$dir/out/began"
    stop "$signal"
    is "$(<"$dir/resident.log")" ''
    rm "$dir/out/began"
  done
}

@test "a stop while the entrypoint of a later run still works, deaf to SIGQUIT" {
  # shellcheck disable=SC2016 # for the inner shell
  live -- sh -c 'if [ -e "$0" ]; then trap "" QUIT; touch "$0.again"; sleep 60; fi; touch "$0"
    exec "$@"' "$dir/out/began" "$server_binary" -F -y "$dir/php-fpm.conf"
  is_up "$www"
  kill -QUIT "$(master)"
  wait_for is_asleep
  start client "$fastcgi" "$www" "$hello"
  wait_for test -e "$dir/out/began.again"
  stop TERM
}

@test "behind a shell it is the master that is stopped, and the shell goes on" {
  # shellcheck disable=SC2016 # for the inner shell
  live --exit-idle-time=200ms -- sh -c '"$@"; echo "ended $?"; exit 3' sh "$server_binary" -F -y \
    "$dir/php-fpm.conf"
  is_up "$www"
  wait_for is_asleep
  is "$(<"$dir/resident.log")" "ended 0
fpm-launcher: the server ended with status 3 when it was told to stop"
  is_up "$www"
  nap_begin 1 0.5
  stop TERM
  wait "$client"
}

@test "when the resident is killed, the server ends too, after its request" {
  live
  nap_begin 1 1
  kill -KILL "$resident"
  wait "$client"
  wait_for nothing_is_left
}

# --- orphans -------------------------------------------------------------------------------------

@test "orphans are reaped" {
  local orphan n
  orphan=$(page orphan.php <<<'<?php exec("(true &) ; (sleep 0.2 &)"); echo "ok\n";')
  live --exit-idle-time=1min
  for n in 1 2 3; do
    is "$(get "$www" "$orphan" '')" ok
  done
  wait_for has_no_orphan
  stop TERM
}
has_no_orphan() { [ "$(pgrep -P "$resident" | wc -l)" = 1 ]; }

@test "helpers of an entrypoint end with each run, and do not keep the next one awake" {
  local run
  # shellcheck disable=SC2016 # for the inner shell
  live --exit-idle-time=200ms --background-limit=1h -- sh -c 'sleep 300 & exec "$@"' sh "$server_binary" -F -y \
    "$dir/php-fpm.conf"
  for run in 1 2 3; do
    is_up "$www"
    wait_for is_asleep
    is "$(of_this_test)" "$resident"
  done
  is "$(<"$dir/resident.log")" ''
  stop TERM
}

@test "a program of a request is waited for, and killed when its limit is over" {
  local leave
  leave=$(page leave.php <<<'<?php exec("sleep 300 >/dev/null 2>&1 & echo $! >" . dirname(__DIR__) .
    "/out/program"); echo "left\n";')
  live --exit-idle-time=200ms --background-limit=2s
  is "$(get "$www" "$leave" '')" left
  sleep 1 # time is what is tested
  kill -0 "$(<"$dir/out/program")"
  is_awake
  wait_for is_asleep
  is_gone "$(<"$dir/out/program")" || fail 'the program runs on'
  has_line "$dir/resident.log" "cutting off .* $(<"$dir/out/program") \(sleep\)"
  stop TERM
}

@test "what ran before the resident is left alone, and reaped when it ends" {
  local helper
  cat >"$dir/before" <<END
#!/bin/sh
sleep 300 &
echo \$! >$dir/out/helper
exec "\$@"
END
  chmod +x "$dir/before"
  as=$dir/before live --exit-idle-time=200ms
  helper=$(<"$dir/out/helper")
  is_only_child "$helper"
  is_up "$www"
  wait_for has_started 1
  wait_for is_only_child "$helper"
  is_up "$www"
  wait_for has_started 2
  wait_for is_only_child "$helper"
  kill "$helper"
  wait_for is_asleep # no zombie either
  stop TERM
}
is_only_child() { [ "$(pgrep -P "$resident")" = "$1" ]; }

@test "a master that is killed: its worker's request is finished, and the next run serves" {
  live --exit-idle-time=300ms
  nap_begin 1 2.5
  kill -KILL "$(pgrep -P "$resident" -f master)"
  wait_for has_said 'was ended by signal 9'
  is_up "$www"
  [ ! -e "$dir/out/1.ended" ]
  wait "$client"
  is "$(<"$dir/resident.log")" \
    'fpm-launcher: the server was ended by signal 9; the next start is in 1 s at the earliest'
  wait_for is_asleep
  is "$(times_ready)" 2
  stop TERM
}

@test "a stop right after that waits for the request, too" {
  live
  nap_begin 1 2
  kill -KILL "$(pgrep -P "$resident" -f master)"
  wait_for has_said 'was ended by signal 9'
  kill "$resident"
  has_ended 0
  [ -e "$dir/out/1.ended" ]
  wait "$client"
}

@test "a server that goes to the background is followed" {
  live --exit-idle-time=300ms -- "$server_binary" -D -y "$dir/php-fpm.conf"
  is_up "$www"
  wait_for has_started 1
  wait_for is_asleep
  is_up "$www"
  nap_begin 1 1
  stop QUIT
  wait "$client"
  is "$(<"$dir/resident.log")" ''
}

# --- a server that fails -------------------------------------------------------------------------

said() { grep -c "$1" "$dir/resident.log" || true; }
has_said() { [ "$(said "$1")" -ge "${2:-1}" ]; }

@test "a server that cannot start: ever longer breaks, and who waits is served after the repair" {
  local client waiting=() since took calls n
  mv "$dir/php-fpm.conf" "$dir/good.conf"
  echo '[www]' >"$dir/php-fpm.conf"
  live --exit-idle-time=1min
  since=$(now_ms)
  for n in 1 2 3; do
    start "client$n" "$fastcgi" --timeout=30 --expect=hello "$www" "$hello"
    waiting+=("$pid")
  done
  wait_for has_said 'next start is in 4 s'
  took=$(($(now_ms) - since))
  [ "$took" -ge 3000 ] || fail "three starts in $took ms"
  is "$(sed 's/\[.*\] //' "$dir/resident.log" | grep fpm-launcher)" \
    "fpm-launcher: the server ended with status 78 before it was ready; the next start is in 1 s at \
the earliest
fpm-launcher: the server ended with status 78 before it was ready; the next start is in 2 s at \
the earliest
fpm-launcher: the server ended with status 78 before it was ready; the next start is in 4 s at \
the earliest"
  calls=$(activity)
  mv "$dir/good.conf" "$dir/php-fpm.conf"
  for client in "${waiting[@]}"; do
    wait "$client"
  done
  took=$(($(now_ms) - since))
  [ "$took" -ge 7000 ] || fail "the fourth start was after $took ms"
  [ $(($(activity) - calls)) -le 15 ] || fail "it did not just wait: $(($(activity) - calls)) steps"
  stop TERM
}

@test "a signal for the server cuts the break short, a stop signal ends it" {
  local since
  live -- false
  start client "$fastcgi" --timeout=30 "$www" "$hello"
  wait_for has_said 'next start is in 2 s'
  since=$(now_ms)
  kill -HUP "$resident"
  wait_for has_said 'next start is in 4 s'
  kill -USR2 "$resident"
  wait_for has_said 'next start is in 8 s'
  [ $(($(now_ms) - since)) -lt 1500 ] || fail "it took $(($(now_ms) - since)) ms"
  since=$(now_ms)
  stop TERM
  [ $(($(now_ms) - since)) -lt 1000 ] || fail "it took $(($(now_ms) - since)) ms"
}

@test "a signal of before the failure does not cut the break short" {
  local since
  live -- sh -c "echo >>$dir/out/began; sleep 0.5; exit 1"
  start client "$fastcgi" --timeout=30 "$www" "$hello"
  wait_for test -e "$dir/out/began"
  kill -USR2 "$resident"
  wait_for has_said 'next start is in 1 s'
  since=$(now_ms)
  wait_for has_begun 2
  [ $(($(now_ms) - since)) -ge 800 ] || fail "started again after $(($(now_ms) - since)) ms"
  stop TERM
}
has_begun() { [ "$(wc -l <"$dir/out/began")" -ge "$1" ]; }

@test "a server that ends well without ever being ready has failed, too" {
  live -- true
  start client "$fastcgi" --timeout=30 "$www" "$hello"
  wait_for has_said 'ended with status 0 before it was ready; the next start is in 2 s'
  stop TERM
}

@test "a server that was ready is not punished for an earlier failure" {
  local since
  live -- sh -c "if [ -e $dir/out/bad ]; then exit 9; fi; exec $server_binary -F -y $dir/php-fpm.conf"
  is_up "$www"
  touch "$dir/out/bad"
  kill -QUIT "$(master)"
  wait_for is_asleep
  start client "$fastcgi" --timeout=30 --expect=hello "$www" "$hello"
  wait_for has_said 'status 9 before it was ready; the next start is in 2 s'
  rm "$dir/out/bad"
  wait "$pid"
  kill -KILL "$(master)"
  wait_for has_said 'was ended by signal 9; the next start is in 1 s'
  is_up "$www"
  kill -QUIT "$(master)"
  wait_for is_asleep
  since=$(now_ms)
  is_up "$www"
  [ $(($(now_ms) - since)) -lt 900 ] || fail "a good run was followed by a break"
  stop TERM
}

@test "after the break nobody waits any more: it sleeps" {
  live -- false
  "$fastcgi" --timeout=0.2 "$www" "$hello" || true
  wait_for has_said 'next start is in 1 s'
  # The connection is in the queue although its client is gone: a worker has to take it.
  wait_for has_said 'next start is in 2 s'
  stop TERM
}

# --- liveness ------------------------------------------------------------------------------------

# probe: what a probe gets.
probe() {
  local socket
  exec {socket}<>"/dev/tcp/127.0.0.1/$port"
  printf '%s\r\n' 'GET /healthz HTTP/1.1' 'Host: resident' '' >&"$socket"
  cat <&"$socket"
  exec {socket}>&-
}

live_probed() {
  port=$(free_port)
  live "--liveness=127.0.0.1:$port" "$@"
}

alive() { printf 'HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n' $((${#1} + 1)) &&
  printf 'Connection: close\r\n\r\n%s\n' "$1"; }

@test "liveness: asleep, awake, failing" {
  local n
  live_probed --exit-idle-time=200ms -- sh -c "[ ! -e $dir/out/bad ] || exit 9
    exec $server_binary -F -y $dir/php-fpm.conf"
  is "$(probe)" "$(alive asleep)"
  is "$(curl -s "http://127.0.0.1:$port/any")" asleep
  is_asleep
  nap_begin 1 1
  is "$(probe)" "$(alive awake)"
  wait "$client"
  wait_for is_asleep
  is "$(probe)" "$(alive asleep)"
  touch "$dir/out/bad"
  start client "$fastcgi" --timeout=30 "$www" "$hello"
  wait_for has_said 'next start'
  is "$(probe)" "$(alive failing)"
  stop TERM
}

@test "liveness: probes do not keep the server awake" {
  local n=0
  live_probed --exit-idle-time=2s
  is_up "$www"
  while is_awake; do
    is "$(probe)" "$(alive awake)" || is "$(probe)" "$(alive asleep)"
    n=$((n + 1))
    [ "$n" -lt 500 ] || fail 'it does not sleep'
    sleep 0.02 # as a hasty prober
  done
  [ "$n" -gt 5 ] || fail "only $n probes"
  is "$(times_ready)" 1
  stop TERM
}

@test "liveness: who just connects, closes, or is slow is no trouble" {
  local n since first
  live_probed --exit-idle-time=1min
  : <"/dev/tcp/127.0.0.1/$port"
  printf '\r\n\r\n\r\n' | socat -t 5 - "TCP:127.0.0.1:$port" >"$dir/out/blank"
  is "$(<"$dir/out/blank")" "$(alive asleep)"
  since=$(now_ms)
  is "$(socat -t 5 -u "TCP:127.0.0.1:$port" -)" "$(alive asleep)" 'to who says nothing'
  n=$(($(now_ms) - since))
  [ "$n" -ge 1900 ] && [ "$n" -lt 3500 ] || fail "answered after $n ms"

  # More silent ones than it has room for: others are answered at once, and requests served.
  for n in {1..40}; do
    exec {first}<>"/dev/tcp/127.0.0.1/$port"
  done
  since=$(now_ms)
  is "$(probe)" "$(alive asleep)"
  is_up "$www"
  is "$(probe)" "$(alive awake)"
  [ $(($(now_ms) - since)) -lt 1500 ] || fail "it took $(($(now_ms) - since)) ms"
  wait_for has_no_probe
  stop TERM
}

# The resident has its own four and the page's.
has_no_probe() { [ "$(find "/proc/$resident/fd" -lname 'socket:*' | wc -l)" = 2 ]; }

@test "liveness: the server and its children inherit nothing of it" {
  local process sockets first
  live_probed
  exec {first}<>"/dev/tcp/127.0.0.1/$port"
  is_up "$www"
  # Below 100 the resident has the liveness socket and its connections, from 100 on what is passed.
  sockets=$(find "/proc/$resident/fd" -lname 'socket:*' -name '?' -printf '%l\n' -o -lname 'socket:*' \
    -name '??' -printf '%l\n')
  is "$(wc -l <<<"$sockets")" 2
  for process in $(master) $(workers "$(master)"); do
    lacks "$(find "/proc/$process/fd" -printf '%l\n')" "$(head -n 1 <<<"$sockets")"
    lacks "$(find "/proc/$process/fd" -printf '%l\n')" "$(tail -n 1 <<<"$sockets")"
    is "$(find "/proc/$process/fd" -lname 'anon_inode:*signalfd*' -o -lname '*pidfd*')" ''
  done
  exec {first}>&-
  stop TERM
}

@test "by variables" {
  start resident env "VHOST_DIRECTORY=$dir" "FPM_WAKER_LISTEN=$www" FPM_WAKER_RESIDENT=yes \
    "FPM_WAKER_LIVENESS=$dir/live.sock" FPM_WAKER_EXIT_IDLE_TIME=200ms FPM_WAKER_BACKGROUND_LIMIT=0 \
    "FPM_WAKER_PRELOAD=$shim" "$launcher" "$server_binary" -F -y "$dir/php-fpm.conf"
  resident=$pid
  wait_for test -S "$dir/live.sock"
  chmod 666 "$www"
  is_up "$www"
  wait_for is_asleep
  is "$(curl -s --unix-socket "$dir/live.sock" http://resident/)" asleep
  stop TERM
}

@test "liveness on a unix socket" {
  live "--liveness=$dir/live.sock"
  is "$(curl -s --unix-socket "$dir/live.sock" http://resident/)" asleep
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
