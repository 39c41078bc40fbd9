/* SPDX-License-Identifier: MIT */
#include "read-ahead.h"

#include "raw.h"
#include "record.h"
#include "text.h"

void read_ahead_begin(struct connection *connection)
{
        struct read_ahead *ahead = &shim.read_ahead;

        if (!shim.is_php_fpm || !shim.gate.page->read_ahead || ahead->connection)
                return;
        ahead->connection = connection;
        ahead->at = ahead->end = ahead->peeked = 0;
}

void read_ahead_end(const struct connection *connection)
{
        if (read_ahead_is_on(connection))
                shim.read_ahead.connection = NULL;
}

/* size bytes are at the buffer's start; peeked of them are in the socket too. */
static void hold(long size, bool peeked)
{
        struct read_ahead *ahead = &shim.read_ahead;

        ahead->at = 0;
        ahead->end = size > 0 ? (uint32_t)size : 0;
        ahead->peeked = peeked ? ahead->end : 0;
}

/*
 * Takes size bytes that are known to be there out of the socket, and what has come behind them, up
 * to room bytes, into the buffer. Returns their number or what recv(2) says.
 */
static long take_out(size_t size, size_t room)
{
        struct read_ahead *ahead = &shim.read_ahead;
        /* Both at the buffer's start: what is known is overwritten by what is new. */
        struct iovec vector[2] = {{.iov_base = ahead->buffer, .iov_len = size},
                                  {.iov_base = ahead->buffer, .iov_len = room}};
        struct msghdr message = {.msg_iov = vector, .msg_iovlen = 2};
        long r = raw3(recvmsg, ahead->connection->fd, &message, MSG_DONTWAIT);

        return r > 0 ? r - (long)size : r;
}

long read_ahead_peek(int flags)
{
        struct read_ahead *ahead = &shim.read_ahead;
        long r;

        if (ahead->at < ahead->end)
                return ahead->end - ahead->at;
        read_ahead_settle();
        r = raw6(recvfrom, ahead->connection->fd, ahead->buffer, sizeof(ahead->buffer),
                 flags | MSG_PEEK, NULL, NULL);
        hold(r, true);
        return r;
}

/* The rest of a request that is larger than what was peeked at: its sender may well be woken. */
static long fill(void)
{
        struct read_ahead *ahead = &shim.read_ahead;
        long r = 0;

        if (ahead->peeked)
                r = take_out(ahead->peeked, sizeof(ahead->buffer));
        if (r <= 0)
                r = raw_read(ahead->connection->fd, ahead->buffer, sizeof(ahead->buffer));
        hold(r, false);
        return r;
}

long read_ahead_read(void *buffer, size_t size)
{
        struct read_ahead *ahead = &shim.read_ahead;
        const struct connection *connection = ahead->connection;
        bool begins = connection->active == 0 && record_at_boundary(&connection->in);
        long r;

        if (ahead->at == ahead->end && size >= sizeof(ahead->buffer)) {
                read_ahead_settle();
                return raw_read(connection->fd, buffer, size);
        }
        if (ahead->at == ahead->end) {
                r = begins ? read_ahead_peek(0) : fill();
                if (r <= 0)
                        return r;
        }
        if (size > ahead->end - ahead->at)
                size = ahead->end - ahead->at;
        memcpy(buffer, ahead->buffer + ahead->at, size);
        ahead->at += (uint32_t)size;
        return (long)size;
}

void read_ahead_settle(void)
{
        const struct read_ahead *ahead = &shim.read_ahead;

        if (!ahead->peeked)
                return;
        if (ahead->at)
                (void)take_out(ahead->at, 0);
        hold(0, false);
}

const void *read_ahead_rest(size_t *ret_size)
{
        const struct read_ahead *ahead = &shim.read_ahead;

        *ret_size = ahead->end - ahead->at;
        return ahead->buffer + ahead->at;
}

bool read_ahead_discard(void)
{
        const struct read_ahead *ahead = &shim.read_ahead;

        hold(take_out(ahead->peeked, sizeof(ahead->buffer)), false);
        return ahead->end == 0;
}
