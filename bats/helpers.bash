# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What every suite shares. A test file starts with
#
#   load ../helpers
#   setup() { start_test; }
#   teardown() { end_test; }
#
# Where a suite runs: in a freshly booted bed (see bats/bed), once on bookworm and once on trixie,
# as root, from this checkout at /srv/fpm-waker with what `make install` installs in place. A file
# whose second line is `# bats file_tags=host` runs on this machine instead, out of build/. A test
# that needs what only one of the two has says so in the line before it, instead of being skipped:
# `# bats test_tags=not-bookworm`.
#
# Variables for tests: $dir, an empty directory that everybody may enter (bats's own is root's
# only), short enough for unix sockets; $tree, the checkout; $fastcgi, the client (bats/fastcgi.c).

# bats/soak/soak uses some of this outside of bats.
[ -z "${BATS_VERSION:-}" ] || bats_require_minimum_version 1.5.0
set -u

tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$tree/${BUILD:-build}
fastcgi=$build/fastcgi
in_bed=no
[ "$tree" != /srv/fpm-waker ] || in_bed=yes
export tree build fastcgi in_bed

# --- a test's beginning and end ------------------------------------------------------------------

start_test() {
  dir=$(mktemp -d /tmp/waker.XXXXXX)
  chmod 755 "$dir"
  mkdir "$dir/www"
  test_began=$(date '+%F %T')
  started=()
}

# Safe to run twice. Ends what start() started, shows its output if the test failed.
end_test() {
  local pid log
  for pid in "${started[@]-}"; do
    [ -n "$pid" ] || continue
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  started=()
  if [ -z "${BATS_TEST_COMPLETED:-}" ]; then
    for log in "${dir:-/nonexistent}"/*.log; do
      [ ! -s "$log" ] || { echo "--- ${log##*/}" && tail -n 50 "$log"; }
    done
    [ "$in_bed" = no ] || journalctl -q -o short-precise --no-hostname --no-pager -n 20 \
      --since "${test_began:-now}" -u 'fpm-waker*' 2>/dev/null || true
  fi
  [ -z "${dir:-}" ] || rm -rf "$dir"
  dir=
}

# start NAME CMD...: runs a command in the background, its output in $dir/NAME.log. Sets $pid.
# The process is killed at the test's end at the latest; children of it are its own business.
start() {
  local log=$dir/$1.log
  shift
  # 3 is bats's own: a child that holds it would make bats wait for that child.
  "$@" </dev/null >>"$log" 2>&1 3>&- &
  pid=$!
  started+=("$pid")
}

# --- saying what went wrong ----------------------------------------------------------------------

fail() {
  printf '%s\n' "$@" >&2
  return 1
}

# is ACTUAL EXPECTED MESSAGE
is() {
  [ "$1" = "$2" ] || fail "${3:-not what was expected}" "  expected: $2" "  actual:   $1"
}

# contains TEXT PART MESSAGE
contains() {
  case $1 in
    *"$2"*) ;;
    *) fail "${3:-text is missing}" "  expected somewhere: $2" "  actual: ${1:0:2000}" ;;
  esac
}

# lacks TEXT PART MESSAGE
lacks() {
  case $1 in
    *"$2"*) fail "${3:-unwanted text}" "  not expected: $2" "  actual: ${1:0:2000}" ;;
  esac
}

# matches TEXT REGEX MESSAGE: an extended regular expression, as in [[ =~ ]]
matches() {
  [[ $1 =~ $2 ]] || fail "${3:-text does not match}" "  expected: $2" "  actual:   $1"
}

# --- waiting -------------------------------------------------------------------------------------

# wait_for [-t SECONDS] COMMAND...: until the command succeeds, 30 s at most. Never sleep instead.
wait_for() {
  local seconds=30 end
  if [ "$1" = -t ]; then
    seconds=$2
    shift 2
  fi
  end=$((SECONDS + seconds + 1))
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || fail "waited $seconds s in vain for: $*" || return
    sleep 0.02
  done
}

# Conditions for it.
is_gone() { ! kill -0 "$1" 2>/dev/null; }
has_line() { grep -Eq -- "$2" "$1"; }
not() { ! "$@"; }
is_state() { [ "$(systemctl show -P ActiveState "$1")" = "$2" ]; }

now_ms() {
  echo $((${EPOCHREALTIME/[.,]/} / 1000))
}

# --- the bed -------------------------------------------------------------------------------------

