# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154 # $dir, $holder and others come from the files that load it
#
# For the tests of the launcher suite, with ../preload/vhost: the launcher with a passed socket, and
# what it says when it does not start the server.

unit_test=$build/test/unit-test
background_test=$build/test/background-test
fake_host=$build/test/fake-host
export unit_test background_test fake_host

# Everything about the passed sockets that no failed start may change.
sockets_now() {
  local name
  "$holder" show "$dir/holder"
  for name in "$dir"/*.sock; do
    [ ! -S "$name" ] || look "$name"
  done
}

# passed COMMAND...: runs it with what hold() holds, as systemd starts a service.
passed() {
  # shellcheck disable=SC2086 # words
  env "VHOST_DIRECTORY=$dir" timeout 20 "$holder" run ${holder_options:-} "$dir/holder" "$@"
}

# says STATUS MESSAGE COMMAND...: it prints that one line on stderr, nothing on stdout, and exits
# with that status, at once. A * in MESSAGE stands for anything.
says() {
  local expected_status=$1 message=$2 out status=0
  shift 2
  message=${message//\[/\\[}
  message=${message//\?/\\?}
  out=$("$@" 2>"$dir/stderr" </dev/null) || status=$?
  # shellcheck disable=SC2053 # a pattern
  [[ $(<"$dir/stderr") == "fpm-launcher: "$message ]] ||
    fail "other message" "  expected: fpm-launcher: $message" "  actual:   $(<"$dir/stderr")"
  is "$(wc -l <"$dir/stderr")" 1 "one line on stderr"
  is "$out" '' "nothing on stdout"
  is "$status" "$expected_status" "exit status"
}

# refuses STATUS MESSAGE COMMAND...: says() it with a passed socket, which is untouched afterwards.
refuses() {
  local before
  [ -S "$dir/holder" ] || hold www=unix
  before=$(sockets_now)
  says "$1" "$2" passed "${@:3}"
  is "$(sockets_now)" "$before" "the passed socket"
}
