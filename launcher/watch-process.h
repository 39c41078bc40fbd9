/* SPDX-License-Identifier: MIT */
/*
 * The launcher's watchdog process: looks after a server that inherited its sockets (watch.h). It
 * is nobody's child (php-fpm warns about children that it does not know) and ends with the server.
 */
#pragma once

#include "sockets.h"

/*
 * Leaves the watchdog process behind; the caller goes on and becomes the server by exec.
 * stop_signal: what ends the server gracefully. Returns 0, or the exit status (status.h) after
 * having printed what is wrong.
 */
int watch_process_start(const struct passed *passed, int stop_signal);
