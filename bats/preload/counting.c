/* SPDX-License-Identifier: MIT */
/*
 * Another library in LD_PRELOAD, as people have them: it wraps functions that fpm-waker wraps too,
 * passes each call on by RTLD_NEXT, and appends "PID FUNCTION" to the file COUNTING_FILE.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

/* glibc's addresses are transparent unions of all kinds, which a plain pointer matches only almost.
 */
#pragma GCC diagnostic ignored "-Wpedantic"

static char file[PATH_MAX];

/* The environment is read once, at load: php-fpm's workers clear it. */
__attribute__((constructor)) static void remember(void)
{
        const char *name = getenv("COUNTING_FILE");

        if (name && strlen(name) < sizeof(file))
                strcpy(file, name);
}

/* The function of this name behind ours. ISO C lets no object pointer become one to a function. */
static void find_next(const char *name, void *ret_function)
{
        void *found = dlsym(RTLD_NEXT, name);

        memcpy(ret_function, &found, sizeof(found));
}

static void count(const char *name)
{
        static int (*next_close)(int);
        int error = errno;
        char line[64];
        int fd, length;

        if (!next_close)
                find_next("close", &next_close);
        fd = *file ? open(file, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;
        if (fd >= 0) {
                length = snprintf(line, sizeof(line), "%d %s\n", (int)getpid(), name);
                if (write(fd, line, (size_t)length) != length)
                        abort();
                (void)next_close(fd);
        }
        errno = error;
}

/* COUNT(type, name, (parameters), (arguments)): a wrapper that counts and passes on. */
#define COUNT(type, name, parameters, arguments)                                                   \
        type name parameters                                                                       \
        {                                                                                          \
                static type(*next) parameters;                                                     \
                                                                                                   \
                if (!next)                                                                         \
                        find_next(#name, &next);                                                   \
                count(#name);                                                                      \
                return next arguments;                                                             \
        }

COUNT(int, accept, (int fd, struct sockaddr *address, socklen_t *length), (fd, address, length))
COUNT(int, bind, (int fd, const struct sockaddr *address, socklen_t length), (fd, address, length))
COUNT(int, chown, (const char *path, uid_t uid, gid_t gid), (path, uid, gid))
COUNT(int, close, (int fd), (fd))
COUNT(int, connect, (int fd, const struct sockaddr *address, socklen_t length),
      (fd, address, length))
COUNT(int, listen, (int fd, int backlog), (fd, backlog))
COUNT(int, poll, (struct pollfd * fds, nfds_t n, int timeout), (fds, n, timeout))
COUNT(ssize_t, read, (int fd, void *data, size_t size), (fd, data, size))
COUNT(int, unlink, (const char *path), (path))
COUNT(pid_t, waitpid, (pid_t pid, int *status, int options), (pid, status, options))
