/* SPDX-License-Identifier: MIT */
/* The server's program: found, checked, and started in the launcher's place. */
#pragma once

#include <limits.h>

struct server {
        char path[PATH_MAX];            /* the program */
        char preload[PATH_MAX];         /* the shim, absolute */
        char *const *argv;              /* the administrator's words, unchanged */
        const char *opcache_file_cache; /* see opcache.h */
};

/*
 * Finds the shim (wanted, or the one beside this executable if NULL) and the server argv[0] as
 * execvp() does, and makes sure that the shim can be loaded into the server. Touches nothing.
 * Returns 0, or the exit status (status.h) after having printed what is wrong.
 */
int server_find(struct server *server, const char *wanted_preload, char *const *argv);

/* Sets what the server needs in our environment and takes away what was for us. page_fd: the
 * gate's page. Returns 0, or the exit status after having printed what is wrong. */
int server_prepare_environment(const struct server *server, int page_fd);

/* Becomes the server. Only returns if that failed: the exit status, after having printed why. */
int server_exec(const struct server *server);

/* Writes the directory of this executable, with closing slash, and name behind it. Returns 0 or
 * -errno. */
int beside_executable(const char *name, char ret[PATH_MAX]);
