/* SPDX-License-Identifier: MIT */
/*
 * FastCGI record framing (FastCGI Specification 1.0, section 3.3), followed byte by byte in
 * whatever pieces a server reads and writes. It looks at headers only and keeps no content.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shim.h"

/* What some bytes brought. */
struct record_news {
        uint32_t begun;       /* BEGIN_REQUEST records */
        uint32_t ended;       /* END_REQUEST records that are complete */
        uint32_t input_ended; /* empty STDIN records: the end of a request's body */
        uint16_t id;          /* of the last BEGIN_REQUEST */
        bool kept;            /* it has FCGI_KEEP_CONN */
};

/* Follows size bytes of one direction. Adds to *news. Signal-safe, allocates nothing. */
void record_feed(struct record_stream *stream, const void *data, size_t size,
                 struct record_news *news);

/*
 * Follows size bytes that went by unseen (sendfile). False, and nothing done, if there may be a
 * header among them: from then on nobody knows where the records are.
 */
bool record_skip(struct record_stream *stream, size_t size, struct record_news *news);

/* True between two records. */
static inline bool record_at_boundary(const struct record_stream *stream)
{
        return stream->have == 0;
}
