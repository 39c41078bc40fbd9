#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# What PHP code does with sockets and files of its own is none of fpm-waker's business.

load ../helpers
load vhost

setup() {
  start_vhost
  hold www=unix
}
teardown() { end_vhost; }

# says SCRIPT TEXT: the script says this without fpm-waker and with it.
says() {
  local script=$1 before
  configure bare "$dir/bare.sock" 'listen.mode = 0666' 'pm.max_children = 3'
  serve_bare
  wait_for test -S "$dir/bare.sock"
  is "$(body "$dir/bare.sock" "$script" "--param=OUT=$dir/out" "--param=WWW=$dir/bare.sock")" "$2" \
    'without fpm-waker'
  end QUIT
  rm -f "$dir"/out/*
  before=$(look "$www")
  reconfigure bare "$www" 'pm.max_children = 3'
  serve
  is "$(body "$www" "$script" "--param=OUT=$dir/out" "--param=WWW=$www")" "$2" 'with fpm-waker'
  is_up "$www"
  end QUIT
  is "$status" 0
  is "$(look "$www")" "$before"
}

@test "unix sockets: bind, listen, chmod, connect, accept, unlink" {
  page code.php <<'END'
<?php
$path = $_SERVER['OUT'] . '/own.sock';
$server = stream_socket_server("unix://$path", $errno, $error) or die($error);
chmod($path, 0640);
clearstatcache();
printf("%s %o\n", filetype($path), fileperms($path) & 0777);
$client = stream_socket_client("unix://$path") or die('no connection');
$peer = stream_socket_accept($server, 5) or die('nothing to accept');
fwrite($client, "ping\n");
echo fgets($peer);
fwrite($peer, "pong\n");
echo fgets($client);
fclose($peer);
var_dump(fgets($client));
fclose($server);
var_dump(unlink($path), file_exists($path));
var_dump(@stream_socket_client("unix://$path"));
END
  says "$dir/www/code.php" $'socket 640\nping\npong\nbool(false)\nbool(true)\nbool(false)\nbool(false)'
}

@test "TCP sockets: bind, listen, connect, accept, a non-blocking one" {
  page code.php <<'END'
<?php
foreach (['127.0.0.1', '[::1]'] as $host) {
    $server = stream_socket_server("tcp://$host:0", $errno, $error) or die($error);
    var_dump(@stream_socket_accept($server, 0.05));
    $client = stream_socket_client('tcp://' . stream_socket_get_name($server, false)) or die('no');
    stream_set_blocking($client, false);
    var_dump(fgets($client));
    $peer = stream_socket_accept($server, 5) or die('nothing to accept');
    fwrite($peer, "pong\n");
    $read = [$client]; $write = $except = null;
    echo stream_select($read, $write, $except, 5), ' ', fgets($client);
}
END
  says "$dir/www/code.php" \
    $'bool(false)\nbool(false)\n1 pong\nbool(false)\nbool(false)\n1 pong'
}

@test "files: open, write, read, chmod, rename, unlink, temporary ones" {
  page code.php <<'END'
<?php
$file = $_SERVER['OUT'] . '/file';
for ($i = 0; $i < 100; $i++) {
    file_put_contents("$file$i", str_repeat("line $i\n", 1000));
    chmod("$file$i", 0600);
    rename("$file$i", "$file.$i");
    if (file_get_contents("$file.$i") !== str_repeat("line $i\n", 1000)) die('other content');
    unlink("$file.$i") or die('not unlinked');
}
$t = tmpfile();
fwrite($t, 'temporary');
rewind($t);
echo fread($t, 100), ' ', count(glob("$file*")), ' ', count(scandir('/proc/self/fd')) > 3 ? 'ok' : '?', "\n";
END
  says "$dir/www/code.php" 'temporary 0 ok'
}

@test "descriptors are not used up" {
  page code.php <<'END'
<?php
for ($i = 0; $i < 500; $i++) {
    $s = stream_socket_server('tcp://127.0.0.1:0');
    $c = stream_socket_client('tcp://' . stream_socket_get_name($s, false));
    $p = stream_socket_accept($s);
    fclose($c); fclose($p); fclose($s);
    fclose(fopen('/etc/hostname', 'r'));
}
echo count(scandir('/proc/self/fd')) < 30 ? 'few' : 'many', "\n";
END
  says "$dir/www/code.php" few
}

@test "a script that asks its own vhost" {
  page code.php <<'END'
<?php
function record($type, $content) { return pack('CCnnCC', 1, $type, 1, strlen($content), 0, 0) . $content; }
function param($name, $value) { return pack('CC', strlen($name), strlen($value)) . $name . $value; }
$s = stream_socket_client('unix://' . $_SERVER['WWW'], $errno, $error, 5) or die($error);
fwrite($s, record(1, pack('nCx5', 1, 0))
    . record(4, param('SCRIPT_FILENAME', __DIR__ . '/hello.php') . param('REQUEST_METHOD', 'GET'))
    . record(4, '') . record(5, ''));
echo str_contains(stream_get_contents($s), "hello\n") ? 'answered' : 'not answered', "\n";
END
  says "$dir/www/code.php" answered
}

@test "a script that serves requests of its own on a socket, in the same worker" {
  page code.php <<'END'
<?php
$server = stream_socket_server('unix://' . $_SERVER['OUT'] . '/s') or die('no server');
for ($i = 0; $i < 20; $i++) {
    $clients[$i] = stream_socket_client('unix://' . $_SERVER['OUT'] . '/s');
    fwrite($clients[$i], "$i\n");
}
$sum = 0;
for ($i = 0; $i < 20; $i++) {
    $peer = stream_socket_accept($server, 5);
    $sum += (int)fgets($peer);
    fclose($peer);
}
echo $sum, "\n";
END
  says "$dir/www/code.php" 190
}

@test "a script that asks a listening program over TCP" {
  local port
  port=$(free_port)
  start socat socat "TCP4-LISTEN:$port,bind=127.0.0.1,fork,reuseaddr" SYSTEM:'echo there'
  listens() { [ -n "$(backlog "127.0.0.1:$port")" ]; }
  wait_for listens
  page code.php <<END
<?php echo stream_get_contents(stream_socket_client('tcp://127.0.0.1:$port'));
END
  says "$dir/www/code.php" there
}

@test "the body of a request is read to its last byte, the answer written to its last" {
  head -c 3000000 /dev/urandom >"$dir/body"
  page code.php <<'END'
<?php
$body = file_get_contents('php://input');
echo strlen($body), ' ', md5($body), "\n", str_repeat('0123456789abcdef', 200000), "\n";
END
  configure www "$www"
  serve
  local answer
  answer=$(body "$www" "$dir/www/code.php" "--body=$dir/body")
  is "$(head -n 1 <<<"$answer")" "3000000 $(md5sum <"$dir/body" | cut -d' ' -f1)"
  is "$(tail -n 1 <<<"$answer" | md5sum)" \
    "$(yes 0123456789abcdef | head -n 200000 | tr -d '\n' | { cat && echo; } | md5sum)"
}

@test "a script that leaves its request's body unread" {
  head -c 3000000 /dev/zero >"$dir/body"
  configure www "$www"
  serve
  is "$(body "$www" "$who" "--body=$dir/body")" www
  is "$(request "$www" "$who" "--body=$dir/body" --keep-conn --requests=3 | grep -c '^www$')" 3
}

@test "what PHP writes to the error stream of FastCGI arrives there" {
  configure www "$www" 'php_admin_flag[log_errors] = on' 'php_admin_flag[display_errors] = off' \
    'catch_workers_output = no'
  serve
  page code.php <<<'<?php error_log("said to the log"); echo "said\n";'
  is "$(body "$www" "$dir/www/code.php" 2>"$dir/stderr")" said
  contains "$(cat "$dir/stderr")" 'said to the log'
}
