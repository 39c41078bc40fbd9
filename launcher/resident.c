/* SPDX-License-Identifier: MIT */
#include "resident.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "leftovers.h"
#include "liveness.h"
#include "log.h"
#include "process.h"
#include "status.h"
#include "unavailable.h"
#include "watch.h"

#define USEC_PER_MSEC UINT64_C(1000)
#define USEC_PER_SEC  UINT64_C(1000000)

/* How long to wait before the next start, while the server keeps failing. */
#define DELAY_FIRST_USEC USEC_PER_SEC
#define DELAY_MOST_USEC  (60 * USEC_PER_SEC)

/* When to tell a server again to stop. */
#define STOP_AGAIN_USEC USEC_PER_SEC

/* How often to look for the master that a signal is for, while the server starts. */
#define SIGNAL_AGAIN_USEC (50 * USEC_PER_MSEC)

/* How often to look whether the server, which has failed before, takes requests now. */
#define READY_STEP_USEC (20 * USEC_PER_MSEC)

/* At the end, whoever has just been accepted gets so long for the answer. */
#define ANSWER_USEC USEC_PER_SEC

/* What was killed ends at once, unless the kernel is in the middle of something for it. */
#define LEFTOVERS_STEP_USEC  (10 * USEC_PER_MSEC)
#define LEFTOVERS_LIMIT_USEC USEC_PER_SEC

#define EVENTS_AT_ONCE       16

/* Signals that end all of it, and those that are the server's own business. */
static const int stop_signals[] = {SIGTERM, SIGQUIT, SIGINT};
static const int server_signals[] = {SIGHUP, SIGUSR1, SIGUSR2};

#define N_STOP_SIGNALS   (sizeof(stop_signals) / sizeof(stop_signals[0]))
#define N_SERVER_SIGNALS (sizeof(server_signals) / sizeof(server_signals[0]))

struct resident {
        const struct passed *passed;
        const struct server *server;
        struct page_settings settings; /* as the page has them */
        uint64_t idle_usec;            /* how long a run may be idle */
        int stop_signal;

        int epoll_fd;
        int signal_fd;
        sigset_t former_mask; /* what the server is to have */
        struct liveness liveness;
        struct unavailable unavailable; /* while the server fails */

        bool stopping;                     /* we are to end */
        bool woken;                        /* a connection waits */
        bool for_server[N_SERVER_SIGNALS]; /* signals that came and have not been handed on */

        struct watched watched; /* the server that runs */
        pid_t pid;              /* of the process that became it; 0: none runs */
        int wait_status;        /* of that, or of the server that went to the background */
        bool ended;

        uint64_t first_ticks; /* when the first run started, 0: there was none yet */
        uint64_t delay_usec;  /* before the next start, 0: the last run was well */
        bool never_ready;     /* the last run */
};

/* --- events -------------------------------------------------------------------------------- */

/* Waits for every child that has ended: the server, and orphans that have become ours. */
static void reap(struct resident *resident)
{
        int status;
        pid_t pid;

        while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
                unavailable_reaped(&resident->unavailable, pid);
                if (resident->pid > 0 && (pid == resident->pid || pid == resident->watched.pid))
                        resident->wait_status = status;
        }
}

static void note_signal(struct resident *resident, int signal)
{
        for (size_t i = 0; i < N_STOP_SIGNALS; i++)
                if (signal == stop_signals[i])
                        resident->stopping = true;
        for (size_t i = 0; i < N_SERVER_SIGNALS; i++)
                if (signal == server_signals[i])
                        resident->for_server[i] = true;
        if (signal == SIGCHLD)
                reap(resident);
}

