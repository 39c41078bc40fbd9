/* SPDX-License-Identifier: MIT */
/*
 * What a server leaves behind when it ends: helpers of its entrypoint, programs that requests left
 * running and that were waited for long enough. In a container of its own they would end with it,
 * and so they do here: the next run starts its own.
 *
 * They are children of ours by then, as we take on every orphan (PR_SET_CHILD_SUBREAPER). What we
 * had as a child before the first run, from a script that became us by exec, is not meant, nor is
 * what came into the container from outside, nor what answers requests in a server's place. Workers
 * of a master that was killed may go on with their request: they get SIGTERM, which the shim defers
 * until it is done.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "../preload/gate.h"
#include "unavailable.h"

/*
 * Ends the leftovers that there are now; their own children become leftovers only when they are
 * dead. since_ticks: when the first run started, as process.started_ticks.
 * Returns how many were killed, workers not counted: 0: there are no more.
 */
size_t leftovers_end(struct gate_page *page, uint64_t since_ticks,
                     const struct unavailable *unavailable);
