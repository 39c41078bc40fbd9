#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# The launcher's end of the hand-over, with a host (fake-host.c) that does everything wrong.

# shellcheck disable=SC2030,SC2031 # each test is a subshell, and means it

load ../helpers
load ../preload/vhost
load launching

setup() {
  start_vhost
  handover=$dir/handover
}
teardown() { end_vhost; }

# host MODE: one that waits for a launcher at $handover, and would hand over $dir/www.sock.
host() {
  rm -f "$handover" "$dir/www.sock" "$dir/host.log"
  start host "${as[@]}" "$fake_host" "$1" "$handover" "$dir/www.sock"
  host=$pid
  wait_for has_line "$dir/host.log" listening
}
as=()

# bad MODE MESSAGE: with that host the launcher says so, and has not touched the socket.
bad() {
  local before
  host "$1"
  before=$(look "$dir/www.sock")
  says 6 "$2" timeout 20 "$launcher" "--handover=$handover" true
  is "$(look "$dir/www.sock")" "$before" "the socket"
  kill -KILL "$host" 2>/dev/null || true
  wait "$host" || true # until then its socket has the path, too
}

@test "no host: absent, dead, not a socket, path too long" {
  says 6 "cannot connect to the hand-over socket: $handover: No such file or directory; does \
fpm-waker run, and is its directory mounted here?" "$launcher" "--handover=$handover" true
  host good
  kill -KILL "$host"
  wait_for is_gone "$host"
  says 6 "cannot connect to the hand-over socket: $handover: Connection refused; *" \
    "$launcher" "--handover=$handover" true
  says 6 'cannot connect to the hand-over socket: /etc/passwd: Connection refused; *' \
    "$launcher" --handover=/etc/passwd true
  says 6 'cannot connect to the hand-over socket: /xxx*: File name too long; *' \
    "$launcher" "--handover=/$(printf 'x%.0s' {1..107})" true
  says 6 'cannot connect to the hand-over socket: /var/none: *' \
    env FPM_WAKER_HANDOVER=/var/none "$launcher" true
}

@test "a host of another kind of socket" {
  host stream
  says 6 "cannot connect to the hand-over socket: $handover: Protocol wrong type for socket; *" \
    "$launcher" "--handover=$handover" true
}

@test "a silent host, and one that does not even accept, are not waited for long" {
  local began=$SECONDS
  bad silent "no answer on the hand-over socket: $handover: nothing came within 5 s; is fpm-waker \
stuck?"
  host deaf
  start first socat -u OPEN:/dev/null "UNIX-CONNECT:$handover,type=5,ignoreeof"
  wait_for deaf_is_full
  says 6 "cannot connect to the hand-over socket: $handover: Resource temporarily unavailable; *" \
    "$launcher" "--handover=$handover" true
  [ $((SECONDS - began)) -lt 18 ] || fail "took $((SECONDS - began)) s"
}

deaf_is_full() {
  ss -Hxln | grep -q "^u_seq *LISTEN *1 .*$handover"
}

@test "a host that refuses" {
  bad hangup "refused on the hand-over socket: $handover: fpm-waker hung up; its log says why \
(another container of this vhost may still run)"
}

@test "garbage, half a message, too long a one, a lie about the number" {
  local mode
  for mode in garbage half long no-descriptors a-descriptor-too-few a-descriptor-too-many \
    nothing-granted a-million-granted two-outputs missing-output; do
    bad "$mode" "bad message on the hand-over socket: $handover: is that fpm-waker?"
  done
  bad empty "refused on the hand-over socket: $handover: fpm-waker hung up; *"
}

@test "a host of another version" {
  bad other-version "cannot use the hand-over: $handover: fpm-waker speaks version 99, this \
launcher 3; install both from one release"
}

@test "a page without seals, too small, not a page, one that does not fit the message" {
  bad unsealed-page "bad page in the hand-over: $handover: it is not sealed in size"
  bad half-sealed-page "bad page in the hand-over: $handover: it is not sealed in size"
  bad small-page "bad page in the hand-over: $handover: it is too small"
  bad bad-page "bad page in the hand-over: $handover: it is no page of this version"
  bad wrong-count "bad page in the hand-over: $handover: it lists 2 sockets, but 1 came"
}

@test "a socket that does not listen, no socket at all, another socket than the page's" {
  local mode
  for mode in connected-socket datagram-socket no-socket; do
    bad "$mode" "bad socket in the hand-over: $handover: number 1 is not a listening stream socket: *"
  done
  for mode in wrong-inode endless-name; do
    bad "$mode" "bad socket in the hand-over: $handover: number 1 is not the one that the page \
describes"
  done
}

@test "a host that talks where silence was agreed" {
  local status=0
  host chatty
  # The message comes before or after the moment from which it is a SIGQUIT.
  timeout 20 "$launcher" "--handover=$handover" sleep 60 2>"$dir/stderr" || status=$?
  case $status in
    6) is "$(<"$dir/stderr")" \
      "fpm-launcher: lost the hand-over connection: $handover: Connection reset by peer" ;;
    131) ;;
    *) fail "exit status $status" ;;
  esac
}

@test "a host that is neither outside nor root nor the parent" {
  chmod 777 "$dir"
  as=(setpriv --reuid=nobody --regid=nogroup --clear-groups)
  bad good "refused to take sockets from the hand-over: $handover: whoever listens there is neither \
on the host nor root nor our parent"
}

@test "a host outside of the pid namespace may be anybody" {
  chmod 777 "$dir"
  as=(setpriv --reuid=nobody --regid=nogroup --clear-groups)
  host good
  is "$(unshare --pid --fork "$launcher" "--handover=$handover" echo served)" served
}