# Runs a command in the bed, from wherever the test runs.
run_in_bed() {
  if [ "$in_bed" = yes ]; then
    "$@"
  else
    "$tree/bats/bed" run "$@"
  fi
}

# journal_of UNIT [OPTION...]: what a unit has logged since the test began, or as journalctl's
# options say.
journal_of() {
  local range=(--since "$test_began")
  [ $# -eq 1 ] || range=("${@:2}")
  journalctl --sync 2>/dev/null || true
  journalctl -q -o cat --no-pager -u "$1" "${range[@]}"
}

# docker_vhost NAME IMAGE [LINE...]: sets up a vhost as an administrator does; LINEs are for its
# conf. Its site, /srv/www/NAME, is /var/www/html in the container; its socket is vhost_socket NAME.
docker_vhost() {
  load_image "$2"
  mkdir -p "/srv/www/$1" /etc/fpm-waker
  printf '%s\n' "Image=$2" "Volume=/srv/www/$1:/var/www/html" "${@:3}" >"/etc/fpm-waker/$1.conf"
  systemctl start "fpm-waker@$1.socket"
}

vhost_socket() { echo "/run/fpm-waker/$1.sock"; }

# Ends vhosts for good, awake or not: fpm-waker.conf(5), "Removing a vhost".
remove_vhosts() {
  local name
  for name; do
    systemctl stop "fpm-waker@$name.socket" "fpm-waker@$name.service" || true
    systemctl reset-failed "fpm-waker@$name.service" 2>/dev/null || true
    docker rm --force --volumes "fpm-waker-$name" >/dev/null 2>&1 || true
    rm -rf "/etc/fpm-waker/$name.conf" "/srv/www/$name"
  done
}

# Conditions: no container runs, or a vhost sleeps.
no_container() { [ -z "$(docker ps -q)" ]; }
sleeps() { is_state "fpm-waker@$1.service" inactive; }

# load_image NAME [ENGINE]: makes an image of bats/images known to docker (default) or podman.
load_image() {
  "$tree/bats/images/load" "$@"
}

# --- sockets -------------------------------------------------------------------------------------

# Inode, owner, mode and ACL of a path: what must be the same before the first start and after the
# last stop.
socket_identity() {
  stat -c '%F inode %i %u:%g %a' "$1"
  getfacl -cnp "$1"
}

# Both for a unix socket's path or a HOST:PORT that listens on this machine.
# The number of connections that wait to be accepted:
queue_length() { listener_column "$1" 2; }
# What listen() was called with:
backlog() { listener_column "$1" 3; }

listener_column() {
  local kind=-t
  case $1 in /* | @*) kind=-x ;; esac
  # unix sockets have a column more before the numbers: the kind of socket.
  ss -Hln "$kind" | awk -v address="$1" -v column="$2" -v unix="$kind" \
    '$(4 + (unix == "-x")) == address { print $(column + (unix == "-x")) }'
}

# A TCP port that nobody has just now.
free_port() {
  "$fastcgi" --free-port
}

# --- php-fpm -------------------------------------------------------------------------------------

# The server's name differs between Debian's packages; in the bed `php-fpm` is always there.
php_fpm=$(command -v php-fpm || compgen -c php-fpm | head -n 1)
export php_fpm

# php_conf [LINE...]: begins $dir/php-fpm.conf with LINEs for [global]. Prints its path.
php_conf() {
  {
    printf '%s\n' '[global]' 'daemonize = no' "error_log = $dir/php-fpm.log"
    [ $# -eq 0 ] || printf '%s\n' "$@"
  } >"$dir/php-fpm.conf"
  echo "$dir/php-fpm.conf"
}

# pool NAME LISTEN [LINE...]: adds a pool. LINEs come last, so they win.
pool() {
  {
    printf '%s\n' "[$1]" "listen = $2" 'user = www-data' 'group = www-data' \
      'pm = static' 'pm.max_children = 2' 'catch_workers_output = yes' 'decorate_workers_output = no'
    [ $# -eq 2 ] || printf '%s\n' "${@:3}"
  } >>"$dir/php-fpm.conf"
}

# page NAME: writes standard input as $dir/www/NAME, readable by the workers. Prints its path.
page() {
  cat >"$dir/www/$1"
  chmod 644 "$dir/www/$1"
  echo "$dir/www/$1"
}

# request SOCKET SCRIPT [OPTION...]: one FastCGI request. Prints the response; its end is in the
# status: 0 ok, else see bats/fastcgi.c.
request() {
  "$fastcgi" "${@:3}" "$1" "$2"
}
