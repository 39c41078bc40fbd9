/* SPDX-License-Identifier: MIT */
/* What `fpm-waker status` prints. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "report.h"

/* All that is known of one vhost. */
struct vhost_status {
        char *name;
        struct report report;
        uint64_t memory_bytes; /* 0: unknown, or nothing runs */
        const char *trouble;   /* why so little is known of it, NULL: all is well */
};

/* An array, however many there are. */
void status_print_json(const struct vhost_status *list, size_t n);

/* A line for each. now_usec: CLOCK_REALTIME. */
void status_print_table(const struct vhost_status *list, size_t n, uint64_t now_usec);

/* One, with each value on a line of its own. */
void status_print_block(const struct vhost_status *vhost, uint64_t now_usec);
