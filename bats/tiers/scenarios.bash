# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What the tiers are on every engine, as a table of scenarios. The file that loads it has
#
#   tiers_vhost LINE...   sets a vhost up, whose conf has the LINEs; sets $vhost, $unit (without
#                         suffix), $socket, $www (as this machine sees the site) and $site (as the
#                         server does)
#   freezer               prints the path of the cgroup that is frozen
#   processes             prints the pids of launcher and server
#   php_fpm_conf          prints the path of a configuration that php-fpm reads at its start
#   leftovers             prints what is left of the vhost: nothing, while it sleeps
#
# Spans are short, but what comes after a moment is always waited for.

far=1h # a tier that is not what the test is about

pages() {
  # The master answers for all its workers.
  echo '<?php echo "hello from ", posix_getppid();' >"$www/hello.php"
  echo '<?php echo explode(" ", file_get_contents("/proc/self/stat"))[21];' >"$www/started.php"
  echo '<?php echo "got ", strlen(file_get_contents("php://input"));' >"$www/post.php"
}

hello() { request "$socket" "$site/hello.php" "$@"; }
state_text() { systemctl show -P StatusText "$unit.service"; }
is_tier() { [[ $(state_text) == "$1"* ]]; }
is_hot() { is_tier 'Serving requests'; }
is_frozen() { is_tier 'Frozen since ' && grep -qx 'frozen 1' "$(freezer)/cgroup.events"; }
is_light() { is_tier 'Light since '; }
is_stopped() { is_state "$unit.service" inactive; }
main_pid() { systemctl show -P MainPID "$unit.service"; }
logged() { journal_of "$unit.service" | grep -qE -- "$1"; }
took_ms() { echo $(($(now_ms) - $1)); }

# What no tier may change.
socket_as_it_is() { socket_identity "$socket" && backlog "$socket"; }

# The vhost is hot, then as far down as that.
down_to() {
  contains "$(hello)" 'hello from '
  wait_for "is_$1"
}

# --- scenarios -----------------------------------------------------------------------------------

# Each cycle: the same server as ever.
hot_frozen_hot() {
  local before cycle first main
  tiers_vhost FreezeAfterSec=300ms LightAfterSec=infinity "StopAfterSec=$far"
  before=$(socket_as_it_is)
  first=$(hello)
  main=$(main_pid)
  for cycle in 1 2 3; do
    wait_for is_frozen
    is "$(hello)" "$first" "cycle $cycle"
  done
  is "$(main_pid)" "$main"
  is "$(socket_as_it_is)" "$before"
}

# The moment of each tier counts from the last request, and each has its own server afterwards.
all_the_way_down() {
  local before began cycle first
  tiers_vhost FreezeAfterSec=500ms LightAfterSec=1500ms StopAfterSec=3s
  before=$(socket_as_it_is)
  for cycle in 1 2; do
    first=$(hello)
    began=$(now_ms)
    wait_for is_frozen
    [ "$(took_ms "$began")" -ge 400 ] || fail "frozen after $(took_ms "$began") ms"
    wait_for is_light
    [ "$(took_ms "$began")" -ge 1400 ] || fail "light after $(took_ms "$began") ms"
    has_only_a_launcher || fail "it is light with processes $(processes)"
    wait_for is_stopped
    [ "$(took_ms "$began")" -ge 2900 ] || fail "stopped after $(took_ms "$began") ms"
    is "$(systemctl show -P Result "$unit.service")" success
    is "$(leftovers)" '' "what is left"
    is "$(socket_as_it_is)" "$before"
  done
}

has_only_a_launcher() {
  local pid
  while read -r pid; do
    [ "$(readlink "/proc/$pid/exe")" = /usr/lib/fpm-waker/fpm-launcher ] ||
      [ "$(cat "/proc/$pid/comm")" = fpm-launcher ] || return
  done < <(processes)
}

