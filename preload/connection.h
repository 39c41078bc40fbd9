/* SPDX-License-Identifier: MIT */
/*
 * An accepted connection: whether its worker has a request, or waits between two requests of a
 * kept-alive client, which is not traffic and must not hold up a drain.
 */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>
#include <time.h>

#include "shim.h"

/* The connection behind a descriptor, or NULL. */
struct connection *connection_of(int fd);

/* Starts to follow a connection that slot's worker accepted. NULL: too many, it is not followed. */
struct connection *connection_open(int fd, struct gate_slot *slot);

/* Before its descriptor, or one of them, is closed. */
void connection_before_close(const struct connection *connection);

/* Notes one more descriptor of it, and one less: with the last it ends, and a slot that was left
 * behind with it is free. */
void connection_track(struct connection *connection, int fd);
void connection_forget(struct connection *connection, int fd);

/*
 * Its worker goes on to accept while somebody else, a thread, works on it. Returns true if the slot
 * stays with it; false if it has ended.
 */
bool connection_leave_behind(struct connection *connection, const struct gate_slot *slot);

/* True while somebody works on a connection that was left behind. Signal-safe. */
bool connection_is_any_left_behind(void);

/* In a forked child: none of the parent's connections is this process's. */
void connection_forget_all(void);

/*
 * Before a read. If that waits, and the descriptor is not set to something else, then between two
 * requests of a kept-alive client this waits for the next one or for the gate to close.
 * Returns 1: read now; 0: the gate is closed, answer end of file; -EINTR, or -EAGAIN when the
 * socket's own timeout is up.
 */
int connection_before_read(int fd, struct connection *connection, bool waits);

/* read(2), after connection_before_read(). Returns what read would. */
long connection_read(int fd, struct connection *connection, void *buffer, size_t size);

/*
 * ppoll(2) of this connection alone; waits: for input, and not just looking. Between two requests
 * this waits as a read does. Bytes that were read ahead are there at once. Returns what ppoll
 * would.
 */
long connection_poll(struct connection *connection, struct pollfd *client, struct timespec *timeout,
                     const void *mask, bool waits);

/*
 * True if these bytes, which follow those that the server has read, end its request's body. Then
 * they count as read: php-fpm leaves the end of an empty body unread.
 */
bool connection_ends_with(struct connection *connection, const void *data, size_t size);

/*
 * Of a connection that is read ahead: takes what is left of the request out of the socket. True if
 * that was all of it, and nothing has come behind it. Never waits.
 */
bool connection_take_rest(struct connection *connection);

/*
 * shutdown(SHUT_WR): true if nothing is left to do but to close. php-fpm would otherwise wait for
 * the web server to close first, and sleep once more for each request.
 */
bool connection_finish(struct connection *connection);

/* After a read that brought nothing. If that is the client's end of it, it is no request. */
void connection_did_end(const struct connection *connection, long result);

/* After a read (write) of size bytes that lie in the vector. */
void connection_did_read(struct connection *connection, const struct iovec *vector, size_t size);
void connection_did_write(struct connection *connection, const struct iovec *vector, size_t size);

/*
 * After size bytes went by that nobody saw (splice, sendfile). They may be the content of a record;
 * if a header can be among them, the connection counts as busy until it is closed.
 */
void connection_did_read_unseen(struct connection *connection, size_t size);
void connection_did_write_unseen(struct connection *connection, size_t size);

/*
 * write(2) and writev(2). If this ends a kept-alive request while the gate is closed, a goodbye
 * record goes out with it. Returns what the call would, without the record.
 */
long connection_write(int fd, struct connection *connection, const struct iovec *vector, int n);
