/* SPDX-License-Identifier: MIT */
/*
 * What `fpm-waker status` is told by a running fpm-waker: a socket that answers each connection
 * with a report and hangs up, and the file that keeps the counts when fpm-waker has ended. Nothing
 * is read from whoever connects and nobody is waited for. Also the same in short for systemd.
 */
#pragma once

#include <stdint.h>
#include <systemd/sd-event.h>

#include "container.h"
#include "report.h"

struct status;

/* Adds what a living container knows. Returns false if there is none. */
typedef bool (*status_look_t)(struct container_activity *ret, void *userdata);

/* Somebody has connected: what should be seen by now, but may not have been? */
typedef void (*status_asked_t)(void *userdata);

/*
 * vhost: NULL if it has no name; then only the counts are kept. A socket that cannot be made is
 * said in the log and is no error. From now on the vhost is waking. Returns 0, -errno.
 */
int status_new(struct status **ret, sd_event *event, const char *vhost, status_look_t look,
               status_asked_t asked, void *userdata);

/* The vhost is in this tier; why: NULL for no reason. Both again changes nothing. Nobody waits for
 * a server in REPORT_LIGHT. */
void status_set(struct status *status, enum report_tier tier, const char *why);

/* Somebody waits for the server, since then (CLOCK_MONOTONIC). */
void status_waking(struct status *status, uint64_t since_usec);

/* It takes requests. Returns how long the wake has taken in usec, 0 if it was none. */
uint64_t status_woken(struct status *status);

/* A container has ended that has begun so many requests. */
void status_add_requests(struct status *status, uint64_t requests);

/* Tells systemd what a serving container does, unless that was only just done or is no news. */
void status_tell(struct status *status, const struct container_activity *activity);

/* Writes the file and removes the socket. NULL is allowed. */
void status_free(struct status *status);
