/* SPDX-License-Identifier: MIT */
/*
 * A worker lets SIGTERM and SIGINT wait until its request has ended, unless its master sent them:
 * systemd's KillMode=control-group and a Ctrl-C reach every process of a server at once.
 */
#pragma once

/* Once a worker accepts. Leaves a handler of the server's own alone. Idempotent. */
void defer_signals(void);

/* At accept, and when a connection ends that was left behind: dies of a signal that waited, unless
 * somebody works on such a connection. */
void defer_act_now(void);
