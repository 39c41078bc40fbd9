#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# What may stand between fpm-launcher and the server: entrypoints of images. They run with their own
# words and descriptors, and the passed sockets reach the server at their end.

load ../helpers
load vhost

setup() {
  start_vhost
  hold www=unix
  configure www "$www"
}
teardown() { end_vhost; }

# through COMMAND...: serves, reloads, ends idle; the pid stays the launcher's if it should.
through() {
  serve --exit-idle-time=2s -- "$@"
  is_up "$www"
  "$fastcgi" --clients=4 --requests=20 "$www" "$hello"
  kill -USR2 "$(pidof_master)"
  wait_for is_ready 2
  is_up "$www"
  ended 15
  is "$status" 0
}

pidof_master() { cat "$dir/pid"; }

# script SHELL: an entrypoint of that shell, from standard input. Prints its path.
script() {
  { echo "#!$1" && cat; } >"$dir/entrypoint"
  chmod 755 "$dir/entrypoint"
  echo "$dir/entrypoint"
}

@test "sh -c exec" { through sh -c "exec $server_binary -F -y $dir/php-fpm.conf"; }

@test "sh that stays in front" {
  through sh -c "$server_binary -F -y $dir/php-fpm.conf; exit \$?"
}

@test "bash -c" { through bash -c "exec $server_binary -F -y $dir/php-fpm.conf"; }

@test "env" { through env -u NOTHING A=B "$server_binary" -F -y "$dir/php-fpm.conf"; }

@test "tini" { through tini -s -- "$server_binary" -F -y "$dir/php-fpm.conf"; }

@test "tini, sh and env in a row" {
  through tini -s -- sh -c 'exec env "$@"' - "$server_binary" -F -y "$dir/php-fpm.conf"
}

@test "an entrypoint that knows only one first word" {
  local entrypoint
  entrypoint=$(
    script /bin/sh <<'END'
set -e
[ "$1" = php-fpm ] || exit 99
touch "$(dirname "$0")/out/installed"
exec "$@"
END
  )
  mkdir "$dir/bin"
  ln -s "$(realpath "$(command -v "$server_binary")")" "$dir/bin/php-fpm"
  PATH=$dir/bin:$PATH through "$entrypoint" php-fpm -F -y "$dir/php-fpm.conf"
  [ -e "$dir/out/installed" ]
}

@test "a bash script that uses low descriptors itself" {
  local entrypoint
  entrypoint=$(
    script /bin/bash <<'END'
set -eu
here=$(dirname "$0")
exec 3>"$here/out/three" 9>"$here/out/nine"
flock -n 9
for fd in 4 5 6 7 8; do eval "exec $fd</dev/null"; done
echo three >&3
cat <(echo four) >"$here/out/four"
exec 3>&- 4<&- 5<&- 6<&- 7<&- 8<&-
find "$here" -name '*.php' | while read -r file; do cp -p "$file" "$here/out/"; done
tar -C "$here" -cf "$here/out/www.tar" www
exec "$@"
END
  )
  through "$entrypoint" "$server_binary" -F -y "$dir/php-fpm.conf"
  is "$(cat "$dir/out/three" "$dir/out/four")" $'three\nfour'
  tar -tf "$dir/out/www.tar" | grep -q hello.php
}

@test "php-fpm -v, -m, -i and -t run first and consume nothing" {
  local entrypoint before
  entrypoint=$(
    script /bin/sh <<'END'
set -e
out=$(dirname "$0")/out
php=$1
"$php" -v >"$out/v"
"$php" -m >"$out/m"
"$php" -i >"$out/i"
"$@" -t 2>"$out/t"
"$@" -tt 2>"$out/tt"
exec "$@"
END
  )
  before=$(look "$www")
  through "$entrypoint" "$server_binary" -F -y "$dir/php-fpm.conf"
  is "$(look "$www")" "$before"
  contains "$(cat "$dir/out/v")" 'fpm-fcgi'
  contains "$(cat "$dir/out/t")" 'test is successful'
}

@test "helpers that an entrypoint leaves behind" {
  serve --exit-idle-time=1s -- sh -c \
    "sleep 300 >/dev/null 2>&1 & echo \$! >$dir/out/helper; exec $server_binary -F -y $dir/php-fpm.conf"
  is_up "$www"
  ended
  is "$status" 0
  kill "$(cat "$dir/out/helper")"
}

@test "a server that starts the server again when it ends" {
  local before
  before=$(look "$www")
  serve -- sh -c "$server_binary -F -y $dir/php-fpm.conf; exec $server_binary -F -y $dir/php-fpm.conf"
  is_up "$www"
  kill -QUIT "$(pidof_master)"
  wait_for is_ready 2
  is_up "$www"
  is "$(pidof_master)" "$server"
  end QUIT
  is "$status" 0
  is "$(look "$www")" "$before"
}

# As supervisors do it. What the killed master's worker works on is nobody's but a request still.
@test "a server that is started again when it was killed, beside a worker of the former one" {
  local former
  configure www "$www"
  serve --exit-idle-time=300ms -- sh -c "$server_binary -F -y $dir/php-fpm.conf; exec $server_binary \
    -F -y $dir/php-fpm.conf"
  nap_begin 1 2
  former=$(pidof_master)
  kill -KILL "$former"
  wait_for is_ready 2
  is_up "$www"
  ended
  is "$status" 0
  [ -e "$dir/out/1.ended" ] || fail 'the vhost has ended before the request'
  wait "$client"
}
