<?php /* SPDX-License-Identifier: MIT */
error_log('one line');
error_log("several\nlines");
if (isset($_GET['large']))
    error_log(str_repeat('x', 1500));
echo $undefined;
echo 'done';
