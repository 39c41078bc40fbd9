<?php /* SPDX-License-Identifier: MIT */
$wp_version = '6.0';
