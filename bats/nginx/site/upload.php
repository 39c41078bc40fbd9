<?php /* SPDX-License-Identifier: MIT */
echo $_FILES['file']['name'], ' ', $_FILES['file']['size'], ' ', md5_file($_FILES['file']['tmp_name']);
