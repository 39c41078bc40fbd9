/* SPDX-License-Identifier: MIT */
#include "recycling.h"

#include "shim.h"
#include "text.h"

static const char *skip_blanks(const char *s)
{
        while (*s == ' ' || *s == '\t' || *s == '"' || *s == '\'')
                s++;
        return s;
}

/* The value of "KEY = VALUE" if the line has this key, or NULL. */
static const char *value_of(const char *line, const char *key)
{
        line = skip_blanks(line);
        if (!text_starts(line, key))
                return NULL;
        line = skip_blanks(line + text_length(key));
        return *line == '=' ? skip_blanks(line + 1) : NULL;
}

/* A value may be ${VARIABLE}. */
static const char *resolve(char *value)
{
        char *end;

        if (!text_starts(value, "${"))
                return value;
        for (end = value; *end && *end != '}';)
                end++;
        *end = '\0';
        return text_environment(value + 2);
}

static uint32_t read_number(const char *s)
{
        uint32_t n = 0;

        for (; *s >= '0' && *s <= '9' && n < UINT32_MAX / 10 - 1; s++)
                n = n * 10 + (uint32_t)(*s - '0');
        return n;
}

static void read_line(char *line)
{
        struct recycling *recycling = &shim.recycling;
        const char *value = value_of(line, "pm.max_requests");
        uint32_t limit;

        if (value)
                value = resolve(line + (value - line));
        limit = value ? read_number(value) : 0;
        if (limit && recycling->n_limits < RECYCLING_LIMITS_MAX)
                recycling->limits[recycling->n_limits++] = limit;
}

void recycling_read(const char *byte)
{
        struct recycling *recycling = &shim.recycling;

        if (*byte != '\n') {
                if (recycling->size < sizeof(recycling->line) - 1)
                        recycling->line[recycling->size++] = *byte;
                return;
        }
        recycling->line[recycling->size] = '\0';
        recycling->size = 0;
        read_line(recycling->line);
}

bool recycling_is_last(uint32_t answer)
{
        const struct recycling *recycling = &shim.recycling;

        for (uint32_t i = 0; i < recycling->n_limits; i++)
                if (recycling->limits[i] == answer)
                        return true;
        return false;
}
