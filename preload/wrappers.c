/* SPDX-License-Identifier: MIT */
/*
 * Every function that the shim puts before a libc's: the whole surface of it. In a process that
 * is neither server nor worker, and for every descriptor and path that is not ours, each is a
 * compare and the system call.
 *
 * The names are set by assembler labels, so that no libc header's prototype, attribute (nonnull
 * would drop our checks) or fortified inline stands in the way.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>

#include "adopt.h"
#include "connection.h"
#include "master.h"
#include "raw.h"
#include "shim.h"
#include "text.h"
#include "wait.h"
#include "worker.h"

#define WRAP(type, name, ...)                                                                      \
        type wrap_##name(__VA_ARGS__) __asm__(#name) __attribute__((visibility("default")));       \
        type wrap_##name(__VA_ARGS__)

/* From the kernel's way of telling an error to the libc's. */
static inline long result(long r)
{
        if (r < 0 && r > -4096) {
                errno = (int)-r;
                return -1;
        }
        return r;
}

/* ---- the listening socket ---- */

WRAP(int, bind, int fd, const struct sockaddr *address, socklen_t size)
{
        if (shim.role == SHIM_ABSENT)
                return (int)result(raw3(bind, fd, address, size));
        return (int)result(adopt_bind(fd, address, size));
}

WRAP(int, listen, int fd, int backlog)
{
        if (shim_listener(fd))
                return 0; /* the socket unit's Backlog= stays */
        return (int)result(raw2(listen, fd, backlog));
}

WRAP(int, connect, int fd, const struct sockaddr *address, socklen_t size)
{
        if (shim.role == SHIM_ABSENT)
                return (int)result(raw3(connect, fd, address, size));
        return (int)result(adopt_connect(fd, address, size));
}

WRAP(int, setsockopt, int fd, int level, int option, const void *value, socklen_t size)
{
        if (shim_listener(fd))
                return 0; /* the socket unit's options stay */
        return (int)result(raw5(setsockopt, fd, level, option, value, size));
}

/*
 * php-fpm asks once a second for the queue of a socket that its configuration has as TCP, also if
 * it got a unix socket for it. Zeros tell it that this is not known.
 */
WRAP(int, getsockopt, int fd, int level, int option, void *value, socklen_t *size)
{
        const struct listener *listener = shim_listener(fd);

        if (listener && level == IPPROTO_TCP && option == TCP_INFO &&
            listener->address.ss_family == AF_UNIX) {
                memset(value, 0, *size);
                return 0;
        }
        return (int)result(raw_getsockopt(fd, level, option, value, size));
}

WRAP(int, accept4, int fd, struct sockaddr *address, socklen_t *size, int flags)
{
        if (shim.role == SHIM_ABSENT)
                return (int)result(raw_accept4(fd, address, size, flags));
        return (int)result(worker_accept(fd, address, size, flags));
}

WRAP(int, accept, int fd, struct sockaddr *address, socklen_t *size)
{
        return wrap_accept4(fd, address, size, 0);
}

/* ---- the path of a unix socket ---- */

static bool is_guarded(int dirfd, const char *path)
{
        return shim.role != SHIM_ABSENT && adopt_guards_path(dirfd, path);
}

WRAP(int, unlinkat, int dirfd, const char *path, int flags)
{
        if (is_guarded(dirfd, path))
                return 0;
        return (int)result(raw3(unlinkat, dirfd, path, flags));
}

WRAP(int, unlink, const char *path)
{
        return wrap_unlinkat(AT_FDCWD, path, 0);
}

WRAP(int, chmod, const char *path, mode_t mode)
{
        if (is_guarded(AT_FDCWD, path))
                return 0;
        return (int)result(raw3(fchmodat, AT_FDCWD, path, mode));
}

WRAP(int, fchownat, int dirfd, const char *path, uid_t owner, gid_t group, int flags)
{
        if (is_guarded(dirfd, path))
                return 0;
        return (int)result(raw5(fchownat, dirfd, path, owner, group, flags));
}

