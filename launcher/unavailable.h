/* SPDX-License-Identifier: MIT */
/*
 * Has the requests of a resident's server answered with 503 (answering.h) while that keeps failing,
 * by children whose end is the caller's to wait for.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "answering.h"

/* One accepts, others finish: as long as a client takes that is slow to send or to read. */
#define UNAVAILABLE_CHILDREN 8

struct unavailable {
        pid_t children[UNAVAILABLE_CHILDREN]; /* 0: none */
        struct answering *shared;             /* NULL: there was no failure yet */
        pid_t accepting;                      /* the child that accepts, 0: none does */
        int holding_fd;                       /* of that one */
};

#define UNAVAILABLE_NOTHING ((struct unavailable){.holding_fd = -1})

/* Answers from now on; Retry-After counts down to retry_at_usec, CLOCK_MONOTONIC. */
void unavailable_begin(struct unavailable *unavailable, const struct passed *passed,
                       uint64_t retry_at_usec);

/* Accepts no more; what has been accepted is answered. */
void unavailable_finish(struct unavailable *unavailable);

/* True while requests are answered. */
bool unavailable_is(const struct unavailable *unavailable);

/* True if a request has come since then, CLOCK_MONOTONIC. */
bool unavailable_asked_since(const struct unavailable *unavailable, uint64_t usec);

/* A child of the caller's, one of these or not, has ended. */
void unavailable_reaped(struct unavailable *unavailable, pid_t pid);

/* True when nothing is left of it. */
bool unavailable_is_gone(const struct unavailable *unavailable);
