/* SPDX-License-Identifier: MIT */
/*
 * One line on stderr per message, "fpm-launcher: ..." or "fpm-waker: ...". Control characters in
 * it become "?". Both keep errno and are not async-signal-safe.
 */
#pragma once

#include <stddef.h>

/* Prints "PROGRAM: MESSAGE"; %m is errno's text. PROGRAM is program_invocation_short_name. */
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * From now on, messages go to text instead, the last of them without "PROGRAM: ", cut to size;
 * NULL: to stderr again.
 */
void log_capture(char *text, size_t size);

/* -pedantic knows no %m, except in what is marked as an extension. */
#define log_line(...) (__extension__(log_line)(__VA_ARGS__))

/* Prints like log_line() and is the status, for "return log_fail(2, ...)". */
#define log_fail(status, ...) (log_line(__VA_ARGS__), log_status(status))

static inline int log_status(int status)
{
        return status;
}
