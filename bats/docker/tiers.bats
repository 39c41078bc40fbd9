#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A vhost in Docker on its way down, tier by tier, and up again.

load ../helpers
load ../tiers/scenarios

setup_file() { load_image php; }
setup() { start_test; }

teardown() {
  if [ -z "${BATS_TEST_COMPLETED:-}" ]; then
    systemctl status --no-pager 'fpm-waker@*.service' || true
    journal_of "$unit.service" | tail -n 30 || true
  fi
  remove_vhosts tiers.example
  rm -f /etc/fpm-waker/tiers.example.maintenance
  [ -z "$(docker ps -aq)" ] || docker ps -aq | xargs docker rm -f
  end_test
}

tiers_vhost() {
  vhost=tiers.example
  : >"$dir/zzz.conf"
  docker_vhost "$vhost" php 'Command=docker-php-entrypoint php-fpm' \
    "Volume=$dir/zzz.conf:/usr/local/etc/php-fpm.d/zzz.conf" "$@"
  unit=fpm-waker@$vhost
  socket=$(vhost_socket "$vhost")
  www=/srv/www/$vhost
  site=/var/www/html
  pages
}

container=fpm-waker-tiers.example
freezer() {
  echo "/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$(docker inspect -f '{{.State.Pid}}' "$container")/cgroup")"
}
processes() { cat "$(freezer)/cgroup.procs"; }
php_fpm_conf() { echo "$dir/zzz.conf"; }
leftovers() {
  docker ps --format '{{.Names}}'
  ls "/run/fpm-waker-handover/$vhost"
}

@test "hot, frozen, hot: the same server each time, nothing changes at the socket" { hot_frozen_hot; }
@test "frozen, light, stopped: each at its time, and nothing is left" { all_the_way_down; }
@test "light wakes in the same container" { light_wakes; }
@test "a tier that would come no sooner than a later one is left out" { only_stops; }
@test "a start by hand is light at once, without a server" { started_by_hand; }
@test "a start by hand ends after its time, too" { stopped_by_idleness_without_a_request; }
@test "systemctl stop, restart, reload and maintenance while frozen" { administered frozen; }
@test "systemctl stop, restart, reload and maintenance while light" { administered light; }
@test "systemctl stop while hot ends a resident launcher, too" { stopped_while_hot; }
@test "a reload while frozen is done when systemctl returns" { reloaded_while_frozen; }
@test "kill -9 of fpm-waker while frozen: the next request is served, nothing is left" { killed_while frozen; }
@test "kill -9 of fpm-waker while light: the next request is served, nothing is left" { killed_while light; }
@test "a kept-alive connection does not keep it hot" { kept_connection; }
@test "a long silent request does" { long_request; }
@test "somebody else thaws it: a whole span is left" { thawed_by_somebody; }
@test "a wake that fails: 503 with the reason in the journal, until it is repaired" { failing_wake; }
@test "POSTs at the moment of the freeze: none is lost" { posts_at_the_freeze; }
@test "the first byte after a thaw, 200 times" { thaw_latency; }

# --- what only Docker can do ---------------------------------------------------------------------

# ends_by VERB...: while frozen, and the next request is served.
ends_by() {
  local began
  tiers_vhost FreezeAfterSec=300ms LightAfterSec=infinity "StopAfterSec=$far"
  down_to frozen
  began=$(now_ms)
  docker "$@" "$container" >/dev/null
  [ "$(took_ms "$began")" -lt 8000 ] || fail "docker $1 took $(took_ms "$began") ms"
  contains "$(hello)" 'hello from '
  wait_for is_frozen
}

@test "docker stop while frozen" { ends_by stop; }
@test "docker restart while frozen" { ends_by restart; }
@test "docker rm -f while frozen" { ends_by rm -f; }
@test "docker kill while frozen" { ends_by kill; }
@test "docker start while frozen is nothing" { ends_by start; }

@test "docker rm -f while light" {
  tiers_vhost FreezeAfterSec=infinity LightAfterSec=300ms "StopAfterSec=$far"
  down_to light
  docker rm -f "$container" >/dev/null
  contains "$(hello)" 'hello from '
}

@test "docker stop while light" {
  local began
  tiers_vhost FreezeAfterSec=infinity LightAfterSec=300ms "StopAfterSec=$far"
  down_to light
  began=$(now_ms)
  docker stop "$container" >/dev/null
  [ "$(took_ms "$began")" -lt 5000 ] || fail "it took $(took_ms "$began") ms"
  contains "$(hello)" 'hello from '
}

@test "docker pause and unpause while frozen: whatever they do, the next request is served" {
  tiers_vhost FreezeAfterSec=300ms LightAfterSec=infinity "StopAfterSec=$far"
  down_to frozen
  docker pause "$container" 2>&1 | sed 's/^/# pause: /' >&3 || true
  docker unpause "$container" 2>&1 | sed 's/^/# unpause: /' >&3 || true
  contains "$(hello)" 'hello from '
  wait_for is_frozen
  contains "$(hello)" 'hello from '
}

@test "a connection to a hot container that somebody else has paused is left alone" {
  tiers_vhost FreezeAfterSec=2s LightAfterSec=infinity "StopAfterSec=$far"
  hello
  docker pause "$container" >/dev/null
  start client "$fastcgi" --expect=hello "$socket" "$site/hello.php"
  sleep 5 # two spans and more
  is "$(queue_length "$socket")" 1
  grep -qx 'frozen 1' "$(freezer)/cgroup.events" || fail 'it was thawed'
  is_hot || fail "$(state_text)"
  docker unpause "$container" >/dev/null
  wait "$pid" || fail "$(cat "$dir/client.log")"
  wait_for is_frozen
}
