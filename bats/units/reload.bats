#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# systemctl reload: it fails if php-fpm refuses the new configuration, and returns otherwise when
# that is in force.

load ../helpers
load native

setup() {
  start_test
  began=$EPOCHREALTIME
}

teardown() {
  [ -n "${BATS_TEST_COMPLETED:-}" ] || journal_of 'fpm-waker*' --since="@$began" | tail -n 30
  case ${unit:-} in fpm-waker-native@*) remove_native_vhost ;; esac
  fpm-waker maintenance docker.example off 2>/dev/null || true
  remove_vhosts docker.example
  end_test
}

hello() { request "$socket" "$www/hello.php"; }
docker_hello() { request "$socket" /var/www/html/hello.php; }

# docker_site [LINE...]: one whose php-fpm reads $dir/zzz.conf as well.
docker_site() {
  vhost=docker.example
  unit=fpm-waker@$vhost
  socket=$(vhost_socket $vhost)
  echo '[www]' >"$dir/zzz.conf"
  docker_vhost $vhost php 'Command=docker-php-entrypoint php-fpm' StopAfterSec=1h \
    "Volume=$dir/zzz.conf:/usr/local/etc/php-fpm.d/zzz.conf" "$@"
  echo '<?php echo "limit ", ini_get("memory_limit"), ".";' >/srv/www/$vhost/hello.php
}

# failed_reloads: their reasons.
failed_reloads() {
  journalctl --sync
  journalctl -q -o cat --since="@$began" -u "$unit.service" \
    MESSAGE_ID=07e96cdd7b2d484395b13082cbab8239 --output-fields=FPM_WAKER_REASON
}

@test "native: what php-fpm refuses is not reloaded, and the server goes on" {
  local conf master
  native_vhost my-site.example.com StopAfterSec=1h
  conf=/etc/fpm-waker/$vhost.php-fpm.conf
  contains "$(hello)" "hello from "
  master=$(pgrep -P "$(main_pid)" -f 'php-fpm: master')
  echo 'no_such_key = 1' >>"$conf"
  ! systemctl reload "$unit.service" || fail "the reload is said to have worked"
  is "$(failed_reloads)" "ERROR: [$conf:$(wc -l <"$conf")] unknown entry 'no_such_key'"
  contains "$(journal_of "$unit.service" --since="@$began")" \
    "fpm-waker: php-fpm refuses its configuration: ERROR: [$conf:"
  is "$(systemctl show -P ActiveState "$unit.service")" active
  contains "$(hello)" "hello from "
  is "$(pgrep -P "$(main_pid)" -f 'php-fpm: master')" "$master"
  lacks "$(journal_of "$unit.service" --since="@$began")" Reloading' in progress'

  sed -i '$d' "$conf"
  echo 'php_admin_value[memory_limit] = 99M' >>"$conf"
  echo '<?php echo "limit ", ini_get("memory_limit"), ".";' >"$www/hello.php"
  systemctl reload "$unit.service"
  contains "$(hello)" 'limit 99M.'
}

@test "Docker: what php-fpm refuses is a failed reload, and after its repair the next request is served" {
  docker_site
  contains "$(docker_hello)" 'limit 128M.'
  # In place: the mount is of this very file.
  printf '[www]\nno_such_key = 1\n' >"$dir/zzz.conf"
  ! systemctl reload "$unit.service" || fail "the reload is said to have worked"
  is "$(failed_reloads)" "the server ended with status 78: ERROR: [/usr/local/etc/php-fpm.d/zzz.conf:2] \
unknown entry 'no_such_key'"
  contains "$(docker_hello)" 'Status: 503'
  printf '[www]\nphp_admin_value[memory_limit] = 99M\n' >"$dir/zzz.conf"
  wait_for eval 'docker_hello | grep -F "limit 99M."'
}

@test "Docker: a reload returns when the new configuration is in force, also under load" {
  local megabytes
  docker_site
  contains "$(docker_hello)" 'limit 128M.'
  start load "$fastcgi" --clients=3 --duration=5 --expect=limit "$socket" /var/www/html/hello.php
  for megabytes in 100 101 102 103 104; do
    printf '[www]\nphp_admin_value[memory_limit] = %sM\n' "$megabytes" >"$dir/zzz.conf"
    timeout 60 systemctl reload "$unit.service"
    contains "$(docker_hello)" "limit ${megabytes}M."
  done
  wait "$pid" || fail "requests were lost: $(cat "$dir/load.log")"
}

@test "a reload of what has nothing to reload returns, too" {
  docker_site
  fpm-waker maintenance $vhost on
  contains "$(docker_hello)" 'Status: 503'
  timeout 20 systemctl reload "$unit.service"
  is "$(systemctl show -P StatusText "$unit.service")" 'In maintenance'
  is "$(systemctl show -P ActiveState "$unit.service")" active
}

@test "the unit has the type that this systemd has" {
  local type=notify
  [ "$(systemctl --version | awk 'NR == 1 { print int($2) }')" -lt 253 ] || type=notify-reload
  is "$(systemctl show -P Type fpm-waker@x.service)" "$type"
  is "$(systemctl show -P Type fpm-waker-native@x.service)" notify
}

# answers STATUS OUTPUT WORD...
answers() {
  run "-$1" fpm-waker configtest "${@:3}"
  is "$output" "$2" "${*:3}"
}

@test "fpm-waker configtest says what is wrong" {
  local conf
  native_vhost my-site.example.com
  conf=/etc/fpm-waker/$vhost.php-fpm.conf
  run -0 setpriv --reuid=nobody env STATE_DIRECTORY=/tmp fpm-waker configtest "$vhost"
  matches "$output" "configuration file $conf test is successful"
  echo 'no_such_key = 1' >>"$conf"
  run -78 setpriv --reuid=nobody env STATE_DIRECTORY=/tmp fpm-waker configtest "$vhost"
  is "${lines[-1]}" "fpm-waker: php-fpm refuses its configuration: ERROR: [$conf:$(wc -l <"$conf")] unknown entry 'no_such_key'"
  sed -i 's/^Command=.*/Command=sh -c php-fpm/' "/etc/fpm-waker/$vhost.conf"
  answers 0 'fpm-waker: not tested: sh is not php-fpm' "$vhost"
  sed -i 's|^Command=.*|Command=/no/such/php-fpm|' "/etc/fpm-waker/$vhost.conf"
  answers 127 'fpm-waker: cannot execute /no/such/php-fpm: No such file or directory' "$vhost"
  printf '%s\n' Image=php >"/etc/fpm-waker/$vhost.conf"
  answers 7 "fpm-waker: /etc/fpm-waker/$vhost.conf: Engine: is not native" "$vhost"
  answers 7 'fpm-waker: /etc/fpm-waker/none.example.conf: No such file or directory' none.example
  answers 2 'fpm-waker: one vhost, see fpm-waker configtest --help'
  answers 2 'fpm-waker: wrong option --nonsense, see fpm-waker configtest --help' --nonsense
}
