/* SPDX-License-Identifier: MIT */
/*
 * A safe stop and reload: a signal to the master waits until no request is in flight. php-fpm's
 * own handler, which follows, would cut running requests about a millisecond later, since its
 * process_control_timeout is 0 by default.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
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

/* Installs a handler with the kernel. Returns 0 or -errno. Signal-safe. */
long master_install(int number, const struct raw_sigaction *action, struct raw_sigaction *former);
