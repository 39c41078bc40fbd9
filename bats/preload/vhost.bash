# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# $dir, $build, $pid and others come from ../helpers.bash; tests use $client, $tcp and others.
#
# For the tests of the preload suite: passed sockets that outlive every run of the server, and
# php-fpm under fpm-launcher on them. A test is mostly
#
#   hold www=unix               the passed sockets, and what they look like
#   configure www "$www"        a pool
#   serve                       a run of the server; $server is its pid
#   is "$(request "$www" "$(page_hello)")" ...
#   end QUIT                    the end of the run, with its exit status
#
# PRELOAD_PHP_FPM is the server to test, default: $php_fpm of helpers.bash.

server_binary=${PRELOAD_PHP_FPM:-$php_fpm}
holder=$build/test/holder
counting=$build/test/libcounting.so
launcher=$build/fpm-launcher
shim=$build/libfpm-waker.so
if [ "$in_bed" = yes ]; then
  launcher=/usr/bin/fpm-launcher
  shim=/usr/lib/fpm-waker/libfpm-waker.so
fi

start_vhost() {
  start_test
  server='' held=()
  chmod 711 "$dir" # as a folder of sockets is
  hello=$(page hello.php <<<'hello')
  who=$(page who.php <<<'<?php echo $_SERVER["POOL"] ?? getenv("POOL"), "\n";')
  # Sleeps s seconds; $dir/out/N.began and N.ended tell when. With late=1 it has answered before.
  mkdir -m 777 "$dir/out"
  nap=$(
    page nap.php <<'END'
<?php
$file = dirname(__DIR__) . '/out/' . ($_GET['n'] ?? 'nap');
touch("$file.began");
if ($_GET['late'] ?? false) {
    echo "slept\n";
    fastcgi_finish_request();
}
$end = microtime(true) + $_GET['s'];
while (($left = $end - microtime(true)) > 0)
    usleep((int)(1e6 * $left));
touch("$file.ended");
if (!($_GET['late'] ?? false))
    echo "slept\n";
END
  )
}

# Kills all that this test has left: holder, server, workers, watchdog.
end_vhost() {
  local process
  for process in $(of_this_test); do
    kill -KILL "$process" 2>/dev/null || true
  done
  [ -z "$server" ] || pkill -KILL -P "$server" || true
  end_test
}

