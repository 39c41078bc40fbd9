<?php /* SPDX-License-Identifier: MIT */
ini_set('display_errors', '0');
throw new Exception('on purpose');
