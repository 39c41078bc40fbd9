# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What `fpm-waker status` says of a vhost, value by value. Load it after native.

# value VHOST KEY [OPTION...]: of its JSON; null is "null".
value() {
  { fpm-waker status "$1" --json "${@:3}" 2>/dev/null || true; } | php -r '
    $list = json_decode(stream_get_contents(STDIN), true, 8, JSON_THROW_ON_ERROR);
    echo count($list) === 1 ? ($list[0][$argv[1]] ?? "null") : "not one", "\n";' "$2"
}

is_tier() { [ "$(value "$1" tier)" = "$2" ]; }
is_why() { [ "$(value "$1" why)" = "$2" ]; }

# many NAME [LINE...]: one more native vhost, beside those there are.
many() {
  native_vhost "$@"
  vhosts+=("$1")
}

# of NAME: makes a vhost the one that $vhost, $unit, $socket and $www speak of.
of() {
  vhost=$1
  unit=fpm-waker-native@$1
  socket=/run/fpm-waker/$1.sock
  www=/srv/www/$1
}

hello() { request "$socket" "$www/hello.php"; }

remove_many() {
  [ "${#vhosts[@]}" -gt 0 ] || return 0
  # With the sockets, the services stop.
  printf 'fpm-waker-native@%s.socket\n' "${vhosts[@]}" | xargs systemctl stop
  for vhost in "${vhosts[@]}"; do
    rm -rf "/etc/fpm-waker/$vhost".* "/srv/www/$vhost" /var/lib/private/fpm-waker/"$vhost" \
      /run{,/private}/fpm-waker-status/"$vhost"
  done
  systemctl daemon-reload
  systemctl reset-failed
  vhosts=()
}
