/* SPDX-License-Identifier: MIT */
/*
 * The grammar is that of systemd's parse_time() to the letter, oddities included (".5" and "1 .5"
 * are spans, "1." and "1.5.5" are none), so that a span means the same in a unit file, to
 * systemd-socket-proxyd and here.
 */
#include "span.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define WHITESPACE     " \t\n\r"
#define DIGITS         "0123456789"

#define USEC_PER_MSEC  UINT64_C(1000)
#define USEC_PER_SEC   (UINT64_C(1000) * USEC_PER_MSEC)
#define USEC_PER_MIN   (UINT64_C(60) * USEC_PER_SEC)
#define USEC_PER_HOUR  (UINT64_C(60) * USEC_PER_MIN)
#define USEC_PER_DAY   (UINT64_C(24) * USEC_PER_HOUR)
#define USEC_PER_WEEK  (UINT64_C(7) * USEC_PER_DAY)
#define USEC_PER_MONTH (UINT64_C(2629800) * USEC_PER_SEC)
#define USEC_PER_YEAR  (UINT64_C(31557600) * USEC_PER_SEC)

static const struct unit {
        const char *name;
        uint64_t usec;
} units[] = {
    /* A name stands before every name that it begins with. */
    {"seconds", USEC_PER_SEC},
    {"second", USEC_PER_SEC},
    {"sec", USEC_PER_SEC},
    {"s", USEC_PER_SEC},
    {"minutes", USEC_PER_MIN},
    {"minute", USEC_PER_MIN},
    {"min", USEC_PER_MIN},
    {"months", USEC_PER_MONTH},
    {"month", USEC_PER_MONTH},
    {"M", USEC_PER_MONTH},
    {"msec", USEC_PER_MSEC},
    {"ms", USEC_PER_MSEC},
    {"m", USEC_PER_MIN},
    {"hours", USEC_PER_HOUR},
    {"hour", USEC_PER_HOUR},
    {"hr", USEC_PER_HOUR},
    {"h", USEC_PER_HOUR},
    {"days", USEC_PER_DAY},
    {"day", USEC_PER_DAY},
    {"d", USEC_PER_DAY},
    {"weeks", USEC_PER_WEEK},
    {"week", USEC_PER_WEEK},
    {"w", USEC_PER_WEEK},
    {"years", USEC_PER_YEAR},
    {"year", USEC_PER_YEAR},
    {"y", USEC_PER_YEAR},
    {"usec", 1},
    {"us", 1},
    {"\xce\xbcs", 1}, /* U+03BC greek mu */
    {"\xc2\xb5s", 1}, /* U+00B5 micro sign */
};

/* Returns what follows the unit at text, or text itself if no unit is there. */
static const char *parse_unit(const char *text, uint64_t *ret_usec)
{
        for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
                size_t length = strlen(units[i].name);

                if (strncmp(text, units[i].name, length) == 0) {
                        *ret_usec = units[i].usec;
                        return text + length;
                }
        }
        return text;
}

/* Adds count units to *usec. */
static int add_units(uint64_t *usec, uint64_t count, uint64_t unit_usec)
{
        if (unit_usec > 0 && count >= UINT64_MAX / unit_usec)
                return -ERANGE;
        if (count * unit_usec >= UINT64_MAX - *usec)
                return -ERANGE;
        *usec += count * unit_usec;
        return 0;
}

int span_parse(const char *text, uint64_t *ret_usec)
{
        const char *p = text + strspn(text, WHITESPACE);
        uint64_t usec = 0;
        bool something = false;

        if (strncmp(p, "infinity", strlen("infinity")) == 0) {
                p += strlen("infinity");
                if (p[strspn(p, WHITESPACE)])
                        return -EINVAL;
                *ret_usec = UINT64_MAX;
                return 0;
        }

        for (;;) {
                uint64_t unit_usec = USEC_PER_SEC;
                const char *fraction, *after;
                char *end;
                long long whole;
                int r;

                p += strspn(p, WHITESPACE);
                if (!*p) {
                        if (!something)
                                return -EINVAL;
                        *ret_usec = usec;
                        return 0;
                }

                if (*p == '-')
                        return -ERANGE;
                errno = 0;
                whole = strtoll(p, &end, 10);
                if (errno > 0)
                        return -errno;
                if (whole < 0)
                        return -ERANGE;

                fraction = *end == '.' ? end + 1 : NULL;
                if (fraction && !strspn(fraction, DIGITS))
                        return -EINVAL;
                if (!fraction && end == p)
                        return -EINVAL;
                p = fraction ? fraction + strspn(fraction, DIGITS) : end;

                after = parse_unit(p + strspn(p, WHITESPACE), &unit_usec);
                if (after == p && *p)
                        return -EINVAL;
                p = after;

                r = add_units(&usec, (uint64_t)whole, unit_usec);
                if (r < 0)
                        return r;
                for (; fraction && *fraction >= '0' && *fraction <= '9'; fraction++) {
                        unit_usec /= 10;
                        r = add_units(&usec, (uint64_t)(*fraction - '0'), unit_usec);
                        if (r < 0)
                                return r;
                }
                something = true;
        }
}
