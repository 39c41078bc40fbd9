/* SPDX-License-Identifier: MIT */
/*
 * poll(2), select(2) and the like, where a thread waits for one descriptor that is ours:
 *
 * - A connection between two requests: kept-alive, and the gate's closing is seen, as in read(2).
 * - A passed socket: the thread is back, as in accept(2).
 *
 * Whoever waits for several at once may have other work that is not ours to see, so that counts as
 * busy as long as its connection is open.
 */
#pragma once

#include <poll.h>
#include <sys/select.h>
#include <time.h>

/*
 * ppoll(2) and pselect(2). timeout: NULL for ever; what is left of it is written back. mask: NULL
 * or the kernel's 8 bytes. Return what the call would, or -errno.
 */
long wait_poll(struct pollfd *fds, nfds_t n, struct timespec *timeout, const void *mask);
long wait_select(int n, fd_set *read, fd_set *write, fd_set *except, struct timespec *timeout,
                 const void *mask);
