<?php
// SPDX-License-Identifier: MIT
// What the soak's clients ask (see client.c): who answers, the token, and the body, as they came.
// SERVER is another word for each start of the server.
echo getmypid(), ' ', posix_getppid(), ' ', $_SERVER['SERVER'] ?? gethostname(), "\n";
if ($_GET['flush'])
    flush();
if ($_GET['sleep'])
    usleep((int)$_GET['sleep']);
echo $_GET['token'], "\n", file_get_contents('php://input');
if ($_GET['late']) {
    fastcgi_finish_request();
    usleep((int)$_GET['late']);
    file_put_contents($_SERVER['LATE'] ?? __DIR__ . '/late', 'x', FILE_APPEND);
}
