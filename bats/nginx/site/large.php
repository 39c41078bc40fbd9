<?php /* SPDX-License-Identifier: MIT */
for ($i = 0; $i < 20; $i++)
    echo substr(str_repeat(md5((string)$i), 31250), 0, 1000000);
