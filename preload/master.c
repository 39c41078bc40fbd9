/* SPDX-License-Identifier: MIT */
#include "master.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <ucontext.h>

#include "adopt.h"
#include "raw.h"
#include "shim.h"

#define MASK_SIZE ((size_t)8)

#ifndef SA_RESTORER
#define SA_RESTORER 0x04000000
#endif

/* The signals that stop php-fpm first: when a stop and a reload wait together, the stop wins. */
static const int held[HELD_SIGNALS] = {SIGQUIT, SIGTERM, SIGINT, SIGUSR2, SIGHUP};
enum { FIRST_RELOAD = 3 };

#if defined(__x86_64__)
/* x86-64 returns from a handler through user space. These very bytes are how unwinders recognise a
 * signal frame, so they are what every libc has. */
__asm__(".text\n"
        ".type restore_signal_frame, @function\n"
        "restore_signal_frame:\n"
        "        movq $15, %rax\n" /* rt_sigreturn */
        "        syscall\n"
        ".size restore_signal_frame, . - restore_signal_frame\n");
void restore_signal_frame(void) __attribute__((visibility("hidden")));
#endif

long master_install(int number, const struct raw_sigaction *action, struct raw_sigaction *former)
{
        struct raw_sigaction copy;

        if (action) {
                copy = *action;
#if defined(__x86_64__)
                copy.flags |= SA_RESTORER;
                copy.restorer = restore_signal_frame;
#endif
        }
        return raw4(rt_sigaction, number, action ? &copy : NULL, former, 8);
}

static int held_index(int number)
{
        for (int i = 0; i < HELD_SIGNALS; i++)
                if (held[i] == number)
                        return i;
        return -1;
}

/*
 * php-fpm installs its handlers before it binds: a signal in between is noted, and acted upon once
 * its workers are there. So it is held from its first handler on.
 */
static bool is_or_becomes_server(void)
{
        enum shim_role role = shim_role();

        return role == SHIM_SERVER || (role == SHIM_BEFORE && shim.is_php_fpm);
}

static bool is_function(const struct raw_sigaction *action)
{
        return action->handler != SIG_DFL && action->handler != SIG_IGN;
}

/*
 * Workers whose master has no idea that it ends. All of them are at the gate, which stays closed:
 * left behind, they would be told of connections that are the next run's. The master is to see
 * nothing of it: fcgiwrap's handler of SIGCHLD does not return before the last of them is dead.
 */
static void end_workers(void)
{
        const uint64_t all_signals = UINT64_MAX;
        const struct gate_page *page = shim.gate.page;

        if (shim_role() != SHIM_SERVER)
                return;
        (void)raw4(rt_sigprocmask, SIG_BLOCK, &all_signals, NULL, sizeof(all_signals));
        for (uint32_t i = 0; i < atomic_load(&page->slots_used) && i < GATE_SLOTS_MAX; i++) {
                uint32_t pid = gate_pid(&page->slots[i]);

                /* The page is writable by every worker: nobody but a child of ours is meant. */
                if (pid && raw5(waitid, P_PID, pid, NULL, WEXITED | WNOHANG | WNOWAIT, NULL) == 0)
                        (void)raw2(kill, pid, SIGTERM);
        }
}

/* The server's own handler, or what a server without one is to do once it is drained. */
static void pass_on(int number, siginfo_t *info, void *context)
{
        const struct raw_sigaction *action = &shim.hold.signals[held_index(number)].action;

        atomic_fetch_add(&shim.hold.passed_on, 1);
        if (!is_function(action)) {
                end_workers();
                (void)raw1(exit_group, 0);
        } else if (action->flags & SA_SIGINFO) {
                action->handler_with_info(number, info, context);
        } else {
                action->handler(number);
        }
}

/*
 * After a reload was passed on, further signals wait in the kernel until the next image has its
 * handlers and unblocks them, as php-fpm does: one that this image took would die with it.
 */
static void block_until_exec(ucontext_t *context)
{
        uint64_t *mask = (uint64_t *)(void *)&context->uc_sigmask;

        for (int i = 0; i < HELD_SIGNALS; i++)
                *mask |= UINT64_C(1) << (held[i] - 1);
}

