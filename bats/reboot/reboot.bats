#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# bats file_tags=host
#
# A host that goes down waits for running requests, as `systemctl stop` does.

load ../helpers

setup() {
  start_test
  export BED_NAME=reboot-$$-$BATS_TEST_NUMBER BED_SUITE
}

teardown() {
  "$tree/bats/bed" down
  end_test
}

# host_with_vhost SUITE SETUP...: a host with the vhost "site". Its $dir/out is /out there. Its page
# says in the journal when it begins: natively by syslog(), in Docker by its standard error.
host_with_vhost() {
  BED_SUITE=$1
  mkdir "$dir/out"
  "$tree/bats/bed" boot "--bind=$dir/out:/out"
  # shellcheck disable=SC2016 # for the shell in the bed
  run_in_bed bash -ec 'bats_require_minimum_version() { :; }
    . /srv/fpm-waker/bats/helpers.bash
    . /srv/fpm-waker/bats/units/native.bash
    "$@"
    cat >/srv/www/site/slow.php' - "${@:2}" <<'END'
<?php
syslog(LOG_NOTICE, "it began");
error_log("it began");
sleep(3);
echo "finished";
END
}

# The request is running when this returns. Nothing but the very end of the host ends its client.
slow_request() {
  run_in_bed systemd-run -q --unit=client -p DefaultDependencies=no bash -c \
    '"$@" >/out/answer 2>/out/errors; echo $? >/out/status' - \
    /srv/fpm-waker/build/fastcgi /run/fpm-waker/site.sock "$1/slow.php"
  wait_for -t 20 it_began
}
it_began() { run_in_bed journalctl -q -o cat -u 'fpm-waker*@site.service' --grep='it began'; }

power_off() {
  BED_TIMEOUT=60 "$tree/bats/bed" poweroff
  is "$(<"$dir/out/status")" 0 "$(<"$dir/out/errors")"
  contains "$(<"$dir/out/answer")" finished
}

in_docker() {
  host_with_vhost "$1" docker_vhost site php 'Command=docker-php-entrypoint php-fpm'
  slow_request /var/www/html
  power_off
}

natively() {
  host_with_vhost "$1" native_vhost site
  slow_request /srv/www/site
  power_off
}

@test "bookworm: a native vhost" { natively bookworm; }
@test "bookworm: a vhost in Docker" { in_docker bookworm; }
@test "trixie: a native vhost" { natively trixie; }
@test "trixie: a vhost in Docker" { in_docker trixie; }
