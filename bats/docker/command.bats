#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What the command that fpm-waker starts gets, and what becomes of its output.

load ../helpers
load waker

setup() { start_test; }
teardown() { end_test; }

@test "the command gets no variable and no descriptor of ours, and a process group of its own" {
  local output
  run_activated -- bash -c 'env; for fd in /proc/self/fd/*; do echo "fd ${fd##*/}"; done
    trap -p; echo "group $(ps -o pgid= -p $$ | xargs) of $$"; grep Sig /proc/self/status; exit 42'
  is "$status" 42
  output=$(cat "$dir/waker.log")
  lacks "$output" LISTEN_FDS=
  lacks "$output" LISTEN_PID=
  lacks "$output" NOTIFY_SOCKET=
  # 255 is bash's own copy of its script's descriptor, 3 the directory that is being read.
  is "$(echo "$output" | grep '^fd ' | grep -v '^fd \(3\|255\)$' | xargs)" 'fd 0 fd 1 fd 2'
  matches "$output" 'group ([0-9]+) of '
  contains "$output" "group ${BASH_REMATCH[1]} of ${BASH_REMATCH[1]}"
  matches "$output" 'SigBlk:.0000000000000000'
  # SIGPIPE is 0x1000.
  matches "$output" 'SigIgn:.[0-9a-f]{12}[02468ace][0-9a-f]{3}'
}

@test "its output arrives unchanged: blank lines, long lines, bytes, no newline at the end" {
  printf 'a\n\n  b \t\x01\xff%%s\n%s\nend' "$(head -c 100000 /dev/zero | tr '\0' x)" >"$dir/bytes"
  run_activated -- sh -c 'cat "$0" >&2; exit 42' "$dir/bytes"
  is "$status" 42
  head -c "$(stat -c %s "$dir/bytes")" <(grep -av '^Listening\|^Communication\|^Execing' "$dir/waker.log") |
    cmp - "$dir/bytes"
}

@test "a stderr that nobody reads does not keep fpm-waker from its work" {
  mkfifo "$dir/slow"
  exec 7<>"$dir/slow"
  # More than a pipe holds, for as long as the test takes.
  start waker sh -c 'exec systemd-socket-activate -l "$0/socket" fpm-waker run \
    --handover="$0/run/handover" -- sh -c "while echo talk; do :; done >&2" 2>"$0/slow"' "$dir"
  wait_for test -S "$dir/socket"
  socat -u OPEN:/dev/null "UNIX-CONNECT:$dir/socket"
  wait_for test -S "$dir/run/handover"
  # It still answers: a wrong client is hung up on.
  printf garbage | timeout 5 socat -t 4 - "UNIX-CONNECT:$dir/run/handover,type=5"
  exec 7>&-
}
