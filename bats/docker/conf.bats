#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The conf of a vhost: its errors, and the command that is made of it. (What Docker is told by its
# API is in api.bats.)

load ../helpers
load waker

setup() {
  start_test
  # A stand-in that prints its words, one a line, and does nothing.
  mkdir "$dir/bin"
  for engine in podman systemd-nspawn; do
    printf '%s\n' '#!/bin/sh' 'printf "%s\n" "${0##*/}" "$@"' 'exit 42' >"$dir/bin/$engine"
    chmod 755 "$dir/bin/$engine"
  done
}

teardown() { end_test; }

conf() { printf '%s\n' "$@" >"$dir/site.conf"; }

run_conf() { run_activated --conf="$dir/site.conf"; }

# wrong LINES... MESSAGE: this conf has this error.
wrong() {
  local message=${*: -1}
  conf "${@:1:$#-1}"
  run env LISTEN_FDS=1 fpm-waker run --conf="$dir/site.conf"
  is "$status" 7 "${*:1:1}: $output"
  is "$output" "fpm-waker: $dir/site.conf$message" "${*:1:1}"
}

@test "each error names file, line and key" {
  wrong 'Image=php' '' '# fine' 'Imagee=php' ':4: Imagee: unknown key'
  wrong 'image=php' ':1: image: unknown key'
  wrong 'Image' ':1: Image: is not KEY=VALUE'
  wrong '[Service]' ':1: [Service]: is not KEY=VALUE'
  wrong 'Image=' ':1: Image: is empty'
  wrong 'Image=--privileged' ':1: Image: is not the name of an image'
  wrong 'Image=a' 'Image=b' ':2: Image: is already in line 1'
  wrong 'Engine=lxc' ':1: Engine: is docker, podman, nspawn or native'
  wrong 'Image=php' 'Command="php-fpm' ':2: Command: has an open quote or an unknown escape'
  wrong 'Image=php' 'Command=php-fpm \q' ':2: Command: has an open quote or an unknown escape'
  wrong 'Volume=/data' ':1: Volume: is HOST:CONTAINER or HOST:CONTAINER:OPTIONS'
  wrong 'Environment=NAME' ':1: Environment: is NAME=VALUE'
  wrong 'ReadOnly=maybe' ':1: ReadOnly: is yes or no'
  wrong 'Memory=much' ':1: Memory: is a number of bytes, or one with K, M or G behind it'
  wrong 'Memory=1MM' ':1: Memory: is a number of bytes, or one with K, M or G behind it'
  wrong 'StopAfterSec=soon' ':1: StopAfterSec: is not a time span (90s, 5min, infinity)'
  wrong 'FreezeAfterSec=later' ':1: FreezeAfterSec: is not a time span (90s, 5min, infinity)'
  wrong 'LightAfterSec=1s' 'LightAfterSec=2s' ':2: LightAfterSec: is already in line 1'
  wrong 'DrainLimit=1 fortnight' ':1: DrainLimit: is not a time span (90s, 5min, infinity)'
  wrong 'BackgroundLimit=1x' ':1: BackgroundLimit: is not a time span (90s, 5min, infinity)'
  wrong 'Init=maybe' ':1: Init: is yes or no'
  wrong 'OpcacheFileCache=/dir' ':1: OpcacheFileCache: is yes or no'
  wrong 'Capability=chown' ':1: Capability: is the name of a capability, as CHOWN'
  wrong 'Label=a' ':1: Label: is NAME=VALUE'
  wrong 'Tmpfs=tmp' ':1: Tmpfs: is PATH or PATH:OPTIONS'
  wrong 'Image=php' 'EngineOption=--init' ":2: EngineOption: has no meaning with Engine=docker; there \
are Capability=, Hostname=, Init=, Label=, Tmpfs=, and the others of fpm-waker.conf(5)"
  wrong 'Command=php-fpm' ': Image: is missing'
  wrong 'Engine=native' 'Command=php-fpm' 'Memory=1G' ':3: Memory: has no meaning with Engine=native'
  wrong 'Image=php' 'Directory=/tree' ':2: Directory: has no meaning with Engine=docker'
  wrong 'Engine=native' 'Directory=/tree' ':2: Directory: has no meaning with Engine=native'
  wrong 'Engine=nspawn' 'Directory=tree' ':2: Directory: is not an absolute path'
  wrong 'Engine=nspawn' ': Directory: is missing'
  wrong 'Image=php' 'Directory=/tree' 'Engine=nspawn' ':1: Image: has no meaning with Engine=nspawn'
  wrong 'Engine=nspawn' 'Directory=/tree' 'Memory=1G' ':3: Memory: has no meaning with Engine=nspawn'
  wrong 'Engine=nspawn' 'Directory=/tree' 'Capability=CHOWN' ':3: Capability: has no meaning with Engine=nspawn'
  wrong 'Engine=nspawn' 'Directory=/tree' 'Network=web' ':3: Network: is none or host with Engine=nspawn'
  wrong 'Engine=nspawn' 'Directory=/tree' 'Command=' ':3: Command: is empty, and there is no image that has one'
  wrong 'Engine=native' 'Command=' ':2: Command: is empty, and there is no image that has one'
}

