#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# bats file_tags=not-bookworm
#
# The same tests with a php-fpm that is linked with musl, the same shim loaded into it. Left out is
# what this php-fpm does not have (ACLs) and what loads glibc's libraries into it.

load ../helpers

setup_file() {
  local archive=/srv/cache/musl.tar
  [ -e "$archive" ] || archive=/var/cache/fpm-waker/images/musl.tar
  musl=$(mktemp -d /tmp/musl.XXXXXX)
  export musl
  chmod 755 "$musl"
  tar -C "$musl" -xf "$archive" --wildcards '*lib/ld-musl-*' '*usr/local/sbin/php-fpm'
  # Its interpreter's path is in the program. Beds forget it again, a machine with musl has it.
  [ -e "/lib/ld-musl-$(uname -m).so.1" ] || cp "$musl"/lib/ld-musl-* /lib/
}

teardown_file() { rm -rf "$musl"; }

# with_musl SUITE [REGEX]: the tests of another file, all of them or those whose names match.
with_musl() {
  run env -i "PATH=${PATH#"$BATS_LIBEXEC:"}" LANG=C.UTF-8 "BUILD=${BUILD:-build}" \
    "PRELOAD_PHP_FPM=$musl/usr/local/sbin/php-fpm" \
    bats ${2:+-f "$2"} "$BATS_TEST_DIRNAME/$1.bats"
  is "$status" 0 "$output"
  matches "$output" 'ok [0-9]+' "$output"
}

@test "it is musl's" {
  grep -aq /lib/ld-musl- "$musl/usr/local/sbin/php-fpm"
  contains "$("$musl/usr/local/sbin/php-fpm" -v)" 'fpm-fcgi'
}

@test "the passed socket is untouched" { with_musl untouched 'wants to own|TCP|instance|wait'; }
@test "what listen may look like" { with_musl listen-shapes; }
@test "several pools" { with_musl pools; }
@test "a pool without a socket" { with_musl no-match; }
@test "a status page of its own" { with_musl status-listen; }
@test "process managers, daemons" { with_musl process-managers; }
@test "reloads" { with_musl reload; }
@test "children" { with_musl children '^(the|no|a program|LISTEN)'; }
@test "sockets and files of PHP code" { with_musl php-code; }
@test "idle exit" { with_musl idle-exit 'last request|not|kept|killed|countdown'; }
@test "safe stop" { with_musl safe-stop; }
@test "entrypoints" { with_musl entrypoints; }
@test "bystanders" { with_musl bystanders 'php-fpm'; }
