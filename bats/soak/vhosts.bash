# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# The vhosts of the soak, in the bed: socket units, service units, php-fpm's configurations. A part
# of the soak begins with no_vhosts and sets up some. For each one,
#
#   NAME        is also that of its units, mostly
#   ADDRESSES   where it listens, with commas between them if it has several pools
#   OPTIONS     of hammer, for this vhost, with commas between them
#   LINE...     of each pool's configuration

soak_sockets=/run/soak
soak_conf=/etc/soak
soak_out=/var/lib/soak # what the vhosts write
soak_www=/srv/soak     # answer.php
soak_units=/run/systemd/system
php_fpm_of_soak=/usr/sbin/php-fpm

dynamic=('pm = dynamic' 'pm.start_servers = 1' 'pm.min_spare_servers = 1' 'pm.max_spare_servers = 2')
ondemand=('pm = ondemand' 'pm.process_idle_timeout = 1s')

set_up_soak() {
  mkdir -p "$soak_sockets" "$soak_conf" "$soak_out" "$soak_www" /etc/fpm-waker \
    /run/systemd/journald.conf.d
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

# declare_vhost NAME ADDRESSES OPTIONS UNIT
declare_vhost() {
  vhosts+=("$1")
  specification[$1]=$1,$2,$3
  unit_of[$1]=$4
  late_of[$1]=$soak_out/$1.late
}

# vhost NAME ADDRESSES OPTIONS [LINE...]
vhost() {
  declare_vhost "$1" "$2" "$3" "soak-$1"
  fpm_conf "$1" "$2" "${@:4}"
  socket_unit "$1" "$2"
  service_unit "$1" User=www-data KillMode=mixed \
    ExecStart="/usr/bin/fpm-launcher --exit-idle-time=${idle}ms -- $(fpm_command "$1")"
}

# shipped_vhost NAME OPTIONS [LINE...]: as the units of this project have it, in its sandbox.
shipped_vhost() {
  declare_vhost "$1" "$(vhost_socket "$1")" "$2" "fpm-waker-native@$1"
  late_of[$1]=/var/lib/fpm-waker/$1/late
  fpm_conf "$1" "$(vhost_socket "$1")" "${@:3}"
  sed -i 's/^error_log = .*/error_log = syslog/' "$soak_conf/$1.conf"
  printf '%s\n' Engine=native "Command=$(fpm_command "$1")" "StopAfterSec=${idle}ms" \
    >"/etc/fpm-waker/$1.conf"
}

# container_vhost NAME ENGINE OPTIONS: in docker, podman or nspawn.
container_vhost() {
  local unit=fpm-waker-$2@$1 lines
  case $2 in
    docker) unit=fpm-waker@$1 lines=Image=php ;;
    podman) lines=$'Engine=podman\nImage=localhost/php' ;;
    nspawn) lines=$'Engine=nspawn\nDirectory=/var/lib/machines/php' ;;
  esac
  load_image php "$2"
  mkdir -p "/srv/www/$1"
  printf '%s\n' "$lines" 'Command=docker-php-entrypoint php-fpm' "StopAfterSec=${idle}ms" \
    "Volume=/srv/www/$1:/var/www/html" >"/etc/fpm-waker/$1.conf"
  declare_vhost "$1" "$(vhost_socket "$1")" "script=/var/www/html/answer.php,$3" "$unit"
  late_of[$1]=/srv/www/$1/late
  install -m 644 "$tree/bats/soak/answer.php" "/srv/www/$1"
  chmod 777 "/srv/www/$1"
}

# Spans of the tiers for NAME, which is a shipped_vhost or a container_vhost: milliseconds, or infinity.
# Its requests are aimed at the begin of each tier.
tiers_of() {
  local span key=FreezeAfterSec lines=''
  for span in "${@:2}"; do
    case $span in infinity) ;; *) specification[$1]+=,at=$span span+=ms ;; esac
    lines+=$key=$span$'\n'
    case $key in FreezeAfterSec) key=LightAfterSec ;; *) key=StopAfterSec ;; esac
  done
  sed -i /^StopAfterSec=/d "/etc/fpm-waker/$1.conf"
  printf %s "$lines" >>"/etc/fpm-waker/$1.conf"
}

# nginx_in_front NAME PORT KEEP-CONN: NAME, which is a vhost on a unix socket, gets its requests by
# HTTP. nginx tries none a second time, so that none that is lost is hidden.
nginx_in_front() {
  specification[$1]=$1,127.0.0.1:$2,http,script=/answer.php
  cat >"/etc/nginx/conf.d/soak-$1.conf" <<CONF
upstream soak-$1 { server unix:$soak_sockets/$1.sock; keepalive 2; }
server {
  listen 127.0.0.1:$2;
  access_log off;
  location / {
    fastcgi_pass soak-$1;
    fastcgi_keep_conn $3;
    fastcgi_next_upstream off;
    fastcgi_param SCRIPT_FILENAME $soak_www\$fastcgi_script_name;
    fastcgi_param QUERY_STRING \$query_string;
    fastcgi_param REQUEST_METHOD \$request_method;
    fastcgi_param CONTENT_TYPE \$content_type;
    fastcgi_param CONTENT_LENGTH \$content_length;
  }
}
CONF
}

