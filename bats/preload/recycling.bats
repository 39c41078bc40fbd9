#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# A worker that has had pm.max_requests ends, and a kept-alive connection with it. A request that the
# client writes just then must not be lost.

load ../helpers
load vhost

setup() {
  start_vhost
  hold www=unix tcp=4
  hammer=$build/test/hammer
  # What tells a client to close, behind the end of an answer: an empty FCGI_STDERR record.
  goodbye=0107000100000000
}
teardown() { end_vhost; }

# A request in a file, as a client sends it.
write_request() { "$fastcgi" --print-request "${@:3}" . "$2" >"$dir/$1"; }

# answer_hex FILE...: sends the files' bytes to $address at once, prints in hex what comes until the end.
answer_hex() {
  (cd "$dir" && cat "$@") >"$dir/raw"
  "$fastcgi" "--raw=$dir/raw" "$address" | od -An -v -tx1 | tr -d ' \n'
}

count() { grep -o "$2" <<<"$1" | wc -l; }

# hex TEXT
hex() { printf %s "$1" | od -An -v -tx1 | tr -d ' \n'; }

# An END_REQUEST record, which is followed by a goodbye only at the end of the last of N answers.
ends_with_goodbye() {
  local answer
  answer=$(answer_hex "$@")
  is "$(count "$answer" "$(hex hello)")" $# "answers"
  is "$(count "$answer" "$goodbye")" 1 "goodbyes"
  is "${answer: -48}" "010300010008000000000000$(printf 0%.0s {1..8})$goodbye" "the end"
}

@test "a worker's last answer says goodbye, however pm.max_requests is written" {
  local line address
  write_request one "$hello" --keep-conn
  export LIMIT=2
  for line in 'pm.max_requests = 2' 'pm.max_requests=2' $'\tpm.max_requests = 2 ; not many' \
    'pm.max_requests = "2"' 'pm.max_requests = ${LIMIT}'; do
    reconfigure www "$www" "$line"
    serve
    for address in "$www" "$www"; do
      ends_with_goodbye one one
    done
    end QUIT
  done
  # In a file without a newline at its end, after one like it.
  reconfigure www "$www"
  printf 'include = %s\n' "$dir/pool.inc" "$dir/pool2.inc" >>"$dir/php-fpm.conf"
  printf 'pm.start_servers = 1' >"$dir/pool.inc"
  printf 'pm.max_requests = 2' >"$dir/pool2.inc"
  serve
  address=$www
  ends_with_goodbye one one
}

@test "so does the last answer after a reload with another number" {
  local address=$www
  write_request one "$hello" --keep-conn
  configure www "$www" 'pm.max_requests = 2'
  serve
  ends_with_goodbye one one
  sed -i 's/^pm.max_requests.*/pm.max_requests = 3/' "$dir/php-fpm.conf"
  reload
  ends_with_goodbye one one one
}

@test "no other answer says goodbye" {
  local address answer
  write_request kept "$hello" --keep-conn
  write_request one "$hello"
  configure www "$www" '; pm.max_requests = 2' 'pm.max_requests = 5'
  configure tcp "$tcp" 'pm.max_requests = 0'
  serve
  for address in "$www" "$tcp"; do
    answer=$(answer_hex kept kept kept one)
    is "$(count "$answer" "$(hex hello)")" 4
    is "$(count "$answer" "$goodbye")" 0
  done
}

@test "workers that are recycled under load of kept-alive connections lose nothing" {
  configure www "$www" 'pm.max_children = 8' 'pm.max_requests = 10'
  serve
  is_up "$www"
  install -m 644 "$tree/bats/soak/answer.php" "$dir/www"
  "$hammer" --requests=3000 --burst=100 "--script=$dir/www/answer.php" --losses="$dir/hammer.log" \
    "www,$www,clients=6,keep=100" >"$dir/report" || fail "$(cat "$dir/report" "$dir/hammer.log")"
  matches "$(cat "$dir/report")" 'requests [0-9]{4} lost 0 hang 0 .* kept [1-9][0-9]{3}'
}
