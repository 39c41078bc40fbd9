/* SPDX-License-Identifier: MIT */
#include "liveness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../preload/gate.h"
#include "log.h"
#include "sockets.h"
#include "status.h"

/* How long a connection may take, answer included. */
#define LIMIT_USEC UINT64_C(2000000)

/* When accept() fails for lack of something. */
#define PAUSE_MSEC 10

static void close_probe(struct probe *probe)
{
        char bytes[1024];

        /* With something unread, the connection would be reset and the answer lost. */
        (void)recv(probe->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        (void)close(probe->fd);
        probe->fd = -1;
}

/* The socket's buffer is empty: the answer fits in, or nobody is there any more. */
static void answer(const struct liveness *liveness, struct probe *probe)
{
        char text[256];
        int length;

        if (probe->answered)
                return;
        probe->answered = true;
        length = snprintf(text, sizeof(text),
                          "HTTP/1.0 200 OK\r\n"
                          "Content-Type: text/plain\r\n"
                          "Content-Length: %zu\r\n"
                          "Connection: close\r\n"
                          "\r\n"
                          "%s\n",
                          strlen(liveness->word) + 1, liveness->word);
        if (length > 0)
                (void)send(probe->fd, text, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT);
        (void)shutdown(probe->fd, SHUT_WR);
}

/* True if the head of the request ends in these bytes: by an empty line. */
static bool ends_head(struct probe *probe, const char *bytes, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                if (bytes[i] == '\n' && !probe->in_line)
                        return true;
                if (bytes[i] != '\r')
                        probe->in_line = bytes[i] != '\n';
        }
        return false;
}

/* Reads what there is, a bit of it at a time. */
static void read_probe(const struct liveness *liveness, struct probe *probe)
{
        char bytes[1024];
        ssize_t n;

        n = recv(probe->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n > 0) {
                if (ends_head(probe, bytes, (size_t)n))
                        answer(liveness, probe);
                return;
        }
        answer(liveness, probe);
        close_probe(probe);
}

/* The place for a new connection: a free one, or that of the oldest, which is ended. */
static struct probe *make_place(struct liveness *liveness)
{
        struct probe *oldest = &liveness->probes[0];

        for (size_t i = 0; i < LIVENESS_PROBES_MAX; i++) {
                struct probe *probe = &liveness->probes[i];

                if (probe->fd < 0)
                        return probe;
                if (probe->end_usec < oldest->end_usec)
                        oldest = probe;
        }
        answer(liveness, oldest);
        close_probe(oldest);
        return oldest;
}

static void accept_probe(struct liveness *liveness)
{
        struct epoll_event event = {.events = EPOLLIN};
        struct probe *probe;
        int fd;

        fd = accept4(liveness->socket, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
                if (errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
                        (void)poll(NULL, 0, PAUSE_MSEC);
                return;
        }
        probe = make_place(liveness);
        *probe =
            (struct probe){.fd = fd, .end_usec = gate_now_usec() + LIMIT_USEC, .in_line = true};
        event.data.fd = fd;
        if (epoll_ctl(liveness->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
                close_probe(probe);
}

void liveness_note(struct liveness *liveness, int fd)
{
        if (fd == liveness->socket) {
                accept_probe(liveness);
                return;
        }
        for (size_t i = 0; i < LIVENESS_PROBES_MAX; i++)
                if (liveness->probes[i].fd == fd)
                        read_probe(liveness, &liveness->probes[i]);
}

uint64_t liveness_due_usec(const struct liveness *liveness)
{
        uint64_t due_usec = GATE_INFINITY;

        for (size_t i = 0; i < LIVENESS_PROBES_MAX; i++)
                if (liveness->probes[i].fd >= 0 && liveness->probes[i].end_usec < due_usec)
                        due_usec = liveness->probes[i].end_usec;
        return due_usec;
}

void liveness_close_due(struct liveness *liveness)
{
        const uint64_t now_usec = gate_now_usec();

        for (size_t i = 0; i < LIVENESS_PROBES_MAX; i++) {
                struct probe *probe = &liveness->probes[i];

                if (probe->fd < 0 || probe->end_usec > now_usec)
                        continue;
                answer(liveness, probe);
                close_probe(probe);
        }
}

int liveness_begin(struct liveness *liveness, const char *address, int epoll_fd)
{
        struct epoll_event event = {.events = EPOLLIN};
        int r;

        *liveness = (struct liveness){.word = "", .epoll_fd = epoll_fd, .socket = -1};
        for (size_t i = 0; i < LIVENESS_PROBES_MAX; i++)
                liveness->probes[i].fd = -1;
        if (!address)
                return 0;
        r = socket_listen(address, &liveness->socket);
        if (r > 0)
                return r;
        event.data.fd = liveness->socket;
        /* Who has connected may be gone again by the time of our accept(). */
        if (fcntl(liveness->socket, F_SETFL, O_NONBLOCK) < 0 ||
            epoll_ctl(epoll_fd, EPOLL_CTL_ADD, liveness->socket, &event) < 0)
                return log_fail(STATUS_SYSTEM, "cannot wait for probes: %m");
        return 0;
}
