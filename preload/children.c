/* SPDX-License-Identifier: MIT */
#include "children.h"

#include <unistd.h>

#include "raw.h"
#include "shim.h"
#include "text.h"

#define OUR_NAME "libfpm-waker.so"

static void close_to_programs(int fd)
{
        long flags = fd < 0 ? -EBADF : raw_fcntl(fd, F_GETFD, 0);

        if (flags >= 0)
                (void)raw_fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
}

static void hide_descriptors(void)
{
        const struct gate_page *page = shim.gate.page;

        close_to_programs(shim.page_fd);
        close_to_programs(page->closing_fd);
        close_to_programs(page->waking_fd);
        close_to_programs(page->handover_fd);
        for (uint32_t i = 0; i < shim.n_listeners; i++)
                close_to_programs(page->sockets[i].fd);
        /* Standard input stays open whatever it is: a program takes the next file for it else. */
        for (int fd = 3; fd < shim.fds_end; fd++)
                if (shim_listener(fd))
                        close_to_programs(fd);
}

/* FPM_SOCKETS, FPM_SOCKETS_1, ...: what php-fpm tells itself at a reload. */
static bool is_ours(const char *entry)
{
        static const char *const prefixes[] = {"FPM_WAKER_",     "FPM_SOCKETS=", "FPM_SOCKETS_",
                                               "LISTEN_FDS=",    "LISTEN_PID=",  "LISTEN_FDNAMES=",
                                               "LISTEN_PIDFDID="};

        for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
                if (text_starts(entry, prefixes[i]))
                        return true;
        return false;
}

static bool is_our_library(const char *path, size_t size)
{
        size_t name = sizeof(OUR_NAME) - 1;

        return size >= name && text_starts(path + size - name, OUR_NAME) &&
               (size == name || path[size - name - 1] == '/');
}

/* "LD_PRELOAD=..." without our library, or NULL if nothing is left of it. */
static char *without_us(const char *entry)
{
        const char *path = entry + sizeof("LD_PRELOAD=") - 1;
        struct line *line = &shim.ld_preload;

        line->size = 0;
        line_add(line, "LD_PRELOAD=");
        while (*path) {
                size_t size = 0;

                while (path[size] && path[size] != ':' && path[size] != ' ')
                        size++;
                if (size && !is_our_library(path, size)) {
                        if (line->text[line->size - 1] != '=')
                                line_add(line, ":");
                        line_add_part(line, path, size);
                }
                path += path[size] ? size + 1 : size;
        }
        return line->text[line->size - 1] == '=' ? NULL : line->text;
}

static void hide_variables(void)
{
        char **to = environ;

        for (char **from = environ; from && *from; from++) {
                char *entry = *from;

                if (is_ours(entry))
                        continue;
                if (text_starts(entry, "LD_PRELOAD=") && !(entry = without_us(entry)))
                        continue;
                *to++ = entry;
        }
        if (to)
                *to = NULL;
}

void children_hide(void)
{
        hide_descriptors();
        hide_variables();
}
