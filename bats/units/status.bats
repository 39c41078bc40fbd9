#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# fpm-waker status: all vhosts, in every state, whatever they do to it; and it does nothing to them.

load ../helpers
load native
load status

setup() {
  start_test
  vhosts=()
}

teardown() {
  if [ -z "${BATS_TEST_COMPLETED:-}" ]; then
    fpm-waker status || true
    journalctl -q --no-pager -n 20 -u 'fpm-waker*' || true
  fi
  [ ! -d /srv/www/busy.example ] || touch /srv/www/busy.example/go
  systemctl stop nonsense.service wrapped.socket wrapped.service 2>/dev/null || true
  rm -rf /run/fpm-waker-status/{nonsense,wrapped} /run/systemd/system/wrapped.*
  remove_many
  remove_vhosts docker.example
  rm -f /etc/fpm-waker/{off,unit-less}.example.conf
  systemctl daemon-reload
  end_test
}

# Of all vhosts: what a table of states expects, a line each.
tiers() {
  fpm-waker status --json | php -r '
    foreach (json_decode(stream_get_contents(STDIN), true, 8, JSON_THROW_ON_ERROR) as $v)
      echo "$v[vhost] $v[tier] ", $v["why"] ?? "-", " ", $v["unit"] ?? "-", "\n";'
}

# pause_in_request: the current vhost has one request, until $dir/go is there.
pause_in_request() {
  cat >"$www/pause.php" <<PHP
<?php
touch(session_save_path() . '/begun');
while (!file_exists('/srv/www/$vhost/go')) { usleep(20000); clearstatcache(); }
echo 'paused';
PHP
  start "pause-$vhost" "$fastcgi" --timeout=100 "$socket" "$www/pause.php"
  wait_for test -e "/var/lib/private/fpm-waker/$vhost/begun"
}

@test "every state, with its reason and its unit" {
  local expected

  many busy.example StopAfterSec=infinity
  pause_in_request
  many failing.example RetryLimit=1h
  sed -i 's/^pm = .*/pm = nonsense/' /etc/fpm-waker/failing.example.php-fpm.conf
  contains "$(hello)" 'Status: 503'
  many gave-up.example RetryLimit=100ms
  sed -i 's/^pm = .*/pm = nonsense/' /etc/fpm-waker/gave-up.example.php-fpm.conf
  contains "$(hello)" 'Status: 503'
  wait_for is_state "$unit.service" failed
  many idle.example StopAfterSec=1h
  contains "$(hello)" hello
  many maintained-asleep.example
  fpm-waker maintenance maintained-asleep.example on
  many maintained.example
  fpm-waker maintenance maintained.example on
  contains "$(hello)" 'Status: 503'
  many programs.example StopAfterSec=10ms
  echo '<?php exec("sleep 1000 >/dev/null 2>&1 &");' >"$www/leave.php"
  request "$socket" "$www/leave.php"
  many slept.example StopAfterSec=10ms
  contains "$(hello)" hello
  many slow-start.example
  sed -i "s|^Command=.*|Command=sleep 1000|" /etc/fpm-waker/slow-start.example.conf
  systemctl start --no-block "$unit.service"
  many stopped.example
  printf '%s\n' Engine=native Command=php-fpm >/etc/fpm-waker/off.example.conf
  docker_vhost docker.example php
  of slept.example

  wait_for sleeps_natively
  wait_for is_why programs.example 'programs of requests run'
  wait_for is_why slow-start.example 'Waiting for the server to take requests'
  expected="busy.example hot a request runs fpm-waker-native@busy.example.service
docker.example stopped - fpm-waker@docker.example.service
failing.example failing the server ended with status 78 before it took requests: \
$(value failing.example why | sed 's/^.*before it took requests: //') fpm-waker-native@failing.example.service
gave-up.example failing its last run ended with exit-code, status 78 fpm-waker-native@gave-up.example.service
idle.example hot idle fpm-waker-native@idle.example.service
maintained-asleep.example maintenance - fpm-waker-native@maintained-asleep.example.service
maintained.example maintenance - fpm-waker-native@maintained.example.service
off.example off - -
programs.example hot programs of requests run fpm-waker-native@programs.example.service
slept.example stopped - fpm-waker-native@slept.example.service
slow-start.example starting Waiting for the server to take requests fpm-waker-native@slow-start.example.service
stopped.example stopped - fpm-waker-native@stopped.example.service"
  is "$(tiers)" "$expected"

  run -0 fpm-waker status
  is "${#lines[@]}" 13 "lines: a heading, and one for each vhost"
  matches "${lines[0]}" '^VHOST +TIER +FOR +SLEEPS IN +REQUESTS +WAKES +LAST WAKE +MEDIAN +MEMORY +WHY$'
  matches "${lines[5]}" '^idle.example +hot +[0-9]+m?s +59min [0-9]+s +1 +1 +[0-9]+m?s +[0-9]+m?s +[0-9.]+M +idle$'
  matches "${lines[12]}" '^stopped.example +stopped +[0-9]+m?s +- +0 +0 +- +- +- +-$'

  touch /srv/www/busy.example/go
  wait_for is_why busy.example idle
  contains "$(cat "$dir/pause-busy.example.log")" paused
}

