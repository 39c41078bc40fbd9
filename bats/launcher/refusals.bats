#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Every start that cannot work ends at once, with one line that says why and the status that the
# man page lists, and the passed socket is as before.

load ../helpers
load ../preload/vhost
load launching

setup() { start_vhost; }
teardown() { end_vhost; }

# patched FILE OFFSET BYTES: a copy of a program with other bytes there. Prints its path.
patched() {
  local copy=$dir/patched
  cp "$1" "$copy"
  printf %b "$3" | dd of="$copy" bs=1 seek="$2" conv=notrunc status=none
  echo "$copy"
}

# --- words ---------------------------------------------------------------------------------------

@test "unknown option" {
  refuses 2 'unknown option: --nonsense; see fpm-launcher --help' "$launcher" --nonsense -- true
  refuses 2 'unknown option: --nonsense=3; see fpm-launcher --help' "$launcher" --nonsense=3 -- true
  refuses 2 'unknown option: -x; see fpm-launcher --help' "$launcher" -x -- true
  refuses 2 'unknown option: -x; see fpm-launcher --help' "$launcher" -xyz -- true
}

@test "option that could be several" {
  refuses 2 'unknown option: --h; see fpm-launcher --help' "$launcher" --h true
  refuses 2 'unknown option: --=x; see fpm-launcher --help' "$launcher" --=x true
}

@test "option with too much or too little" {
  refuses 2 'option takes no value: --fd0=yes; see fpm-launcher --help' "$launcher" --fd0=yes true
  refuses 2 'option needs a value: --preload; see fpm-launcher --help' "$launcher" --preload
}

@test "no server" {
  refuses 2 'no server given: fpm-launcher [OPTION...] [--] SERVER [ARG...]' "$launcher"
  refuses 2 'no server given: *' "$launcher" --fd0 --
}

@test "bad span" {
  local span
  for span in '' ' ' abc 5parsecs 1.5.5 5min3x 1..5 '5 min max' infinitely; do
    refuses 2 "bad time span in --exit-idle-time=: $span: Invalid argument; use 90s, 5min, 1.5s, \
100ms or infinity" "$launcher" "--exit-idle-time=$span" true
  done
  refuses 2 'bad time span in --drain-limit=: x: Invalid argument; *' \
    "$launcher" --drain-limit=x true
  refuses 2 'bad time span in --background-limit=: x: Invalid argument; *' \
    "$launcher" --background-limit=x true
  refuses 2 'bad time span in --exit-idle-time=: -5s: Numerical result out of range; *' \
    "$launcher" --exit-idle-time=-5s true
  refuses 2 'bad time span in FPM_WAKER_EXIT_IDLE_TIME: soon: Invalid argument; *' \
    env FPM_WAKER_EXIT_IDLE_TIME=soon "$launcher" true
  refuses 2 'bad time span in FPM_WAKER_DRAIN_LIMIT: soon: Invalid argument; *' \
    env FPM_WAKER_DRAIN_LIMIT=soon "$launcher" true
  refuses 2 'bad time span in FPM_WAKER_BACKGROUND_LIMIT: soon: Invalid argument; *' \
    env FPM_WAKER_BACKGROUND_LIMIT=soon "$launcher" true
}

@test "bad boolean" {
  refuses 2 'bad boolean in FPM_WAKER_FD0: perhaps; use yes or no' \
    env FPM_WAKER_FD0=perhaps "$launcher" true
  refuses 2 'bad boolean in FPM_WAKER_READ_AHEAD: perhaps; use yes or no' \
    env FPM_WAKER_READ_AHEAD=perhaps "$launcher" true
  refuses 2 'bad boolean in --read-ahead=: 2; use yes or no' "$launcher" --read-ahead=2 true
}

@test "resident mode" {
  refuses 2 '--liveness=9001 needs --resident' "$launcher" --liveness=9001 true
  refuses 2 '--liveness=9002 needs --resident' env FPM_WAKER_LIVENESS=9002 "$launcher" true
  refuses 2 'bad boolean in FPM_WAKER_RESIDENT: perhaps; use yes or no' \
    env FPM_WAKER_RESIDENT=perhaps "$launcher" true
  refuses 2 'option takes no value: --resident=yes; see fpm-launcher --help' \
    "$launcher" --resident=yes true
  refuses 2 'not an address to listen on: localhost; use /path, 127.0.0.1:9000, [::1]:9000 or 9000' \
    "$launcher" --resident --liveness=localhost true
  refuses 1 "cannot listen: $www: Address already in use; a running server has this address" \
    "$launcher" --resident "--liveness=$www" true
  refuses 127 'cannot find the server: *' "$launcher" --resident php-fpm-none
}

@test "--fd0 with two sockets" {
  hold one=unix two=unix
  refuses 2 '--fd0 takes exactly one listening socket, but there are 2' "$launcher" --fd0 true
}

