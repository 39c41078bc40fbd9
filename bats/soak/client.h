/* SPDX-License-Identifier: MIT */
/*
 * One client of a FastCGI server, as nginx is one: it keeps a connection if it asked for that,
 * closes it as soon as anything comes that does not belong to a request, and tells exactly how each
 * request ended. Never blocks: who runs many clients polls for them.
 *
 * The server runs answer.php of this directory.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define NSEC_PER_USEC     UINT64_C(1000)
#define NSEC_PER_MSEC     UINT64_C(1000000)
#define NSEC_PER_SEC      UINT64_C(1000000000)

#define CLIENT_BODY_MAX   262144U /* bytes */
#define CLIENT_SERVER_MAX 64U

enum outcome {
        ANSWERED,
        REFUSED, /* no connection */
        RESET,   /* ECONNRESET or EPIPE, while sending or reading */
        CUT_OFF, /* EOF before END_REQUEST */
        WRONG,   /* an answer, but not exactly the right one */
        HANG,    /* nothing for so long that a person would have left */
        OUTCOMES,
};

extern const char *const outcome_names[OUTCOMES];

struct address {
        struct sockaddr_storage socket;
        socklen_t size;
};

/* What to ask, all of it decided beforehand. */
struct request {
        const struct address *address;
        const char *script;
        uint64_t token;      /* the answer must have it */
        bool keep;           /* FCGI_KEEP_CONN */
        bool flush;          /* the server says who it is at once, not only with the answer */
        uint32_t body_size;  /* the answer has the body, too */
        uint32_t sleep_usec; /* of the script, before it answers */
        uint32_t late_usec;  /* of the script, after fastcgi_finish_request() */
        uint32_t pause_usec; /* of the client, when so many bytes are sent: */
        uint32_t pause_at;
};

/* Who answered, as the server says. */
struct server {
        int worker, master;
        char name[CLIENT_SERVER_MAX]; /* another one for each start of the server */
};

enum client_state {
        RESTING, /* without a request, but perhaps with a kept connection */
        PAUSING, /* connected, and slow to send */
        SENDING,
        READING,
};

struct client {
        const struct protocol *protocol;
        enum client_state state;
        int fd;
        struct request request;
        uint64_t timeout; /* after so many nanoseconds, a request hangs */
        uint64_t began;   /* CLOCK_MONOTONIC, in nanoseconds */
        uint64_t pause_end;
        bool reused;           /* on a connection that was kept */
        struct request before; /* the one before on this connection, if it is reused ... */
        int worker_before;     /* ... and who answered it */
        struct server server;
        uint8_t *out; /* the request */
        size_t out_size, sent;
        uint8_t *in; /* what came and is no complete record yet */
        size_t in_size, received;
        char *answer; /* FCGI_STDOUT */
        size_t answer_size;
};

uint64_t now_nsec(void);

void client_init(struct client *client, const struct protocol *protocol, uint64_t timeout);

/* Begins a request; goes on as far as that is possible without waiting. */
void client_begin(struct client *client, const struct request *request);

/* What to poll client->fd for, if it is not -1. */
short client_events(const struct client *client);

/* When the client goes on, even if nothing happens. UINT64_MAX: never. */
uint64_t client_wake(const struct client *client);

/*
 * Goes on, after poll() or when it is time to. Returns true when the request has ended, in
 * *ret_outcome. Of a client that rests, returns true only for bytes that nobody may send: WRONG.
 */
bool client_go_on(struct client *client, short events, enum outcome *ret_outcome);
