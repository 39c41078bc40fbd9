# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# The vhosts of the soak, in the bed. A part of it sets up some, by
#
#   vhost NAME ADDRESSES OPTIONS [LINE...]
#
# ADDRESSES: where it listens, with commas between them if it has several pools; OPTIONS: of hammer,
# for this vhost; LINEs: of each pool's configuration.

soak_sockets=/run/soak
soak_conf=/etc/soak
soak_out=/var/lib/soak # what the vhosts write
soak_www=/srv/soak     # answer.php
soak_units=/run/systemd/system

dynamic=('pm = dynamic' 'pm.start_servers = 1' 'pm.min_spare_servers = 1' 'pm.max_spare_servers = 2')
ondemand=('pm = ondemand' 'pm.process_idle_timeout = 1s')

set_up_soak() {
  mkdir -p "$soak_sockets" "$soak_conf" "$soak_out" "$soak_www" /run/systemd/journald.conf.d
  chown www-data "$soak_out"
  install -m 644 "$tree/bats/soak/answer.php" "$soak_www"
  # Starts and ends are counted by what systemd logs: all of it must be there.
  printf '%s\n' '[Journal]' RateLimitIntervalSec=0 RateLimitBurst=0 RuntimeMaxUse=1G \
    >/run/systemd/journald.conf.d/soak.conf
  systemctl restart systemd-journald
}

# Forgets the vhosts of the last part.
no_vhosts() {
  vhosts=()
  declare -gA specification=() unit_of=() late_of=()
  idle=50 # milliseconds
}

declare_vhost() {
  vhosts+=("$1")
  specification[$1]=$1,$2,$3
  unit_of[$1]=soak-$1
  late_of[$1]=$soak_out/$1.late
  IFS=, read -ra addresses <<<"$2"
}

vhost() {
  declare_vhost "$1" "$2" "$3"
  fpm_conf "$1" "${@:4}"
  socket_unit "$1"
  service_unit "$1" ExecStart="/usr/bin/fpm-launcher --exit-idle-time=${idle}ms -- $(fpm_command "$1")" \
    KillMode=mixed
}

fpm_command() { echo "/usr/sbin/php-fpm -F -y $soak_conf/$1.conf"; }

# fpm_conf NAME [LINE...]: a pool for each of ${addresses[@]}. A LINE with a blank before it is for
# [global].
fpm_conf() {
  local name=$1 address line
  install -m 644 -o www-data /dev/null "${late_of[$name]}"
  {
    printf '%s\n' '[global]' 'daemonize = no' "error_log = $soak_out/$name.log" 'log_level = warning'
    printf '%s\n' "${@:2}" | grep '^ ' || true
    for address in "${addresses[@]}"; do
      printf '%s\n' "[${address//[^a-z0-9]/-}]" "listen = $address" 'pm = static' \
        'pm.max_children = 4' 'env[SERVER] = $INVOCATION_ID' "env[LATE] = ${late_of[$name]}" \
        'php_admin_flag[expose_php] = off'
      printf '%s\n' "${@:2}" | grep -v '^ ' || true
    done
  } >"$soak_conf/$name.conf"
}

socket_unit() {
  {
    printf '%s\n' '[Socket]' SocketUser=www-data SocketMode=0600 Backlog=4096 \
      TriggerLimitIntervalSec=0
    printf 'ListenStream=%s\n' "${addresses[@]}"
  } >"$soak_units/soak-$1.socket"
}

# service_unit NAME LINE...
service_unit() {
  printf '%s\n' '[Unit]' StartLimitIntervalSec=0 '[Service]' Type=notify NotifyAccess=main \
    User=www-data 'ExecReload=kill -USR2 $MAINPID' TimeoutStopSec=100s OOMPolicy=continue \
    "${@:2}" >"$soak_units/soak-$1.service"
}

start_vhosts() {
  local name
  systemctl daemon-reload
  for name in "${vhosts[@]}"; do
    systemctl start "${unit_of[$name]}.socket"
  done
}

remove_vhosts_of_soak() {
  local name
  for name in "${vhosts[@]}"; do
    systemctl stop "${unit_of[$name]}.socket" "${unit_of[$name]}.service"
    rm -f "$soak_units/soak-$name"* "$soak_conf/$name.conf" "$soak_out/$name".* "${late_of[$name]}"
  done
  systemctl daemon-reload
  systemctl reset-failed
}

all_vhosts_sleep() {
  local name
  for name in "${vhosts[@]}"; do
    is_state "${unit_of[$name]}.service" inactive || return
  done
}

# --- what systemd has seen -----------------------------------------------------------------------

journal_cursor() {
  journalctl --sync
  journalctl -q -n 0 --show-cursor | sed -n 's/^-- cursor: //p'
}

# ends_since CURSOR NAME...: how often the vhosts' services have ended well since then.
ends_since() {
  local cursor=$1 name units=()
  shift
  for name; do
    units+=(-u "${unit_of[$name]}.service")
  done
  journalctl --sync
  # Not `journalctl | grep -c`: it would fail if there is none.
  journalctl -q -o cat --after-cursor="$cursor" "${units[@]}" |
    awk '/: (Succeeded|Deactivated successfully)\.$/ { n++ } END { print n + 0 }'
}

# The same for those that have failed.
failures_since() {
  local cursor=$1 name units=()
  shift
  for name; do
    units+=(-u "${unit_of[$name]}.service")
  done
  journalctl -q -o cat --after-cursor="$cursor" "${units[@]}" |
    awk '/: Failed with result / { n++ } END { print n + 0 }'
}