WRAP(int, chown, const char *path, uid_t owner, gid_t group)
{
        return wrap_fchownat(AT_FDCWD, path, owner, group, 0);
}

WRAP(int, lchown, const char *path, uid_t owner, gid_t group)
{
        return wrap_fchownat(AT_FDCWD, path, owner, group, AT_SYMLINK_NOFOLLOW);
}

/* libacl reads and writes ACLs by these two. */
static bool is_acl(const char *name)
{
        return name && text_equal(name, "system.posix_acl_access");
}

WRAP(ssize_t, getxattr, const char *path, const char *name, void *value, size_t size)
{
        if (is_acl(name) && is_guarded(AT_FDCWD, path))
                return result(adopt_acl(value, size));
        return result(raw4(getxattr, path, name, value, size));
}

WRAP(int, setxattr, const char *path, const char *name, const void *value, size_t size, int flags)
{
        if (is_acl(name) && is_guarded(AT_FDCWD, path))
                return 0;
        return (int)result(raw5(setxattr, path, name, value, size, flags));
}

/* ---- descriptor numbers ---- */

WRAP(int, close, int fd)
{
        if (shim_fd(fd) != SHIM_FD_OTHER && shim_owns_memory()) {
                if (shim_fd(fd) >= SHIM_FD_CONNECTION)
                        connection_before_close(
                            &shim.connections[shim_fd(fd) - SHIM_FD_CONNECTION]);
                shim_forget(fd);
        }
        return (int)result(raw_close(fd));
}

/* A copy of the listening socket, or of a connection, is one too. */
static int did_duplicate(int from, int to)
{
        const struct listener *listener = shim_listener(from);
        struct connection *connection = connection_of(from);

        if (from == to || to < 0 || (!listener && !connection && shim_fd(to) == SHIM_FD_OTHER) ||
            !shim_owns_memory())
                return to;
        shim_forget(to);
        if (listener)
                shim_track_listener(to, (uint32_t)(listener - shim.listeners));
        else if (connection)
                connection_track(connection, to);
        return to;
}

WRAP(int, dup, int fd)
{
        return did_duplicate(fd, (int)result(raw1(dup, fd)));
}

WRAP(int, dup3, int from, int to, int flags)
{
        return did_duplicate(from, (int)result(raw3(dup3, from, to, flags)));
}

WRAP(int, dup2, int from, int to)
{
        long r;

        if (from == to) { /* dup3() refuses what dup2() only checks */
                r = raw_fcntl(from, F_GETFD, 0);
                return (int)result(r < 0 ? r : to);
        }
        return wrap_dup3(from, to, 0);
}

/* The third argument is there or not; if not, nobody looks at what is in its place. */
WRAP(int, fcntl, int fd, int command, long argument)
{
        struct f_owner_ex owner;
        long r;

        if (command == F_GETOWN) { /* a group's negative number might be an error's */
                r = raw_fcntl(fd, F_GETOWN_EX, (long)&owner);
                if (r < 0)
                        return (int)result(r);
                return owner.type == F_OWNER_PGRP ? -owner.pid : owner.pid;
        }
        if (command == F_GETFL)
                return (int)result(adopt_get_flags(fd));
        if (command == F_SETFL)
                return (int)result(adopt_set_flags(fd, argument));
        r = result(raw_fcntl(fd, command, argument));
        if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)
                return did_duplicate(fd, (int)r);
        return (int)r;
}

WRAP(int, fcntl64, int fd, int command, long argument)
{
        return wrap_fcntl(fd, command, argument);
}

/* In musl the request is an int: the kernel takes 32 bits of it. */
WRAP(int, ioctl, int fd, unsigned long request, void *argument)
{
        if ((uint32_t)request == FIONBIO)
                return (int)result(adopt_set_nonblocking(fd, argument));
        return (int)result(raw3(ioctl, fd, request, argument));
}

/* ---- a connection ---- */

static size_t vector_size(const struct iovec *vector, int n)
{
        size_t size = 0;

        for (int i = 0; i < n; i++)
                size += vector[i].iov_len;
        return size;
}

