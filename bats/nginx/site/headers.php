<?php /* SPDX-License-Identifier: MIT */
http_response_code(303);
header('Location: /elsewhere');
header('X-Long: ' . str_repeat('y', 3000));
setcookie('first', '1');
setcookie('second', '2');
echo 'moved';