static void read_signals(struct resident *resident)
{
        struct signalfd_siginfo info;

        while (read(resident->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
                note_signal(resident, (int)info.ssi_signo);
}

static bool is_passed(const struct resident *resident, int fd)
{
        for (size_t i = 0; i < resident->passed->n_sockets; i++)
                if (resident->passed->sockets[i] == fd)
                        return true;
        return false;
}

static void note_event(struct resident *resident, int fd)
{
        if (fd == resident->signal_fd) {
                read_signals(resident);
        } else if (resident->pid > 0 && fd == resident->watched.pidfd) {
                reap(resident);
                if (!watch_follow_daemon(&resident->watched))
                        resident->ended = true;
        } else if (is_passed(resident, fd)) {
                resident->woken = true;
        } else {
                liveness_note(&resident->liveness, fd);
        }
}

/* Waits until something has happened, at most until until_usec. */
static void wait_for_events(struct resident *resident, uint64_t until_usec)
{
        const uint64_t probes_usec = liveness_due_usec(&resident->liveness);
        struct epoll_event events[EVENTS_AT_ONCE];
        int n;

        if (probes_usec < until_usec)
                until_usec = probes_usec;
        n = epoll_wait(resident->epoll_fd, events, EVENTS_AT_ONCE,
                       watch_timeout(gate_now_usec(), until_usec));
        if (n < 0 && errno == EINTR)
                watchdog_was_stopped(&resident->watched.watchdog, gate_now_usec());
        for (int i = 0; i < n; i++)
                note_event(resident, events[i].data.fd);
        liveness_close_due(&resident->liveness);
}

static void forget_server_signals(struct resident *resident)
{
        memset(resident->for_server, 0, sizeof(resident->for_server));
}

static int look_at(const struct resident *resident, int operation, int fd)
{
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

        return epoll_ctl(resident->epoll_fd, operation, fd, &event) < 0 ? -errno : 0;
}

/* --- asleep -------------------------------------------------------------------------------- */

/* Looks at the sockets from now on, or no longer. */
static int look_at_sockets(const struct resident *resident, int operation)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < resident->passed->n_sockets; i++)
                r = look_at(resident, operation, resident->passed->sockets[i]);
        return r;
}

/*
 * With a hand-over, the kernel tells of fpm-waker's death by a signal, which was for the server
 * while that ran. Did it die meanwhile?
 */
static void own_handover_signal(struct resident *resident)
{
        struct pollfd host = {.fd = resident->passed->handover_fd, .events = POLLIN};

        if (host.fd < 0)
                return;
        (void)fcntl(host.fd, F_SETOWN, getpid());
        if (poll(&host, 1, 0) > 0)
                resident->stopping = true;
}

/* Sleeps until somebody connects to one of the sockets. */
static int sleep_until_woken(struct resident *resident)
{
        int r;

        own_handover_signal(resident);
        resident->woken = false;
        resident->liveness.word = "asleep";
        r = look_at_sockets(resident, EPOLL_CTL_ADD);
        while (r == 0 && !resident->stopping && !resident->woken)
                wait_for_events(resident, GATE_INFINITY);
        if (r == 0)
                r = look_at_sockets(resident, EPOLL_CTL_DEL);
        forget_server_signals(resident); /* there was nobody whom they could concern */
        errno = -r;
        return r == 0 ? 0 : log_fail(STATUS_SYSTEM, "cannot wait for connections: epoll: %m");
}

/* --- awake --------------------------------------------------------------------------------- */

/* In the child: becomes the server, as the launcher does that is not resident. */
static _Noreturn void become_server(const struct resident *resident, pid_t parent)
{
        int r;

        /* Ctrl-C in a terminal is for the resident to translate. */
        (void)setpgid(0, 0);
        /* Nobody would start a server again that the resident has left alone by its death. */
        (void)prctl(PR_SET_PDEATHSIG, resident->stop_signal);
        if (getppid() != parent)
                _exit(STATUS_SYSTEM);
        (void)sigprocmask(SIG_SETMASK, &resident->former_mask, NULL);
        r = server_prepare_environment(resident->server, resident->passed->page_fd);
        if (r == 0)
                r = server_exec(resident->server);
        _exit(r);
}

static uint64_t start_of(pid_t pid)
{
        struct process process = {0};

        (void)process_read(pid, &process);
        return process.started_ticks;
}

