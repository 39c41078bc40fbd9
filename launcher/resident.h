/* SPDX-License-Identifier: MIT */
/*
 * Resident mode: the launcher stays, holds the sockets, and starts the server as its child whenever
 * somebody connects. It may be the init of a container, and then does what that has to: it takes on
 * orphans, and hands signals on.
 *
 * While it sleeps it waits for a connection without accepting it; while the server runs it does not
 * look at the sockets at all. So a connection is in the queue until a worker takes it, whichever
 * run of the server that is of.
 */
#pragma once

#include "server.h"
#include "sockets.h"

/*
 * Starts and stops the server, until a signal ends all of it. passed: settled.
 * settings->exit_idle_usec: how long a run may be idle. liveness: where to answer probes, or NULL.
 * Returns the exit status (status.h), after having printed what is wrong if it is not 0.
 */
int resident_live(const struct passed *passed, const struct server *server,
                  const struct page_settings *settings, const char *liveness);
