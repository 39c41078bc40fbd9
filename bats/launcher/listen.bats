#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Sockets that the launcher opens by itself: --listen=.

load ../helpers
load ../preload/vhost
load launching

setup() {
  start_vhost
  page_of_server=(sh -c 'exec "$0" page' "$unit_test")
}
teardown() { end_vhost; }

# serve_listening OPTION... -- COMMAND...: in the background, nothing passed.
serve_listening() {
  start server env "VHOST_DIRECTORY=$dir" "$launcher" "$@"
  server=$pid
}

@test "php-fpm serves a path, IPv4 and IPv6 at once" {
  local four six
  four=127.0.0.1:$(free_port)
  six="[::1]:$(free_port)"
  configure path "$dir/path.sock"
  configure four "$four"
  configure six "$six"
  serve_listening "--listen=$dir/path.sock" "--listen=$four" "--listen=$six" -- \
    "$server_binary" -F -y "$dir/php-fpm.conf"
  wait_for test -S "$dir/path.sock"
  is "$(body "$dir/path.sock" "$who")" path
  is "$(body "$four" "$who")" four
  is "$(body "$six" "$who")" six
  end QUIT
  is "$status" 0
}

@test "a bare port is all addresses of both families" {
  local port
  port=$(free_port)
  configure www "$port"
  serve_listening "--listen=$port" -- "$server_binary" -F -y "$dir/php-fpm.conf"
  wait_for is_up "127.0.0.1:$port"
  is_up "[::1]:$port"
}

@test "a bare port on a machine without IPv6 is all addresses of IPv4" {
  local port
  [ "$in_bed" = yes ] || skip 'needs a service manager'
  port=$(free_port)
  configure www "$port"
  systemd-run -q --collect --unit="listen-$$" -p 'RestrictAddressFamilies=AF_UNIX AF_INET' \
    "$launcher" "--preload=$shim" "--listen=$port" -- "$server_binary" -F -y "$dir/php-fpm.conf"
  wait_for is_up "127.0.0.1:$port"
  systemctl stop "listen-$$"
}

@test "as variable, with blanks between the addresses; the option wins" {
  export FPM_WAKER_LISTEN=" $dir/a.sock  $dir/b.sock
 $dir/c.sock"
  is "$("$launcher" "${page_of_server[@]}" | grep -c ^socket)" 3
  is "$("$launcher" --listen="$dir/d.sock" "${page_of_server[@]}" | grep -c ^socket)" 1
  is "$("$launcher" printenv FPM_WAKER_LISTEN || true)" ''
}

@test "beside passed sockets" {
  hold www=unix
  is "$(passed "$launcher" --listen="$dir/own.sock" "${page_of_server[@]}" | grep ^socket)" \
    "socket 103 www same
socket 104  same"
}

@test "instead of descriptor 0" {
  hold www=unix
  export holder_options=--fd0
  is "$(passed "$launcher" --listen="$dir/own.sock" "${page_of_server[@]}" | grep ^socket)" \
    "socket 103  same"
  is "$(passed "$launcher" --listen="$dir/own.sock" readlink /proc/self/fd/0)" /dev/null
}

@test "a path is for owner and group, with systemd's backlog" {
  local limit
  read -r limit </proc/sys/net/core/somaxconn
  umask 0
  serve_listening "--listen=$dir/www.sock" sleep 60
  wait_for is_gone_or_named sleep
  is "$(stat -c %a "$dir/www.sock")" 660
  is "$(backlog "$dir/www.sock")" $((limit < 4096 ? limit : 4096))
  is "$(umask)" 0000
}

is_gone_or_named() { [ "$(cat "/proc/$server/comm" 2>/dev/null || echo "$1")" = "$1" ]; }

@test "the server's umask is as before" {
  umask 027
  is "$("$launcher" --listen="$dir/www.sock" sh -c umask)" 0027
}

@test "the socket file of a dead server is replaced" {
  local before
  serve_listening "--listen=$dir/www.sock" sleep 60
  wait_for is_gone_or_named sleep
  before=$(stat -c %i "$dir/www.sock")
  kill -KILL "$server"
  wait "$server" || true
  ln "$dir/www.sock" "$dir/old.sock" # so that its inode is not given to the new one
  "$launcher" --listen="$dir/www.sock" test -S "$dir/www.sock"
  [ "$(stat -c %i "$dir/www.sock")" != "$before" ] || fail 'not replaced'
}

