/* SPDX-License-Identifier: MIT */
/*
 * The judge of preload/record.c: FastCGI records found in a stream that lies there as a whole, as
 * plainly as FastCGI Specification 1.0 (sections 3.3, 5.1 and 5.5) tells it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../preload/record.h"

/* Longer streams are not looked at: two of the largest records fit. */
#define WHOLE_SIZE_MAX ((size_t)140000)

/* How a stream is cut: a piece of so many bytes, that record.c sees or (sendfile) does not see. */
struct whole_cut {
        size_t size;
        bool unseen;
};

/*
 * Gives a stream to record.c in these pieces, again from the first when they are used up, and
 * compares all that it says after each piece with what the whole stream says. What is left when all
 * pieces are empty comes as one. Returns 0, or -EBADMSG after a message on stderr.
 * ret_all: what all of the stream brought, may be NULL.
 */
int whole_compare(const uint8_t *stream, size_t size, const struct whole_cut *cuts, size_t n_cuts,
                  struct record_news *ret_all);
