# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# The parts of the soak. Each one sets up vhosts, drives them by hammer, and prints a line of the
# table. It needs ../helpers.bash and vhosts.bash, and these variables:
#
#   seed         of what is random
#   hammer_log   a folder for hammer's reports
#
# A part sets these to what it has counted: requests; ends, how often a service ended; signals; lost
# requests; cut, work behind an answer (fastcgi_finish_request) that did not end; hang.

hammer=$build/test/hammer
hog=$build/test/hog
row='%-52s %8s %6s %7s %5s %5s %5s %8s\n'

table_head() {
  # shellcheck disable=SC2059 # a format
  printf "$row" part requests ends signals lost cut hang slowest
}

# drive TITLE [HAMMER-OPTION...]: drives all vhosts, waits until they sleep again, prints the line.
# What runs $beside them, a command, is ended then.
drive() {
  local name=$hammer_log/${1//[^a-zA-Z0-9]/-} cursor
  start_vhosts
  cursor=$(journal_cursor)
  start_beside
  "$hammer" "--seed=$seed" "--idle=$idle" "--script=$soak_www/answer.php" \
    "--losses=$name.losses" "${@:2}" "${specification[@]}" >"$name.report" || true
  end_beside
  requests=$(sum requests <"$name.report") lost=$(sum lost <"$name.report")
  hang=$(sum hang <"$name.report") signals=$((signals + $(sum kills signals stops <"$name.report")))
  [ "$requests" -gt 0 ] || fail "hammer has done nothing" || return
  case $* in
    *--stop=*) ;; # nobody stops them but hammer
    *) wait_for -t 60 all_vhosts_sleep || hang=$((hang + 1)) ;;
  esac
  ends=$(ends_since "$cursor")
  cut=$(late_cut "$name.report")
  # shellcheck disable=SC2059 # a format
  printf "$row" "$1" "$requests" "$ends" "$signals" "$lost" "$cut" "$hang" \
    "$(slowest <"$name.report") ms"
  stop_vhosts
}

# sum KEY...: of hammer's report.
sum() {
  awk -v keys=" $* " '{ for (i = 1; i < NF; i++) if (index(keys, " " $i " ")) n += $(i + 1) }
    END { print n + 0 }'
}

slowest() { awk '$1 == "vhost" && $NF > n { n = $NF } END { print n + 0 }'; }

# How much work behind an answer was begun and not ended. Killed workers may have had one each.
late_cut() {
  local name missing
  missing=$(($(sum late <"$1") - $(sum kills <"$1")))
  for name in "${vhosts[@]}"; do
    missing=$((missing - $(stat -c %s "${late_of[$name]}" 2>/dev/null || echo 0)))
  done
  echo $((missing > 0 ? missing : 0))
}

# --- beside the requests -------------------------------------------------------------------------

start_beside() {
  signals=0 beside_pid=''
  [ -n "${beside:-}" ] || return 0
  : >"$hammer_log/signals"
  $beside >"$hammer_log/beside" 3>&- &
  beside_pid=$!
}

end_beside() {
  [ -n "$beside_pid" ] || return 0
  kill "$beside_pid" 2>/dev/null || true
  wait "$beside_pid" 2>/dev/null || true
  signals=$(stat -c %s "$hammer_log/signals")
  beside=
}

