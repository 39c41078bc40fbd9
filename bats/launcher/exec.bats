#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# What the server gets: its process id, words, environment and descriptors.

# shellcheck disable=SC2030,SC2031 # each test is a subshell, and means it

load ../helpers
load ../preload/vhost
load launching

setup() {
  start_vhost
  hold www=unix
}
teardown() { end_vhost; }

# A server that says what it got: static, so behind a shell that is not.
page_of_server=(sh -c 'exec "$0" page' "$unit_test")

@test "the server keeps the process id" {
  # shellcheck disable=SC2016 # for the inner shell
  is "$(passed sh -c 'echo $$; exec "$@"' sh "$launcher" -- sh -c 'echo $$' | uniq | wc -l)" 1
  # shellcheck disable=SC2016 # for the inner shell
  is "$(passed sh -c 'echo $$; exec "$@"' sh "$launcher" --exit-idle-time=1min -- sh -c 'echo $$' |
    uniq | wc -l)" 1 "with a watchdog"
}

@test "the server's exit status is the launcher's" {
  local status=0
  passed "$launcher" -- sh -c 'exit 42' || status=$?
  is "$status" 42
}

@test "the server's words are its own" {
  local words=(--help --exit-idle-time=x -- '' 'a b' '*' -F)
  # shellcheck disable=SC2016 # for the inner shell
  is "$(passed "$launcher" -- sh -c 'printf "<%s>" "$0" "$@"' "${words[@]}")" \
    '<--help><--exit-idle-time=x><--><><a b><*><-F>'
  # shellcheck disable=SC2016 # for the inner shell
  is "$(passed "$launcher" --drain-limit=1s sh -c 'printf "<%s>" "$0" "$@"' "${words[@]}")" \
    '<--help><--exit-idle-time=x><--><><a b><*><-F>'
}

@test "argv[0] is as given, found on PATH like execvp() does" {
  mkdir "$dir/a" "$dir/b" "$dir/c" "$dir/d"
  mkdir "$dir/a/server" # a directory of that name,
  echo >"$dir/b/server" # and a file that is not executable, are passed over
  ln -s "$(type -P bash)" "$dir/c/server"
  ln -s "$(type -P true)" "$dir/d/server"
  # shellcheck disable=SC2016 # for the inner shell
  is "$(PATH="$dir/none:$dir/a:$dir/b:$dir/c:$dir/d:$PATH" passed "$launcher" server -c 'echo "$0"')" \
    server
  cd "$dir/c"
  # shellcheck disable=SC2016 # for the inner shell
  is "$(PATH=":$PATH" passed "$launcher" server -c 'echo "$0"')" server "empty part of PATH"
  # shellcheck disable=SC2016 # for the inner shell
  is "$(passed "$launcher" ./server -c 'echo "$0"')" ./server
}

@test "the environment is kept, but for what was ours" {
  local seen
  seen=$(env -i "PATH=$PATH" MINE=1 LISTEN_ADDRESS=mine FPM_WAKER_EXIT_IDLE_TIME=1min \
    FPM_WAKER_DRAIN_LIMIT=1s FPM_WAKER_BACKGROUND_LIMIT=1s FPM_WAKER_LISTEN= FPM_WAKER_FD0=no \
    FPM_WAKER_HANDOVER= FPM_WAKER_READ_AHEAD=no FPM_WAKER_RESIDENT=no FPM_WAKER_LIVENESS= \
    FPM_WAKER_OPCACHE_FILE_CACHE= \
    "FPM_WAKER_PRELOAD=$shim" LISTEN_PIDFDID=7 \
    NOTIFY_SOCKET=/run/n WATCHDOG_USEC=1 FPM_SOCKETS=x=9 \
    "$holder" run "$dir/holder" "$launcher" env | sort)
  is "$seen" "FPM_SOCKETS=x=9
FPM_WAKER_PAGE=100
LD_PRELOAD=$(realpath "$shim")
LISTEN_ADDRESS=mine
MINE=1
NOTIFY_SOCKET=/run/n
PATH=$PATH
WATCHDOG_USEC=1"
}

@test "the administrator's own LD_PRELOAD stays, in front" {
  is "$(LD_PRELOAD=libm.so.6:libc.so.6 passed "$launcher" printenv LD_PRELOAD)" \
    "libm.so.6:libc.so.6:$(realpath "$shim")"
  is "$(LD_PRELOAD='' passed "$launcher" printenv LD_PRELOAD)" "$(realpath "$shim")"
}

@test "a relative shim is made absolute" {
  cd "$(dirname "$(realpath "$shim")")"
  is "$(passed "$launcher" --preload=./libfpm-waker.so printenv LD_PRELOAD)" "$(realpath "$shim")"
}