/* Everything that receives: what may block first waits for the gate, what came is followed. */
static long receive(int fd, struct connection *connection, struct msghdr *message, int flags)
{
        const int not_in_line = MSG_OOB | MSG_ERRQUEUE; /* neither waited for nor of the stream */
        const struct iovec *vector = message->msg_iov;
        size_t room = vector_size(vector, (int)message->msg_iovlen);
        bool waits = !(flags & (MSG_DONTWAIT | not_in_line));
        long r = connection_before_read(fd, connection, waits);

        if (r <= 0)
                return r;
        r = raw3(recvmsg, fd, message, flags);
        if (flags & (MSG_PEEK | not_in_line))
                return r;
        if (r <= 0)
                connection_did_end(connection, r);
        else if (flags & MSG_TRUNC)
                connection_did_read_unseen(connection, (size_t)r);
        else
                connection_did_read(connection, vector, (size_t)r < room ? (size_t)r : room);
        return r;
}

WRAP(ssize_t, read, int fd, void *buffer, size_t size)
{
        struct connection *connection = connection_of(fd);
        const char *byte = buffer;
        long r;

        if (!connection) {
                r = raw_read(fd, buffer, size);
                if (size == 1 && r >= 0 && shim.role == SHIM_BEFORE && shim.is_php_fpm)
                        recycling_read(r ? byte : "\n");
                return result(r);
        }
        r = connection_before_read(fd, connection, size > 0);
        return result(r <= 0 ? r : connection_read(fd, connection, buffer, size));
}

WRAP(ssize_t, readv, int fd, const struct iovec *vector, int n)
{
        struct connection *connection = connection_of(fd);
        struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)vector,
                                 .msg_iovlen = (size_t)n};

        if (!connection || n <= 0 || !vector_size(vector, n))
                return result(raw3(readv, fd, vector, n));
        return result(receive(fd, connection, &message, 0));
}

/* On a socket this is readv(2) with flags. */
WRAP(ssize_t, preadv2, int fd, const struct iovec *vector, int n, off_t offset, int flags)
{
        struct connection *connection = connection_of(fd);
        long r;

        if (connection && offset == -1 && !flags)
                return wrap_readv(fd, vector, n);
        r = raw6(preadv2, fd, vector, n, offset, 0, flags);
        if (r > 0 && connection)
                connection_did_read(connection, vector, (size_t)r);
        else if (connection)
                connection_did_end(connection, r);
        return result(r);
}

WRAP(ssize_t, preadv64v2, int fd, const struct iovec *vector, int n, off_t offset, int flags)
{
        return wrap_preadv2(fd, vector, n, offset, flags);
}

WRAP(ssize_t, recvfrom, int fd, void *buffer, size_t size, int flags, struct sockaddr *from,
     socklen_t *from_size)
{
        struct connection *connection = connection_of(fd);
        struct iovec vector = {.iov_base = buffer, .iov_len = size};
        struct msghdr message = {.msg_name = from, .msg_iov = &vector, .msg_iovlen = 1};
        long r;

        if (!connection || (from && !from_size))
                return result(raw6(recvfrom, fd, buffer, size, flags, from, from_size));
        if (!flags && !from)
                return wrap_read(fd, buffer, size);
        if (from)
                message.msg_namelen = *from_size;
        r = receive(fd, connection, &message, flags);
        if (r >= 0 && from)
                *from_size = message.msg_namelen;
        return result(r);
}

WRAP(ssize_t, recv, int fd, void *buffer, size_t size, int flags)
{
        return wrap_recvfrom(fd, buffer, size, flags, NULL, NULL);
}

WRAP(ssize_t, recvmsg, int fd, struct msghdr *message, int flags)
{
        struct connection *connection = connection_of(fd);

        if (!connection)
                return result(raw3(recvmsg, fd, message, flags));
        return result(receive(fd, connection, message, flags));
}

WRAP(int, recvmmsg, int fd, struct mmsghdr *messages, unsigned n, int flags,
     struct timespec *timeout)
{
        struct connection *connection = connection_of(fd);
        long r;

