/* SPDX-License-Identifier: MIT */
/*
 * The host's end of the hand-over (handover.h): a socket at which launchers knock. Whoever is not
 * fpm-launcher, says something else than the hello, says half of it or nothing for two seconds is
 * refused with one line in the log. Nothing here ever waits.
 */
#pragma once

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "peer.h"
#include "sockets.h"

struct handover;

/*
 * A launcher has said its hello. The callee takes over connection and launcher->pidfd by returning
 * NULL, or refuses by returning the reason.
 */
typedef const char *(*handover_knock_t)(int connection, const struct peer *launcher,
                                        void *userdata);

/*
 * Makes the socket at path and its directories as far as they are missing, replacing a socket at
 * which nobody listens any more. launcher: path of the one program that is served; borrowed.
 * Prints what is wrong and returns the exit status for it, 0 on success.
 */
int handover_new(struct handover **ret, sd_event *event, const char *path, const char *launcher,
                 handover_knock_t knock, void *userdata);

/* Whether a refusal for the same reason as the one before is left unsaid. */
void handover_spare_words(struct handover *handover, bool spares);

/*
 * Grants a launcher the page, its two eventfds, the passed sockets, and where it shall write, a
 * pipe; output_fd -1: where it does anyway. Returns 0, -errno.
 */
int handover_grant(int connection, const struct passed *passed, int output_fd);

/* Closes everything and removes the socket. NULL is allowed. */
void handover_free(struct handover *handover);
