<?php /* SPDX-License-Identifier: MIT */
require __DIR__ . '/wp-includes/version.php';
echo "WordPress $wp_version, running in ", __DIR__, "\n";
