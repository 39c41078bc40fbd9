/* SPDX-License-Identifier: MIT */
/*
 * Has the requests of a vhost whose server is not there answered (answering.h), as long as that is
 * wanted.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "sockets.h"

struct responder;

/* The last child has ended: nothing is answered any more, and nothing that was is left. */
typedef void (*responder_gone_t)(void *userdata);

/* Answers nothing yet. passed is borrowed. Returns 0, -errno. */
int responder_new(struct responder **ret, sd_event *event, const struct passed *passed,
                  responder_gone_t gone, void *userdata);

/*
 * Answers from now on, until responder_finish(). page: path of the page's file, borrowed, which is
 * read for each answer; without it, or without such a file, the page is our own. Does nothing if it
 * answers already.
 */
void responder_start(struct responder *responder, const char *page);

/* Accepts no more, and ends when all that was accepted is answered. So does our death. */
void responder_finish(struct responder *responder);

/* Retry-After counts down to this CLOCK_MONOTONIC time; once it is over, and at first, it says 1.
 */
void responder_retry_at(struct responder *responder, uint64_t usec);

/* Retry-After is this for everybody; 0: responder_retry_at() says it. */
void responder_retry_after(struct responder *responder, uint64_t usec);

/* CLOCK_MONOTONIC when the last connection came, 0: none has. */
uint64_t responder_last_asked(const struct responder *responder);

/* True when there is no child. */
bool responder_is_gone(const struct responder *responder);

/* Kills what still runs. NULL is allowed. */
void responder_free(struct responder *responder);
