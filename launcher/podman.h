/* SPDX-License-Identifier: MIT */
/*
 * podman's own words. `podman run --detach` ends as soon as the container runs; its monitor,
 * conmon, stays, with 1 MB instead of the 34 to 46 MB of an attached client, and ends after the
 * container, with its status.
 */
#pragma once

#include "conf.h"
#include "words.h"

/*
 * Composes `podman run` for a vhost, as docker_run_words() does. The monitor's pid is to be found
 * in the file that podman_monitor_file() names, in rundir.
 */
void podman_run_words(struct words *words, const struct conf *conf, const char *vhost,
                      const char *libdir, const char *rundir, const char *opcache);

/*
 * The file in which `podman run --detach` leaves its monitor's pid, a part of the command. NULL if
 * the command is none of these.
 */
const char *podman_monitor_file(char *const *command);

/* Removes the monitor's file and returns the pid in it, or -errno: -ESRCH if it has none. */
int podman_take_monitor(const char *path);
