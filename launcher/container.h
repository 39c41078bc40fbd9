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

struct container;

enum container_event {
        CONTAINER_READY,     /* takes requests: for the first time, or again after a reload */
        CONTAINER_RELOADING, /* the master was told to reload */
        CONTAINER_IDLE,      /* was idle for long enough and has been told to stop */
        CONTAINER_BUSY,      /* told to stop when idle, it did not, and has traffic again */
        CONTAINER_LOOKED,    /* was looked at and goes on: a moment to tell what it does */
        CONTAINER_DEAD,      /* the callee frees it */
};

typedef void (*container_event_t)(enum container_event what, void *userdata);

/*
 * Grants a launcher a new page and the sockets of *passed, which is borrowed; a page of an earlier
 * container is worth nothing any more. Takes over connection and launcher->pidfd on success.
 * Returns 0, -errno.
 */
int container_new(struct container **ret, sd_event *event, const struct passed *passed,
                  int connection, const struct peer *launcher, container_event_t happened,
                  void *userdata);

/*
 * Tells the server to stop when its requests are done, and again whenever it comes further in its
 * start. Kills the container if that takes longer than the drain limit, or than ten seconds while
 * no server has started. Idempotent.
 */
void container_stop(struct container *container);

/* Reloads the server; if it is not ready, as soon as it is. False after having said that this one
 * cannot. */
bool container_reload(struct container *container);

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

/* True once the launcher, or what it has become, is dead; CONTAINER_DEAD may still be to come. */
bool container_is_dead(const struct container *container);

/* True once container_stop() has killed it. */
bool container_was_killed(const struct container *container);

/* Closes the connection, which drains a server that still lives. NULL is allowed. */
void container_free(struct container *container);
