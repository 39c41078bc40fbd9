/* SPDX-License-Identifier: MIT */
#include "container-private.h"

#include <errno.h>
#include <string.h>

#include "cgroup.h"
#include "cleanup.h"
#include "freezer.h"
#include "frozen.h"
#include "log.h"

/* When to look again at a resident launcher that is to end, or starts its server just now. */
#define LOOK_AGAIN_USEC UINT64_C(1000000)

/* --- one tier --------------------------------------------------------------------------------- */

void container_set_tier(struct container *container, enum tier tier)
{
        container->tier = tier;
        container->tier_usec = gate_now_usec();
        if (tier == TIER_HOT)
                container->idle_usec = 0;
        container->next = tier_next(&container->rest.spans, tier, &container->watchdog.idle_usec);
}

uint64_t container_until_next(const struct container *container)
{
        const uint64_t span_usec = container->watchdog.idle_usec;

        return span_usec < GATE_INFINITY - container->idle_usec ? container->idle_usec + span_usec
                                                                : GATE_INFINITY;
}

void container_look_at(struct container *container, uint64_t usec)
{
        int r;

        r = sd_event_source_set_time(container->looks, usec);
        if (r >= 0)
                r = sd_event_source_set_enabled(
                    container->looks, usec == GATE_INFINITY ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
        if (r < 0)
                log_line("cannot look for idleness again: %s", strerror(-r));
}

bool container_is_waking(const struct container *container)
{
        return container->master.pidfd >= 0 || watchdog_is_asked(&container->watchdog);
}

static void thaw(struct container *container)
{
        frozen_free(container->frozen);
        container->frozen = NULL;
        container->thawing = container->freezer >= 0 && cgroup_is_frozen(container->freezer) > 0;
}

void container_rouse(struct container *container)
{
        if (!container->frozen)
                return;
        watchdog_open(&container->watchdog, gate_now_usec());
        thaw(container);
        container_set_tier(container, TIER_HOT);
        if (!container->stopping)
                container->happened(CONTAINER_THAWED, container->userdata);
        container_look_at(container, 0);
}

/* --- the freezer --------------------------------------------------------------------------- */

/* `docker pause` freezes the container, but not us: its idle time stands still, ours does not. */
static void heed_freezer(struct container *container)
{
        if (!container->thawing && container->freezer >= 0 &&
            cgroup_is_frozen(container->freezer) > 0)
                watchdog_was_stopped(&container->watchdog, gate_now_usec());
}

static int on_freezer_changed(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        struct container *container = userdata;
        int is_frozen = cgroup_is_frozen(fd);

        (void)events;
        /* It is gone with the container, and would be readable for ever. */
        if (is_frozen < 0)
                (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        if (container->frozen) {
                if (is_frozen >= 0 && frozen_is_over(container->frozen))
                        container_rouse(container);
                return 0;
        }
        /* Frozen, or just thawed, which heed_freezer() would not see. */
        if (is_frozen > 0 || !container->thawing)
                watchdog_was_stopped(&container->watchdog, gate_now_usec());
        container->thawing = false;
        return 0;
}

/* Without it, when cgroups are not where they usually are, a frozen server counts as idle. */
int container_watch_freezer(struct container *container)
{
        _cleanup_free_ char *cgroup = cgroup_of(container->launcher.pid);
        int r;

        if (!cgroup || peer_is_dead(&container->launcher))
                return 0;
        container->freezer = cgroup_open_freezer(CGROUP_ROOT, cgroup);
        if (container->freezer < 0 || cgroup_is_frozen(container->freezer) < 0)
                return 0;
        r = sd_event_add_io(container->event, &container->thaws, container->freezer, EPOLLPRI,
                            on_freezer_changed, container);
        /* We may be frozen with it: then this is to be known before it is looked at. */
        if (r >= 0)
                r = sd_event_source_set_priority(container->thaws, SD_EVENT_PRIORITY_IMPORTANT);
        return r < 0 ? r : 0;
}

void container_find_freezer(struct container *container)
{
        static bool said;
        uint64_t usec;
        int r;

        if (tier_next(&container->rest.spans, TIER_HOT, &usec) != TIER_FROZEN)
                return;
        r = freezer_separate(CGROUP_ROOT, container->launcher.pid);
        if (r >= 0)
                r = freezer_find(CGROUP_ROOT, container->launcher.pid, &container->freezer_path);
        if (r >= 0)
                return;
        container->rest.spans.usec[TIER_FROZEN] = GATE_INFINITY;
        if (!said)
                log_line("cannot freeze the server, so it just runs until it is stopped: %s",
                         r == -EDEADLK ? "it has no cgroup of its own" : strerror(-r));
        said = true;
}

/* --- down, tier by tier -------------------------------------------------------------------- */

static void on_frozen_event(enum frozen_event what, void *userdata)
{
        (void)what;
        container_rouse(userdata);
}

/*
 * If we were held up for so long that the lease of the gate was over before all was frozen, a
 * worker may have taken a connection.
 */
static bool is_still_quiet(struct container *container)
{
        struct gate *gate = &container->watchdog.gate;

        return gate_is_closed(gate) && gate_look(gate->page, NULL) == GATE_QUIET;
}

/* Returns when to look again. */
static uint64_t freeze(struct container *container)
{
        const struct frozen_plan plan = {
            .path = container->freezer_path,
            .note = container->rest.note,
            .sockets = container->shared.sockets,
            .n_sockets = container->shared.n_sockets,
            .init = peer_is_near(&container->launcher) ? NULL : &container->launcher,
            .happened = on_frozen_event,
            .userdata = container,
        };
        int r;

        r = frozen_new(&container->frozen, container->event, &plan);
        if (r < 0) {
                log_line("cannot freeze the server: %s", strerror(-r));
                container->rest.spans.usec[TIER_FROZEN] = GATE_INFINITY;
                container_set_tier(container, TIER_HOT);
                return 0;
        }
        container_set_tier(container, TIER_FROZEN);
        container->happened(CONTAINER_FROZEN, container->userdata);
        if (!is_still_quiet(container)) {
                container_rouse(container);
                return 0;
        }
        return container_until_next(container);
}

/* The gate is closed, and all is quiet. Returns when to look again: after a signal, if it did not
 * help. */
static uint64_t go_down(struct container *container, uint64_t again_usec)
{
        container->idle_usec = watchdog_idle_since(&container->watchdog);
        container->has_rested = true;
        switch (container->next) {
        case TIER_FROZEN:
                return freeze(container);
        case TIER_LIGHT:
                container_stop_server(container);
                break;
        case TIER_HOT:
        case TIER_STOPPED:
        case TIERS:
                container_stop_all(container);
                if (!container->idle)
                        container->happened(CONTAINER_IDLE, container->userdata);
                container->idle = true;
                break;
        }
        return again_usec;
}

static uint64_t look_at_server(struct container *container)
{
        enum watchdog_verdict verdict;
        uint64_t next_usec;

        /* It is time for the tier behind the frozen one, unless somebody connects just now. */
        if (container->frozen) {
                watchdog_close(&container->watchdog, gate_now_usec());
                thaw(container);
        }
        heed_freezer(container);
        verdict = watchdog_look(&container->watchdog, gate_now_usec(), &next_usec);
        background_say(&container->background, verdict == WATCHDOG_STOP,
                       container->watchdog.background_limit_usec);
        if (verdict == WATCHDOG_STOP)
                return go_down(container, next_usec);
        if (container->idle) {
                container->idle = false;
                container->happened(CONTAINER_BUSY, container->userdata);
        } else {
                container->happened(CONTAINER_LOOKED, container->userdata);
        }
        if (container->tier == TIER_FROZEN) {
                container_set_tier(container, TIER_HOT);
                container->happened(CONTAINER_THAWED, container->userdata);
                return 0;
        }
        return next_usec;
}

/* Nobody is there but the resident launcher: is it time for that to end, too? */
static uint64_t look_at_launcher(struct container *container)
{
        const uint64_t now_usec = gate_now_usec(), next_usec = container_until_next(container);

        if (next_usec > now_usec)
                return next_usec;
        if (!container_is_waking(container)) {
                container_stop_all(container);
                if (!container->idle)
                        container->happened(CONTAINER_IDLE, container->userdata);
                container->idle = true;
        }
        return now_usec + LOOK_AGAIN_USEC;
}

void container_look(struct container *container)
{
        container_look_at(container, container->tier == TIER_LIGHT ? look_at_launcher(container)
                                                                   : look_at_server(container));
}

/* Without its server, a resident launcher opens the gate, forgets all in the page, and waits for
 * connections. */
void container_become_light(struct container *container)
{
        container->ready = false;
        watchdog_open(&container->watchdog, gate_now_usec());
        if (container->idle_usec == 0)
                container->idle_usec = gate_now_usec();
        container_set_tier(container, TIER_LIGHT);
        container->happened(CONTAINER_LIGHT, container->userdata);
        container_look_at(container, container_until_next(container));
}
