#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The container of a vhost with a conf: what the engine is told of it, made once, and anew only if
# it is to be made of something else.

load ../helpers
load waker
load api

setup() { start_api_test; }

teardown() {
  docker rmi --force other made >/dev/null 2>&1 || true
  docker network rm late >/dev/null 2>&1 || true
  rm -rf "/run/systemd/system/$service.d" /run/engine.sock
  end_api_test
}

# is_told FORMAT EXPECTED, line by line.
is_told() {
  local format expected
  while IFS='|' read -r format expected; do
    is "$(told "{{$format}}")" "$expected" "$format"
  done
}

@test "a sandbox by default; nothing that could wake it or keep it awake; the server's words unchanged" {
  conf_vhost "Command=docker-php-entrypoint php-fpm -d 'error_append_string=b c'"
  contains "$(hello)" hello
  is_told <<'TOLD'
.HostConfig.NetworkMode|none
.HostConfig.CapDrop|[ALL]
.HostConfig.SecurityOpt|[no-new-privileges]
.HostConfig.ReadonlyRootfs|true
.HostConfig.Privileged|false
json .HostConfig.Tmpfs|{"/run":"","/tmp":""}
.HostConfig.Init|false
.HostConfig.RestartPolicy.Name|no
.HostConfig.AutoRemove|false
.Config.Healthcheck.Test|[NONE]
.Config.StopSignal|SIGQUIT
.Config.StopTimeout|90
.Config.AttachStdin|false
.Config.AttachStdout|false
.Config.AttachStderr|false
.Config.OpenStdin|false
.Config.Tty|false
json .Config.Entrypoint|["/fpm-waker/fpm-launcher"]
json .Config.Cmd|["--exit-idle-time=5min","--","docker-php-entrypoint","php-fpm","-d","error_append_string=b c"]
json .HostConfig.Binds|["/srv/www/site:/var/www/html"]
range .HostConfig.Mounts}} {{.Type}}:{{.Source}}:{{.Target}}:{{.ReadOnly}}{{end| bind:/usr/lib/fpm-waker:/fpm-waker:true bind:/run/fpm-waker-handover/site:/fpm-waker/run:true
index .Config.Labels "fpm-waker.vhost"|site
TOLD
  # Docker 26 has a prefix there.
  is "$(told '{{json .HostConfig.CapAdd}}' | tr -d '[]"' | tr , '\n' | sed s/CAP_// | sort | xargs)" 'KILL SETGID SETUID'
}

@test "every key reaches the engine" {
  conf_vhost Volume=/srv/www/site:/other:ro 'Environment=NAME=some value' User=33:33 Network=bridge \
    ReadOnly=no Memory=64M 'StopAfterSec=1h 30min' DrainLimit=2min BackgroundLimit=0 'Label=a=b c' \
    Hostname=web Init=yes Tmpfs=/cache:size=1M Capability=CHOWN 'Command='
  contains "$(hello)" hello
  is_told <<'TOLD'
json .HostConfig.Binds|["/srv/www/site:/var/www/html","/srv/www/site:/other:ro"]
index .Config.Env 0|NAME=some value
.Config.User|33:33
.HostConfig.NetworkMode|bridge
.HostConfig.ReadonlyRootfs|false
.HostConfig.Init|true
.Config.StopTimeout|130
index .Config.Labels "a"|b c
.Config.Hostname|web
json .HostConfig.Tmpfs|{"/cache":"size=1M"}
json .Config.Cmd|["--exit-idle-time=1h 30min","--drain-limit=2min","--background-limit=0","--","docker-php-entrypoint","php-fpm"]
TOLD
  # Another user than root needs no more than what the conf says.
  is "$(told '{{json .HostConfig.CapAdd}}' | sed s/CAP_//)" '["CHOWN"]'
}

@test "a limit of memory reaches the engine, and what it says of it reaches the log" {
  conf_vhost Memory=64M
  mkdir -p "/run/systemd/system/$service.d"
  printf '%s\n' '[Service]' "Environment=DOCKER_HOST=unix:///run/engine.sock" >"/run/systemd/system/$service.d/test.conf"
  systemctl daemon-reload
  start engine socat -v "UNIX-LISTEN:/run/engine.sock,fork" UNIX:/var/run/docker.sock
  wait_for test -S /run/engine.sock
  contains "$(hello)" hello
  contains "$(cat "$dir/engine.log")" '"Memory":67108864'
  # The bed has no controller for that.
  [ "$(told '{{.HostConfig.Memory}}')" = 67108864 ] || wait_for logged 'fpm-docker: note: the engine warns: Your kernel'
}

@test "what the engine could not be told is not left out" {
  conf_vhost RetryLimit=0 $'Environment=NAME=\xff'
  systemctl start "$service" 2>/dev/null && fail "it started"
  is "$(exit_status)" 9
  wait_for logged 'fpm-waker: the engine refused the container: its conf is not UTF-8'
}

@test "an image's ENTRYPOINT and CMD are kept, and its health check is not" {
  local image words command
  while read -r image command words; do
    load_image "$image"
    docker_vhost site "$image" "$command" StopAfterSec=infinity Capability=CHOWN Capability=DAC_OVERRIDE \
      Capability=FOWNER
    echo '<?php echo "hello";' >/srv/www/site/hello.php
    contains "$(hello)" hello "$image"
    is "$(told '{{json .Config.Cmd}}')" "[\"--exit-idle-time=infinity\",\"--\",$words]" "$image"
    is "$(told '{{.State.Health}}')" '<nil>' "$image"
    remove_vhosts site
  done <<'IMAGES'
php #Command "docker-php-entrypoint","php-fpm"
php Command=php-fpm "php-fpm"
wordpress #Command "docker-entrypoint.sh","php-fpm"
serversideup Command= "entrypoint","php-fpm"
IMAGES
}

@test "an image that has neither, with a conf that does not say what to start" {
  tar -c -C / etc/hostname | docker import - made >/dev/null
  docker_vhost site php Command= RetryLimit=0
  sed -i 's/^Image=.*/Image=made/' /etc/fpm-waker/site.conf
  systemctl start "$service" 2>/dev/null && fail "it started"
  is "$(exit_status)" 7
  wait_for logged "fpm-waker: image made has neither ENTRYPOINT nor CMD: say Command= in the vhost's conf"
}

@test "it is made once, and started at each wake" {
  local id made
  conf_vhost StopAfterSec=500ms
  live_once
  id=$(container_id) made=$(told '{{.Created}}')
  is "$(docker ps -aq | wc -l)" 1
  is "$(told '{{.State.Status}}')" exited
  live_once
  live_once
  is "$(container_id) $(told '{{.Created}}')" "$id $made"
  # systemctl stop is no other end.
  contains "$(hello)" hello
  systemctl stop "$service"
  is "$(told '{{.State.Status}} {{.State.ExitCode}}')" 'exited 0'
  live_once
  is "$(container_id)" "$id"
  # A key that is for fpm-waker alone changes nothing.
  echo RetryLimit=7s >>/etc/fpm-waker/site.conf
  live_once
  is "$(container_id)" "$id"
}

@test "a changed conf is taken over at the next wake, in a new container" {
  local id
  conf_vhost StopAfterSec=500ms
  echo '<?php echo "hello ", getenv("WORD");' >/srv/www/site/hello.php
  live_once
  id=$(container_id)
  echo Environment=WORD=two >>/etc/fpm-waker/site.conf
  contains "$(hello)" 'hello two'
  [ "$(container_id)" != "$id" ] || fail "it is still the old one"
  is "$(docker ps -aq | wc -l)" 1 "the old one is gone"
  wait_for logged "fpm-docker: note: removed container $container, which was made of another conf or image"
}

@test "a changed conf waits for the next wake while the container serves" {
  local id
  conf_vhost StopAfterSec=1s
  echo '<?php sleep(2); echo "slept"; ' >/srv/www/site/sleep.php
  contains "$(hello)" hello
  id=$(container_id)
  start client "$fastcgi" "$socket" /var/www/html/sleep.php
  echo Environment=WORD=two >>/etc/fpm-waker/site.conf
  contains "$(hello)" hello
  is "$(container_id)" "$id"
  wait "$pid" || fail "the request was lost: $(cat "$dir/client.log")"
  wait_for is_asleep
  contains "$(hello)" hello
  [ "$(container_id)" != "$id" ] || fail "it is still the old one"
}

@test "a tag that points to another image is taken over at the next wake" {
  local id image
  # The other image has the words of the container that it comes from.
  conf_vhost StopAfterSec=500ms Command=php-fpm
  docker tag php other
  sed -i 's/^Image=.*/Image=other/' /etc/fpm-waker/site.conf
  echo '<?php echo "hello ", getenv("WORD");' >/srv/www/site/hello.php
  live_once
  id=$(container_id) image=$(told '{{.Image}}')
  # Another image of the same name.
  docker commit --change 'ENV WORD=two' "$container" other >/dev/null
  contains "$(hello)" 'hello two'
  [ "$(container_id)" != "$id" ] || fail "it is still the old one"
  [ "$(told '{{.Image}}')" != "$image" ] || fail "it is still the old image"
  is "$(docker ps -aq | wc -l)" 1
}

@test "somebody removes it while it sleeps, or as soon as it has ended: there is another one" {
  local id
  conf_vhost StopAfterSec=500ms
  live_once
  id=$(container_id)
  docker rm "$container" >/dev/null
  live_once
  [ "$(container_id)" != "$id" ] || fail "the same container"
  contains "$(hello)" hello
  docker rm -f "$container" >/dev/null
  wait_for not is_waked
  contains "$(hello)" hello
}

@test "one that was made and never started is started by the next attempt" {
  local id
  conf_vhost Network=late RetryLimit=1s
  # It can be made, but not started, before there is such a network.
  contains "$(hello)" 'Status: 503'
  wait_for logged 'fpm-waker: the engine refused the container: '
  id=$(container_id)
  is "$(told '{{.State.Status}}')" created
  docker network create --internal late >/dev/null
  wait_for served
  is "$(container_id)" "$id"
}

served() { hello | grep -qx hello; }

@test "somebody else's container of that name: removed if it does not run, waited for if it does" {
  conf_vhost StopAfterSec=500ms
  docker create --name "$container" --entrypoint sleep php 600 >/dev/null
  live_once
  wait_for logged "removed container $container, which was not running and was not made by fpm-waker"
  docker rm "$container" >/dev/null

  docker run -d --name "$container" --entrypoint sleep php 600 >/dev/null
  start client "$fastcgi" --timeout=60 "$socket" /var/www/html/hello.php
  wait_for says 'Waiting for the former container to end'
  is "$(told '{{.State.Running}}')" true
  docker kill "$container" >/dev/null
  wait "$pid" || fail "the request was lost: $(cat "$dir/client.log")"
  contains "$(cat "$dir/client.log")" hello
}

@test "what the server writes comes to the journal, and the engine has none of it" {
  # Who is not root opens the path, as php-fpm does for the images' error_log.
  conf_vhost StopAfterSec=500ms User=33 \
    "Command=sh -c 'echo by the path >/proc/self/fd/2; echo by the other >/proc/self/fd/1; exec php-fpm'"
  echo '<?php error_log("by the log"); echo "hello";' >/srv/www/site/hello.php
  live_once
  wait_for logged 'PHP message: by the log'
  contains "$(log_of_test)" 'by the path'
  contains "$(log_of_test)" 'by the other'
  contains "$(log_of_test)" 'NOTICE: ready to handle connections'
  is "$(docker logs "$container" 2>&1)" ''
}

@test "while it is hot, fpm-waker is the only process in the unit" {
  conf_vhost StopAfterSec=infinity
  contains "$(hello)" hello
  wait_for not pgrep -x fpm-docker
  is "$(cat "/sys/fs/cgroup$(systemctl show -P ControlGroup "$service")/cgroup.procs")" "$(master_of_service)"
  # And it has loaded neither of the libraries that this takes.
  is "$(grep -c 'curl\|jansson\|ssl' "/proc/$(master_of_service)/maps")" 0
}
