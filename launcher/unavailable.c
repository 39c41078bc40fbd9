/* SPDX-License-Identifier: MIT */
#include "unavailable.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "log.h"

/* A free place. If there is none, the child that has it has finished for longer than all others. */
static pid_t *take_place(struct unavailable *unavailable)
{
        pid_t *children = unavailable->children;

        for (size_t i = 0; i < UNAVAILABLE_CHILDREN; i++)
                if (children[i] == 0)
                        return &children[i];
        (void)kill(children[0], SIGKILL);
        for (size_t i = 1; i < UNAVAILABLE_CHILDREN; i++)
                children[i - 1] = children[i];
        return &children[UNAVAILABLE_CHILDREN - 1];
}

void unavailable_begin(struct unavailable *unavailable, const struct passed *passed,
                       uint64_t retry_at_usec)
{
        pid_t *place;
        int r;

        if (!unavailable->shared)
                unavailable->shared = answering_new();
        if (!unavailable->shared) {
                log_line("cannot answer requests: %m");
                return;
        }
        atomic_store(&unavailable->shared->retry_at_usec, retry_at_usec);
        if (unavailable->accepting > 0)
                return;
        place = take_place(unavailable);
        r = answering_fork(passed, unavailable->shared, NULL, place, &unavailable->holding_fd);
        errno = -r;
        if (r < 0) {
                *place = 0;
                log_line("cannot answer requests: %m");
                return;
        }
        unavailable->accepting = *place;
}

void unavailable_finish(struct unavailable *unavailable)
{
        if (unavailable->accepting == 0)
                return;
        unavailable->accepting = 0;
        (void)close(unavailable->holding_fd);
        unavailable->holding_fd = -1;
}

bool unavailable_is(const struct unavailable *unavailable)
{
        return unavailable->accepting > 0;
}

bool unavailable_asked_since(const struct unavailable *unavailable, uint64_t usec)
{
        return unavailable->shared && atomic_load(&unavailable->shared->last_asked_usec) >= usec;
}

void unavailable_reaped(struct unavailable *unavailable, pid_t pid)
{
        pid_t *children = unavailable->children;
        size_t n = 0;

        if (pid == unavailable->accepting)
                unavailable_finish(unavailable);
        for (size_t i = 0; i < UNAVAILABLE_CHILDREN; i++)
                if (children[i] != pid)
                        children[n++] = children[i];
        while (n < UNAVAILABLE_CHILDREN)
                children[n++] = 0;
}

bool unavailable_is_gone(const struct unavailable *unavailable)
{
        return unavailable->children[0] == 0;
}
