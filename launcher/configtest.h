/* SPDX-License-Identifier: MIT */
/*
 * `fpm-waker configtest`: has php-fpm test its configuration as the vhost's service would start it,
 * so that a reload that could only fail is refused while the server goes on.
 */
#pragma once

/* argv[0] is "configtest". Returns the exit status for the process. */
int configtest(int argc, char **argv);
