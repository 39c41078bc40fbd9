/* SPDX-License-Identifier: MIT */
/*
 * The end of a kept-alive connection while the gate is closed. Whoever closes it takes the risk
 * that the web server is just writing a request into it, and a POST that fails so is not sent
 * again. So the web server is told, and closes the connection itself, which is without risk. What
 * each of them listens to was found by trying, and in their sources:
 *
 *   nginx    closes a connection when bytes come that belong to no request, be it idle or be it
 *            right behind an answer: an empty record of FCGI_STDERR, the goodbye.
 *   HAProxy  does so only while the connection is idle; after an answer when that has said
 *            FCGI_OVERLOADED, which does the answer no harm. Elsewhere it may count as a failure,
 *            so nobody else gets that.
 *   Apache   looks whether a connection is still open right before it writes a request into it,
 *            and listens to nothing else. Its requests are served until it has none for a while,
 *            or has gone on twice after an answer with a goodbye: then the close follows
 *            immediately behind an answer, over TCP in one piece with it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#include "shim.h"

#define GOODBYE_VECTOR_MAX 8 /* longer ones are written without one */

/*
 * writev(2) of the end of a kept-alive connection's last request, with a goodbye behind it. Returns
 * what writev would, without the goodbye.
 */
long goodbye_write(int fd, struct connection *connection, const struct iovec *vector, int n,
                   size_t size);

/*
 * Between two requests: waits for the web server to close, and closes if it does not. Returns true
 * if there is something to read: end of file, or a request after all.
 */
bool goodbye_see_off(int fd, struct connection *connection);

/*
 * The server closes the connection by itself, behind an answer: a worker's last one, by
 * pm.max_requests. True if it was closed here, without waiting for the web server.
 */
bool goodbye_finish(int fd, struct connection *connection);

/* A request has begun. id: its own, or 0 if there are several. */
void goodbye_did_begin(struct connection *connection, unsigned id);

/* An answer has ended. With the gate open, patience with who goes on begins anew. */
void goodbye_did_answer(struct connection *connection);