@test "reading wakes nothing, and renews no idle time" {
  local before idle sleep

  many asleep.example
  many awake.example StopAfterSec=1h
  contains "$(hello)" hello
  before=$(systemctl show -P ActiveState -P InactiveEnterTimestampMonotonic fpm-waker-native@asleep.example.service)
  idle=$(value awake.example idle_usec)
  sleep=$(value awake.example sleep_usec)
  for _ in {1..20}; do
    fpm-waker status
    fpm-waker status asleep.example
  done
  is "$(systemctl show -P ActiveState -P InactiveEnterTimestampMonotonic fpm-waker-native@asleep.example.service)" "$before"
  is "$(value asleep.example tier) $(value asleep.example wakes)" 'stopped 0'
  # Two clocks are compared for it: to the millisecond, it is the same.
  near "$(value awake.example idle_usec)" "$idle"
  near "$(value awake.example sleep_usec)" "$sleep"
  near "$sleep" $((idle + 3600000000))
  is "$(value awake.example requests)" 1

  many soon.example StopAfterSec=1s
  contains "$(hello)" hello
  wait_for eval 'fpm-waker status && sleeps_natively'
}

near() {
  local difference=$(($1 - $2))
  [ "${difference#-}" -lt 1000 ] || fail "not the same time: $1 and $2"
}

@test "requests, wakes and their times outlive each sleep" {
  local last

  many count.example StopAfterSec=10ms
  for _ in 1 2 3; do
    contains "$(hello)" hello
    wait_for sleeps_natively
  done
  is "$(value count.example requests) $(value count.example wakes)" '3 3'
  last=$(value count.example last_wake_usec)
  [ "$last" -gt 1000 ] && [ "$last" -lt 30000000 ] || fail "the last wake took $last us"
  is "$(value count.example memory_bytes)" null
  # kill -9 takes the requests of this run with it, but for one that was there when the file was
  # written, and nothing else.
  sed -i 's/^StopAfterSec=.*/StopAfterSec=1h/' /etc/fpm-waker/count.example.conf
  contains "$(hello)" hello
  is "$(value count.example requests) $(value count.example wakes)" '4 4'
  [ "$(value count.example memory_bytes)" -gt 1000000 ] || fail "memory: $(value count.example memory_bytes)"
  kill -KILL "$(main_pid)"
  wait_for eval '! runs_natively'
  matches "$(value count.example requests) $(value count.example wakes)" '^[34] 4$'
}

# last LINE...: the file that a run of wrapped.service has left.
last() {
  mkdir -p /run/fpm-waker-status/wrapped
  rm -rf /run/fpm-waker-status/wrapped/last
  printf '%s\n' "$@" >/run/fpm-waker-status/wrapped/last
}

counts() { echo "$(value wrapped requests) $(value wrapped wakes) $(value wrapped last_wake_usec) $(value wrapped median_wake_usec)"; }

@test "whatever is in the file of the last run" {
  local i
  local -a wakes

  last requests=7 wakes=4 wake_usec=10 wake_usec=80 wake_usec=20 wake_usec=40 end=1
  is "$(counts)" '7 4 40 30'
  last requests=7 wakes=3 wake_usec=10 wake_usec=80 wake_usec=20 end=1
  is "$(counts)" '7 3 20 20'
  # Of too many, the newest.
  for i in {1..40}; do wakes+=("wake_usec=$i"); done
  last wakes=40 "${wakes[@]}" end=1
  is "$(counts)" '0 40 40 24'
  last requests=-1 wakes=99999999999999999999 wake_usec=x nonsense=1 =1 x requests end=1
  is "$(counts)" '0 0 null null'
  last $'why=\e[31m\x01"\\\xff' unit=no-such.service tier=hot since_usec=5 end=1
  is "$(counts)" '0 0 null null'
  is "$(value wrapped tier) $(value wrapped unit) $(value wrapped since_usec)" 'off no-such.service null'
  last requests=7 # cut off
  is "$(counts)" '0 0 null null'
  last ''
  is "$(counts)" '0 0 null null'
  head -c 100000 /dev/urandom >/run/fpm-waker-status/wrapped/last
  is "$(counts)" '0 0 null null'
  printf 'requests=7\0\nend=1\n' >/run/fpm-waker-status/wrapped/last
  is "$(counts)" '0 0 null null'
  rm /run/fpm-waker-status/wrapped/last
  mkfifo /run/fpm-waker-status/wrapped/last
  is "$(counts)" '0 0 null null'
  rm /run/fpm-waker-status/wrapped/last
  mkdir /run/fpm-waker-status/wrapped/last
  is "$(counts)" '0 0 null null'
  rmdir /run/fpm-waker-status/wrapped/last
  ln -s /dev/zero /run/fpm-waker-status/wrapped/last
  is "$(counts)" '0 0 null null'
}

