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

/* Installs a handler with the kernel. Returns 0 or -errno. Signal-safe. */
long master_install(int number, const struct raw_sigaction *action, struct raw_sigaction *former);
