/* SPDX-License-Identifier: MIT */
/*
 * Streams of FastCGI records with what they must bring.
 *
 *   record-test               gives each to record.c, cut in every way that is worth it, and
 * compares with this table and with whole.c; prints nothing if all is right record-test DIRECTORY
 * writes them there, as seeds for record-fuzz
 */
#include <errno.h>
#include <fastcgi.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "whole.h"

#define RECORDS_MAX 8
#define EXHAUSTIVE  600U /* longer streams are not cut at every byte */
#define LARGEST     UINT16_MAX
#define TOLD_SIZE   100

/* Contents of a BEGIN_REQUEST: a responder, flags, and what is reserved. */
#define KEEP         "\0\1\1\0\0\0\0\0"
#define CLOSE        "\0\1\0\0\0\0\0\0"
#define ALL          "\0\1\xff\0\0\0\0\0"
#define ALL_BUT_KEEP "\0\1\xfe\1\1\1\1\1"

/* All of what is not given looks like the end of a request, to whoever is out of step. */
static const uint8_t filling[] = {1, FCGI_END_REQUEST, 0, 1, 0, 0, 0, 0};

struct record {
        uint8_t version;
        uint8_t type;
        uint16_t id;
        uint16_t content_size;
        uint8_t padding;
        const char *content; /* its first eight bytes; NULL: filling as the rest */
};

#define RECORD(type, id, content_size, padding)                                                    \
        {                                                                                          \
                FCGI_VERSION_1, FCGI_##type, id, content_size, padding, NULL                       \
        }
#define BEGIN(id, content_size, padding, content)                                                  \
        {                                                                                          \
                FCGI_VERSION_1, FCGI_BEGIN_REQUEST, id, content_size, padding, content             \
        }
#define END(id)         RECORD(END_REQUEST, id, 8, 0)
#define EMPTY(type, id) RECORD(type, id, 0, 0)
#define FCGI_TYPE_0     0
#define FCGI_TYPE_12    12
#define FCGI_TYPE_255   255

