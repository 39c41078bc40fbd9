/* SPDX-License-Identifier: MIT */
/*
 * The process that answers the requests of a vhost whose server is not there, each with "503
 * Service Unavailable", Retry-After and a short page: a child that accepts on the passed sockets,
 * with a thread for each connection, so that a slow or silent client keeps nobody else waiting.
 *
 * To the passed sockets nothing is done but waiting and accepting.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

#include "sockets.h"

/* What parent and child tell each other, in memory that both have. */
struct answering {
        _Atomic uint64_t retry_at_usec; /* Retry-After counts down to this CLOCK_MONOTONIC time */
        _Atomic uint64_t retry_after_usec; /* Retry-After is this; 0: retry_at_usec says it */
        _Atomic uint64_t last_asked_usec;  /* when the last connection came, 0: none has */
};

/* Returns NULL, with errno, if it cannot be had. */
struct answering *answering_new(void);

void answering_free(struct answering *shared);

/*
 * Forks the child. It accepts as long as somebody has *ret_holding_fd, which is the caller's, open,
 * and then ends when all that it has accepted is answered. page: path of the page's file, which is
 * read for each answer; without it, or without such a file, the page is our own.
 * Returns 0, -errno.
 */
int answering_fork(const struct passed *passed, struct answering *shared, const char *page,
                   pid_t *ret_pid, int *ret_holding_fd);
