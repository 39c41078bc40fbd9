/* SPDX-License-Identifier: MIT */
#include "watchdog.h"

#include <poll.h>
#include <stdbool.h>

#define USEC_PER_MSEC UINT64_C(1000)
#define USEC_PER_SEC  (UINT64_C(1000) * USEC_PER_MSEC)

/* How long the gate stays closed if the watchdog dies meanwhile. */
#define LEASE_USEC (2 * USEC_PER_SEC)

/* How often to look while kept-alive connections hang up, and for how long at most. */
#define BETWEEN_STEP_USEC  USEC_PER_MSEC
#define BETWEEN_LIMIT_USEC (2 * USEC_PER_SEC)

/* When to signal again if the server did not stop. */
#define STOP_AGAIN_USEC USEC_PER_SEC

/* How often to look for programs that requests left running, once they are what is waited for. */
#define PROGRAMS_STEP_USEC USEC_PER_SEC

/* A look that comes so much later than it was due: we were stopped, or the clock has jumped. */
#define LATE_USEC USEC_PER_SEC

/* An idle span of 0 must not become a loop without a pause. */
#define STEP_MIN_USEC (10 * USEC_PER_MSEC)

/* a + b, for spans that may be GATE_INFINITY. */
static uint64_t add_usec(uint64_t a, uint64_t b)
{
        return a > GATE_INFINITY - b ? GATE_INFINITY : a + b;
}

bool watchdog_is_asked(const struct watchdog *watchdog)
{
        struct pollfd queues[GATE_SOCKETS_MAX];
        nfds_t n = 0;

        for (size_t i = 0; i < watchdog->n_sockets && i < GATE_SOCKETS_MAX; i++)
                queues[n++] = (struct pollfd){.fd = watchdog->sockets[i], .events = POLLIN};
        /* An error stops nothing: whoever cannot look at the queue does not know that it is empty.
         */
        return poll(queues, n, 0) != 0;
}

static enum watchdog_verdict keep_open(struct watchdog *watchdog, uint64_t next_usec,
                                       uint64_t *ret_next_usec)
{
        if (watchdog->closed_usec > 0) {
                gate_open(&watchdog->gate, GATE_WATCHDOG);
                watchdog->closed_usec = 0;
        }
        *ret_next_usec = next_usec;
        return WATCHDOG_WAIT;
}

/* Looks at all workers. Returns their traffic; *ret_since_usec is the begin of the idleness: the
 * last request's end, or what came later, or 0 if the server is not ready. */
static enum gate_traffic look_at_workers(const struct watchdog *watchdog, uint64_t *ret_since_usec)
{
        enum gate_traffic traffic = gate_look(watchdog->gate.page, ret_since_usec);

        if (*ret_since_usec > 0 && *ret_since_usec < watchdog->awake_usec)
                *ret_since_usec = watchdog->awake_usec;
        return traffic;
}

/* True if programs are to be waited for, until *ret_next_usec at least. They are not looked for
 * once the gate is closed: only a request can leave another one, and its end begins a new span. */
static bool is_held(const struct watchdog *watchdog, uint64_t now_usec, uint64_t since_usec,
                    uint64_t *ret_next_usec)
{
        const uint64_t end_usec = add_usec(since_usec, watchdog->background_limit_usec);

        if (watchdog->closed_usec > 0 || watchdog->background_limit_usec == 0 ||
            !watchdog->programs_run(watchdog->userdata) || end_usec <= now_usec)
                return false;
        *ret_next_usec = add_usec(now_usec, PROGRAMS_STEP_USEC);
        if (end_usec < *ret_next_usec)
                *ret_next_usec = end_usec;
        return true;
}

static enum watchdog_verdict decide(struct watchdog *watchdog, uint64_t now_usec,
                                    uint64_t *ret_next_usec)
{
        const uint64_t idle_usec = watchdog->idle_usec;
        const uint64_t step_usec = idle_usec > STEP_MIN_USEC ? idle_usec : STEP_MIN_USEC;
        const uint64_t later_usec = add_usec(now_usec, step_usec);
        enum gate_traffic traffic;
        uint64_t since_usec = 0, due_usec;

        if (idle_usec == GATE_INFINITY)
                return keep_open(watchdog, GATE_INFINITY, ret_next_usec);

        traffic = look_at_workers(watchdog, &since_usec);
        due_usec = add_usec(since_usec, idle_usec);
        if (since_usec == 0 || traffic == GATE_IN_REQUEST)
                return keep_open(watchdog, later_usec, ret_next_usec);
        if (due_usec > now_usec)
                return keep_open(watchdog, due_usec < later_usec ? due_usec : later_usec,
                                 ret_next_usec);
        if (is_held(watchdog, now_usec, since_usec, ret_next_usec))
                return WATCHDOG_WAIT;

        if (watchdog->closed_usec == 0)
                watchdog->closed_usec = now_usec;
        gate_close(&watchdog->gate, GATE_WATCHDOG, add_usec(now_usec, LEASE_USEC));

        /* From here on nobody who looks quiet takes a connection. What came in between? */
        traffic = look_at_workers(watchdog, &since_usec);
        due_usec = add_usec(since_usec, idle_usec);
        if (traffic == GATE_IN_REQUEST || watchdog_is_asked(watchdog))
                return keep_open(watchdog, later_usec, ret_next_usec);
        if (due_usec > now_usec)
                return keep_open(watchdog, due_usec < later_usec ? due_usec : later_usec,
                                 ret_next_usec);
        if (traffic == GATE_QUIET) {
                *ret_next_usec = add_usec(now_usec, STOP_AGAIN_USEC);
                return WATCHDOG_STOP;
        }

        /* A worker that never lets go of its connection must not shut the vhost. */
        if (now_usec - watchdog->closed_usec >= BETWEEN_LIMIT_USEC)
                return keep_open(watchdog, later_usec, ret_next_usec);
        *ret_next_usec = add_usec(now_usec, BETWEEN_STEP_USEC);
        return WATCHDOG_WAIT;
}

void watchdog_was_stopped(struct watchdog *watchdog, uint64_t now_usec)
{
        watchdog->awake_usec = now_usec;
}

enum watchdog_verdict watchdog_look(struct watchdog *watchdog, uint64_t now_usec,
                                    uint64_t *ret_next_usec)
{
        enum watchdog_verdict verdict;

        if (watchdog->next_usec > 0 && now_usec > add_usec(watchdog->next_usec, LATE_USEC))
                watchdog_was_stopped(watchdog, now_usec);
        verdict = decide(watchdog, now_usec, ret_next_usec);
        watchdog->next_usec = *ret_next_usec;
        return verdict;
}

uint64_t watchdog_idle_since(const struct watchdog *watchdog)
{
        uint64_t since_usec = 0;

        (void)look_at_workers(watchdog, &since_usec);
        return since_usec;
}

void watchdog_open(struct watchdog *watchdog, uint64_t now_usec)
{
        gate_open(&watchdog->gate, GATE_WATCHDOG);
        watchdog->closed_usec = watchdog->next_usec = 0;
        watchdog_was_stopped(watchdog, now_usec);
}

void watchdog_close(struct watchdog *watchdog, uint64_t now_usec)
{
        gate_close(&watchdog->gate, GATE_WATCHDOG, add_usec(now_usec, LEASE_USEC));
        watchdog->closed_usec = now_usec;
        watchdog->next_usec = 0;
}
