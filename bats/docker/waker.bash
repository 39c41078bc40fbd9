# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# A vhost whose service wraps a `docker run` that the test writes itself, word by word. (With a
# conf it is docker_vhost of the helpers.)

socket=/run/waker.sock
service=waker.service
launcher=/fpm-waker/fpm-launcher
docker_run='docker run --rm --name waker --network=none --pull=never'
docker_run+=' -v /usr/lib/fpm-waker:/fpm-waker:ro'
docker_run+=' -v /run/fpm-waker-handover/waker:/fpm-waker/run:ro -v /srv/www/waker:/var/www/html:ro'

# Every test begins and ends with nothing left of any other.
start_vhost_test() {
  start_test
  mkdir -p /srv/www/waker
  echo '<?php usleep(20000); echo "hello";' >/srv/www/waker/hello.php
  load_image php
  journalctl --sync
  cursor=$(journalctl -q -n 0 --show-cursor | sed -n 's/^-- cursor: //p')
}

# What the service has written to the journal since the test began: exactly, since lines are counted.
log_of_test() {
  journalctl --sync
  journalctl -q -o cat --no-pager -u "$service" "--after-cursor=$cursor"
}

end_vhost_test() {
  local id
  [ -n "${BATS_TEST_COMPLETED:-}" ] || log_of_test | grep -v '" 200$'
  systemctl stop waker.socket "$service" 2>/dev/null || true
  for id in $(docker ps -aq 2>/dev/null); do
    docker rm -f "$id" >/dev/null
  done
  rm -f /run/systemd/system/waker.{socket,service}
  systemctl daemon-reload
  systemctl reset-failed
  end_test
}

# Options of `fpm-waker run` for vhost().
run_options=''

# vhost WORD...: the words behind `docker run --rm --name waker` with all mounts. Starts the socket.
vhost() {
  local word quoted=''
  for word; do
    word=${word//\"/\\\"}
    quoted+=" \"${word//$'\n'/ }\""
  done
  printf '%s\n' '[Unit]' StartLimitIntervalSec=0 '[Socket]' "ListenStream=$socket" SocketMode=0660 \
    SocketGroup=www-data FileDescriptorName=www >/run/systemd/system/waker.socket
  printf '%s\n' '[Unit]' StartLimitIntervalSec=0 '[Service]' Type=notify NotifyAccess=main \
    KillMode=mixed TimeoutStopSec=100 RuntimeDirectory=fpm-waker-handover/waker \
    RuntimeDirectoryMode=0711 'ExecReload=kill -HUP $MAINPID' 'ExecReload=sleep 0.1' \
    "ExecStart=/usr/bin/fpm-waker run $run_options -- $docker_run $quoted" >/run/systemd/system/waker.service
  systemctl daemon-reload
  systemctl start waker.socket
}

# The usual one: php-fpm as PID 1. Words are options of fpm-launcher.
php_vhost() {
  vhost --entrypoint "$launcher" php "$@" -- php-fpm
}

hello() {
  request "$socket" /var/www/html/hello.php --timeout=30
}

# Eight clients at once for so many seconds, in the background.
start_load() {
  start load "$fastcgi" --clients=8 --duration="$1" --expect=hello "$socket" /var/www/html/hello.php
  load=$pid
  wait_for is_waked
}

# Not one request was lost, and there were some.
load_lost_nothing() {
  local status=0
  wait "$load" || status=$?
  is "$status" 0 "the clients lost requests: $(cat "$dir/load.log")"
  matches "$(cat "$dir/load.log")" '^ok [1-9][0-9]* lost 0' "requests were lost"
}

# What no start and no stop may change.
socket_as_it_is() {
  socket_identity "$socket"
  backlog "$socket"
}

is_waked() { is_state "$service" active; }
is_asleep() { is_state "$service" inactive; }
has_failed() { is_state "$service" failed; }
nothing_runs() { [ -z "$(docker ps -aq)" ]; }
master_of_service() { systemctl show -P MainPID "$service"; }
status_text() { systemctl show -P StatusText "$service"; }
says() { [ "$(status_text)" = "$1" ]; }
logged() { log_of_test | grep -Fq -- "$1"; }
exit_status() { systemctl show -P ExecMainStatus "$service"; }

# Also when that has been done too often for systemd's taste.
restart_docker() {
  systemctl reset-failed docker.service docker.socket 2>/dev/null || true
  systemctl restart docker
}

# run_activated WORD...: `fpm-waker run` with a passed socket, outside of a unit; programs in
# $dir/bin are found first. Sets $status; the output is in $dir/waker.log. (A shell cannot make a
# listening socket: systemd-socket-activate does, and starts the command when somebody connects.)
run_activated() {
  rm -f "$dir/waker.log"
  start waker env "PATH=$dir/bin:$PATH" systemd-socket-activate -l "$dir/socket" -E PATH \
    -E "NOTIFY_SOCKET=$dir/notify" fpm-waker run --handover="$dir/run/handover" --retry-limit=0 "$@"
  wait_for test -S "$dir/socket"
  socat -u OPEN:/dev/null "UNIX-CONNECT:$dir/socket"
  status=0
  wait "$pid" || status=$?
  rm -f "$dir/socket"
}
