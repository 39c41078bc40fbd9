/* SPDX-License-Identifier: MIT */
#include "words.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

/* Takes ownership of the word, which may be NULL for "no memory". */
static void words_take(struct words *words, char *word)
{
        char **list;

        if (words->error < 0 || !word) {
                if (words->error == 0)
                        words->error = -ENOMEM;
                free(word);
                return;
        }
        list = reallocarray(words->list, words->n + 2, sizeof(*list));
        if (!list) {
                words->error = -ENOMEM;
                free(word);
                return;
        }
        list[words->n++] = word;
        list[words->n] = NULL;
        words->list = list;
}

void words_add(struct words *words, const char *word)
{
        words_take(words, strdup(word));
}

void words_addf(struct words *words, const char *format, ...)
{
        char *word = NULL;
        va_list arguments;

        va_start(arguments, format);
        if (vasprintf(&word, format, arguments) < 0)
                word = NULL;
        va_end(arguments);
        words_take(words, word);
}

void words_add_all(struct words *words, const struct words *more)
{
        for (size_t i = 0; i < more->n; i++)
                words_add(words, more->list[i]);
}

static int hex_digit(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -EINVAL;
}

/* Reads what follows a backslash; returns the number of characters read. */
static int unescape(const char *text, char *ret)
{
        static const char from[] = "abfnrtvs\\\"'";
        static const char to[] = "\a\b\f\n\r\t\v \\\"'";
        const char *found;

        if (text[0] == 'x') {
                int high = hex_digit(text[1]);
                int low = high < 0 ? -EINVAL : hex_digit(text[2]);

                /* A zero would end the word in the middle. */
                if (low < 0 || (high == 0 && low == 0))
                        return -EINVAL;
                *ret = (char)(high * 16 + low);
                return 3;
        }
        if (text[0] == '\0')
                return -EINVAL;
        found = strchr(from, text[0]);
        if (!found)
                return -EINVAL;
        *ret = to[found - from];
        return 1;
}

/* Reads one word from *text into word, which is large enough for all of the text. */
static int split_one(const char **text, char *word)
{
        const char *p = *text;
        char quote = '\0';
        size_t n = 0;

        for (; *p && (quote || !isspace((unsigned char)*p)); p++) {
                if (*p == '\\') {
                        int length = unescape(p + 1, &word[n]);

                        if (length < 0)
                                return length;
                        p += length;
                        n++;
                } else if (quote && *p == quote)
                        quote = '\0';
                else if (!quote && (*p == '"' || *p == '\''))
                        quote = *p;
                else
                        word[n++] = *p;
        }
        if (quote)
                return -EINVAL;
        word[n] = '\0';
        *text = p;
        return 0;
}

int words_split(struct words *words, const char *text)
{
        _cleanup_free_ char *word = malloc(strlen(text) + 1);

        if (!word)
                return -ENOMEM;
        for (;;) {
                int r;

                while (isspace((unsigned char)*text))
                        text++;
                if (!*text)
                        return words_result(words);
                r = split_one(&text, word);
                if (r < 0)
                        return r;
                words_add(words, word);
        }
}

int words_result(const struct words *words)
{
        return words->error;
}

void words_done(struct words *words)
{
        for (size_t i = 0; i < words->n; i++)
                free(words->list[i]);
        free(words->list);
        *words = (struct words){0};
}
