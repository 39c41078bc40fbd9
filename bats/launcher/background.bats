#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Programs that a request left running hold the vhost awake: as long as they run, up to a limit.

load ../helpers
load ../preload/vhost
load launching

setup() {
  start_vhost
  hold www=unix
  # Runs a command and does not wait for it; or, with proc=1, opens a process and forgets it.
  leave=$(
    page leave.php <<'END'
<?php
if ($_GET['proc'] ?? false)
    $process = proc_open("exec {$_GET['run']}", [['file', '/dev/null', 'r']], $pipes);
else
    exec("{$_GET['run']} >/dev/null 2>&1 &");
echo "left\n";
END
  )
  # Whoever opens it waits for release.
  mkfifo -m 666 "$dir/fifo"
}
teardown() {
  at_fifo | xargs -r kill -KILL
  end_vhost
}

# leave_running COMMAND [QUERY]: by a request. Blanks are fine. Sets $program, the pid of what waits.
leave_running() {
  is "$(get "$www" "$leave" "run=${1// /+}${2:-}")" left
  wait_for waits_at_fifo
  program=$(at_fifo)
}

# Processes of which a thread waits for a fifo's other end.
at_fifo() { grep -ls wait_for_partner /proc/[0-9]*/task/*/wchan | cut -d/ -f3; }
waits_at_fifo() { [ "$(at_fifo | wc -l)" = "${1:-1}" ]; }

# Lets whatever waits at the fifo go on.
release() { timeout 10 sh -c ': >"$0"' "$dir/fifo"; }

# held [LIMIT]: the watchdog has said, once, that $program is what it waits for.
held() {
  wait_for has_line "$dir/server.log" 'still awake'
  is "$(grep 'still awake' "$dir/server.log")" "fpm-launcher: still awake: 1 program that requests \
left running: $program (${2:-cat}); the background limit is ${1:-3600} s after the last request"
}

# The server ends after the release, and did not name a program that was cut off.
ends_after_release() {
  release
  ended 5
  is "$status" 0
  is "$(grep -c 'background limit' "$dir/server.log")" 1 "$(<"$dir/server.log")"
}

@test "it is awake and serves as long as the program runs, and ends soon after it" {
  configure www "$www"
  serve --exit-idle-time=200ms
  leave_running "cat $dir/fifo"
  held
  is_up "$www"
  sleep 1.5 # to see that nothing happens: many spans, and more than one look at the program
  is_up "$www"
  held
  ends_after_release
}

@test "of each process manager" {
  local manager
  for manager in static dynamic ondemand; do
    reconfigure www "$www" "pm = $manager" 'pm.start_servers = 1' 'pm.min_spare_servers = 1' \
      'pm.max_spare_servers = 1' 'pm.process_idle_timeout = 1s'
    serve --exit-idle-time=200ms
    leave_running "cat $dir/fifo"
    held
    [ "$manager" != ondemand ] || wait_for eval '[ -z "$(workers)" ]'
    is_up "$www"
    ends_after_release
    rm "$dir/server.log"
  done
}

@test "whatever the program has become: child, orphan, session leader, grandchild, fork of a shell" {
  local command
  configure www "$www" 'pm.max_requests = 1' # its worker dies at once
  for command in "cat $dir/fifo" "setsid cat $dir/fifo" "nohup cat $dir/fifo" \
    "sh -c 'cat $dir/fifo; :'" "(:; cat $dir/fifo; :)"; do
    serve --exit-idle-time=200ms
    leave_running "$command"
    wait_for has_line "$dir/server.log" 'still awake'
    kill -0 "$server"
    ends_after_release
    rm "$dir/server.log"
  done
}

@test "a process that PHP opened and did not wait for, until it is a zombie" {
  configure www "$www" 'pm.max_children = 1'
  serve --exit-idle-time=200ms
  leave_running "cat $dir/fifo" '&proc=1'
  held
  is "$(ps -o ppid= "$program" | tr -d ' ')" "$(workers)"
  release
  wait_for is_zombie "$program"
  ended 5
  is "$status" 0
}

is_zombie() { [ "$(ps -o stat= "$1" | cut -c 1)" = Z ]; }

@test "a program whose first thread has ended is no zombie" {
  configure www "$www"
  serve --exit-idle-time=200ms
  leave_running "$background_test half $dir/fifo"
  is_zombie "$program"
  held 3600 background-test
  ends_after_release
}

@test "a server that went to the background" {
  configure www "$www"
  serve --exit-idle-time=200ms -- "$server_binary" -D -y "$dir/php-fpm.conf"
  ended
  is "$status" 0
  leave_running "cat $dir/fifo"
  held
  server=$(<"$dir/pid")
  is_up "$www"
  release
  wait_for is_gone "$server"
  wait_for no_process_but_holder
}

@test "a reload while the program runs" {
  configure www "$www"
  serve --exit-idle-time=1s
  leave_running "cat $dir/fifo"
  reload
  held
  is_up "$www"
  ends_after_release
}

@test "a limit of 0: no program holds it" {
  configure www "$www"
  serve --exit-idle-time=200ms --background-limit=0
  leave_running "cat $dir/fifo"
  ended 5
  is "$status" 0
  is "$(grep -c 'still awake\|background limit' "$dir/server.log")" 0
  kill -0 "$program"
  release
}

@test "the limit counts from the last request, and when it is over the log names who is cut off" {
  local since took
  configure www "$www"
  serve --exit-idle-time=200ms --background-limit=2s
  leave_running "cat $dir/fifo"
  held 2
  since=$(now_ms)
  is_up "$www"
  ended 8
  took=$(($(now_ms) - since))
  is "$status" 0
  [ "$took" -ge 2000 ] || fail "$took ms"
  [ "$took" -lt 4000 ] || fail "$took ms"
  is "$(grep 'is over' "$dir/server.log")" "fpm-launcher: the background limit of 2 s is over: \
stopping, and cutting off 1 program that requests left running: $program (cat)"
  kill -0 "$program"
  release
}

@test "a limit that is shorter than the idle span" {
  configure www "$www"
  serve --exit-idle-time=500ms --background-limit=100ms
  leave_running "cat $dir/fifo"
  ended 5
  is "$status" 0
  is "$(grep 'background limit' "$dir/server.log")" "fpm-launcher: the background limit of 0.1 s is \
over: stopping, and cutting off 1 program that requests left running: $program (cat)"
  release
}

@test "many programs: the first are named, the others counted" {
  local n
  configure www "$www"
  serve --exit-idle-time=1s --background-limit=infinity
  for n in {1..10}; do
    is "$(get "$www" "$leave" "run=cat+$dir/fifo")" left
  done
  wait_for waits_at_fifo 10
  wait_for has_line "$dir/server.log" 'still awake'
  is "$(grep 'still awake' "$dir/server.log" | sed 's/[0-9]* (cat)/P/g')" "fpm-launcher: still \
awake: 10 programs that requests left running: P, P, P, P, P, P, P, P and 2 more; there is no \
background limit"
  release # all of them
  ended 5
  is "$status" 0
}

@test "what an entrypoint started before the server does not hold it, nor what that starts" {
  local sidecar=$dir/sidecar.sh
  configure www "$www"
  printf '%s\n' '#!/bin/sh' "while :; do sleep 0.05; setsid cat $dir/fifo & done" >"$sidecar"
  chmod 755 "$sidecar"
  # shellcheck disable=SC2016 # for the inner shell
  serve --exit-idle-time=500ms -- sh -c '"$1" & sleep 1000 & exec "$2" -F -y "$3"' sh "$sidecar" \
    "$server_binary" "$dir/php-fpm.conf"
  is_up "$www"
  ended 5
  is "$status" 0
  is "$(grep -c 'still awake' "$dir/server.log")" 0 "$(<"$dir/server.log")"
  [ -n "$(at_fifo)" ] || fail 'the entrypoint started nothing meanwhile'
}

@test "nor when the server is ready in the very tick in which the entrypoint started it" {
  local n
  for n in {1..5}; do # most of them are
    # shellcheck disable=SC2016 # for the inner shell
    serve --fd0 --exit-idle-time=100ms -- sh -c 'sleep 1000 & echo $! >"$0"; exec fcgiwrap' "$dir/helper"
    ended 5 || fail "$n: $(<"$dir/server.log")"
    is "$status" 0
    kill "$(<"$dir/helper")"
  done
}

@test "what this machine runs besides does not hold it" {
  configure www "$www"
  serve --exit-idle-time=500ms
  is_up "$www"
  start bystander cat "$dir/fifo" # of our own cgroup, but not the server's
  ended 5
  is "$status" 0
  release
}

@test "the stop by a signal does not wait for programs" {
  local since
  configure www "$www"
  serve --exit-idle-time=1min
  leave_running "cat $dir/fifo"
  since=$(now_ms)
  end QUIT
  is "$status" 0
  [ $(($(now_ms) - since)) -lt 1000 ] || fail "$(($(now_ms) - since)) ms"
  release
}

# --- by itself -----------------------------------------------------------------------------------

@test "the rule, case by case" {
  run "$background_test" rule
  is "$status $output" '0 '
}

@test "/proc/PID/stat, whatever a program calls itself" {
  local tail='1 4 5 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 4711 9 9'
  stat() { is "$("$background_test" stat "$1")" "$2" "$1"; }
  stat "3 (sleep) S $tail" '3 <sleep> of 1 since 4711 runs executed'
  stat "3 (a) S 7 (b c)) S $tail" '3 <a) S 7 (b c)> of 1 since 4711 runs executed'
  stat "3 (Z) Z $tail" '3 <Z> of 1 since 4711 executed'
  stat "3 () Z ${tail/ 1 0 4711/ 2 0 4711}" '3 <> of 1 since 4711 runs executed'
  stat "3 (x) X $tail" '3 <x> of 1 since 4711 executed'
  stat "3 (sh) T ${tail/4194304/4194368}" '3 <sh> of 1 since 4711 runs'
  stat "3 (kworker/0:0-long-name-of-it) S $tail" '3 <kworker/0:0-lon> of 1 since 4711 runs executed'
  stat '3 (sleep) S 1 4 5' EINVAL
  stat '3 sleep' EINVAL
  stat '' EINVAL
}

# a_unit NAME: a service of its own. Sets $program and $cgroup.
a_unit() {
  systemd-run -q --unit="$1" --slice=waker-test sleep 100
  program=$(systemctl show -P MainPID "$1")
  cgroup=$(<"/proc/$program/cgroup")
}

@test "the processes of a cgroup: as this machine has it, and without /sys/fs/cgroup" {
  a_unit "processes-$$"
  is "$("$background_test" processes /sys/fs/cgroup "$cgroup" "$program")" "$program"
  is "$("$background_test" processes /nowhere "$cgroup"$'\n' "$program")" "$program"
  systemctl stop "processes-$$"
}

@test "the processes of a cgroup: version 1, 2, both, and what a container sees" {
  local v1=$'9:name=systemd:/a/b\n6:pids:/other' v2='0::/a/b' list
  processes() { is "$("$background_test" processes "$dir/$1" "$2" 7)" "$3" "$1: $2"; }
  mkdir -p "$dir"/{v1/systemd,v2,both/systemd,inside/systemd}/a/b
  for list in v1/systemd v2 both/systemd; do
    printf '%s\n' 5 7 9 >"$dir/$list/a/b/cgroup.procs"
  done
  processes v1 "$v1" '5 7 9'
  processes v2 "$v2" '5 7 9'
  processes v2 "$v1"$'\n'"$v2" '5 7 9' # lines of hierarchies that are not mounted here
  # Beside version 1, whole engines share one cgroup of version 2.
  mkdir -p "$dir/both/a/b"
  printf '%s\n' 1 7 100 >"$dir/both/a/b/cgroup.procs"
  processes both "$v1"$'\n'"$v2" '5 7 9'
  # Processes of other pid namespaces are 0.
  printf '%s\n' 0 7 0 >"$dir/v2/a/b/cgroup.procs"
  processes v2 "$v2" 7
  # Not the server's own: another container's, or a path of the host's.
  echo 5 >"$dir/inside/systemd/a/b/cgroup.procs"
  processes inside "$v1" ESRCH
  processes inside "$v2" ESRCH
  processes inside '' ESRCH
  processes inside $'nonsense\n:\n::\n0:' ESRCH
}

@test "frozen: version 1, and 2" {
  local state
  frozen() { is "$("$background_test" frozen "$dir" "$1")" "$2" "$1 $3"; }
  mkdir -p "$dir/freezer/a" "$dir/b"
  for state in THAWED:0 FREEZING:1 FROZEN:1; do
    echo "${state%:*}" >"$dir/freezer/a/freezer.state"
    frozen $'6:freezer:/a\n0::/b' "${state#*:}" "$state"
  done
  for state in 0 1; do
    printf '%s\n' 'populated 1' "frozen $state" >"$dir/b/cgroup.events"
    frozen $'6:freezer:/\n0::/b' "$state" "frozen $state"
  done
  frozen '0::/c' ENOENT ''
  frozen '9:name=systemd:/b' ENOENT ''
}

is_thawed() { [ "$(systemctl show -P FreezerState "$1")" = running ]; }

@test "frozen: by systemctl, itself or with its slice" {
  local unit
  a_unit "frozen-$$"
  for unit in "frozen-$$.service" waker-test.slice; do
    is "$("$background_test" frozen /sys/fs/cgroup "$cgroup")" 0
    systemctl freeze "$unit"
    is "$("$background_test" frozen /sys/fs/cgroup "$cgroup")" 1 "$unit"
    systemctl thaw "$unit"
    # That of a slice is over before its services' is, and no frozen one can be stopped.
    wait_for is_thawed "frozen-$$.service"
  done
  systemctl stop "frozen-$$"
}
