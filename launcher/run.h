/* SPDX-License-Identifier: MIT */
#pragma once

/* `fpm-waker run`: argv[0] is "run". Returns the exit status for the process. */
int run(int argc, char **argv);

/* What `fpm-waker run --help` prints. */
extern const char run_usage[];
