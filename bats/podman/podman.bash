# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Vhosts in podman containers, rootful and rootless: the same tests for both. A test file sets
# $owner, "root" or "user", and calls the functions here.

vhost=my-site.example.com
unit=fpm-waker-podman@$vhost
examples=/usr/share/fpm-waker/examples

# Makes the rootless user, with a service manager that lives without a login.
make_user() {
  id waker >/dev/null 2>&1 || {
    useradd --create-home --shell /bin/bash waker
    usermod --add-subuids 100000-165535 --add-subgids 100000-165535 waker
  }
  # The bed sees the machine's v1 cgroup hierarchies in /proc/self/cgroup, all at "/". podman 4.3 takes
  # them for a cgroup that is not the user's, and leaves the unit's cgroup for one of its own.
  chown waker /sys/fs/cgroup
  loginctl enable-linger waker
  wait_for systemctl -q is-active "user@$(id -u waker).service"
}

# Runs a command as the vhost's owner, in the owner's session.
as_owner() {
  if [ "$owner" = root ]; then
    "$@"
  else
    setpriv --reuid=waker --regid=waker --init-groups \
      env -C / HOME=/home/waker USER=waker LOGNAME=waker \
      XDG_RUNTIME_DIR="/run/user/$(id -u waker)" \
      DBUS_SESSION_BUS_ADDRESS="unix:path=/run/user/$(id -u waker)/bus" "$@"
  fi
}

manager() {
  if [ "$owner" = root ]; then
    systemctl "$@"
  else
    as_owner systemctl --user "$@"
  fi
}

journal() {
  journalctl --sync
  if [ "$owner" = root ]; then
    journalctl -q -o cat --no-pager --since="@$began" -u "$unit.service"
  else
    journalctl -q -o cat --no-pager --since="@$began" _SYSTEMD_USER_UNIT="$unit.service" + \
      USER_UNIT="$unit.service"
  fi
}

# Once a file: the image, where the owner's podman finds it.
prepare_podman() {
  if [ "$owner" = user ]; then
    make_user
  fi
  load_image php podman
  [ "$owner" = root ] ||
    podman save -q localhost/php | as_owner podman load -q >/dev/null
}

# Sets $socket, $www and $conf.
places() {
  if [ "$owner" = root ]; then
    socket=/run/fpm-waker/$vhost.sock
    conf=/etc/fpm-waker/$vhost.conf
    quadlet=/etc/containers/systemd/$unit.container
  else
    socket=/run/user/$(id -u waker)/fpm-waker/$vhost.sock
    conf=/home/waker/.config/fpm-waker/$vhost.conf
    quadlet=/home/waker/.config/containers/systemd/$unit.container
  fi
  www=/srv/www/$vhost
  mkdir -p "$www"
  chown "$(as_owner id -u)" "$www"
  echo '<?php echo "hello from ", getmypid();' >"$www/hello.php"
}

from_example() {
  sed -e 's,docker.io/library/php:8[.0-9]*-fpm,localhost/php,' -e "s,/var/www/my-site:,$www:," "$1"
}

# podman_vhost [LINE...]: from the example, LINEs are for its conf.
podman_vhost() {
  places
  as_owner mkdir -p "${conf%/*}"
  {
    from_example "$examples/podman.conf" | grep -v '^StopAfterSec='
    printf '%s\n' "$@"
  } >"$conf"
  manager start "$unit.socket"
}

# quadlet_vhost IDLE: from the example.
quadlet_vhost() {
  places
  as_owner mkdir -p "${quadlet%/*}"
  from_example "$examples/$unit.container" |
    sed "s/--exit-idle-time=[^ ]*/--exit-idle-time=$1/" >"$quadlet"
  manager daemon-reload
  manager start "$unit.socket"
}

remove_podman_vhost() {
  if [ -z "${BATS_TEST_COMPLETED:-}" ]; then
    manager status --no-pager "$unit.socket" "$unit.service" || true
    journal | tail -n 40 || true
  fi
  manager stop "$unit.socket" "$unit.service"
  as_owner podman rm -af -t 0 >/dev/null
  rm -rf "$conf" "$quadlet" "$www" "/run/systemd/system/$unit.service.d"
  manager daemon-reload
  manager reset-failed
}

has_slept() { [ "$(manager show -P ActiveState "$unit.service")" = inactive ]; }
hello() { request "$socket" /var/www/html/hello.php "$@"; }
containers() { as_owner podman ps -aq; }

# --- the tests -----------------------------------------------------------------------------------

