# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# The same vhost in any engine, for tests that are the same for all of them. An engine is docker (by a
# conf), wrapper (docker, by a command of one's own), podman, rootless (podman of a user's), nspawn or
# native. To be loaded behind ../podman/podman.

tree_of_nspawn=/var/lib/machines/php

# Sets $engine, $owner, $unit, $socket, $conf and $www, and for requests $scripts, where the server
# finds what is in $www.
set_places() {
  engine=$1
  owner=root
  vhost=my-site.example.com
  socket=/run/fpm-waker/$vhost.sock
  conf=/etc/fpm-waker/$vhost.conf
  handover=/run/fpm-waker-handover/$vhost
  www=/srv/www/$vhost
  scripts=/var/www/html
  case $engine in
    docker) unit=fpm-waker@$vhost ;;
    wrapper) unit=wrapper ;;
    native)
      unit=fpm-waker-native@$vhost
      handover=/run/fpm-waker-native/$vhost
      scripts=$www
      ;;
    nspawn) unit=fpm-waker-nspawn@$vhost ;;
    podman) unit=fpm-waker-podman@$vhost ;;
    rootless)
      unit=fpm-waker-podman@$vhost
      owner=user
      socket=/run/user/$(id -u waker)/fpm-waker/$vhost.sock
      conf=/home/waker/.config/fpm-waker/$vhost.conf
      handover=/run/user/$(id -u waker)/fpm-waker-handover/$vhost
      ;;
  esac
}

# Once a file: what each engine needs.
prepare_engines() {
  load_image php docker
  load_image php nspawn
  owner=user
  prepare_podman
}

# The lines that make a conf one of $engine's, with php-fpm in it.
conf_of_engine() {
  case $engine in
    docker) printf '%s\n' Image=php ;;
    podman | rootless) printf '%s\n' Engine=podman Image=localhost/php ;;
    nspawn) printf '%s\n' Engine=nspawn "Directory=$tree_of_nspawn" ;;
    native)
      printf '%s\n' Engine=native "Command=php-fpm --nodaemonize --fpm-config $www/php-fpm.conf"
      printf '%s\n' '[global]' 'error_log = syslog' '[www]' "listen = $socket" 'pm = static' \
        'pm.max_children = 2' >"$www/php-fpm.conf"
      return
      ;;
  esac
  printf '%s\n' "Volume=$www:/var/www/html:ro"
}

# engine_vhost ENGINE [LINE...]: sets the vhost up and starts its socket. LINEs are for the conf.
engine_vhost() {
  set_places "$1"
  mkdir -p "$www"
  mkfifo "$www/fifo"
  echo '<?php echo "hello from ", posix_getppid(), " ", getmypid(), "\n";' >"$www/hello.php"
  echo '<?php fgets(fopen(__DIR__ . "/fifo", "r")); echo "complete";' >"$www/slow.php"
  if [ "$engine" = wrapper ]; then
    wrapper_units "${@:2}"
  else
    as_owner mkdir -p "${conf%/*}"
    {
      conf_of_engine
      printf '%s\n' "${@:2}"
    } >"$conf"
  fi
  manager start "$unit.socket"
}

# Of the lines of a conf, it knows StopAfterSec=.
wrapper_units() {
  printf '%s\n' '[Socket]' "ListenStream=$socket" RemoveOnStop=yes FileDescriptorName=www \
    TriggerLimitIntervalSec=0 >/run/systemd/system/wrapper.socket
  printf '%s\n' '[Unit]' StartLimitIntervalSec=0 '[Service]' Type=notify NotifyAccess=main \
    KillMode=mixed TimeoutStopSec=100 "RuntimeDirectory=fpm-waker-handover/$vhost" \
    RuntimeDirectoryMode=0711 'ExecReload=kill -HUP $MAINPID' 'ExecReload=sleep 0.1' \
    "ExecStart=/usr/bin/fpm-waker run -- docker run --rm --name wrapped --network=none --pull=never \
    -v /usr/lib/fpm-waker:/fpm-waker:ro -v $handover:/fpm-waker/run:ro -v $www:/var/www/html:ro \
    --entrypoint /fpm-waker/fpm-launcher php --exit-idle-time=${1#StopAfterSec=} -- php-fpm" \
    >/run/systemd/system/wrapper.service
  systemctl daemon-reload
}

# Safe to run twice.
remove_engine_vhost() {
  if [ -z "${BATS_TEST_COMPLETED:-}" ]; then
    manager status --no-pager "$unit.socket" "$unit.service" || true
    journal | tail -n 40 || true
  fi
  manager stop "$unit.socket" "$unit.service"
  case $engine in
    docker | wrapper) docker ps -aq | xargs -r docker rm -f >/dev/null ;;
    podman | rootless) as_owner podman rm -af -t 0 >/dev/null ;;
  esac
  rm -rf "${conf%.conf}".* "$www" /run/systemd/system/wrapper.{socket,service}
  manager daemon-reload
  manager reset-failed
}

# --- what is there -------------------------------------------------------------------------------

hello() { request "$socket" "$scripts/hello.php" --timeout=40 "$@"; }
served() { hello | grep -q '^hello from '; }
is_served() { contains "$(hello)" 'hello from '; }
status_text() { manager show -P StatusText "$unit.service"; }
says() { [ "$(status_text)" = "$1" ]; }
is_awake() { [ "$(manager show -P ActiveState "$unit.service")" = active ]; }
main_pid() { manager show -P MainPID "$unit.service"; }

# The server's own process, which in a container is the first one.
server() { pgrep -of 'php-fpm: master process'; }

# Prints all that is left of a vhost but its socket unit: nothing, if it sleeps as it should.
remains() {
  case $engine in
    docker) docker ps -q ;; # it keeps its container, stopped
    wrapper) docker ps -aq ;;
    podman | rootless) containers ;;
  esac
  pgrep -a 'php-fpm|fpm-waker|fpm-responder|fpm-launcher|conmon|systemd-nspawn' || true
  find /sys/fs/cgroup -type d '(' -path "*/$unit.service*" -o -name 'docker-*.scope' -o \
    -name 'libpod-*' ')' 2>/dev/null
  [ ! -e "$handover" ] || find "$handover" -mindepth 1
  findmnt -rno TARGET | grep -E '/containers/.*/merged$|/unix-export/' || true
}

nothing_remains() { [ -z "$(remains)" ]; }

# sleeps_cleanly: falls asleep, well, and nothing is left.
sleeps_cleanly() {
  wait_for has_slept
  is "$(manager show -P Result "$unit.service")" success "result of the idle exit"
  wait_for -t 10 nothing_remains || fail "$(remains)"
}

# Starts a request that has begun, and lasts until let_go.
hold_request() {
  start slow "$fastcgi" --timeout=60 "$socket" "$scripts/slow.php"
  slow=$pid
  exec {held}<>"$www/fifo"
  wait_for fifo_is_read
}

fifo_is_read() {
  local worker fd
  for worker in $(pgrep -f 'php-fpm: pool'); do
    for fd in "/proc/$worker/fd"/*; do
      [ ! "$fd" -ef "$www/fifo" ] || return 0
    done
  done
  return 1
}

let_go() {
  echo >&"$held"
  exec {held}>&-
  wait "$slow"
  contains "$(cat "$dir/slow.log")" complete
}
