#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A server that cannot start: each request gets a 503 with Retry-After at once, and is served once
# the cause is gone. Nobody has to reset anything.

load ../helpers
load waker

setup() { start_vhost_test; }

teardown() {
  systemctl start docker
  docker rmi late >/dev/null 2>&1 || true
  end_vhost_test
}

page=$(
  cat <<'PAGE'
<!DOCTYPE html>
<html><head><title>503 Service Unavailable</title></head>
<body><h1>Service Unavailable</h1>
<p>This site cannot answer at the moment. Please try again a little later.</p>
</body></html>
PAGE
)

# unavailable RETRY-AFTER: a regular expression. This request gets its 503 within a second.
unavailable() {
  local began answer
  began=$(now_ms)
  answer=$(hello | tr -d '\r')
  is "$(($(now_ms) - began < 1000))" 1 "answered within a second"
  matches "$(echo "$answer" | sed -n 2p)" "^Retry-After: $1\$"
  is "$(echo "$answer" | sed 2d)" \
    "Status: 503 Service Unavailable"$'\n'"Content-Type: text/html"$'\n\n'"$page"
}

# fails REASON: the first request makes the first attempt, and gets its 503 when that has failed.
fails() {
  contains "$(hello)" 'Status: 503 Service Unavailable'
  wait_for says_next_attempt "$1"
}

says_next_attempt() { [[ $(status_text) == "Failing: $1"*"; next attempt in "*" s" ]]; }

# Within the back-off.
is_served_again() {
  wait_for -t 10 served
  is "$(is_waked && echo yes)" yes
}

served() { hello | grep -qx hello; }

# said N REASON: that many lines.
said() { is "$(log_of_test | grep -c "^fpm-waker: $2")" "$1" "lines: $(log_of_test)"; }

@test "the image is missing, until it is there" {
  local before
  vhost --entrypoint "$launcher" late -- php-fpm
  before=$(socket_as_it_is)
  fails 'the image is missing: '
  unavailable '[12]'
  docker tag php late
  is_served_again
  said 1 'the image is missing: Error response from daemon: No such image: late:latest'
  is "$(socket_as_it_is)" "$before" "the socket"
}
