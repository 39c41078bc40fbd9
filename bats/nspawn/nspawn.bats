#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# fpm-waker-nspawn@.socket and .service: what is systemd-nspawn's alone. (bats/scenarios has the rest.)

load ../helpers
load ../podman/podman
load ../scenarios/engines

setup_file() { load_image php nspawn; }

setup() {
  start_test
  began=$EPOCHREALTIME
}

teardown() {
  [ -z "${other:-}" ] || remove_other
  remove_engine_vhost
  end_test
}

@test "no network, no new privileges, no capability, a root that cannot be written, and no leak" {
  engine_vhost nspawn StopAfterSec=infinity
  cat >"$www/inside.php" <<'PHP'
<?php
$status = file_get_contents('/proc/self/status');
echo 'interfaces=', implode(' ', array_diff(scandir('/sys/class/net'), ['.', '..'])), "\n";
echo 'new privileges=', preg_match('/NoNewPrivs:\s*0/', $status), "\n";
echo 'bounding=', preg_match('/CapBnd:\s*0*e0\n/', $status), "\n";
echo 'root=', (int)is_writable('/usr'), (int)@mkdir('/usr/x'), ' tmp=', (int)touch('/tmp/x'), "\n";
echo 'site=', (int)@touch('/var/www/html/x'), "\n";
echo 'leaks=', trim(shell_exec('env | grep -cE "LD_PRELOAD|LISTEN_|FPM_WAKER|FPM_SOCKETS"')), "\n";
PHP
  is "$(request "$socket" "$scripts/inside.php" | sed '1,/^\r*$/d')" 'interfaces=lo
new privileges=0
bounding=1
root=00 tmp=1
site=0
leaks=0'
}

@test "a capability, and a volume that can be written, for who asks for them" {
  mkdir -p /srv/data
  chmod 777 /srv/data
  engine_vhost nspawn StopAfterSec=infinity Volume=/srv/data:/home EngineOption=--capability=CAP_CHOWN
  echo '<?php echo (int)touch("/home/x"), preg_match("/CapBnd:\s*0*e1\n/", file_get_contents("/proc/self/status"));' \
    >"$www/inside.php"
  contains "$(request "$socket" "$scripts/inside.php")" 11
  [ -e /srv/data/x ]
  rm -r /srv/data
}

@test "a server of another user, or in a user namespace of its own" {
  local uid
  engine_vhost nspawn StopAfterSec=infinity User=www-data
  is_served
  is "$(stat -c %U "/proc/$(server)")" www-data
  remove_engine_vhost
  engine_vhost nspawn StopAfterSec=1s EngineOption=--private-users=pick
  is_served
  uid=$(stat -c %u "/proc/$(server)")
  [ "$uid" -ge 65536 ] || fail "the server's user on the host: $uid"
  sleeps_cleanly
  is_served
}

@test "what the server writes is in the journal of the unit" {
  engine_vhost nspawn StopAfterSec=infinity
  echo '<?php error_log("a word of PHP");' >"$www/log.php"
  request "$socket" "$scripts/log.php" >/dev/null
  wait_for logged 'a word of PHP'
  wait_for logged 'NOTICE: ready to handle connections'
}

@test "two vhosts share a tree, at the same time" {
  engine_vhost nspawn StopAfterSec=infinity
  is_served
  other=other.example.com
  sed "s/infinity/1s/" "$conf" >"/etc/fpm-waker/$other.conf"
  systemctl start "fpm-waker-nspawn@$other.socket"
  contains "$(request "/run/fpm-waker/$other.sock" "$scripts/hello.php" --timeout=40)" 'hello from '
  is "$(pgrep -cx systemd-nspawn)" 2
  wait_for is_state "fpm-waker-nspawn@$other.service" inactive
  is_served
}

remove_other() {
  systemctl stop "fpm-waker-nspawn@$other.socket" "fpm-waker-nspawn@$other.service"
  rm -f "/etc/fpm-waker/$other.conf"
}
