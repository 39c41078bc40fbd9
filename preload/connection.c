/* SPDX-License-Identifier: MIT */
#include "connection.h"

#include "defer.h"
#include "goodbye.h"
#include "master.h"
#include "raw.h"
#include "read-ahead.h"
#include "record.h"
#include "text.h"
#include "worker.h"

/* In a connection's owner: the worker that accepted it has another slot now. */
#define LEFT_BEHIND 1U

/* The slot that tells of this connection. Of one that another thread has just closed nobody's. */
static struct gate_slot *slot_of(const struct connection *connection)
{
        static struct gate_slot nobody;
        uintptr_t owner = atomic_load_explicit(&connection->owner, memory_order_relaxed);

        return owner ? (struct gate_slot *)(owner & ~(uintptr_t)LEFT_BEHIND) : &nobody;
}

struct connection *connection_of(int fd)
{
        unsigned kind = shim_fd(fd);

        if (kind < SHIM_FD_CONNECTION || shim_role() == SHIM_STRANGER)
                return NULL;
        kind = shim_fd(fd); /* a forked child has none of its parent's */
        return kind < SHIM_FD_CONNECTION ? NULL : &shim.connections[kind - SHIM_FD_CONNECTION];
}

struct connection *connection_open(int fd, struct gate_slot *slot)
{
        if ((unsigned)fd >= SHIM_FDS_MAX)
                return NULL;
        shim_forget(fd); /* it was closed by a way that we do not see, as by fclose() */
        for (unsigned i = 0; i < SHIM_CONNECTIONS_MAX; i++) {
                struct connection *connection = &shim.connections[i];

                /* Several threads may be here. */
                if (atomic_load_explicit(&connection->used, memory_order_relaxed) ||
                    atomic_exchange(&connection->used, true))
                        continue;
                memset(&connection->fd, 0, sizeof(*connection) - offsetof(struct connection, fd));
                atomic_store(&connection->owner, (uintptr_t)slot);
                connection_track(connection, fd);
                read_ahead_begin(connection);
                return connection;
        }
        return NULL;
}

bool connection_is_any_left_behind(void)
{
        for (unsigned i = 0; i < SHIM_CONNECTIONS_MAX; i++)
                if (atomic_load_explicit(&shim.connections[i].owner, memory_order_relaxed) &
                    LEFT_BEHIND)
                        return true;
        return false;
}

void connection_before_close(const struct connection *connection)
{
        if (read_ahead_is_on(connection))
                read_ahead_settle();
}

void connection_track(struct connection *connection, int fd)
{
        atomic_fetch_add(&connection->references, 1);
        if ((unsigned)fd >= SHIM_FDS_MAX)
                return; /* then nobody sees it being closed: the connection never ends */
        connection->fd = fd;
        shim_set_fd(fd, SHIM_FD_CONNECTION + (unsigned)(connection - shim.connections));
}

static void end(struct connection *connection)
{
        uintptr_t owner = atomic_exchange(&connection->owner, 0);
        struct gate_slot *slot = (struct gate_slot *)(owner & ~(uintptr_t)LEFT_BEHIND);

        read_ahead_end(connection);
        atomic_store(&connection->used, false);
        if (!(owner & LEFT_BEHIND))
                return;
        atomic_store(&slot->last_end_usec, gate_now_usec());
        gate_set_state(slot, GATE_FREE);
        defer_act_now();
        master_look_again();
}

/* Any descriptor that a connection has. */
static int find_fd(const struct connection *connection)
{
        unsigned kind = SHIM_FD_CONNECTION + (unsigned)(connection - shim.connections);
        int fd = 0;

        while (fd < shim.fds_end && shim_fd(fd) != kind)
                fd++;
        return fd;
}

void connection_forget(struct connection *connection, int fd)
{
        if (atomic_fetch_sub(&connection->references, 1) == 1)
                end(connection);
        else if (connection->fd == fd)
                connection->fd = find_fd(connection);
}

bool connection_leave_behind(struct connection *connection, const struct gate_slot *slot)
{
        uintptr_t mine = (uintptr_t)slot;

        if (atomic_load(&connection->owner) != mine)
                return false;
        if (raw_fcntl(connection->fd, F_GETFD, 0) < 0) /* closed by a way that we do not see */
                shim_forget(connection->fd);
        return atomic_compare_exchange_strong(&connection->owner, &mine, mine | LEFT_BEHIND);
}

void connection_forget_all(void)
{
        for (int fd = 0; fd < shim.fds_end; fd++) {
                struct connection *connection;

                if (shim_fd(fd) < SHIM_FD_CONNECTION)
                        continue;
                connection = &shim.connections[shim_fd(fd) - SHIM_FD_CONNECTION];
                shim_set_fd(fd, SHIM_FD_OTHER);
                atomic_store(&connection->used, false);
                read_ahead_end(connection);
        }
}

