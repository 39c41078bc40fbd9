#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# What programs that PHP starts see of fpm-waker: nothing.

load ../helpers
load vhost

setup() {
  start_vhost
  # Each way to start a program, each with the program's environment and descriptors. `exec` in
  # front of env, so that no shell stands between.
  children=$(
    page children.php <<'END'
<?php
$see = 'exec ' . $_SERVER['SEE'];
function piped($file) { $text = stream_get_contents($file); return $text; }
switch ($_GET['by']) {
case 'exec':       exec($see, $lines); echo implode("\n", $lines), "\n"; break;
case 'shell_exec': echo shell_exec($see); break;
case 'system':     system($see); break;
case 'passthru':   passthru($see); break;
case 'popen':      $p = popen($see, 'r'); echo stream_get_contents($p); pclose($p); break;
case 'proc_open':
    $p = proc_open($see, [['file', '/dev/null', 'r'], ['pipe', 'w'], ['file', '/dev/null', 'w']], $pipes);
    echo stream_get_contents($pipes[1]);
    proc_close($p);
    break;
case 'proc_open_array':
    $p = proc_open([$_SERVER['SEE']], [['file', '/dev/null', 'r'], ['pipe', 'w'], ['file', '/dev/null', 'w']], $pipes);
    echo stream_get_contents($pipes[1]);
    proc_close($p);
    break;
case 'proc_open_env':
    $p = proc_open($see, [['file', '/dev/null', 'r'], ['pipe', 'w'], ['file', '/dev/null', 'w']], $pipes, null, ['OWN' => 'x']);
    echo stream_get_contents($pipes[1]);
    proc_close($p);
    break;
case 'itself':
    foreach (getenv() as $name => $value) echo "$name=$value\n";
    break;
case 'putenv':
    putenv('LD_PRELOAD=' . $_SERVER['COUNTING']);
    putenv('OWN=y');
    echo shell_exec($see);
    break;
}
END
  )
  # The environment, then what each descriptor is, but for open scripts.
  cat >"$dir/see" <<'END'
#!/bin/sh
/usr/bin/env | /usr/bin/grep -v -e '^_=' -e '^PWD=' -e '^SHLVL=' -e '^OLDPWD='
for fd in /proc/$$/fd/*; do
  target=$(readlink "$fd")
  case $target in */see | *.php) continue ;; esac
  echo "fd ${target%%[0-9]*}"
done
END
  chmod 755 "$dir/see"
  see=$dir/see
  hold www=unix
}
teardown() { end_vhost; }

ways=(exec shell_exec system passthru popen proc_open proc_open_array proc_open_env itself)

# What must be in none of their environments, and none of their descriptors.
ours='^(LD_PRELOAD|LISTEN_|FPM_WAKER|FPM_SOCKETS)|^fd .*(eventfd|memfd|eventpoll|socket:)'

seen() {
  get "$1" "$children" "by=$2" "--param=SEE=$see" "--param=COUNTING=$counting" "${@:3}"
}

# same_as_bare [LINE...]: with pools of these LINEs, programs see under fpm-waker what they see
# under the bare server, less the sockets that bare php-fpm leaks. Nothing else may be missing.
same_as_bare() {
  local way
  configure bare "$dir/bare.sock" 'listen.mode = 0666' "$@"
  export ADMIN=kept
  serve_bare
  wait_for test -S "$dir/bare.sock"
  declare -A expected
  for way in "${ways[@]}"; do
    expected[$way]=$(seen "$dir/bare.sock" "$way" | grep -v '^fd socket:' | sort)
    [ -n "${expected[$way]}" ]
  done
  end QUIT
  reconfigure bare "$www" "$@"
  serve --exit-idle-time=1min
  for way in "${ways[@]}"; do
    is "$(seen "$www" "$way" | sort)" "${expected[$way]}" "$way"
  done
}

@test "the same as without fpm-waker, clear_env = yes" {
  same_as_bare 'clear_env = yes'
}

@test "the same as without fpm-waker, clear_env = no" {
  same_as_bare 'clear_env = no'
  contains "$(seen "$www" exec)" 'ADMIN=kept' "an administrator's own variable"
}

@test "no word and no descriptor of fpm-waker's" {
  local way clear text
  for clear in yes no; do
    reconfigure www "$www" "clear_env = $clear"
    serve --exit-idle-time=1min --drain-limit=30s
    for way in "${ways[@]}"; do
      text=$(seen "$www" "$way")
      [ -n "$text" ]
      is "$(grep -E "$ours" <<<"$text")" '' "$way, clear_env = $clear"
    done
    end QUIT
  done
}

@test "the same after a reload, when FPM_SOCKETS is set" {
  local way text
  configure www "$www" 'clear_env = no'
  serve
  is_up "$www"
  reload
  for way in "${ways[@]}"; do
    text=$(seen "$www" "$way")
    [ -n "$text" ]
    is "$(grep -E "$ours" <<<"$text")" '' "$way"
  done
}

@test "the options' variables are gone too" {
  configure www "$www" 'clear_env = no'
  FPM_WAKER_EXIT_IDLE_TIME=1min FPM_WAKER_DRAIN_LIMIT=10s serve
  lacks "$(seen "$www" exec)" FPM_WAKER
}

@test "an administrator's own LD_PRELOAD survives" {
  configure www "$www" 'clear_env = no'
  LD_PRELOAD=$counting serve
  is "$(seen "$www" exec | grep '^LD_PRELOAD=')" "LD_PRELOAD=$counting"
  reload
  is "$(seen "$www" exec | grep '^LD_PRELOAD=')" "LD_PRELOAD=$counting"
}

@test "LD_PRELOAD and variables that PHP code sets itself survive" {
  local clear text
  for clear in yes no; do
    reconfigure www "$www" "clear_env = $clear"
    serve
    text=$(seen "$www" putenv)
    contains "$text" "LD_PRELOAD=$counting"
    contains "$text" OWN=y
    end QUIT
  done
}

@test "env[] lines of a pool survive" {
  configure www "$www" 'env[LD_PRELOAD] = '"$counting" 'env[LISTEN_FDS_NOT_OURS] = 1'
  serve
  contains "$(seen "$www" exec)" "LD_PRELOAD=$counting"
}

@test "a program that runs on holds neither a connection nor the listener" {
  local background
  configure www "$www" 'clear_env = no'
  serve
  page background.php <<<'<?php exec("sleep 300 >/dev/null 2>&1 & echo \$!", $l); echo $l[0], "\n";'
  background=$(body "$www" "$dir/www/background.php")
  started+=("$background")
  kill -0 "$background"
  is "$(listeners_of "$background" "$www")" ''
  is "$(find "/proc/$background/fd" -lname 'socket:*')" ''
}