static void pass_on_pending(siginfo_t *info, void *context)
{
        bool stopping = false;

        for (int i = 0; i < HELD_SIGNALS; i++) {
                bool pending = shim.hold.signals[i].pending;

                shim.hold.signals[i].pending = false;
                if (!pending || (stopping && i >= FIRST_RELOAD))
                        continue;
                if (i < FIRST_RELOAD)
                        stopping = true;
                else if (shim.is_php_fpm)
                        shim.hold.reloading = true;
                pass_on(held[i], info, context);
        }
        /* php-fpm executes itself; others read their files anew, and go on. */
        if (!stopping && !shim.hold.reloading)
                gate_open(&shim.gate, GATE_MASTER);
}

/*
 * Looks again every millisecond, by the very signal that waits: no other signal is disturbed. A
 * server that accepts by itself and has no workers would be disturbed in its request: it looks
 * again when it has had it, by master_look_again(), and at the deadline.
 */
static void start_timer(int number, uint64_t now)
{
        struct hold *hold = &shim.hold;
        struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = number};
        struct itimerspec time = {.it_interval.tv_nsec = 1000000, .it_value.tv_nsec = 1000000};
        uint64_t left = hold->deadline_usec - now;

        hold->timer = -1;
        if (hold->accepts && gate_is_alone(shim.gate.page, raw_getpid())) {
                if (hold->deadline_usec == GATE_INFINITY)
                        return;
                time.it_interval.tv_nsec = 0;
                time.it_value = (struct timespec){.tv_sec = (time_t)(left / 1000000),
                                                  .tv_nsec = (long)(left % 1000000 * 1000)};
        }
        if (raw3(timer_create, CLOCK_MONOTONIC, &event, &hold->timer) >= 0)
                (void)raw4(timer_settime, hold->timer, 0, &time, NULL);
}

static void drain(int number, siginfo_t *info, void *context)
{
        struct hold *hold = &shim.hold;
        uint64_t now = gate_now_usec();
        uint64_t limit = shim.gate.page->drain_limit_usec;
        bool first = !hold->draining;

        if (first) {
                hold->draining = true;
                hold->deadline_usec = limit < GATE_INFINITY - now ? now + limit : GATE_INFINITY;
        }
        /* Each time: a watchdog that dies now may leave its mark on the closing eventfd. */
        gate_close(&shim.gate, GATE_MASTER, 0);
        if (gate_look(shim.gate.page, NULL) != GATE_QUIET && now < hold->deadline_usec) {
                if (first)
                        start_timer(number, now);
                return;
        }
        hold->draining = false;
        if (!first && hold->timer >= 0)
                (void)raw1(timer_delete, hold->timer);
        pass_on_pending(info, context);
}

static void hold_signal(int number, siginfo_t *info, void *context)
{
        int saved_errno = errno;
        int i = held_index(number);
        bool look_again = info->si_code == SI_TIMER;

        if (!is_or_becomes_server()) {
                pass_on(number, info, context); /* a child that has not set its own handlers yet */
        } else if (shim.hold.reloading) {
                if (!look_again) /* php-fpm has unblocked it after a fork */
                        (void)raw2(kill, raw_getpid(), number);
                block_until_exec(context);
        } else if (!look_again || shim.hold.draining) {
                if (!look_again)
                        shim.hold.signals[i].pending = true;
                drain(number, info, context);
                if (shim.hold.reloading)
                        block_until_exec(context);
        }
        atomic_fetch_add(&shim.hold.held_back, 1);
        errno = saved_errno;
}

void master_look_again(void)
{
        if (!shim.hold.draining || !shim.hold.accepts)
                return;
        for (int i = 0; i < HELD_SIGNALS; i++) {
                if (!shim.hold.signals[i].pending)
                        continue;
                (void)raw2(kill, raw_getpid(), held[i]);
                return;
        }
}

