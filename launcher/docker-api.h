/* SPDX-License-Identifier: MIT */
/*
 * The Docker engine's HTTP API over its unix socket: one request at a time, over one connection.
 * Waits for every answer, for as long as the engine takes.
 */
#pragma once

#include <jansson.h>

struct docker_api;

/* What the engine answered. */
struct docker_answer {
        long status;      /* of HTTP; 0: there is no answer */
        json_t *body;     /* NULL: it is empty, or no JSON */
        char reason[512]; /* why it was refused, or why there is no answer */
};

/*
 * The engine's socket is what DOCKER_HOST says, which must be unix://PATH, or the usual one. Does
 * not connect yet. Returns 0, -EINVAL for another kind of DOCKER_HOST, -ENOMEM.
 */
int docker_api_new(struct docker_api **ret);

/*
 * Makes a request: path with its query, body of the request or NULL for none. *ret is to be freed
 * with docker_answer_done() in any case. Returns 0 if there is an answer, also a refusal; -ENOTCONN
 * if the engine cannot be reached or has gone, -ENOMEM.
 */
int docker_api_call(struct docker_api *api, const char *method, const char *path,
                    const json_t *body, struct docker_answer *ret);

/*
 * Reads what a container has written, and passes it on to a descriptor as it was written. What
 * fails is left out. query: of GET /containers/ID/logs.
 */
void docker_api_logs(struct docker_api *api, const char *container, const char *query, int to_fd);

/* A name as a part of a path. To be freed; NULL for lack of memory. */
char *docker_api_escape(const char *name);

void docker_answer_done(struct docker_answer *answer);

/* NULL is allowed. */
void docker_api_free(struct docker_api *api);
