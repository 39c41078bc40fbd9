/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Longer than any path; what does not fit is cut, and the line stays one line. */
#define LINE_MAX_BYTES 8192

static struct {
        char *text;
        size_t size;
} capture;

void log_capture(char *text, size_t size)
{
        capture.text = text;
        capture.size = size;
}

void(log_line)(const char *format, ...)
{
        char line[LINE_MAX_BYTES];
        int saved_errno = errno;
        size_t length = 0, prefix;
        va_list arguments;
        int written;

        written = snprintf(line, sizeof(line), "%s: ", program_invocation_short_name);
        if (written > 0)
                length = (size_t)written < sizeof(line) ? (size_t)written : sizeof(line) - 1;
        prefix = length;

        errno = saved_errno; /* for %m */
        va_start(arguments, format);
        written = vsnprintf(line + length, sizeof(line) - length, format, arguments);
        va_end(arguments);
        if (written > 0)
                length += (size_t)written < sizeof(line) - length ? (size_t)written
                                                                  : sizeof(line) - length - 1;

        /* What the environment or a file name smuggles in must not look like a second line. */
        for (size_t i = 0; i < length; i++)
                if ((unsigned char)line[i] < ' ' || line[i] == '\x7f')
                        line[i] = '?';

        if (capture.text) {
                (void)snprintf(capture.text, capture.size, "%.*s", (int)(length - prefix),
                               line + prefix);
                errno = saved_errno;
                return;
        }
        /* One write, so that lines of several processes do not mix. */
        line[length++] = '\n';
        if (write(STDERR_FILENO, line, length) < 0) {
                /* There is nowhere left to complain. */
        }
        errno = saved_errno;
}