static bool is_between_requests(const struct connection *connection)
{
        return connection->kept && !connection->lost && !atomic_load(&connection->active) &&
               record_at_boundary(&connection->in);
}

/* From here on the worker waits for the next request. */
static void begin_wait(struct connection *connection, struct gate_slot *slot)
{
        if (connection->stirred)
                atomic_store(&slot->last_end_usec, gate_now_usec());
        connection->stirred = false;
        gate_set_state(slot, GATE_KEPT_ALIVE);
}

/*
 * ppoll(2) for input between two requests: waits for the next one, or for the gate to close; then
 * the connection may be finished. Returns 1: something is there to be read; 0: the time is up;
 * -EINTR.
 */
static long wait_for_request(struct connection *connection, struct pollfd *client,
                             struct timespec *timeout, const void *mask)
{
        struct gate_slot *slot = slot_of(connection);
        struct pollfd fds[2] = {*client, {.fd = shim.gate.closing_fd, .events = POLLIN}};

        begin_wait(connection, slot);
        for (;;) {
                /* The kernel writes back what is left of the timeout. */
                long r = master_ppoll(fds, 2, timeout, mask);

                client->revents = fds[0].revents;
                if (r == 0 || r == -EINTR)
                        return r;
                if (r < 0 || fds[0].revents)
                        break;
                client->revents = POLLIN;
                if (gate_is_closed(&shim.gate) && goodbye_see_off(client->fd, connection))
                        break;
                if (gate_is_closed(&shim.gate)) {
                        connection->finished = true; /* kept-alive until it has hung up */
                        return 1;
                }
                gate_settle_closing(&shim.gate); /* else this could be a loop without a pause */
        }
        gate_set_state(slot, GATE_BUSY);
        return 1;
}

/*
 * How long a read(2) of this descriptor waits, for ever unless *ret_timeout is used. False: it does
 * not wait. php-fpm's always waits for ever, and need not be asked each time.
 */
static bool read_waits(int fd, struct timespec *timeout, struct timespec **ret_timeout)
{
        struct timeval span = {0};
        socklen_t size = sizeof(span);
        long flags;

        *ret_timeout = NULL;
        if (shim.is_php_fpm)
                return true;
        flags = raw_fcntl(fd, F_GETFL, 0);
        if (flags < 0 || flags & O_NONBLOCK)
                return false;
        if (raw_getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &span, &size) >= 0 &&
            (span.tv_sec || span.tv_usec)) {
                *timeout = (struct timespec){span.tv_sec, (long)span.tv_usec * 1000};
                *ret_timeout = timeout;
        }
        return true;
}

int connection_before_read(int fd, struct connection *connection, bool waits)
{
        struct pollfd client = {.fd = fd, .events = POLLIN};
        struct master_signals since;
        struct timespec timeout;
        struct timespec *limit;
        long r;

        if (connection->finished)
                return 0;
        if (!waits || !is_between_requests(connection) || read_ahead_has_bytes(connection) ||
            !read_waits(fd, &timeout, &limit))
                return 1;
        if (read_ahead_is_on(connection))
                read_ahead_settle();
        do {
                since = master_signals();
                r = wait_for_request(connection, &client, limit, NULL);
        } while (r == -EINTR && !limit && master_begins_anew(since));
        if (r > 0)
                return !connection->finished;
        return r == 0 ? -EAGAIN : (int)r;
}

long connection_read(int fd, struct connection *connection, void *buffer, size_t size)
{
        struct iovec vector = {.iov_base = buffer, .iov_len = size};
        long r = read_ahead_is_on(connection) ? read_ahead_read(buffer, size)
                                              : raw_read(fd, buffer, size);

        if (r > 0)
                connection_did_read(connection, &vector, (size_t)r);
        else if (size)
                connection_did_end(connection, r);
        return r;
}

long connection_poll(struct connection *connection, struct pollfd *client, struct timespec *timeout,
                     const void *mask, bool waits)
{
        bool ahead = read_ahead_is_on(connection) && client->events == POLLIN;
        long r;

        if (connection->finished || (ahead && read_ahead_peek(MSG_DONTWAIT) > 0)) {
                client->revents = (short)(client->events & (POLLIN | POLLRDNORM));
                return 1;
        }
        if (waits && is_between_requests(connection))
                return wait_for_request(connection, client, timeout, mask);
        r = master_ppoll(client, 1, timeout, mask);
        if (r > 0 && client->revents == POLLIN && ahead)
                (void)read_ahead_peek(MSG_DONTWAIT);
        return r;
}

bool connection_ends_with(struct connection *connection, const void *data, size_t size)
{
        struct record_stream in = connection->in;
        struct record_news news = {0};

        record_feed(&in, data, size, &news);
        if (news.begun || connection->unread > (int32_t)news.input_ended ||
            !record_at_boundary(&in))
                return false;
        connection->in = in;
        connection->unread -= (int32_t)news.input_ended;
        return true;
}

