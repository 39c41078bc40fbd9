/* SPDX-License-Identifier: MIT */
/*
 * System calls without a libc: the shim is loaded into glibc and musl programs alike, and a wrapper
 * that called the libc's function of its own name would call itself.
 *
 * Every raw_*() returns what the kernel does: a result, or -errno. None touches errno, none is a
 * cancellation point, all are async-signal-safe. Only calls that every 64-bit architecture has are
 * used (accept4, ppoll, dup3, unlinkat, ...).
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

static inline long raw_call(long number, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
        register long r10 __asm__("r10") = d;
        register long r8 __asm__("r8") = e;
        register long r9 __asm__("r9") = f;
        long result;

        __asm__ volatile("syscall"
                         : "=a"(result)
                         : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                         : "rcx", "r11", "memory");
        return result;
#elif defined(__aarch64__)
        register long x8 __asm__("x8") = number;
        register long x0 __asm__("x0") = a;
        register long x1 __asm__("x1") = b;
        register long x2 __asm__("x2") = c;
        register long x3 __asm__("x3") = d;
        register long x4 __asm__("x4") = e;
        register long x5 __asm__("x5") = f;

        __asm__ volatile("svc 0"
                         : "+r"(x0)
                         : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                         : "memory");
        return x0;
#else
#error "fpm-waker knows the system call convention of x86-64 and arm64 only"
#endif
}

#define raw0(name)          raw_call(SYS_##name, 0, 0, 0, 0, 0, 0)
#define raw1(name, a)       raw_call(SYS_##name, (long)(a), 0, 0, 0, 0, 0)
#define raw2(name, a, b)    raw_call(SYS_##name, (long)(a), (long)(b), 0, 0, 0, 0)
#define raw3(name, a, b, c) raw_call(SYS_##name, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define raw4(name, a, b, c, d)                                                                     \
        raw_call(SYS_##name, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define raw5(name, a, b, c, d, e)                                                                  \
        raw_call(SYS_##name, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)
#define raw6(name, a, b, c, d, e, f)                                                               \
        raw_call(SYS_##name, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

static inline long raw_read(int fd, void *buffer, size_t size)
{
        return raw3(read, fd, buffer, size);
}

static inline long raw_write(int fd, const void *data, size_t size)
{
        return raw3(write, fd, data, size);
}

static inline long raw_close(int fd)
{
        return raw1(close, fd);
}

static inline long raw_fcntl(int fd, int command, long argument)
{
        return raw3(fcntl, fd, command, argument);
}

static inline uint32_t raw_getpid(void)
{
        return (uint32_t)raw0(getpid);
}

static inline long raw_poll(struct pollfd *fds, unsigned n, const struct timespec *timeout)
{
        struct timespec copy = {0};

        if (timeout)
                copy = *timeout; /* the kernel writes the rest of the time back */
        return raw5(ppoll, fds, n, timeout ? &copy : NULL, NULL, 0);
}

static inline long raw_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
        return raw4(accept4, fd, address, size, flags);
}

static inline long raw_getsockopt(int fd, int level, int option, void *value, socklen_t *size)
{
        return raw5(getsockopt, fd, level, option, value, size);
}

static inline long raw_fstat_inode(int fd, uint64_t *ret_inode)
{
        struct stat status;
        long r = raw2(fstat, fd, &status);

        if (r >= 0)
                *ret_inode = status.st_ino;
        return r;
}

/* until: CLOCK_MONOTONIC, or NULL. FUTEX_WAIT_BITSET is the one that takes an absolute time. */
static inline long raw_futex_wait(const void *word, uint32_t expected, const struct timespec *until)
{
        return raw6(futex, word, FUTEX_WAIT_BITSET, expected, until, NULL, FUTEX_BITSET_MATCH_ANY);
}

static inline long raw_futex_wake_all(const void *word)
{
        return raw6(futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}
