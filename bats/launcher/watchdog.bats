#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# The launcher's watchdog process: it stops php-fpm when no request has been in flight for the idle
# span, and is gone when the server is.

load ../helpers
load ../preload/vhost
load launching

setup() {
  start_vhost
  case $BATS_TEST_DESCRIPTION in 'the decision: '*) ;; *) hold www=unix ;; esac
}
teardown() { end_vhost; }

# --- the decision by itself ----------------------------------------------------------------------

decision() {
  run "$unit_test" "$1"
  is "$status $output" '0 ' "$1"
}

@test "the decision: never, if the span is infinite" { decision infinity; }
@test "the decision: a server that is not ready is not idle" { decision not-ready; }
@test "the decision: the countdown starts at readiness" { decision countdown; }
@test "the decision: the countdown starts at the last request's end" {
  decision countdown-from-last-end
}
@test "the decision: a request in flight is no idleness" { decision busy; }
@test "the decision: a connection in the queue opens the gate again" {
  decision queued
  decision second-socket-queued
}
@test "the decision: a kept-alive connection is idleness, once it has hung up" { decision kept-alive; }
@test "the decision: a request on a kept-alive connection opens the gate again" {
  decision kept-alive-request-comes
}
@test "the decision: a connection that never hangs up does not shut the vhost" {
  decision kept-alive-never-lets-go
}
@test "the decision: a server that does not stop is signalled again" { decision stop-again; }
@test "the decision: a span of 0 is no loop without a pause" { decision zero; }
@test "the decision: nonsense in the page" { decision nonsense; }
@test "the decision: programs of requests hold it, looked at once a second" {
  decision programs
  decision programs-request
  decision programs-asked-once-when-closed
}
@test "the decision: programs of requests hold it up to a limit" {
  decision programs-limit
  decision programs-limit-of-last-request
  decision programs-short-limit
  decision programs-no-limit
  decision programs-not-asked
}
@test "the decision: a look that comes much too late tells of a stop" {
  decision stopped-late
  decision a-bit-late
  decision first-look-late
}
@test "the decision: after a stop the span begins anew" {
  decision stopped-and-on-time
  decision stopped-for-long
  decision stopped-when-told-to-stop
  decision stopped-during-request
  decision stopped-programs
  decision stopped-before-ready
}

# --- php-fpm -------------------------------------------------------------------------------------

# The watchdog's pid: it holds the server's passed socket and is named so.
watchdog_of_test() {
  local process
  for process in $(of_this_test); do
    [ "$(cat "/proc/$process/comm" 2>/dev/null)" != fpm-watchdog ] || echo "$process"
  done
}
has_watchdog() { [ -n "$(watchdog_of_test)" ]; }
has_no_watchdog() { [ -z "$(watchdog_of_test)" ]; }

@test "idle exit: status 0, watchdog gone, socket as before, and the next run serves" {
  local before run
  configure www "$www"
  before=$(look "$www")
  for run in first second third; do
    serve --exit-idle-time=200ms
    is_up "$www"
    ended 5
    is "$status" 0 "exit status of the $run run"
    wait_for has_no_watchdog
    is "$(look "$www")" "$before" "after the $run run"
  done
}

@test "idle exit of each process manager" {
  local manager
  for manager in static dynamic ondemand; do
    reconfigure www "$www" "pm = $manager" 'pm.start_servers = 1' 'pm.min_spare_servers = 1' \
      'pm.max_spare_servers = 1'
    serve --exit-idle-time=200ms
    is_up "$www"
    ended 5
    is "$status" 0 "$manager"
  done
}

@test "a server that never gets a request stops too, counted from its readiness" {
  local began
  configure www "$www"
  began=$(now_ms)
  # shellcheck disable=SC2016 # for the inner shell
  serve --exit-idle-time=300ms -- sh -c 'sleep 1; exec "$@"' sh "$server_binary" -F -y \
    "$dir/php-fpm.conf"
  ended 8
  is "$status" 0
  is "$(times_ready)" 1
  [ $(($(now_ms) - began)) -ge 1300 ] || fail "stopped after $(($(now_ms) - began)) ms"
}

@test "the countdown starts anew at each request's end" {
  local i
  configure www "$www"
  serve --exit-idle-time=1s
  for i in {1..8}; do
    is "$(get "$www" "$nap" s=0.3)" slept
  done
  kill -0 "$server"
  ended 5
  is "$status" 0
  is "$(times_ready)" 1
}

