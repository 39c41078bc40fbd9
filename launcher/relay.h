/* SPDX-License-Identifier: MIT */
/*
 * Passes what a child writes on its stderr on to our own, byte for byte, and shows its lines to
 * somebody. When our own stderr is full (a journal that lags), the child waits, not we. Can keep it
 * back until it is known whether it is worth saying.
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

/*
 * Keeps what the child writes from now on back, up to 64 KB: if it is more, all of it is passed on
 * after all.
 */
void relay_hold(struct relay *relay);

/* Passes on what was kept back, as far as stderr takes it at once, and keeps nothing back. */
void relay_release(struct relay *relay);

/* Reads what the child has written, without waiting for more: it has ended. */
void relay_drain(struct relay *relay);

/* What is still kept back is lost. NULL is allowed. */
void relay_free(struct relay *relay);
