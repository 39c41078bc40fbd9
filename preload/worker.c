/* SPDX-License-Identifier: MIT */
#include "worker.h"

#include "adopt.h"
#include "children.h"
#include "connection.h"
#include "defer.h"
#include "master.h"
#include "raw.h"

/* A slot for each thread that accepts: servers on libfcgi may have several. */
static _Thread_local struct gate_slot *slot;
static _Thread_local struct connection *current;

void worker_forget_slot(void)
{
        slot = NULL;
        current = NULL;
        for (uint32_t i = 0; i < shim.n_listeners; i++) {
                shim.listeners[i].wait_fd = -1;
                shim.listeners[i].own_fd = -1;
        }
}

bool worker_is_busy(void)
{
        uint32_t state = slot ? gate_state(slot) : GATE_FREE;

        return state == GATE_BUSY || state == GATE_ACCEPTING;
}

void worker_has_begun(void)
{
        static const struct timespec now = {0};
        const uint64_t one = 1;

        for (uint32_t i = 0; i < shim.n_listeners; i++) {
                const struct listener *listener = &shim.listeners[i];
                struct pollfd queue = {.fd = listener->own_fd, .events = POLLIN};

                if (listener->more_fd >= 0 && listener->wait_fd >= 0 &&
                    raw_poll(&queue, 1, &now) > 0)
                        (void)raw_write(listener->more_fd, &one, sizeof(one));
        }
}

void worker_leave(struct listener *listener)
{
        if (listener->wait_fd < 0)
                return;
        (void)raw_close(listener->wait_fd);
        listener->wait_fd = -1;
        if (slot)
                atomic_fetch_add(&slot->word, 1); /* in case it is about to be parked */
}

/* Leaves the connection of before to whoever still works on it, with the slot; takes a new one. */
static void leave_connection_behind(void)
{
        if (current && connection_leave_behind(current, slot))
                slot = NULL;
        current = NULL;
}

/* The first accept of this process, or on this socket: from now on it runs PHP code, which is to
 * see nothing of us. */
static void become_worker(enum shim_role role)
{
        if (role == SHIM_CHILD)
                shim.role = SHIM_WORKER;
        else if (role == SHIM_SERVER)
                master_accepts();
        children_hide();
        defer_signals();
}

/* Has no connection any more: is neither busy nor kept-alive. */
static void wait_again(void)
{
        uint32_t state = gate_state(slot);

        /* The end of a kept-alive connection is not that of a request. */
        if (state == GATE_BUSY)
                atomic_store(&slot->last_end_usec, gate_now_usec());
        if (state == GATE_BUSY || state == GATE_KEPT_ALIVE)
                gate_set_state(slot, GATE_WAITING);
}

static void be_back(void)
{
        leave_connection_behind();
        if (slot)
                wait_again();
        else
                slot = gate_claim(&shim.gate, raw_getpid());
        defer_act_now();
        master_look_again();
}

long worker_wait(void)
{
        struct master_signals since = master_signals();

        leave_connection_behind();
        if (slot)
                wait_again();
        defer_act_now();
        master_look_again();
        return master_passed_on(since) ? -EINTR : 0;
}

/*
 * Waits in an epoll set of our own: of all workers in one, EPOLLEXCLUSIVE wakes only one for a
 * connection. The waking eventfd is in each set too (see gate_wake_waiting()).
 */
static bool make_wait_fd(struct listener *listener, int fd)
{
        struct epoll_event queue = {.events = EPOLLIN | EPOLLEXCLUSIVE};
        struct epoll_event waking = {.events = EPOLLIN | EPOLLET};
        int wait_fd;

        listener->own_fd = (int)raw_fcntl(fd, F_DUPFD_CLOEXEC, GATE_FIRST_FD);
        wait_fd = (int)raw1(epoll_create1, EPOLL_CLOEXEC);
        if (listener->own_fd < 0 || wait_fd < 0 ||
            raw4(epoll_ctl, wait_fd, EPOLL_CTL_ADD, listener->own_fd, &queue) < 0 ||
            raw4(epoll_ctl, wait_fd, EPOLL_CTL_ADD, shim.gate.waking_fd, &waking) < 0) {
                (void)raw_close(listener->own_fd);
                (void)raw_close(wait_fd);
                listener->own_fd = -1;
                return false;
        }
        listener->wait_fd = wait_fd;
        return true;
}

/* Without a slot or an epoll set: what bare accept() does, on a socket that is non-blocking. */
static long accept_without_gate(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
        struct pollfd queue = {.fd = fd, .events = POLLIN};

        for (;;) {
                long r = raw_accept4(fd, address, size, flags);

                if (r != -EAGAIN)
                        return r;
                r = raw_poll(&queue, 1, NULL);
                if (r < 0)
                        return r;
        }
}

/* Holds nothing and waits until the gate is open. Returns 0, -EINTR or, when it left, -EBADF. */
static long park(const struct listener *listener)
{
        gate_set_state(slot, GATE_PARKED);
        for (;;) {
                uint32_t word = atomic_load(&slot->word);
                uint64_t until =
                    gate_is_dismissed(slot) ? GATE_INFINITY : gate_closed_until(&shim.gate);
                /* Absolute, and only a lease has an end: whoever else opens the gate wakes us. */
                struct timespec lapse = {.tv_sec = (time_t)(until / 1000000),
                                         .tv_nsec = (long)(until % 1000000 * 1000)};

                if (listener->wait_fd < 0)
                        return -EBADF;
                if (!until)
                        return 0;
                if (raw_futex_wait(&slot->word, word, until < GATE_INFINITY ? &lapse : NULL) ==
                    -EINTR)
                        return -EINTR;
        }
}

