/* SPDX-License-Identifier: MIT */
/*
 * The events of a vhost's life. In a unit each is one entry of the journal with fields that
 * programs can rely on (fpm-waker(8), EVENTS); anywhere else it is a line on stderr like any other.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <syslog.h>

/* An event's name here, FPM_WAKER_EVENT, MESSAGE_ID, PRIORITY. */
#define EVENTS(X)                                                                                  \
        X(READY, "ready", "85aa53176e1c4caca032bb19c8051a39", LOG_INFO)                            \
        X(IDLE, "idle", "e693282ad8e2410fbbce63391b7d6848", LOG_INFO)                              \
        X(RELOADING, "reloading", "609d1c32c70c4f658266cc262c89d015", LOG_INFO)                    \
        X(RELOADED, "reloaded", "05928e3bed964116abc848177c13893a", LOG_INFO)                      \
        X(RELOAD_FAILED, "reload-failed", "07e96cdd7b2d484395b13082cbab8239", LOG_ERR)             \
        X(FAILING, "failing", "1aa92d308c1d4864a440e8727b28dab5", LOG_ERR)                         \
        X(RECOVERED, "recovered", "911e8453205a48de98bf50cfb3a786ca", LOG_NOTICE)                  \
        X(FAILED, "failed", "bb38d65c4b264da5bff408c08e462ed7", LOG_ERR)                           \
        X(MAINTENANCE_ON, "maintenance-on", "4afce02a4f5a4b9d82be49aab9fbe4d9", LOG_NOTICE)        \
        X(MAINTENANCE_OFF, "maintenance-off", "e722dccb08ac49b495da05e29e0c33fd", LOG_NOTICE)      \
        X(KILLED, "killed", "ca05a0426c064e4cbd8ec7494aa2b886", LOG_WARNING)                       \
        X(FROZEN, "frozen", "5715b6d6610a4fa4a02ebc35f33eabca", LOG_INFO)                          \
        X(THAWED, "thawed", "7d57cd7ef8a64475be5dbf7a91b925ed", LOG_INFO)                          \
        X(LIGHT, "light", "73b9316044ea40ce8812c85b9ac9da6b", LOG_INFO)

enum event {
#define EVENT_OF(name, word, id, priority) EVENT_##name,
        EVENTS(EVENT_OF)
#undef EVENT_OF
};

/* What an event has besides its text. */
struct event_fields {
        const char *reason;       /* NULL: none */
        uint64_t wake_usec;       /* how long the wake took, 0: it was none */
        const uint64_t *requests; /* since the server was started, NULL: unknown */
};

/* The vhost of all events from now on; copied. NULL: it has no name. */
void events_of(const char *vhost);

/* Says it, formatted as by log_line(). fields: NULL if there are none. */
void event_say(enum event event, const struct event_fields *fields, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
