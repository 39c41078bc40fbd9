/* SPDX-License-Identifier: MIT */
/* A worker: it accepts through the gate, and is busy from there until it is back at accept. */
#pragma once

#include "shim.h"

/*
 * accept4(2) on a descriptor that may be an adopted socket. Waits at the gate, and takes a
 * connection only while it is open. Returns the connection or -errno; -EINTR after a signal.
 */
long worker_accept(int fd, struct sockaddr *address, socklen_t *size, int flags);

/*
 * This process is told of connections on a descriptor from now on (epoll(7)). If that is a passed
 * socket and accept() does not wait for one, the server is ready although nobody has connected.
 */
void worker_stand_by(int fd);

/* A request has begun: whoever else waits needs another worker. */
void worker_has_begun(void);

/*
 * Before this thread waits for a connection by poll(2) or select(2): it is back, as in accept.
 * Returns 0, or -EINTR if a signal that waited for this is to interrupt the call.
 */
long worker_wait(void);

/* The server closed its last descriptor of a passed socket. Signal-safe: php-fpm does it in its
 * handler of SIGQUIT, to get a waiting worker out of accept(). */
void worker_leave(struct listener *listener);

/* In a forked child: the slot is the parent's. */
void worker_forget_slot(void);

/* True while this thread's worker has a connection. Signal-safe. */
bool worker_is_busy(void);
