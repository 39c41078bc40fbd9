#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A vhost that cannot start, the same in every engine: each request gets a 503 at once, and is served once
# the cause is gone. Nobody has to reset anything. (What is Docker's alone: bats/docker/failing.bats.)

load ../helpers
load ../unavailable
load ../podman/podman
load engines

setup_file() { prepare_engines; }

setup() {
  start_test
  began=$EPOCHREALTIME
}

teardown() {
  remove_engine_vhost
  end_test
}

# What is wrong, for the engines of that row: the conf's line that says so, and the reason in the log. All
# else of the conf is as it is.
causes=(
  'docker | Image=no-such-image | the image is missing: .*no-such-image'
  'podman rootless | Image=localhost/no-such-image | the image is missing: .*no-such-image'
  'nspawn | Directory=/no-such-tree | systemd-nspawn ended with status 1 before fpm-launcher had the sockets: .*/no-such-tree'
  'native | Command=/no-such-program | .*/fpm-launcher ended with status 127 before fpm-launcher had the sockets: .*/no-such-program'
  'docker podman rootless nspawn native | Command=php-fpm --no-such-option | the server ended with status 64 before it took requests: .*'
  'docker podman rootless nspawn native | Command=sh -c "exit 3" | the server ended with status 3 before it took requests.*'
  'docker podman rootless nspawn native | Nonsense=yes | .*: Nonsense: unknown key'
)

# fails_and_is_repaired ENGINE
fails_and_is_repaired() {
  local cause engines line reason good before
  engine_vhost "$1" StopAfterSec=infinity
  before=$(socket_identity "$socket" && backlog "$socket")
  good=$(cat "$conf")
  for cause in "${causes[@]}"; do
    IFS='|' read -r engines line reason <<<"${cause// | /|}"
    [[ " $engines " == *" $engine "* ]] || continue
    began=$EPOCHREALTIME
    {
      grep -v "^${line%%=*}=" <<<"$good"
      echo "$line"
    } >"$conf"
    script=$scripts/hello.php
    contains "$(hello)" 'Status: 503 Service Unavailable' "$line"
    unavailable '[12]'
    wait_for says_next_attempt_in 2
    unavailable '[12]'
    # Once for both attempts.
    is "$(journal | grep -c "^fpm-waker: $reason")" 1 "$line: $(journal)"
    printf '%s\n' "$good" >"$conf"
    wait_for -t 10 served
    wait_for not responder
    is "$(socket_identity "$socket" && backlog "$socket")" "$before" "the socket changed"
    manager stop "$unit.service"
    is "$(manager show -P Result "$unit.service")" success "$line"
    wait_for -t 10 nothing_remains || fail "$line: $(remains)"
  done
}

says_next_attempt_in() { [[ $(status_text) == "Failing: "*"; next attempt in $1 s" ]]; }

@test "docker: whatever is wrong, requests are answered until it is repaired" { fails_and_is_repaired docker; }
@test "podman: whatever is wrong, requests are answered until it is repaired" { fails_and_is_repaired podman; }
@test "rootless podman: whatever is wrong, requests are answered until it is repaired" { fails_and_is_repaired rootless; }
@test "nspawn: whatever is wrong, requests are answered until it is repaired" { fails_and_is_repaired nspawn; }
@test "native: whatever is wrong, requests are answered until it is repaired" { fails_and_is_repaired native; }