@test "a long silent request is not idle" {
  configure www "$www"
  serve --exit-idle-time=200ms
  is "$(get "$www" "$nap" s=2)" slept
  ended 5
  is "$status" 0
}

@test "work after fastcgi_finish_request() is not idle" {
  local late
  configure www "$www"
  chmod 777 "$dir/www"
  late=$(page late.php <<<'<?php echo "answer\n"; fastcgi_finish_request(); usleep(1500000);
    file_put_contents(__DIR__ . "/done", "done");')
  serve --exit-idle-time=200ms
  is "$(body "$www" "$late")" answer
  ended 5
  is "$status" 0
  is "$(<"$dir/www/done")" 'done' "the work after the answer"
}

@test "a client that connects and is slow to send is not lost" {
  configure www "$www"
  serve --exit-idle-time=200ms
  is "$(body "$www" "$hello" --pause=1)" hello
  ended 5
}

@test "a kept-alive connection between two requests is idle" {
  configure www "$www"
  serve --exit-idle-time=300ms
  start client "$fastcgi" --keep-conn --linger=20 "$www" "$hello"
  ended 8
  is "$status" 0
}

@test "a killed worker neither counts as busy nor blocks" {
  configure www "$www"
  serve --exit-idle-time=500ms
  start client "$fastcgi" --param=QUERY_STRING=s=60 "$www" "$nap"
  wait_for worker_sleeps
  pkill -KILL -P "$server" -f 'pool www'
  ended 8
  is "$status" 0
}

worker_sleeps() { workers | sed 's,.*,/proc/&/wchan,' | xargs grep -qs nanosleep; }

@test "a dead worker that nobody waited for does not count as busy" {
  # shellcheck disable=SC2016 # for the inner shell
  serve --exit-idle-time=200ms -- env --default-signal=QUIT sh -c 'exec "$0" dead-worker' "$unit_test"
  wait_for has_line "$dir/server.log" idle
  ended 5
  is "$status" 131 "the SIGQUIT of the watchdog"
}

@test "requests aimed at the idle exit are all served, by this run or the next" {
  configure www "$www"
  start keeper bash -c 'while :; do "$@"; echo "status $?"; done' bash env "VHOST_DIRECTORY=$dir" \
    "$holder" run "$dir/holder" "$launcher" "--preload=$shim" --exit-idle-time=50ms -- \
    "$server_binary" -F -y "$dir/php-fpm.conf"
  local i
  for i in {1..40}; do
    is "$(request "$www" "$hello")" "$(headed hello)" "request $i"
    sleep "0.0$((40 + i % 20))"
  done
  kill -KILL "$pid"
  is "$(grep -c '^status' "$dir/keeper.log")" "$(grep -c '^status 0' "$dir/keeper.log")"
  [ "$(grep -c '^status 0' "$dir/keeper.log")" -ge 5 ] || fail 'hardly ever idle'
}

# --- whom it stops -------------------------------------------------------------------------------

@test "no watchdog without an idle span" {
  configure www "$www"
  serve
  is_up "$www"
  has_no_watchdog
  serve --exit-idle-time=infinity -- sleep 0
  has_no_watchdog
}

@test "the watchdog holds only stderr and what it needs" {
  local watchdog
  configure www "$www"
  serve --exit-idle-time=1min
  is_up "$www"
  wait_for has_watchdog
  watchdog=$(watchdog_of_test)
  is "$(readlink "/proc/$watchdog/fd/"* | sed 's/:\[[0-9]*\]$//' | sort)" "$(printf '%s\n' \
    "$dir/server.log" 'anon_inode:[eventfd]' 'anon_inode:[eventfd]' 'anon_inode:[eventpoll]' \
    'anon_inode:[pidfd]' socket | sort)"
  is "$(readlink "/proc/$watchdog/fd/2")" "$dir/server.log"
  is "$(readlink "/proc/$watchdog/cwd")" /
  [ "$(ps -o ppid= "$watchdog" | tr -d ' ')" != "$server" ] || fail 'it is a child of the server'
}

@test "the watchdog ends with the server, however that ends" {
  local signal
  configure www "$www"
  for signal in QUIT TERM KILL; do
    serve --exit-idle-time=1min
    is_up "$www"
    wait_for has_watchdog
    kill "-$signal" "$server"
    wait "$server" || true
    wait_for has_no_watchdog
    pkill -KILL -f "pool www.*$dir" || true
  done
}

@test "a failing exec leaves no watchdog" {
  printf '#!/nowhere/sh\n' >"$dir/script"
  chmod +x "$dir/script"
  refuses 126 "cannot execute the server: *" env "VHOST_DIRECTORY=$dir" "$launcher" \
    --exit-idle-time=1min "$dir/script"
  wait_for has_no_watchdog
}

@test "behind a shell it is the master that is stopped, and the shell goes on" {
  configure www "$www"
  # shellcheck disable=SC2016 # for the inner shell
  serve --exit-idle-time=200ms -- sh -c '"$@"; echo "status $?"; exit 3' sh \
    "$server_binary" -F -y "$dir/php-fpm.conf"
  is_up "$www"
  ended 5
  is "$status" 3
  has_line "$dir/server.log" '^status 0$'
  wait_for has_no_watchdog
}

@test "a server that goes to the background is followed" {
  configure www "$www"
  serve --exit-idle-time=1s -- "$server_binary" -D -y "$dir/php-fpm.conf"
  ended
  is "$status" 0
  is_up "$www"
  local master
  master=$(<"$dir/pid")
  has_watchdog
  wait_for is_gone "$master"
  wait_for has_no_watchdog
}

@test "reload keeps the watchdog" {
  configure www "$www"
  serve --exit-idle-time=1s
  is_up "$www"
  reload
  is_up "$www"
  ended 6
  is "$status" 0
  wait_for has_no_watchdog
}

@test "a server of descriptor 0 gets SIGTERM" {
  # shellcheck disable=SC2016 # for the inner shell
  serve --exit-idle-time=200ms --fd0 -- sh -c 'exec "$0" claim 0' "$unit_test"
  ended 5
  is "$status" 143
}

@test "a master that is claimed in the page is only stopped if it is of this service" {
  local victim
  [ "$in_bed" = yes ] || skip 'needs a service manager'
  systemd-run -q --unit="victim-$$" sleep 60
  victim=$(systemctl show -P MainPID "victim-$$")
  # shellcheck disable=SC2016 # for the inner shell
  serve --exit-idle-time=200ms -- env --default-signal=QUIT sh -c 'exec "$0" claim "$1"' \
    "$unit_test" "$victim"
  ended 5
  is "$status" 131 "the server itself is stopped"
  kill -0 "$victim" || fail 'a process of another service was stopped'
  systemctl stop "victim-$$"
}

@test "fcgiwrap sleeps and wakes" {
  type -P fcgiwrap >/dev/null || skip 'needs fcgiwrap'
  local run script=$dir/www/hello.cgi
  printf '#!/bin/sh\nprintf "Content-type: text/plain\\n\\nhello\\n"\n' >"$script"
  chmod 755 "$script"
  for run in first second; do
    serve --exit-idle-time=300ms --fd0 -- "$(type -P fcgiwrap)"
    contains "$(request "$www" "$script")" hello
    ended 5
    wait_for has_no_watchdog
  done
}

# Last, and begun first, so that the minute is over by now.
setup_file() {
  local dir
  dir=$(mktemp -d /tmp/waker.XXXXXX)
  echo "$dir" >"$BATS_FILE_TMPDIR/deaf"
  # Nothing of this is taken by a server: it has thrown away what the launcher prepared.
  "$launcher" "--listen=$dir/deaf.sock" --exit-idle-time=1min env -u LD_PRELOAD sleep 75 \
    </dev/null >"$dir/log" 2>&1 3>&- &
  echo "$!" >"$dir/pid"
}

teardown_file() {
  local dir
  dir=$(<"$BATS_FILE_TMPDIR/deaf")
  kill -KILL "$(<"$dir/pid")" 2>/dev/null || true
  rm -rf "$dir"
}

@test "a server that has taken no socket after a minute is told about, once" {
  local deaf
  deaf=$(<"$BATS_FILE_TMPDIR/deaf")
  wait_for -t 70 test -s "$deaf/log"
  is "$(<"$deaf/log")" "fpm-launcher: no server has taken a passed socket after 60 s: is it \
dynamically linked, does its entrypoint keep LD_PRELOAD and FPM_WAKER_PAGE, and does it bind?"
}
