/* SPDX-License-Identifier: MIT */
/*
 * One line on stderr per message, "fpm-launcher: ..." or "fpm-waker: ...". Control characters in
 * it become "?". Both keep errno and are not async-signal-safe.
 */
#pragma once

/* Prints "PROGRAM: MESSAGE"; %m is errno's text. PROGRAM is program_invocation_short_name. */
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints like log_line() and returns status, for "return log_fail(2, ...)". */
int log_fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* -pedantic knows no %m, except in what is marked as an extension. */
#define log_line(...) (__extension__(log_line)(__VA_ARGS__))
#define log_fail(...) (__extension__(log_fail)(__VA_ARGS__))
