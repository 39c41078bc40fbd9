#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The suites rest on what the test client says: it must not call a lost request answered.

load ../helpers

setup() {
  start_test
  socket=$dir/php.sock
}

teardown() { end_test; }

start_php_fpm() {
  php_conf >/dev/null
  pool www "$socket" 'listen.owner = root' "$@"
  start php-fpm-out "$php_fpm" -y "$dir/php-fpm.conf"
  wait_for test -S "$socket"
}

# listener BYTES...: a server that reads a request for /x.php, answers with these bytes and closes.
start_listener() {
  local size
  size=$("$fastcgi" --print-request "$socket" /x.php | wc -c)
  printf '%b' "$1" >"$dir/answer"
  start socat socat "UNIX-LISTEN:$socket,fork" "SYSTEM:head -c $size >$dir/request; cat $dir/answer"
  wait_for test -S "$socket"
}

@test "answered in full: status 0, the two streams apart" {
  start_php_fpm 'php_admin_value[log_errors] = on' 'catch_workers_output = no'
  script=$(page both.php <<<'<?php echo "to stdout"; error_log("to stderr");')
  run --separate-stderr -0 request "$socket" "$script"
  contains "$output" "to stdout"
  contains "$stderr" "to stderr"
  lacks "$output" "to stderr"
}

@test "a POST of 5 MB and a response of 20 MB arrive whole" {
  start_php_fpm 'php_admin_value[post_max_size] = 10M' 'php_admin_value[memory_limit] = 256M'
  head -c 5000000 /dev/urandom >"$dir/body"
  script=$(page echo.php <<<'<?php $b = file_get_contents("php://input"); echo md5($b), "\n";
    for ($i = 0; $i < 20; $i++) echo str_repeat(chr(65 + $i), 1000000);')
  request "$socket" "$script" --body="$dir/body" >"$dir/response"
  contains "$(head -c 400 "$dir/response")" "$(md5sum <"$dir/body" | cut -d' ' -f1)"
  is "$(tail -c 20000000 "$dir/response" | tr -d A-T | wc -c)" 0
}

@test "kept alive: several requests on one connection" {
  start_php_fpm
  script=$(page pid.php <<<'<?php static $n; echo "pid ", getmypid(), "\n";')
  run -0 request "$socket" "$script" --keep-conn --requests=5 --between=0.05
  is "$(grep ^pid <<<"$output" | sort -u | wc -l)" 1 "one worker answers them all"
  is "$(grep -c ^pid <<<"$output")" 5
}

@test "slow to send: connected first, and in the middle of the request" {
  start_php_fpm
  script=$(page slow.php <<<'<?php echo "served";')
  run -0 request "$socket" "$script" --pause=1
  contains "$output" served
  run -0 request "$socket" "$script" --pause=1 --pause-at=100
  contains "$output" served
}

@test "refused: nobody listens" {
  run -10 request "$socket" /x.php
}

@test "EOF before the end of the response" {
  start_listener '\1\6\0\1\0\2\0\0hi'
  run -12 request "$socket" /x.php
  contains "$output" hi
}

@test "reset" {
  start python python3 -c "import socket, struct
s = socket.socket(socket.AF_UNIX)
s.bind('$socket')
s.listen()
c, _ = s.accept()
c.recv(1) # the rest is left unread: close() resets"
  wait_for test -S "$socket"
  run -11 request "$socket" /x.php --body-size=100000
}

@test "timeout" {
  start socat socat "UNIX-LISTEN:$socket,fork" "SYSTEM:cat >/dev/null; read forever"
  wait_for test -S "$socket"
  run -13 request "$socket" /x.php --timeout=0.5
}

@test "not FastCGI; a refused role" {
  start_listener 'HTTP/1.1 200 OK\r\n\r\n'
  run -14 request "$socket" /x.php
}

@test "a wrong response" {
  start_php_fpm
  script=$(page one.php <<<'<?php echo "one";')
  run -15 request "$socket" "$script" --expect=two
}

@test "the hammer counts the answered and the lost" {
  start_php_fpm
  script=$(page one.php <<<'<?php echo "one";')
  run -0 request "$socket" "$script" --clients=4 --requests=50
  matches "$output" '^ok 200 lost 0 slowest'
  run -0 request "$socket" "$script" --clients=2 --requests=50 --keep-conn --expect=one
  matches "$output" '^ok 100 lost 0 slowest'
  run -1 request "$dir/none" "$script" --clients=2 --requests=5
  matches "$output" '^ok 0 lost 10 refused 10 slowest'
}

@test "the soak's hammer ends, though each request fails at once" {
  run -1 timeout 20 "$build/test/hammer" --requests=100 "--losses=$dir/losses" \
    "none,$dir/none,clients=2"
  matches "$output" '^vhost none requests ([0-9]+) lost \1 hang 0 '
}