/* Takes a connection if the gate lets it. -EAGAIN: there is none, or the gate is closed. */
static long pass_gate(const struct listener *listener, struct sockaddr *address, socklen_t *size,
                      int flags)
{
        long connection;

        gate_set_state(slot, GATE_ACCEPTING);
        if (gate_is_closed_for(&shim.gate, slot)) {
                gate_set_state(slot, GATE_PARKED);
                return -EAGAIN;
        }
        connection = raw_accept4(listener->own_fd, address, size, flags | SOCK_CLOEXEC);
        gate_set_state(slot, connection < 0 ? GATE_WAITING : GATE_BUSY);
        return connection;
}

static long accept_through_gate(struct listener *listener, struct sockaddr *address,
                                socklen_t *size, int flags)
{
        struct epoll_event event;

        for (;;) {
                struct master_signals since = master_signals();
                long waited;
                long connection;

                /* From parking straight to the queue: nobody tells us of it a second time. */
                if (gate_state(slot) == GATE_PARKED) {
                        waited = park(listener);
                } else {
                        gate_set_state(slot, GATE_WAITING);
                        waited = raw6(epoll_pwait, listener->wait_fd, &event, 1, -1, NULL, 8);
                }
                /* Look once more even when leaving: we may be the only one that was woken. */
                connection = pass_gate(listener, address, size, flags);
                if (connection != -EAGAIN)
                        return connection;
                if (listener->wait_fd < 0)
                        return -EBADF;
                if (waited < 0 && !(waited == -EINTR && master_begins_anew(since)))
                        return waited;
        }
}

/* How long an accept that does not wait is held up while its server is drained: it would come again
 * without a pause. */
#define HOLD_UP_NSEC 1000000

/*
 * accept(2) of an event loop, which may have many connections open. Each has a slot of its own that
 * is busy until it is closed, so that a watchdog's closing ends at once when it sees one: this may
 * wait for that, and the loop is not told of a queue that it has been told of before (EPOLLET).
 * While the server is drained the loop has to go on, with its connections and to its own end.
 */
static long accept_at_once(struct listener *listener, struct sockaddr *address, socklen_t *size,
                           int flags)
{
        const struct timespec moment = {.tv_nsec = HOLD_UP_NSEC};

        for (;;) {
                struct master_signals since = master_signals();
                long connection = pass_gate(listener, address, size, flags);
                long parked;

                if (connection != -EAGAIN || gate_state(slot) != GATE_PARKED)
                        return connection;
                if (gate_closed_until(&shim.gate) == GATE_INFINITY) {
                        gate_set_state(slot, GATE_WAITING);
                        (void)raw_poll(NULL, 0, &moment);
                        return -EAGAIN;
                }
                parked = park(listener);
                if (parked < 0 && !(parked == -EINTR && master_begins_anew(since)))
                        return parked;
        }
}

/*
 * The listener behind fd, also one that came here by a way that we did not see (exec, fcntl). Not
 * in a worker: what PHP code accepts on is its own.
 */
static struct listener *find_listener(int fd)
{
        struct listener *listener = shim_listener(fd);
        int i;

        if (listener || shim.role == SHIM_WORKER || (i = shim_identify(fd)) < 0)
                return listener;
        if (shim.role == SHIM_BEFORE)
                adopt_inherited(fd, (uint32_t)i);
        else
                shim_track_listener(fd, (uint32_t)i);
        return shim_listener(fd);
}

long worker_accept(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
        struct listener *listener = find_listener(fd);
        enum shim_role role = shim_role();
        struct master_signals since = master_signals();
        long connection;

        if (!listener)
                return raw_accept4(fd, address, size, flags);
        if (role != SHIM_SERVER && role != SHIM_CHILD && role != SHIM_WORKER)
                return accept_without_gate(fd, address, size, flags);

        if (listener->wait_fd < 0) {
                become_worker(role);
                if (!make_wait_fd(listener, fd))
                        return accept_without_gate(fd, address, size, flags);
        }
        be_back();
        if (master_passed_on(since))
                return -EINTR;
        shim_become_ready();
        if (!slot)
                return accept_without_gate(fd, address, size, flags);
        connection = listener->at_once ? accept_at_once(listener, address, size, flags)
                                       : accept_through_gate(listener, address, size, flags);
        if (connection < 0)
                return connection;
        current = connection_open((int)connection, slot);
        if (!current) {
                slot = NULL; /* nobody will see its end: the slot stays busy, and this thread's next
                              * connection has another one */
        } else if (listener->at_once) {
                current->at_once = true;
                leave_connection_behind();
        }
        return connection;
}

void worker_stand_by(int fd)
{
        const struct listener *listener = find_listener(fd);
        enum shim_role role = shim_role();

        /* php-fpm's master has workers for that. */
        if (!listener || !listener->at_once || shim.is_php_fpm ||
            (role != SHIM_SERVER && role != SHIM_CHILD))
                return;
        become_worker(role);
        shim_become_ready();
}
