/* SPDX-License-Identifier: MIT */
/*
 * What a vhost says about itself, as lines of KEY=VALUE: a running fpm-waker to whoever connects
 * its status socket, and the last one in the file that outlives it. Nobody who reads it trusts it.
 *
 * Both are in STATUS_DIRECTORY/VHOST below /run, or below XDG_RUNTIME_DIR for a user's services.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define STATUS_DIRECTORY  "fpm-waker-status"
#define STATUS_SOCKET     "socket"
#define STATUS_FILE       "last"

#define REPORT_BYTES_MAX  4096
#define REPORT_TEXT_BYTES 1024 /* of unit and why */
#define REPORT_WAKES_MAX  32

enum report_tier {
        REPORT_STARTING,
        REPORT_HOT,
        REPORT_FROZEN,
        REPORT_LIGHT,
        REPORT_STOPPING,
        REPORT_FAILING,
        REPORT_MAINTENANCE,
        /* What a running fpm-waker never says. */
        REPORT_STOPPED, /* the next request starts it */
        REPORT_OFF,     /* nobody waits for a request */
        REPORT_UNKNOWN, /* it does not answer */
        REPORT_TIERS,
};

/* All times are CLOCK_REALTIME; 0 or "": unknown, or not so. */
struct report {
        char unit[256]; /* the service */
        enum report_tier tier;
        uint64_t since_usec; /* it is in this tier */
        char why[REPORT_TEXT_BYTES];
        uint64_t idle_usec;  /* since then there is no request */
        uint64_t sleep_usec; /* then it leaves this tier, if no request comes before */
        uint64_t pid;        /* a process of the server, as this machine numbers it */

        /* Of all runs since the machine was booted. */
        uint64_t requests;
        uint64_t wakes;
        uint64_t wake_usec[REPORT_WAKES_MAX]; /* how long the last ones took, the newest last */
        size_t n_wakes;
};

/* A tier's name: "hot". */
const char *report_tier_name(enum report_tier tier);

/* Notes how long another wake took, and forgets the oldest one if there are too many. */
void report_add_wake(struct report *report, uint64_t usec);

/* Writes it, cut to size, and returns the length of the text, which has a closing zero. */
size_t report_format(const struct report *report, char text[REPORT_BYTES_MAX]);

/*
 * Reads n bytes, which need no closing zero. What is unknown in it is ignored.
 * Returns 0, or -EBADMSG if it does not end as a report does: it is cut off, or something else.
 */
int report_parse(struct report *report, const char *text, size_t n);

/*
 * Reads the file that the last run has left in directory. Returns 0, -ENOENT, -EBADMSG, -errno;
 * *report is empty then.
 */
int report_read_file(struct report *report, const char *directory);

/* Connects a vhost's status socket below directory, without waiting. Returns a descriptor, -errno.
 */
int report_connect(const char *directory, const char *vhost);

/* The path of the directory of all vhosts' reports, to be freed; NULL for lack of memory. */
char *report_directory(void);
