/* SPDX-License-Identifier: MIT */
/*
 * Which of the lines that a server wrote before it ended says why: the first that speaks of an
 * error, else the last. Without php-fpm's time before it, so that the same complaint is the same.
 */
#pragma once

#include <stdbool.h>

struct complaint {
        char text[512]; /* "" if it said nothing */
        bool is_error;
};

/* Reads the next line. */
void complaint_line(struct complaint *complaint, const char *line);
