/* SPDX-License-Identifier: MIT */
#include "text.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>
#include <unistd.h>

#include "raw.h"

/* The compiler calls these on its own; the libc's are not ours to need. */
void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
        char *t = to;
        const char *f = from;

        while (size--)
                *t++ = *f++;
        return to;
}

void *memset(void *to, int byte, size_t size)
{
        char *t = to;

        while (size--)
                *t++ = (char)byte;
        return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
        const unsigned char *x = a;
        const unsigned char *y = b;

        for (; size; size--, x++, y++)
                if (*x != *y)
                        return *x - *y;
        return 0;
}

size_t text_length(const char *s)
{
        size_t n = 0;

        while (s[n])
                n++;
        return n;
}

bool text_equal(const char *a, const char *b)
{
        while (*a && *a == *b) {
                a++;
                b++;
        }
        return *a == *b;
}

bool text_starts(const char *s, const char *prefix)
{
        while (*prefix && *s == *prefix) {
                s++;
                prefix++;
        }
        return !*prefix;
}

const char *text_basename(const char *path)
{
        const char *base = path;

        for (; *path; path++)
                if (*path == '/')
                        base = path + 1;
        return base;
}

int text_number(const char *s, char end)
{
        int number = 0;

        if (*s < '0' || *s > '9')
                return -1;
        for (; *s >= '0' && *s <= '9'; s++) {
                if (number > (INT32_MAX - 9) / 10)
                        return -1;
                number = number * 10 + (*s - '0');
        }
        return *s == '\0' || *s == end ? number : -1;
}

const char *text_environment(const char *name)
{
        size_t size = text_length(name);

        for (char **e = environ; e && *e; e++)
                if (text_starts(*e, name) && (*e)[size] == '=')
                        return *e + size + 1;
        return NULL;
}

void line_add_part(struct line *line, const char *s, size_t size)
{
        for (; size && line->size < sizeof(line->text) - 1; size--)
                line->text[line->size++] = *s++;
        line->text[line->size] = '\0';
}

void line_add(struct line *line, const char *s)
{
        line_add_part(line, s, text_length(s));
}

static void add_number(struct line *line, unsigned long number, unsigned base)
{
        char digits[24];
        char *d = digits + sizeof(digits) - 1;

        *d = '\0';
        do {
                *--d = "0123456789abcdef"[number % base];
                number /= base;
        } while (number);
        line_add(line, d);
}

void line_add_number(struct line *line, unsigned long number)
{
        add_number(line, number, 10);
}

static void add_ipv6(struct line *line, const struct in6_addr *address)
{
        const uint8_t *byte = address->s6_addr;
        uint16_t groups[8];
        int best = -1;
        int best_size = 1; /* a single zero group is not worth a "::" (RFC 5952, 4.2.2) */

        for (int i = 0; i < 8; i++, byte += 2)
                groups[i] = (uint16_t)(byte[0] << 8 | byte[1]);
        for (int i = 0; i < 8; i++) {
                int n = 0;

                while (i + n < 8 && !groups[i + n])
                        n++;
                if (n > best_size) {
                        best = i;
                        best_size = n;
                }
        }
        for (int i = 0; i < 8; i++) {
                if (i == best) {
                        line_add(line, "::");
                        i += best_size - 1;
                        continue;
                }
                if (i && i != best + best_size)
                        line_add(line, ":");
                add_number(line, groups[i], 16);
        }
}

void line_add_address(struct line *line, const struct sockaddr *address, socklen_t size)
{
        if (address->sa_family == AF_INET) {
                const struct sockaddr_in *in = (const void *)address;
                const uint8_t *byte = (const void *)&in->sin_addr;

                for (int i = 0; i < 4; i++) {
                        add_number(line, byte[i], 10);
                        line_add(line, i < 3 ? "." : ":");
                }
                add_number(line, ntohs(in->sin_port), 10);
        } else if (address->sa_family == AF_INET6) {
                const struct sockaddr_in6 *in6 = (const void *)address;

                line_add(line, "[");
                add_ipv6(line, &in6->sin6_addr);
                line_add(line, "]:");
                add_number(line, ntohs(in6->sin6_port), 10);
        } else if (address->sa_family == AF_UNIX) {
                const struct sockaddr_un *un = (const void *)address;
                char path[sizeof(un->sun_path) + 1] = "";

                for (size_t i = 0;
                     i < sizeof(un->sun_path) && offsetof(struct sockaddr_un, sun_path) + i < size;
                     i++)
                        path[i] = un->sun_path[i];
                if (path[0] == '\0')
                        line_add(line, "@"); /* abstract, as ss(8) writes it */
                line_add(line, path[0] ? path : path + 1);
        } else {
                line_add(line, "an address of family ");
                add_number(line, address->sa_family, 10);
        }
}

void line_say(struct line *line)
{
        const char *parts[] = {"fpm-waker: ", line->text, "\n"};
        struct iovec vector[3];

        for (int i = 0; i < 3; i++) {
                vector[i].iov_base = (void *)(uintptr_t)parts[i];
                vector[i].iov_len = text_length(parts[i]);
        }
        (void)raw3(writev, 2, vector, 3);
}
