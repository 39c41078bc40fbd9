/* SPDX-License-Identifier: MIT */
/*
 * What travels to the server through exec: the passed sockets, wherever they come from, and the
 * gate's page with its descriptors.
 *
 * All functions here that return int return 0, or the launcher's exit status (status.h) after
 * having printed the one line that says what is wrong. Nothing is done to a passed socket but
 * duplicating its descriptor: its flags, its backlog and its queue stay as they came.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "../preload/gate.h"

struct passed {
        struct gate gate; /* page mapped, own descriptors */
        int page_fd;
        int handover_fd; /* connection to fpm-waker, -1: there is none */
        size_t n_sockets;
        int sockets[GATE_SOCKETS_MAX];
        char names[GATE_SOCKETS_MAX][GATE_NAME_MAX];
};

/* What the server's shim, and whoever watches the server, read in the page. */
struct page_settings {
        uint64_t exit_idle_usec;
        uint64_t drain_limit_usec;
        uint64_t background_limit_usec;
        bool read_ahead;
        bool fd0;
};

/* Nothing yet. Descriptors are owned by the struct and live until exec or exit. */
#define PASSED_NOTHING                                                                             \
        {                                                                                          \
                .gate = {NULL, -1, -1}, .page_fd = -1, .handover_fd = -1,                          \
        }

/* True if the environment has LISTEN_FDS, valid or not. */
bool passed_in_environment(void);

/* Takes the sockets that systemd passed: LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES. */
int passed_from_environment(struct passed *passed);

/* True if descriptor 0 is a listening socket, as inetd's "wait" services get it. */
bool passed_on_stdin(void);

/* Takes descriptor 0. */
int passed_from_stdin(struct passed *passed);

/*
 * Opens a listening socket, text being "/path", "127.0.0.1:9000", "[::1]:9000", or "9000" for all
 * addresses, on a machine without IPv6 those of IPv4. A socket file at the path is replaced if no
 * process is behind it, and refused otherwise.
 */
int socket_listen(const char *text, int *ret_fd);

/* Opens one, and takes it. */
int passed_listen(struct passed *passed, const char *text);

/* Makes page and eventfds: sealed in size, gate open. For sockets that were not handed over. */
int passed_make_page(struct passed *passed);

/* Moves every descriptor to GATE_FIRST_FD or above, where it survives exec. fd0: also puts the only
 * socket at descriptor 0. */
int passed_settle(struct passed *passed, bool fd0);

/* Writes the settled descriptors' numbers, names and settings into the page. */
int passed_write_page(const struct passed *passed, const struct page_settings *settings);

/* True if fd is a stream socket that listens. Otherwise false, with errno. */
bool is_listening(int fd);
