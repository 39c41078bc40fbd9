/* SPDX-License-Identifier: MIT */
#include "status-print.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define USEC_PER_SEC UINT64_C(1000000)

#define CELL_BYTES   64

static int compare(const void *a, const void *b)
{
        const uint64_t *x = a, *y = b;

        return *x < *y ? -1 : *x > *y;
}

/* 0 if there are none; of an even number, the mean of the two in the middle. */
static uint64_t median_wake(const struct report *report)
{
        uint64_t sorted[REPORT_WAKES_MAX];
        const size_t n = report->n_wakes;

        if (n == 0)
                return 0;
        memcpy(sorted, report->wake_usec, n * sizeof(*sorted));
        qsort(sorted, n, sizeof(*sorted), compare);
        return n % 2 == 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

static uint64_t last_wake(const struct report *report)
{
        return report->n_wakes == 0 ? 0 : report->wake_usec[report->n_wakes - 1];
}

/* --- JSON ---------------------------------------------------------------------------------- */

/* The length of the UTF-8 character at text, 0 if that is none. */
static size_t character_length(const unsigned char *text)
{
        static const struct {
                unsigned char mask, first, second_min, second_max;
        } forms[] = {
            {0xff, 0xe0, 0xa0, 0xbf}, {0xff, 0xed, 0x80, 0x9f}, {0xff, 0xf0, 0x90, 0xbf},
            {0xff, 0xf4, 0x80, 0x8f}, {0xe0, 0xc0, 0x80, 0xbf}, {0xf0, 0xe0, 0x80, 0xbf},
            {0xfc, 0xf0, 0x80, 0xbf},
        };
        size_t length;

        if (*text < 0x80)
                return 1;
        if (*text < 0xc2)
                return 0;
        for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
                if ((*text & forms[i].mask) != forms[i].first)
                        continue;
                if (text[1] < forms[i].second_min || text[1] > forms[i].second_max)
                        return 0;
                length = *text < 0xe0 ? 2 : *text < 0xf0 ? 3 : 4;
                for (size_t k = 2; k < length; k++)
                        if (text[k] < 0x80 || text[k] > 0xbf)
                                return 0;
                return length;
        }
        return 0;
}

static void put_string(const char *string)
{
        const unsigned char *text = (const unsigned char *)string;
        size_t length;

        (void)putchar('"');
        while (*text) {
                length = character_length(text);
                if (length == 0) {
                        (void)fputs("\\ufffd", stdout);
                        length = 1;
                } else if (*text < ' ') {
                        (void)printf("\\u%04x", *text);
                } else {
                        if (*text == '"' || *text == '\\')
                                (void)putchar('\\');
                        (void)fwrite(text, 1, length, stdout);
                }
                text += length;
        }
        (void)putchar('"');
}

static void put_text(const char *key, const char *text)
{
        (void)printf(",\"%s\":", key);
        if (text && *text)
                put_string(text);
        else
                (void)fputs("null", stdout);
}

static void put_count(const char *key, uint64_t number)
{
        (void)printf(",\"%s\":%" PRIu64, key, number);
}

/* 0 is unknown, or not so. */
static void put_number(const char *key, uint64_t number)
{
        if (number > 0)
                put_count(key, number);
        else
                (void)printf(",\"%s\":null", key);
}

static void put_object(const struct vhost_status *vhost)
{
        const struct report *report = &vhost->report;

        (void)fputs("{\"vhost\":", stdout);
        put_string(vhost->name);
        put_text("unit", report->unit);
        put_text("tier", report_tier_name(report->tier));
        put_number("since_usec", report->since_usec);
        put_text("why", report->why);
        put_number("idle_usec", report->idle_usec);
        put_number("sleep_usec", report->sleep_usec);
        put_count("requests", report->requests);
        put_count("wakes", report->wakes);
        put_number("last_wake_usec", last_wake(report));
        put_number("median_wake_usec", median_wake(report));
        put_number("memory_bytes", vhost->memory_bytes);
        put_text("trouble", vhost->trouble);
        (void)putchar('}');
}

void status_print_json(const struct vhost_status *list, size_t n)
{
        (void)putchar('[');
        for (size_t i = 0; i < n; i++) {
                if (i > 0)
                        (void)fputs(",\n ", stdout);
                put_object(&list[i]);
        }
        (void)fputs("]\n", stdout);
}

/* --- for people ---------------------------------------------------------------------------- */

typedef char cell_t[CELL_BYTES];

/* 213ms, 40s, 5min 3s, 2h 5min, 3d 4h */
static void format_span(cell_t cell, uint64_t usec)
{
        const uint64_t seconds = usec / USEC_PER_SEC;
        static const struct {
                const char *large, *small;
                uint64_t large_seconds, small_seconds;
        } forms[] = {{"d", "h", 86400, 3600}, {"h", "min", 3600, 60}, {"min", "s", 60, 1}};

        for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
                const uint64_t large = seconds / forms[i].large_seconds;
                const uint64_t small = seconds % forms[i].large_seconds / forms[i].small_seconds;

                if (large == 0)
                        continue;
                if (small > 0)
                        (void)snprintf(cell, CELL_BYTES, "%" PRIu64 "%s %" PRIu64 "%s", large,
                                       forms[i].large, small, forms[i].small);
                else
                        (void)snprintf(cell, CELL_BYTES, "%" PRIu64 "%s", large, forms[i].large);
                return;
        }
        if (seconds > 0)
                (void)snprintf(cell, CELL_BYTES, "%" PRIu64 "s", seconds);
        else
                (void)snprintf(cell, CELL_BYTES, "%" PRIu64 "ms", usec / 1000);
}

