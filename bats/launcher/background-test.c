/* SPDX-License-Identifier: MIT */
/*
 * Which processes are programs that requests left running, and how a cgroup is read.
 *
 *   background-test rule                       each row of the table; prints what is wrong
 *   background-test stat LINE                  what process_parse() makes of /proc/PID/stat
 *   background-test processes ROOT CGROUP PID  the pids of PID's cgroup, or the errno's name
 *   background-test frozen ROOT CGROUP         1, 0, or the errno's name
 *   background-test half FILE                  ends its first thread, and the other one when FILE,
 *                                              a fifo, has a writer
 *   background-test lazy-init WORD...          starts a program, and waits for no other child
 *
 * CGROUP is the text of /proc/PID/cgroup; ROOT stands for /sys/fs/cgroup.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../launcher/background.h"
#include "../../launcher/cgroup.h"
#include "../../launcher/process.h"

#define PROCESSES_MAX 12

/* When the server was ready for the first time. */
#define READY 1000

/* --- the rule ------------------------------------------------------------------------------ */

static const struct {
        const char *name;
        struct process process;
} kinds[] = {
    /* The server, as a container's init or not; its workers, of before its readiness or later. */
    {"server", {.name = "php-fpm", .started_ticks = READY - 1, .runs = true, .executed = true}},
    {"first",
     {.name = "php-fpm",
      .started_ticks = READY - 1,
      .runs = true,
      .executed = true,
      .is_init = true}},
    {"old-worker", {.name = "php-fpm", .started_ticks = READY - 1, .runs = true}},
    {"worker", {.name = "php-fpm", .started_ticks = READY, .runs = true}},
    {"orphan", {.name = "php-fpm", .started_ticks = READY, .runs = true, .has_slot = true}},
    /* What an entrypoint starts. */
    {"init",
     {.name = "tini", .started_ticks = READY - 1, .runs = true, .executed = true, .is_init = true}},
    {"old", {.name = "cron", .started_ticks = READY - 1, .runs = true, .executed = true}},
    {"old-fork", {.name = "sh", .started_ticks = READY - 1, .runs = true}},
    /* What is started later. */
    {"program", {.name = "sleep", .started_ticks = READY, .runs = true, .executed = true}},
    {"fork", {.name = "sh", .started_ticks = READY, .runs = true}},
    {"zombie", {.name = "sleep", .started_ticks = READY, .executed = true}},
    /* What an entrypoint starts at the very moment, and what such a one starts a moment later. */
    {"helper",
     {.name = "sleep",
      .started_ticks = READY,
      .runs = true,
      .executed = true,
      .by_entrypoint = true}},
    {"later",
     {.name = "sleep",
      .started_ticks = READY + 1,
      .runs = true,
      .executed = true,
      .by_entrypoint = true}},
};

/* Each process is its kind, its pid, and its parent's; the last word is what counts. */
static const struct {
        const char *what;
        const char *processes;
        const char *expected;
} rows[] = {
    {"nothing but the server", "server 10 1, old-worker 11 10, worker 12 10", ""},
    {"a worker's program", "server 10 1, old-worker 11 10, program 20 11", "20"},
    {"a later worker's program", "server 10 1, worker 11 10, program 20 11", "20"},
    {"a program's program", "server 10 1, worker 11 10, program 20 11, program 21 20", "20 21"},
    {"a dead program", "server 10 1, worker 11 10, zombie 20 11", ""},
    {"a dead program's program", "server 10 1, worker 11 10, zombie 20 11, program 21 20", "21"},
    {"an orphan of a service", "server 10 1, program 20 1", "20"},
    {"an orphan's program", "server 10 1, program 20 1, program 21 20", "20 21"},
    {"a fork without exec, of a shell", "server 10 1, worker 11 10, fork 20 11", "20"},
    {"the same, an orphan", "server 10 1, fork 20 1", "20"},
    {"a service's older process", "server 10 1, old 20 1", ""},
    {"what that starts", "server 10 1, old 20 1, program 21 20, program 22 21", ""},
    {"an orphan in a container", "init 1 0, server 10 1, program 20 1", "20"},
    {"a container's older process", "init 1 0, old 9 1, server 10 1", ""},
    {"what that starts", "init 1 0, old 9 1, server 10 1, program 20 9, program 21 20", ""},
    {"a shell in front", "init 1 0, old 9 1, server 10 9, worker 11 10, program 20 11", "20"},
    {"what that shell starts", "init 1 0, old 9 1, server 10 9, program 20 9", ""},
    {"a helper of the same tick", "server 10 1, helper 20 10, helper 21 1", ""},
    {"what that starts", "server 10 1, helper 20 10, program 21 20, later 22 20", ""},
    {"a later orphan with its environment", "server 10 1, later 20 1", "20"},
    {"docker exec", "init 1 0, server 10 1, program 20 0, program 21 20", "20 21"},
    {"a container's first process", "first 1 0, old-worker 11 1, worker 12 1", ""},
    {"its orphan", "first 1 0, worker 11 1, program 20 1", "20"},
    {"its orphan, a fork of a shell", "first 1 0, worker 11 1, fork 20 1, program 21 20", "20 21"},
    {"its older process", "first 1 0, old 20 1, old-fork 21 1", ""},
    {"what that starts", "first 1 0, old 20 1, program 21 20, old-fork 30 1, program 31 30", ""},
    {"a worker that executed a program", "server 10 1, worker 11 10, program 12 10", "12"},
    {"a worker's fork", "server 10 1, worker 11 10, worker 12 11", "12"},
    {"a worker of a killed master, and its program", "server 10 1, orphan 12 1, program 20 12",
     "20"},
    {"parents in a circle", "server 10 1, program 20 21, program 21 20", ""},
    {"no server", "old 9 1, program 20 1", ""},
};

