/* SPDX-License-Identifier: MIT */
#include "failing.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "events.h"
#include "log.h"

#define USEC_PER_SEC     UINT64_C(1000000)

#define FIRST_DELAY_USEC USEC_PER_SEC

/* What an attempt may take before systemd loses its patience: an entrypoint may install a site. */
#define START_TIMEOUT_USEC (600 * USEC_PER_SEC)

/* However short the time between two attempts is. */
#define PATIENCE_LEAST_USEC (5 * USEC_PER_SEC)

#define REASON_BYTES        1024

struct failing {
        sd_event *event;
        struct responder *responder;
        failing_event_t happened;
        void *userdata;

        uint64_t since_usec; /* CLOCK_MONOTONIC of the first failure, 0: nothing fails */
        uint64_t limit_usec;
        uint64_t delay_usec;
        uint64_t ready_usec; /* CLOCK_MONOTONIC since when the server takes requests, 0: not */
        unsigned attempts;   /* that have failed */
        char reason[REASON_BYTES];

        sd_event_source *next;  /* attempt */
        sd_event_source *stays; /* the server does, long enough */
        sd_event_source *asks;  /* somebody still does */
};

static void disable(sd_event_source **source)
{
        *source = sd_event_source_disable_unref(*source);
}

static uint64_t add(uint64_t usec, uint64_t more)
{
        return usec > UINT64_MAX - 1 - more ? UINT64_MAX - 1 : usec + more;
}

static void set_time(struct failing *failing, sd_event_source **source, uint64_t usec,
                     sd_event_time_handler_t handler)
{
        int r;

        disable(source);
        r = sd_event_add_time(failing->event, source, CLOCK_MONOTONIC, usec, 1000, handler,
                              failing);
        if (r < 0)
                log_line("cannot wait for the next attempt: %s", strerror(-r));
}

/* --- attempts ------------------------------------------------------------------------------ */

static int on_time_to_try(sd_event_source *source, uint64_t usec, void *userdata)
{
        struct failing *failing = userdata;

        (void)source;
        (void)usec;
        disable(&failing->next);
        (void)sd_notifyf(0, "STATUS=Failing: %s; attempt %u is being made", failing->reason,
                         failing->attempts + 1);
        failing->happened(FAILING_ATTEMPT, failing->userdata);
        return 0;
}

/* When nobody will have asked for so long that the service need not go on. */
static uint64_t patience_over(const struct failing *failing)
{
        uint64_t asked_usec = responder_last_asked(failing->responder);
        uint64_t patience_usec = failing->limit_usec;

        if (asked_usec < failing->since_usec)
                asked_usec = failing->since_usec;
        if (patience_usec < PATIENCE_LEAST_USEC)
                patience_usec = PATIENCE_LEAST_USEC;
        return add(asked_usec, patience_usec);
}

static int on_time_to_give_up(sd_event_source *source, uint64_t usec, void *userdata)
{
        struct failing *failing = userdata;
        uint64_t over_usec = patience_over(failing);

        (void)source;
        (void)usec;
        disable(&failing->asks);
        /* While an attempt is made, that one decides. */
        if (!failing->next)
                return 0;
        if (over_usec > gate_now_usec()) {
                set_time(failing, &failing->asks, over_usec, on_time_to_give_up);
                return 0;
        }
        disable(&failing->next);
        failing->happened(FAILING_GIVE_UP, failing->userdata);
        return 0;
}

bool failing_is_news(const struct failing *failing, const char *reason)
{
        return !failing_is(failing) ||
               strncmp(failing->reason, reason, sizeof(failing->reason) - 1) != 0;
}

void failing_again(struct failing *failing, const char *reason, uint64_t limit_usec)
{
        uint64_t now_usec = gate_now_usec(), next_usec;

        if (failing_is_news(failing, reason)) {
                event_say(EVENT_FAILING, &(struct event_fields){.reason = reason}, "%s", reason);
                (void)snprintf(failing->reason, sizeof(failing->reason), "%s", reason);
        }
        if (!failing_is(failing)) {
                failing->since_usec = now_usec;
                failing->delay_usec = 0;
                failing->attempts = 0;
        }
        failing->attempts++;
        failing->ready_usec = 0;
        disable(&failing->stays);
        failing->limit_usec = limit_usec;
        failing->delay_usec = failing->delay_usec == 0
                                  ? FIRST_DELAY_USEC
                                  : add(failing->delay_usec, failing->delay_usec);
        if (failing->delay_usec > limit_usec)
                failing->delay_usec = limit_usec;
        next_usec = add(now_usec, failing->delay_usec);
        responder_retry_at(failing->responder, next_usec);
        responder_start(failing->responder, NULL);
        set_time(failing, &failing->next, next_usec, on_time_to_try);
        set_time(failing, &failing->asks, patience_over(failing), on_time_to_give_up);
        (void)sd_notifyf(0,
                         "STATUS=Failing: %s; next attempt in %" PRIu64 " s\n"
                         "EXTEND_TIMEOUT_USEC=%" PRIu64,
                         failing->reason, (failing->delay_usec + USEC_PER_SEC - 1) / USEC_PER_SEC,
                         add(failing->delay_usec, START_TIMEOUT_USEC));
}

bool failing_waits(const struct failing *failing)
{
        return failing->next;
}

void failing_hurry(struct failing *failing)
{
        if (failing->next)
                set_time(failing, &failing->next, 0, on_time_to_try);
}

/* --- recovery ------------------------------------------------------------------------------ */

static int on_stayed(sd_event_source *source, uint64_t usec, void *userdata)
{
        (void)source;
        (void)usec;
        failing_end(userdata);
        return 0;
}

void failing_ready(struct failing *failing)
{
        responder_finish(failing->responder);
        if (!failing_is(failing) || failing->ready_usec > 0)
                return;
        failing->ready_usec = gate_now_usec();
        disable(&failing->asks);
        set_time(failing, &failing->stays, failing->ready_usec + FAILING_STAY_USEC, on_stayed);
}

void failing_end(struct failing *failing)
{
        if (failing_is(failing) && failing->ready_usec > 0)
                event_say(
                    EVENT_RECOVERED, &(struct event_fields){.reason = failing->reason},
                    "takes requests again after failing for %" PRIu64 " s (%u failed attempts)",
                    (failing->ready_usec - failing->since_usec) / USEC_PER_SEC, failing->attempts);
        disable(&failing->next);
        disable(&failing->stays);
        disable(&failing->asks);
        failing->since_usec = failing->ready_usec = 0;
}

bool failing_is(const struct failing *failing)
{
        return failing->since_usec > 0;
}

/* --- beginning and end --------------------------------------------------------------------- */

int failing_new(struct failing **ret, sd_event *event, struct responder *responder,
                failing_event_t happened, void *userdata)
{
        struct failing *failing;

        failing = calloc(1, sizeof(*failing));
        if (!failing)
                return -ENOMEM;
        failing->event = event;
        failing->responder = responder;
        failing->happened = happened;
        failing->userdata = userdata;
        *ret = failing;
        return 0;
}

void failing_free(struct failing *failing)
{
        if (!failing)
                return;
        disable(&failing->next);
        disable(&failing->stays);
        disable(&failing->asks);
        free(failing);
}
