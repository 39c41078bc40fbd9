/* SPDX-License-Identifier: MIT */
#include "pools.h"

#include <netinet/in.h>
#include <stdint.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "adopt.h"
#include "raw.h"
#include "shim.h"
#include "text.h"

#define WORDS_MAX     256
#define VARIABLES_MAX 1024

enum match { MATCH_NONE, MATCH_PORT, MATCH_EXACT };

/* The pool whose address is looked for, as far as php-fpm's answer has been read. */
struct search {
        const struct sockaddr *address;
        struct line text; /* the address as an administrator writes it */
        char section[GATE_NAME_MAX];
        char pool[GATE_NAME_MAX]; /* the pool that listens there */
        bool is_status;           /* ... with its pm.status_listen */
        enum match match;
};

static enum match match_listen(const struct search *search, const char *listen)
{
        const struct sockaddr_in *in = (const void *)search->address;
        const char *port = listen;

        if (search->address->sa_family == AF_UNIX)
                return adopt_same_path(AT_FDCWD, listen, search->text.text) ? MATCH_EXACT
                                                                            : MATCH_NONE;
        if (text_equal(listen, search->text.text))
                return MATCH_EXACT;
        for (const char *s = listen; *s; s++)
                if (*s == ':')
                        port = s + 1;
        return text_number(port, '\0') == ntohs(in->sin_port) ? MATCH_PORT : MATCH_NONE;
}

static void copy_name(char to[static GATE_NAME_MAX], const char *from, char end)
{
        size_t n = 0;

        for (; from[n] && from[n] != end && n < GATE_NAME_MAX - 1; n++)
                to[n] = from[n];
        to[n] = '\0';
}

/* One line of "php-fpm -tt": "[date] NOTICE: [pool]" or "[date] NOTICE: <tab>key = value". */
static void read_line(struct search *search, const char *line)
{
        static const char mark[] = "NOTICE: ";
        static const char *const keys[] = {"\tlisten = ", "\tpm.status_listen = "};

        while (*line && !text_starts(line, mark))
                line++;
        if (!*line)
                return;
        line += sizeof(mark) - 1;
        if (*line == '[')
                copy_name(search->section, line + 1, ']');
        for (int i = 0; i < 2; i++) {
                enum match match;

                if (!text_starts(line, keys[i]))
                        continue;
                match = match_listen(search, line + text_length(keys[i]));
                if (match <= search->match)
                        continue;
                search->match = match;
                search->is_status = i == 1;
                copy_name(search->pool, search->section, '\0');
        }
}

static void read_answer(struct search *search, int fd)
{
        char buffer[1024];
        char line[512];
        size_t size = 0;
        long n;

        while ((n = raw_read(fd, buffer, sizeof(buffer))) > 0 || n == -EINTR) {
                for (long i = 0; i < n; i++) {
                        if (buffer[i] != '\n') {
                                if (size < sizeof(line) - 1)
                                        line[size++] = buffer[i];
                                continue;
                        }
                        line[size] = '\0';
                        read_line(search, line);
                        size = 0;
                }
        }
}

/* In the child: this very program with its own words and -tt, and without us. */
static void execute_test(int answer_fd)
{
        char *words[WORDS_MAX + 2];
        char *variables[VARIABLES_MAX + 1];
        static char option[] = "-tt";
        size_t n = 0;
        size_t v = 0;

        for (size_t i = 0; i < shim.words_size && n < WORDS_MAX; i++)
                if (i == 0 || shim.words[i - 1] == '\0')
                        words[n++] = &shim.words[i];
        words[n++] = option;
        words[n] = NULL;
        for (char **e = environ; e && *e && v < VARIABLES_MAX; e++)
                if (!text_starts(*e, "LD_PRELOAD=") && !text_starts(*e, "FPM_SOCKETS"))
                        variables[v++] = *e;
        variables[v] = NULL;
        (void)raw3(dup3, answer_fd, 1, 0);
        (void)raw3(dup3, answer_fd, 2, 0);
        (void)raw3(execve, "/proc/self/exe", words, variables);
        (void)raw1(exit_group, 127);
}

/* Asks php-fpm for the configuration that it has just read itself. Returns 0 or -errno. */
static int ask_server(struct search *search)
{
        int ends[2];
        long pid;
        long r = raw2(pipe2, ends, O_CLOEXEC);

        if (r < 0)
                return (int)r;
        /* No signal at its end: php-fpm's handler of SIGCHLD would wonder whose child that was. */
        pid = raw5(clone, 0, NULL, NULL, NULL, 0);
        if (pid == 0)
                execute_test(ends[1]);
        (void)raw_close(ends[1]);
        if (pid > 0) {
                read_answer(search, ends[0]);
                while (raw4(wait4, pid, NULL, __WALL, NULL) == -EINTR)
                        ;
        }
        (void)raw_close(ends[0]);
        return pid < 0 ? (int)pid : 0;
}

static int find_by_name(const char *pool)
{
        for (uint32_t i = 0; i < shim.n_listeners; i++)
                if (!shim.listeners[i].references &&
                    text_equal(shim.gate.page->sockets[i].name, pool))
                        return (int)i;
        return -1;
}

static int refuse(const struct search *search)
{
        struct line line = {0};

        line_add(&line, "pool ");
        if (search->pool[0]) {
                line_add(&line, "[");
                line_add(&line, search->pool);
                line_add(&line, "] ");
        }
        line_add(&line, "listens on ");
        line_add(&line, search->text.text);
        line_add(&line, ", but no free passed socket has this address or the pool's name; passed:");
        for (uint32_t i = 0; i < shim.n_listeners; i++) {
                const struct listener *listener = &shim.listeners[i];

                line_add(&line, i ? ", " : " ");
                line_add_address(&line, (const void *)&listener->address, listener->address_size);
                line_add(&line, " (name \"");
                line_add(&line, shim.gate.page->sockets[i].name);
                line_add(&line, listener->references ? "\", adopted)" : "\")");
        }
        line_say(&line);
        return -EADDRNOTAVAIL;
}

static bool is_only_choice(void)
{
        return shim.n_listeners == 1 && !shim.listeners[0].references && !shim.unmatched;
}

int pools_find(const struct sockaddr *address, socklen_t size)
{
        struct search search = {.address = address};
        int i;

        if (!shim.is_php_fpm)
                return POOLS_OWN_SOCKET;
        if (is_only_choice()) {
                shim.unmatched = true;
                return 0;
        }
        line_add_address(&search.text, address, size);
        if (ask_server(&search) == 0 && search.is_status)
                return POOLS_OWN_SOCKET;
        i = find_by_name(search.pool);
        return search.pool[0] && i >= 0 ? i : refuse(&search);
}
