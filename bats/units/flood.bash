# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Clients that connect and go without end, as under a web server's load, and how the service of
# $unit takes it. $began: when the test began.

# flood SCRIPT: at $socket, until end_flood.
flood() {
  # A session of its own, because each client is a process.
  start flood setsid "$fastcgi" --clients=4 --duration=100 --timeout=0.2 "$socket" "$1"
  flood=$pid
}

# Safe to run twice.
end_flood() {
  [ -n "${flood:-}" ] || return 0
  kill -KILL -- "-$flood" || true
  flood=
}

# How often the service has failed in this test.
failures() { journal_of "$unit.service" --since="@$began" | grep -c 'Failed with result'; }
has_failed() { [ "$(failures)" -ge "$1" ]; }

# failing_for N: milliseconds between the first and the Nth failure.
failing_for() {
  journalctl -q -o short-unix --no-pager -u "$unit.service" --since="@$began" |
    awk -v n="$1" '/Failed with result/ { at[++i] = $1 } END { printf "%d\n", 1000 * (at[n] - at[1]) }'
}
