/* SPDX-License-Identifier: MIT */
/*
 * pm.max_requests: a worker of php-fpm ends after so many answers, and a kept-alive connection ends
 * with it, without a word: a request that the web server writes into it just then would be lost. So
 * the last answer has to take a goodbye along (see connection.c), for which the number must be
 * known. php-fpm reads its configuration in the process that becomes the master, by read(2), one
 * byte at a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define RECYCLING_LIMITS_MAX 16U

struct recycling {
        char line[128]; /* of the configuration, as far as it was read and fits */
        uint32_t size;
        uint32_t n_limits;
        uint32_t limits[RECYCLING_LIMITS_MAX]; /* those of all pools */
        uint32_t answers;                      /* of this worker */
};

/* Reads the next byte of a configuration; '\n' at a file's end. */
void recycling_read(const char *byte);

/*
 * True if a worker ends with its nth answer. It may be one of another pool, that does not: then the
 * goodbye costs a connection and nothing else.
 */
bool recycling_is_last(uint32_t answer);
