/* SPDX-License-Identifier: MIT */
/*
 * Read-ahead: php-fpm takes a request of a few hundred bytes apart in half a dozen reads, each a
 * system call. Here one call fetches all that has come, and the reads are served from memory.
 *
 * A request's first bytes are only peeked at, and taken out of the socket when the worker is done
 * with them: freeing the web server's buffer earlier would wake it for nothing while it waits for
 * the answer.
 *
 * Only in php-fpm, which has one connection at a time and reads it by read(2) and recv(2) alone.
 * For the thread that accepts; nothing here is for signal handlers.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "shim.h"

/* A connection was accepted: from now on it is read ahead, if that is wanted. */
void read_ahead_begin(struct connection *connection);

/* The connection is none of this process's any more. Reads nothing. */
void read_ahead_end(const struct connection *connection);

/* True for the connection that is read ahead. */
static inline bool read_ahead_is_on(const struct connection *connection)
{
        return shim.read_ahead.connection == connection;
}

/* True while bytes are here that the server has not read yet. */
static inline bool read_ahead_has_bytes(const struct connection *connection)
{
        return read_ahead_is_on(connection) && shim.read_ahead.at < shim.read_ahead.end;
}

/*
 * Peeks at what has come. flags: MSG_DONTWAIT, or 0 to wait for it.
 * Returns the number of bytes that are here then, 0 at end of file, or -errno.
 */
long read_ahead_peek(int flags);

/* read(2) of the connection, from memory if possible. Returns what read would. */
long read_ahead_read(void *buffer, size_t size);

/* Takes out of the socket what the server has read; what it has not stays there. Never waits. */
void read_ahead_settle(void);

/* The bytes that are here and that the server has not read. */
const void *read_ahead_rest(size_t *ret_size);

/* Throws away all that is here, read or not. True if nothing else has come. Never waits. */
bool read_ahead_discard(void);
