/* SPDX-License-Identifier: MIT */
/*
 * The life of one vhost's container under systemd: start it, hand the sockets over, tell systemd
 * how it goes, translate the service manager's signals, and end as the container ends.
 */
#pragma once

#include "sockets.h"

/*
 * command: what starts the container. passed: the sockets to hand over. handover_path: where.
 * launcher: path of fpm-launcher. Returns the exit status for the process; what is wrong has been
 * printed.
 */
int supervise(char *const *command, const struct passed *passed, const char *handover_path,
              const char *launcher);