# --- sockets -------------------------------------------------------------------------------------

@test "no socket passed" {
  says 3 "no listening socket: neither LISTEN_FDS nor descriptor 0 nor */run/handover; start it by \
a socket unit, or use --listen= or --handover=" "$launcher" true
}

@test "a connected socket as descriptor 0 is no passed socket" {
  hold www=4
  # shellcheck disable=SC2016 # for the inner shell
  says 3 'no listening socket: *' bash -c 'exec "$@" <>/dev/tcp/'"${www/://}" bash "$launcher" true
}

@test "nonsense in LISTEN_FDS" {
  local value
  for value in '' 0 -1 +1 1x ' 1' '1 ' 1.0 0x1 one 99999999999999999999; do
    refuses 4 "LISTEN_FDS is not a number of descriptors: $value" \
      env "LISTEN_FDS=$value" "$launcher" true
  done
  refuses 4 'too many listening sockets in LISTEN_FDS: 17: at most 16' \
    env LISTEN_FDS=17 "$launcher" true
}

@test "a line break in LISTEN_FDS does not make a second line" {
  refuses 4 'LISTEN_FDS is not a number of descriptors: 1?fpm-launcher: all is well' \
    env $'LISTEN_FDS=1\nfpm-launcher: all is well' "$launcher" true
}

@test "LISTEN_FDS says more than there is" {
  # shellcheck disable=SC2016 # for the inner shell
  refuses 4 'passed descriptor is not a listening stream socket: 4 (no name): Bad file descriptor;*' \
    env -u LISTEN_FDNAMES LISTEN_FDS=2 bash -c 'exec 4>&- "$@"' bash "$launcher" true
}

@test "LISTEN_PID" {
  local value
  # shellcheck disable=SC2016 # for the inner shell
  refuses 4 "the sockets were passed to another process: LISTEN_PID=1, this is process *; \
start fpm-launcher directly or with exec" env LISTEN_PID=1 "$launcher" true
  for value in '' -1 x 1.5 ' 7'; do
    refuses 4 "LISTEN_PID is not a process id: $value" env "LISTEN_PID=$value" "$launcher" true
  done
  refuses 4 'LISTEN_FDS is set, but LISTEN_PID is not: whoever passed the sockets must say to whom' \
    env -u LISTEN_PID "$launcher" true
}

@test "a shell between systemd and the launcher" {
  # shellcheck disable=SC2016 # for the inner shell
  refuses 4 'the sockets were passed to another process: LISTEN_PID=*' \
    sh -c '"$@"; exit $?' sh "$launcher" true
}

@test "nonsense in LISTEN_FDNAMES" {
  refuses 4 'LISTEN_FDNAMES does not fit LISTEN_FDS: a:b: 2 names for 1 descriptors' \
    env LISTEN_FDNAMES=a:b "$launcher" true
  refuses 4 'LISTEN_FDNAMES does not fit LISTEN_FDS: a:: 2 names for 1 descriptors' \
    env LISTEN_FDNAMES=a: "$launcher" true
  refuses 4 "name in LISTEN_FDNAMES is too long: xxx*xxx: at most 63 bytes; shorten \
FileDescriptorName= in the socket unit" \
    env "LISTEN_FDNAMES=$(printf 'x%.0s' {1..64})" "$launcher" true
}

@test "what is passed is no listening socket" {
  local descriptor
  hold www=4
  for descriptor in '</etc/passwd' "<>/dev/tcp/${www/://}" '<>/dev/udp/127.0.0.1/9'; do
    # shellcheck disable=SC2016 # for the inner shell
    says 4 "passed descriptor is not a listening stream socket: 3 (www): *; the socket unit needs \
ListenStream= and Accept=no" bash -c "exec 3$descriptor"'
      LISTEN_FDS=1 LISTEN_PID=$$ LISTEN_FDNAMES=www exec "$@"' bash "$launcher" true
  done
}

# --- the shim ------------------------------------------------------------------------------------

@test "shim missing" {
  refuses 5 "cannot find the shim: $dir/none.so: No such file or directory; use --preload=PATH" \
    "$launcher" "--preload=$dir/none.so" true
  cp "$(readlink -f "$launcher")" "$dir/fpm-launcher"
  refuses 5 "cannot find the shim: $dir/libfpm-waker.so: No such file or directory; use \
--preload=PATH" "$dir/fpm-launcher" true
}

