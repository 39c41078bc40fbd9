#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# fpm-waker-native@.socket and .service: php-fpm on this machine, in a sandbox.

load ../helpers
load native

setup() {
  start_test
}

teardown() {
  if [ -z "${BATS_TEST_COMPLETED:-}" ] && [ -n "${unit:-}" ]; then
    systemctl status --no-pager "$unit.socket" "$unit.service" || true
    journalctl -q --no-pager -n 30 -u "$unit.service" || true
  fi
  remove_native_vhost
  end_test
}

@test "a native vhost wakes, serves, sleeps after the idle time, and wakes again" {
  native_vhost my-site.example.com StopAfterSec=1s
  sleeps_natively || fail "it runs before the first request"

  first=$(request "$socket" "$www/hello.php")
  contains "$first" "hello from "
  pid=$(main_pid)
  contains "$(request "$socket" "$www/hello.php")" "hello from "
  is "$(main_pid)" "$pid" "a warm request started another server"

  wait_for sleeps_natively
  is "$(systemctl show -P Result "$unit.service")" success "result of the idle exit"
  is "$(systemctl show -P ExecMainStatus "$unit.service")" 0 "status of the idle exit"

  contains "$(request "$socket" "$www/hello.php")" "hello from "
  [ "$(main_pid)" != "$pid" ] || fail "not a new server"
}

@test "OpcacheFileCache= in a unit without a closed cache directory: a 503, and the log says why" {
  native_vhost my-site.example.com StopAfterSec=infinity OpcacheFileCache=yes
  drop_in CacheDirectory=
  contains "$(request "$socket" "$www/hello.php")" 'Status: 503 Service Unavailable'
  contains "$(journal_of "$unit.service")" 'OpcacheFileCache: the unit has no CacheDirectory='
  systemctl stop "$unit.service"
  drop_in CacheDirectoryMode=0755
  contains "$(request "$socket" "$www/hello.php")" 'Status: 503 Service Unavailable'
  contains "$(journal_of "$unit.service")" 'is open to others: the unit needs CacheDirectoryMode=0700'
}

@test "ten cycles leave inode, owner, mode, ACL and backlog of the socket as they were" {
  native_vhost ten-cycles.example StopAfterSec=100ms
  setfacl -m u:nobody:rw "$socket"
  before=$(socket_identity "$socket" && backlog "$socket")
  contains "$before" 0:33
  for _ in {1..10}; do
    contains "$(request "$socket" "$www/hello.php")" "hello from "
    wait_for sleeps_natively
    is "$(socket_identity "$socket" && backlog "$socket")" "$before" "the socket changed"
    is "$(queue_length "$socket")" 0 "connections in the queue"
  done
  is "$(journal_of "$unit.service" | grep -c '^Started ')" 10 "starts"
}

@test "names of vhosts are taken as they are: dashes, dots, underscores, digits" {
  for name in my-site.example.com 0-9.example a_b.xn--bcher-kva.example UPPER.Case x; do
    native_vhost "$name" StopAfterSec=infinity
    contains "$(request "/run/fpm-waker/$name.sock" "$www/hello.php")" "hello from " "$name"
    remove_native_vhost
  done
}

@test "a vhost changes its engine: the former socket goes before the next one comes" {
  local round
  native_vhost changes.example StopAfterSec=infinity
  for round in 1 2 3; do
    systemctl start "fpm-waker@$vhost.socket"
    is_state "$unit.socket" inactive
    systemctl start "$unit.socket"
    is_state "fpm-waker@$vhost.socket" inactive
    contains "$(request "$socket" "$www/hello.php")" 'hello from ' "round $round"
  done
}

