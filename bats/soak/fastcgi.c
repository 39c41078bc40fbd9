/* SPDX-License-Identifier: MIT */
#include <fastcgi.h>
#include <stdio.h>
#include <string.h>

#include "protocol.h"

/* What fpm-waker sends to a client that shall close a kept connection: an empty FCGI_STDERR. */
static const uint8_t goodbye[FCGI_HEADER_LEN] = {1, FCGI_STDERR, 0, 1, 0, 0, 0, 0};

static const char header[] = "Content-type: text/html; charset=UTF-8\r\n\r\n";

/* --- a request ---------------------------------------------------------------------------------
 */

static void add_header(struct client *client, int type, size_t size)
{
        const uint8_t record[FCGI_HEADER_LEN] = {
            1, (uint8_t)type, 0, 1, (uint8_t)(size >> 8), (uint8_t)size,
        };

        client_add(client, record, sizeof(record));
}

static void add_param(struct client *client, const char *name, const char *value)
{
        const uint8_t sizes[2] = {(uint8_t)strlen(name), (uint8_t)strlen(value)};

        client_add(client, sizes, sizeof(sizes)); /* both are below 128 */
        client_add(client, name, sizes[0]);
        client_add(client, value, sizes[1]);
}

static void add_params(struct client *client)
{
        const struct request *request = &client->request;
        size_t begin = client->out_size, size;
        char text[96];

        add_header(client, FCGI_PARAMS, 0);
        add_param(client, "SCRIPT_FILENAME", request->script);
        add_param(client, "REQUEST_METHOD", request->body_size ? "POST" : "GET");
        (void)client_query(client, text, sizeof(text));
        add_param(client, "QUERY_STRING", text);
        if (request->body_size) {
                (void)snprintf(text, sizeof(text), "%u", request->body_size);
                add_param(client, "CONTENT_LENGTH", text);
                add_param(client, "CONTENT_TYPE", "text/x-soak");
        }
        size = client->out_size - begin - FCGI_HEADER_LEN;
        client->out[begin + 4] = (uint8_t)(size >> 8);
        client->out[begin + 5] = (uint8_t)size;
        add_header(client, FCGI_PARAMS, 0);
}

static void build(struct client *client)
{
        const uint8_t begin[] = {
            0, FCGI_RESPONDER, client->request.keep ? FCGI_KEEP_CONN : 0, 0, 0, 0, 0, 0,
        };
        const size_t size = client->request.body_size;

        add_header(client, FCGI_BEGIN_REQUEST, sizeof(begin));
        client_add(client, begin, sizeof(begin));
        add_params(client);
        for (size_t at = 0; at < size;) {
                size_t to = size - at < FCGI_MAX_LENGTH ? size : at + FCGI_MAX_LENGTH;

                add_header(client, FCGI_STDIN, to - at);
                client_add_body(client, at, to);
                at = to;
        }
        add_header(client, FCGI_STDIN, 0);
}

/* --- an answer ---------------------------------------------------------------------------------
 */

static bool may_come(const uint8_t *bytes, size_t size)
{
        for (size_t i = 0; i < size; i++)
                if (bytes[i] != goodbye[i % sizeof(goodbye)])
                        return false;
        return true;
}

/* Behind the answer: nothing, or goodbyes if the connection was to be kept. */
static enum outcome judge_rest(const struct client *client, const uint8_t *rest, size_t size)
{
        return size == 0 || (client->request.keep && may_come(rest, size)) ? ANSWERED : WRONG;
}

static bool is_end(const uint8_t *record, size_t content)
{
        return record[0] == 1 && record[1] == FCGI_END_REQUEST && content == 8 &&
               record[FCGI_HEADER_LEN + 4] == 0;
}

static bool take(struct client *client, bool at_end, enum outcome *ret_outcome, bool *ret_again)
{
        uint8_t *at = client->in, *end = client->in + client->in_size;

        while (end - at >= FCGI_HEADER_LEN) {
                size_t content = (size_t)at[4] << 8 | at[5];
                size_t whole = FCGI_HEADER_LEN + content + at[6];

                if ((size_t)(end - at) < whole)
                        break;
                if (is_end(at, content)) {
                        at += whole;
                        *ret_outcome = judge_rest(client, at, (size_t)(end - at));
                        *ret_again = client->request.keep && at == end;
                        return true;
                }
                if (at[0] != 1 || (at[1] != FCGI_STDOUT && !may_come(at, FCGI_HEADER_LEN)) ||
                    client->answer_size + content > BUFFER_SIZE) {
                        *ret_outcome = WRONG;
                        return true;
                }
                memcpy(client->answer + client->answer_size, at + FCGI_HEADER_LEN, content);
                client->answer_size += content;
                at += whole;
        }
        client->in_size = (size_t)(end - at);
        memmove(client->in, at, client->in_size);
        *ret_outcome = CUT_OFF;
        return at_end;
}

static const char *body(const struct client *client)
{
        const size_t size = sizeof(header) - 1;

        if (client->answer_size < size || memcmp(client->answer, header, size) != 0)
                return NULL;
        return client->answer + size;
}

const struct protocol fastcgi = {.build = build, .take = take, .body = body, .may_come = may_come};
