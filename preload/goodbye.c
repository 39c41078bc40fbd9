/* SPDX-License-Identifier: MIT */
#include "goodbye.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>

#include "connection.h"
#include "raw.h"
#include "read-ahead.h"
#include "text.h"

/* An empty FCGI_STDERR record of request 1: every web server skips it before an answer. */
static const uint8_t goodbye[8] = {1, 7, 0, 1, 0, 0, 0, 0};

/* The beginning of an END_REQUEST record, but for its request's id. */
static const uint8_t end_request[8] = {1, 3, 0, 0, 0, 8, 0, 0};

enum {
        END_REQUEST_SIZE = 16,
        PROTOCOL_STATUS = 12, /* where it is in that */
        OVERLOADED = 2,
        ROUNDS = 20,  /* goodbyes to a connection that is silent: a busy host may take long */
        PATIENCE = 2, /* requests from a client that goes on */
};

/* How long a client has to answer a goodbye by closing, or by the request it was about to send. */
static const struct timespec round_time = {.tv_nsec = 10000000};

/*
 * How long the end of a body may take that the server did not need for its answer: a client that
 * cannot send it takes the request for lost.
 */
static const struct timespec body_time = {.tv_sec = 1};

void goodbye_did_begin(struct connection *connection, unsigned id)
{
        /* One that comes after a goodbye by itself may have crossed it, again and again. */
        connection->went_on += connection->answered_goodbye;
        connection->said_goodbye = connection->answered_goodbye = false;
        connection->is_numbered = (connection->is_numbered || !connection->requests) &&
                                  id == (uint16_t)(2 * connection->requests + 1);
}

void goodbye_did_answer(struct connection *connection)
{
        if (!gate_is_closed(&shim.gate))
                connection->went_on = 0;
}

/* HAProxy numbers the requests of a connection 1, 3, 5 and so on; others call each of them 1, or as
 * chance has it. */
static bool is_haproxy(const struct connection *connection)
{
        return connection->is_numbered && connection->requests > 1;
}

static bool has_bytes(int fd)
{
        uint8_t byte;

        return raw6(recvfrom, fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT, NULL, NULL) > 0;
}

/*
 * Closes the connection unless a request has come. On a unix socket nothing can come from the
 * shutdown of its reading side on: a write of the web server then fails, and the second look sees
 * every one that has not failed.
 */
static bool hang_up(int fd, struct connection *connection)
{
        if (has_bytes(fd))
                return false;
        (void)raw2(shutdown, fd, SHUT_RD);
        if (has_bytes(fd))
                return false;
        (void)raw2(shutdown, fd, SHUT_WR);
        connection->finished = true;
        return true;
}

/* True if all that was written has been delivered. */
static bool is_delivered(int fd)
{
        int left = 0;

        return raw3(ioctl, fd, SIOCOUTQ, &left) >= 0 && left == 0;
}

/*
 * Apache, before it uses a TCP connection again, would see a goodbye that it has not read, and not
 * the end of file behind it: it is made to see a reset. (On a unix socket, where this fails, it
 * sees the end in any case.)
 */
static void reset(int fd)
{
        const struct sockaddr nobody = {.sa_family = AF_UNSPEC};

        (void)raw3(connect, fd, &nobody, sizeof(nobody));
}

static bool answers(int fd, const struct timespec *timeout)
{
        struct pollfd client = {.fd = fd, .events = POLLIN};
        long r;

        do {
                r = raw_poll(&client, 1, timeout);
        } while (r == -EINTR);
        return r > 0;
}

