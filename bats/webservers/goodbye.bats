#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# What a web server sees on a kept-alive connection when php-fpm stops: see preload/goodbye.h. It is
# played by kept.py, which does just what a test says.

load ../helpers
load ../preload/vhost

kept=$BATS_TEST_DIRNAME/kept.py
# A goodbye, as kept.py tells it.
goodbye='stderr 0'
# What a client sees that does not listen to them.
until_closed=()
for _ in {1..20}; do
  until_closed+=("$goodbye")
done
until_closed+=(eof)

setup() {
  start_vhost
  hold www=unix tcp=4
  configure www "$www" 'pm.max_children = 1'
  configure tcp "$tcp" 'pm.max_children = 1'
  serve
  is_up "$www"
}
teardown() { end_vhost; }

# keep ADDRESS STEP...: a client, and waits for its step `touch`.
keep() {
  rm -f "$dir/here" "$dir/stopped" "$dir/kept.log"
  start kept "$kept" "$1" "$nap" "${@:2}"
  client=$pid
  wait_for test -e "$dir/here"
}
here() { echo "touch:$dir/here"; }

# A request that takes until after the stop has begun.
long='s=0.5'

# stopped LINE...: the stop is over within a second, and the client has seen just that.
stopped() {
  local since
  since=$(now_ms)
  end QUIT
  is "$status" 0
  [ $(($(now_ms) - since)) -lt 1500 ] || fail "the stop took $(($(now_ms) - since)) ms"
  touch "$dir/stopped"
  wait "$client" || fail "the client failed: $(cat "$dir/kept.log")"
  is "$(cat "$dir/kept.log")" "$(printf '%s\n' "$@")"
}
after_stop() { echo "wait:$dir/stopped"; }

idle() {
  keep "$1" request:1:s=0 answer "$(here)" rest
  stopped 'end 0' "${until_closed[@]}"
}
@test "an idle connection is told repeatedly, then closed" { idle "$www"; }
@test "an idle connection over TCP too" { idle "$tcp"; }

@test "a request that has crossed the goodbye is served, and told again" {
  keep "$www" request:1:s=0 answer "$(here)" record request:1:s=0 answer record
  stopped 'end 0' "$goodbye" 'end 0' "$goodbye"
}

@test "requests that crossed the goodbyes of idle exits are served, and told again at the next" {
  # Each of them keeps the server awake. A client that has done so may do so at any later exit.
  local n steps=() lines=()
  end QUIT
  serve --exit-idle-time=1s
  for n in 1 2 3; do
    steps+=(record "request:1:$long" answer)
    lines+=("$goodbye" 'end 0')
  done
  keep "$www" request:1:s=0 answer "$(here)" "${steps[@]}" record
  ended 20
  is "$status" 0
  wait "$client"
  is "$(cat "$dir/kept.log")" "$(printf '%s\n' 'end 0' "${lines[@]}" "$goodbye")"
}

# trace OPTION...: strace of the workers, to $dir/trace.
trace() {
  start trace strace -f -qq -o "$dir/trace" -p "$(workers | tr '\n' ',')" "$@"
  wait_for grep -qs TracerPid:.*[1-9] "/proc/$(workers | head -n 1)/status"
}

@test "the first goodbye is in one piece with the answer" {
  # nginx reads both at once, and sees that something comes behind the end.
  trace -e trace=write,writev,sendto -s 200 -xx
  keep "$www" "request:1:$long" "$(here)" answer
  stopped 'end 0'
  contains "$(grep writev "$dir/trace" | tr -d '"\\x')" '0107000100000000'
}

@test "who numbers requests like HAProxy is told by the answer's status" {
  keep "$www" request:1:s=0 answer "request:3:$long" "$(here)" answer rest
  stopped 'end 0' 'end 2' "${until_closed[@]}"
}

@test "nobody else gets another status" {
  local ids
  for ids in '1 1' '1 2' '3 5' '2 4' '1 5'; do
    keep "$www" "request:${ids% *}:s=0" answer "request:${ids#* }:$long" "$(here)" answer
    stopped 'end 0' 'end 0'
    serve
    is_up "$www"
  done
}

@test "no first request of a connection gets another status" {
  keep "$www" "request:1:$long" "$(here)" answer
  stopped 'end 0'
}

# Apache goes on. The close follows the third answer immediately, and no goodbye lies before it.
goes_on() {
  keep "$1" "request:1:$long" "$(here)" answer request:1:s=0 answer request:1:s=0 answer rest
  stopped 'end 0' 'end 0' 'end 0' eof
}
@test "who goes on is served twice, then the connection is closed behind the answer" {
  goes_on "$www"
}
@test "who goes on over TCP too" { goes_on "$tcp"; }
@test "over TCP, that close is in one piece with the answer, however slow it is" {
  trace -e trace=shutdown -e inject=shutdown:delay_enter=50000
  keep "$tcp" "request:1:$long" "$(here)" answer request:1:s=0 answer request:1:s=0 answer look
  stopped 'end 0' 'end 0' 'end 0' eof
}
@test "who goes on, when nothing is read ahead" {
  end QUIT
  serve --read-ahead=no
  is_up "$www"
  goes_on "$www"
}

# Apache looks before it uses a connection again.
sees_hangup() {
  keep "$1" request:1:s=0 answer "$(here)" "$(after_stop)" look
  stopped 'end 0' hangup
}
@test "a connection that is closed looks closed, whatever is unread in it" { sees_hangup "$www"; }
@test "a connection that is closed looks closed over TCP too" { sees_hangup "$tcp"; }

@test "a connection that ends with its worker, by pm.max_requests, looks closed" {
  end QUIT
  reconfigure www "$www" 'pm.max_children = 1' 'pm.max_requests = 2'
  serve
  is_up "$www"
  keep "$www" request:1:s=0 answer "$(here)" "$(after_stop)" look
  is_up "$www" # by the next worker, and so the first is gone
  touch "$dir/stopped"
  wait "$client"
  is "$(cat "$dir/kept.log")" $'end 0\nhangup'
}

@test "an answer that is still unread is not lost by the close" {
  local address
  nap=$(page big.php <<<'<?php echo str_repeat("x", 60000);')
  for address in "$www" "$tcp"; do
    keep "$address" request:1 "$(here)" "$(after_stop)" answer
    stopped 'end 0'
    serve
    is_up "$www"
  done
}

# Apache sends the end of a request's body by itself, when PHP may have answered already. If it
# could not, it would take the answer for lost.
@test "the end of a request's body is waited for" {
  keep "$www" "begin:1:$long" "$(here)" answer sleep:0.2 end:1
  stopped 'end 0'
}
@test "the answer with which the connection is closed waits for that end" {
  # The sleep is time for what must not happen.
  keep "$tcp" "request:1:$long" "$(here)" answer request:1:s=0 answer \
    record begin:1:s=0 sleep:0.05 look end:1 answer look
  stopped 'end 0' 'end 0' "$goodbye" nothing 'end 0' eof
}
