/* SPDX-License-Identifier: MIT */
/* What a client speaks, so that client.c need not know: FastCGI, or HTTP with a web server. */
#pragma once

#include "client.h"

/* Room for a body in records, parameters, headers. */
#define BUFFER_SIZE (CLIENT_BODY_MAX + 16384U)

struct protocol {
        /* Writes client->request into client->out. */
        void (*build)(struct client *client);

        /*
         * Takes from client->in what is complete, into client->answer. Returns true when the
         * request has ended: *ret_outcome is ANSWERED if the answer has its end, whatever it says.
         * *ret_again: the connection may have another request.
         */
        bool (*take)(struct client *client, bool at_end, enum outcome *ret_outcome,
                     bool *ret_again);

        /* Where the answer's body begins in client->answer. NULL: the header is not right, or not
         * complete. */
        const char *(*body)(const struct client *client);

        /* True for what a server may send on a connection that it was to keep. */
        bool (*may_come)(const uint8_t *bytes, size_t size);
};

extern const struct protocol fastcgi, http;

/* For build(). */
void client_add(struct client *client, const void *data, size_t size);
void client_add_body(struct client *client, size_t from, size_t to);
size_t client_query(const struct client *client, char *text, size_t size);
