#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# One nginx before two servers that differ in one thing only: `waked` is php-fpm in Docker behind
# fpm-waker, on the socket that systemd holds; `plain` is a container of the same image that was
# started by hand, on a socket of its own. A client must get the same from both, byte for byte.

load ../helpers

setup_file() {
  mkdir -p /srv/plain /srv/empty
  docker_vhost waked php Command='docker-php-entrypoint php-fpm' StopAfterSec=10min \
    Volume=/srv/empty:/run/php Volume=/srv/pool.conf:/usr/local/etc/php-fpm.d/zzz.conf:ro \
    Hostname=web
  # A pool whose socket's path exists in one container only. More workers than nginx
  # keeps connections to.
  printf '%s\n' '[www]' 'listen = /run/php/www.sock' 'listen.mode = 0666' 'pm = static' \
    'pm.max_children = 6' 'php_admin_value[post_max_size] = 10M' \
    'php_admin_value[upload_max_filesize] = 10M' \
    'php_admin_value[memory_limit] = 256M' >/srv/pool.conf
  cp "$BATS_TEST_DIRNAME"/site/*.php /srv/www/waked
  # Opcache spares files for their first two seconds, which might end between two requests.
  touch -d '1 hour ago' /srv/www/waked/*.php
  docker run --detach --name plain --network=none --hostname=web \
    --volume /srv/www/waked:/var/www/html --volume /srv/plain:/run/php \
    --volume /srv/pool.conf:/usr/local/etc/php-fpm.d/zzz.conf:ro php >/dev/null
  wait_for test -S /srv/plain/www.sock
  nginx_conf >/etc/nginx/conf.d/site.conf
  systemctl restart nginx
  head -c 5000000 /dev/urandom >/srv/upload
}

teardown_file() {
  docker rm -f plain >/dev/null
  remove_vhosts waked
}

setup() { start_test; }
teardown() { end_test; }

# Parameters are spelt out so that they do not tell the two servers apart. Ports: waked 8081, plain
# 8082; with kept-alive connections between nginx and php-fpm 8083, 8084.
nginx_conf() {
  local port=8081 keep_conn backend
  printf 'upstream %s { server unix:%s; keepalive 2; }\n' \
    waked "$(vhost_socket waked)" plain /srv/plain/www.sock
  for keep_conn in off on; do
    for backend in waked plain; do
      cat <<CONF
server {
  listen 127.0.0.1:$port;
  error_log /var/log/nginx/$backend.log info;
  client_max_body_size 10m;
  location / {
    fastcgi_pass $backend;
    fastcgi_keep_conn $keep_conn;
    fastcgi_param SCRIPT_FILENAME /var/www/html\$fastcgi_script_name;
    fastcgi_param SCRIPT_NAME \$fastcgi_script_name;
    fastcgi_param REQUEST_URI \$request_uri;
    fastcgi_param QUERY_STRING \$query_string;
    fastcgi_param REQUEST_METHOD \$request_method;
    fastcgi_param CONTENT_TYPE \$content_type;
    fastcgi_param CONTENT_LENGTH \$content_length;
    fastcgi_param SERVER_PROTOCOL \$server_protocol;
    fastcgi_param REMOTE_ADDR \$remote_addr;
  }
}
CONF
      port=$((port + 1))
    done
  done
}

# same PATH [CURL-OPTION...]: asks both servers, with and without keep-alive, and compares status,
# headers and body. Leaves the plain one's answer in $dir/plain.
same() {
  local path=$1 port
  shift
  for port in 8081 8082 8083 8084; do
    curl -sS --max-time 20 -H 'Host: site' --dump-header "$dir/$port.head" -o "$dir/$port.body" \
      "$@" "http://127.0.0.1:$port$path"
    # The time of the answer may differ (with --head, the headers are the body as well), and what
    # phpinfo() says of the time, and of a script that two workers have compiled at the same moment.
    sed -i '/^Date: /d' "$dir/$port.head" "$dir/$port.body"
    sed -E -i '/REQUEST_TIME|>Start time </s/[0-9.]+/T/g; /">Cache (hits|misses) </s/[0-9]+/N/g' \
      "$dir/$port.body"
  done
  compare 8081 8082
  compare 8083 8084
}

compare() {
  cmp "$dir/$1.head" "$dir/$2.head" || diff "$dir/$1.head" "$dir/$2.head"
  cmp "$dir/$1.body" "$dir/$2.body" ||
    diff <(head -c 1000000 "$dir/$1.body") <(head -c 1000000 "$dir/$2.body")
}

# same_log: nginx has written the same about both servers since the last truncation.
same_log() {
  local backend
  for backend in waked plain; do
    sed -E 's,^[0-9/]+ [0-9:]+ \[(\w+)\] [0-9#]+: \*[0-9]+ ,\1 ,; s,808[0-9],PORT,g; s,unix:/[^":]*,SOCKET,g' \
      "/var/log/nginx/$backend.log" >"$dir/$backend.nginx"
  done
  diff "$dir/waked.nginx" "$dir/plain.nginx"
}

@test "the first request wakes the container" {
  is "$(docker ps --format '{{.Names}}')" plain "only the plain one runs"
  same /hello.php
  is "$(cat "$dir/8081.body")" hello
  is "$(docker ps -q | wc -l)" 2
}

@test "phpinfo(): modules, settings, environment, parameters" {
  same /phpinfo.php?key=value
  contains "$(cat "$dir/8081.body")" 'FPM/FastCGI'
  # The official images' clear_env = no shows php-fpm's whole environment.
  contains "$(sed -n '/<h2>Environment/,/<.table/p' "$dir/8081.body")" '>PATH <'
}

@test "a POST with a body of 5 MB" {
  same /post.php -H 'Content-Type: text/x-test' --data-binary @/srv/upload
  contains "$(cat "$dir/8081.body")" "$(md5sum </srv/upload | cut -d' ' -f1)"
}

@test "an upload of a file of 5 MB" {
  same /upload.php -F file=@/srv/upload
  contains "$(cat "$dir/8081.body")" "$(md5sum </srv/upload | cut -d' ' -f1)"
}

@test "a body that the script does not read" {
  same /hello.php -H 'Content-Type: text/x-test' --data-binary @/srv/upload
  is "$(cat "$dir/8081.body")" hello
}

@test "a response of 20 MB, also to a slow client" {
  same /large.php
  is "$(stat -c %s "$dir/8081.body")" 20000000
  same /large.php --limit-rate 20M
}

@test "FastCGI stderr: as nginx logs it" {
  truncate -s 0 /var/log/nginx/{waked,plain}.log
  same /stderr.php
  same /stderr.php?large
  same_log
  contains "$(cat "$dir/waked.nginx")" 'FastCGI sent in stderr: "PHP message: one line'
}

@test "a script that is not there, and one that fails" {
  truncate -s 0 /var/log/nginx/{waked,plain}.log
  same /none.php
  contains "$(cat "$dir/8081.head")" 404
  same /fails.php
  contains "$(cat "$dir/8081.head")" 500
  same_log
  contains "$(cat "$dir/waked.nginx")" 'Primary script unknown'
}

@test "headers, cookies, redirects, HEAD, an empty response" {
  same /headers.php
  contains "$(cat "$dir/8081.head")" 'Set-Cookie: second'
  same /headers.php --head
  same /empty.php
}

@test "output in pieces, and work after the response" {
  same /flush.php
  same /finish.php
  is "$(cat "$dir/8081.body")" finished
}
