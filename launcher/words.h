/* SPDX-License-Identifier: MIT */
/*
 * A growing, NULL-terminated list of words, as exec takes it. The first failure sticks: further
 * additions do nothing, and words_result() tells at the end, so that a long command is composed
 * without a check behind every word.
 */
#pragma once

#include <stddef.h>

struct words {
        char **list; /* NULL-terminated; NULL while there is no word */
        size_t n;
        int error; /* 0, or the -errno of the first failure */
};

/* Appends a copy of the word. */
void words_add(struct words *words, const char *word);

/* Appends a formatted word. */
void words_addf(struct words *words, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends copies of all words of another list. */
void words_add_all(struct words *words, const struct words *more);

/*
 * Splits text as systemd splits ExecStart=: blanks separate, 'single' and "double" quotes hold
 * together, and \a \b \f \n \r \t \v \s \\ \" \' \xHH are one character.
 * Returns 0, -EINVAL for an open quote or an unknown escape, -ENOMEM.
 */
int words_split(struct words *words, const char *text);

/* 0, or the -errno of the first addition that failed. */
int words_result(const struct words *words);

/* Frees the words; the list is empty and usable afterwards. */
void words_done(struct words *words);
