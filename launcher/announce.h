/* SPDX-License-Identifier: MIT */
/*
 * What the world is told of a vhost's steps: systemd by sd_notify(3), the journal by events.h, and
 * who asks `fpm-waker status` by status-serve.h, so that all three say the same. Nothing here can
 * fail: who does not listen is not told.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "report.h"

struct status;

/* It is in this tier, and does that. */
void announce(struct status *status, enum report_tier tier, const char *what);

/* It takes requests: after a wake, or after a reload that began at reload_usec (CLOCK_MONOTONIC).
 */
void announce_ready(struct status *status, uint64_t reload_usec);

/* It takes requests again, without a wake or a reload in between. */
void announce_busy(struct status *status);
void announce_thawed(struct status *status);

/* It reloads since reload_usec, CLOCK_MONOTONIC. */
void announce_reloading(struct status *status, uint64_t reload_usec);

/* systemd waits for the end of a reload also if there was nothing to reload. */
void announce_reloaded_nothing(void);

/* It rests in REPORT_FROZEN or REPORT_LIGHT. is_leaving: systemd knows already that it ends. */
void announce_rest(struct status *status, enum report_tier tier, bool is_leaving);

/* It was idle for so long that it ends. requests: since the server was started. */
void announce_idle(struct status *status, uint64_t requests);

/* It was told to stop. */
void announce_stopping(struct status *status);

/* Maintenance is on or off; then it is in it, once nothing else runs. */
void announce_maintenance(bool is_on);
void announce_in_maintenance(struct status *status);

/* It ends, or a reload has failed, for a reason; "": there is nothing to say about it. */
void announce_end(bool has_failed, bool is_reload, const char *reason);
