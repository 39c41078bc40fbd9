<?php
echo 'finished';
fastcgi_finish_request();
usleep(100000);
echo 'nobody sees this';
