/* SPDX-License-Identifier: MIT */
/* HTTP/1.0, in which the end of the connection is the end of an answer. */
#include <stdio.h>
#include <string.h>

#include "protocol.h"

static void build(struct client *client)
{
        const struct request *request = &client->request;
        char query[128], head[512];
        int size;

        (void)client_query(client, query, sizeof(query));
        size = snprintf(head, sizeof(head),
                        "%s %s?%s HTTP/1.0\r\n"
                        "Host: soak\r\n"
                        "Content-Length: %u\r\n"
                        "\r\n",
                        request->body_size ? "POST" : "GET", request->script, query,
                        request->body_size);
        client_add(client, head, (size_t)size);
        client_add_body(client, 0, request->body_size);
}

static bool take(struct client *client, bool at_end, enum outcome *ret_outcome, bool *ret_again)
{
        if (client->answer_size + client->in_size > BUFFER_SIZE) {
                *ret_outcome = WRONG;
                return true;
        }
        memcpy(client->answer + client->answer_size, client->in, client->in_size);
        client->answer_size += client->in_size;
        client->in_size = 0;
        *ret_again = false;
        *ret_outcome = client->answer_size ? ANSWERED : CUT_OFF;
        return at_end;
}

static const char *body(const struct client *client)
{
        static const char ok[] = "HTTP/1.1 200 OK\r\n";
        const char *end;

        if (client->answer_size < sizeof(ok) || memcmp(client->answer, ok, sizeof(ok) - 1) != 0)
                return NULL;
        end = memmem(client->answer, client->answer_size, "\r\n\r\n", 4);
        return end ? end + 4 : NULL;
}

static bool may_come(const uint8_t *bytes, size_t size)
{
        (void)bytes;
        return size == 0;
}

const struct protocol http = {.build = build, .take = take, .body = body, .may_come = may_come};
