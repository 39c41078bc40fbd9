/* SPDX-License-Identifier: MIT */
/*
 * Passes what a child writes on its stderr on to our own, byte for byte, and shows its lines to
 * somebody. When our own stderr is full (a journal that lags), the child waits, not we.
 */
#pragma once

#include <systemd/sd-event.h>

struct relay;

/* A line without its newline; what is longer than a kilobyte is cut here, not on stderr. */
typedef void (*relay_line_t)(const char *line, void *userdata);

/*
 * Makes a relay. *ret_child_fd, close-on-exec, is the end for the child; the caller closes it.
 * Returns 0, -errno.
 */
int relay_new(struct relay **ret, sd_event *event, relay_line_t line, void *userdata,
              int *ret_child_fd);

/* Passes on what is there already, without waiting for more, and frees the relay. NULL: nothing. */
void relay_finish(struct relay *relay);
