/* SPDX-License-Identifier: MIT */
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"

static int pid_namespace_of(pid_t pid, ino_t *ret)
{
        char path[64];
        struct stat st;

        (void)snprintf(path, sizeof(path), "/proc/%d/ns/pid", pid);
        if (stat(path, &st) < 0)
                return errno == ENOENT ? -ESRCH : -errno;
        *ret = st.st_ino;
        return 0;
}

static int open_process(pid_t pid, struct peer *ret)
{
        struct peer peer = {.pid = pid};
        int r;

        /* 0: a process that our pid namespace does not show. */
        if (pid <= 0)
                return -ESRCH;
        peer.pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
        if (peer.pidfd < 0)
                return -errno;
        r = pid_namespace_of(pid, &peer.pid_namespace);
        if (r == 0 && peer_is_dead(&peer))
                r = -ESRCH;
        if (r < 0) {
                (void)close(peer.pidfd);
                return r;
        }
        *ret = peer;
        return 0;
}

int peer_of_socket(int fd, struct peer *ret)
{
        struct ucred credentials;
        socklen_t length = sizeof(credentials);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0)
                return -errno;
        return open_process(credentials.pid, ret);
}

int peer_beside(const struct peer *other, pid_t pid, struct peer *ret)
{
        struct peer peer = {.pidfd = -1};
        int r;

        r = open_process(pid, &peer);
        if (r < 0)
                return r;
        if (peer.pid_namespace != other->pid_namespace) {
                (void)close(peer.pidfd);
                return -EXDEV;
        }
        *ret = peer;
        return 0;
}

static int same_content(int a, int b)
{
        char of_a[16384], of_b[16384];
        off_t offset = 0;

        for (;;) {
                ssize_t n = pread(a, of_a, sizeof(of_a), offset);
                ssize_t m = pread(b, of_b, sizeof(of_b), offset);

                if (n < 0 || m < 0)
                        return -errno;
                if (n != m || memcmp(of_a, of_b, (size_t)n) != 0)
                        return 0;
                if (n == 0)
                        return 1;
                offset += n;
        }
}

int peer_runs(const struct peer *peer, const char *path)
{
        _cleanup_close_ int theirs = -1, ours = -1;
        struct stat st_theirs, st_ours;
        char exe[64];
        int r;

        (void)snprintf(exe, sizeof(exe), "/proc/%d/exe", peer->pid);
        theirs = open(exe, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (theirs < 0)
                return -errno;
        ours = open(path, O_RDONLY | O_CLOEXEC);
        if (ours < 0)
                return -errno;
        if (fstat(theirs, &st_theirs) < 0 || fstat(ours, &st_ours) < 0)
                return -errno;
        if (st_theirs.st_dev == st_ours.st_dev && st_theirs.st_ino == st_ours.st_ino)
                r = 1;
        else if (st_theirs.st_size != st_ours.st_size)
                r = 0;
        else
                r = same_content(theirs, ours);
        /* The pid was this process's all the time only if the process still lives. */
        if (r > 0 && peer_is_dead(peer))
                return -ESRCH;
        return r;
}

bool peer_is_dead(const struct peer *peer)
{
        struct pollfd poll_fd = {.fd = peer->pidfd, .events = POLLIN};

        return poll(&poll_fd, 1, 0) > 0;
}

int peer_kill(const struct peer *peer, int signal)
{
        if (syscall(SYS_pidfd_send_signal, peer->pidfd, signal, NULL, 0) < 0)
                return -errno;
        return 0;
}

bool peer_is_near(const struct peer *peer)
{
        ino_t own = 0;

        return pid_namespace_of(getpid(), &own) == 0 && peer->pid_namespace == own;
}
