# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# $dir, $www, $post and others come from ../helpers.bash and ../preload/vhost.bash.
#
# Web servers before a vhost of the preload suite. Each of them serves $dir/www on $port, with
# $workers connections to php-fpm at most where it would keep them, so that none waits for a worker
# that is kept by an idle one.

port=8090
workers=6

# start_webserver_test [unix|4]: the kind of php-fpm's socket. An answer is the body; $dir/out/posts has a line for each request that PHP code has seen.
start_webserver_test() {
  start_vhost
  hold "www=${1:-unix}"
  configure www "$www" "pm.max_children = $workers"
  post=$(
    page post.php <<'END'
<?php
$body = file_get_contents('php://input');
file_put_contents(dirname(__DIR__) . '/out/posts', "$body\n", FILE_APPEND);
echo $body;
END
  )
}

end_webserver_test() {
  systemctl stop activated.socket activated.service webserver.service 2>/dev/null || true
  systemctl reset-failed 2>/dev/null || true
  end_vhost
}

# activate OPTION...: php-fpm under fpm-launcher OPTIONS, instead of by serve started by each request
# that finds it not running. The socket is systemd's then, at the same path.
activate() {
  systemd-run -q --unit=activated --socket-property="ListenStream=$www" \
    --socket-property=SocketMode=0666 --socket-property=TriggerLimitIntervalSec=0 \
    --property=StartLimitIntervalSec=0 --property=KillMode=mixed \
    "$launcher" "--preload=$shim" "$@" -- "$server_binary" -F -y "$dir/php-fpm.conf"
}

# to_php UNIX-PREFIX [TCP-PREFIX]: php-fpm's address as a configuration has it.
to_php() {
  case $www in
    /*) echo "$1$www" ;;
    *) echo "${2:-}$www" ;;
  esac
}

# run_webserver COMMAND...: in the foreground, and waits until it serves.
run_webserver() {
  systemd-run -q --unit=webserver --property="StandardOutput=append:$dir/webserver.log" \
    --property="StandardError=append:$dir/webserver.log" --setenv=HOME="$dir" "$@"
  wait_for listens
}

listens() { [ -n "$(ss -Hltn "sport = $port")" ]; }

# nginx_server on|off: keeps connections or not.
nginx_server() {
  cat >"$dir/nginx.conf" <<END
user www-data;
daemon off;
pid $dir/nginx.pid;
error_log stderr;
events {}
http {
  access_log off;
  keepalive_requests 1000000;
  upstream php {
    server $(to_php unix:);
    keepalive 4;
  }
  server {
    listen 127.0.0.1:$port;
    location / {
      include fastcgi_params;
      fastcgi_param SCRIPT_FILENAME $dir/www\$fastcgi_script_name;
      fastcgi_pass php;
      fastcgi_keep_conn $1;
    }
  }
}
END
  ln -sf /etc/nginx/fastcgi_params "$dir/fastcgi_params"
  run_webserver nginx -c "$dir/nginx.conf" -e stderr
}

# haproxy_server: keeps connections. One thread, for what another thread keeps occupies php-fpm's workers
# too.
haproxy_server() {
  cat >"$dir/haproxy.conf" <<END
global
  nbthread 1
defaults
  mode http
  timeout connect 10s
  timeout client 30s
  timeout server 30s
frontend web
  bind 127.0.0.1:$port
  default_backend php
backend php
  use-fcgi-app php
  http-reuse always
  server php $(to_php unix@) proto fcgi maxconn 4 pool-max-conn 4
fcgi-app php
  docroot $dir/www
  path-info ^(/.+\.php)(/.*)?$
  option keep-conn
END
  run_webserver haproxy -db -f "$dir/haproxy.conf"
}

# apache_server [PARAMETER...]: of its connections to php-fpm.
apache_server() {
  local module worker
  case $www in
    /*) worker="unix:$www|fcgi://php/" ;;
    *) worker="fcgi://$www" ;;
  esac
  {
    for module in mpm_event authz_core proxy proxy_fcgi; do
      echo "LoadModule ${module}_module /usr/lib/apache2/modules/mod_$module.so"
    done
    cat <<END
ServerName localhost
Listen 127.0.0.1:$port
User www-data
Group www-data
PidFile $dir/apache.pid
ErrorLog $dir/apache.log
MaxKeepAliveRequests 0
StartServers 1
ServerLimit 1
ThreadsPerChild 64
MaxRequestWorkers 64
DocumentRoot $dir/www
<FilesMatch \.php$>
  SetHandler "proxy:$worker"
</FilesMatch>
<Proxy "${worker#*|}" $*>
</Proxy>
END
  } >"$dir/apache.conf"
  run_webserver apache2 -DFOREGROUND -f "$dir/apache.conf"
}

# lighttpd_server: keeps no connection.
lighttpd_server() {
  cat >"$dir/lighttpd.conf" <<END
server.modules = ("mod_fastcgi")
server.document-root = "$dir/www"
server.bind = "127.0.0.1"
server.port = $port
server.username = "www-data"
server.groupname = "www-data"
server.max-keep-alive-requests = 65535
fastcgi.server = (".php" => (($(lighttpd_address))))
END
  run_webserver lighttpd -D -f "$dir/lighttpd.conf"
}

lighttpd_address() {
  case $www in
    /*) echo "\"socket\" => \"$www\"" ;;
    *) echo "\"host\" => \"${www%:*}\", \"port\" => ${www##*:}" ;;
  esac
}

# caddy_server: keeps no connection.
caddy_server() {
  cat >"$dir/Caddyfile" <<END
{
  admin off
  auto_https off
}
http://:$port {
  bind 127.0.0.1
  root * $dir/www
  php_fastcgi $(to_php unix/)
}
END
  run_webserver caddy run --config "$dir/Caddyfile" --adapter caddyfile
}

# --- load ----------------------------------------------------------------------------------------

# posts_begin [OPTION...]: clients that POST through the web server, until posts_end.
posts_begin() {
  rm -f "$dir/posts.end"
  start posts "$build/test/post" --stop="$dir/posts.end" "$@" "$port" /post.php
  posts=$pid
  wait_for test -s "$dir/out/posts"
}

# posts_end: sets $lost, the number of requests that were not answered, and $in_vain, how many of
# those PHP code has run. Fails if it has not run all others, each of them once.
posts_end() {
  local answered
  touch "$dir/posts.end"
  wait "$posts" || true
  read -r answered lost < <(sed -n 's/^ok \([0-9]*\) lost \([0-9]*\) .*/\1 \2/p' "$dir/posts.log")
  [ "$answered" -gt 100 ] || fail "$(cat "$dir/posts.log")"
  is "$(sort "$dir/out/posts" | uniq -d)" '' "requests that were run twice"
  in_vain=$(($(wc -l <"$dir/out/posts") - answered))
  if [ "$in_vain" -lt 0 ] || [ "$in_vain" -gt "$lost" ]; then
    fail "$in_vain more were run than answered" "$(cat "$dir/posts.log")"
  fi
}
