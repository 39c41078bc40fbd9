#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Read-ahead and closing without lingering: every byte of requests and answers is as without, in
# whatever pieces and sizes they come, and the system calls are fewer.

load ../helpers
load vhost

# The size of the shim's buffer.
buffer=8192

setup() {
  start_vhost
  # What came, as PHP sees it.
  echo=$(page echo.php <<<'<?php readfile("php://input");')
  pad=$(page pad.php <<<'<?php echo strlen($_SERVER["PAD"]), " ", md5($_SERVER["PAD"]), "\n";')
}
teardown() { end_vhost; }

# up [OPTION...]: one worker on a path and on TCP, so that each answer shows that it is free again.
up() {
  hold www=unix tcp=4
  configure www "$www" 'pm.max_children = 1' 'php_admin_value[post_max_size] = 16M'
  configure tcp "$tcp" 'pm.max_children = 1' 'php_admin_value[post_max_size] = 16M'
  serve "$@"
  is_up "$www"
}

# bytes N: that many, none like the one before.
bytes() {
  seq -f '%.0f,' 1 "$(($1 / 2 + 1))" | tr -d '\n' | head -c "$1"
}

# comes_back SIZE ADDRESS [OPTION...]: a body of that size is answered byte for byte.
comes_back() {
  bytes "$1" >"$dir/body"
  request "$2" "$echo" "--body=$dir/body" "${@:3}" >"$dir/answer"
  cmp <(sed '1,/^\r$/d' "$dir/answer") "$dir/body" || fail "a body of $1 bytes on $2, ${*:3}"
}

bodies() {
  local size address keep
  up "$@"
  for address in "$www" "$tcp"; do
    for size in 0 1 7 8 100 $((buffer - 600)) $((buffer - 1)) "$buffer" $((buffer + 1)) \
      $((2 * buffer - 8)) $((2 * buffer)) 65534 65535 65536 $((65535 * 2)) 1000003 5242880; do
      for keep in '' --keep-conn; do
        comes_back "$size" "$address" ${keep:+"$keep"}
      done
    done
  done
}

@test "bodies of every size come whole, read ahead" { bodies; }
@test "bodies of every size come whole, not read ahead" { bodies --read-ahead=no; }

@test "a request that ends anywhere around the buffer's end" {
  local base size all sum address
  up
  base=$("$fastcgi" --print-request --param=PAD= . "$pad" | wc -c)
  all=$(bytes "$buffer")
  for ((size = buffer - base - 20; size < buffer - base + 40; size++)); do
    sum=$(printf %s "${all:0:size}" | md5sum)
    for address in "$www" "$tcp"; do
      is "$(body "$address" "$pad" "--param=PAD=${all:0:size}")" "$size ${sum%% *}"
      # With a next one behind it, whose beginning is fetched together with the end of the first.
      "$fastcgi" --keep-conn --print-request "--param=PAD=${all:0:size}" . "$pad" >"$dir/two"
      "$fastcgi" --print-request . "$hello" >>"$dir/two"
      "$fastcgi" "--raw=$dir/two" --timeout=5 "$address" >"$dir/answers"
      is "$(grep -acE "^($size ${sum%% *}|hello)\$" "$dir/answers")" 2
    done
  done
}

@test "a request that comes in two pieces, cut anywhere" {
  local at address
  up
  for address in "$www" "$tcp"; do
    for at in 1 7 8 9 15 16 17 23 24 25 100 300 500 600 2000 $((buffer - 1)) "$buffer" \
      $((buffer + 1)); do
      comes_back 9000 "$address" --pause=0.02 "--pause-at=$at"
      comes_back 9000 "$address" --pause=0.02 "--pause-at=$at" --keep-conn
    done
  done
}

@test "several requests on a connection, one after the other and all at once" {
  local address answer
  up
  answer=$(headed hello)
  # A whole request, as the client sends it: here to a file.
  "$fastcgi" --keep-conn --print-request . "$hello" >"$dir/one"
  for address in "$www" "$tcp"; do
    is "$(request "$address" "$hello" --keep-conn --requests=3)" "$answer"$'\n'"$answer"$'\n'"$answer"
    cat "$dir/one" "$dir/one" "$dir/one" "$dir/one" >"$dir/four"
    "$fastcgi" "--raw=$dir/four" --half-close "$address" >"$dir/answers"
    is "$(grep -ac '^hello$' "$dir/answers")" 4
  done
}

@test "bytes behind a request are read and thrown away, not answered by a reset" {
  local address extra size
  up
  # What is behind it looks like records, and the buffer ends between two of them.
  size=$("$fastcgi" --print-request --param=PAD= . "$hello" | wc -c)
  "$fastcgi" --print-request "--param=PAD=$(bytes $((8 - size % 8)))" . "$hello" >"$dir/one"
  is "$(($(wc -c <"$dir/one") % 8))" 0
  for address in "$www" "$tcp"; do
    for extra in 1 8 100 "$buffer" 100000; do
      { cat "$dir/one" && head -c "$extra" /dev/zero; } >"$dir/more"
      "$fastcgi" "--raw=$dir/more" "$address" >"$dir/answer"
      is "$(grep -ac '^hello$' "$dir/answer")" 1 "$extra bytes on $address"
    done
  done
}

