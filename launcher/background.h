/* SPDX-License-Identifier: MIT */
/*
 * Programs that requests left running: what PHP's exec("... &") or proc_open() started, and what
 * those started in turn. They die with their vhost, so an idle vhost may wait for them.
 *
 * Nothing is noted when they start. A process of the server's cgroup counts if
 *
 *   - it was started after the server could take its first connection: what an image's entrypoint
 *     starts before is no request's;
 *   - it is neither the server nor one of its workers, which are forks of it, or have a slot: those
 *     of a master that was killed go on beside the next one's;
 *   - its parents lead to the server, or to nowhere, as those of an orphan do. They lead elsewhere
 *     through a process that is older than the server's readiness, such as a cron daemon.
 *
 * So an administrator's `docker exec` counts too: it came from outside. A process that /proc hides
 * from us does not.
 *
 * The kernel tells the start of a process to a tick of 10 ms, in which a server may be started and
 * get ready. Of that tick counts what was not started with the launcher's environment: the shim
 * hides that from what PHP starts (children_hide()).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../preload/gate.h"
#include "process.h"

/* So many are named in the log. */
#define BACKGROUND_NAMED 8

struct background {
        /* What the last look has found. */
        size_t n;
        struct process first[BACKGROUND_NAMED];

        /* Private: what the log has of them. */
        enum { BACKGROUND_NOT_SAID, BACKGROUND_SAID_HELD, BACKGROUND_SAID_CUT_OFF } said;
};

/*
 * The rule: notes which of these processes count. list is sorted by pid, the server is one of it.
 * since_ticks: when the server was ready for the first time, as process.started_ticks.
 */
void background_count(struct background *background, const struct process *list, size_t n,
                      pid_t server, uint64_t since_ticks);

/*
 * Looks for such programs, at the cost of a few files in /proc for each process of the cgroup.
 * Returns true if there are some.
 *
 * server: as our pid namespace sees it. page: its own.
 */
bool background_look(struct background *background, pid_t server, const struct gate_page *page);

/*
 * Says in the log what becomes of what the last look has found, once: the vhost is awake for it,
 * or stops although it runs. To be called after each decision.
 * limit_usec: how long it may hold the vhost awake.
 */
void background_say(struct background *background, bool stopping, uint64_t limit_usec);
