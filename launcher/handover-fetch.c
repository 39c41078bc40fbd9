/* SPDX-License-Identifier: MIT */
#include "handover-fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "handover.h"
#include "log.h"
#include "status.h"

/* fpm-waker answers in well under a millisecond; nobody answers later than that because of load. */
#define TIMEOUT_SEC 5

/* The grant's descriptors before the sockets. */
enum { GRANT_PAGE, GRANT_CLOSING, GRANT_WAKING, GRANT_SOCKETS };

/* One descriptor more than allowed is noticed, not cut off by the kernel. */
#define FDS_ROOM (HANDOVER_FDS_MAX + 1)

struct grant {
        struct handover_grant header;
        int fds[FDS_ROOM];
        size_t n_fds;
};

/* Connects with a limit on every wait, connect()'s included. Returns the connection or -errno. */
static int connect_to(const char *path)
{
        _cleanup_close_ int fd = -1;
        const struct timeval timeout = {.tv_sec = TIMEOUT_SEC};
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        size_t length = strlen(path);

        if (length >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, length + 1);
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0 ||
            setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
            connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
                return -errno;
        return take_descriptor(&fd);
}

/*
 * Whoever listens is either outside our pid namespace, on the host, or root in it, or has started
 * us. Nobody else in the container can thus make us serve his socket.
 */
static int check_host(int connection)
{
        struct ucred peer;
        socklen_t length = sizeof(peer);

        if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
                return -errno;
        return peer.pid == 0 || peer.uid == 0 || peer.pid == getppid() ? 0 : -EPERM;
}

static int say_hello(int connection)
{
        const struct handover_hello hello = {.magic = HANDOVER_MAGIC, .version = HANDOVER_VERSION};

        return send(connection, &hello, sizeof(hello), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Receives one message. Returns 0, -ECONNRESET if the host hung up, -EBADMSG for no grant. */
static int receive_grant(int connection, struct grant *ret)
{
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(int) * FDS_ROOM)];
        } control;
        struct iovec data = {&ret->header, sizeof(ret->header)};
        struct msghdr message = {
            .msg_iov = &data,
            .msg_iovlen = 1,
            .msg_control = control.bytes,
            .msg_controllen = sizeof(control.bytes),
        };
        ssize_t n;

        ret->n_fds = 0;
        n = recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
        if (n < 0)
                return -errno;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                ret->n_fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                memcpy(ret->fds, CMSG_DATA(c), ret->n_fds * sizeof(int));
        }
        if (n == 0)
                return -ECONNRESET;
        if ((size_t)n != sizeof(ret->header) || message.msg_flags & (MSG_TRUNC | MSG_CTRUNC) ||
            ret->header.magic != HANDOVER_MAGIC)
                return -EBADMSG;
        if (ret->header.version != HANDOVER_VERSION)
                return -EPROTONOSUPPORT;
        if (ret->header.n_sockets < 1 || ret->header.n_sockets > GATE_SOCKETS_MAX ||
            ret->header.n_outputs > 1 ||
            ret->n_fds != GRANT_SOCKETS + ret->header.n_sockets + ret->header.n_outputs)
                return -EBADMSG;
        return 0;
}

/* Maps the page. What is wrong with it goes to *ret_reason, or errno is set and it is NULL. */
static struct gate_page *map_page(int fd, const char **ret_reason)
{
        struct gate_page *page;
        struct stat st;
        int seals;

        *ret_reason = NULL;
        seals = fcntl(fd, F_GET_SEALS);
        if (seals < 0 || (seals & (F_SEAL_SHRINK | F_SEAL_GROW)) != (F_SEAL_SHRINK | F_SEAL_GROW)) {
                *ret_reason = "it is not sealed in size";
                return NULL;
        }
        if (fstat(fd, &st) < 0)
                return NULL;
        if (st.st_size < (off_t)sizeof(*page)) {
                *ret_reason = "it is too small";
                return NULL;
        }
        page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (page == MAP_FAILED)
                return NULL;
        if (page->magic != GATE_MAGIC || page->version != GATE_VERSION) {
                *ret_reason = "it is no page of this version";
                (void)munmap(page, sizeof(*page));
                return NULL;
        }
        return page;
}

/* Writes to the pipe that came from now on. */
static int take_output(const struct grant *grant, const char *path)
{
        int fd = grant->fds[grant->n_fds - 1];
        struct stat st;

        if (grant->header.n_outputs == 0)
                return 0;
        if (fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode))
                return log_fail(STATUS_HANDOVER, "bad output in the hand-over: %s: it is no pipe",
                                path);
        if (dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0)
                return log_fail(STATUS_HANDOVER, "cannot use the output of the hand-over: %s: %m",
                                path);
        (void)close(fd);
        return 0;
}