# A wake in the light tier: another server, in the same container.
light_wakes() {
  local cycle first main next before
  tiers_vhost FreezeAfterSec=200ms LightAfterSec=500ms "StopAfterSec=$far"
  before=$(wakes)
  first=$(hello)
  main=$(main_pid)
  for cycle in 1 2 3; do
    wait_for is_light
    next=$(hello)
    contains "$next" 'hello from ' "cycle $cycle"
    [ "$next" != "$first" ] || fail "cycle $cycle: the server was never stopped"
    first=$next
  done
  is "$(main_pid)" "$main" 'the light tier ended'
  # Each of them was a wake, of some milliseconds.
  is "$(wakes)" "$((${before% *} + 4)) 1"
  is "$(journal_of "$unit.service" | grep -c 'fpm-waker: ready after [0-9]* ms$')" 4
}

# How many there were since the boot, and 1 if the last one took as long as one may.
wakes() {
  fpm-waker status --json | php -r '
    foreach (json_decode(stream_get_contents(STDIN), true) as $v)
      if ($v["vhost"] === "tiers.example")
        exit("$v[wakes] " . ($v["last_wake_usec"] >= 1000 && $v["last_wake_usec"] < 20000000));
    echo "0 ";'
}

# A tier that would come no sooner than a later one does not come: seen by what systemd hears.
only_stops() {
  tiers_vhost FreezeAfterSec=500ms LightAfterSec=600ms StopAfterSec=500ms
  hello
  while is_state "$unit.service" active; do
    is_hot || is_tier 'Idle, stopping' || is_tier 'The server has ended' ||
      ! is_state "$unit.service" active || fail "$(state_text)"
  done
  wait_for is_stopped
}

# A service that nobody has asked yet needs no server with a light tier, and is there all the same.
started_by_hand() {
  tiers_vhost FreezeAfterSec=infinity "LightAfterSec=$far" StopAfterSec=2h
  systemctl start "$unit.service"
  is_light || fail "$(state_text)"
  has_only_a_launcher || fail 'more than the launcher runs'
  contains "$(hello)" 'hello from '
  is_hot || fail "$(state_text)"
}

stopped_by_idleness_without_a_request() {
  tiers_vhost FreezeAfterSec=infinity LightAfterSec=500ms StopAfterSec=1s
  systemctl start "$unit.service"
  wait_for is_stopped
  is "$(systemctl show -P Result "$unit.service")" success
  is "$(leftovers)" ''
}

# administered TIER: what systemctl does to a vhost in that tier.
administered() {
  local first began
  case $1 in
    frozen) tiers_vhost FreezeAfterSec=300ms LightAfterSec=infinity "StopAfterSec=$far" ;;
    light) tiers_vhost FreezeAfterSec=infinity LightAfterSec=300ms "StopAfterSec=$far" ;;
  esac

  down_to "$1"
  began=$(now_ms)
  systemctl stop "$unit.service"
  [ "$(took_ms "$began")" -lt 5000 ] || fail "stop took $(took_ms "$began") ms"
  is "$(systemctl show -P Result "$unit.service")" success 'the stop'
  is "$(leftovers)" '' 'left by the stop'

  down_to "$1"
  began=$(now_ms)
  systemctl restart "$unit.service"
  [ "$(took_ms "$began")" -lt 5000 ] || fail "restart took $(took_ms "$began") ms"
  contains "$(hello)" 'hello from ' 'after the restart'

  down_to "$1"
  first=$(main_pid)
  systemctl reload "$unit.service"
  contains "$(hello)" 'hello from ' 'after the reload'
  is "$(main_pid)" "$first" 'the reload ended it'

  down_to "$1"
  fpm-waker maintenance "$vhost" on
  wait_for is_tier 'In maintenance'
  contains "$(hello)" 'Status: 503'
  fpm-waker maintenance "$vhost" off
  wait_for is_up_again
}

is_up_again() { hello | grep -q 'hello from '; }

# The launcher of a light tier that is still to come ends with its server.
stopped_while_hot() {
  local began
  tiers_vhost FreezeAfterSec=infinity "LightAfterSec=$far" StopAfterSec=2h
  hello
  began=$(now_ms)
  systemctl stop "$unit.service"
  [ "$(took_ms "$began")" -lt 5000 ] || fail "stop took $(took_ms "$began") ms"
  is "$(systemctl show -P Result "$unit.service")" success
  is "$(leftovers)" ''
}