/* Starts the server. Returns 0 or -errno. */
static int start_server(struct resident *resident)
{
        const pid_t self = getpid();
        pid_t pid;
        int pidfd, r;

        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0)
                become_server(resident, self);
        pidfd = watch_open_pidfd(pid);
        r = pidfd < 0 ? pidfd : 0;
        if (r == 0 && !watch_begin(&resident->watched, resident->passed, resident->idle_usec,
                                   resident->stop_signal, resident->epoll_fd, pid, pidfd)) {
                r = -errno;
                watch_end(&resident->watched);
        }
        if (r < 0) {
                (void)kill(pid, SIGKILL);
                return r;
        }
        if (resident->first_ticks == 0)
                resident->first_ticks = start_of(pid);
        resident->pid = pid;
        resident->liveness.word = unavailable_is(&resident->unavailable) ? "failing" : "awake";
        resident->wait_status = 0;
        resident->ended = false;
        return 0;
}

/* Hands on what came for the server. Returns when to try again. */
static uint64_t signal_server(struct resident *resident, uint64_t now_usec)
{
        uint64_t again_usec = GATE_INFINITY;

        for (size_t i = 0; i < N_SERVER_SIGNALS; i++) {
                if (!resident->for_server[i])
                        continue;
                /* Before it is there, a signal would only end its entrypoint. */
                if (watch_signal_master(&resident->watched, server_signals[i]))
                        resident->for_server[i] = false;
                else
                        again_usec = now_usec + SIGNAL_AGAIN_USEC;
        }
        return again_usec;
}

/* Once the server takes requests, nobody else shall. Returns when to look again. */
static uint64_t leave_to_server(struct resident *resident, uint64_t now_usec)
{
        if (!unavailable_is(&resident->unavailable))
                return GATE_INFINITY;
        if (atomic_load(&resident->passed->gate.page->first_ready_usec) == 0)
                return now_usec + READY_STEP_USEC;
        unavailable_finish(&resident->unavailable);
        resident->liveness.word = "awake";
        return GATE_INFINITY;
}

static void watch_until_end(struct resident *resident)
{
        uint64_t look_usec = 0, stop_usec = 0;

        while (!resident->ended) {
                uint64_t now_usec = gate_now_usec(), until_usec, signal_usec, ready_usec;

                if (now_usec >= look_usec)
                        look_usec = watch_look(&resident->watched, now_usec);
                until_usec = look_usec;
                if (resident->stopping && now_usec >= stop_usec) {
                        watch_stop(&resident->watched);
                        stop_usec = now_usec + STOP_AGAIN_USEC;
                }
                if (resident->stopping && stop_usec < until_usec)
                        until_usec = stop_usec;
                signal_usec = signal_server(resident, now_usec);
                if (signal_usec < until_usec)
                        until_usec = signal_usec;
                ready_usec = leave_to_server(resident, now_usec);
                if (ready_usec < until_usec)
                        until_usec = ready_usec;
                wait_for_events(resident, until_usec);
        }
}

static void end_leftovers(struct resident *resident)
{
        const uint64_t limit_usec = gate_now_usec() + LEFTOVERS_LIMIT_USEC;
        uint64_t now_usec;

        while (leftovers_end(resident->passed->gate.page, resident->first_ticks,
                             &resident->unavailable) > 0) {
                now_usec = gate_now_usec();
                if (now_usec >= limit_usec)
                        return;
                wait_for_events(resident, now_usec + LEFTOVERS_STEP_USEC);
        }
}

/*
 * The page is the next run's, too: fpm-waker has it as well if it was handed over, and workers of
 * a master that was killed go on with their requests in it. All else in it is as at first, whatever
 * the server's processes have written there.
 */
static int renew_page(const struct resident *resident)
{
        struct gate gate = resident->passed->gate;

        atomic_store(&gate.page->first_ready_usec, 0);
        gate_reset(&gate);
        return passed_write_page(resident->passed, &resident->settings);
}

/* "ended with status 78" and the like. */
static const char *describe(int wait_status, char text[64])
{
        if (WIFSIGNALED(wait_status))
                (void)snprintf(text, 64, "was ended by signal %d", WTERMSIG(wait_status));
        else
                (void)snprintf(text, 64, "ended with status %d", WEXITSTATUS(wait_status));
        return text;
}