# systemctl stop, restart, reload of a vhost, one after the other at random moments.
systemctl_at_random() {
  local verbs=(stop restart reload) name
  RANDOM=$seed
  while sleep "0.0$((RANDOM % 90 + 10))"; do
    name=${vhosts[RANDOM % ${#vhosts[@]}]}
    # A vhost that sleeps or starts cannot be reloaded: no harm.
    systemctl "${verbs[RANDOM % 3]}" "${unit_of[$name]}.service" 2>/dev/null || true
    printf x >>"$hammer_log/signals"
  done
}

# Counts how often a vhost is seen frozen that was not a moment before: where a signal is counted.
watch_freezers() {
  local path was frozen line
  declare -A was=()
  while sleep 0.01; do
    for path in /sys/fs/cgroup/system.slice/{docker-*,*/fpm-waker-*@*/*}/cgroup.events; do
      frozen=no
      while read -r line; do
        [ "$line" != 'frozen 1' ] || frozen=yes
      done 2>/dev/null <"$path" || continue
      [ "$frozen" = "${was[$path]:-no}" ] || [ "$frozen" = no ] || printf x >>"$hammer_log/signals"
      was[$path]=$frozen
    done
  done
}

# --- vhosts --------------------------------------------------------------------------------------

# Every process manager on unix and TCP sockets; with kept-alive connections, for which there are
# more workers than clients, since each keeps a worker; and with fewer workers than clients.
all_kinds() {
  some_kinds
  vhost static-tcp 127.0.0.1:9001 keep=50 'pm.max_children = 8'
  vhost dynamic-unix "$soak_sockets/dynamic.sock" keep=50 'pm.max_children = 8' "${dynamic[@]}"
  vhost ondemand-tcp 127.0.0.1:9003 keep=50 'pm.max_children = 8' "${ondemand[@]}"
  vhost recycled "$soak_sockets/recycled.sock" keep=50 'pm.max_children = 8' 'pm.max_requests = 20'
  shipped_vhost shipped keep=30 'pm.max_children = 8'
}

some_kinds() {
  no_vhosts
  vhost static-unix "$soak_sockets/static.sock" clients=6 'pm.max_children = 3'
  vhost dynamic-tcp 127.0.0.1:9002 clients=6 'pm.max_children = 3' "${dynamic[@]}"
  vhost ondemand-unix "$soak_sockets/ondemand.sock" keep=20 'pm.max_children = 8' "${ondemand[@]}"
  vhost two-pools "$soak_sockets/two.sock,127.0.0.1:9004" keep=30 'pm.max_children = 8'
}

# --- parts, with options for hammer --------------------------------------------------------------

idle_exits() {
  all_kinds
  drive 'idle exit' "$@"
}

killed_workers() {
  some_kinds
  drive 'idle exit, and workers are killed' --flush --kill-every=20 "$@"
}

signalled_masters() {
  some_kinds
  drive 'QUIT, TERM and USR2 to the master' --signal-every=20 "$@"
}

systemctl_verbs() {
  some_kinds
  beside=systemctl_at_random
  drive 'systemctl stop, restart and reload' "$@"
}

# short_of_processors SECONDS [HAMMER-OPTION...]
short_of_processors() {
  some_kinds
  beside="$hog cpu $1 $(($(nproc) * 4))"
  drive "idle exit, and $(($(nproc) * 4)) processes take the processors" "--seconds=$1" "${@:2}"
}

# short_of_memory SECONDS FOLDER [HAMMER-OPTION...]: the bed's memory is limited (see soak). What is
# in FOLDER, php-fpm itself as well, is the bed's alone: its pages are reclaimed and read again.
short_of_memory() {
  cp "$(readlink -f /usr/sbin/php-fpm)" "$2/php-fpm"
  head -c 200M /dev/urandom >"$2/file"
  php_fpm_of_soak=$2/php-fpm
  some_kinds
  php_fpm_of_soak=/usr/sbin/php-fpm
  beside="$hog memory $1 $2/file"
  drive 'idle exit, and the host is short of memory' "--seconds=$1" "${@:3}"
  grep -q killed "$hammer_log/beside" || fail "there was memory enough for all"
}

behind_nginx() {
  no_vhosts
  vhost nginx-kept "$soak_sockets/nginx-kept.sock" '' 'pm.max_children = 12'
  vhost nginx "$soak_sockets/nginx.sock" '' 'pm.max_children = 3'
  nginx_in_front nginx-kept 8081 on
  nginx_in_front nginx 8082 off
  drive 'idle exit, behind nginx' "$@"
}

in_docker() {
  local n
  no_vhosts
  idle=200
  for n in 1 2 3; do
    container_vhost "container-$n" docker keep=$((n % 2 * 30)),clients=4
  done
  drive 'idle exit, in Docker' "$@"
}

in_other_engines() {
  no_vhosts
  idle=200
  container_vhost podman podman keep=30,clients=4
  container_vhost nspawn nspawn keep=30,clients=4
  drive 'idle exit, in podman and nspawn' "$@"
}

# Its signals are the times at which a vhost was seen frozen.
native_tiers() {
  no_vhosts
  shipped_vhost frozen clients=6 'pm.max_children = 3'
  tiers_of frozen 50 infinity 3000
  shipped_vhost frozen-kept keep=50 'pm.max_children = 8'
  tiers_of frozen-kept 50 infinity 150
  shipped_vhost light clients=6 'pm.max_children = 3'
  tiers_of light infinity 50 150
  shipped_vhost all-tiers keep=20 'pm.max_children = 8'
  tiers_of all-tiers 50 120 250
  beside=watch_freezers
  drive 'freeze, light, stop' "$@"
}

docker_tiers() {
  no_vhosts
  container_vhost frozen docker keep=30,clients=4
  tiers_of frozen 50 infinity 3000
  container_vhost light docker clients=4
  tiers_of light infinity 100 400
  container_vhost all-tiers docker keep=20,clients=4
  tiers_of all-tiers 50 150 500
  beside=watch_freezers
  drive 'freeze, light, stop, in Docker' "$@"
}

other_tiers() {
  no_vhosts
  container_vhost podman podman keep=20,clients=4
  tiers_of podman 50 150 500
  container_vhost nspawn nspawn keep=20,clients=4
  tiers_of nspawn 50 150 500
  beside=watch_freezers
  drive 'freeze, light, stop, in podman and nspawn' "$@"
}

# --- the same without fpm-waker ------------------------------------------------------------------

# proxied TITLE SERVICE-LINE GLOBAL-LINE [HAMMER-OPTION...]
proxied() {
  no_vhosts
  fpm_global=("$3")
  proxied_vhost proxied clients=6 "$2"
  proxied_vhost proxied-kept keep=50 "$2" 'pm.max_children = 8'
  fpm_global=()
  drive "$1" "${@:4}"
}

# signalled TITLE SIGNAL GLOBAL-LINE [HAMMER-OPTION...]
signalled() {
  no_vhosts
  fpm_global=("$3")
  signalled_vhost signalled clients=6
  signalled_vhost signalled-kept keep=50 'pm.max_children = 8'
  fpm_global=()
  drive "$1" "--stop=$(kill -l "$2")" "${@:4}"
}

debian_stop=KillMode=control-group # SIGTERM to all, as Debian's php8.2-fpm.service has it
best_stop='KillSignal=SIGQUIT'
patient='process_control_timeout = 10s'
hasty='process_control_timeout = 0' # php-fpm's default

peers() {
  proxied 'socket-proxyd, php-fpm stopped as Debian does' "$debian_stop" "$hasty" "$@"
  proxied 'socket-proxyd, php-fpm stopped by QUIT, 10 s patient' "$best_stop" "$patient" "$@"
  signalled 'php-fpm and TERM when idle' TERM "$hasty" "$@"
  signalled 'php-fpm and QUIT when idle' QUIT "$hasty" "$@"
  signalled 'php-fpm and QUIT when idle, 10 s patient' QUIT "$patient" "$@"
}
