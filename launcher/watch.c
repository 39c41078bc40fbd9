/* SPDX-License-Identifier: MIT */
#include "watch.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cgroup.h"
#include "cleanup.h"
#include "log.h"
#include "process.h"

#define USEC_PER_SEC UINT64_C(1000000)

/* By then every server has bound its socket, if it does so at all. */
#define ADOPTION_LIMIT_USEC (60 * USEC_PER_SEC)

int watch_open_pidfd(pid_t pid)
{
        long fd = syscall(SYS_pidfd_open, pid, 0);

        return fd < 0 ? -errno : (int)fd;
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
        fd = watch_open_pidfd((pid_t)claimed);
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

/* True once a server has adopted a passed socket, whoever that is. */
static bool is_adopted(const struct watched *watched)
{
        const struct gate_page *page = watched->watchdog.gate.page;

        return atomic_load(&page->master) != 0 || atomic_load(&page->ready_usec) != 0;
}

static void send_signal(int pidfd, pid_t pid, int signal)
{
        if (syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 && errno != ESRCH)
                log_line("cannot signal the server: process %d: %m", (int)pid);
}

void watch_stop(const struct watched *watched)
{
        int signal = is_adopted(watched) ? watched->stop_signal : SIGTERM;
        pid_t pid = watched->pid;
        _cleanup_close_ int master = open_master(watched, &pid);

        /* A shell or an init in front would swallow the signal: the master is meant. */
        send_signal(master >= 0 ? master : watched->pidfd, pid, signal);
}

bool watch_signal_master(const struct watched *watched, int signal)
{
        const struct gate_page *page = watched->watchdog.gate.page;
        pid_t pid = watched->pid;
        _cleanup_close_ int master = open_master(watched, &pid);

        if (master < 0 && atomic_load(&page->master) != (uint32_t)pid)
                return false;
        /* It is about to end, or to execute itself and then has its handlers again. */
        if (atomic_load(&page->closed) & GATE_MASTER)
                return false;
        if (process_heeds(pid, signal))
                send_signal(master >= 0 ? master : watched->pidfd, pid, signal);
        return true;
}

/* Waits for the end of pid from now on. */
static bool follow(struct watched *watched, pid_t pid, int pidfd)
{
        struct epoll_event end = {.events = EPOLLIN, .data.fd = pidfd};

        if (watched->pidfd >= 0) {
                (void)epoll_ctl(watched->epoll_fd, EPOLL_CTL_DEL, watched->pidfd, NULL);
                (void)close(watched->pidfd);
        }
        watched->pid = pid;
        watched->pidfd = pidfd;
        return epoll_ctl(watched->epoll_fd, EPOLL_CTL_ADD, pidfd, &end) == 0;
}

bool watch_follow_daemon(struct watched *watched)
{
        pid_t pid;
        int master = open_master(watched, &pid);

        return master >= 0 && follow(watched, pid, master);
}

/* Frees the slots of workers that died without anybody waiting for them, as after the death of
 * their master: they would be busy for ever. */
static void free_dead_slots(struct gate *gate)
{
        const uint32_t used = atomic_load(&gate->page->slots_used);

        /* No further: a slot that is only looked at costs memory, too. */
        for (size_t i = 0; i < used && i < GATE_SLOTS_MAX; i++) {
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
        if (now_usec < watched->warn_usec)
                return;
        watched->warn_usec = GATE_INFINITY;
        if (!is_adopted(watched))
                log_line("no server has taken a passed socket after %u s: is it dynamically "
                         "linked, does its entrypoint keep LD_PRELOAD and %s, and does it bind?",
                         (unsigned int)(ADOPTION_LIMIT_USEC / USEC_PER_SEC), GATE_ENVIRONMENT);
}

uint64_t watch_look(struct watched *watched, uint64_t now_usec)
{
        enum watchdog_verdict verdict;
        uint64_t next_usec;

        warn_if_not_adopted(watched, now_usec);
        free_dead_slots(&watched->watchdog.gate);
        verdict = watchdog_look(&watched->watchdog, now_usec, &next_usec);
        background_say(&watched->background, verdict == WATCHDOG_STOP,
                       watched->watchdog.background_limit_usec);
        watched->told_to_stop = verdict == WATCHDOG_STOP;
        if (watched->told_to_stop)
                watch_stop(watched);
        return watched->warn_usec < next_usec ? watched->warn_usec : next_usec;
}

bool watch_begin(struct watched *watched, const struct passed *passed, uint64_t idle_usec,
                 int stop_signal, int epoll_fd, pid_t server, int pidfd)
{
        *watched = (struct watched){
            .watchdog =
                {
                    .gate = passed->gate,
                    .sockets = passed->sockets,
                    .n_sockets = passed->n_sockets,
                    .idle_usec = idle_usec,
                    .background_limit_usec = passed->gate.page->background_limit_usec,
                    .programs_run = programs_run,
                    .userdata = watched,
                },
            .pidfd = -1,
            .epoll_fd = epoll_fd,
            .stop_signal = stop_signal,
            .warn_usec = gate_now_usec() + ADOPTION_LIMIT_USEC,
        };
        return follow(watched, server, pidfd);
}

void watch_end(struct watched *watched)
{
        (void)close(watched->pidfd);
        watched->pidfd = -1;
}