/* An entrypoint, or a server that just starts, has no handler yet. */
static bool is_by_stop_signal(const struct resident *resident, int wait_status)
{
        return WIFSIGNALED(wait_status) &&
               (WTERMSIG(wait_status) == SIGTERM || WTERMSIG(wait_status) == resident->stop_signal);
}

/* The server has failed: determines when it may be started again. */
static void delay_next(struct resident *resident, bool was_ready)
{
        resident->never_ready = !was_ready;
        if (was_ready || resident->delay_usec == 0)
                resident->delay_usec = DELAY_FIRST_USEC;
        else if (resident->delay_usec < DELAY_MOST_USEC)
                resident->delay_usec *= 2;
        if (resident->delay_usec > DELAY_MOST_USEC)
                resident->delay_usec = DELAY_MOST_USEC;
}

/* Judges a run that is over, and says what was wrong. */
static void judge(struct resident *resident)
{
        const bool was_ready = atomic_load(&resident->passed->gate.page->first_ready_usec) != 0;
        const bool told = resident->stopping || resident->watched.told_to_stop;
        const bool is_supervised = resident->passed->handover_fd >= 0;
        const int wait_status = resident->wait_status;
        char text[64];

        /* fpm-waker may have told it. */
        if (told || (was_ready && (wait_status == 0 ||
                                   (is_supervised && is_by_stop_signal(resident, wait_status))))) {
                resident->delay_usec = 0;
                if (wait_status != 0 && !is_by_stop_signal(resident, wait_status))
                        log_line("the server %s when it was told to stop",
                                 describe(wait_status, text));
                return;
        }
        delay_next(resident, was_ready);
        if (is_supervised)
                return;
        log_line("the server %s%s; the next start is in %u s at the earliest",
                 describe(wait_status, text), was_ready ? "" : " before it was ready",
                 (unsigned int)(resident->delay_usec / USEC_PER_SEC));
}

/* Starts the server, and sees it through to its end. */
static int serve(struct resident *resident)
{
        int r;

        r = start_server(resident);
        if (r < 0) {
                errno = -r;
                resident->wait_status = W_EXITCODE(STATUS_SYSTEM, 0);
                delay_next(resident, false);
                log_line("cannot start the server: %m; the next start is in %u s at the earliest",
                         (unsigned int)(resident->delay_usec / USEC_PER_SEC));
                return 0;
        }
        watch_until_end(resident);
        resident->pid = 0;
        watch_end(&resident->watched);
        judge(resident);
        end_leftovers(resident);
        return renew_page(resident);
}

/* --- a server that fails ------------------------------------------------------------------- */

static bool is_wanted_now(const struct resident *resident)
{
        for (size_t i = 0; i < N_SERVER_SIGNALS; i++)
                if (resident->for_server[i])
                        return true;
        return false;
}

/*
 * Waits before the next start. A server that could not start will hardly do so now: requests get a
 * 503. After a crash they stay in the queue. Whoever sends one of the server's signals means that
 * it can be started now. Returns true if that start need not wait for a connection.
 */
static bool back_off(struct resident *resident)
{
        const uint64_t begin_usec = gate_now_usec(), end_usec = begin_usec + resident->delay_usec;

        if (resident->never_ready)
                unavailable_begin(&resident->unavailable, resident->passed, end_usec);
        resident->liveness.word = "failing";
        forget_server_signals(resident); /* those of before the failure */
        while (!resident->stopping && !is_wanted_now(resident) && gate_now_usec() < end_usec)
                wait_for_events(resident, end_usec);
        if (unavailable_is(&resident->unavailable) &&
            (is_wanted_now(resident) ||
             unavailable_asked_since(&resident->unavailable, begin_usec))) {
                forget_server_signals(resident);
                return true;
        }
        unavailable_finish(&resident->unavailable);
        return false;
}

/* With a hand-over it is fpm-waker that tries again, and answers requests meanwhile. */
static int end_with_server(struct resident *resident)
{
        resident->stopping = true;
        return WIFSIGNALED(resident->wait_status) ? 128 + WTERMSIG(resident->wait_status)
                                                  : WEXITSTATUS(resident->wait_status);
}

/* --- all of it ----------------------------------------------------------------------------- */

