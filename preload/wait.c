/* SPDX-License-Identifier: MIT */
#include "wait.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#include "connection.h"
#include "master.h"
#include "shim.h"
#include "worker.h"

/* True for a wait for input, and nothing else, that really waits. */
static bool waits_for_input(const struct pollfd *fds, nfds_t n, const struct timespec *timeout)
{
        const int input = POLLIN | POLLRDNORM | POLLRDHUP | POLLPRI;

        return n == 1 && fds->events & (POLLIN | POLLRDNORM) && !(fds->events & ~input) &&
               (!timeout || timeout->tv_sec || timeout->tv_nsec);
}

long wait_poll(struct pollfd *fds, nfds_t n, struct timespec *timeout, const void *mask)
{
        struct connection *connection = n == 1 ? connection_of(fds->fd) : NULL;
        bool waits = waits_for_input(fds, n, timeout);

        if (connection)
                return connection_poll(connection, fds, timeout, mask, waits);
        if (waits && shim_listener(fds->fd) && worker_wait() < 0)
                return -EINTR;
        return master_ppoll(fds, n, timeout, mask);
}

#define BITS (8 * sizeof(unsigned long))

/* The only descriptor below n in a set; -1: there is none, -2: there are several. */
static int only_one(const fd_set *set, int n)
{
        const unsigned long *words = (const void *)set;
        int found = -1;

        for (int fd = 0; set && fd < n; fd++) {
                unsigned long rest = words[(unsigned)fd / BITS] >> (unsigned)fd % BITS;

                if (!rest) {
                        fd |= (int)BITS - 1; /* none in the rest of this word */
                        continue;
                }
                if (!(rest & 1))
                        continue;
                if (found >= 0)
                        return -2;
                found = fd;
        }
        return found;
}

/* select(2) of this descriptor alone, for input. */
static long select_one(int fd, fd_set *set, struct timespec *timeout, const void *mask)
{
        struct pollfd one = {.fd = fd, .events = POLLIN};
        long r = wait_poll(&one, 1, timeout, mask);

        if (r > 0 && one.revents & POLLNVAL)
                return -EBADF;
        if (r == 0)
                ((unsigned long *)(void *)set)[(unsigned)fd / BITS] = 0;
        return r;
}

long wait_select(int n, fd_set *read, fd_set *write, fd_set *except, struct timespec *timeout,
                 const void *mask)
{
        int fd = shim.role >= SHIM_SERVER ? only_one(read, n) : -1;

        if (fd >= 0 && shim_fd(fd) != SHIM_FD_OTHER && only_one(write, n) == -1 &&
            only_one(except, n) == -1)
                return select_one(fd, read, timeout, mask);
        return master_pselect(n, read, write, except, timeout, mask);
}