@test "systemctl reload makes php-fpm read its configuration, in the same process" {
  native_vhost my-site.example.com StopAfterSec=infinity
  echo '<?php echo "limit ", ini_get("memory_limit");' >"$www/limit.php"
  contains "$(request "$socket" "$www/limit.php")" "limit 128M"
  pid=$(main_pid)
  before=$(socket_identity "$socket")
  for megabytes in 100 101 102; do
    sed -i '/memory_limit/d' "/etc/fpm-waker/$vhost.php-fpm.conf"
    echo "php_admin_value[memory_limit] = ${megabytes}M" >>"/etc/fpm-waker/$vhost.php-fpm.conf"
    systemctl reload "$unit.service"
    new_limit() { [[ $(request "$socket" "$www/limit.php") == *"limit ${megabytes}M"* ]]; }
    wait_for new_limit
  done
  is "$(main_pid)" "$pid" "reload started another process"
  is "$(socket_identity "$socket")" "$before" "reload changed the socket"
}

@test "systemctl stop waits for the running request; the next one wakes the vhost" {
  native_vhost my-site.example.com StopAfterSec=infinity
  echo '<?php touch(session_save_path() . "/begun"); sleep(2); echo "complete";' >"$www/slow.php"
  contains "$(request "$socket" "$www/hello.php")" "hello from "
  start slow "$fastcgi" "$socket" "$www/slow.php"
  wait_for test -e "/var/lib/private/fpm-waker/$vhost/begun"
  began=$(now_ms)
  systemctl stop "$unit.service"
  took=$(($(now_ms) - began))
  wait "$pid"
  contains "$(cat "$dir/slow.log")" complete
  [ "$took" -lt 6000 ] || fail "stop took $took ms"
  is "$(systemctl show -P Result "$unit.service")" success "result of the stop"
  contains "$(request "$socket" "$www/hello.php")" "hello from "
}

@test "a program that a script left behind neither delays the stop nor the next start" {
  native_vhost my-site.example.com StopAfterSec=infinity
  echo '<?php exec("setsid sleep 1000 >/dev/null 2>&1 &"); echo "left";' >"$www/leave.php"
  contains "$(request "$socket" "$www/leave.php")" left
  stray=$(pgrep -f '^sleep 1000')
  kill -QUIT "$(main_pid)"
  wait_for sleeps_natively
  is_gone "$stray" || fail "the program survived the vhost"
  began=$(now_ms)
  contains "$(request "$socket" "$www/hello.php")" "hello from "
  took=$(($(now_ms) - began))
  [ "$took" -lt 2000 ] || fail "the next request took $took ms"
}