@test "descriptors: all at 100 and above, none below" {
  local seen
  # A shell does not show its own: ls opens one, 3 or above.
  seen=$(passed "$launcher" -- ls -l /proc/self/fd 3>&- 4>&- 5>&- | sed -n 's/.* \([0-9]*\) -> /\1 /p' |
    sort -n | awk '$1 >= 100 && $1 < 200')
  matches "$seen" '^100 /memfd:fpm-waker \(deleted\)
101 anon_inode:\[eventfd\]
102 anon_inode:\[eventfd\]
103 socket:\[[0-9]+\]$'
  is "$(passed bash -c 'exec 10>&- 4>&- 5>&- 6>&- "$@"' bash "$launcher" -- ls -l /proc/self/fd |
    grep -c socket:)" 1 "the passed socket is open once"
}

@test "the page says where everything is" {
  rm "$dir/holder"
  hold one=unix two=4 three=6
  is "$(passed "$launcher" --exit-idle-time=5min --drain-limit=1.5s --background-limit=10min -- \
    "${page_of_server[@]}")" "magic 66706d77 version 2
exit-idle 300000000
drain-limit 1500000
background-limit 600000000
closing 101 waking 102 handover -1 fd0 0
socket 103 one same
socket 104 two same
socket 105 three same"
  is "$(holder_options=--no-names passed "$launcher" -- "${page_of_server[@]}" | grep socket)" \
    "socket 103  same
socket 104  same
socket 105  same" "without names"
}

@test "the page is sealed in size" {
  # shellcheck disable=SC2016 # for the inner shell
  passed "$launcher" -- sh -c '! truncate -s 0 /proc/self/fd/$FPM_WAKER_PAGE &&
    ! truncate -s 10M /proc/self/fd/$FPM_WAKER_PAGE' 2>"$dir/stderr"
  is "$(grep -c 'Operation not permitted' "$dir/stderr")" 2
}

@test "defaults: never idle, 80 s to drain, an hour for programs" {
  is "$(passed "$launcher" "${page_of_server[@]}" | sed -n 2,4p)" "exit-idle infinity
drain-limit 80000000
background-limit 3600000000"
}

@test "each option is a variable too, and the option wins" {
  export FPM_WAKER_EXIT_IDLE_TIME=7s FPM_WAKER_DRAIN_LIMIT=8s FPM_WAKER_BACKGROUND_LIMIT=infinity \
    FPM_WAKER_FD0=Yes
  is "$(passed "$launcher" "${page_of_server[@]}" | sed -n 2,5p)" "exit-idle 7000000
drain-limit 8000000
background-limit infinity
closing 101 waking 102 handover -1 fd0 1"
  is "$(passed "$launcher" --exit-idle-time=1s --drain-limit=2s --background-limit=0 \
    "${page_of_server[@]}" | sed -n 2,4p)" "exit-idle 1000000
drain-limit 2000000
background-limit 0"
  cp "$shim" "$dir/other.so"
  is "$(FPM_WAKER_PRELOAD=$dir/other.so passed "$launcher" printenv LD_PRELOAD)" "$dir/other.so"
  is "$(FPM_WAKER_PRELOAD=/nowhere passed "$launcher" --preload="$dir/other.so" printenv LD_PRELOAD)" \
    "$dir/other.so"
}

@test "descriptor 0 as passed socket" {
  export holder_options=--fd0
  is "$(passed "$launcher" "${page_of_server[@]}" | grep socket)" "socket 103  same"
  is "$(passed "$launcher" readlink /proc/self/fd/0)" /dev/null "descriptor 0 of the server"
  matches "$(passed "$launcher" --fd0 readlink /proc/self/fd/0)" '^socket:' "with --fd0"
}

@test "--fd0 puts a passed socket there" {
  # shellcheck disable=SC2016 # for the inner shell
  passed "$launcher" --fd0 sh -c 'test /proc/self/fd/0 -ef /proc/self/fd/103 &&
    test "$(readlink /proc/self/fd/0)" = "$(readlink /proc/self/fd/103)"'
}

@test "standard input, output and error stay" {
  is "$(echo in | passed "$launcher" cat)" in
  passed "$launcher" sh -c 'exec ls -l /proc/self/fd/1 /proc/self/fd/2' >"$dir/1" 2>"$dir/2"
  contains "$(<"$dir/1")" "/proc/self/fd/1 -> $dir/1"
  contains "$(<"$dir/1")" "/proc/self/fd/2 -> $dir/2"
}

@test "--opcache-file-cache: PHP reads one more ini directory, behind its own or those of the variable" {
  mkdir "$dir/lib" "$dir/lib/php.d" "$dir/cache"
  cp "$launcher" "$shim" "$dir/lib"
  is "$(PHP_INI_SCAN_DIR='' passed "$dir/lib/fpm-launcher" "--opcache-file-cache=$dir/cache" env |
    grep -E '^(PHP_INI|OPCACHE)' | sort)" "OPCACHE_FILE_CACHE=$dir/cache