/* From one time to another; "-" if one is unknown, 0 if they are in the wrong order. */
static void format_between(cell_t cell, uint64_t from_usec, uint64_t to_usec)
{
        if (from_usec == 0 || to_usec == 0)
                (void)snprintf(cell, CELL_BYTES, "-");
        else
                format_span(cell, to_usec > from_usec ? to_usec - from_usec : 0);
}

static void format_wake(cell_t cell, uint64_t usec)
{
        if (usec == 0)
                (void)snprintf(cell, CELL_BYTES, "-");
        else
                format_span(cell, usec);
}

static void format_bytes(cell_t cell, uint64_t bytes)
{
        if (bytes == 0)
                (void)snprintf(cell, CELL_BYTES, "-");
        else
                (void)snprintf(cell, CELL_BYTES, "%.1fM", (double)bytes / (1024.0 * 1024.0));
}

static void format_time(cell_t cell, uint64_t usec)
{
        const time_t seconds = (time_t)(usec / USEC_PER_SEC);
        struct tm parts;

        if (!localtime_r(&seconds, &parts) ||
            strftime(cell, CELL_BYTES, "%a %Y-%m-%d %H:%M:%S %Z", &parts) == 0)
                *cell = '\0';
}

static const char *reason(const struct vhost_status *vhost)
{
        if (vhost->trouble)
                return vhost->trouble;
        return *vhost->report.why ? vhost->report.why : "-";
}

/* All columns but the last, which is as long as it likes. */
enum { VHOST, TIER, SINCE, SLEEPS, REQUESTS, WAKES, LAST, MEDIAN, MEMORY, COLUMNS };

static const char *const headings[COLUMNS] = {
    [VHOST] = "VHOST",      [TIER] = "TIER",         [SINCE] = "FOR",
    [SLEEPS] = "SLEEPS IN", [REQUESTS] = "REQUESTS", [WAKES] = "WAKES",
    [LAST] = "LAST WAKE",   [MEDIAN] = "MEDIAN",     [MEMORY] = "MEMORY",
};

static void fill_row(cell_t row[COLUMNS], const struct vhost_status *vhost, uint64_t now_usec)
{
        const struct report *report = &vhost->report;

        (void)snprintf(row[TIER], CELL_BYTES, "%s", report_tier_name(report->tier));
        format_between(row[SINCE], report->since_usec, now_usec);
        format_between(row[SLEEPS], report->sleep_usec > 0 ? now_usec : 0, report->sleep_usec);
        (void)snprintf(row[REQUESTS], CELL_BYTES, "%" PRIu64, report->requests);
        (void)snprintf(row[WAKES], CELL_BYTES, "%" PRIu64, report->wakes);
        format_wake(row[LAST], last_wake(report));
        format_wake(row[MEDIAN], median_wake(report));
        format_bytes(row[MEMORY], vhost->memory_bytes);
}

static int larger(int a, size_t b)
{
        return (size_t)a > b ? a : (int)b;
}

void status_print_table(const struct vhost_status *list, size_t n, uint64_t now_usec)
{
        int widths[COLUMNS];
        cell_t row[COLUMNS];

        for (size_t k = 0; k < COLUMNS; k++)
                widths[k] = (int)strlen(headings[k]);
        for (size_t i = 0; i < n; i++) {
                fill_row(row, &list[i], now_usec);
                widths[VHOST] = larger(widths[VHOST], strlen(list[i].name));
                for (size_t k = TIER; k < COLUMNS; k++)
                        widths[k] = larger(widths[k], strlen(row[k]));
        }
        for (size_t k = 0; k < COLUMNS; k++)
                (void)printf("%-*s ", widths[k], headings[k]);
        (void)printf("WHY\n");
        for (size_t i = 0; i < n; i++) {
                fill_row(row, &list[i], now_usec);
                (void)printf("%-*s ", widths[VHOST], list[i].name);
                for (size_t k = TIER; k < COLUMNS; k++)
                        (void)printf("%-*s ", widths[k], row[k]);
                (void)printf("%s\n", reason(&list[i]));
        }
}

void status_print_block(const struct vhost_status *vhost, uint64_t now_usec)
{
        const struct report *report = &vhost->report;
        cell_t row[COLUMNS], time;

        fill_row(row, vhost, now_usec);
        format_time(time, report->since_usec);
        (void)printf("%s\n", vhost->name);
        (void)printf("     Unit: %s\n", *report->unit ? report->unit : "-");
        if (report->since_usec > 0)
                (void)printf("     Tier: %s since %s; %s ago\n", row[TIER], time, row[SINCE]);
        else
                (void)printf("     Tier: %s\n", row[TIER]);
        (void)printf("      Why: %s\n", reason(vhost));
        if (report->idle_usec > 0) {
                format_between(time, report->idle_usec, now_usec);
                (void)printf("     Idle: %s\n", time);
        }
        if (report->sleep_usec > 0)
                (void)printf("   Sleeps: in %s\n", row[SLEEPS]);
        (void)printf(" Requests: %s\n", row[REQUESTS]);
        (void)printf("    Wakes: %s", row[WAKES]);
        if (report->n_wakes > 0)
                (void)printf(", the last took %s, the median %s", row[LAST], row[MEDIAN]);
        (void)printf("\n   Memory: %s\n", row[MEMORY]);
}
