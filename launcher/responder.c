/* SPDX-License-Identifier: MIT */
#include "responder.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "answering.h"
#include "cleanup.h"
#include "log.h"

#define USEC_PER_SEC UINT64_C(1000000)

/* A child process. */
struct crew {
        struct responder *responder;
        struct crew *next;
        pid_t pid;
        sd_event_source *exits;
};

struct responder {
        sd_event *event;
        const struct passed *passed;
        const char *page;
        struct answering *shared;
        struct crew *crews;
        struct crew *answering; /* the one that accepts, NULL: none does; all others finish */
        int holding_fd; /* that one finishes when nobody holds this end of a pipe any more */
        sd_event_source *restarts;
        responder_gone_t gone;
        void *userdata;
};

static void start_crew(struct responder *responder);

static void crew_free(struct crew *crew)
{
        struct crew **link = &crew->responder->crews;

        while (*link != crew)
                link = &(*link)->next;
        *link = crew->next;
        (void)sd_event_source_disable_unref(crew->exits);
        free(crew);
}

static int on_time_to_restart(sd_event_source *source, uint64_t usec, void *userdata)
{
        struct responder *responder = userdata;

        (void)source;
        (void)usec;
        responder->restarts = sd_event_source_disable_unref(responder->restarts);
        start_crew(responder);
        return 0;
}

/* Nothing else answers: so it is tried again, but not without end at once. */
static void restart(struct responder *responder)
{
        int r;

        r = sd_event_add_time_relative(responder->event, &responder->restarts, CLOCK_MONOTONIC,
                                       USEC_PER_SEC, 0, on_time_to_restart, responder);
        if (r < 0)
                log_line("cannot answer requests: %s", strerror(-r));
}

static int on_exits(sd_event_source *source, const siginfo_t *info, void *userdata)
{
        struct crew *crew = userdata;
        struct responder *responder = crew->responder;

        (void)source;
        if (crew == responder->answering) {
                log_line(
                    "what answers requests with 503 has ended with status %d: starting it again",
                    info->si_code == CLD_EXITED ? info->si_status : 128 + info->si_status);
                responder->answering = NULL;
                (void)close(take_descriptor(&responder->holding_fd));
                restart(responder);
        }
        crew_free(crew);
        if (!responder->crews && !responder->restarts)
                responder->gone(responder->userdata);
        return 0;
}

static void start_crew(struct responder *responder)
{
        struct crew *crew;
        int r;

        crew = calloc(1, sizeof(*crew));
        r = crew ? answering_fork(responder->passed, responder->shared, responder->page, &crew->pid,
                                  &responder->holding_fd)
                 : -ENOMEM;
        if (r < 0) {
                log_line("cannot answer requests: %s", strerror(-r));
                free(crew);
                restart(responder);
                return;
        }
        crew->responder = responder;
        crew->next = responder->crews;
        responder->crews = responder->answering = crew;
        r = sd_event_add_child(responder->event, &crew->exits, crew->pid, WEXITED, on_exits, crew);
        if (r < 0)
                log_line("cannot watch what answers requests: %s", strerror(-r));
}

void responder_start(struct responder *responder, const char *page)
{
        if (responder->answering || responder->restarts)
                return;
        responder->page = page;
        start_crew(responder);
}

void responder_finish(struct responder *responder)
{
        responder->restarts = sd_event_source_disable_unref(responder->restarts);
        if (!responder->answering)
                return;
        responder->answering = NULL;
        (void)close(take_descriptor(&responder->holding_fd));
}

int responder_new(struct responder **ret, sd_event *event, const struct passed *passed,
                  responder_gone_t gone, void *userdata)
{
        struct responder *responder;
        struct answering *shared = answering_new();

        if (!shared)
                return -errno;
        responder = malloc(sizeof(*responder));
        if (!responder) {
                answering_free(shared);
                return -ENOMEM;
        }
        *responder = (struct responder){
            .event = event,
            .passed = passed,
            .shared = shared,
            .holding_fd = -1,
            .gone = gone,
            .userdata = userdata,
        };
        *ret = responder;
        return 0;
}

void responder_retry_at(struct responder *responder, uint64_t usec)
{
        atomic_store(&responder->shared->retry_at_usec, usec);
}

void responder_retry_after(struct responder *responder, uint64_t usec)
{
        atomic_store(&responder->shared->retry_after_usec, usec);
}

uint64_t responder_last_asked(const struct responder *responder)
{
        return atomic_load(&responder->shared->last_asked_usec);
}

bool responder_is_gone(const struct responder *responder)
{
        return !responder->crews;
}

void responder_free(struct responder *responder)
{
        if (!responder)
                return;
        responder_finish(responder);
        while (responder->crews) {
                pid_t pid = responder->crews->pid;

                crew_free(responder->crews);
                (void)kill(pid, SIGKILL);
                (void)waitpid(pid, NULL, 0);
        }
        answering_free(responder->shared);
        free(responder);
}
