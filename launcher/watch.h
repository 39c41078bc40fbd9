/* SPDX-License-Identifier: MIT */
/*
 * Looks after a server that this launcher has started, and stops it when it has been idle for long
 * enough. Who does so waits by itself: for the server's end, for the next look, for whatever else.
 *
 * When a process that was stopped, or whose cgroup was frozen, goes on, epoll_wait() fails with
 * EINTR (signal(7)): then watchdog_was_stopped() is to be called. ppoll() would just wait on, and
 * hide a pause that ends before the next look.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "background.h"
#include "sockets.h"
#include "watchdog.h"

struct watched {
        struct watchdog watchdog;
        bool told_to_stop; /* by the last look: it was idle */

        /* Private. */
        struct background background;
        pid_t pid;    /* who became the server by exec, or the master that outlives it */
        int pidfd;    /* of pid */
        int epoll_fd; /* with pidfd in it, borrowed */
        int stop_signal;
        uint64_t warn_usec; /* when to warn that nobody took a socket, GATE_INFINITY: never */
};

/* The timeout for epoll_wait() until next_usec: not a bit too early. A span of weeks is cut: to
 * look too early is no harm. */
static inline int watch_timeout(uint64_t now_usec, uint64_t next_usec)
{
        uint64_t span_usec = next_usec > now_usec ? next_usec - now_usec : 0;
        uint64_t span_msec = span_usec / 1000 + 1;

        return span_msec < INT_MAX ? (int)span_msec : INT_MAX;
}

/* A descriptor that is readable when the process has ended, or -errno. */
int watch_open_pidfd(pid_t pid);

/*
 * Begins to watch pid, which becomes the server by exec. *watched stays where it is.
 * idle_usec: GATE_INFINITY: never idle for long enough. stop_signal: what ends the server
 * gracefully. epoll_fd has EPOLLIN with data.fd = watched->pidfd when the server has ended; pidfd
 * then belongs to *watched. Returns false, with errno, if that is not possible.
 */
bool watch_begin(struct watched *watched, const struct passed *passed, uint64_t idle_usec,
                 int stop_signal, int epoll_fd, pid_t server, int pidfd);

/* Looks at the server, and stops it if it is idle. Returns when to look again. */
uint64_t watch_look(struct watched *watched, uint64_t now_usec);

/* Tells the server to end gracefully, or, before there is one, the entrypoint to end. */
void watch_stop(const struct watched *watched);

/*
 * Gives a signal to the server's master, unless it would only be ended by it, having no handler.
 * The kernel spares an init in the same way. False if there is no master yet, or if it is being
 * stopped or reloaded.
 */
bool watch_signal_master(const struct watched *watched, int signal);

/* The watched process has ended. True if its server went to the background and lives on: that is
 * watched from now on. */
bool watch_follow_daemon(struct watched *watched);

/* The server has ended: closes what belongs to *watched. */
void watch_end(struct watched *watched);