static bool ends_with_rest(struct connection *connection)
{
        size_t size;
        const void *rest = read_ahead_rest(&size);

        return connection_ends_with(connection, rest, size);
}

bool connection_take_rest(struct connection *connection)
{
        if (ends_with_rest(connection))
                return read_ahead_discard();
        /* Some web servers, Apache among them, send the end of the body by itself: look again. */
        read_ahead_settle();
        (void)read_ahead_peek(MSG_DONTWAIT);
        return ends_with_rest(connection) && read_ahead_discard();
}

bool connection_finish(struct connection *connection)
{
        if (connection->active || !record_at_boundary(&connection->out) || !connection->requests)
                return connection->finished;
        if (connection->kept)
                return goodbye_finish(connection->fd, connection);
        if (read_ahead_is_on(connection))
                connection->finished = connection_take_rest(connection);
        return connection->finished;
}

static void feed(struct record_stream *stream, const struct iovec *vector, size_t size,
                 struct record_news *news)
{
        for (; size; vector++) {
                size_t n = vector->iov_len < size ? vector->iov_len : size;

                record_feed(stream, vector->iov_base, n, news);
                size -= n;
        }
}

/* Something went over the connection. */
static void stir(struct connection *connection)
{
        struct gate_slot *slot = slot_of(connection);

        connection->stirred = true;
        if (gate_state(slot) == GATE_KEPT_ALIVE)
                gate_set_state(slot, GATE_BUSY);
}

static void did_read(struct connection *connection, const struct record_news *news)
{
        stir(connection);
        connection->unread += (int32_t)news->begun - (int32_t)news->input_ended;
        if (!news->begun)
                return;
        goodbye_did_begin(connection, news->begun == 1 ? news->id : 0);
        connection->requests += news->begun;
        atomic_fetch_add(&connection->active, (int32_t)news->begun);
        connection->kept = news->kept;
        worker_has_begun();
        atomic_fetch_add_explicit(&slot_of(connection)->requests, news->begun,
                                  memory_order_relaxed);
}

void connection_did_read(struct connection *connection, const struct iovec *vector, size_t size)
{
        struct record_news news = {0};

        feed(&connection->in, vector, size, &news);
        did_read(connection, &news);
}

void connection_did_read_unseen(struct connection *connection, size_t size)
{
        struct record_news news = {0};

        if (!record_skip(&connection->in, size, &news))
                connection->lost = true;
        did_read(connection, &news);
}

void connection_did_end(const struct connection *connection, long result)
{
        if ((result == 0 || result == -ECONNRESET) && !connection->at_once &&
            is_between_requests(connection))
                gate_set_state(slot_of(connection), GATE_KEPT_ALIVE);
}

static void did_write(struct connection *connection, const struct record_news *news)
{
        int32_t ended = (int32_t)news->ended;
        int32_t active = atomic_load(&connection->active);

        stir(connection);
        /* There are servers that end what was not begun, as an answer to nonsense. */
        while (ended && !atomic_compare_exchange_weak(&connection->active, &active,
                                                      active > ended ? active - ended : 0))
                ;
        shim.recycling.answers += news->ended;
        if (news->ended)
                goodbye_did_answer(connection);
}

void connection_did_write(struct connection *connection, const struct iovec *vector, size_t size)
{
        struct record_news news = {0};

        feed(&connection->out, vector, size, &news);
        did_write(connection, &news);
}

void connection_did_write_unseen(struct connection *connection, size_t size)
{
        struct record_news news = {0};

        if (!record_skip(&connection->out, size, &news))
                connection->lost = true;
        did_write(connection, &news);
}

static bool is_last_answer(uint32_t ended)
{
        return gate_is_closed(&shim.gate) || recycling_is_last(shim.recycling.answers + ended);
}

/* True when these bytes would end the last request that a kept-alive connection is to have. */
static bool ends_last_request(const struct connection *connection, const struct iovec *vector,
                              size_t size)
{
        struct record_stream out = connection->out;
        struct record_news news = {0};

        feed(&out, vector, size, &news);
        return news.ended && record_at_boundary(&out) &&
               connection->active <= (int32_t)news.ended && is_last_answer(news.ended);
}

long connection_write(int fd, struct connection *connection, const struct iovec *vector, int n)
{
        size_t size = 0;
        long r;

        for (int i = 0; i < n; i++)
                size += vector[i].iov_len;
        if (connection->kept && !connection->lost && n <= GOODBYE_VECTOR_MAX &&
            (shim.recycling.n_limits || gate_is_closed(&shim.gate)) &&
            ends_last_request(connection, vector, size))
                r = goodbye_write(fd, connection, vector, n, size);
        else if (n == 1)
                r = raw_write(fd, vector->iov_base, vector->iov_len);
        else
                r = raw3(writev, fd, vector, n);
        if (r > 0)
                connection_did_write(connection, vector, (size_t)r);
        return r;
}