static const struct {
        const char *name;
        size_t missing;       /* so many bytes of the last record are not there */
        const char *expected; /* as told() says it */
        struct record records[RECORDS_MAX];
} streams[] = {
    {"nothing", 0, "boundary", {{0}}},
    {"half a header", 4, "", {EMPTY(PARAMS, 1)}},
    {"a header but for a byte", 1, "", {EMPTY(PARAMS, 1)}},
    {"an empty record", 0, "boundary", {EMPTY(PARAMS, 1)}},
    {"an empty record with padding", 0, "input ended 1, boundary", {RECORD(STDIN, 1, 0, 255)}},
    {"half a padding", 100, "", {RECORD(STDIN, 1, 0, 255)}},

    {"begun, kept", 0, "begun 1, kept, boundary", {BEGIN(1, 8, 0, KEEP)}},
    {"begun, not kept", 0, "begun 1, boundary", {BEGIN(1, 8, 0, CLOSE)}},
    {"begun, all flags but that", 0, "begun 1, boundary", {BEGIN(1, 8, 0, ALL_BUT_KEEP)}},
    {"begun, all flags", 0, "begun 1, kept, boundary", {BEGIN(1, 8, 0, ALL)}},
    {"begun, padded", 0, "begun 1, kept, boundary", {BEGIN(1, 8, 7, KEEP)}},
    {"begun, without the padding's last", 1, "begun 1, kept", {BEGIN(1, 8, 7, KEEP)}},
    {"begun as soon as the flags are there", 5, "begun 1, kept", {BEGIN(1, 8, 0, KEEP)}},
    {"not begun before the flags", 6, "", {BEGIN(1, 8, 0, KEEP)}},
    {"not begun with the header", 8, "", {BEGIN(1, 8, 0, KEEP)}},
    {"begun, no content", 0, "begun 1, boundary", {BEGIN(1, 0, 0, NULL)}},
    {"begun, no content but padding", 0, "begun 1, boundary", {BEGIN(1, 0, 8, KEEP)}},
    {"begun, a role only", 0, "begun 1, boundary", {BEGIN(1, 2, 0, KEEP)}},
    {"begun, a role, and padding", 0, "begun 1, boundary", {BEGIN(1, 2, 6, KEEP)}},
    {"begun, flags are the last", 0, "begun 1, kept, boundary", {BEGIN(1, 3, 0, KEEP)}},
    {"begun, flags, and padding", 0, "begun 1, kept, boundary", {BEGIN(1, 3, 9, KEEP)}},
    {"begun again, without flags",
     0,
     "begun 2, boundary",
     {BEGIN(1, 8, 0, KEEP), BEGIN(1, 2, 0, KEEP)}},
    {"begun, no request's id", 0, "begun 1, kept, boundary", {BEGIN(0, 8, 0, KEEP)}},
    {"begun, too long", 0, "begun 1, kept, boundary", {BEGIN(1, 9, 0, KEEP)}},
    {"begun, longest content", 0, "begun 1, kept, boundary", {BEGIN(1, LARGEST, 255, KEEP)}},

    {"ended", 0, "ended 1, boundary", {END(1)}},
    {"ended, padded", 0, "ended 1, boundary", {RECORD(END_REQUEST, 1, 8, 255)}},
    {"ended, no content", 0, "ended 1, boundary", {EMPTY(END_REQUEST, 1)}},
    {"ended, longest content", 0, "ended 1, boundary", {RECORD(END_REQUEST, 1, LARGEST, 0)}},
    {"not ended before the last byte", 1, "", {END(1)}},
    {"not ended before the padding's last", 1, "", {RECORD(END_REQUEST, 1, 8, 8)}},
    {"not ended with the header", 8, "", {END(1)}},

    {"a request",
     0,
     "begun 1, input ended 1, kept, boundary",
     {BEGIN(1, 8, 0, KEEP), RECORD(PARAMS, 1, 40, 0), EMPTY(PARAMS, 1), EMPTY(STDIN, 1)}},
    {"an answer",
     0,
     "ended 1, boundary",
     {RECORD(STDOUT, 1, 17, 7), RECORD(STDERR, 1, 3, 5), EMPTY(STDOUT, 1), END(1)}},
    {"two requests, the last one closes",
     0,
     "begun 2, input ended 2, boundary",
     {BEGIN(1, 8, 0, KEEP), EMPTY(STDIN, 1), BEGIN(1, 8, 0, CLOSE), EMPTY(STDIN, 1)}},
    {"two requests, the last one keeps",
     0,
     "begun 2, input ended 2, kept, boundary",
     {BEGIN(1, 8, 0, CLOSE), EMPTY(STDIN, 1), BEGIN(1, 8, 0, KEEP), EMPTY(STDIN, 1)}},
    {"multiplexed ids",
     0,
     "begun 3, input ended 1, kept, boundary",
     {BEGIN(1, 8, 0, KEEP), BEGIN(256, 8, 0, KEEP), BEGIN(65535, 8, 0, KEEP),
      RECORD(PARAMS, 256, 9, 7), EMPTY(STDIN, 1)}},
    {"multiplexed ids end", 0, "ended 3, boundary", {END(256), END(1), END(65535)}},
    {"aborted",
     0,
     "begun 1, kept, boundary",
     {BEGIN(1, 8, 0, KEEP), RECORD(PARAMS, 1, 5, 3), EMPTY(ABORT_REQUEST, 1)}},
    {"management",
     0,
     "boundary",
     {RECORD(GET_VALUES, 0, 18, 6), RECORD(GET_VALUES_RESULT, 0, 19, 5),
      RECORD(UNKNOWN_TYPE, 0, 8, 0)}},
    {"types that nobody knows",
     0,
     "boundary",
     {RECORD(TYPE_12, 1, 8, 0), RECORD(TYPE_0, 1, 3, 0), RECORD(TYPE_255, 0, 1, 255),
      RECORD(DATA, 1, 100, 4)}},
    {"longest contents",
     0,
     "ended 1, boundary",
     {RECORD(STDOUT, 1, LARGEST, 255), RECORD(STDOUT, 1, LARGEST, 1), END(1)}},
    {"content that looks like records",
     0,
     "boundary",
     {RECORD(STDIN, 1, 64, 0), RECORD(STDIN, 1, 8, 8), RECORD(STDIN, 1, 256, 0)}},
    /* A record has the layout of version 1 whatever it says: servers close the connection then, or
     * (php-fpm with a later one) read on. */
    {"a later version", 0, "begun 1, kept, boundary", {{2, FCGI_BEGIN_REQUEST, 1, 8, 0, KEEP}}},
    {"no version", 0, "ended 1, boundary", {{0, FCGI_END_REQUEST, 1, 8, 0, NULL}}},
};

#define N_STREAMS (sizeof(streams) / sizeof(streams[0]))

static uint8_t bytes[WHOLE_SIZE_MAX];
static size_t n_bytes;

static void append(uint8_t byte)
{
        if (n_bytes == sizeof(bytes))
                abort();
        bytes[n_bytes++] = byte;
}