# --- peers, for comparison -----------------------------------------------------------------------

# signalled_vhost NAME OPTIONS [LINE...]: php-fpm takes the passed socket by its own FPM_SOCKETS. It
# is not root, so it may not remove the socket's path when it ends. Who stops it is hammer (--stop).
signalled_vhost() {
  declare_vhost "$1" "$soak_sockets/$1.sock" "$2" "soak-$1"
  fpm_conf "$1" "$soak_sockets/$1.sock" "${@:3}"
  socket_unit "$1" "$soak_sockets/$1.sock"
  service_unit "$1" User=www-data "Environment=FPM_SOCKETS=$soak_sockets/$1.sock=3" \
    "ExecStart=$(fpm_command "$1")"
}

# proxied_vhost NAME OPTIONS SERVICE-LINE [LINE...]: systemd-socket-proxyd has the passed socket and
# ends when it is idle; then systemd stops php-fpm, which has a socket of its own.
proxied_vhost() {
  local own=$soak_sockets/$1.own
  declare_vhost "$1" "$soak_sockets/$1.sock" "$2" "soak-$1"
  fpm_conf "$1" "$own" 'user = www-data' 'listen.owner = www-data' "${@:4}"
  socket_unit "$1" "$soak_sockets/$1.sock"
  service_unit "$1.php-fpm" "ExecStart=$(fpm_command "$1")" "$3" '[Unit]' StopWhenUnneeded=yes
  service_unit "$1" Type=exec User=www-data \
    "ExecStart=/lib/systemd/systemd-socket-proxyd --exit-idle-time=${idle}ms $own" \
    '[Unit]' "Requires=soak-$1.php-fpm.service" "After=soak-$1.php-fpm.service"
}

# --- what they are made of -----------------------------------------------------------------------

fpm_command() { echo "$php_fpm_of_soak -F -y $soak_conf/$1.conf"; }

# fpm_conf NAME ADDRESSES [LINE...]. $fpm_global: lines for [global].
fpm_conf() {
  local address
  {
    printf '%s\n' '[global]' 'daemonize = no' "error_log = $soak_out/$1.log" \
      'log_level = warning' "${fpm_global[@]}"
    for address in ${2//,/ }; do
      printf '%s\n' "[${address//[^a-z0-9]/-}]" "listen = $address" 'pm = static' \
        'pm.max_children = 4' 'env[SERVER] = $INVOCATION_ID' "env[LATE] = ${late_of[$1]}" \
        'php_admin_flag[expose_php] = off' "${@:3}"
    done
  } >"$soak_conf/$1.conf"
}
fpm_global=()

# socket_unit NAME ADDRESSES
socket_unit() {
  printf '%s\n' '[Socket]' SocketUser=www-data SocketMode=0600 Backlog=4096 \
    TriggerLimitIntervalSec=0 "ListenStream=${2//,/$'\n'ListenStream=}" \
    >"$soak_units/soak-$1.socket"
}

# service_unit NAME LINE...
service_unit() {
  printf '%s\n' '[Unit]' StartLimitIntervalSec=0 '[Service]' Type=notify NotifyAccess=main \
    'ExecReload=kill -USR2 $MAINPID' TimeoutStopSec=100s OOMPolicy=continue "${@:2}" \
    >"$soak_units/soak-$1.service"
}

# --- all of them ---------------------------------------------------------------------------------

start_vhosts() {
  local name
  systemctl daemon-reload
  systemctl restart nginx
  for name in "${vhosts[@]}"; do
    systemctl start "${unit_of[$name]}.socket"
  done
}

stop_vhosts() {
  local name
  for name in "${vhosts[@]}"; do
    systemctl stop "${unit_of[$name]}.socket" "${unit_of[$name]}.service" || true
    rm -rf "$soak_units/soak-$name".* "$soak_conf/$name.conf" "$soak_out/$name".* \
      "${late_of[$name]}" "/etc/fpm-waker/$name.conf" "/etc/nginx/conf.d/soak-$name.conf"
  done
  vhosts=()
  systemctl daemon-reload
  systemctl reset-failed
}

all_vhosts_sleep() {
  local name
  for name in "${vhosts[@]}"; do
    is_state "${unit_of[$name]}.service" inactive || is_state "${unit_of[$name]}.service" failed ||
      return
  done
}

# How often the vhosts have ended since the journal's cursor $1, by what systemd says about them.
ends_since() {
  local name units=()
  for name in "${vhosts[@]}"; do
    units+=(-u "${unit_of[$name]}.service")
  done
  journalctl --sync
  journalctl -q -o cat --after-cursor="$1" "${units[@]}" |
    grep -cE ": (Deactivated successfully\.|Failed with result '.*'\.)\$" || true
}

journal_cursor() {
  journalctl --sync
  journalctl -q -n 0 --show-cursor | sed -n 's/^-- cursor: //p'
}
