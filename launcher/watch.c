/* SPDX-License-Identifier: MIT */
#include "watch.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "background.h"
#include "cgroup.h"
#include "cleanup.h"
#include "log.h"
#include "status.h"
#include "watchdog.h"

#define USEC_PER_MSEC UINT64_C(1000)
#define USEC_PER_SEC  UINT64_C(1000000)

/* By then every server has bound its socket, if it does so at all. */
#define ADOPTION_LIMIT_USEC (60 * USEC_PER_SEC)

/* Descriptors that may be open if the kernel has no close_range(). */
#define DESCRIPTORS_MAX 65536

/* The server as the watchdog process sees it. */
struct watched {
        struct watchdog watchdog;
        struct background background;
        pid_t pid;    /* who became the server by exec, or the master that outlives it */
        int pidfd;    /* of pid */
        int epoll_fd; /* with pidfd in it */
        int stop_signal;
        uint64_t warn_usec; /* when to warn that nobody took a socket, GATE_INFINITY: never */
};

static int open_pidfd(pid_t pid)
{
        long fd = syscall(SYS_pidfd_open, pid, 0);

        return fd < 0 ? -errno : (int)fd;
}

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

/*
 * The page is writable by every worker, so the master's pid in it is a claim: only a process of our
 * own cgroup (the service or the container) is ever signalled because of it.
 */
static bool is_in_our_cgroup(pid_t pid)
{
        _cleanup_free_ char *own = cgroup_of(getpid()), *other = cgroup_of(pid);

        return own && other && strcmp(own, other) == 0;
}

/* Opens a pidfd of the server's master, if that is another process than the exec'd one and lives.
 * Returns the pidfd or -errno. */
static int open_master(const struct watched *watched, pid_t *ret_pid)
{
        uint32_t claimed = atomic_load(&watched->watchdog.gate.page->master);
        int fd;

        if (claimed == 0 || claimed > INT32_MAX || (pid_t)claimed == watched->pid)
                return -ESRCH;
        fd = open_pidfd((pid_t)claimed);
        if (fd < 0)
                return fd;
        if ((pid_t)claimed == getpid() || !is_in_our_cgroup((pid_t)claimed)) {
                (void)close(fd);
                return -EPERM;
        }
        *ret_pid = (pid_t)claimed;
        return fd;
}

/* Do programs run that requests have left? */
static bool programs_run(void *userdata)
{
        struct watched *watched = userdata;
        const struct gate_page *page = watched->watchdog.gate.page;
        pid_t pid;
        _cleanup_close_ int master = open_master(watched, &pid);

        if (master < 0)
                pid = watched->pid;
        return background_look(&watched->background, pid, page);
}

static void stop_server(const struct watched *watched)
{
        _cleanup_close_ int master = -1;
        pid_t pid;

        /* A shell or an init in front would swallow the signal: the master is meant. */
        master = open_master(watched, &pid);
        if (syscall(SYS_pidfd_send_signal, master >= 0 ? master : watched->pidfd,
                    watched->stop_signal, NULL, 0) < 0 &&
            errno != ESRCH)
                log_line("cannot stop the idle server: process %d: %m",
                         (int)(master >= 0 ? pid : watched->pid));
}

/* Waits for the end of pid from now on. */
static bool follow(struct watched *watched, pid_t pid, int pidfd)
{
        struct epoll_event end = {.events = EPOLLIN};

        if (watched->pidfd >= 0) {
                (void)epoll_ctl(watched->epoll_fd, EPOLL_CTL_DEL, watched->pidfd, NULL);
                (void)close(watched->pidfd);
        }
        watched->pid = pid;
        watched->pidfd = pidfd;
        return epoll_ctl(watched->epoll_fd, EPOLL_CTL_ADD, pidfd, &end) == 0;
}

/* A server that went to the background lives on when the exec'd process is gone. */
static bool follow_daemon(struct watched *watched)
{
        pid_t pid;
        int master = open_master(watched, &pid);

        return master >= 0 && follow(watched, pid, master);
}

/* Frees the slots of workers that died without anybody waiting for them, as after the death of
 * their master: they would be busy for ever. */
