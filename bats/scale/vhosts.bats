#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A web host with 200 vhosts, native ones and containers of Docker and podman, most of them asleep:
# they wake in random order under load, and each request is answered. Prints what a vhost costs.

load ../helpers

rounds=3
at_once=16

# ENGINE HOW-MANY, and what the vhosts of an engine are called.
engines=('native 120' 'docker 60' 'podman 20')
declare -gA unit_of=([native]=fpm-waker-native@ [docker]=fpm-waker@ [podman]=fpm-waker-podman@)

# each COMMAND...: for each vhost, with its engine and its name.
each() {
  local entry engine n
  for entry in "${engines[@]}"; do
    engine=${entry% *}
    for ((n = 1; n <= ${entry#* }; n++)); do
      "$@" "$engine" "$engine-$n.example.com"
    done
  done
}

setup_file() {
  start_test
  load_image php
  load_image php podman
  mkdir -p /etc/fpm-waker
  each write_vhost
  each_socket start
}

teardown_file() {
  each_socket stop
  each remove_vhost
  end_test
}

setup() { start_test; }
teardown() { end_test; }

write_vhost() {
  mkdir -p "/srv/www/$2"
  echo "<?php echo 'this is $2';" >"/srv/www/$2/index.php"
  {
    echo "Engine=$1"
    echo StopAfterSec=1min
    case $1 in
      native)
        echo "Command=/usr/sbin/php-fpm -F -y /etc/fpm-waker/$2.php-fpm.conf"
        sed "s/my-site\.example\.com/$2/g" /usr/share/fpm-waker/examples/native.php-fpm.conf \
          >"/etc/fpm-waker/$2.php-fpm.conf"
        ;;
      docker) printf '%s\n' Image=php "Volume=/srv/www/$2:/srv/www/$2:ro" ;;
      podman) printf '%s\n' Image=localhost/php "Volume=/srv/www/$2:/srv/www/$2:ro" ;;
    esac
  } >"/etc/fpm-waker/$2.conf"
}

remove_vhost() {
  rm -rf "/etc/fpm-waker/$2".* "/srv/www/$2" "/var/lib/private/fpm-waker/$2"
  [ "$1" != docker ] || docker rm -f "fpm-waker-$2" >/dev/null 2>&1 || true
}
units() { each unit_named "$1"; }
unit_named() { echo "${unit_of[$2]}$3.$1"; }
each_socket() { units socket | xargs systemctl "$1"; }

# The vhosts that are awake.
awake() { systemctl list-units 'fpm-waker*@*.service' --state=active,activating,reloading,deactivating --no-legend; }
all_sleep() { [ -z "$(awake)" ]; }

# ask ENGINE NAME: prints "ENGINE MILLISECONDS ANSWER".
ask() {
  local began answer
  began=$(now_ms)
  answer=$("$fastcgi" --timeout=120 "/run/fpm-waker/$2.sock" "/srv/www/$2/index.php" 2>&1 | tail -n 1)
  echo "$1 $(($(now_ms) - began)) $answer"
}
export -f ask now_ms

say() { echo "# $*" >&3; }

@test "200 vhosts wake in random order under load: every request is answered" {
  local round
  is "$(units service | wc -l)" 200
  all_sleep
  for ((round = 0; round < rounds; round++)); do
    each echo
  done | shuf >"$dir/order"
  xargs -P "$at_once" -L 1 bash -c 'ask "$@"' ask <"$dir/order" >"$dir/answers"
  is "$(cut -d' ' -f3- "$dir/answers" | sort | uniq -c | awk '{ print $1, $2, $3, $4 }')" \
    "$(each wanted | sort -k 2)"
  say "$((200 * rounds)) requests in random order, $at_once at once; milliseconds until the answer:"
  for engine in native docker podman; do
    say "$(awk -v engine="$engine" '$1 == engine { print $2 }' "$dir/answers" | sort -n | awk -v engine="$engine" '
      { v[NR] = $1 } END { printf "%-7s median %5d, longest %5d", engine, v[int((NR + 1) / 2)], v[NR] }')"
  done
}
wanted() { echo "$rounds this is $2"; }

@test "all of them awake at once, and what they cost" {
  local entry engine
  each echo | shuf | xargs -P "$at_once" -L 1 bash -c 'ask "$@"' ask >"$dir/answers"
  is "$(wc -l <"$dir/answers")" 200
  say "processes of a vhost that is awake, MB (PSS):"
  costs >"$dir/costs"
  for entry in "${engines[@]}"; do
    engine=${entry% *}
    say "$(awk -v engine="$engine" '$1 == engine { sum += $2; seen[$3] = 1 }
      END { for (name in seen) n++; printf "%-7s %5.1f on average, %d awake", engine, n ? sum / n / 1024 : 0, n }' "$dir/costs")"
  done
}

# Prints "ENGINE KILOBYTES VHOST" for each process of a vhost. Docker's are in cgroups and have command
# lines that name their container.
costs() {
  local process cgroup vhost
  declare -A vhost_of=()
  while read -r container vhost; do
    vhost_of[$container]=$vhost
  done < <(docker ps --no-trunc --format '{{.ID}} {{.Names}}')
  for process in /proc/[0-9]*; do
    cgroup=$(cat "$process/cgroup" "$process/cmdline" 2>/dev/null | tr -d '\0') || continue
    vhost=
    if [[ $cgroup =~ fpm-waker-(native|podman)@([a-z0-9.-]*)\.service ]]; then
      vhost="${BASH_REMATCH[1]} ${BASH_REMATCH[2]}"
    elif [[ $cgroup =~ fpm-waker@([a-z0-9.-]*)\.service ]]; then
      vhost="docker ${BASH_REMATCH[1]}"
    elif [[ $cgroup =~ [0-9a-f]{64} ]] && [ -n "${vhost_of[${BASH_REMATCH[0]}]:-}" ]; then
      vhost="docker ${vhost_of[${BASH_REMATCH[0]}]#fpm-waker-}"
    fi
    [ -z "$vhost" ] || awk -v vhost="$vhost" '/^Pss:/ { split(vhost, v, " "); print v[1], $2, v[2] }' \
      "$process/smaps_rollup" 2>/dev/null || true
  done
}

@test "all of them sleep again, and nothing is left" {
  wait_for -t 120 all_sleep
  is "$(docker ps -q)" ''
  is "$(podman ps -q)" ''
  is "$(systemctl list-units 'fpm-waker*@*.service' --state=failed --no-legend)" ''
  is "$(pgrep -lx 'php-fpm.*|fpm-waker|fpm-launcher|containerd-shim|conmon' || true)" ''
}
