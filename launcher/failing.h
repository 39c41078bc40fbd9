/* SPDX-License-Identifier: MIT */
/*
 * A vhost whose server does not start, or ends again at once: says why, has requests answered with
 * 503, and decides when the next attempt is made and when there is no point in any more of them.
 *
 * A failing period begins with the first failed attempt. It is over when the server has taken
 * requests for FAILING_STAY_USEC, or has ended well.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "responder.h"

#define FAILING_STAY_USEC (10 * UINT64_C(1000000))

/* By default, the longest time between two attempts. */
#define FAILING_RETRY_LIMIT_USEC (60 * UINT64_C(1000000))

struct failing;

enum failing_event {
        FAILING_ATTEMPT, /* it is time for another attempt */
        FAILING_GIVE_UP, /* nobody has asked for as long as the longest time between attempts */
};

typedef void (*failing_event_t)(enum failing_event what, void *userdata);

/* Nothing fails yet. responder is borrowed. Returns 0, -errno. */
int failing_new(struct failing **ret, sd_event *event, struct responder *responder,
                failing_event_t happened, void *userdata);

/* True unless the reason is the one that was said last in this period. */
bool failing_is_news(const struct failing *failing, const char *reason);

/* An attempt has failed: says why if that is news. limit_usec: the longest time between attempts.
 */
void failing_again(struct failing *failing, const char *reason, uint64_t limit_usec);

/* The server takes requests. */
void failing_ready(struct failing *failing);

/* True while the next attempt is waited for. */
bool failing_waits(const struct failing *failing);

/* The next attempt, if one is waited for, is made at once. */
void failing_hurry(struct failing *failing);

/* The period is over, if there is one: the server has ended well, or shall not start. */
void failing_end(struct failing *failing);

/* True in a failing period. */
bool failing_is(const struct failing *failing);

/* NULL is allowed. */
void failing_free(struct failing *failing);
