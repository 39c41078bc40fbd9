# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# $dir, $www and others come from ../preload/vhost.bash.
#
# A resident on $www, for the tests of resident mode.

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

# The server that runs: the resident's only child but for what answers with 503. Nothing if it sleeps.
master() { ps -o pid=,comm= --ppid "$resident" | awk '$2 != "fpm-responder" { print $1; n++ } END { exit !n }'; }
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

# What it has said in its log: how often, and at least N times.
said() { grep -c "$1" "$dir/resident.log" || true; }
has_said() { [ "$(said "$1")" -ge "${2:-1}" ]; }

# How often the resident has waited for something, and ticks of processor time.
activity() {
  local switches ticks
  switches=$(awk '/^voluntary_ctxt_switches/ { print $2 }' "/proc/$resident/status")
  ticks=$(awk '{ print $14 + $15 }' "/proc/$resident/stat")
  echo $((switches + ticks))
}

has_no_orphan() { [ "$(pgrep -P "$resident" | wc -l)" = 1 ]; }