        if (!connection || n == 0)
                return (int)result(raw5(recvmmsg, fd, messages, n, flags, timeout));
        /* Nobody has a use for more than one on a stream, and one is an answer that is allowed. */
        r = receive(fd, connection, &messages->msg_hdr, flags & ~MSG_WAITFORONE);
        if (r < 0)
                return (int)result(r);
        messages->msg_len = (unsigned)r;
        return 1;
}

WRAP(int, shutdown, int fd, int how)
{
        struct connection *connection = how == SHUT_WR ? connection_of(fd) : NULL;

        if (connection && connection_finish(connection))
                return 0;
        return (int)result(raw2(shutdown, fd, how));
}

/* What programs built with _FORTIFY_SOURCE call instead; too small a buffer is a bug of theirs. */
WRAP(ssize_t, __read_chk, int fd, void *buffer, size_t size, size_t room)
{
        if (size > room)
                __builtin_trap();
        return wrap_read(fd, buffer, size);
}

WRAP(ssize_t, __recv_chk, int fd, void *buffer, size_t size, size_t room, int flags)
{
        if (size > room)
                __builtin_trap();
        return wrap_recv(fd, buffer, size, flags);
}

WRAP(ssize_t, __recvfrom_chk, int fd, void *buffer, size_t size, size_t room, int flags,
     struct sockaddr *from, socklen_t *from_size)
{
        if (size > room)
                __builtin_trap();
        return wrap_recvfrom(fd, buffer, size, flags, from, from_size);
}

WRAP(ssize_t, write, int fd, const void *data, size_t size)
{
        struct connection *connection = connection_of(fd);
        struct iovec vector = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};

        if (!connection)
                return result(raw_write(fd, data, size));
        return result(connection_write(fd, connection, &vector, 1));
}

WRAP(ssize_t, writev, int fd, const struct iovec *vector, int n)
{
        struct connection *connection = connection_of(fd);

        if (!connection || n <= 0)
                return result(raw3(writev, fd, vector, n));
        return result(connection_write(fd, connection, vector, n));
}

WRAP(ssize_t, pwritev2, int fd, const struct iovec *vector, int n, off_t offset, int flags)
{
        struct connection *connection = connection_of(fd);
        long r = raw6(pwritev2, fd, vector, n, offset, 0, flags);

        if (r > 0 && connection)
                connection_did_write(connection, vector, (size_t)r);
        return result(r);
}

WRAP(ssize_t, pwritev64v2, int fd, const struct iovec *vector, int n, off_t offset, int flags)
{
        return wrap_pwritev2(fd, vector, n, offset, flags);
}

WRAP(ssize_t, sendto, int fd, const void *data, size_t size, int flags, const struct sockaddr *to,
     socklen_t to_size)
{
        struct connection *connection = connection_of(fd);
        struct iovec vector = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
        long r = raw6(sendto, fd, data, size, flags, to, to_size);

        if (r > 0 && connection)
                connection_did_write(connection, &vector, (size_t)r);
        return result(r);
}

WRAP(ssize_t, send, int fd, const void *data, size_t size, int flags)
{
        return wrap_sendto(fd, data, size, flags, NULL, 0);
}

WRAP(ssize_t, sendmsg, int fd, const struct msghdr *message, int flags)
{
        struct connection *connection = connection_of(fd);
        long r = raw3(sendmsg, fd, message, flags);

        if (r > 0 && connection)
                connection_did_write(connection, message->msg_iov, (size_t)r);
        return result(r);
}

WRAP(int, sendmmsg, int fd, struct mmsghdr *messages, unsigned n, int flags)
{
        struct connection *connection = connection_of(fd);
        long r = raw4(sendmmsg, fd, messages, n, flags);

        for (long i = 0; connection && i < r; i++)
                connection_did_write(connection, messages[i].msg_hdr.msg_iov, messages[i].msg_len);
        return (int)result(r);
}

/* ---- waiting ---- */

