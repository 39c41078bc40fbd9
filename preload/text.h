/* SPDX-License-Identifier: MIT */
/* Strings and messages without a libc. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

size_t text_length(const char *s);
bool text_equal(const char *a, const char *b);
bool text_starts(const char *s, const char *prefix);

/* The part of a path behind its last slash, in place. */
const char *text_basename(const char *path);

/* Parses a decimal number that ends at a zero or at the character end. -1: none, or too large. */
int text_number(const char *s, char end);

/* The value of an environment variable of this process, borrowed, or NULL. */
const char *text_environment(const char *name);

/* A line that is put together piece by piece; what does not fit is cut off. */
struct line {
        char text[4096];
        size_t size;
};

void line_add(struct line *line, const char *s);
void line_add_part(struct line *line, const char *s, size_t size);
void line_add_number(struct line *line, unsigned long number);

/* Adds an address as an administrator writes it: /path, 127.0.0.1:9000, [::1]:9000. */
void line_add_address(struct line *line, const struct sockaddr *address, socklen_t size);

/* Writes the line to stderr as "fpm-waker: TEXT". */
void line_say(struct line *line);
