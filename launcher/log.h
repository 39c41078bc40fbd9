/* SPDX-License-Identifier: MIT */
/*
 * One line on stderr per message, "fpm-launcher: ..." or "fpm-waker: ...". Control characters in
 * it become "?". Both keep errno and are not async-signal-safe.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

/* Longer than any path; what does not fit is cut, and the line stays one line. */
#define LOG_LINE_MAX 8192

/* Prints "PROGRAM: MESSAGE"; %m is errno's text. PROGRAM is program_invocation_short_name. */
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * From now on, messages go to text instead, the last of them without "PROGRAM: ", cut to size;
 * NULL: to stderr again.
 */
void log_capture(char *text, size_t size);

/*
 * The two halves of log_line(), for who has another place for the line than stderr: composes it,
 * without a newline and not terminated, and returns its length; *ret_message is where MESSAGE
 * begins. And writes it with a newline behind it.
 */
size_t log_compose(char line[LOG_LINE_MAX], size_t *ret_message, const char *format, va_list list)
    __attribute__((format(printf, 3, 0)));
void log_write(char line[LOG_LINE_MAX], size_t length);

/* -pedantic knows no %m, except in what is marked as an extension. */
#define log_line(...) (__extension__(log_line)(__VA_ARGS__))

/* Prints like log_line() and is the status, for "return log_fail(2, ...)". */
#define log_fail(status, ...) (log_line(__VA_ARGS__), log_status(status))

static inline int log_status(int status)
{
        return status;
}
