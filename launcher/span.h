/* SPDX-License-Identifier: MIT */
/* Time spans as systemd writes them (systemd.time(7)): 90s, 5min, 1.5s, 1h 30min, infinity. */
#pragma once

#include <stdint.h>

/*
 * Parses a span into microseconds; a bare number is seconds, "infinity" is UINT64_MAX.
 * Returns 0, -EINVAL for what is no span, -ERANGE for one too long; *ret_usec is only written on
 * success.
 */
int span_parse(const char *text, uint64_t *ret_usec);