@test "a conf that is not there, not readable as a file, or not text" {
  run fpm-waker run --conf="$dir/none.conf"
  is "$status" 7
  is "$output" "fpm-waker: $dir/none.conf: No such file or directory"
  run fpm-waker run --vhost=no-such-site
  is "$status" 7
  is "$output" 'fpm-waker: /etc/fpm-waker/no-such-site.conf: No such file or directory'
  mkdir "$dir/site.conf"
  run fpm-waker run --conf="$dir/site.conf"
  is "$status" 7
  is "$output" "fpm-waker: $dir/site.conf: Is a directory"
  rmdir "$dir/site.conf"
  printf 'Image=php\0fpm\n' >"$dir/site.conf"
  run fpm-waker run --conf="$dir/site.conf"
  is "$status" 7
  is "$output" "fpm-waker: $dir/site.conf:1: Image=php: has a zero byte"
}

@test "podman: every key reaches the engine" {
  local word
  conf 'Engine=podman' 'Image = php:8' 'Volume=/a:/b' 'Volume=/c:/d:ro' 'Environment=NAME=some value' \
    'User=33:33' 'Network=bridge' 'ReadOnly=no' 'Memory=512M' 'StopAfterSec=1h 30min' 'DrainLimit=2min' \
    'BackgroundLimit=0' 'Label=a=b c' 'Hostname=web' 'Init=yes' 'Tmpfs=/cache:size=1M' \
    'EngineOption=--cpus=1' '; the end'
  run_conf
  for word in --volume=/a:/b --volume=/c:/d:ro '--env=NAME=some value' --user=33:33 --network=bridge \
    --memory=512M '--label=a=b c' --hostname=web --init=true --tmpfs=/cache:size=1M --cpus=1 php:8 \
    '--exit-idle-time=1h 30min' --drain-limit=2min --background-limit=0 --stop-timeout=130 php-fpm; do
    grep -Fxq -- "$word" "$dir/waker.log" || fail "missing: $word" "$(cat "$dir/waker.log")"
  done
  # Another user than root has no use for capabilities.
  lacks "$(cat "$dir/waker.log")" --cap-add
  lacks "$(cat "$dir/waker.log")" --read-only
}

@test "with a light tier the launcher is resident, and fpm-waker alone says when it ends" {
  local light stop expected
  while read -r light stop expected; do
    conf Engine=podman Image=php "LightAfterSec=$light" "StopAfterSec=$stop" FreezeAfterSec=1s
    run_conf
    contains "$(xargs <"$dir/waker.log")" "fpm-launcher php $expected -- php-fpm" "$light $stop"
  done <<'TABLE'
10s 20s --resident
10s infinity --resident
infinity 20s --exit-idle-time=20s
20s 20s --exit-idle-time=20s
TABLE
}

# Prints what the stand-in of an engine's was given.
words_for() { sed -n "/^$1\$/,/^\(b\*c\|php-fpm\)\$/p" "$dir/waker.log" | grep -v '^fpm-waker:' | xargs; }