static struct process make_process(const char *words)
{
        struct process process = {0};
        char kind[32];
        int pid, parent;

        if (sscanf(words, "%31s %d %d", kind, &pid, &parent) != 3)
                abort();
        for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
                if (strcmp(kind, kinds[i].name) == 0)
                        process = kinds[i].process;
        process.pid = (pid_t)pid;
        process.parent = (pid_t)parent;
        return process;
}

/* Returns how many there are; *ret_server is the one that is a server, or 0. */
static size_t make_processes(const char *words, struct process *list, pid_t *ret_server)
{
        size_t n = 0;

        *ret_server = 0;
        for (const char *word = words; word && n < PROCESSES_MAX; word = strchr(word, ',')) {
                word += strspn(word, ", ");
                list[n] = make_process(word);
                if (strncmp(word, "server", 6) == 0 || strncmp(word, "first", 5) == 0)
                        *ret_server = list[n].pid;
                n++;
        }
        return n;
}

static void write_pids(const struct background *background, char *text, size_t size)
{
        size_t length = 0;

        *text = '\0';
        for (size_t i = 0; i < background->n && i < BACKGROUND_NAMED; i++)
                length += (size_t)snprintf(text + length, size - length, "%s%d", i > 0 ? " " : "",
                                           (int)background->first[i].pid);
}

static int check_rule(void)
{
        int status = 0;

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                struct process list[PROCESSES_MAX];
                struct background background = {0};
                char pids[256];
                pid_t server;
                size_t n = make_processes(rows[i].processes, list, &server);

                background_count(&background, list, n, server, READY);
                write_pids(&background, pids, sizeof(pids));
                if (strcmp(pids, rows[i].expected) == 0)
                        continue;
                printf("%s (%s): \"%s\", not \"%s\"\n", rows[i].what, rows[i].processes, pids,
                       rows[i].expected);
                status = 1;
        }
        return status;
}

/* --- what is read -------------------------------------------------------------------------- */

static int print_error(int r)
{
        printf("%s\n", strerrorname_np(-r));
        return 0;
}

static int print_stat(const char *line)
{
        struct process process;
        int r = process_parse(line, &process);

        if (r < 0)
                return print_error(r);
        printf("%d <%s> of %d since %" PRIu64 "%s%s\n", (int)process.pid, process.name,
               (int)process.parent, process.started_ticks, process.runs ? " runs" : "",
               process.executed ? " executed" : "");
        return 0;
}

static int print_processes(const char *root, const char *cgroup, pid_t member)
{
        pid_t *pids = NULL;
        ssize_t n = cgroup_processes(root, cgroup, member, &pids);

        if (n < 0)
                return print_error((int)n);
        for (ssize_t i = 0; i < n; i++)
                printf("%s%d", i > 0 ? " " : "", (int)pids[i]);
        printf("\n");
        free(pids);
        return 0;
}

static int print_frozen(const char *root, const char *cgroup)
{
        int fd = cgroup_open_freezer(root, cgroup);
        int r = fd < 0 ? fd : cgroup_is_frozen(fd);

        if (r < 0)
                return print_error(r);
        printf("%d\n", r);
        return 0;
}

/* --- programs ------------------------------------------------------------------------------ */

static void *wait_for_writer(void *path)
{
        exit(open(path, O_RDONLY) < 0);
}

static int be_half(char *path)
{
        pthread_t thread;

        if (pthread_create(&thread, NULL, wait_for_writer, path) != 0)
                return 1;
        pthread_exit(NULL);
}

static int be_lazy_init(char **words)
{
        int status = 0;
        pid_t pid = fork();

        if (pid == 0) {
                (void)execvp(words[0], words);
                _exit(127);
        }
        return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(int argc, char **argv)
{
        const char *mode = argc > 1 ? argv[1] : "";

        if (argc == 2 && strcmp(mode, "rule") == 0)
                return check_rule();
        if (argc == 3 && strcmp(mode, "stat") == 0)
                return print_stat(argv[2]);
        if (argc == 5 && strcmp(mode, "processes") == 0)
                return print_processes(argv[2], argv[3], (pid_t)atoi(argv[4]));
        if (argc == 4 && strcmp(mode, "frozen") == 0)
                return print_frozen(argv[2], argv[3]);
        if (argc == 3 && strcmp(mode, "half") == 0)
                return be_half(argv[2]);
        if (argc >= 3 && strcmp(mode, "lazy-init") == 0)
                return be_lazy_init(argv + 2);
        fprintf(stderr, "background-test: no such mode\n");
        return 2;
}
