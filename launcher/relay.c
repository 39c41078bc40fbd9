/* SPDX-License-Identifier: MIT */
#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"

/* What stderr, once writable, takes without blocking: PIPE_BUF. */
#define PIECE      4096

#define LINE_BYTES 1024

#define HELD_BYTES ((size_t)64 * 1024)

struct relay {
        int fd;
        sd_event_source *from_child;
        sd_event_source *to_stderr; /* only while stderr is full; NULL if it is never full */
        relay_line_t line;
        void *userdata;
        size_t length;
        char text[LINE_BYTES];
        bool holding;
        size_t n_held;
        char held[HELD_BYTES];
};

static void show_lines(struct relay *relay, const char *bytes, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                if (bytes[i] != '\n') {
                        if (relay->length < LINE_BYTES - 1)
                                relay->text[relay->length++] = bytes[i];
                        continue;
                }
                relay->text[relay->length] = '\0';
                relay->length = 0;
                relay->line(relay->text, relay->userdata);
        }
}

static bool stderr_is_full(void)
{
        struct pollfd poll_fd = {.fd = STDERR_FILENO, .events = POLLOUT};

        /* An error counts as room: the write fails, and what was said is lost. */
        return poll(&poll_fd, 1, 0) == 0;
}

static void say(const char *bytes, size_t n)
{
        ssize_t m;

        for (size_t done = 0; done < n; done += (size_t)m) {
                m = write(STDERR_FILENO, bytes + done, n - done);
                if (m < 0 && errno == EINTR)
                        m = 0;
                if (m < 0)
                        break;
        }
}

void relay_hold(struct relay *relay)
{
        relay->holding = true;
}

void relay_release(struct relay *relay)
{
        for (size_t done = 0, n; done < relay->n_held; done += n) {
                n = relay->n_held - done < PIECE ? relay->n_held - done : PIECE;
                if (relay->to_stderr && stderr_is_full())
                        break;
                say(relay->held + done, n);
        }
        relay->holding = false;
        relay->n_held = 0;
}

/* Passes one piece on. Returns false if there is nothing more. */
static bool pass_piece(struct relay *relay)
{
        char bytes[PIECE];
        ssize_t n;

        n = read(relay->fd, bytes, sizeof(bytes));
        if (n <= 0)
                return n < 0 && errno == EINTR;
        show_lines(relay, bytes, (size_t)n);
        if (relay->holding && (size_t)n > HELD_BYTES - relay->n_held)
                relay_release(relay);
        if (relay->holding) {
                memcpy(relay->held + relay->n_held, bytes, (size_t)n);
                relay->n_held += (size_t)n;
        } else
                say(bytes, (size_t)n);
        return true;
}

/* Would what we pass on have to wait? */
static bool must_wait(const struct relay *relay)
{
        return !relay->holding && relay->to_stderr && stderr_is_full();
}

static int on_child_writes(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        struct relay *relay = userdata;

        (void)fd;
        if (must_wait(relay)) {
                (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
                (void)sd_event_source_set_enabled(relay->to_stderr, SD_EVENT_ONESHOT);
                return 0;
        }
        if (!pass_piece(relay) && (events & EPOLLHUP))
                (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        return 0;
}

static int on_stderr_has_room(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        struct relay *relay = userdata;

        (void)source;
        (void)fd;
        (void)events;
        (void)sd_event_source_set_enabled(relay->from_child, SD_EVENT_ON);
        return 0;
}

void relay_free(struct relay *relay)
{
        if (!relay)
                return;
        relay->from_child = sd_event_source_disable_unref(relay->from_child);
        relay->to_stderr = sd_event_source_disable_unref(relay->to_stderr);
        (void)close(relay->fd);
        free(relay);
}

int relay_new(struct relay **ret, sd_event *event, relay_line_t line, void *userdata,
              int *ret_child_fd)
{
        _cleanup_close_ int child_fd = -1;
        struct relay *relay;
        int fds[2], r;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        child_fd = fds[1];
        /* So that a server that is another user can open its /proc/self/fd/2, as images tell
         * php-fpm to. Docker and podman give the pipe to that user; systemd-nspawn does not. */
        (void)fchmod(child_fd, 0622);
        relay = calloc(1, sizeof(*relay));
        if (!relay) {
                (void)close(fds[0]);
                return -ENOMEM;
        }
        *relay = (struct relay){.fd = fds[0], .line = line, .userdata = userdata};
        if (fcntl(relay->fd, F_SETFL, O_NONBLOCK) < 0)
                r = -errno;
        else
                r = sd_event_add_io(event, &relay->from_child, relay->fd, EPOLLIN, on_child_writes,
                                    relay);
        /* A chatty container must not keep us from anything else. */
        if (r >= 0)
                r = sd_event_source_set_priority(relay->from_child, SD_EVENT_PRIORITY_IDLE);
        if (r < 0) {
                relay_free(relay);
                return r;
        }
        /* A plain file or /dev/null cannot be watched (EPERM), and is never full. */
        if (sd_event_add_io(event, &relay->to_stderr, STDERR_FILENO, EPOLLOUT, on_stderr_has_room,
                            relay) >= 0)
                (void)sd_event_source_set_enabled(relay->to_stderr, SD_EVENT_OFF);
        *ret = relay;
        *ret_child_fd = take_descriptor(&child_fd);
        return 0;
}

void relay_drain(struct relay *relay)
{
        while (!must_wait(relay) && pass_piece(relay))
                ;
}