@test "shim unusable" {
  refuses 5 'the shim is not a shared object: /etc/passwd; use --preload=PATH' \
    "$launcher" --preload=/etc/passwd true
  refuses 5 'the shim is not a shared object: *bin/true; use --preload=PATH' \
    "$launcher" "--preload=$(type -P true)" true
  refuses 5 'cannot read the shim: /usr: Is a directory' "$launcher" --preload=/usr true
  mkdir "$dir/a b"
  cp "$shim" "$dir/a b"
  refuses 5 "cannot preload the shim: $dir/a b/libfpm-waker.so: a path in LD_PRELOAD can hold \
neither colon nor blank" "$launcher" "--preload=$dir/a b/libfpm-waker.so" true
}

# --- the server ----------------------------------------------------------------------------------

@test "server missing" {
  refuses 127 'cannot find the server: php-fpm-none: No such file or directory; is it on PATH?' \
    "$launcher" php-fpm-none
  refuses 127 "cannot find the server: $dir/none: No such file or directory" "$launcher" "$dir/none"
  refuses 127 'cannot find the server: /etc/passwd/none: Not a directory' \
    "$launcher" /etc/passwd/none
  refuses 127 'cannot find the server: : No such file or directory; is it on PATH?' "$launcher" ''
}

@test "server not executable" {
  refuses 126 'cannot execute the server: /etc/passwd: Permission denied' "$launcher" /etc/passwd
  cp /etc/passwd "$dir/php-fpm-none"
  refuses 126 "cannot execute the server: $dir/php-fpm-none: Permission denied" \
    env "PATH=/bin:/usr/bin:$dir" "$launcher" php-fpm-none
}

@test "server is a directory, a device or a text" {
  refuses 126 'cannot execute the server: /usr: Is a directory' "$launcher" /usr
  refuses 126 'cannot execute the server: /dev/null: Permission denied' "$launcher" /dev/null
  echo 'echo hello' >"$dir/text"
  chmod +x "$dir/text"
  refuses 126 "cannot execute the server: $dir/text: neither an ELF program nor a script that \
begins with #!" "$launcher" "$dir/text"
  : >"$dir/text"
  refuses 126 "cannot execute the server: $dir/text: neither *" "$launcher" "$dir/text"
}

@test "server is a script whose interpreter is missing" {
  printf '#!/nowhere/sh\n' >"$dir/script"
  chmod +x "$dir/script"
  refuses 126 "cannot execute the server: $dir/script: No such file or directory; is its \
interpreter missing?" "$launcher" "$dir/script"
}

@test "server for another machine" {
  local program
  program=$(patched "$(type -P true)" 18 '\xb7\x00')
  refuses 126 "wrong architecture: server $program is for arm64, shim *.so is for *; use a launcher \
and shim built for the server" "$launcher" "$program"
  program=$(patched "$(type -P true)" 18 '\xff\xfe')
  refuses 126 "wrong architecture: server $program is for ELF machine 65279, class 2, shim *" \
    "$launcher" "$program"
}

@test "server of 32 bits" {
  local program
  program=$(patched "$(type -P true)" 4 '\x01')
  refuses 126 "wrong architecture: server $program is for *" "$launcher" "$program"
}

@test "server's headers are garbage" {
  local program bytes
  # The table of program headers lies far behind the end, or at the end of all numbers.
  for bytes in '\xff\xff\xff\x00' '\xff\xff\xff\xff\xff\xff\xff\xff'; do
    program=$(patched "$(type -P true)" 32 "$bytes")
    refuses 126 "cannot execute the server: $program: neither an ELF program nor a script that \
begins with #!" "$launcher" "$program"
  done
}

@test "static server" {
  refuses 126 "cannot preload into the server: $launcher: it is statically linked; use a \
dynamically linked build" "$launcher" "$launcher"
  refuses 126 'cannot preload into the server: *: it is statically linked; *' \
    "$launcher" "$launcher" --listen=/somewhere
}

@test "set-uid and set-gid server" {
  cp "$(type -P true)" "$dir/suid"
  chown nobody "$dir/suid"
  chmod 4755 "$dir/suid"
  refuses 126 "cannot preload into the server: $dir/suid: it is set-uid or set-gid, so LD_PRELOAD \
is ignored" "$launcher" "$dir/suid"
  chown root:nogroup "$dir/suid"
  chmod 2755 "$dir/suid"
  refuses 126 "cannot preload into the server: $dir/suid: it is set-uid or set-gid, *" \
    "$launcher" "$dir/suid"
}

# --- limits --------------------------------------------------------------------------------------

@test "too few descriptors allowed" {
  # shellcheck disable=SC2016 # for the inner shell
  refuses 1 'cannot move a descriptor to 100 or above: *; raise LimitNOFILE= or --ulimit nofile' \
    sh -c 'ulimit -n 64 && exec "$@"' sh "$launcher" true
}

@test "a low soft limit of descriptors is raised" {
  hold www=unix
  # shellcheck disable=SC2016 # for the inner shell
  passed sh -c 'ulimit -Sn 64 && exec "$@"' sh "$launcher" true
}
