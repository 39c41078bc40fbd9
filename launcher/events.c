/* SPDX-License-Identifier: MIT */
/* The place in the code is no business of the journal's. */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include "events.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <systemd/sd-login.h>
#include <unistd.h>

#include "log.h"

#define FIELD_BYTES 1280 /* a reason has 1024 */
#define FIELDS_MAX  9

static const struct {
        const char *word;
        const char *id;
        int priority;
} events[] = {
#define EVENT_ROW(name, word_, id_, priority_)                                                     \
        [EVENT_##name] = {.word = (word_), .id = (id_), .priority = (priority_)},
    EVENTS(EVENT_ROW)
#undef EVENT_ROW
};

static char vhost_name[256], unit_name[256];

void events_of(const char *vhost)
{
        char *unit = NULL;

        (void)snprintf(vhost_name, sizeof(vhost_name), "%s", vhost ? vhost : "");
        if (sd_pid_get_unit(0, &unit) >= 0)
                (void)snprintf(unit_name, sizeof(unit_name), "%s", unit);
        free(unit);
}

/* Is stderr the stream to the journal that systemd has made for our unit? (systemd.exec(5)) */
static bool is_journal_there(void)
{
        const char *stream = getenv("JOURNAL_STREAM");
        unsigned long long device, inode;
        struct stat st;
        char *end;

        if (!stream || fstat(STDERR_FILENO, &st) < 0)
                return false;
        device = strtoull(stream, &end, 10);
        if (*end != ':')
                return false;
        inode = strtoull(end + 1, NULL, 10);
        return st.st_dev == device && st.st_ino == inode;
}

struct entry {
        struct iovec fields[FIELDS_MAX];
        int n;
        char text[FIELDS_MAX][FIELD_BYTES];
};

static void add(struct entry *entry, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct entry *entry, const char *format, ...)
{
        char *text = entry->text[entry->n];
        va_list arguments;
        int written;

        va_start(arguments, format);
        written = vsnprintf(text, FIELD_BYTES, format, arguments);
        va_end(arguments);
        if (written < 0)
                return;
        entry->fields[entry->n++] = (struct iovec){
            .iov_base = text,
            .iov_len = written < FIELD_BYTES ? (size_t)written : FIELD_BYTES - 1,
        };
}

/* Returns 0, -errno. line: see log_compose(). */
static int send_entry(enum event event, const struct event_fields *fields, char *line,
                      size_t length)
{
        static const char key[] = "MESSAGE=";
        struct entry entry = {.n = 1};
        char message[LOG_LINE_MAX + sizeof(key)];

        memcpy(message, key, sizeof(key) - 1);
        memcpy(message + sizeof(key) - 1, line, length);
        entry.fields[0] = (struct iovec){.iov_base = message, .iov_len = sizeof(key) - 1 + length};
        add(&entry, "PRIORITY=%d", events[event].priority);
        add(&entry, "MESSAGE_ID=%s", events[event].id);
        add(&entry, "FPM_WAKER_EVENT=%s", events[event].word);
        /* The journal looks up by itself what unit we are of; but not any more if we have ended. */
        if (*unit_name)
                add(&entry, "OBJECT_SYSTEMD_UNIT=%s", unit_name);
        if (*vhost_name)
                add(&entry, "FPM_WAKER_VHOST=%s", vhost_name);
        if (fields && fields->reason)
                add(&entry, "FPM_WAKER_REASON=%s", fields->reason);
        if (fields && fields->wake_usec > 0)
                add(&entry, "FPM_WAKER_WAKE_USEC=%" PRIu64, fields->wake_usec);
        if (fields && fields->requests)
                add(&entry, "FPM_WAKER_REQUESTS=%" PRIu64, *fields->requests);
        return sd_journal_sendv(entry.fields, entry.n);
}

void event_say(enum event event, const struct event_fields *fields, const char *format, ...)
{
        char line[LOG_LINE_MAX];
        size_t length, message;
        va_list arguments;

        va_start(arguments, format);
        length = log_compose(line, &message, format, arguments);
        va_end(arguments);
        if (!is_journal_there() || send_entry(event, fields, line, length) < 0)
                log_write(line, length);
}
