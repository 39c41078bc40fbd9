/* SPDX-License-Identifier: MIT */
/* What slot-test says to a responder, over a SOCK_SEQPACKET socket that the responder connects. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#define DATA_MAX 70000U /* more than a record */
#define WAIT_MAX 8U     /* descriptors that a wait is for */

/* Everything that a responder can be told to do. */
#define CALLS(X)                                                                                   \
        /* Receives up to size bytes from fd. */                                                   \
        X(READ)                                                                                    \
        X(READ_CHK)                                                                                \
        X(READV)                                                                                   \
        X(RECV)                                                                                    \
        X(RECV_CHK)                                                                                \
        X(RECV_DONTWAIT)                                                                           \
        X(RECV_PEEK)                                                                               \
        X(RECVFROM)                                                                                \
        X(RECVFROM_ADDRESS)                                                                        \
        X(RECVFROM_CHK)                                                                            \
        X(RECVMSG)                                                                                 \
        X(RECVMMSG)                                                                                \
        X(PREADV2)                                                                                 \
        X(PREADV64V2)                                                                              \
        X(SPLICE_IN)                                                                               \
        X(GETC)                                                                                    \
        /* Sends size bytes of data to fd. */                                                      \
        X(WRITE)                                                                                   \
        X(WRITEV)                                                                                  \
        X(SEND)                                                                                    \
        X(SENDTO)                                                                                  \
        X(SENDMSG)                                                                                 \
        X(SENDMMSG)                                                                                \
        X(PWRITEV2)                                                                                \
        X(PWRITEV64V2)                                                                             \
        X(SENDFILE)                                                                                \
        X(SENDFILE64)                                                                              \
        X(SPLICE_OUT)                                                                              \
        X(FWRITE)                                                                                  \
        /* Waits argument milliseconds (-1: for ever) until one of fds can be read, -1 is none. */ \
        X(POLL)                                                                                    \
        X(POLL_CHK)                                                                                \
        X(PPOLL)                                                                                   \
        X(PPOLL_CHK)                                                                               \
        X(SELECT)                                                                                  \
        X(PSELECT)                                                                                 \
        X(EPOLL)                                                                                   \
        /* On fd. */                                                                               \
        X(ACCEPT)                                                                                  \
        X(ACCEPT4)                                                                                 \
        X(CLOSE)                                                                                   \
        X(FCLOSE)                                                                                  \
        X(SHUTDOWN)                                                                                \
        X(DUP)                                                                                     \
        X(DUP2)                                                                                    \
        X(DUP3)                                                                                    \
        X(DUPFD)                                                                                   \
        X(DUPFD_CLOEXEC)                                                                           \
        X(SET_NONBLOCK)                                                                            \
        X(SET_FIONBIO)                                                                             \
        X(IS_NONBLOCK)                                                                             \
        X(SET_TIMEOUT)                                                                             \
        X(HANDLE_SIGNAL) /* fd is its number, argument its handler's flags */                      \
        X(PIPE)                                                                                    \
        /* argument times: accept on fd, receive until the end, close. */                          \
        X(SERVE)                                                                                   \
        /* argument times: accept on fd, and give the connection to a thread that closes it. */    \
        X(HAND_OUT)                                                                                \
        /* Another thread, or process, that takes orders on a connection of its own. */            \
        X(THREAD)                                                                                  \
        X(FORK)                                                                                    \
        X(END)

enum call {
#define X(name) CALL_##name,
        CALLS(X)
#undef X
            N_CALLS
};

struct order {
        uint32_t call;
        int32_t fd;
        int32_t argument;
        uint32_t size;
        union {
                uint8_t data[DATA_MAX];
                int32_t fds[WAIT_MAX]; /* -1: none */
        };
};

/* The first one comes by itself: result is the listening socket. */
struct reply {
        int64_t result; /* of the call, or -errno */
        pid_t process;
        pid_t thread;
        uint8_t data[DATA_MAX]; /* received; or for each of fds 1 if it can be read */
};
