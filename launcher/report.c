/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"

/* The last line: without it, something is missing. */
static const char end_line[] = "end=1\n";

static const char *const tier_names[REPORT_TIERS] = {
    [REPORT_STARTING] = "starting",
    [REPORT_HOT] = "hot",
    [REPORT_FROZEN] = "frozen",
    [REPORT_LIGHT] = "light",
    [REPORT_STOPPING] = "stopping",
    [REPORT_FAILING] = "failing",
    [REPORT_MAINTENANCE] = "maintenance",
    [REPORT_STOPPED] = "stopped",
    [REPORT_OFF] = "off",
    [REPORT_UNKNOWN] = "unknown",
};

/* The numbers of a report. */
static const struct {
        const char *key;
        size_t offset;
} numbers[] = {
    {"since_usec", offsetof(struct report, since_usec)},
    {"idle_usec", offsetof(struct report, idle_usec)},
    {"sleep_usec", offsetof(struct report, sleep_usec)},
    {"pid", offsetof(struct report, pid)},
    {"requests", offsetof(struct report, requests)},
    {"wakes", offsetof(struct report, wakes)},
};

const char *report_tier_name(enum report_tier tier)
{
        return tier_names[tier];
}

void report_add_wake(struct report *report, uint64_t usec)
{
        if (report->n_wakes == REPORT_WAKES_MAX) {
                memmove(report->wake_usec, report->wake_usec + 1,
                        (REPORT_WAKES_MAX - 1) * sizeof(*report->wake_usec));
                report->n_wakes--;
        }
        report->wake_usec[report->n_wakes++] = usec;
}

/* A text is one line, whatever is in it, and does nothing to a terminal. */
static void make_plain(char *text)
{
        for (; *text; text++)
                if (iscntrl((unsigned char)*text))
                        *text = '?';
}

/* --- writing ------------------------------------------------------------------------------- */

struct writer {
        char *text;
        size_t length;
};

static void put(struct writer *writer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void put(struct writer *writer, const char *format, ...)
{
        size_t left = REPORT_BYTES_MAX - writer->length;
        va_list arguments;
        int written;

        va_start(arguments, format);
        written = vsnprintf(writer->text + writer->length, left, format, arguments);
        va_end(arguments);
        if (written > 0)
                writer->length += (size_t)written < left ? (size_t)written : left - 1;
}

static void put_text(struct writer *writer, const char *key, const char *text)
{
        size_t start;

        put(writer, "%s=", key);
        start = writer->length;
        put(writer, "%s", text);
        make_plain(writer->text + start);
        put(writer, "\n");
}

size_t report_format(const struct report *report, char text[REPORT_BYTES_MAX])
{
        struct writer writer = {.text = text};

        text[0] = '\0';
        put_text(&writer, "unit", report->unit);
        put_text(&writer, "tier", report_tier_name(report->tier));
        put_text(&writer, "why", report->why);
        for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
                put(&writer, "%s=%" PRIu64 "\n", numbers[i].key,
                    *(const uint64_t *)(const void *)((const char *)report + numbers[i].offset));
        for (size_t i = 0; i < report->n_wakes; i++)
                put(&writer, "wake_usec=%" PRIu64 "\n", report->wake_usec[i]);
        put(&writer, "%s", end_line);
        return writer.length;
}

/* --- reading ------------------------------------------------------------------------------- */

/* False if it is no number, or too large for one. */
static bool read_number(const char *value, uint64_t *ret)
{
        char *end;

        if (!isdigit((unsigned char)*value))
                return false;
        errno = 0;
        *ret = strtoull(value, &end, 10);
        return errno == 0 && *end == '\0';
}

static void read_value(struct report *report, const char *key, char *value)
{
        uint64_t number;

        make_plain(value);
        if (strcmp(key, "unit") == 0)
                (void)snprintf(report->unit, sizeof(report->unit), "%s", value);
        else if (strcmp(key, "why") == 0)
                (void)snprintf(report->why, sizeof(report->why), "%s", value);
        else if (strcmp(key, "tier") == 0) {
                for (size_t i = 0; i < REPORT_TIERS; i++)
                        if (strcmp(value, tier_names[i]) == 0)
                                report->tier = (enum report_tier)i;
        } else if (read_number(value, &number)) {
                if (strcmp(key, "wake_usec") == 0)
                        report_add_wake(report, number);
                for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
                        if (strcmp(key, numbers[i].key) == 0)
                                *(uint64_t *)(void *)((char *)report + numbers[i].offset) = number;
        }
}

int report_parse(struct report *report, const char *text, size_t n)
{
        const size_t end = sizeof(end_line) - 1;
        char copy[REPORT_BYTES_MAX], *line, *rest = copy;

        *report = (struct report){.tier = REPORT_UNKNOWN};
        if (n < end || n >= sizeof(copy) || memchr(text, '\0', n) ||
            memcmp(text + n - end, end_line, end) != 0)
                return -EBADMSG;
        memcpy(copy, text, n);
        copy[n] = '\0';
        while ((line = strsep(&rest, "\n"))) {
                char *value = strchr(line, '=');

                if (!value)
                        continue;
                *value++ = '\0';
                read_value(report, line, value);
        }
        return 0;
}

int report_read_file(struct report *report, const char *directory)
{
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -1;
        char text[REPORT_BYTES_MAX];
        ssize_t n;

        *report = (struct report){.tier = REPORT_UNKNOWN};
        if (asprintf(&path, "%s/" STATUS_FILE, directory) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        /* Whatever else somebody has put in its place must not make us wait. */
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0)
                return -errno;
        n = read(fd, text, sizeof(text));
        return n < 0 ? -errno : report_parse(report, text, (size_t)n);
}

int report_connect(const char *directory, const char *vhost)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        _cleanup_close_ int fd = -1;
        int n;

        n = snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s/" STATUS_SOCKET, directory,
                     vhost);
        if (n < 0 || (size_t)n >= sizeof(address.sun_path))
                return -ENOENT;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
                return -errno;
        return take_descriptor(&fd);
}

char *report_directory(void)
{
        const char *runtime = getenv("XDG_RUNTIME_DIR");
        char *path;

        if (geteuid() == 0 || !runtime || *runtime != '/')
                runtime = "/run";
        return asprintf(&path, "%s/" STATUS_DIRECTORY, runtime) < 0 ? NULL : path;
}
