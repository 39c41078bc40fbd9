/* SPDX-License-Identifier: MIT */
/* The container's end of the hand-over (handover.h). */
#pragma once

#include "sockets.h"

/*
 * Connects to fpm-waker at path and fetches sockets, names, page and eventfds. Nothing that comes
 * is believed: who sent it, its seals, size and magic, and every socket are checked. Never waits
 * longer than a few seconds. On success the connection is *passed's, and raises SIGQUIT in this
 * process, and in what it becomes by exec, when fpm-waker dies.
 * Returns 0, or the exit status (status.h) after having printed what is wrong.
 */
int handover_fetch(const char *path, struct passed *passed);