static void send_goodbye(int fd)
{
        const int on = 1;

        /* TCP would keep it back until the web server's kernel has acknowledged the answer. */
        (void)raw5(setsockopt, fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        (void)raw6(sendto, fd, goodbye, sizeof(goodbye), MSG_NOSIGNAL | MSG_DONTWAIT, NULL, 0);
}

bool goodbye_see_off(int fd, struct connection *connection)
{
        bool resets;

        for (int round = 0; round < ROUNDS && connection->went_on < PATIENCE; round++) {
                if (round || !connection->said_goodbye)
                        send_goodbye(fd);
                connection->said_goodbye = true;
                if (answers(fd, &round_time))
                        return true;
        }
        if (connection->unread > 0 && answers(fd, &body_time))
                return true;
        resets = connection->said_goodbye && is_delivered(fd);
        if (!hang_up(fd, connection))
                return true;
        if (resets)
                reset(fd);
        return false;
}

/* Sends what is left of the goodbye after a short write. */
static void send_rest(int fd, size_t sent)
{
        while (sent < sizeof(goodbye)) {
                long r =
                    raw6(sendto, fd, goodbye + sent, sizeof(goodbye) - sent, MSG_NOSIGNAL, NULL, 0);

                if (r == -EINTR)
                        continue;
                if (r <= 0)
                        return;
                sent += (size_t)r;
        }
}

/* Moves an END_REQUEST at the end of the vector to a copy of it that says OVERLOADED. */
static size_t say_overloaded(struct iovec *last, uint8_t *copy)
{
        if (last->iov_len < END_REQUEST_SIZE)
                return 0;
        memcpy(copy, (const uint8_t *)last->iov_base + last->iov_len - END_REQUEST_SIZE,
               END_REQUEST_SIZE);
        for (size_t i = 0; i < sizeof(end_request); i++)
                if (copy[i] != end_request[i] && i != 2 && i != 3)
                        return 0;
        copy[PROTOCOL_STATUS] = OVERLOADED;
        last->iov_len -= END_REQUEST_SIZE;
        return END_REQUEST_SIZE;
}

static long write_with_goodbye(int fd, struct connection *connection, const struct iovec *vector,
                               int n, size_t size)
{
        struct iovec with[GOODBYE_VECTOR_MAX + 1];
        uint8_t tail[END_REQUEST_SIZE + sizeof(goodbye)];
        size_t tail_size = 0;
        long r;

        memcpy(with, vector, (size_t)n * sizeof(*vector));
        if (is_haproxy(connection))
                tail_size = say_overloaded(&with[n - 1], tail);
        memcpy(tail + tail_size, goodbye, sizeof(goodbye));
        with[n].iov_base = tail;
        with[n].iov_len = tail_size + sizeof(goodbye);
        r = raw3(writev, fd, with, n + 1);
        if (r < (long)size)
                return r;
        connection->said_goodbye = connection->answered_goodbye = true;
        send_rest(fd, (size_t)r - size);
        return (long)size;
}

/* Without read-ahead: takes the end of the request's body, which php-fpm leaves unread. */
static bool take_end_of_body(int fd, struct connection *connection)
{
        uint8_t end[16];
        long r = raw6(recvfrom, fd, end, sizeof(end), MSG_PEEK | MSG_DONTWAIT, NULL, NULL);

        if (!connection_ends_with(connection, end, r > 0 ? (size_t)r : 0))
                return false;
        return r <= 0 || raw_read(fd, end, (size_t)r) == r;
}

/* True if nothing of the request is still to come, and nothing behind it is there. */
static bool take_rest(int fd, struct connection *connection)
{
        return read_ahead_is_on(connection) ? connection_take_rest(connection)
                                            : take_end_of_body(fd, connection);
}

bool goodbye_finish(int fd, struct connection *connection)
{
        return connection->said_goodbye && take_rest(fd, connection) && hang_up(fd, connection);
}

/*
 * The same, and gives it time. Apache sends the end of a body by itself: a close that had to wait
 * for that would come when Apache has the answer, and may be using the connection again. (A poll
 * would not wait for it beside a body that the server has left unread.)
 */
static bool take_rest_in_time(int fd, struct connection *connection)
{
        for (int round = 0; !take_rest(fd, connection); round++) {
                if (connection->unread <= 0 || round == ROUNDS)
                        return false;
                (void)raw_poll(NULL, 0, &round_time);
        }
        return true;
}

/* On TCP, what is written waits here for the close, and goes with it in one segment. */
static void hold_back(int fd, int on)
{
        (void)raw5(setsockopt, fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
}

static long write_and_hang_up(int fd, struct connection *connection, const struct iovec *vector,
                              int n, size_t size)
{
        long r;

        if (!take_rest_in_time(fd, connection))
                return raw3(writev, fd, vector, n);
        hold_back(fd, 1);
        r = raw3(writev, fd, vector, n);
        if (r != (long)size || !hang_up(fd, connection))
                hold_back(fd, 0);
        return r;
}

long goodbye_write(int fd, struct connection *connection, const struct iovec *vector, int n,
                   size_t size)
{
        return connection->went_on < PATIENCE ? write_with_goodbye(fd, connection, vector, n, size)
                                              : write_and_hang_up(fd, connection, vector, n, size);
}
