/* SPDX-License-Identifier: MIT */
/*
 * The hand-over: how a listening socket gets into a container that cannot inherit it.
 *
 * fpm-waker listens on a unix socket of type SOCK_SEQPACKET that the container sees through a bind
 * mount. fpm-launcher, in the container, connects and sends one handover_hello; fpm-waker answers
 * with one handover_grant that carries, as SCM_RIGHTS and in this order: the gate's page, the
 * closing eventfd, the waking eventfd, the listening sockets, and the output if there is one. The
 * sockets' names and inodes are in the page's table of sockets, which fpm-waker fills in; the
 * launcher adds the descriptor numbers and its own settings (exit_idle_usec, drain_limit_usec,
 * fd0). The output is the writing end of a pipe; it becomes the launcher's stdout and stderr, and
 * so the server's: what they write needs nobody else on its way to fpm-waker.
 *
 * After that fpm-waker is silent for good: the launcher's end has O_ASYNC and F_SETSIG set to
 * SIGQUIT, so that the death of fpm-waker, or any message from it, drains the server. The server
 * says GATE_SAYS_MASTER and GATE_SAYS_READY (gate.h) on the same connection, which outlives exec.
 * Whoever connects and does not behave is refused by closing its connection.
 */
#pragma once

#include <stdint.h>

#include "../preload/gate.h"

#define HANDOVER_MAGIC UINT32_C(0x66706d68) /* "fpmh" */
/* Of the page, and of the two messages below. */
#define HANDOVER_VERSION (GATE_VERSION + 1U)
#define HANDOVER_FDS_MAX (3U + GATE_SOCKETS_MAX + 1U)

/* Where the launcher looks, beside its own executable, if nothing else is said. */
#define HANDOVER_DEFAULT "run/handover"

struct handover_hello {
        uint32_t magic;
        uint32_t version;
};

struct handover_grant {
        uint32_t magic;
        uint32_t version;
        uint32_t n_sockets;
        uint32_t n_outputs; /* 0 or 1 */
};
