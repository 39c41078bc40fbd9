#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# --fd0: servers that want their FastCGI socket as descriptor 0 (php-cgi, everything on libfcgi),
# and spawn-fcgi, which opens it for them.

load ../helpers
load vhost

setup() {
  start_vhost
  hold www=unix
  cat >"$dir/hello.cgi" <<'END'
#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\nhello from a CGI\n'
END
  cat >"$dir/environment.cgi" <<'END'
#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\n'
exec env
END
  chmod 755 "$dir"/*.cgi
}
teardown() { end_vhost; }

# cycle ADDRESS SCRIPT BODY COMMAND...: served, stopped by an idle exit with status 0, untouched,
# twice.
cycle() {
  local address=$1 script=$2 expected=$3 before run
  before=$(look "$address")
  for run in first second; do
    serve --fd0 --exit-idle-time=1s -- "${@:4}"
    is "$(body "$address" "$script")" "$expected" "$run run"
    "$fastcgi" --clients=4 --requests=10 "$address" "$script"
    ended 15
    is "$status" 0 "$run run"
    is "$(look "$address")" "$before" "$run run"
  done
}

@test "php-cgi" { cycle "$www" "$hello" hello php-cgi; }

@test "php-cgi with children" {
  export PHP_FCGI_CHILDREN=3
  cycle "$www" "$hello" hello php-cgi
}

@test "fcgiwrap" { cycle "$www" "$dir/hello.cgi" 'hello from a CGI' fcgiwrap; }

@test "fcgiwrap with children" { cycle "$www" "$dir/hello.cgi" 'hello from a CGI' fcgiwrap -c 3; }

@test "through a shell" { cycle "$www" "$dir/hello.cgi" 'hello from a CGI' sh -c 'exec fcgiwrap'; }

@test "programs that fcgiwrap starts see nothing of fpm-waker" {
  local text word
  serve --fd0 --exit-idle-time=1min -- fcgiwrap
  text=$(body "$www" "$dir/environment.cgi")
  contains "$text" SCRIPT_FILENAME=
  for word in LD_PRELOAD LISTEN_ FPM_WAKER; do
    lacks "$text" "$word"
  done
}

@test "a request that takes longer than the idle span" {
  cat >"$dir/slow.cgi" <<'END'
#!/bin/sh
sleep 3
printf 'Content-Type: text/plain\r\n\r\nslow\n'
END
  chmod 755 "$dir/slow.cgi"
  serve --fd0 --exit-idle-time=1s -- fcgiwrap
  is "$(body "$www" "$dir/slow.cgi")" slow
  ended
  is "$status" 0
}

# stopped_in_request SCRIPT COMMAND...: the request is answered whole, then the server ends.
stopped_in_request() {
  local client
  serve --fd0 -- "${@:2}"
  start client "$fastcgi" "--param=QUERY_STRING=s=1.5&n=it" --expect=slept "$www" "$1"
  client=$pid
  wait_for test -e "$dir/out/it.began"
  kill -TERM "$server"
  wait "$client"
  ended
  is "$status" 0
  rm -r "$dir"/out/*
}

@test "told to stop in the middle of a request" {
  # fcgiwrap by itself waits for its CGI by select(), and ends the answer when a signal comes.
  cat >"$dir/nap.cgi" <<END
#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\n'
: >$dir/out/it.began
sleep 1.5
echo slept
END
  chmod 755 "$dir/nap.cgi"
  stopped_in_request "$dir/nap.cgi" fcgiwrap
  stopped_in_request "$dir/nap.cgi" fcgiwrap -c 2
  stopped_in_request "$nap" php-cgi
}

@test "a socket passed as descriptor 0, as inetd does" {
  configure www "$www"
  holder_options=--fd0 serve --exit-idle-time=1s
  is_up "$www"
  ended
  is "$status" 0
}

@test "a socket passed as descriptor 0, kept there" {
  holder_options=--fd0 serve --fd0 --exit-idle-time=1s -- fcgiwrap
  is "$(body "$www" "$dir/hello.cgi")" 'hello from a CGI'
  ended
  is "$status" 0
}

@test "spawn-fcgi in front opens the socket: the passed one is what it gets" {
  local before run
  before=$(look "$www")
  for run in first second; do
    serve -- spawn-fcgi -n -s "$www" -- "$(command -v fcgiwrap)"
    is "$(body "$www" "$dir/hello.cgi")" 'hello from a CGI' "$run run"
    end TERM
    is "$(look "$www")" "$before" "$run run"
  done
}

@test "spawn-fcgi on TCP" {
  local before
  hold_tcp
  before=$(look "$tcp")
  run_server "$dir/holder.tcp" "$launcher" "--preload=$shim" -- \
    spawn-fcgi -n -a 127.0.0.1 -p "${tcp##*:}" -- "$(command -v php-cgi)"
  is "$(body "$tcp" "$hello")" hello
  end TERM
  is "$(look "$tcp")" "$before"
}