# Every process of this test: it has a passed socket, or was started with its directory in the
# environment (which php-fpm overwrites).
of_this_test() {
  {
    grep -lsz "^VHOST_DIRECTORY=$dir\$" /proc/[0-9]*/environ || true
    [ ${#held[@]} -eq 0 ] || find /proc/[0-9]*/fd "${held[@]}" 2>/dev/null || true
  } | cut -d/ -f3 | sort -nu
}

# --- passed sockets ------------------------------------------------------------------------------

# hold [--backlog=N] NAME=ADDRESS...: ADDRESS is `unix` ($dir/NAME.sock), a path, or an IP address
# with a port (0: any), or `4` or `6` for such on loopback. Sets a variable NAME to each address.
hold() {
  local arguments=() argument name address inode
  for argument; do
    case $argument in
      --*) ;;
      *=unix) argument=${argument%unix}$dir/${argument%=unix}.sock ;;
      *=4) argument=${argument%4}127.0.0.1:0 ;;
      *=6) argument="${argument%6}[::1]:0" ;;
    esac
    arguments+=("$argument")
  done
  case ${arguments[0]} in
    --*) arguments=("${arguments[0]}" "$dir/holder" "${arguments[@]:1}") ;;
    *) arguments=("$dir/holder" "${arguments[@]}") ;;
  esac
  started+=("$(VHOST_DIRECTORY=$dir "$holder" serve "${arguments[@]}")")
  while read -r name address inode _; do
    held+=(${held:+-o} -lname "socket:\[$inode\]")
    case $address in /*) chmod 666 "$address" ;; esac
    printf -v "$name" %s "$address"
  done < <("$holder" show "$dir/holder")
}

# hold_tcp: one more holder, of a TCP socket only, with the control socket $dir/holder.tcp. Sets $tcp.
hold_tcp() {
  started+=("$(VHOST_DIRECTORY=$dir "$holder" serve "$dir/holder.tcp" tcp=127.0.0.1:0)")
  tcp=$("$holder" show "$dir/holder.tcp" | cut -d' ' -f2)
}

# look ADDRESS: everything about a passed socket that no server may change: its backlog, how many
# connections wait in it, and for a path inode, type, owner, mode and ACL.
look() {
  echo "backlog $(backlog "$1") queued $(queue_length "$1")"
  case $1 in /*) socket_identity "$1" ;; esac
}

# --- a server ------------------------------------------------------------------------------------

# configure NAME LISTEN [LINE...]: a pool; the first also begins the file.
configure() {
  [ -e "$dir/php-fpm.conf" ] || php_conf "pid = $dir/pid" "log_level = notice" >/dev/null
  pool "$@" "env[POOL] = $1" "php_admin_flag[expose_php] = off" # as Debian has it
}

reconfigure() {
  rm -f "$dir/php-fpm.conf"
  configure "$@"
}

# serve [OPTION...] [-- COMMAND...]: runs fpm-launcher OPTIONS -- COMMAND, default php-fpm in the
# foreground. Sets $server. Does not wait until it is up: requests queue in the passed socket.
# $holder_options are words for `holder run`.
serve() {
  local options=()
  while [ $# -gt 0 ] && [ "$1" != -- ]; do
    options+=("$1")
    shift
  done
  shift || true
  [ $# -gt 0 ] || set -- "$server_binary" -F -y "$dir/php-fpm.conf"
  # shellcheck disable=SC2086 # words
  run_server ${holder_options:-} "$dir/holder" "$launcher" "--preload=$shim" "${options[@]}" -- "$@"
}

# run_server WORDS...: words of `holder run`. Sets $server. From then on signals reach the command:
# before, bash would have it ignore some.
run_server() {
  rm -f "$dir/began"
  start server env "VHOST_DIRECTORY=$dir" "$holder" run "--tell=$dir/began" "$@"
  server=$pid
  wait_for test -e "$dir/began"
}

# serve_bare [COMMAND...]: the same server without fpm-waker; its sockets are its own.
serve_bare() {
  [ $# -gt 0 ] || set -- "$server_binary" -F -y "$dir/php-fpm.conf"
  run_server - "$@"
}

# Waits for the end of the run. Its exit status is in $status.
ended() {
  wait_for -t "${1:-10}" is_gone "$server" || return
  status=0
  wait "$server" || status=$?
}

# end SIGNAL: stops the server. Exit status as ended().
end() {
  kill "-$1" "$server"
  ended "${2:-10}"
}

# Kills the server and every process of it: workers, watchdog. The holder lives.
end_kill() {
  local process
  for process in $(of_this_test); do
    [ "$process" = "${started[0]}" ] || kill -KILL "$process" 2>/dev/null || true
  done
  wait "$server" 2>/dev/null || true
  wait_for no_process_but_holder
}

no_process_but_holder() { [ "$(of_this_test)" = "${started[0]}" ]; }

# A first answer: the server is up, and the state of its workers settled.
is_up() {
  is "$(request "$1" "$hello")" "$(headed hello)" "answer of $1"
}

# headed BODY: a whole response of php-fpm.
headed() {
  printf 'Content-type: text/html; charset=UTF-8\r\n\r\n%s\n' "$1"
}

# body SOCKET SCRIPT [OPTION...]: the response without its header.
body() {
  local response
  response=$(request "$@") || return
  printf '%s\n' "${response#*$'\r\n\r\n'}"
}

# get SOCKET SCRIPT QUERY [OPTION...]: body() with a query string.
get() {
  body "$1" "$2" "--param=QUERY_STRING=$3" "${@:4}"
}

# nap_begin N SECONDS [OPTION...]: a request in the background that is running when this returns.
# Sets $client, its process: 0 if it was answered in full.
nap_begin() {
  start "client.$1" "$fastcgi" "--param=QUERY_STRING=s=$2&n=$1" --expect=slept "${@:3}" "$www" "$nap"
  client=$pid
  wait_for test -e "$dir/out/$1.began"
}

workers() { pgrep -P "${1:-$server}" -f 'pool ' | sort -n; }

is_queued() { [ "$(queue_length "$1")" = "$2" ]; }

# How often php-fpm said that it is ready: once a start or reload.
times_ready() { grep -c 'ready to handle connections' "$dir/php-fpm.log"; }
is_ready() { [ "$(times_ready)" -ge "$1" ]; }

# reload: SIGUSR2, and waits until the new image is ready.
reload() {
  local before
  before=$(times_ready)
  kill -USR2 "$server"
  wait_for is_ready $((before + 1))
}

# Descriptors of a process that are a given passed socket: php-fpm's own below 100, travelling ones
# from there on.
listeners_of() {
  local inode
  inode=$("$holder" show "$dir/holder" | awk -v address="$2" '$2 == address { print $3 }')
  find "/proc/$1/fd" -lname "socket:\[$inode\]" -printf '%f\n' | sort -n
}

# --- load ----------------------------------------------------------------------------------------

# load_begin ADDRESS SCRIPT [OPTION...]: four clients, until load_end, which fails if a single
# request was lost.
load_begin() {
  local address=$1 script=$2
  rm -f "$dir/load.end"
  start load bash -c 'until [ -e "$1" ]; do "${@:2}" || exit; done' - "$dir/load.end" \
    "$fastcgi" --clients=4 --duration=0.5 "${@:3}" "$address" "$script"
  load=$pid
  wait_for has_line "$dir/load.log" '^ok [1-9]'
}

load_end() {
  local status=0
  touch "$dir/load.end"
  wait "$load" || status=$?
  is "$status" 0 "$(grep -v ' lost 0 ' "$dir/load.log")"
}
