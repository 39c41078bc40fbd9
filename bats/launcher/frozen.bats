#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Time in which the watchdog was stopped or frozen is no idle time: the idle span begins anew.

load ../helpers
load ../preload/vhost
load launching

setup() {
  start_vhost
  hold www=unix
  configure www "$www"
}

teardown() {
  [ -z "${cgroup:-}" ] || echo 0 >"$cgroup/cgroup.freeze"
  end_vhost
  [ -z "${cgroup:-}" ] || wait_for rmdir "$cgroup"
}

# ends_after MOMENT: the server ends a whole idle span of 2 s after it, or a bit later.
ends_after() {
  local took
  ended 6
  took=$(($(now_ms) - $1))
  is "$status" 0
  [ "$took" -ge 2000 ] || fail "ended $took ms after it went on"
  [ "$took" -lt 4000 ] || fail "ended only $took ms after it went on"
}

watchdog() { pgrep -x fpm-watchdog; }

@test "the watchdog is stopped, for longer than the span or not" {
  local seconds since
  for seconds in 4 1; do
    serve --exit-idle-time=2s
    is_up "$www"
    kill -STOP "$(watchdog)"
    sleep "$seconds" # time is what is tested
    is_up "$www"
    since=$(now_ms)
    kill -CONT "$(watchdog)"
    ends_after "$since"
  done
}

# serve_in_cgroup OPTION...: serve() with all processes in a cgroup of their own.
serve_in_cgroup() {
  cgroup=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)/vhost
  mkdir -p "$cgroup"
  # shellcheck disable=SC2016 # for the inner shell
  run_server "$dir/holder" sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$cgroup" \
    "$launcher" "--preload=$shim" "$@" -- "$server_binary" -F -y "$dir/php-fpm.conf"
}

is_frozen() { grep -q 'frozen 1' "$cgroup/cgroup.events"; }

@test "all of it is frozen, for longer than the span or not" {
  local seconds since
  for seconds in 4 1; do
    serve_in_cgroup --exit-idle-time=2s
    is_up "$www"
    echo 1 >"$cgroup/cgroup.freeze"
    wait_for is_frozen
    sleep "$seconds" # time is what is tested
    since=$(now_ms)
    echo 0 >"$cgroup/cgroup.freeze"
    ends_after "$since"
  done
}

@test "frozen again and again, in less than the span: it never ends, and serves in between" {
  local n since
  serve_in_cgroup --exit-idle-time=2s
  for n in {1..4}; do
    echo 1 >"$cgroup/cgroup.freeze"
    wait_for is_frozen
    sleep 1 # half the span: time is what is tested
    echo 0 >"$cgroup/cgroup.freeze"
    sleep 0.3 # all of it together is more than the span
    kill -0 "$server"
  done
  since=$(now_ms)
  is_up "$www"
  is "$(times_ready)" 1
  ends_after "$since"
}

@test "a frozen program of a request: its limit begins anew, too" {
  local leave since
  leave=$(page leave.php <<<'<?php exec("cat $_GET[fifo] >/dev/null 2>&1 &"); echo "left\n";')
  mkfifo -m 666 "$dir/fifo"
  serve_in_cgroup --exit-idle-time=500ms --background-limit=2s
  is "$(get "$www" "$leave" "fifo=$dir/fifo")" left
  wait_for has_line "$dir/server.log" 'still awake'
  echo 1 >"$cgroup/cgroup.freeze"
  wait_for is_frozen
  sleep 3 # longer than the limit
  since=$(now_ms)
  echo 0 >"$cgroup/cgroup.freeze"
  ends_after "$since"
  has_line "$dir/server.log" 'the background limit of 2 s is over'
  timeout 5 sh -c ': >"$0"' "$dir/fifo"
}
