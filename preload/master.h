/* SPDX-License-Identifier: MIT */
/*
 * A safe stop and reload: a signal to the master waits until no request is in flight. php-fpm's
 * own handler, which follows, would cut running requests about a millisecond later, since its
 * process_control_timeout is 0 by default.
 */
#pragma once

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/select.h>
#include <sys/types.h>

/* As the kernel takes it in rt_sigaction(2), on x86-64 and arm64. */
struct raw_sigaction {
        union {
                void (*handler)(int);
                void (*handler_with_info)(int, siginfo_t *, void *); /* with SA_SIGINFO */
        };
        unsigned long flags;
        void (*restorer)(void);
        uint64_t mask;
};

/*
 * Puts us before the server's handlers of SIGQUIT, SIGTERM, SIGINT, SIGUSR2 and SIGHUP.
 * by_default: also where it has none for the first three; a server that accepts in its only
 * process would die in the middle of a request. It exits with status 0 when drained.
 */
void master_hold_signals(bool by_default);

/*
 * The server accepts in this very process: what it does for a request is not interrupted by a
 * signal that waits for the request's end.
 */
void master_accepts(void);

/* In such a server, after a request: a signal that waited passes now if it was the last one. */
void master_look_again(void);

/* sigaction(2) for the whole process; the server's own handlers of held signals are put behind us.
 * Returns 0 or -errno. Signal-safe. */
long master_sigaction(int number, const struct sigaction *action, struct sigaction *former);

/* waitpid(2): a dead worker's slot is freed exactly when its pid is. Returns the pid or -errno. */
long master_waitpid(pid_t pid, int *status, int options);

/*
 * kill(2): a worker that has just accepted counts as idle for php-fpm until its client sends
 * something; php-fpm's idle maintenance would ask it to quit, and kill it a second later. Unless
 * the server stops, a busy worker gets neither, and an idle one is only asked. Returns 0 or -errno.
 */
long master_kill(pid_t pid, int number);

/*
 * epoll_ctl(2) on a passed socket: with pm = ondemand, php-fpm waits there for an edge and forks. A
 * connection that comes while its last worker is just leaving is no new edge once that is gone, so
 * the edge is armed again after each worker's death. Returns 0 or -errno.
 */
struct epoll_event;
long master_epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event);

/*
 * ppoll(2) and pselect6(2), which are not interrupted by a signal that is held back: the server has
 * not seen it. What is left of the timeout is written back.
 */
long master_ppoll(struct pollfd *fds, nfds_t n, struct timespec *timeout, const void *mask);
long master_pselect(int n, fd_set *read, fd_set *write, fd_set *except, struct timespec *timeout,
                    const void *mask);

/* Signals so far. */
struct master_signals {
        unsigned held_back;
        unsigned passed_on;
};
struct master_signals master_signals(void);

/*
 * For a wait that stands for a call which the kernel begins anew after a signal. True if it would
 * have done so here: nothing but signals that are held back since then, or every handler has
 * SA_RESTART.
 */
bool master_begins_anew(struct master_signals since);

/* True if one has passed since then that is to interrupt a call, though none was being made. */
bool master_passed_on(struct master_signals since);

/* Installs a handler with the kernel. Returns 0 or -errno. Signal-safe. */
long master_install(int number, const struct raw_sigaction *action, struct raw_sigaction *former);