# neighbours LINE...: two native vhosts; what a script of the second one can do to the first one's worker
# and shared memory is in $output. LINEs are for a drop-in of the second one.
neighbours() {
  local first
  native_vhost first.example.com StopAfterSec=infinity
  echo '<?php file_put_contents("/dev/shm/first", "secret"); echo " ", getmypid();' \
    >"$www/who.php"
  first=$(request "$socket" "$www/who.php")
  native_vhost my-site.example.com StopAfterSec=infinity
  [ $# = 0 ] || drop_in "$@"
  cat >"$www/neighbour.php" <<PHP
<?php
\$worker = ${first##* };
echo 'signal=', (int)posix_kill(\$worker, 0), ' sees=', (int)is_dir("/proc/\$worker"),
  ' reads=', (int)is_readable('/dev/shm/first'), ' writes=', (int)(file_put_contents('/dev/shm/x', 'x') !== false);
PHP
  run request "$socket" "$www/neighbour.php"
  systemctl stop fpm-waker-native@first.example.com.{socket,service}
  rm -rf /etc/fpm-waker/first.example.com.* /srv/www/first.example.com
}

@test "vhosts do not see each other's processes and shared memory" {
  neighbours
  contains "$output" 'sees=0 reads=0 writes=1'
}

@test "a vhost with User= is a user of its own, which cannot signal others" {
  neighbours User=shop
  contains "$output" 'signal=0 sees=0 reads=0 writes=1'
}

@test "the sandbox is in effect" {
  native_vhost my-site.example.com StopAfterSec=infinity
  cat >"$www/sandbox.php" <<'PHP'
<?php
$status = file_get_contents('/proc/self/status');
preg_match_all('/^(CapEff|CapBnd|NoNewPrivs|Seccomp):\s*(\w+)/m', $status, $found, PREG_SET_ORDER);
foreach ($found as $line)
        echo "$line[1]=$line[2]\n";
echo 'uid=', posix_getuid(), "\n";
foreach (['/etc/x', '/usr/x', '/var/x', "$_SERVER[DOCUMENT_ROOT]/x", '/run/x'] as $path)
        echo "write $path=", (int)(@file_put_contents($path, 'x') !== false), "\n";
echo 'write state=', (int)(file_put_contents(session_save_path() . '/x', 'x') !== false), "\n";
echo 'write tmp=', (int)(file_put_contents('/tmp/fpm-waker-test', 'x') !== false), "\n";
echo 'home=', (int)is_readable('/home/secret'), "\n";
echo 'pid 1=', (int)is_dir('/proc/1'), "\n";
echo 'proc sys=', (int)file_exists('/proc/sys'), "\n";
echo 'tracing=', (int)preg_match('~ /sys/kernel/tracing rw[, ]~', file_get_contents('/proc/self/mountinfo')), "\n";
echo 'interfaces=', implode(',', array_keys(net_get_interfaces() ?: [])), "\n";
echo 'preg=', preg_match('/^(a|b)+$/', 'abab'), "\n";
session_start();
$_SESSION['x'] = 1;
echo 'session=', (int)session_write_close(), "\n";
echo 'child=', trim(shell_exec('env | grep -E "LD_PRELOAD|LISTEN_|FPM_" | wc -l')), "\n";
PHP
  echo secret >/home/secret
  run request "$socket" "$www/sandbox.php" --param="DOCUMENT_ROOT=$www"
  is "$status" 0
  for line in CapEff=0000000000000000 CapBnd=0000000000000000 NoNewPrivs=1 Seccomp=2 \
    'write /etc/x=0' 'write /usr/x=0' 'write /var/x=0' "write $www/x=0" 'write /run/x=0' \
    'write state=1' 'write tmp=1' home=0 'pid 1=0' 'proc sys=0' tracing=0 preg=1 session=1 child=0; do
    contains "$output" "$line"
  done
  matches "$output" 'uid=6[0-9]{4}' "not a dynamic user"
  matches "$output" 'interfaces=(lo)?($|[^,a-z])' "has a network"
  [ ! -e /tmp/fpm-waker-test ] || fail "/tmp is shared with the machine"
}

@test "php-fpm's log reaches the journal, by syslog and by standard error" {
  for log in syslog /proc/self/fd/2; do
    native_vhost "error-log-${log##*/}.example" StopAfterSec=infinity
    sed -i "s,^error_log = .*,error_log = $log," "/etc/fpm-waker/$vhost.php-fpm.conf"
    contains "$(request "$socket" "$www/hello.php")" "hello from "
    contains "$(journal_of "$unit.service")" "ready to handle connections"
    remove_native_vhost
  done
}

@test "a drop-in can give the network, an existing user and a folder to write to" {
  native_vhost my-site.example.com StopAfterSec=infinity
  drop_in PrivateNetwork=no User=www-data "ReadWritePaths=$www"
  chown www-data "$www"
  cat >"$www/drop-in.php" <<'PHP'
<?php
echo 'uid=', posix_getuid(), "\n";
echo 'write=', (int)(@file_put_contents(__DIR__ . '/x', 'x') !== false), "\n";
echo 'namespace=', readlink('/proc/self/ns/net'), "\n";
PHP
  run request "$socket" "$www/drop-in.php"
  is "$status" 0
  contains "$output" uid=33
  contains "$output" write=1
  contains "$output" "namespace=$(readlink /proc/self/ns/net)"
}