cycles() {
  local before
  before=$(socket_identity "$socket" && backlog "$socket")
  has_slept || fail "it runs before the first request"
  for _ in 1 2 3; do
    contains "$(hello)" "hello from "
    contains "$(hello)" "hello from "
    wait_for has_slept
    is "$(manager show -P Result "$unit.service")" success "result of the idle exit"
    is "$(socket_identity "$socket" && backlog "$socket")" "$before" "the socket changed"
    is "$(containers)" "" "containers left"
  done
}

no_network_and_no_leak() {
  cat >"$www/inside.php" <<'PHP'
<?php
echo 'interfaces=', trim(shell_exec('ls /sys/class/net') ?? ''), "\n";
echo 'leaks=', trim(shell_exec('env | grep -cE "LD_PRELOAD|LISTEN_|FPM_WAKER|FPM_SOCKETS"')), "\n";
echo 'new privileges=', preg_match('/NoNewPrivs:\s*0/', file_get_contents('/proc/self/status')), "\n";
PHP
  run request "$socket" /var/www/html/inside.php
  contains "$output" 'interfaces=lo'
  lacks "$output" eth
  contains "$output" 'leaks=0'
  contains "$output" 'new privileges=0'
}

stop_waits_for_request() {
  local slow
  echo '<?php echo "begun\n"; flush(); sleep(2); echo "complete";' >"$www/slow.php"
  contains "$(hello)" "hello from "
  start slow "$fastcgi" "$socket" /var/www/html/slow.php
  slow=$pid
  sleep 0.5 # nothing outside the container shows that the request has begun
  manager stop "$unit.service"
  wait "$slow"
  contains "$(cat "$dir/slow.log")" complete
  is "$(manager show -P Result "$unit.service")" success "result of the stop"
  contains "$(hello)" "hello from "
}

# For a Quadlet, whose container has the sockets itself: requests wait.
crash_and_repair() {
  local good
  good=$(cat "$quadlet")
  break_command "$quadlet"
  manager daemon-reload
  start patient "$fastcgi" "$socket" /var/www/html/hello.php
  has_failed() { [ "$(journal | grep -c 'Failed with result')" -ge 6 ]; }
  wait_for -t 25 has_failed
  is "$(manager show -P ActiveState "$unit.socket")" active "the socket unit"
  printf '%s\n' "$good" >"$quadlet"
  manager daemon-reload
  contains "$(hello)" "hello from "
}

# For a conf's vhost: they are answered.
answers_until_repaired() {
  local good before
  good=$(cat "$conf")
  before=$(socket_identity "$socket")
  break_command "$conf"
  contains "$(hello)" 'Status: 503 Service Unavailable'
  unavailable '[12]'
  wait_for logged 'the server ended with status 64 before it took requests: '
  printf '%s\n' "$good" >"$conf"
  wait_for -t 10 served
  is "$(journal | grep -c '^fpm-waker: the server ended with status 64')" 1 "$(journal)"
  is "$(socket_identity "$socket")" "$before" "the socket changed"
}

served() { hello | grep -q '^hello from '; }

break_command() {
  sed -i -E 's/^((Command|Exec)=.*) php-fpm$/\1 php-fpm --no-such-option/' "$1"
  grep -q no-such-option "$1" || fail "nothing to break in $1"
}

# For a vhost with an idle time of a second.
program_holds() {
  mkfifo -m 666 "$www/fifo"
  echo '<?php exec("cat /var/www/html/fifo >/dev/null 2>&1 &"); echo "left";' >"$www/leave.php"
  contains "$(request "$socket" /var/www/html/leave.php)" left
  wait_for logged 'still awake: 1 program that requests left running: [0-9]* (cat); the background limit is 3600 s'
  contains "$(hello)" "hello from "
  timeout 10 sh -c ': >"$0"' "$www/fifo"
  wait_for has_slept
  is "$(manager show -P Result "$unit.service")" success "result of the idle exit"
  is "$(journal | grep -c 'still awake\|background limit')" 1
}

logged() { journal | grep -q -- "$1"; }

# For a vhost with an idle time of two seconds.
pause_is_not_idle() {
  local seconds since took
  for seconds in 4 1; do
    contains "$(hello)" "hello from "
    as_owner podman pause "fpm-waker-$vhost" >/dev/null
    sleep "$seconds" # time is what is tested
    since=$(now_ms)
    as_owner podman unpause "fpm-waker-$vhost" >/dev/null
    [ "$seconds" = 1 ] || contains "$(hello)" "hello from "
    wait_for has_slept
    took=$(($(now_ms) - since))
    [ "$took" -ge 2000 ] || fail "it slept $took ms after the end of the pause"
    is "$(manager show -P Result "$unit.service")" success "result of the idle exit"
  done
  is "$(journal | grep -c 'ready to handle connections')" 2 "starts"
}