static long put_before(int i, const struct raw_sigaction *action)
{
        struct raw_sigaction ours = *action;

        shim.hold.signals[i].action = *action;
        shim.hold.signals[i].on = true;
        ours.handler_with_info = hold_signal;
        ours.flags |= SA_SIGINFO;
        /* What runs in this process shall notice nothing before the signal is passed on. */
        if (shim.hold.accepts || !is_function(action))
                ours.flags |= SA_RESTART;
        /* One at a time: what hold_signal() touches is not locked. */
        for (int j = 0; j < HELD_SIGNALS; j++)
                ours.mask |= UINT64_C(1) << (held[j] - 1);
        return master_install(held[i], &ours, NULL);
}

void master_accepts(void)
{
        shim.hold.accepts = true;
        for (int i = 0; i < HELD_SIGNALS; i++)
                if (shim.hold.signals[i].on)
                        (void)put_before(i, &shim.hold.signals[i].action);
        master_hold_signals(true);
}

void master_hold_signals(bool by_default)
{
        for (int i = 0; i < HELD_SIGNALS; i++) {
                struct raw_sigaction action = {0};

                if (shim.hold.signals[i].on || master_install(held[i], NULL, &action) < 0)
                        continue;
                if (is_function(&action) ||
                    (by_default && action.handler == SIG_DFL && i < FIRST_RELOAD))
                        (void)put_before(i, &action);
        }
}

static void from_libc(const struct sigaction *libc, struct raw_sigaction *raw)
{
        raw->handler = libc->sa_handler;
        raw->flags = (unsigned int)libc->sa_flags;
        raw->restorer = NULL;
        raw->mask = *(const uint64_t *)(const void *)&libc->sa_mask;
}

static void to_libc(const struct raw_sigaction *raw, struct sigaction *libc)
{
        struct sigaction result = {.sa_flags = (int)(raw->flags & ~(unsigned long)SA_RESTORER)};

        result.sa_handler = raw->handler;
        *(uint64_t *)(void *)&result.sa_mask = raw->mask;
        *libc = result;
}

long master_sigaction(int number, const struct sigaction *action, struct sigaction *former)
{
        struct raw_sigaction raw;
        struct raw_sigaction raw_former;
        int i = held_index(number);
        bool ours;
        long r;

        if (number == 32 || number == 33)
                return -EINVAL; /* both libcs keep them for their threads */
        if (action)
                from_libc(action, &raw);
        if (action && number == SIGTERM && shim.resumes && is_function(&raw))
                adopt_resume();
        ours = i >= 0 && shim.hold.signals[i].on;
        if (ours)
                raw_former = shim.hold.signals[i].action;
        if (action && i >= 0 && is_function(&raw) && is_or_becomes_server()) {
                r = ours ? 0 : master_install(number, NULL, &raw_former);
                if (r >= 0)
                        r = put_before(i, &raw);
        } else {
                r = master_install(number, action ? &raw : NULL, ours ? NULL : &raw_former);
                if (ours && action)
                        shim.hold.signals[i].on = false;
        }
        if (r >= 0 && former)
                to_libc(&raw_former, former);
        return r;
}

struct master_signals master_signals(void)
{
        return (struct master_signals){.held_back = atomic_load(&shim.hold.held_back),
                                       .passed_on = atomic_load(&shim.hold.passed_on)};
}

static bool only_held_back(struct master_signals since)
{
        struct master_signals now = master_signals();

        return now.held_back != since.held_back && now.passed_on == since.passed_on;
}

bool master_begins_anew(struct master_signals since)
{
        if (only_held_back(since))
                return true;
        for (int number = 1; number < NSIG; number++) {
                int i = held_index(number);
                struct raw_sigaction action = {0};

                if (i >= 0 && shim.hold.signals[i].on)
                        action = shim.hold.signals[i].action;
                else if (master_install(number, NULL, &action) < 0)
                        continue;
                if (is_function(&action) && !(action.flags & SA_RESTART))
                        return false;
        }
        return true;
}

bool master_passed_on(struct master_signals since)
{
        return master_signals().passed_on != since.passed_on && !master_begins_anew(since);
}

