/* SPDX-License-Identifier: MIT */
#include "background.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cgroup.h"
#include "cleanup.h"
#include "log.h"

#define USEC_PER_SEC UINT64_C(1000000)

/* Each named program takes 32 bytes at most: "," and a blank, a pid, its name. */
#define DESCRIPTION_MAX (BACKGROUND_NAMED * 32 + 128)

/* --- the rule ------------------------------------------------------------------------------ */

static int compare_pids(const void *a, const void *b)
{
        const struct process *x = a, *y = b;

        return (x->pid > y->pid) - (x->pid < y->pid);
}

static const struct process *find(const struct process *list, size_t n, pid_t pid)
{
        const struct process key = {.pid = pid};

        return n > 0 ? bsearch(&key, list, n, sizeof(*list), compare_pids) : NULL;
}

/* A container's init may be the server itself, and then gets orphans as its children: a worker has
 * executed nothing since it was forked, and so has its parent's name. */
static bool is_worker(const struct process *process, const struct process *server)
{
        return process->has_slot || (process->parent == server->pid && !process->executed &&
                                     strcmp(process->name, server->name) == 0);
}

/* Was started before a request could do it. */
static bool is_older(const struct process *process, uint64_t since_ticks)
{
        return process->started_ticks < since_ticks ||
               (process->started_ticks == since_ticks && process->by_entrypoint);
}

static bool is_left_by_request(const struct process *process, const struct process *list, size_t n,
                               const struct process *server, uint64_t since_ticks)
{
        if (process == server || !process->runs || is_older(process, since_ticks) ||
            is_worker(process, server))
                return false;
        /* Each step is to another process, unless pids were reused meanwhile. */
        for (size_t steps = 0; steps < n; steps++) {
                const struct process *parent = find(list, n, process->parent);

                if (!parent || parent == server || parent->is_init)
                        return true;
                if (is_older(parent, since_ticks) && !is_worker(parent, server))
                        return false;
                process = parent;
        }
        return false;
}

void background_count(struct background *background, const struct process *list, size_t n,
                      pid_t server, uint64_t since_ticks)
{
        const struct process *server_process = find(list, n, server);

        background->n = 0;
        for (size_t i = 0; server_process && i < n; i++) {
                if (!is_left_by_request(&list[i], list, n, server_process, since_ticks))
                        continue;
                if (background->n < BACKGROUND_NAMED)
                        background->first[background->n] = list[i];
                background->n++;
        }
}

/* --- the processes ------------------------------------------------------------------------- */

static bool has_slot(const struct gate_page *page, pid_t pid)
{
        const uint32_t used = atomic_load(&page->slots_used);

        /* No further: a slot that is only looked at costs memory, too. */
        for (size_t i = 0; pid > 0 && i < used && i < GATE_SLOTS_MAX; i++)
                if (gate_pid(&page->slots[i]) == (uint32_t)pid)
                        return true;
        return false;
}

/* Reads all processes of the server's cgroup but this one. What ends meanwhile is left out. */
static struct process *read_processes(pid_t server, const struct gate_page *page,
                                      uint64_t since_ticks, size_t *ret_n)
{
        _cleanup_free_ char *cgroup = cgroup_of(server);
        _cleanup_free_ pid_t *pids = NULL;
        struct process *list;
        ssize_t n;

        *ret_n = 0;
        n = cgroup ? cgroup_processes(CGROUP_ROOT, cgroup, server, &pids) : 0;
        list = n > 0 ? calloc((size_t)n, sizeof(*list)) : NULL;
        if (!list)
                return NULL;
        for (ssize_t i = 0; i < n; i++)
                if (pids[i] != getpid() && process_read(pids[i], &list[*ret_n]) == 0)
                        (*ret_n)++;
        qsort(list, *ret_n, sizeof(*list), compare_pids);
        for (size_t i = 0; i < *ret_n; i++) {
                if (!find(list, *ret_n, list[i].parent))
                        list[i].is_init = process_own_pid(list[i].pid) == 1;
                if (!list[i].executed)
                        list[i].has_slot = has_slot(page, process_own_pid(list[i].pid));
                if (list[i].started_ticks == since_ticks)
                        list[i].by_entrypoint = process_was_given(list[i].pid, GATE_ENVIRONMENT);
        }
        return list;
}

static uint64_t ticks_of(uint64_t usec)
{
        long ticks_per_sec = sysconf(_SC_CLK_TCK);

        return usec / (USEC_PER_SEC / (ticks_per_sec > 0 ? (uint64_t)ticks_per_sec : 100));
}

bool background_look(struct background *background, pid_t server, const struct gate_page *page)
{
        const uint64_t since_ticks = ticks_of(atomic_load(&page->first_ready_usec));
        _cleanup_free_ struct process *list = NULL;
        size_t n;

        list = read_processes(server, page, since_ticks, &n);
        background_count(background, list, n, server, since_ticks);
        return background->n > 0;
}

/* --- the log ------------------------------------------------------------------------------- */

/* "2 programs that requests left running: 123 (sleep), 124 (sh)", and how many more. */
static void describe(const struct background *background, char *text, size_t size)
{
        size_t named = background->n < BACKGROUND_NAMED ? background->n : BACKGROUND_NAMED;
        size_t length;

        length =
            (size_t)snprintf(text, size, "%zu program%s that requests left running:", background->n,
                             background->n == 1 ? "" : "s");
        for (size_t i = 0; i < named; i++)
                length +=
                    (size_t)snprintf(text + length, size - length, "%s %d (%s)", i > 0 ? "," : "",
                                     (int)background->first[i].pid, background->first[i].name);
        if (background->n > named)
                (void)snprintf(text + length, size - length, " and %zu more",
                               background->n - named);
}

static double seconds_of(uint64_t usec)
{
        return (double)usec / (double)USEC_PER_SEC;
}

static void say_held(const char *programs, uint64_t limit_usec)
{
        if (limit_usec == GATE_INFINITY)
                log_line("still awake: %s; there is no background limit", programs);
        else
                log_line("still awake: %s; the background limit is %.10g s after the last request",
                         programs, seconds_of(limit_usec));
}

static void say_cut_off(const char *programs, uint64_t limit_usec)
{
        log_line("the background limit of %.10g s is over: stopping, and cutting off %s",
                 seconds_of(limit_usec), programs);
}

void background_say(struct background *background, bool stopping, uint64_t limit_usec)
{
        char programs[DESCRIPTION_MAX];

        if (background->n == 0) {
                background->said = BACKGROUND_NOT_SAID;
                return;
        }
        describe(background, programs, sizeof(programs));
        if (stopping && background->said != BACKGROUND_SAID_CUT_OFF)
                say_cut_off(programs, limit_usec);
        else if (!stopping && background->said == BACKGROUND_NOT_SAID)
                say_held(programs, limit_usec);
        background->said = stopping ? BACKGROUND_SAID_CUT_OFF : BACKGROUND_SAID_HELD;
}
