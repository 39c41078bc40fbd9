/* SPDX-License-Identifier: MIT */
#include "frozen.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "../preload/gate.h"
#include "cleanup.h"
#include "freezer.h"
#include "log.h"

#define USEC_PER_SEC UINT64_C(1000000)

/*
 * How often to look for signals, of which nothing else tells us; and how much later it may be, so
 * that the looks of all vhosts of a machine fall together. An engine that stops a container waits
 * for so long.
 */
#define LOOK_USEC       USEC_PER_SEC
#define LOOK_LATER_USEC (USEC_PER_SEC / 2)

/* Memory is offered back in pieces, for a connection may come in between. */
#define PIECE_BYTES ((size_t)4 << 20)

struct frozen {
        struct frozen_plan plan;
        char *path, *note;
        int freezer;
        sd_event_source *asks[GATE_SOCKETS_MAX];
        sd_event_source *looks;
        sd_event_source *offers;
};

/* --- the note ------------------------------------------------------------------------------ */

static int write_note(const char *note, const char *path)
{
        _cleanup_close_ int fd = -1;
        ssize_t n;

        fd = open(note, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        n = write(fd, path, strlen(path));
        if (n < 0)
                return -errno;
        return (size_t)n == strlen(path) ? 0 : -ENOSPC;
}

void frozen_recover(const char *note)
{
        _cleanup_close_ int fd = open(note, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), freezer = -1;
        char path[PATH_MAX];
        ssize_t n;

        if (fd < 0)
                return;
        n = read(fd, path, sizeof(path) - 1);
        (void)unlink(note);
        if (n <= 0)
                return;
        path[n] = '\0';
        freezer = freezer_open(path);
        if (freezer >= 0 && freezer_set(freezer, false) == 0)
                log_line("thawed what was left frozen: %s", path);
}

/* --- what may happen ----------------------------------------------------------------------- */

static int on_asked(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        const struct frozen *frozen = userdata;

        (void)source;
        (void)fd;
        (void)events;
        frozen->plan.happened(FROZEN_ASKED, frozen->plan.userdata);
        return 0;
}

/* Does a signal wait that is meant to end or to change a server? (With version 1, SIGKILL waits,
 * too.) */
static bool signal_waits(pid_t pid)
{
        static const int signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGKILL};
        _cleanup_fclose_ FILE *stream = NULL;
        uint64_t pending = 0, set;
        char path[64], line[256];

        (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
        stream = fopen(path, "re");
        while (stream && fgets(line, sizeof(line), stream))
                if (sscanf(line, "SigPnd: %" SCNx64, &set) == 1 ||
                    sscanf(line, "ShdPnd: %" SCNx64, &set) == 1)
                        pending |= set;
        for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
                if (pending & UINT64_C(1) << (signals[i] - 1))
                        return true;
        return false;
}

bool frozen_is_over(const struct frozen *frozen)
{
        return freezer_is_set(frozen->freezer) != 1;
}

static int on_time_to_look(sd_event_source *source, uint64_t usec, void *userdata)
{
        const struct frozen *frozen = userdata;

        (void)usec;
        (void)sd_event_source_set_time_relative(source, LOOK_USEC);
        (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        if (frozen_is_over(frozen))
                frozen->plan.happened(FROZEN_THAWED, frozen->plan.userdata);
        else if (signal_waits(frozen->plan.init->pid))
                frozen->plan.happened(FROZEN_SIGNALLED, frozen->plan.userdata);
        return 0;
}

/* When nothing else is to be done. */
static int on_time_to_offer(sd_event_source *source, void *userdata)
{
        const struct frozen *frozen = userdata;

        if (freezer_reclaim(frozen->path, PIECE_BYTES) < 0)
                (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        return 0;
}

/* --- all of it ----------------------------------------------------------------------------- */

static int watch(struct frozen *frozen, sd_event *event)
{
        const struct frozen_plan *plan = &frozen->plan;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < plan->n_sockets && i < GATE_SOCKETS_MAX; i++)
                r = sd_event_add_io(event, &frozen->asks[i], plan->sockets[i], EPOLLIN, on_asked,
                                    frozen);
        if (r >= 0)
                r = sd_event_add_defer(event, &frozen->offers, on_time_to_offer, frozen);
        if (r >= 0)
                r = sd_event_source_set_priority(frozen->offers, SD_EVENT_PRIORITY_IDLE);
        if (r >= 0)
                r = sd_event_source_set_enabled(frozen->offers, SD_EVENT_ON);
        if (r >= 0 && plan->init)
                r = sd_event_add_time_relative(event, &frozen->looks, CLOCK_MONOTONIC, LOOK_USEC,
                                               LOOK_LATER_USEC, on_time_to_look, frozen);
        return r;
}

static int freeze(struct frozen *frozen, sd_event *event)
{
        int r;

        frozen->path = strdup(frozen->plan.path);
        if (!frozen->path)
                return -ENOMEM;
        if (frozen->plan.note && !(frozen->note = strdup(frozen->plan.note)))
                return -ENOMEM;
        r = frozen->freezer = freezer_open(frozen->path);
        if (r >= 0)
                r = watch(frozen, event);
        if (r >= 0 && frozen->note)
                r = write_note(frozen->note, frozen->path);
        if (r >= 0)
                r = freezer_set(frozen->freezer, true);
        return r;
}

int frozen_new(struct frozen **ret, sd_event *event, const struct frozen_plan *plan)
{
        struct frozen *frozen;
        int r;

        frozen = malloc(sizeof(*frozen));
        if (!frozen)
                return -ENOMEM;
        *frozen = (struct frozen){.plan = *plan, .freezer = -1};
        r = freeze(frozen, event);
        if (r < 0) {
                frozen_free(frozen);
                return r;
        }
        *ret = frozen;
        return 0;
}

void frozen_free(struct frozen *frozen)
{
        if (!frozen)
                return;
        if (frozen->freezer >= 0) {
                (void)freezer_set(frozen->freezer, false);
                (void)close(frozen->freezer);
        }
        if (frozen->note)
                (void)unlink(frozen->note);
        for (size_t i = 0; i < GATE_SOCKETS_MAX; i++)
                frozen->asks[i] = sd_event_source_disable_unref(frozen->asks[i]);
        frozen->looks = sd_event_source_disable_unref(frozen->looks);
        frozen->offers = sd_event_source_disable_unref(frozen->offers);
        free(frozen->path);
        free(frozen->note);
        free(frozen);
}
