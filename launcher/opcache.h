/* SPDX-License-Identifier: MIT */
/* In the server's environment: where PHP's OPcache keeps what it has compiled. */
#pragma once

/*
 * Has PHP read one more directory of ini files, the one beside this executable, which makes OPcache
 * keep its files in that directory. One that cannot be used is only complained of: the server is
 * slower without, and would not start with it. NULL: nothing is wanted.
 * Returns 0, or the exit status after having printed what is wrong.
 */
int opcache_prepare_environment(const char *directory);
