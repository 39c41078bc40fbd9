/* SPDX-License-Identifier: MIT */
/*
 * Answers liveness probes: Kubernetes' httpGet and tcpSocket, compose's healthcheck, curl. That
 * wakes no server and keeps none awake, as it has nothing to do with its sockets.
 *
 * A probe gets its answer when the head of its request is there, when it has nothing more to say,
 * or when it has taken too long; then its connection is closed. Nobody is waited for: when too many
 * connections are open, the oldest one's time is over.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define LIVENESS_PROBES_MAX 16

struct probe {
        int fd; /* -1: none */
        uint64_t end_usec;
        bool in_line; /* what was read last is not the end of a line */
        bool answered;
};

struct liveness {
        const char *word; /* the answer: what the resident does just now */

        /* Private. */
        int epoll_fd; /* borrowed */
        int socket;   /* -1: nobody probes */
        struct probe probes[LIVENESS_PROBES_MAX];
};

/*
 * Begins to listen at address, as --listen= has them; NULL: nowhere. The socket and the connections
 * are in epoll_fd, with data.fd, and closed by exec. Returns 0, or the exit status (status.h) after
 * having printed what is wrong.
 */
int liveness_begin(struct liveness *liveness, const char *address, int epoll_fd);

/* Something has happened to fd: the socket, a connection, or one that has been closed meanwhile. */
void liveness_note(struct liveness *liveness, int fd);

/* When liveness_close_due() is to be called: GATE_INFINITY: no connection is open. */
uint64_t liveness_due_usec(const struct liveness *liveness);

/* Closes the connections whose time is over. */
void liveness_close_due(struct liveness *liveness);