@test "what is no FastCGI is hung up on, without a reset" {
  up
  printf 'GET / HT' >"$dir/http"
  "$fastcgi" "--raw=$dir/http" "$www"
  is "$(body "$www" "$hello")" hello
}

@test "a 20 MB answer to a slow client" {
  local address big
  up
  big=$(page big.php <<<'<?php for ($i = 0; $i < 20; $i++) echo str_repeat(chr(65 + $i), 1 << 20);')
  for address in "$www" "$tcp"; do
    is "$(body "$address" "$big" --slow-read=0.002 | md5sum)" \
      "$({ for c in {A..T}; do head -c 1048576 /dev/zero | tr '\0' "$c"; done && echo; } | md5sum)"
  done
}

@test "clients that go away at any moment disturb nobody else" {
  local address at
  up
  "$fastcgi" --body-size=9000 --print-request . "$echo" >"$dir/one"
  for address in "$www" "$tcp"; do
    for at in 0 1 8 20 300 600 5000 8192 9000; do
      head -c "$at" "$dir/one" >"$dir/part"
      "$fastcgi" "--raw=$dir/part" --abort "$address"
      is "$(body "$address" "$hello")" hello "after one that went at byte $at"
    done
  done
}

@test "a body that the script does not read" {
  local address size
  up
  for address in "$www" "$tcp"; do
    for size in 1 8000 9000 5242880; do
      is "$(body "$address" "$hello" "--body-size=$size")" hello
    done
  done
}

@test "work after fastcgi_finish_request, whose connection is closed before" {
  up
  is "$(get "$www" "$nap" 's=0.3&late=1')" slept
  wait_for test -e "$dir/out/nap.ended"
}

@test "a client that stays connected after its answer does not hold the worker" {
  local address
  up
  for address in "$www" "$tcp"; do
    rm -f "$dir/out/stays.ended"
    start stays "$fastcgi" '--param=QUERY_STRING=s=0&n=stays' --linger=60 "$address" "$nap"
    wait_for test -e "$dir/out/stays.ended"
    is "$(body "$address" "$hello" --timeout=5)" hello
    kill "$pid"
  done
}

were_accepted() { [ "$(grep -Ec ' accept4?\(.* = [0-9]+$' "$dir/calls")" = "$1" ]; }

# A process that waits: a client that has connected, for the answer.
is_asleep() { [ "$(awk '{ print $3 }' "/proc/$1/stat")" = S ]; }

# calls_of_request QUERY [OPTION...]: the system calls that a request for $nap costs on its connection,
# from accept to close.
calls_of_request() {
  local strace worker
  worker=$(workers | head -n 1)
  start strace strace -f -o "$dir/calls" -p "$worker"
  strace=$pid
  wait_for has_line "$dir/strace.log" attached
  # It goes on when all is there that the client sends at once.
  kill -STOP "$worker"
  start client "$fastcgi" "--param=QUERY_STRING=$1" --expect=slept "${@:2}" "$www" "$nap"
  wait_for is_queued "$www" 1
  wait_for is_asleep "$pid"
  kill -CONT "$worker"
  wait "$pid"
  is "$(body "$www" "$hello")" hello # whose accept shows that the first is over
  wait_for were_accepted 2
  kill -INT "$strace"
  wait "$strace" || true
  # PHP 8.4 sets FD_CLOEXEC, which the shim has set already, by two fcntl().
  awk '{ sub(/^[0-9]+ +/, ""); name = $0; sub(/\(.*/, "", name) }
    name == "fcntl" { next }
    name ~ /^accept/ && / = [0-9]+$/ { fd = $NF; print name; next }
    fd && $0 ~ "^[a-z0-9]+[(](\\[[{]fd=)?" fd "[,)]" {
      print name (/MSG_PEEK/ ? "-peek" : ""); if (name == "close") exit }' \
    "$dir/calls" | xargs
}

@test "the system calls of a request on its connection" {
  up
  is "$(calls_of_request s=0)" 'accept4 recvfrom-peek write recvmsg close'
}

@test "the system calls of a request on its connection, not read ahead" {
  up --read-ahead=no
  is "$(calls_of_request s=0)" \
    'accept4 ppoll read read read read read write shutdown read read close'
}

@test "a body whose end comes by itself, as from Apache, is no reason to linger" {
  local size
  up
  size=$("$fastcgi" --print-request --body-size=4 --param=QUERY_STRING=s=0.3 . "$nap" | wc -c)
  lacks "$(calls_of_request s=0.3 --body-size=4 --pause=0.1 "--pause-at=$((size - 8))")" shutdown
}