static void append_record(const struct record *record)
{
        const FCGI_Header header = {
            .version = record->version,
            .type = record->type,
            .requestIdB1 = (uint8_t)(record->id >> 8),
            .requestIdB0 = (uint8_t)record->id,
            .contentLengthB1 = (uint8_t)(record->content_size >> 8),
            .contentLengthB0 = (uint8_t)record->content_size,
            .paddingLength = record->padding,
        };
        uint8_t raw[sizeof(header)];

        memcpy(raw, &header, sizeof(raw));
        for (size_t i = 0; i < sizeof(raw); i++)
                append(raw[i]);
        for (size_t i = 0; i < (size_t)record->content_size + record->padding; i++)
                append(record->content && i < sizeof(KEEP) - 1 ? (uint8_t)record->content[i]
                                                               : filling[i % sizeof(filling)]);
}

/* Puts stream number i into bytes. */
static void build(size_t i)
{
        n_bytes = 0;
        for (size_t j = 0; j < RECORDS_MAX; j++)
                if (streams[i].records[j].version || streams[i].records[j].type)
                        append_record(&streams[i].records[j]);
        n_bytes -= streams[i].missing;
}

/* Cut into pieces of these two sizes in turn, the second one maybe unseen. */
static bool is_right_when_cut(size_t first, size_t second, bool unseen)
{
        const struct whole_cut cuts[] = {{first, false}, {second, unseen}};

        if (whole_compare(bytes, n_bytes, cuts, 2, NULL) == 0)
                return true;
        fprintf(stderr, "cut into %zu and %zu, %s\n", first, second, unseen ? "unseen" : "seen");
        return false;
}

static void add(char text[static TOLD_SIZE], const char *word, uint32_t number)
{
        size_t size = strlen(text);

        (void)snprintf(text + size, TOLD_SIZE - size, number ? "%s%s %u" : "%s%s", size ? ", " : "",
                       word, number);
}

/* What record.c says, in words. */
static void told(const struct record_news *news, bool boundary, char ret[static TOLD_SIZE])
{
        ret[0] = '\0';
        if (news->begun)
                add(ret, "begun", news->begun);
        if (news->ended)
                add(ret, "ended", news->ended);
        if (news->input_ended)
                add(ret, "input ended", news->input_ended);
        if (news->kept)
                add(ret, "kept", 0);
        if (boundary)
                add(ret, "boundary", 0);
}

/* In one piece, on top of other news. */
static bool is_as_expected(size_t i)
{
        struct record_stream parser = {0};
        struct record_news news = {.begun = 100, .ended = 200, .input_ended = 300};
        char text[TOLD_SIZE];

        record_feed(&parser, bytes, n_bytes, &news);
        news.begun -= 100;
        news.ended -= 200;
        news.input_ended -= 300;
        told(&news, record_at_boundary(&parser), text);
        if (strcmp(text, streams[i].expected) == 0)
                return true;
        fprintf(stderr, "expected: %s\nactual:   %s\n", streams[i].expected, text);
        return false;
}

static bool is_right(size_t i)
{
        static const size_t sizes[] = {1, 2, 3, 7, 8, 9, 11, 4096, 65535, 65536};
        bool right = is_as_expected(i);

        for (size_t j = 0; right && j < sizeof(sizes) / sizeof(sizes[0]); j++)
                for (size_t k = 0; right && k < sizeof(sizes) / sizeof(sizes[0]); k++)
                        right = is_right_when_cut(sizes[j], sizes[k], false) &&
                                is_right_when_cut(sizes[j], sizes[k], true);
        for (size_t at = 0; right && n_bytes <= EXHAUSTIVE && at <= n_bytes; at++)
                right = is_right_when_cut(at, n_bytes, false) &&
                        is_right_when_cut(at, n_bytes, true) && is_right_when_cut(at, 1, true) &&
                        is_right_when_cut(at, 8, true);
        return right;
}

/* As record-fuzz.c reads it. */
static void write_seed(const char *directory, size_t i)
{
        static const uint8_t cuts[] = {4, 1, 0x88, 96, 7};
        char path[PATH_MAX];
        FILE *file;

        (void)snprintf(path, sizeof(path), "%s/%zu", directory, i);
        file = fopen(path, "we");
        if (!file || fwrite(cuts, 1, sizeof(cuts), file) != sizeof(cuts) ||
            fwrite(bytes, 1, n_bytes, file) != n_bytes || fclose(file) != 0) {
                perror(path);
                exit(EXIT_FAILURE);
        }
}

int main(int argc, char *argv[])
{
        int status = EXIT_SUCCESS;

        for (size_t i = 0; i < N_STREAMS; i++) {
                build(i);
                if (argc > 1) {
                        write_seed(argv[1], i);
                } else if (!is_right(i)) {
                        fprintf(stderr, "^ %s\n", streams[i].name);
                        status = EXIT_FAILURE;
                }
        }
        return status;
}