# talks TEXT: a service whose main process answers that at its status socket.
talks() {
  systemctl stop nonsense.service 2>/dev/null || true
  mkdir -p /run/fpm-waker-status/nonsense
  rm -f /run/fpm-waker-status/nonsense/socket
  printf '%s\n' unit=nonsense.service end=1 >/run/fpm-waker-status/nonsense/last
  printf '%s' "$1" >"$dir/text"
  systemd-run -q --unit=nonsense --collect \
    socat UNIX-LISTEN:/run/fpm-waker-status/nonsense/socket,fork "${2:-OPEN:$dir/text}"
  wait_for test -S /run/fpm-waker-status/nonsense/socket
}

@test "whatever is said at a status socket, also nothing" {
  local text

  many good.example StopAfterSec=1h
  contains "$(hello)" hello
  for text in '' nonsense $'tier=hot\n' $'tier=hot\nend=1' "$(head -c 9000 /dev/zero | tr '\0' x)"$'\nend=1\n'; do
    talks "$text"
    run -1 --separate-stderr fpm-waker status
    is "$stderr" 'fpm-waker: nonsense: answers nonsense' "${text:0:20}"
    matches "$output" '(^|'$'\n'')good.example +hot '
    matches "$output" '(^|'$'\n'')nonsense +unknown .* answers nonsense($|'$'\n'')'
  done

  # Control characters and broken UTF-8 reach neither the terminal nor the JSON.
  talks $'tier=hot\nwhy=\e[31m"\\ \xc3\xa4 \xff \xc3\nend=1\n'
  run -0 fpm-waker status nonsense --json
  contains "$output" '"why":"?[31m\"\\ ä \ufffd \ufffd"'
  is "$(value nonsense why)" $'?[31m"\\ ä \xef\xbf\xbd \xef\xbf\xbd'
  run -0 fpm-waker status nonsense
  lacks "$output" $'\e'

  # One that listens, but is not the service's main process.
  talks ''
  rm /run/fpm-waker-status/nonsense/socket
  start other socat UNIX-LISTEN:/run/fpm-waker-status/nonsense/socket,fork OPEN:/dev/null
  wait_for test -S /run/fpm-waker-status/nonsense/socket
  run -1 --separate-stderr fpm-waker status
  is "$stderr" 'fpm-waker: nonsense: another process listens at its status socket'

  # Silent, for ever.
  talks '' 'EXEC:sleep 1000'
  run -1 --separate-stderr fpm-waker status nonsense
  is "$stderr" 'fpm-waker: nonsense: does not answer'
}

@test "some that hang cost two seconds together, and the others are shown" {
  local name began took

  for name in hung-1.example hung-2.example hung-3.example hung-4.example well.example; do
    many "$name" StopAfterSec=1h
    contains "$(hello)" hello
  done
  for name in hung-{1..4}.example; do
    of "$name"
    kill -STOP "$(main_pid)"
  done
  began=$(now_ms)
  run -1 --separate-stderr fpm-waker status
  took=$(($(now_ms) - began))
  [ "$took" -lt 6000 ] || fail "it took $took ms"
  is "$stderr" "fpm-waker: hung-1.example: does not answer
fpm-waker: hung-2.example: does not answer
fpm-waker: hung-3.example: does not answer
fpm-waker: hung-4.example: does not answer"
  matches "$output" 'well.example +hot .* idle$'
  matches "$output" 'hung-4.example +unknown .* [01] +1 .* does not answer'
  for name in hung-{1..4}.example; do
    of "$name"
    kill -CONT "$(main_pid)"
  done
  wait_for is_tier hung-1.example hot
}

@test "somebody who connects and does not read, a hundred times, holds up neither requests nor the sleep" {
  many silent.example StopAfterSec=1s
  contains "$(hello)" hello
  start silent bash -c 'for i in {1..100}; do socat -u PIPE UNIX-CONNECT:/run/fpm-waker-status/silent.example/socket & done; wait'
  contains "$(hello)" hello
  wait_for sleeps_natively
  is "$(systemctl show -P Result "$unit.service")" success
}