PHP_INI_SCAN_DIR=:$dir/lib/php.d"
  is "$(PHP_INI_SCAN_DIR=/a:/b FPM_WAKER_OPCACHE_FILE_CACHE=$dir/cache passed "$dir/lib/fpm-launcher" \
    env | grep '^PHP_INI')" "PHP_INI_SCAN_DIR=/a:/b:$dir/lib/php.d"
}

@test "--opcache-file-cache: a directory that cannot be used costs time, and not the server" {
  is "$(passed "$launcher" "--opcache-file-cache=$dir/none" sh -c 'echo ${OPCACHE_FILE_CACHE-unset}' 2>&1)" \
    "fpm-launcher: no OPcache file cache: $dir/none: No such file or directory
unset"
}

@test "--help and --version" {
  local option
  is "$("$launcher" --version)" "fpm-launcher $(sed -n 's/^VERSION *:= *//p' "$tree/Makefile")"
  "$launcher" --help >"$dir/help" 2>"$dir/stderr"
  is "$(<"$dir/stderr")" ''
  for option in exit-idle-time=SPAN drain-limit=SPAN background-limit=SPAN listen=ADDRESS \
    handover=PATH fd0 read-ahead=BOOLEAN resident liveness=ADDRESS opcache-file-cache=DIRECTORY \
    preload=PATH help version; do
    has_line "$dir/help" "^  --$option( |\$)" || fail "no $option"
  done
  for option in '(default: infinity)' '(default: 80s)' '(default: 1h;' FPM_WAKER_EXIT_IDLE_TIME \
    FPM_WAKER_DRAIN_LIMIT FPM_WAKER_BACKGROUND_LIMIT FPM_WAKER_LISTEN FPM_WAKER_HANDOVER \
    FPM_WAKER_FD0 FPM_WAKER_READ_AHEAD FPM_WAKER_RESIDENT FPM_WAKER_LIVENESS \
    FPM_WAKER_OPCACHE_FILE_CACHE FPM_WAKER_PRELOAD; do
    contains "$(<"$dir/help")" "$option"
  done
  [ "$(awk '{ print length }' "$dir/help" | sort -n | tail -n 1)" -le 80 ] || fail 'lines are too long'
}

@test "the man page has every option, variable and exit status" {
  local page=$tree/man/fpm-launcher.1 word
  for word in $("$launcher" --help | grep -o -- '^  --[a-z0-9-]*' | tr -d ' '); do
    has_line "$page" "^\.It Fl -${word#--}( |\$)" || fail "no $word"
  done
  for word in $("$launcher" --help | grep -o 'FPM_WAKER_[A-Z0-9_]*'); do
    has_line "$page" "^\.It Ev $word\$" || fail "no $word"
  done
  for word in 1 2 3 4 5 6 126 127; do
    has_line "$page" "^\.It $word\$" || fail "no exit status $word"
  done
}

@test "help that cannot be printed is no success" {
  says 1 'cannot print the help: No space left on device' sh -c '"$0" --help >/dev/full' "$launcher"
  says 1 'cannot print the version: No space left on device' \
    sh -c '"$0" --version >/dev/full' "$launcher"
}

@test "the launcher is static, and needs nothing of an image" {
  is "$(ldd "$(realpath "$launcher")" 2>&1 | tr -d '\t')" 'statically linked'
}

# --- the ways that images start php-fpm ----------------------------------------------------------

# served [COMMAND...]: php-fpm behind COMMAND serves, and stops well.
served() {
  rm -f "$dir/php-fpm.conf" "$dir/pid"
  configure www "$www"
  serve -- "$@"
  is_up "$www"
  end QUIT
  is "$status" 0 "exit status behind $1"
}

@test "an entrypoint stands between launcher and server" {
  local fpm="exec $server_binary -F -y $dir/php-fpm.conf" wrapper
  served sh -c "$fpm"
  served bash -c "exec 3</dev/null 9</dev/null; php -v; $fpm"
  served env -u NOTHING sh -c "$fpm"
  printf '#!/bin/sh\nset -e\nif [ "$1" = php-fpm ]; then shift; set -- "%s" "$@"; fi\nexec "$@"\n' \
    "$server_binary" >"$dir/docker-php-entrypoint"
  chmod +x "$dir/docker-php-entrypoint"
  served "$dir/docker-php-entrypoint" php-fpm -F -y "$dir/php-fpm.conf"
  for wrapper in tini tini-static catatonit; do
    ! type -P "$wrapper" >/dev/null || served "$wrapper" -- sh -c "$fpm"
  done
}
