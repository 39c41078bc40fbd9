/* SPDX-License-Identifier: MIT */
/*
 * What the parts of a container share, and nobody else: container.c, its beginning and end and what
 * the server says; container-tiers.c, how it goes down and comes up; container-stop.c, signals.
 */
#pragma once

#include "background.h"
#include "container.h"
#include "watchdog.h"

struct container {
        sd_event *event;
        container_event_t happened;
        void *userdata;

        struct passed shared; /* page and eventfds are our own, the sockets are borrowed */
        struct watchdog watchdog;
        struct background background;

        int connection;
        struct peer launcher; /* whatever it has become by exec: the entrypoint, the server */
        struct peer master;   /* pidfd -1: not known yet */
        int freezer;          /* of their cgroup, see cgroup.h; -1: unknown */

        struct container_rest rest;
        enum tier tier, next;
        uint64_t tier_usec;    /* since when, CLOCK_MONOTONIC */
        uint64_t idle_usec;    /* the last request's end, unless the tier is TIER_HOT */
        char *freezer_path;    /* see freezer.h; NULL: it cannot be frozen */
        struct frozen *frozen; /* with TIER_FROZEN */
        bool thawing;          /* by us: it is no news */

        sd_event_source *says;
        sd_event_source *dies;
        sd_event_source *master_dies; /* only of a resident launcher's */
        sd_event_source *looks;       /* at the page, when the watchdog wants to */
        sd_event_source *thaws;
        sd_event_source *patience;

        bool is_resident; /* the launcher */
        bool ready;
        bool idle;
        bool has_rested;
        bool stopping;
        bool killed;
        bool reload_wanted;
        bool said_nonsense; /* one line in the log is enough */
};

/* --- container-stop.c ---------------------------------------------------------------------- */

/* The server's master, or what stands for it while that is not known. */
const struct peer *container_server(const struct container *container);

/* Tells the server to end when its requests are done. */
void container_stop_server(const struct container *container);

/* Tells the server and a resident launcher. */
void container_stop_all(const struct container *container);

/* A signal that came before the server had its handlers was in vain: says it again, if one was. */
void container_stop_again(struct container *container);

/* --- container-tiers.c --------------------------------------------------------------------- */

/* It has come to this tier now. */
void container_set_tier(struct container *container, enum tier tier);

/* When the next tier is due for who takes no request, CLOCK_MONOTONIC; GATE_INFINITY: never. */
uint64_t container_until_next(const struct container *container);

/* Looks for idleness at that moment, CLOCK_MONOTONIC; GATE_INFINITY: not by itself. */
void container_look_at(struct container *container, uint64_t usec);

/* Looks now, acts on what it sees, and sets the time of the next look. */
void container_look(struct container *container);

/* In the light tier: somebody has connected, or its launcher has already started the server. */
bool container_is_waking(const struct container *container);

/* A frozen server goes on, with a new idle span: it is asked, or is to hear a signal. */
void container_rouse(struct container *container);

/* Its resident launcher is alone from now on. */
void container_become_light(struct container *container);

/*
 * Finds out how the launcher can be frozen, if at all: as long as it is a single process that waits
 * for our answer.
 */
void container_find_freezer(struct container *container);

/* Learns of it when others freeze or thaw it. Returns 0, -errno. */
int container_watch_freezer(struct container *container);
