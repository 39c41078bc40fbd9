/* SPDX-License-Identifier: MIT */
/* How much memory a vhost has now. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

/*
 * Adds up the memory of all processes of the two processes' cgroups, what several of them share
 * divided among those who do (PSS), so the sum over all vhosts is what they really take. Works
 * without a memory controller. 0: unknown, or nothing runs.
 */
uint64_t memory_of(pid_t main, pid_t server);
