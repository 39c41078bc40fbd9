#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The conf of a vhost: its errors, and the command that is made of it.

load ../helpers
load waker

setup() {
  start_test
  # Stand-ins that print their words, one a line, and do nothing.
  mkdir "$dir/bin"
  for engine in docker podman; do
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
  wrong 'Engine=lxc' ':1: Engine: is docker, podman or native'
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
  wrong 'Command=php-fpm' ': Image: is missing'
  wrong 'Engine=native' 'Command=php-fpm' 'Memory=1G' ':3: Memory: has no meaning with Engine=native'
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

@test "docker: a sandbox by default, the server's words unchanged" {
  conf 'Image=php' "Command=docker-php-entrypoint php-fpm -d 'a=b c'"
  run_conf
  is "$status" 42 "$(cat "$dir/waker.log")"
  is "$(sed -n '/^docker$/,/^b*c*$/p' "$dir/waker.log" | grep -v '^fpm-waker:\|systemd\|^Listening\|^Comm')" \
    "$(printf '%s\n' docker run --rm --name=fpm-waker-site --pull=never --init=false \
      --no-healthcheck --log-driver=none --network=none --cap-drop=ALL --cap-add=SETUID \
      --cap-add=SETGID --cap-add=KILL --security-opt=no-new-privileges --read-only --tmpfs=/tmp \
      --tmpfs=/run --stop-signal=SIGQUIT --stop-timeout=90 --volume=/usr/lib/fpm-waker:/fpm-waker:ro \
      "--volume=$dir/run:/fpm-waker/run:ro" --entrypoint=/fpm-waker/fpm-launcher php \
      --exit-idle-time=5min -- docker-php-entrypoint php-fpm -d 'a=b c')"
}

@test "docker: every key reaches the engine" {
  local word
  conf 'Image = php:8' 'Volume=/a:/b' 'Volume=/c:/d:ro' 'Environment=NAME=some value' 'User=33:33' \
    'Network=bridge' 'ReadOnly=no' 'Memory=512M' 'StopAfterSec=1h 30min' 'DrainLimit=2min' \
    'BackgroundLimit=0' 'EngineOption=--label=a=b c' 'EngineOption=--hostname=web' '; the end'
  run_conf
  for word in --volume=/a:/b --volume=/c:/d:ro '--env=NAME=some value' --user=33:33 --network=bridge \
    --memory=512M '--label=a=b c' --hostname=web php:8 '--exit-idle-time=1h 30min' \
    --drain-limit=2min --background-limit=0 --stop-timeout=130 php-fpm; do
    grep -Fxq -- "$word" "$dir/waker.log" || fail "missing: $word" "$(cat "$dir/waker.log")"
  done
  # Another user than root has no use for capabilities.
  lacks "$(cat "$dir/waker.log")" --cap-add
  lacks "$(cat "$dir/waker.log")" --read-only
}

@test "with a light tier the launcher is resident, and fpm-waker alone says when it ends" {
  local light stop expected
  while read -r light stop expected; do
    conf 'Image=php' "LightAfterSec=$light" "StopAfterSec=$stop" FreezeAfterSec=1s
    run_conf
    contains "$(xargs <"$dir/waker.log")" "fpm-launcher php $expected -- php-fpm" "$light $stop"
  done <<'TABLE'
10s 20s --resident
10s infinity --resident
infinity 20s --exit-idle-time=20s
20s 20s --exit-idle-time=20s
TABLE
}

@test "podman takes the process over; a native server is a child" {
  conf 'Engine=podman' 'Image=php'
  run_conf
  is "$status" 42 "$(cat "$dir/waker.log")"
  contains "$(xargs <"$dir/waker.log")" 'podman run --detach --rm --replace --name=fpm-waker-site'
  contains "$(xargs <"$dir/waker.log")" \
    '--entrypoint=/fpm-waker/fpm-launcher php --exit-idle-time=5min -- php-fpm'

  conf 'Engine=native' 'Environment=SITE=a b' \
    "Command=sh -c 'echo \"SITE=\$SITE PARENT=\$PPID\"; ls -l /proc/self/fd; exit 42'"
  run_conf
  is "$status" 42 "$(cat "$dir/waker.log")"
  contains "$(cat "$dir/waker.log")" "SITE=a b PARENT=$pid"
  matches "$(cat "$dir/waker.log")" ' 10[0-9] -> socket:'
}

@test "an empty Command= is what the image itself would start" {
  local image
  for image in php wordpress serversideup; do
    load_image "$image"
  done
  # The real engine inspects, the stand-in prints.
  printf '%s\n' '#!/bin/sh' 'if [ "$1" = image ]; then exec /usr/bin/docker "$@"; fi' \
    'printf "%s\n" "$@"' 'exit 42' >"$dir/bin/docker"
  expect() {
    conf "Image=$1" 'Command='
    run_conf
    is "$status" 42 "$(cat "$dir/waker.log")"
    contains "$(sed -n '/^--entrypoint/,/fpm$/p' "$dir/waker.log" | xargs)" "$2"
  }
  expect php 'php --exit-idle-time=5min -- docker-php-entrypoint php-fpm'
  expect wordpress 'wordpress --exit-idle-time=5min -- docker-entrypoint.sh php-fpm'
  expect serversideup 'serversideup --exit-idle-time=5min -- entrypoint php-fpm'

  conf 'Image=no-such-image' 'Command='
  run_conf
  is "$status" 9 "$(cat "$dir/waker.log")"
  contains "$(cat "$dir/waker.log")" 'fpm-waker: cannot inspect image no-such-image: '
}
