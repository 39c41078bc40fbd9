/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "protocol.h"

const char *const outcome_names[OUTCOMES] = {
    [ANSWERED] = "answered", [REFUSED] = "refused", [RESET] = "reset",
    [CUT_OFF] = "cut-off",   [WRONG] = "wrong",     [HANG] = "hang",
};

uint64_t now_nsec(void)
{
        struct timespec t;

        (void)clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

static void *allocate(size_t size)
{
        void *memory = malloc(size);

        if (!memory) {
                perror("hammer: memory");
                exit(EXIT_FAILURE);
        }
        return memory;
}

void client_init(struct client *client, const struct protocol *protocol, uint64_t timeout)
{
        *client = (struct client){
            .protocol = protocol,
            .fd = -1,
            .timeout = timeout,
            .out = allocate(BUFFER_SIZE),
            .in = allocate(BUFFER_SIZE),
            .answer = allocate(BUFFER_SIZE),
        };
}

static void disconnect(struct client *client)
{
        if (client->fd >= 0)
                (void)close(client->fd);
        client->fd = -1;
}

/* --- a request ---------------------------------------------------------------------------------
 */

/* Bytes that show when one is lost or two are swapped, other ones for each token. */
static char body_byte(uint64_t token, size_t at)
{
        return (char)('!' + (token + at + at / 251) % 93);
}

void client_add(struct client *client, const void *data, size_t size)
{
        memcpy(client->out + client->out_size, data, size);
        client->out_size += size;
}

void client_add_body(struct client *client, size_t from, size_t to)
{
        for (; from < to; from++)
                client->out[client->out_size++] = (uint8_t)body_byte(client->request.token, from);
}

size_t client_query(const struct client *client, char *text, size_t size)
{
        const struct request *request = &client->request;

        return (size_t)snprintf(text, size, "token=%016" PRIx64 "&sleep=%u&late=%u&flush=%d",
                                request->token, request->sleep_usec, request->late_usec,
                                request->flush);
}

/* --- a connection ------------------------------------------------------------------------------
 */

/* Nothing may come on a kept connection but its end or goodbyes. Either way it is closed. */
static bool leave_kept_connection(struct client *client)
{
        uint8_t bytes[16];
        ssize_t n = recv(client->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

        if (n < 0 && errno == EAGAIN)
                return true;
        disconnect(client);
        return n <= 0 || client->protocol->may_come(bytes, (size_t)n);
}

static int connect_to(const struct address *address)
{
        int fd = socket(address->socket.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd >= 0 && connect(fd, (const struct sockaddr *)&address->socket, address->size) < 0 &&
            errno != EINPROGRESS) {
                (void)close(fd);
                return -1;
        }
        return fd;
}

void client_begin(struct client *client, const struct request *request)
{
        client->before = client->request;
        client->worker_before = client->server.worker;
        client->request = *request;
        client->began = now_nsec();
        client->in_size = client->answer_size = client->received = 0;
        client->server = (struct server){0};
        client->out_size = client->sent = 0;
        client->protocol->build(client);
        /* A request that has not begun yet is none: nginx would hold no kept connection for it. */
        if (request->pause_usec && request->pause_at == 0)
                disconnect(client);
        client->reused = client->fd >= 0;
        if (!client->reused)
                client->fd = connect_to(request->address);
        client->state = SENDING;
        if (request->pause_usec && request->pause_at == 0) {
                client->state = PAUSING;
                client->pause_end = client->began + request->pause_usec * NSEC_PER_USEC;
        }
}

short client_events(const struct client *client)
{
        return client->state == SENDING ? POLLOUT : POLLIN;
}

uint64_t client_wake(const struct client *client)
{
        uint64_t end = client->began + client->timeout;

        if (client->state == RESTING)
                return UINT64_MAX;
        if (client->state == PAUSING && client->pause_end < end)
                return client->pause_end;
        return end;
}

/* --- an answer ---------------------------------------------------------------------------------
 */

/*
 * Reads "WORKER MASTER SERVER\n", the first line of the answer's body, as soon as it is there.
 * Returns what follows it, or NULL.
 */
static const char *read_server(struct client *client)
{
        const char *end = client->answer + client->answer_size;
        const char *line = client->protocol->body(client);
        const char *newline = line ? memchr(line, '\n', (size_t)(end - line)) : NULL;
        char copy[CLIENT_SERVER_MAX + 32];
        struct server *server = &client->server;
        char *rest;

        if (!newline || (size_t)(newline - line) >= sizeof(copy))
                return NULL;
        memcpy(copy, line, (size_t)(newline - line));
        copy[newline - line] = '\0';
        server->worker = (int)strtol(copy, &rest, 10);
        server->master = (int)strtol(rest, &rest, 10);
        if (*rest == ' ')
                (void)snprintf(server->name, sizeof(server->name), "%.*s",
                               (int)sizeof(server->name) - 1, rest + 1);
        return newline + 1;
}

/* What follows the first line: the token and the request's body, and no byte more. */
static bool is_right(const struct client *client, const char *at)
{
        const struct request *request = &client->request;
        const char *end = client->answer + client->answer_size;
        char token[32];
        size_t size = (size_t)snprintf(token, sizeof(token), "%016" PRIx64 "\n", request->token);

        if ((size_t)(end - at) != size + request->body_size || memcmp(at, token, size) != 0)
                return false;
        at += size;
        for (size_t i = 0; i < request->body_size; i++)
                if (at[i] != body_byte(request->token, i))
                        return false;
        return true;
}

static bool finish(struct client *client, enum outcome outcome, bool again,
                   enum outcome *ret_outcome)
{
        const char *rest = read_server(client);

        if (outcome == ANSWERED && (!rest || client->server.worker <= 0 ||
                                    !client->server.name[0] || !is_right(client, rest)))
                outcome = WRONG;
        /* Nor does nginx keep a connection whose request was answered before it was sent. */
        if (outcome != ANSWERED || !again || client->sent < client->out_size)
                disconnect(client);
        client->state = RESTING;
        *ret_outcome = outcome;
        return true;
}

static bool read_answer(struct client *client, enum outcome *ret_outcome)
{
        for (;;) {
                ssize_t n = recv(client->fd, client->in + client->in_size,
                                 BUFFER_SIZE - client->in_size, 0);
                enum outcome outcome;
                bool again = false;

                if (n < 0 && errno == EAGAIN)
                        return false;
                if (n < 0)
                        return finish(client, RESET, false, ret_outcome);
                client->in_size += (size_t)n;
                client->received += (size_t)n;
                if (client->protocol->take(client, n == 0, &outcome, &again))
                        return finish(client, outcome, again, ret_outcome);
        }
}

/* --- going on ----------------------------------------------------------------------------------
 */

static bool send_request(struct client *client, enum outcome *ret_outcome)
{
        size_t pause_at = client->request.pause_usec ? client->request.pause_at : 0;
        size_t to =
            client->sent < pause_at && pause_at < client->out_size ? pause_at : client->out_size;

        while (client->sent < to) {
                ssize_t n =
                    send(client->fd, client->out + client->sent, to - client->sent, MSG_NOSIGNAL);

                if (n < 0 && errno == EAGAIN)
                        return false;
                if (n < 0)
                        return finish(client, errno == ECONNREFUSED ? REFUSED : RESET, false,
                                      ret_outcome);
                client->sent += (size_t)n;
        }
        client->state = to == client->out_size ? READING : PAUSING;
        client->pause_end = now_nsec() + client->request.pause_usec * NSEC_PER_USEC;
        return false;
}

bool client_go_on(struct client *client, short events, enum outcome *ret_outcome)
{
        uint64_t now;

        if (client->state == RESTING) {
                if (!events || client->fd < 0 || leave_kept_connection(client))
                        return false;
                *ret_outcome = WRONG;
                return true;
        }
        if (client->fd < 0)
                return finish(client, REFUSED, false, ret_outcome);
        now = now_nsec();
        if (now >= client->began + client->timeout)
                return finish(client, HANG, false, ret_outcome);
        if (client->state == PAUSING) {
                /* Whatever comes before the request was sent ends it; an idle server may not. */
                if (events && read_answer(client, ret_outcome))
                        return true;
                if (now < client->pause_end)
                        return false;
                client->state = SENDING;
                events = POLLOUT;
        }
        if (client->state == SENDING && events && send_request(client, ret_outcome))
                return true;
        return client->state == READING && (events & (POLLIN | POLLHUP | POLLERR)) &&
               read_answer(client, ret_outcome);
}
