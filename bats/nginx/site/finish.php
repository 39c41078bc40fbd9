<?php /* SPDX-License-Identifier: MIT */
echo 'finished';
fastcgi_finish_request();
usleep(100000);
echo 'nobody sees this';
