/* SPDX-License-Identifier: MIT */
#include "record.h"

enum {
        RECORD_HEADER = 8,
        RECORD_BEGIN_REQUEST = 1,
        RECORD_END_REQUEST = 3,
        RECORD_STDIN = 5,
        RECORD_FLAGS = RECORD_HEADER + 2, /* of a BEGIN_REQUEST, behind the two bytes of the role */
        RECORD_KEEP_CONN = 1,
};

static uint32_t content_size(const struct record_stream *stream)
{
        return (uint32_t)stream->head[4] << 8 | stream->head[5];
}

/* How many bytes of this record have to be looked at. */
static uint8_t head_size(const struct record_stream *stream)
{
        if (stream->have >= RECORD_HEADER && stream->head[1] == RECORD_BEGIN_REQUEST &&
            content_size(stream) > RECORD_FLAGS - RECORD_HEADER)
                return RECORD_FLAGS + 1;
        return RECORD_HEADER;
}

static void head_is_complete(struct record_stream *stream, struct record_news *news)
{
        uint32_t looked_at = (uint32_t)stream->have - RECORD_HEADER;

        stream->left = content_size(stream) + stream->head[6] - looked_at;
        if (stream->head[1] == RECORD_BEGIN_REQUEST) {
                news->begun++;
                news->id = (uint16_t)(stream->head[2] << 8 | stream->head[3]);
                news->kept = looked_at && stream->head[RECORD_FLAGS] & RECORD_KEEP_CONN;
        }
}

static void record_is_complete(struct record_stream *stream, struct record_news *news)
{
        if (stream->head[1] == RECORD_END_REQUEST)
                news->ended++;
        if (stream->head[1] == RECORD_STDIN && content_size(stream) == 0)
                news->input_ended++;
        stream->have = 0;
}

void record_feed(struct record_stream *stream, const void *data, size_t size,
                 struct record_news *news)
{
        const uint8_t *byte = data;

        while (size) {
                if (stream->left) {
                        uint32_t skip = stream->left < size ? stream->left : (uint32_t)size;

                        stream->left -= skip;
                        byte += skip;
                        size -= skip;
                        if (!stream->left)
                                record_is_complete(stream, news);
                        continue;
                }
                stream->head[stream->have++] = *byte++;
                size--;
                if (stream->have < head_size(stream))
                        continue;
                head_is_complete(stream, news);
                if (!stream->left)
                        record_is_complete(stream, news);
        }
}

bool record_skip(struct record_stream *stream, size_t size, struct record_news *news)
{
        if (size > stream->left)
                return false;
        stream->left -= (uint32_t)size;
        if (size && !stream->left)
                record_is_complete(stream, news);
        return true;
}
