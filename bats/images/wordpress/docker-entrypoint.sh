#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs into an empty volume, but only if the first word is exactly php-fpm. Holds descriptors
# that others might think are free, and starts many helpers.
set -Eeuo pipefail

if [ "$1" = php-fpm ]; then
  exec 9>install.lock
  flock 9
  exec 3>&1
  if [ ! -e index.php ] && [ ! -e wp-includes/version.php ]; then
    [ "$(stat -c %u:%g .)" != 0:0 ] || chown www-data:www-data .
    echo "WordPress not found in $PWD - copying now..." >&2
    tar --create --file - --directory /usr/src/wordpress --owner www-data --group www-data . |
      tar --extract --file - --no-overwrite-dir
    echo "Complete! WordPress has been successfully copied to $PWD" >&3
  fi
  while read -r file; do
    echo "$(basename "$file") $(wc -c <"$file")"
  done < <(find . -name '*.php') >/tmp/installed
  php-fpm -t
  php-fpm -v | head -n 1 >&3
  exec 3>&-
fi

exec "$@"
