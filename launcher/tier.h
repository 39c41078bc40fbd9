/* SPDX-License-Identifier: MIT */
/*
 * The tiers of a vhost, from ready at once to nothing there but its socket unit, and how long it
 * stays in each without a request. All spans count from the end of the last request.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "../preload/gate.h"

enum tier {
        TIER_HOT,     /* the server runs */
        TIER_FROZEN,  /* its cgroup is frozen */
        TIER_LIGHT,   /* the container is there with only the resident launcher in it */
        TIER_STOPPED, /* only the socket unit is there */
        TIERS,
};

/* After how long each tier comes, GATE_INFINITY: never. That of TIER_HOT means nothing. */
struct tier_spans {
        uint64_t usec[TIERS];
};

#define TIER_SPANS_NONE                                                                            \
        ((struct tier_spans){{GATE_INFINITY, GATE_INFINITY, GATE_INFINITY, GATE_INFINITY}})

/*
 * The tier that comes after now. One that would come no sooner than a later one is left out.
 * Returns TIER_HOT if none comes; *ret_usec is the span until it does.
 */
enum tier tier_next(const struct tier_spans *spans, enum tier now, uint64_t *ret_usec);

/* True if TIER_LIGHT comes before TIER_STOPPED, or without it: the launcher is to be resident. */
bool tier_has_light(const struct tier_spans *spans);