@test "sockets from two sides" {
  host good
  hold other=unix
  refuses 2 "sockets from two sides: --handover=$handover excludes --listen= and LISTEN_FDS" \
    "$launcher" "--handover=$handover" true
  says 2 "sockets from two sides: *" "$launcher" "--handover=$handover" "--listen=$dir/x.sock" true
  [ ! -e "$dir/x.sock" ] || fail 'a socket was opened'
}

@test "a bad server is noticed before the host is asked" {
  host good
  says 127 'cannot find the server: *' "$launcher" "--handover=$handover" nothing-there
  is "$(<"$dir/host.log")" listening
}

@test "what the server gets" {
  host good
  is "$("$launcher" --handover="$handover" --exit-idle-time=5min --drain-limit=3s \
    --background-limit=4s -- sh -c 'exec "$0" page' "$unit_test")" "magic 66706d77 version 2
exit-idle 300000000
drain-limit 3000000
background-limit 4000000
closing 101 waking 102 handover 103 fd0 0
socket 104 www same"
  wait_for has_line "$dir/host.log" gone
  is "$(<"$dir/host.log")" "listening
hello
granted
gone"
}

@test "where the host says, the server writes: stdout, stderr, and those of its children" {
  host output
  # shellcheck disable=SC2016 # for the inner shell
  is "$("$launcher" --handover="$handover" -- sh -c 'echo out; echo error >&2; sh -c "echo child"
    echo by path >/proc/self/fd/2
    for fd in /proc/$$/fd/*; do
      [ "$(readlink "$fd")" != "$(readlink "/proc/$$/fd/1")" ] || echo "at ${fd##*/}"
    done' 2>&1)" ''
  wait_for has_line "$dir/host.log" gone
  is "$(<"$dir/host.log")" "listening
hello
granted
output: out
output: error
output: child
output: by path
output: at 1
output: at 2
gone"
  bad no-pipe "bad output in the hand-over: $handover: it is no pipe"
}

@test "the launcher leaves no watchdog: that is the host's business" {
  host good
  # shellcheck disable=SC2016 # for the inner shell
  is "$("$launcher" --handover="$handover" --exit-idle-time=10ms -- sh -c 'pgrep -c fpm-watchdog -s0
    ls /proc/self/fd | wc -l >/dev/null; echo done')" "0
done"
}

@test "beside the executable, if nothing was passed" {
  mkdir -p "$dir/bin/run"
  cp "$(realpath "$launcher")" "$dir/bin/fpm-launcher"
  cp "$shim" "$dir/bin/libfpm-waker.so"
  handover=$dir/bin/run/handover
  host good
  ln -s "$dir/bin/fpm-launcher" "$dir/link" # the directory of the real file counts
  is "$("$dir/link" echo served)" served
  wait_for has_line "$dir/host.log" gone
  # What was passed comes first.
  host good
  hold other=unix
  is "$(passed "$dir/bin/fpm-launcher" echo served)" served
  is "$(<"$dir/host.log")" listening
}

@test "the host's death raises SIGQUIT in whatever the launcher has become" {
  host good
  # shellcheck disable=SC2016 # for the inner shell
  start server env --default-signal=QUIT "$launcher" "--handover=$handover" -- bash -c \
    'exec bash -c "trap \"echo drained; exit 7\" QUIT; echo up; while :; do read -t 0.1 <> <(:); done"'
  wait_for has_line "$dir/server.log" up
  kill -KILL "$host"
  wait_for is_gone "$pid"
  local status=0
  wait "$pid" || status=$?
  is "$status" 7
  has_line "$dir/server.log" drained
}

@test "the host's death before php-fpm could heed the signal ends it all the same" {
  host good
  configure www "$dir/www.sock"
  # As the init of a container does: the signal is lost until php-fpm has its handler.
  # shellcheck disable=SC2016 # for the inner shell
  start server "$launcher" "--handover=$handover" -- bash -c \
    'trap "" QUIT; echo up; until [ -e "$1/go" ]; do read -t 0.01 <> <(:); done; exec "${@:2}"' \
    - "$dir" "$server_binary" -F -y "$dir/php-fpm.conf"
  wait_for has_line "$dir/server.log" up
  kill -KILL "$host"
  wait_for is_gone "$host"
  touch "$dir/go"
  wait_for is_gone "$pid"
  wait "$pid"
}

@test "php-fpm: serves, says who is master and that it is ready, and drains when the host dies" {
  host good
  configure www "$dir/www.sock" # its own path, as if it were the same in the container
  before=$(socket_identity "$dir/www.sock")
  start server "$launcher" "--handover=$handover" -- "$server_binary" -F -y "$dir/php-fpm.conf"
  server=$pid
  is_up "$dir/www.sock"
  wait_for has_line "$dir/host.log" 'says R'
  is "$(head -n 5 "$dir/host.log")" "listening
hello
granted
says M
says R"
  # A request that runs while the host dies is answered.
  start client "$fastcgi" --param=QUERY_STRING=s=1 "$dir/www.sock" "$nap"
  local client=$pid
  wait_for is_running 1
  kill -KILL "$host"
  wait "$client"
  contains "$(<"$dir/client.log")" slept
  wait_for is_gone "$server"
  wait "$server"
  is "$(socket_identity "$dir/www.sock")" "$before"
}

# A script is running in that many workers: they sleep in it.
is_running() { [ "$(pgrep -P "$server" | xargs -I{} cat /proc/{}/wchan | grep -c nanosleep)" -ge "$1" ]; }
