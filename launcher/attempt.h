/* SPDX-License-Identifier: MIT */
/*
 * One try to have a server that takes requests: what it is made of, what has come of it, and how to
 * explain its end.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "client.h"
#include "container.h"
#include "tier.h"
#include "words.h"

/* What an attempt to have a running server is made of; at first all is zero. */
struct composed {
        struct words command;        /* starts the container */
        struct words result_command; /* waits for its result; empty: command does, see client.h */
        uint64_t retry_limit_usec;   /* the longest time until the next attempt; 0: there is none */
        struct tier_spans spans;     /* when it rests, see container_rest */
};

struct attempt {
        struct composed composed;
        struct client *client;       /* NULL: it has not come that far, or is over */
        struct container *container; /* NULL: none lives */
        uint64_t ready_usec; /* CLOCK_MONOTONIC when the server took requests, 0: it never has */
        bool repeated;       /* the engine was asked twice */
        bool served;         /* a launcher has got the sockets */
        bool idle;           /* the container was told to stop because it was idle */
        bool had_rested;     /* of the last container: idle for long enough, it had started well */
        bool had_server;     /* of the last container: a server had started in it */
        bool was_killed;     /* of the last container */
        int client_status;   /* once it has ended */
};

/* True while a client or a container of it lives. */
bool attempt_runs(const struct attempt *attempt);

/* The engine's name, for messages. */
const char *attempt_engine(const struct attempt *attempt);

/*
 * Says how it has ended, and returns the exit status for that. stopping: it was told to end;
 * reloading: in the middle of a reload.
 */
int attempt_explain(const struct attempt *attempt, bool stopping, bool reloading);

/*
 * Has this, with that exit status, been a start that failed, so that it makes sense to answer
 * requests and try again?
 */
bool attempt_has_failed(const struct attempt *attempt, int status, bool stopping, bool reloading);

/* Frees all of it, for another one. */
void attempt_done(struct attempt *attempt);
