/* SPDX-License-Identifier: MIT */
/*
 * A living container, or on the host a server of its own, that has the passed sockets: from the
 * launcher's hello to the death of the process that said it. Its watchdog runs here, and stop and
 * reload reach the true master from here, by pidfd: neither needs the engine.
 *
 * All that the container says or writes into the page is hostile input. It can harm its own vhost
 * only: a process named as master must live in the launcher's own pid namespace.
 */
#pragma once

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "peer.h"
#include "sockets.h"
#include "tier.h"

struct container;

enum container_event {
        CONTAINER_READY,     /* takes requests: for the first time, or again after a reload */
        CONTAINER_RELOADING, /* the master was told to reload */
        CONTAINER_FROZEN,    /* was idle for long enough and is frozen */
        CONTAINER_THAWED,    /* serves again */
        CONTAINER_WAKING,    /* its resident launcher has started a server, for a connection */
        CONTAINER_LIGHT,     /* has no server, but a resident launcher that starts one if need be */
        CONTAINER_IDLE,      /* was idle for long enough and has been told to stop */
        CONTAINER_BUSY,      /* told to stop when idle, it did not, and has traffic again */
        CONTAINER_LOOKED,    /* was looked at and goes on: a moment to tell what it does */
        CONTAINER_DEAD,      /* the callee frees it */
};

typedef void (*container_event_t)(enum container_event what, void *userdata);

/* How it rests when it is idle. */
struct container_rest {
        /* That of TIER_STOPPED is the launcher's own word, if that is sooner. With TIER_LIGHT, the
         * launcher is resident (tier_has_light()). */
        struct tier_spans spans;
        const char *note; /* see frozen.h; borrowed */
};

/*
 * Grants a launcher a new page and the sockets of *passed, which is borrowed; a page of an earlier
 * container is worth nothing any more. output_fd: where the container shall write, see
 * handover_grant(). Takes over connection and launcher->pidfd on success. Returns 0, -errno.
 */
int container_new(struct container **ret, sd_event *event, const struct passed *passed,
                  int output_fd, int connection, const struct peer *launcher,
                  const struct container_rest *rest, container_event_t happened, void *userdata);

/*
 * Tells the server to stop when its requests are done, frozen or not, and again whenever it comes
 * further in its start. Kills the container if that takes longer than the drain limit, or than ten
 * seconds while no server has started. Idempotent.
 */
void container_stop(struct container *container);

/*
 * Reloads the server; if it is not ready, as soon as it is. Thaws it first. False if there is none
 * that could: after having said that this one cannot, or without a word in TIER_LIGHT, where the
 * next one reads the newest configuration by itself.
 */
bool container_reload(struct container *container);

/* Where it is now; *ret_since_usec is since when, CLOCK_MONOTONIC. May be NULL. */
enum tier container_tier(const struct container *container, uint64_t *ret_since_usec);

/* What a container does. Times are CLOCK_MONOTONIC. */
struct container_activity {
        uint64_t requests;   /* begun since it got the sockets */
        uint64_t idle_usec;  /* no request since then; 0: one runs, or it was never ready */
        uint64_t sleep_usec; /* when it is told to stop if no request comes; 0: never, or unknown */
        size_t n_programs;   /* that requests left running, if it is awake for them */
        pid_t pid;           /* of the server, or of what is to become one */
};

/* Looks, and changes nothing: neither its idle time nor when it stops. */
void container_activity(const struct container *container, struct container_activity *ret);

/* True once a server has adopted a socket or takes requests. */
bool container_has_server(const struct container *container);

/* True once it has been idle for long enough for the next tier. */
bool container_has_rested(const struct container *container);

/* True once the launcher, or what it has become, is dead; CONTAINER_DEAD may still be to come. */
bool container_is_dead(const struct container *container);

/* True once container_stop() has killed it. */
bool container_was_killed(const struct container *container);

/* Closes the connection, which drains a server that still lives. NULL is allowed. */
void container_free(struct container *container);
