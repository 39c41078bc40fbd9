/* SPDX-License-Identifier: MIT */
/*
 * The watchdog's decision: has the server been idle for long enough? It neither waits nor signals,
 * so the same code runs in the launcher's watchdog process and in fpm-waker's event loop.
 *
 * Between two looks nothing has to happen: a request that ends later than a look ends less than
 * the idle span before the next one, so one wake-up per idle span is exact and costs the request
 * path nothing. Only while programs that requests left running hold the vhost awake (background.h)
 * is there a look each second.
 *
 * Time in which the server was stopped or frozen is no idle time. CLOCK_MONOTONIC stands still
 * while the machine sleeps; for all else, the span begins anew, whole, when things run again:
 * whoever thaws a vhost means to use it, and its clients may need a moment to notice.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../preload/gate.h"

struct watchdog {
        struct gate gate;
        const int *sockets; /* the listening sockets, borrowed */
        size_t n_sockets;
        uint64_t idle_usec; /* GATE_INFINITY: never idle for long enough */

        /* How long programs of requests may hold off the stop, from the last request's end on; and
         * whether there are some: asked only when the idle span is over, and not if this is 0. */
        uint64_t background_limit_usec;
        bool (*programs_run)(void *userdata);
        void *userdata;

        /* Private. */
        uint64_t closed_usec; /* since when we hold the gate closed, 0: open */
        uint64_t awake_usec;  /* until then something was stopped: the idle span begins there */
        uint64_t next_usec;   /* when the next look is due, 0: there was none yet */
};

enum watchdog_verdict {
        WATCHDOG_WAIT, /* look again at *ret_next_usec */
        WATCHDOG_STOP, /* the gate is closed and all is quiet: stop the server now */
};

/*
 * Looks once. Closes the gate when the idle span is over, looks again, and opens it if a request
 * or a queued connection came in between.
 * now_usec, ret_next_usec: CLOCK_MONOTONIC; GATE_INFINITY: no need to look again. A look that comes
 * much later than that says by itself that we were stopped.
 * After WATCHDOG_STOP the gate stays closed for a lease of a few seconds; a caller whose signal
 * did not stop the server looks again at *ret_next_usec.
 */
enum watchdog_verdict watchdog_look(struct watchdog *watchdog, uint64_t now_usec,
                                    uint64_t *ret_next_usec);

/* Says that the server, or the caller, was stopped or frozen until now_usec. */
void watchdog_was_stopped(struct watchdog *watchdog, uint64_t now_usec);

/* Since when the server is idle, 0: it is not ready. Only good after WATCHDOG_STOP. */
uint64_t watchdog_idle_since(const struct watchdog *watchdog);

/*
 * After WATCHDOG_STOP, if the server was not stopped but frozen, or has ended alone: no look is due
 * any more. Opens the gate, for a server that is to go on with a new idle span; or closes it for
 * another lease, for one that shall be looked at once more, at once.
 */
void watchdog_open(struct watchdog *watchdog, uint64_t now_usec);
void watchdog_close(struct watchdog *watchdog, uint64_t now_usec);

/* True if a connection waits in the queue of one of the sockets. */
bool watchdog_is_asked(const struct watchdog *watchdog);
