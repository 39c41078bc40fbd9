/* SPDX-License-Identifier: MIT */
/* One line on stderr per message, "fpm-launcher: ..." or "fpm-waker: ...". */
#pragma once

/* Prints "PROGRAM: MESSAGE". PROGRAM is program_invocation_short_name. */
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints like log_line() and returns status, for "return log_fail(2, ...)". */
int log_fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));
