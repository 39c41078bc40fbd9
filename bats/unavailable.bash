# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What a request gets while the server is not there, and who answers it.

own_page=$(
  cat <<'PAGE'
<!DOCTYPE html>
<html><head><title>503 Service Unavailable</title></head>
<body><h1>Service Unavailable</h1>
<p>This site cannot answer at the moment. Please try again a little later.</p>
</body></html>
PAGE
)

# unavailable RETRY-AFTER [PAGE]: a request for $script at $socket gets its 503 within a second. RETRY-AFTER is
# a regular expression.
unavailable() {
  local began answer
  began=$(now_ms)
  answer=$(request "$socket" "${script:-/var/www/html/hello.php}" | tr -d '\r')
  [ $(($(now_ms) - began)) -lt 1000 ] || fail "answered after $(($(now_ms) - began)) ms"
  matches "$(echo "$answer" | sed -n 2p)" "^Retry-After: $1\$"
  is "$(echo "$answer" | sed 2d)" \
    "Status: 503 Service Unavailable"$'\n'"Content-Type: text/html"$'\n\n'"${2-$own_page}"
}

# Its pid.
responder() { pgrep -x fpm-responder; }

# flood SCRIPT: four clients at $socket without a pause, until flood_dries.
flood() {
  start flood bash -c 'until [ -e "$0/dry" ]; do "$@" || exit; done' "$dir" \
    "$fastcgi" --clients=4 --duration=2 "$socket" "$1"
  flood=$pid
}

# None was lost, and none was kept waiting for a second.
flood_dries() {
  touch "$dir/dry"
  wait "$flood" || fail "requests were lost: $(cat "$dir/flood.log")"
  is "$(grep -Evc '^ok [1-9][0-9]* lost 0 slowest [0-9]{1,3}\.[0-9] ms' "$dir/flood.log")" 0 \
    "$(cat "$dir/flood.log")"
}
