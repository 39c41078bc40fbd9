/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct {
        char *text;
        size_t size;
} capture;

void log_capture(char *text, size_t size)
{
        capture.text = text;
        capture.size = size;
}

size_t log_compose(char line[LOG_LINE_MAX], size_t *ret_message, const char *format, va_list list)
{
        int saved_errno = errno;
        size_t length = 0;
        int written;

        written = snprintf(line, LOG_LINE_MAX - 1, "%s: ", program_invocation_short_name);
        if (written > 0)
                length = (size_t)written < LOG_LINE_MAX - 1 ? (size_t)written : LOG_LINE_MAX - 2;
        *ret_message = length;

        errno = saved_errno; /* for %m */
        written = vsnprintf(line + length, LOG_LINE_MAX - 1 - length, format, list);
        if (written > 0)
                length += (size_t)written < LOG_LINE_MAX - 1 - length ? (size_t)written
                                                                      : LOG_LINE_MAX - 2 - length;

        /* What the environment or a file name smuggles in must not look like a second line. */
        for (size_t i = 0; i < length; i++)
                if ((unsigned char)line[i] < ' ' || line[i] == '\x7f')
                        line[i] = '?';
        errno = saved_errno;
        return length;
}

void log_write(char line[LOG_LINE_MAX], size_t length)
{
        int saved_errno = errno;

        /* One write, so that lines of several processes do not mix. */
        line[length++] = '\n';
        if (write(STDERR_FILENO, line, length) < 0) {
                /* There is nowhere left to complain. */
        }
        errno = saved_errno;
}

void(log_line)(const char *format, ...)
{
        char line[LOG_LINE_MAX];
        int saved_errno = errno;
        size_t length, message;
        va_list arguments;

        va_start(arguments, format);
        length = log_compose(line, &message, format, arguments);
        va_end(arguments);
        if (capture.text)
                (void)snprintf(capture.text, capture.size, "%.*s", (int)(length - message),
                               line + message);
        else
                log_write(line, length);
        errno = saved_errno;
}
