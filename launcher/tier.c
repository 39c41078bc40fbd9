/* SPDX-License-Identifier: MIT */
#include "tier.h"

enum tier tier_next(const struct tier_spans *spans, enum tier now, uint64_t *ret_usec)
{
        enum tier next = TIER_HOT;

        *ret_usec = GATE_INFINITY;
        /* From the last one on: what stays is the first that comes sooner than all behind it. */
        for (int tier = TIER_STOPPED; tier > (int)now; tier--)
                if (spans->usec[tier] < *ret_usec) {
                        *ret_usec = spans->usec[tier];
                        next = (enum tier)tier;
                }
        return next;
}

bool tier_has_light(const struct tier_spans *spans)
{
        uint64_t usec;

        return tier_next(spans, TIER_FROZEN, &usec) == TIER_LIGHT;
}