/* Signals come by a descriptor, blocked: so they reach an init, which has no defaults, too. */
static int open_signals(struct resident *resident)
{
        sigset_t mask, blocked;

        (void)sigemptyset(&mask);
        (void)sigaddset(&mask, SIGCHLD);
        for (size_t i = 0; i < N_STOP_SIGNALS; i++)
                (void)sigaddset(&mask, stop_signals[i]);
        for (size_t i = 0; i < N_SERVER_SIGNALS; i++)
                (void)sigaddset(&mask, server_signals[i]);
        blocked = mask;
        (void)sigaddset(&blocked, SIGPIPE); /* nobody may read what we log */
        if (sigprocmask(SIG_BLOCK, &blocked, &resident->former_mask) < 0)
                return -errno;
        (void)signal(SIGCHLD, SIG_DFL); /* ignored, children would vanish without a status */
        resident->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
        return resident->signal_fd < 0 ? -errno : 0;
}

static int set_up(struct resident *resident, const char *liveness)
{
        int r, pidfd;

        pidfd = watch_open_pidfd(getpid());
        errno = -pidfd;
        if (pidfd < 0)
                return log_fail(STATUS_SYSTEM,
                                "cannot watch a server: pidfd_open: %m; --resident needs Linux 5.3 "
                                "and a seccomp profile that allows it");
        (void)close(pidfd);
        (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
        r = open_signals(resident);
        resident->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (r == 0)
                r = resident->epoll_fd < 0 ? -errno
                                           : look_at(resident, EPOLL_CTL_ADD, resident->signal_fd);
        errno = -r;
        if (r < 0)
                return log_fail(STATUS_SYSTEM, "cannot set the resident up: %m");
        reap(resident); /* children of the script that became us, if one has ended just now */
        r = liveness_begin(&resident->liveness, liveness, resident->epoll_fd);
        if (r > 0)
                return r;
        return passed_write_page(resident->passed, &resident->settings);
}

/* Workers of a master that was killed may still have a request. */
static void finish_requests(struct resident *resident)
{
        const uint64_t now_usec = gate_now_usec(), span_usec = resident->settings.drain_limit_usec;
        const uint64_t limit_usec =
            span_usec < GATE_INFINITY - now_usec ? now_usec + span_usec : GATE_INFINITY;
        struct gate gate = resident->passed->gate;

        while (gate_look(gate.page, NULL) == GATE_IN_REQUEST && gate_now_usec() < limit_usec) {
                wait_for_events(resident, gate_now_usec() + LEFTOVERS_STEP_USEC);
                gate_reset(&gate); /* forgets the dead */
        }
}

static void finish_answers(struct resident *resident)
{
        const uint64_t limit_usec = gate_now_usec() + ANSWER_USEC;

        unavailable_finish(&resident->unavailable);
        while (!unavailable_is_gone(&resident->unavailable) && gate_now_usec() < limit_usec)
                wait_for_events(resident, limit_usec);
}

int resident_live(const struct passed *passed, const struct server *server,
                  const struct page_settings *settings, const char *liveness)
{
        struct resident resident = {
            .passed = passed,
            .server = server,
            .settings = *settings,
            .idle_usec = settings->exit_idle_usec,
            .stop_signal = settings->fd0 ? SIGTERM : SIGQUIT,
            .unavailable = UNAVAILABLE_NOTHING,
        };
        bool wanted = false; /* the start need not wait for a connection */
        int r;

        /* With a hand-over, fpm-waker reads this, and is not to stop what we would start again. */
        resident.settings.exit_idle_usec = GATE_INFINITY;
        r = set_up(&resident, liveness);
        while (r == 0 && !resident.stopping) {
                if (!wanted)
                        r = sleep_until_woken(&resident);
                if (r == 0 && !resident.stopping)
                        r = serve(&resident);
                wanted = false;
                if (r == 0 && resident.delay_usec > 0 && passed->handover_fd >= 0)
                        r = end_with_server(&resident);
                else if (r == 0 && resident.delay_usec > 0)
                        wanted = back_off(&resident);
        }
        if (r == 0) {
                finish_requests(&resident);
                finish_answers(&resident);
        }
        return r;
}
