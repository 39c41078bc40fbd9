/* SPDX-License-Identifier: MIT */
/*
 * A cgroup that we have frozen: its memory is offered back to the kernel, and somebody else waits
 * on its listening sockets for it: we do.
 *
 * A note says which cgroup it is as long as it is frozen. Without it, whoever comes after us if we
 * are killed would wait for ever for the end of a container that cannot move.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

#include "peer.h"

struct frozen;

enum frozen_event {
        FROZEN_ASKED,     /* a connection waits in one of the sockets */
        FROZEN_SIGNALLED, /* a signal waits for one of the processes: `docker stop` sends one */
        FROZEN_THAWED,    /* somebody else has thawed it */
};

/* May come again and again until frozen_free(). */
typedef void (*frozen_event_t)(enum frozen_event what, void *userdata);

/* What is frozen, and what is waited for. All is borrowed but path and note, which are copied. */
struct frozen_plan {
        const char *path; /* of the freezer, see freezer.h */
        const char *note; /* path of the note, NULL: none is to be left */
        const int *sockets;
        size_t n_sockets;
        const struct peer *init; /* the first process of a container, NULL: it is none */
        frozen_event_t happened;
        void *userdata;
};

/* Freezes it. Returns 0, or -errno with nothing changed. */
int frozen_new(struct frozen **ret, sd_event *event, const struct frozen_plan *plan);

/* True once somebody else has thawed it, or it is gone. */
bool frozen_is_over(const struct frozen *frozen);

/* Thaws it. NULL is allowed. */
void frozen_free(struct frozen *frozen);

/* Thaws what a note tells of, if there is one, and removes it: for whoever comes after one who was
 * killed. */
void frozen_recover(const char *note);
