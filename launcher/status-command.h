/* SPDX-License-Identifier: MIT */
/* `fpm-waker status`: shows what vhosts do. Wakes none, and renews no idle time. */
#pragma once

/* argv[0] is "status". Returns the exit status for the process. */
int status_command(int argc, char **argv);
