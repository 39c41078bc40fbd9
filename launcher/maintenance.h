/* SPDX-License-Identifier: MIT */
/*
 * A vhost that shall not run: each request gets a 503 on purpose. It is so while the file
 * NAME.maintenance is there beside the vhost's conf, so it outlives a reboot; the page is that of
 * NAME.maintenance.html, if there is one.
 *
 * Nobody watches for the file: that would take one of the 128 inotify instances that all of root's
 * processes have together, for each vhost that is awake. `fpm-waker maintenance` speaks up.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Retry-After, and how long requests are answered after the last one. */
#define MAINTENANCE_USEC (60 * UINT64_C(1000000))

/* `fpm-waker maintenance`: argv[0] is "maintenance". Returns the exit status for the process. */
int maintenance(int argc, char **argv);

struct maintenance;

/* The file has come or gone, and maintenance_look() has seen it. */
typedef void (*maintenance_changed_t)(bool is_on, void *userdata);

/* stem: the path of the vhost's files without their suffix. Returns 0, -errno. */
int maintenance_new(struct maintenance **ret, const char *stem, maintenance_changed_t changed,
                    void *userdata);

/* Since when the vhost with this stem is in maintenance, CLOCK_REALTIME; 0: it is not. */
uint64_t maintenance_since_usec(const char *stem);

/* NULL is never in maintenance. */
bool maintenance_is_on(const struct maintenance *maintenance);

/* Looks for the file; calls changed() if it has come or gone since the last time. NULL is allowed.
 */
void maintenance_look(struct maintenance *maintenance);

/* Path of the page, whether it is there or not. */
const char *maintenance_page(const struct maintenance *maintenance);

/* NULL is allowed. */
void maintenance_free(struct maintenance *maintenance);