/* Takes the sockets with their names out of the page's table. */
static int take_sockets(const struct grant *grant, const struct gate_page *page,
                        struct passed *passed, const char *path)
{
        if (page->n_sockets != grant->header.n_sockets)
                return log_fail(STATUS_HANDOVER,
                                "bad page in the hand-over: %s: it lists %u sockets, but %u came",
                                path, page->n_sockets, grant->header.n_sockets);
        for (size_t i = 0; i < grant->header.n_sockets; i++) {
                int fd = grant->fds[GRANT_SOCKETS + i];
                char *name = passed->names[i];
                struct stat st;

                if (!is_listening(fd))
                        return log_fail(STATUS_HANDOVER,
                                        "bad socket in the hand-over: %s: number %zu is not a "
                                        "listening stream socket: %m",
                                        path, i + 1);
                memcpy(name, page->sockets[i].name, GATE_NAME_MAX);
                if (fstat(fd, &st) < 0 || st.st_ino != page->sockets[i].inode ||
                    strnlen(name, GATE_NAME_MAX) == GATE_NAME_MAX)
                        return log_fail(STATUS_HANDOVER,
                                        "bad socket in the hand-over: %s: number %zu is not the "
                                        "one that the page describes",
                                        path, i + 1);
                passed->sockets[i] = fd;
        }
        passed->n_sockets = grant->header.n_sockets;
        return 0;
}

/*
 * From now on the kernel tells this process, and what it becomes by exec, that fpm-waker is gone:
 * by SIGQUIT, which drains the server.
 */
static int arm_connection(int connection)
{
        struct pollfd gone = {.fd = connection, .events = POLLIN};
        int flags;

        flags = fcntl(connection, F_GETFL);
        if (flags < 0 || fcntl(connection, F_SETOWN, getpid()) < 0 ||
            fcntl(connection, F_SETSIG, SIGQUIT) < 0 ||
            fcntl(connection, F_SETFL, flags | O_ASYNC) < 0)
                return -errno;
        /* Gone before it was armed, or not silent as agreed? */
        return poll(&gone, 1, 0) == 0 ? 0 : -ECONNRESET;
}

static int fetch(int connection, const char *path, struct passed *passed)
{
        struct grant grant = {.n_fds = 0};
        const char *reason = NULL;
        int r;

        r = check_host(connection);
        if (r == -EPERM)
                return log_fail(STATUS_HANDOVER,
                                "refused to take sockets from the hand-over: %s: whoever listens "
                                "there is neither on the host nor root nor our parent",
                                path);
        if (r == 0)
                r = say_hello(connection);
        if (r == 0)
                r = receive_grant(connection, &grant);
        errno = -r;
        if (r == -EAGAIN)
                return log_fail(STATUS_HANDOVER,
                                "no answer on the hand-over socket: %s: nothing came within %d s; "
                                "is fpm-waker stuck?",
                                path, TIMEOUT_SEC);
        if (r == -ECONNRESET || r == -EPIPE)
                return log_fail(STATUS_HANDOVER,
                                "refused on the hand-over socket: %s: fpm-waker hung up; its log "
                                "says why (another container of this vhost may still run)",
                                path);
        if (r == -EPROTONOSUPPORT)
                return log_fail(STATUS_HANDOVER,
                                "cannot use the hand-over: %s: fpm-waker speaks version %u, this "
                                "launcher %u; install both from one release",
                                path, grant.header.version, HANDOVER_VERSION);
        if (r == -EBADMSG)
                return log_fail(STATUS_HANDOVER,
                                "bad message on the hand-over socket: %s: is that fpm-waker?",
                                path);
        if (r < 0)
                return log_fail(STATUS_HANDOVER, "cannot use the hand-over: %s: %m", path);

        r = take_output(&grant, path);
        if (r > 0)
                return r;
        passed->gate.page = map_page(grant.fds[GRANT_PAGE], &reason);
        if (!passed->gate.page && reason)
                return log_fail(STATUS_HANDOVER, "bad page in the hand-over: %s: %s", path, reason);
        if (!passed->gate.page)
                return log_fail(STATUS_HANDOVER, "cannot map the page of the hand-over: %s: %m",
                                path);
        passed->page_fd = grant.fds[GRANT_PAGE];
        passed->gate.closing_fd = grant.fds[GRANT_CLOSING];
        passed->gate.waking_fd = grant.fds[GRANT_WAKING];
        r = take_sockets(&grant, passed->gate.page, passed, path);
        if (r > 0)
                return r;

        r = arm_connection(connection);
        errno = -r;
        if (r < 0)
                return log_fail(STATUS_HANDOVER, "lost the hand-over connection: %s: %m", path);
        return 0;
}

int handover_fetch(const char *path, struct passed *passed)
{
        _cleanup_close_ int connection = -1;
        int r;

        connection = connect_to(path);
        errno = -connection;
        if (connection < 0)
                return log_fail(STATUS_HANDOVER,
                                "cannot connect to the hand-over socket: %s: %m; does fpm-waker "
                                "run, and is its directory mounted here?",
                                path);
        r = fetch(connection, path, passed);
        if (r > 0)
                return r;
        passed->handover_fd = take_descriptor(&connection);
        return 0;
}