WRAP(int, ppoll, struct pollfd *fds, nfds_t n, const struct timespec *timeout, const void *mask)
{
        struct timespec span;

        if (timeout)
                span = *timeout;
        return (int)result(wait_poll(fds, n, timeout ? &span : NULL, mask));
}

WRAP(int, poll, struct pollfd *fds, nfds_t n, int timeout)
{
        const struct timespec span = {.tv_sec = timeout / 1000,
                                      .tv_nsec = (long)(timeout % 1000) * 1000000};

        return wrap_ppoll(fds, n, timeout < 0 ? NULL : &span, NULL);
}

WRAP(int, __poll_chk, struct pollfd *fds, nfds_t n, int timeout, size_t room)
{
        if (n > room / sizeof(*fds))
                __builtin_trap();
        return wrap_poll(fds, n, timeout);
}

WRAP(int, __ppoll_chk, struct pollfd *fds, nfds_t n, const struct timespec *timeout,
     const void *mask, size_t room)
{
        if (n > room / sizeof(*fds))
                __builtin_trap();
        return wrap_ppoll(fds, n, timeout, mask);
}

WRAP(int, select, int n, fd_set *read, fd_set *write, fd_set *except, struct timeval *timeout)
{
        struct timespec span;
        long r;

        if (!timeout)
                return (int)result(wait_select(n, read, write, except, NULL, NULL));
        if (timeout->tv_sec < 0 || timeout->tv_usec < 0)
                return (int)result(-EINVAL);
        span.tv_sec = timeout->tv_sec + timeout->tv_usec / 1000000;
        span.tv_nsec = (long)(timeout->tv_usec % 1000000) * 1000;
        r = wait_select(n, read, write, except, &span, NULL);
        timeout->tv_sec = span.tv_sec;
        timeout->tv_usec = span.tv_nsec / 1000;
        return (int)result(r);
}

WRAP(int, pselect, int n, fd_set *read, fd_set *write, fd_set *except,
     const struct timespec *timeout, const void *mask)
{
        struct timespec span;

        if (timeout)
                span = *timeout;
        return (int)result(wait_select(n, read, write, except, timeout ? &span : NULL, mask));
}

/* ---- a connection, by calls that do not show us what they move ---- */

WRAP(ssize_t, sendfile, int fd, int from, off_t *offset, size_t size)
{
        struct connection *connection = connection_of(fd);
        long r = raw4(sendfile, fd, from, offset, size);

        if (r > 0 && connection)
                connection_did_write_unseen(connection, (size_t)r);
        return result(r);
}

WRAP(ssize_t, sendfile64, int fd, int from, off_t *offset, size_t size)
{
        return wrap_sendfile(fd, from, offset, size);
}

WRAP(ssize_t, splice, int from, off_t *from_offset, int to, off_t *to_offset, size_t size,
     unsigned flags)
{
        struct connection *in = connection_of(from);
        struct connection *out = connection_of(to);
        long r = in ? connection_before_read(from, in, !(flags & SPLICE_F_NONBLOCK)) : 1;

        if (r <= 0)
                return result(r);
        r = raw6(splice, from, from_offset, to, to_offset, size, flags);
        if (r > 0 && in)
                connection_did_read_unseen(in, (size_t)r);
        else if (in)
                connection_did_end(in, r);
        if (r > 0 && out)
                connection_did_write_unseen(out, (size_t)r);
        return result(r);
}

/* ---- the master ---- */

WRAP(int, sigaction, int number, const struct sigaction *action, struct sigaction *former)
{
        return (int)result(master_sigaction(number, action, former));
}

WRAP(int, kill, pid_t pid, int number)
{
        return (int)result(master_kill(pid, number));
}

WRAP(int, epoll_ctl, int epoll_fd, int operation, int fd, struct epoll_event *event)
{
        long r = master_epoll_ctl(epoll_fd, operation, fd, event);

        if (r >= 0 && operation == EPOLL_CTL_ADD)
                worker_stand_by(fd);
        return (int)result(r);
}

WRAP(pid_t, waitpid, pid_t pid, int *status, int options)
{
        return (int)result(master_waitpid(pid, status, options));
}
