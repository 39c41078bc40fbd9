# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# A vhost with a conf, in a container that fpm-waker has made by the engine's API. To be loaded
# behind waker.bash, whose conditions then speak of this vhost.

socket=$(vhost_socket site)
service=fpm-waker@site.service
container=fpm-waker-site

# conf_vhost [LINE...]: the usual vhost; LINEs are for its conf. Starts its socket.
conf_vhost() {
  docker_vhost site php "$@"
  chmod 777 /srv/www/site
  echo '<?php usleep(20000); echo "hello";' >/srv/www/site/hello.php
}

start_api_test() {
  start_test
  load_image php
  journalctl --sync
  cursor=$(journalctl -q -n 0 --show-cursor | sed -n 's/^-- cursor: //p')
}

end_api_test() {
  [ -n "${BATS_TEST_COMPLETED:-}" ] || log_of_test | grep -v '" 200$'
  remove_vhosts site
  systemctl daemon-reload
  end_test
}

# told FORMAT: what the engine knows of the container, as a template of docker says.
told() { docker inspect --type container --format "$1" "$container"; }

container_id() { told '{{.Id}}'; }

# Wakes it, and waits until it sleeps again.
live_once() {
  contains "$(hello)" hello
  wait_for is_asleep
}
