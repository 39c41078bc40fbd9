/* SPDX-License-Identifier: MIT */
#include "watch-process.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "status.h"
#include "watch.h"

/* Descriptors that may be open if the kernel has no close_range(). */
#define DESCRIPTORS_MAX 65536

/* Closes all descriptors from first to last, both included. */
static void close_all(unsigned int first, unsigned int last)
{
        if (first > last || syscall(SYS_close_range, first, last, 0) == 0)
                return;
        for (unsigned int fd = first; fd <= last && fd < DESCRIPTORS_MAX; fd++)
                (void)close((int)fd);
}

static int compare_descriptors(const void *a, const void *b)
{
        return *(const int *)a - *(const int *)b;
}

/* Keeps stderr and what the watchdog needs: no pipe, file or terminal stays open because of us. */
static void close_the_rest(const struct passed *passed, int pidfd)
{
        int kept[GATE_SOCKETS_MAX + 4] = {STDERR_FILENO, pidfd, passed->gate.closing_fd,
                                          passed->gate.waking_fd};
        size_t n = 4;
        unsigned int first = 0;

        for (size_t i = 0; i < passed->n_sockets; i++)
                kept[n++] = passed->sockets[i];
        qsort(kept, n, sizeof(kept[0]), compare_descriptors);
        for (size_t i = 0; i < n; i++) {
                if (kept[i] > 0)
                        close_all(first, (unsigned int)kept[i] - 1);
                first = (unsigned int)kept[i] + 1;
        }
        close_all(first, UINT32_MAX);
}

/* Waits until next_usec. Returns true if the watched process ended. */
static bool wait_for_end(struct watched *watched, uint64_t now_usec, uint64_t next_usec)
{
        struct epoll_event end;
        int n;

        n = epoll_wait(watched->epoll_fd, &end, 1, watch_timeout(now_usec, next_usec));
        if (n < 0 && errno == EINTR)
                watchdog_was_stopped(&watched->watchdog, gate_now_usec());
        return n > 0;
}

static void watch(struct watched *watched)
{
        for (;;) {
                uint64_t now_usec = gate_now_usec();
                uint64_t next_usec = watch_look(watched, now_usec);

                if (wait_for_end(watched, now_usec, next_usec) && !watch_follow_daemon(watched))
                        return;
        }
}

static _Noreturn void run_watchdog(const struct passed *passed, pid_t server, int pidfd,
                                   int stop_signal)
{
        struct watched watched;
        int epoll_fd;

        (void)prctl(PR_SET_NAME, "fpm-watchdog");
        close_the_rest(passed, pidfd);
        if (chdir("/") < 0) {
                /* Then this directory cannot be unmounted while the server runs. */
        }
        epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (epoll_fd < 0 || !watch_begin(&watched, passed, passed->gate.page->exit_idle_usec,
                                         stop_signal, epoll_fd, server, pidfd)) {
                log_line("cannot watch the server: epoll: %m");
                _exit(STATUS_SYSTEM);
        }
        watch(&watched);
        _exit(STATUS_OK);
}

int watch_process_start(const struct passed *passed, int stop_signal)
{
        _cleanup_close_ int pidfd = -1;
        pid_t server = getpid(), child;
        int status;

        pidfd = watch_open_pidfd(server);
        errno = -pidfd;
        if (pidfd < 0)
                return log_fail(STATUS_SYSTEM,
                                "cannot watch the server: pidfd_open: %m; --exit-idle-time= needs "
                                "Linux 5.3 and a seccomp profile that allows it");
        child = fork();
        if (child < 0)
                return log_fail(STATUS_SYSTEM, "cannot start the watchdog: fork: %m");
        if (child == 0) {
                child = fork();
                if (child == 0)
                        run_watchdog(passed, server, pidfd, stop_signal);
                _exit(child < 0 ? errno : 0);
        }
        while (waitpid(child, &status, 0) < 0)
                if (errno != EINTR)
                        return log_fail(STATUS_SYSTEM, "cannot start the watchdog: waitpid: %m");
        errno = WIFEXITED(status) ? WEXITSTATUS(status) : ECHILD;
        if (errno > 0)
                return log_fail(STATUS_SYSTEM, "cannot start the watchdog: fork: %m");
        return 0;
}
