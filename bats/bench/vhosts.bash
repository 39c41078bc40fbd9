# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Vhosts of each engine with the same php-fpm in them, for parts that run in a bed: Debian's pool (pm =
# dynamic, two workers at first), and one page, at the same path for each.

www=/srv/bench
page=$www/hello.php
hello='hello from fpm-waker bench'

set_up_page() {
  mkdir -p "$www" /etc/fpm-waker
  echo "<?php echo '$hello';" >"$page"
}

# set_up_engine ENGINE: its image, or its tree.
set_up_engine() {
  [ "$1" = native ] || "$tree/bats/images/load" php "$1"
  # Nobody mounts over what is not there in a tree that is read-only.
  [ "$1" != nspawn ] || mkdir -p "/var/lib/machines/php$www"
}

# vhost ENGINE NAME LINE...: its conf; LINEs are added to it.
vhost() {
  {
    echo "Engine=$1"
    case $1 in
      native)
        echo "Command=php-fpm -F -y /etc/fpm-waker/$2.php-fpm.conf"
        pool "$(vhost_socket "$2")" >"/etc/fpm-waker/$2.php-fpm.conf"
        ;;
      docker) echo Image=php ;;
      podman) echo Image=localhost/php ;;
      nspawn) echo Directory=/var/lib/machines/php ;;
    esac
    [ "$1" = native ] || echo "Volume=$www:$www:ro"
    printf '%s\n' "${@:3}"
  } >"/etc/fpm-waker/$2.conf"
}

# unit_of ENGINE NAME: without its suffix.
unit_of() {
  case $1 in
    docker) echo "fpm-waker@$2" ;;
    *) echo "fpm-waker-$1@$2" ;;
  esac
}

vhost_socket() { echo "/run/fpm-waker/$1.sock"; }

# pool LISTEN LINE...: php-fpm's configuration.
pool() {
  printf '%s\n' '[global]' 'error_log = syslog' '[www]' "listen = $1" 'listen.mode = 0666' \
    'pm = dynamic' 'pm.max_children = 5' 'pm.start_servers = 2' 'pm.min_spare_servers = 1' \
    'pm.max_spare_servers = 3' "${@:2}"
}