static void free_dead_slots(struct gate *gate)
{
        for (size_t i = 0; i < GATE_SLOTS_MAX; i++) {
                uint32_t pid = gate_pid(&gate->page->slots[i]);

                if (pid == 0 || pid > INT32_MAX)
                        continue;
                if (kill((pid_t)pid, 0) < 0 && errno == ESRCH)
                        gate_free(gate, pid);
        }
}

/* Says once that nobody took a passed socket: no shim was loaded, or another address is bound. */
static void warn_if_not_adopted(struct watched *watched, uint64_t now_usec)
{
        const struct gate_page *page = watched->watchdog.gate.page;

        if (now_usec < watched->warn_usec)
                return;
        watched->warn_usec = GATE_INFINITY;
        if (atomic_load(&page->master) == 0 && atomic_load(&page->ready_usec) == 0)
                log_line("no server has taken a passed socket after %u s: is it dynamically "
                         "linked, does its entrypoint keep LD_PRELOAD and %s, and does it bind?",
                         (unsigned int)(ADOPTION_LIMIT_USEC / USEC_PER_SEC), GATE_ENVIRONMENT);
}

/*
 * Waits until next_usec. Returns true if the watched process ended.
 *
 * When a process that was stopped, or whose cgroup was frozen, goes on, epoll_wait() fails with
 * EINTR (signal(7)); ppoll() would just wait on, and hide a pause that ends before next_usec.
 */
static bool wait_for_end(struct watched *watched, uint64_t now_usec, uint64_t next_usec)
{
        uint64_t span_usec = next_usec > now_usec ? next_usec - now_usec : 0;
        uint64_t span_msec = span_usec / USEC_PER_MSEC + 1; /* not a bit too early */
        struct epoll_event end;
        int n;

        /* A span of weeks may be cut: to look too early is no harm. */
        n = epoll_wait(watched->epoll_fd, &end, 1, span_msec < INT_MAX ? (int)span_msec : INT_MAX);
        if (n < 0 && errno == EINTR)
                watchdog_was_stopped(&watched->watchdog, gate_now_usec());
        return n > 0;
}

static void watch(struct watched *watched)
{
        for (;;) {
                uint64_t now_usec = gate_now_usec(), next_usec;
                enum watchdog_verdict verdict;

                warn_if_not_adopted(watched, now_usec);
                free_dead_slots(&watched->watchdog.gate);
                verdict = watchdog_look(&watched->watchdog, now_usec, &next_usec);
                background_say(&watched->background, verdict == WATCHDOG_STOP,
                               watched->watchdog.background_limit_usec);
                if (verdict == WATCHDOG_STOP)
                        stop_server(watched);
                if (watched->warn_usec < next_usec)
                        next_usec = watched->warn_usec;
                if (wait_for_end(watched, now_usec, next_usec) && !follow_daemon(watched))
                        return;
        }
}

static _Noreturn void run_watchdog(const struct passed *passed, pid_t server, int pidfd,
                                   int stop_signal)
{
        struct watched watched = {
            .watchdog =
                {
                    .gate = passed->gate,
                    .sockets = passed->sockets,
                    .n_sockets = passed->n_sockets,
                    .idle_usec = passed->gate.page->exit_idle_usec,
                    .background_limit_usec = passed->gate.page->background_limit_usec,
                    .programs_run = programs_run,
                    .userdata = &watched,
                },
            .pidfd = -1,
            .stop_signal = stop_signal,
            .warn_usec = gate_now_usec() + ADOPTION_LIMIT_USEC,
        };

        (void)prctl(PR_SET_NAME, "fpm-watchdog");
        close_the_rest(passed, pidfd);
        if (chdir("/") < 0) {
                /* Then this directory cannot be unmounted while the server runs. */
        }
        watched.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (watched.epoll_fd < 0 || !follow(&watched, server, pidfd)) {
                log_line("cannot watch the server: epoll: %m");
                _exit(STATUS_SYSTEM);
        }
        watch(&watched);
        _exit(STATUS_OK);
}

int watch_start(const struct passed *passed, int stop_signal)
{
        _cleanup_close_ int pidfd = -1;
        pid_t server = getpid(), child;
        int status;

        pidfd = open_pidfd(server);
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