# The reload of a frozen server is in force when systemctl returns.
reloaded_while_frozen() {
  local now
  tiers_vhost FreezeAfterSec=300ms LightAfterSec=infinity "StopAfterSec=$far"
  down_to frozen
  now=$(awk '{ printf "%d", $1 * 100 }' /proc/uptime) # in the kernel's ticks
  systemctl reload "$unit.service"
  [ "$(request "$socket" "$site/started.php" | tail -n 1)" -ge "$now" ] ||
    fail 'a worker of before the reload'
  wait_for is_frozen
}

# killed_while TIER: kill -9 of fpm-waker.
killed_while() {
  local cycle waker
  tiers_vhost FreezeAfterSec=300ms LightAfterSec=600ms "StopAfterSec=$far"
  [ "$1" = light ] || sed -i 's/^LightAfterSec=.*/LightAfterSec=infinity/' "/etc/fpm-waker/$vhost.conf"
  for cycle in 1 2; do
    down_to "$1"
    waker=$(main_pid)
    kill -KILL "$waker"
    wait_for is_gone "$waker"
    contains "$(hello)" 'hello from ' "cycle $cycle"
  done
  systemctl stop "$unit.socket" "$unit.service"
  is "$(leftovers)" '' 'what is left'
}

# A client that keeps its connection without using it does not keep the vhost from being frozen.
kept_connection() {
  tiers_vhost FreezeAfterSec=300ms LightAfterSec=infinity "StopAfterSec=$far"
  start client "$fastcgi" --keep-conn --linger=60 "$socket" "$site/hello.php"
  wait_for is_frozen
}

# A request that is silent for longer than the spans is not cut off, and not frozen.
long_request() {
  tiers_vhost FreezeAfterSec=200ms LightAfterSec=400ms "StopAfterSec=$far"
  echo '<?php sleep(2); echo "slept";' >"$www/sleep.php"
  start client "$fastcgi" "$socket" "$site/sleep.php"
  wait "$pid" || fail "$(cat "$dir/client.log")"
  contains "$(cat "$dir/client.log")" slept
  wait_for is_light
}

# By its files, as runc and crun do: a whole span is left.
thawed_by_somebody() {
  local since
  tiers_vhost FreezeAfterSec=3s LightAfterSec=infinity "StopAfterSec=$far"
  down_to frozen
  since=$(now_ms)
  echo 0 >"$(freezer)/cgroup.freeze"
  wait_for is_hot
  wait_for is_frozen
  [ "$(took_ms "$since")" -ge 3000 ] || fail "frozen again after $(took_ms "$since") ms"
}

# A wake that fails in the light tier: its reason is in the journal, and requests get their answer.
failing_wake() {
  tiers_vhost FreezeAfterSec=infinity LightAfterSec=300ms "StopAfterSec=$far" RetryLimit=200ms
  down_to light
  echo nonsense >>"$(php_fpm_conf)"
  wait_for is_unavailable
  logged 'the server ended with status 78' || fail 'the reason is not in the journal'
  sed -i /nonsense/d "$(php_fpm_conf)"
  wait_for is_up_again
}

is_unavailable() { hello | grep -q 'Status: 503'; }

# Requests, a POST each, at the moment of the freeze.
posts_at_the_freeze() {
  tiers_vhost FreezeAfterSec=50ms LightAfterSec=infinity "StopAfterSec=$far"
  hello
  run "$fastcgi" --clients=6 --between=0.0497 --duration=15 --body-size=20000 --expect='got 20000' \
    "$socket" "$site/post.php"
  is "$status" 0 "$output"
  echo "# $output" >&3
}

# The time to the first byte of the answer of 200 requests, each after a freeze.
thaw_latency() {
  local p50 p99
  tiers_vhost FreezeAfterSec=20ms LightAfterSec=infinity "StopAfterSec=$far"
  hello
  wait_for is_frozen
  "$fastcgi" --print-request "$socket" "$site/hello.php" |
    python3 "$tree/bats/bench/first-byte.py" 200 "$socket" frozen "$(freezer)" | sort -n >"$dir/usec"
  p50=$(sed -n 101p "$dir/usec") p99=$(sed -n 199p "$dir/usec")
  echo "# thaw to first byte, 200 times: p50 $p50 us, p99 $p99 us, longest $(tail -n 1 "$dir/usec") us" >&3
  # An order of magnitude: the machine may be busy.
  [ "${p50%.*}" -lt 10000 ] || fail "$(cat "$dir/usec")"
}