@test "a living server's socket file is left alone, and its queue too" {
  local before
  hold www=unix
  before=$(sockets_now)
  says 1 "cannot listen: $www: Address already in use; a running server has this address" \
    "$launcher" "--listen=$www" true
  is "$(sockets_now)" "$before"
}

@test "no queue does not make a living server dead" {
  local before
  hold --backlog=0 www=unix
  # Fill it: each of these connections waits for ever.
  start first socat -u OPEN:/dev/null UNIX-CONNECT:"$www",ignoreeof
  start second socat -u PIPE UNIX-CONNECT:"$www"
  wait_for queue_is_at_least 1
  says 1 "cannot listen: $www: Address already in use; *" "$launcher" "--listen=$www" true
}

queue_is_at_least() { [ "$(queue_length "$www")" -ge "$1" ]; }

@test "a file that is no socket is left alone" {
  echo precious >"$dir/file"
  says 1 "cannot listen: $dir/file: Socket operation on non-socket; the file there is not a socket \
and is left alone" "$launcher" "--listen=$dir/file" true
  is "$(<"$dir/file")" precious
  mkdir "$dir/folder"
  says 1 "cannot listen: $dir/folder: Socket operation on non-socket; *" \
    "$launcher" "--listen=$dir/folder" true
  # Not through a link either: whoever may write there must not choose what is removed.
  ln -s "$dir/www.sock" "$dir/link"
  says 1 "cannot listen: $dir/link: Socket operation on non-socket; *" \
    "$launcher" "--listen=$dir/link" true
}

@test "nothing is opened or replaced for a server that cannot start" {
  "$launcher" --listen="$dir/www.sock" true
  local before
  before=$(stat -c '%i %z' "$dir/www.sock")
  says 127 'cannot find the server: *' "$launcher" "--listen=$dir/www.sock" nothing-there
  says 2 'unknown option: *' "$launcher" "--listen=$dir/www.sock" --nonsense true
  is "$(stat -c '%i %z' "$dir/www.sock")" "$before"
}

@test "a port in use, a missing folder, an address of another machine" {
  hold www=4
  says 1 "cannot listen: $www: Address already in use; a running server has this address" \
    "$launcher" "--listen=$www" true
  says 1 "cannot listen: $dir/none/www.sock: No such file or directory" \
    "$launcher" "--listen=$dir/none/www.sock" true
  says 1 'cannot listen: 192.0.2.1:9000: Cannot assign requested address' \
    "$launcher" --listen=192.0.2.1:9000 true
}

@test "what is no address" {
  local address
  for address in '' ' ' x localhost:9000 127.0.0.1 127.0.0.1: 127.0.0.1:0 127.0.0.1:65536 127.0.0.1:9000x \
    127.0.0.1:-1 127.0.0.1:+1 127.1:9000 :9000 ::1:9000 '[::1]' '[::1]9000' '[::1]:' '[127.0.0.1]:9000' \
    '[::1:9000' '[]:9000' '*:9000' 0 65536 99999999999999999999 relative/path @abstract \
    '[fe80::1%lo]:9000' '[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc]:9000' \
    "/$(printf 'x%.0s' {1..107})"; do
    says 2 "not an address to listen on: $address; use /path, 127.0.0.1:9000, [::1]:9000 or 9000" \
      "$launcher" "--listen=$address" true
  done
}

@test "at most 16 addresses, and 16 sockets in all" {
  local options=() i
  mkdir "$dir/many"
  for i in {1..16}; do
    options+=("--listen=$dir/many/$i.sock")
  done
  is "$("$launcher" "${options[@]}" "${page_of_server[@]}" | grep -c ^socket)" 16
  says 2 'too many addresses to listen on: at most 16' \
    "$launcher" "${options[@]}" "--listen=$dir/many/17.sock" true
  rm "$dir"/many/*
  hold www=unix
  refuses 4 'too many listening sockets: at most 16' "$launcher" "${options[@]}" true
  is "$(ls "$dir/many")" '' "nothing was opened for nothing"
}
