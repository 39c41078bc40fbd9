#!/usr/bin/env bats
# bats file_tags=host
# SPDX-License-Identifier: MIT
# make install and make uninstall.

load ../helpers

setup() {
  start_test
}

teardown() {
  end_test
}

# waker_make TARGET [VARIABLE=VALUE...]: without building anything anew.
waker_make() {
  make -s -C "$tree" -o all BUILD="$build" DESTDIR="$dir/root" "$@"
}

# Everything below $dir/root but directories, which may be the system's.
files() {
  (cd "$dir/root" && find . ! -type d | sort)
}

@test "install puts every file where systemd, man and the programs look for it" {
  local prefix file
  for prefix in /usr /usr/local /opt/fpm-waker; do
    waker_make install PREFIX="$prefix"
    for file in bin/fpm-waker bin/fpm-launcher lib/fpm-waker/fpm-launcher \
      lib/fpm-waker/fpm-docker lib/fpm-waker/libfpm-waker.so lib/systemd/system/fpm-waker@.socket \
      lib/systemd/system/fpm-waker@.service lib/systemd/user/fpm-waker-podman@.service \
      share/man/man1/fpm-launcher.1 share/man/man8/fpm-waker.8 \
      share/man/man5/fpm-waker.conf.5 share/fpm-waker/mysql.service; do
      [ -s "$dir/root$prefix/$file" ] || fail "missing below $prefix: $file"
    done
    # The mount point in the container for the vhost's own directory.
    [ -d "$dir/root$prefix/lib/fpm-waker/run" ] || fail "no lib/fpm-waker/run"
    rm -rf "$dir/root"
  done
}

@test "installed texts name the prefix, and every program that they start exists" {
  local unit program
  waker_make install PREFIX=/opt/x
  run grep -rE '@PREFIX@|/usr/(local/)?(bin|lib|share)/fpm' "$dir/root/opt/x/lib/systemd" \
    "$dir/root/opt/x/share/fpm-waker"
  is "$status" 1 "texts that name another prefix: $output"
  for unit in "$dir"/root/opt/x/lib/systemd/*/*.service; do
    program=$(sed -n 's/^ExecStart=\(\/[^ ]*\).*/\1/p' "$unit") # the others are on PATH
    [ -x "$dir/root$program" ] || fail "$unit starts $program"
  done
}

@test "every man page that a unit names is installed" {
  local page
  waker_make install PREFIX=/usr
  grep -rhoE 'man:[^ ]+' "$dir/root/usr/lib/systemd" | sort -u >"$dir/pages"
  [ -s "$dir/pages" ] || fail "no unit names a man page"
  while IFS=':()' read -r _ page section _; do
    [ -s "$dir/root/usr/share/man/man$section/$page.$section" ] || fail "no $page($section)"
  done <"$dir/pages"
}

@test "uninstall removes exactly what install put there" {
  local prefix before
  for prefix in /usr /opt/fpm-waker; do
    mkdir -p "$dir/root/etc/fpm-waker" "$dir/root$prefix/bin" "$dir/root$prefix/lib/fpm-waker"
    touch "$dir/root/etc/fpm-waker/site.conf" "$dir/root$prefix/bin/other" \
      "$dir/root$prefix/lib/fpm-waker/other"
    before=$(files)
    waker_make install PREFIX="$prefix"
    [ "$(files)" != "$before" ] || fail "nothing was installed"
    waker_make uninstall PREFIX="$prefix"
    is "$(files)" "$before"
    [ ! -e "$dir/root$prefix/lib/fpm-waker/run" ] || fail "lib/fpm-waker/run is left"
    [ ! -e "$dir/root$prefix/share/fpm-waker" ] || fail "share/fpm-waker is left"
    rm "$dir/root$prefix/lib/fpm-waker/other"
    waker_make uninstall PREFIX="$prefix"
    [ ! -e "$dir/root$prefix/lib/fpm-waker" ] || fail "an empty lib/fpm-waker is left"
    rm -rf "$dir/root"
  done
}

@test "installing twice is installing once" {
  waker_make install PREFIX=/usr
  files >"$dir/once"
  waker_make install PREFIX=/usr
  is "$(files)" "$(cat "$dir/once")"
  [ -L "$dir/root/usr/bin/fpm-launcher" ] || fail "bin/fpm-launcher is no link"
  "$dir/root/usr/bin/fpm-launcher" --version
}

@test "whatever the umask, everybody can read and execute what is installed" {
  (umask 077 && waker_make install PREFIX=/usr)
  run find "$dir/root" ! -type l ! -perm -444 -o -type d ! -perm -555
  is "$output" "" "not readable for all"
}

@test "Type=notify-reload is for a systemd that knows it, and uninstall does not care" {
  local file=usr/lib/systemd/system/fpm-waker@.service.d/notify-reload.conf
  waker_make install PREFIX=/usr SYSTEMD_VERSION=252
  [ ! -e "$dir/root/$file" ] || fail "it is installed for systemd 252"
  waker_make install PREFIX=/usr SYSTEMD_VERSION=253
  [ -s "$dir/root/$file" ] || fail "it is not installed for systemd 253"
  waker_make uninstall PREFIX=/usr SYSTEMD_VERSION=252
  is "$(files)" ''
  [ ! -d "$dir/root/${file%/*}" ] || fail "its directory is left"
}