@test "sixty vhosts asleep, in one table" {
  local name

  for name in crowd-{100..159}; do
    mkdir -p /etc/fpm-waker
    printf '%s\n' Engine=native Command=php-fpm >"/etc/fpm-waker/$name.conf"
    vhosts+=("$name")
  done
  systemctl start fpm-waker-native@crowd-{100..159}.socket
  is "$(tiers)" "$(for name in crowd-{100..159}; do
    echo "$name stopped - fpm-waker-native@$name.service"
  done)"
}

@test "a service of one's own that runs fpm-waker, with another name than its vhost" {
  docker_vhost docker.example php # for the image
  systemctl stop fpm-waker@docker.example.socket
  printf '%s\n' '[Socket]' ListenStream=/run/wrapped.sock FileDescriptorName=www >/run/systemd/system/wrapped.socket
  local words='docker run --rm --name wrapped --network=none -v /usr/lib/fpm-waker:/fpm-waker:ro'
  words+=' -v /run/fpm-waker-handover/wrapped:/fpm-waker/run:ro'
  words+=' -v /srv/www/docker.example:/var/www/html:ro'
  words+=' --entrypoint /fpm-waker/fpm-launcher php --exit-idle-time=1s -- php-fpm'
  printf '%s\n' '[Service]' Type=notify KillMode=mixed \
    "ExecStart=fpm-waker run --vhost=wrapped -- $words" >/run/systemd/system/wrapped.service
  echo '<?php echo "hello";' >/srv/www/docker.example/hello.php
  systemctl daemon-reload
  systemctl start wrapped.socket
  contains "$(request /run/wrapped.sock /var/www/html/hello.php)" hello
  is "$(value wrapped unit) $(value wrapped tier) $(value wrapped wakes)" 'wrapped.service hot 1'
  # php-fpm, fpm-waker and docker: those of both cgroups.
  [ "$(value wrapped memory_bytes)" -gt 10000000 ] || fail "memory: $(value wrapped memory_bytes)"
  wait_for is_state wrapped.service inactive
  is "$(value wrapped unit) $(value wrapped tier) $(value wrapped requests)" 'wrapped.service stopped 1'
  is "$(tiers | grep -v docker)" 'wrapped stopped - wrapped.service'
  # Its counts outlive it, but not in the table.
  systemctl stop wrapped.socket
  rm /run/systemd/system/wrapped.*
  systemctl daemon-reload
  lacks "$(tiers)" wrapped
}

@test "who is not root is told so, vhost by vhost" {
  docker_vhost docker.example php StopAfterSec=1h
  echo '<?php echo "hello";' >/srv/www/docker.example/hello.php
  contains "$(request "$(vhost_socket docker.example)" /var/www/html/hello.php)" hello
  run -1 --separate-stderr setpriv --reuid=nobody --clear-groups fpm-waker status docker.example
  is "$stderr" 'fpm-waker: docker.example: only root may ask it'
  matches "$output" 'Tier: unknown since '
}

# answers STATUS LINE WORD...: a line of text for it.
answers() {
  run "-$1" fpm-waker status "${@:3}"
  is "$output" "$2"
}

@test "a user's vhosts, also those of a user who is not root" {
  local name=users.example
  # shellcheck source=bats/podman/podman.bash
  . "$tree/bats/podman/podman.bash"
  owner=user
  make_user
  as_owner mkdir -p /home/waker/.config/fpm-waker
  as_owner cp /usr/share/fpm-waker/examples/podman.conf "/home/waker/.config/fpm-waker/$name.conf"
  manager start "fpm-waker-podman@$name.socket"
  run -0 as_owner fpm-waker status --user --json
  contains "$output" "[{\"vhost\":\"$name\",\"unit\":\"fpm-waker-podman@$name.service\",\"tier\":\"stopped\","
  manager stop "fpm-waker-podman@$name.socket"
  run -0 as_owner fpm-waker status --user --json "$name"
  contains "$output" '"tier":"off"'
  rm -rf /home/waker/.config/fpm-waker
}

@test "wrong words" {
  answers 7 'fpm-waker: unknown vhost: none.example' none.example
  answers 7 'fpm-waker: unknown vhost: none.example' none.example --json
  answers 2 'fpm-waker: not the name of a vhost: "../x": letters, digits, and - _ . behind the first' ../x
  answers 2 'fpm-waker: wrong option --nonsense, see fpm-waker status --help' --nonsense
  answers 2 'fpm-waker: one vhost, or none for all: b' a b
  answers 0 '[]' --json
}