long master_ppoll(struct pollfd *fds, nfds_t n, struct timespec *timeout, const void *mask)
{
        struct master_signals since;
        long r;

        do {
                since = master_signals();
                r = raw5(ppoll, fds, n, timeout, mask, MASK_SIZE);
        } while (r == -EINTR && only_held_back(since));
        return r;
}

long master_pselect(int n, fd_set *read, fd_set *write, fd_set *except, struct timespec *timeout,
                    const void *mask)
{
        const struct {
                const void *mask;
                size_t size;
        } masked = {mask, MASK_SIZE};
        struct master_signals since;
        long r;

        do {
                since = master_signals();
                r = raw6(pselect6, n, read, write, except, timeout, &masked);
        } while (r == -EINTR && only_held_back(since));
        return r;
}

static void arm_ondemand(void)
{
        for (uint32_t i = 0; i < shim.n_listeners; i++) {
                struct listener *listener = &shim.listeners[i];

                if (listener->ondemand_fd >= 0)
                        (void)raw4(epoll_ctl, listener->ondemand_fd, EPOLL_CTL_MOD,
                                   listener->ondemand_number, &listener->ondemand_event);
        }
}

/*
 * An eventfd that php-fpm takes for its listening socket. php-fpm starts one worker for all
 * connections that it finds in one look; whoever waits behind a long request, or behind a
 * kept-alive connection, is seen again when the worker says so (see worker_has_begun()).
 */
static void add_more_fd(struct listener *listener)
{
        long fd = raw2(eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK);

        listener->more_fd = fd < 0 ? -1 : (int)raw_fcntl((int)fd, F_DUPFD_CLOEXEC, GATE_FIRST_FD);
        (void)raw_close((int)fd);
        if (listener->more_fd >= 0)
                (void)raw4(epoll_ctl, listener->ondemand_fd, EPOLL_CTL_ADD, listener->more_fd,
                           &listener->ondemand_event);
}

static void remove_more_fd(struct listener *listener)
{
        if (listener->more_fd >= 0)
                (void)raw_close(listener->more_fd);
        listener->more_fd = -1;
}

long master_epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event)
{
        struct listener *listener = shim_listener(fd);
        long r = raw4(epoll_ctl, epoll_fd, operation, fd, event);

        if (r < 0 || !listener || !shim.is_php_fpm || shim_role() != SHIM_SERVER)
                return r;
        listener->ondemand_fd = operation == EPOLL_CTL_DEL ? -1 : epoll_fd;
        listener->ondemand_number = fd;
        if (event)
                listener->ondemand_event = *event;
        if (operation == EPOLL_CTL_ADD) {
                add_more_fd(listener);
                /* It may have no worker for long: none until the next request after a reload. */
                shim_become_ready();
        } else if (operation == EPOLL_CTL_DEL) {
                remove_more_fd(listener);
        }
        return r;
}

/*
 * True if this signal of php-fpm's is for a worker that it takes for idle, of which it has too
 * many; also while a stop waits for those that are not idle. Once that was passed on, all are to
 * go.
 */
static bool is_for_idle_worker(pid_t pid, int number)
{
        return (number == SIGQUIT || number == SIGKILL) && pid > 0 && shim.role == SHIM_SERVER &&
               shim_role() == SHIM_SERVER &&
               (shim.hold.draining || !(atomic_load(&shim.gate.page->closed) & GATE_MASTER));
}

long master_kill(pid_t pid, int number)
{
        struct gate_slot *slot = NULL;

        if (is_for_idle_worker(pid, number))
                slot = gate_slot_of(shim.gate.page, (uint32_t)pid);
        if (slot && !gate_dismiss(slot))
                return 0;
        return raw2(kill, pid, number);
}

long master_waitpid(pid_t pid, int *status, int options)
{
        int how = 0;
        long r = raw4(wait4, pid, &how, options, NULL);

        if (r > 0 && status)
                *status = how;
        if (r > 0 && (WIFEXITED(how) || WIFSIGNALED(how)) && shim.role == SHIM_SERVER &&
            shim_role() == SHIM_SERVER) {
                gate_free(&shim.gate, (uint32_t)r);
                gate_wake_waiting(&shim.gate);
                arm_ondemand();
        }
        return r;
}
