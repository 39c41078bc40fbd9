#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Programs that have the shim loaded and no passed socket, no page, or nonsense instead of one,
# behave as without it.

load ../helpers
load vhost

setup() { start_vhost; }
teardown() { end_vhost; }

# Without a page, and with every kind of wrong one.
pages=('' 'FPM_WAKER_PAGE=' 'FPM_WAKER_PAGE=100' 'FPM_WAKER_PAGE=0' 'FPM_WAKER_PAGE=2'
  'FPM_WAKER_PAGE=-1' 'FPM_WAKER_PAGE=99999999999999999999' 'FPM_WAKER_PAGE=nonsense'
  'FPM_WAKER_PAGE=100 LISTEN_FDS=1')

# same COMMAND...: status, output and errors are the same with the shim.
same() {
  local page expected actual
  expected=$("$@" 2>&1 </dev/null && echo "status $?" || echo "status $?")
  for page in "${pages[@]}"; do
    # shellcheck disable=SC2086 # words
    actual=$(env $page LD_PRELOAD="$shim" "$@" 2>&1 </dev/null && echo "status $?" || echo "status $?")
    is "$actual" "$expected" "$* with '$page'"
  done
}

@test "sh, bash, ls, cat, tar, sort, find, grep" {
  seq 1000 >"$dir/numbers"
  same sh -c 'for i in 1 2 3; do echo $i | cat; done; exit 3'
  same bash -c 'exec 3>&1; (echo a >&3) | cat; echo b >&3; kill -TERM $$'
  same ls -l "$dir"
  same cat "$dir/numbers" /nonexistent
  same sort -R --random-source=/etc/passwd "$dir/numbers"
  same find "$dir" -name '*.php'
  same grep -c 1 "$dir/numbers"
  same sh -c "tar -C $dir -cf - www | tar -tf -"
  same chown 1:1 /nonexistent
  same rm /nonexistent
  same flock "$dir/numbers" true
}

@test "a program's own sockets" {
  same socat -u EXEC:'echo through a pair' -
  same sh -c "socat UNIX-LISTEN:$dir/s EXEC:'echo from there' & \
    until [ -S $dir/s ]; do sleep 0.01; done; socat -u UNIX-CONNECT:$dir/s -; wait; ls $dir/s"
}

@test "php-fpm -v, -m, -i, -t" {
  configure www "$dir/own.sock"
  same "$server_binary" -v
  same "$server_binary" -m
  same sh -c "$server_binary -y $dir/nonexistent.conf 2>&1 | sed s/.*ERROR//"
  contains "$(LD_PRELOAD=$shim "$server_binary" -i)" 'Server API'
  contains "$(LD_PRELOAD=$shim "$server_binary" -t -y "$dir/php-fpm.conf" 2>&1)" 'is successful'
}

@test "php-fpm with a socket of its own: made, given its mode and owner, served, removed" {
  local page
  configure www "$dir/own.sock" 'listen.owner = www-data' 'listen.group = www-data' \
    'listen.mode = 0640' 'listen.backlog = 55'
  for page in "${pages[@]}"; do
    # shellcheck disable=SC2086 # words
    serve_bare env $page LD_PRELOAD="$shim" "$server_binary" -F -y "$dir/php-fpm.conf"
    wait_for test -S "$dir/own.sock"
    is_up "$dir/own.sock"
    is "$(stat -c '%U:%G %a' "$dir/own.sock")" 'www-data:www-data 640' "$page"
    is "$(backlog "$dir/own.sock")" 55
    reload
    is_up "$dir/own.sock"
    end QUIT
    is "$status" 0
    [ ! -e "$dir/own.sock" ]
    rm "$dir/php-fpm.log"
  done
}

@test "php-fpm with a socket of its own finds out that another instance is there" {
  configure www "$dir/own.sock"
  serve_bare
  wait_for test -S "$dir/own.sock"
  run env LD_PRELOAD="$shim" "$server_binary" -F -y "$dir/php-fpm.conf"
  is "$status" 78
  contains "$(cat "$dir/php-fpm.log")" 'Another FPM instance'
}

@test "php-fpm's workers exit no more often than without" {
  local before
  configure www "$dir/own.sock" 'listen.mode = 0666'
  serve_bare env LD_PRELOAD="$shim" "$server_binary" -F -y "$dir/php-fpm.conf"
  wait_for test -S "$dir/own.sock"
  is_up "$dir/own.sock"
  before=$(workers)
  "$fastcgi" --clients=4 --requests=100 "$dir/own.sock" "$hello"
  is "$(workers)" "$before"
}

@test "fcgiwrap with a socket of its own" {
  printf '#!/bin/sh\nprintf "Content-Type: text/plain\\r\\n\\r\\nhello\\n"\n' >"$dir/hello.cgi"
  chmod 755 "$dir/hello.cgi"
  serve_bare env LD_PRELOAD="$shim" spawn-fcgi -n -s "$dir/own.sock" -- "$(command -v fcgiwrap)"
  wait_for test -S "$dir/own.sock"
  is "$(body "$dir/own.sock" "$dir/hello.cgi")" hello
}

@test "what the shim is loaded into that is no server does not touch the page" {
  # Every program of an entrypoint has page and sockets: only a server may use them.
  hold www=unix
  configure www "$www"
  serve -- sh -c "ls / >/dev/null; cat /etc/hostname >/dev/null; socat -u EXEC:true - ; \
    ls -l $www >/dev/null; exec $server_binary -F -y $dir/php-fpm.conf"
  is_up "$www"
  is "$(grep -c . "$dir/server.log")" 0 "$(cat "$dir/server.log")"
}
