/* SPDX-License-Identifier: MIT */
/*
 * Processes of the container as the host sees them. A pid that the kernel tells us may be another
 * process's by the time we use it: it is turned into a pidfd at once, then checked, and is good
 * only if the process was still alive after the checks.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct peer {
        pid_t pid;
        int pidfd;
        ino_t pid_namespace; /* identity of its pid namespace */
};

/* Opens the process that connected a unix socket. The caller owns ret->pidfd. Returns 0, -errno. */
int peer_of_socket(int fd, struct peer *ret);

/*
 * Opens a process of the container of another one: -EXDEV if it lives in another pid namespace.
 * The caller owns ret->pidfd. Returns 0, -ESRCH if it is dead, -errno.
 */
int peer_beside(const struct peer *other, pid_t pid, struct peer *ret);

/*
 * Does the process run this program: the same file, or (an image with a copy of its own) the same
 * content? Returns 1, 0, -errno.
 */
int peer_runs(const struct peer *peer, const char *path);

/* True once the process is dead, also if nobody has waited for it yet. */
bool peer_is_dead(const struct peer *peer);

/* Sends a signal. Returns 0, -errno. */
int peer_kill(const struct peer *peer, int signal);

/* True for a process in our own pid namespace. */
bool peer_is_near(const struct peer *peer);