@test "podman: detached, with a monitor that can be followed, else as Docker" {
  conf 'Engine=podman' 'Image=php' 'Volume=/a:/b'
  run_conf
  is "$status" 42 "$(cat "$dir/waker.log")"
  is "$(words_for podman)" "podman run --detach --conmon-pidfile=$dir/run/monitor --rm --replace \
--name=fpm-waker-site --pull=never --no-healthcheck --log-driver=passthrough \
--sdnotify=ignore --cgroups=split --network=none --cap-drop=ALL --cap-add=SETUID --cap-add=SETGID \
--cap-add=KILL --security-opt=no-new-privileges --read-only --tmpfs=/tmp --tmpfs=/run --init=false \
--stop-signal=SIGQUIT --stop-timeout=90 --volume=/usr/lib/fpm-waker:/fpm-waker:ro \
--volume=$dir/run:/fpm-waker/run:ro --volume=/a:/b --entrypoint=/fpm-waker/fpm-launcher php \
--exit-idle-time=5min -- php-fpm"
}

@test "nspawn: a sandbox by default, and every key reaches it" {
  local words word
  conf 'Engine=nspawn' 'Directory=/tree'
  run_conf
  is "$status" 42 "$(cat "$dir/waker.log")"
  words=$(words_for systemd-nspawn)
  is "$(tr ' ' '\n' <<<"$words" | grep -v '^--drop-capability=' | xargs)" "systemd-nspawn --quiet \
--keep-unit --register=no --machine=site --directory=/tree --console=pipe --link-journal=no \
--resolv-conf=off --timezone=off --kill-signal=SIGQUIT --private-network --no-new-privileges=yes \
--read-only --bind-ro=/usr/lib/fpm-waker:/run/fpm-waker --bind-ro=$dir/run:/run/fpm-waker/run \
/run/fpm-waker/fpm-launcher --exit-idle-time=5min -- php-fpm"
  contains "$words" --drop-capability=CAP_CHOWN
  conf 'Engine=nspawn' 'Directory=/tree' 'Volume=/a:/b' 'Volume=/c:/d:ro' 'Volume=/e:/f:rw' \
    'Environment=NAME=some value' 'User=web' 'Network=host' 'ReadOnly=no' 'DrainLimit=2min' \
    'EngineOption=--capability=CAP_CHOWN,CAP_FOWNER'
  run_conf
  for word in --bind=/a:/b --bind-ro=/c:/d --bind=/e:/f '--setenv=NAME=some value' --user=web \
    --drain-limit=2min --capability=CAP_CHOWN,CAP_FOWNER --drop-capability=CAP_NET_RAW; do
    grep -Fxq -- "$word" "$dir/waker.log" || fail "missing: $word" "$(cat "$dir/waker.log")"
  done
  for word in --drop-capability=CAP_CHOWN --drop-capability=CAP_FOWNER --private-network --read-only; do
    lacks "$(cat "$dir/waker.log")" "$word"
  done
}

@test "a native server is a child" {
  conf 'Engine=native' 'Environment=SITE=a b' \
    "Command=sh -c 'echo \"SITE=\$SITE PARENT=\$PPID\"; ls -l /proc/self/fd; exit 42'"
  run_conf
  is "$status" 42 "$(cat "$dir/waker.log")"
  contains "$(cat "$dir/waker.log")" "SITE=a b PARENT=$pid"
  matches "$(cat "$dir/waker.log")" ' 10[0-9] -> socket:'
}

@test "podman: an empty Command= is what the image itself would start" {
  # shellcheck disable=SC2016 # for the stand-in
  printf '%s\n' '#!/bin/sh' 'case $1$4 in imageno-such-image) echo "Error: no such image" >&2; exit 125 ;;' \
    'image*) printf "docker-entrypoint.sh\0php-fpm\0\n"; exit ;; esac' 'printf "%s\n" "$@"' 'exit 42' \
    >"$dir/bin/podman"
  conf 'Engine=podman' 'Image=wordpress' 'Command='
  run_conf
  is "$status" 42 "$(cat "$dir/waker.log")"
  contains "$(sed -n '/^--entrypoint/,/fpm$/p' "$dir/waker.log" | xargs)" \
    'wordpress --exit-idle-time=5min -- docker-entrypoint.sh php-fpm'

  conf 'Engine=podman' 'Image=no-such-image' 'Command='
  run_conf
  is "$status" 9 "$(cat "$dir/waker.log")"
  contains "$(cat "$dir/waker.log")" 'fpm-waker: cannot inspect image no-such-image: Error: no such image'
}
