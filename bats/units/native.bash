# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# A native vhost, set up from the installed examples as an administrator would.

# native_vhost NAME [LINE...]: LINEs are for its conf. Sets $vhost, $unit, $socket and $www.
native_vhost() {
  vhost=$1
  unit=fpm-waker-native@$vhost
  socket=/run/fpm-waker/$vhost.sock
  www=/srv/www/$vhost
  mkdir -p "$www"
  from_example native.php-fpm.conf >"/etc/fpm-waker/$vhost.php-fpm.conf"
  {
    from_example native.conf | grep -v '^StopAfterSec='
    [ $# -eq 1 ] || printf '%s\n' "${@:2}"
  } >"/etc/fpm-waker/$vhost.conf"
  echo '<?php echo "hello from ", getmypid();' >"$www/hello.php"
  systemctl start "$unit.socket"
}

from_example() {
  sed -e "s/my-site\.example\.com/$vhost/g" -e 's/php-fpm8\.[0-9]/php-fpm/' \
    "/usr/share/fpm-waker/examples/$1"
}

# A drop-in for the vhost's service; lines of its [Service] section.
drop_in() {
  mkdir -p "/etc/systemd/system/$unit.service.d"
  printf '%s\n' '[Service]' "$@" >"/etc/systemd/system/$unit.service.d/test.conf"
  systemctl daemon-reload
}

remove_native_vhost() {
  [ -n "${unit:-}" ] || return 0
  systemctl stop "$unit.socket" "$unit.service"
  rm -rf "/etc/systemd/system/$unit.service.d" "/etc/fpm-waker/$vhost".* "$www" \
    "/var/lib/private/fpm-waker/$vhost"
  systemctl daemon-reload
  systemctl reset-failed
}

# Its main process, 0 while it sleeps.
main_pid() { systemctl show -P MainPID "$unit.service"; }
sleeps_natively() { is_state "$unit.service" inactive; }
runs_natively() { is_state "$unit.service" active; }
