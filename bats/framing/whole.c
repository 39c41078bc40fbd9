/* SPDX-License-Identifier: MIT */
#include "whole.h"

#include <errno.h>
#include <fastcgi.h>
#include <stdio.h>
#include <string.h>

#define RECORDS_MAX (WHOLE_SIZE_MAX / FCGI_HEADER_LEN + 1)

/* Where a record lies in the stream. Only its header has to be there as a whole. */
struct whole_record {
        unsigned type;
        uint16_t id;
        bool keep;    /* of a BEGIN_REQUEST */
        bool empty;   /* no content */
        size_t known; /* behind its last byte that means anything to us */
        size_t end;   /* behind its padding */
};

static struct whole_record record_at(const uint8_t *stream, size_t size, size_t at)
{
        FCGI_Header header;
        FCGI_BeginRequestBody body = {0};
        struct whole_record record;
        size_t content_size, flags_size = 0;

        memcpy(&header, stream + at, sizeof(header));
        content_size = (size_t)header.contentLengthB1 << 8 | header.contentLengthB0;
        record.type = header.type;
        record.empty = content_size == 0;
        if (header.type == FCGI_BEGIN_REQUEST)
                flags_size = offsetof(FCGI_BeginRequestBody, flags) + sizeof(body.flags);
        if (flags_size > content_size)
                flags_size = 0; /* there are no flags */
        record.known = at + sizeof(header) + flags_size;
        record.end = at + sizeof(header) + content_size + header.paddingLength;
        if (record.known <= size)
                memcpy(&body, stream + at + sizeof(header), flags_size);
        record.keep = body.flags & FCGI_KEEP_CONN;
        record.id = (uint16_t)(header.requestIdB1 << 8 | header.requestIdB0);
        return record;
}

static size_t find_records(const uint8_t *stream, size_t size, struct whole_record *ret)
{
        size_t n = 0;

        for (size_t at = 0; at <= size && size - at >= sizeof(FCGI_Header); at = ret[n++].end)
                ret[n] = record_at(stream, size, at);
        return n;
}

/* What the bytes from ... to - 1 bring to somebody who has all before them. */
static struct record_news news_of(const struct whole_record *records, size_t n, size_t from,
                                  size_t to)
{
        struct record_news news = {0};

        for (size_t i = 0; i < n && records[i].known <= to; i++) {
                const struct whole_record *record = &records[i];
                bool ends = record->end > from && record->end <= to;

                if (record->type == FCGI_BEGIN_REQUEST && record->known > from) {
                        news.begun++;
                        news.id = record->id;
                        news.kept = record->keep;
                }
                if (record->type == FCGI_END_REQUEST && ends)
                        news.ended++;
                if (record->type == FCGI_STDIN && record->empty && ends)
                        news.input_ended++;
        }
        return news;
}

/* True if all of these bytes are content or padding of one record, behind what means anything. */
static bool is_inside(const struct whole_record *records, size_t n, size_t from, size_t to)
{
        for (size_t i = 0; i < n && records[i].known <= from; i++)
                if (to <= records[i].end)
                        return true;
        return from == to;
}

static bool is_same(const struct record_news *a, const struct record_news *b)
{
        return a->begun == b->begun && a->ended == b->ended && a->input_ended == b->input_ended &&
               (!a->begun || (a->id == b->id && a->kept == b->kept));
}

static int differs(size_t from, size_t to, const char *what, unsigned long said,
                   unsigned long expected)
{
        fprintf(stderr, "bytes %zu to %zu: %s is %lu, not %lu\n", from, to, what, said, expected);
        return -EBADMSG;
}

static int compare_piece(struct record_stream *parser, const uint8_t *stream, size_t from,
                         size_t to, bool unseen, const struct whole_record *records, size_t n)
{
        struct record_news expected = news_of(records, n, from, to);
        struct record_news said = {0};
        bool boundary = to == 0;

        for (size_t i = 0; i < n && records[i].end <= to; i++)
                boundary |= records[i].end == to;
        if (unseen) {
                bool inside = is_inside(records, n, from, to);

                unseen = record_skip(parser, to - from, &said);
                if (unseen != inside)
                        return differs(from, to, "skipped", unseen, inside);
        }
        if (!unseen)
                record_feed(parser, stream + from, to - from, &said);
        if (!is_same(&said, &expected)) {
                (void)differs(from, to, "begun", said.begun, expected.begun);
                (void)differs(from, to, "ended", said.ended, expected.ended);
                (void)differs(from, to, "input ended", said.input_ended, expected.input_ended);
                (void)differs(from, to, "id", said.id, expected.id);
                return differs(from, to, "kept", said.kept, expected.kept);
        }
        if (record_at_boundary(parser) != boundary)
                return differs(from, to, "at boundary", record_at_boundary(parser), boundary);
        return 0;
}

int whole_compare(const uint8_t *stream, size_t size, const struct whole_cut *cuts, size_t n_cuts,
                  struct record_news *ret_all)
{
        static struct whole_record all[RECORDS_MAX];
        const struct whole_record *records = all;
        const struct whole_cut in_one = {.size = size};
        struct record_stream parser = {0};
        size_t n, sum = 0;

        if (size > WHOLE_SIZE_MAX)
                return -EMSGSIZE;
        n = find_records(stream, size, all);
        if (ret_all)
                *ret_all = news_of(all, n, 0, size);
        for (size_t i = 0; i < n_cuts; i++)
                sum += cuts[i].size;
        for (size_t at = 0, i = 0; at < size; i++) {
                const struct whole_cut *cut = sum ? &cuts[i % n_cuts] : &in_one;
                size_t to = cut->size < size - at ? at + cut->size : size;
                int r = compare_piece(&parser, stream, at, to, cut->unseen, records, n);

                if (r < 0)
                        return r;
                for (at = to; n && records->end < at; n--)
                        records++; /* behind us */
        }
        return 0;
}
