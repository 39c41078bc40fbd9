/* SPDX-License-Identifier: MIT */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"

#define USEC_PER_SEC UINT64_C(1000000)

/* Of the flags in /proc/PID/stat: "forked but didn't exec", as ps(1) calls it. */
#define FLAG_FORKED_NO_EXEC 0x40U

/* Reads a file of a process, zero-terminated and cut to size. Returns 0 or -errno. */
static int read_file(pid_t pid, const char *name, char *text, size_t size)
{
        _cleanup_close_ int fd = -1;
        char path[64];
        ssize_t n;

        (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        n = read(fd, text, size - 1);
        if (n < 0)
                return -errno;
        text[n] = '\0';
        return 0;
}

static void copy_name(char name[PROCESS_NAME_MAX], const char *begin, const char *end)
{
        size_t n = (size_t)(end - begin);

        if (n >= PROCESS_NAME_MAX)
                n = PROCESS_NAME_MAX - 1;
        memcpy(name, begin, n);
        name[n] = '\0';
}

int process_parse(const char *stat, struct process *ret)
{
        /* The name may be anything, parentheses and blanks included: it ends at the last one. */
        const char *begin = strchr(stat, '('), *end = strrchr(stat, ')');
        unsigned int flags;
        long threads;
        char state;
        int parent;

        if (!begin || !end || end < begin)
                return -EINVAL;
        *ret = (struct process){.pid = (pid_t)strtol(stat, NULL, 10)};
        copy_name(ret->name, begin + 1, end);
        /* Fields 3, 4, 9, 20 and 22 of proc(5). */
        if (sscanf(end + 1,
                   " %c %d %*d %*d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %ld %*d "
                   "%" SCNu64,
                   &state, &parent, &flags, &threads, &ret->started_ticks) != 5)
                return -EINVAL;
        ret->parent = (pid_t)parent;
        ret->executed = !(flags & FLAG_FORKED_NO_EXEC);
        /* A process whose first thread has ended, but not the others, looks like a zombie. */
        ret->runs = state != 'X' && (state != 'Z' || threads > 1);
        return 0;
}

int process_read(pid_t pid, struct process *ret)
{
        char stat[1024];
        int r;

        r = read_file(pid, "stat", stat, sizeof(stat));
        return r < 0 ? r : process_parse(stat, ret);
}

/* Finds a line of /proc/PID/status, read into status: what is behind its name, or NULL. */
static char *find_line(pid_t pid, const char *name, char *status, size_t size)
{
        char *line;

        if (read_file(pid, "status", status, size) < 0)
                return NULL;
        line = strstr(status, name);
        if (!line)
                return NULL;
        line += strlen(name);
        line[strcspn(line, "\n")] = '\0';
        return line;
}

/* A set of signals in /proc/PID/status: bit 0 is signal 1. */
static uint64_t read_signals(pid_t pid, const char *name)
{
        char status[4096];
        const char *set = find_line(pid, name, status, sizeof(status));

        return set ? strtoull(set, NULL, 16) : 0;
}

bool process_heeds(pid_t pid, int signal)
{
        return (read_signals(pid, "\nSigCgt:") | read_signals(pid, "\nSigBlk:")) >> (signal - 1) &
               1;
}

uint64_t process_age_usec(pid_t pid)
{
        const long ticks_per_sec = sysconf(_SC_CLK_TCK);
        struct process process;
        struct timespec now;
        uint64_t now_usec, started_usec;

        if (ticks_per_sec <= 0 || process_read(pid, &process) < 0 ||
            clock_gettime(CLOCK_BOOTTIME, &now) < 0)
                return 0;
        now_usec = (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
        started_usec = process.started_ticks * (USEC_PER_SEC / (uint64_t)ticks_per_sec);
        return now_usec > started_usec ? now_usec - started_usec : 0;
}

pid_t process_own_pid(pid_t pid)
{
        char status[4096];
        /* "NSpid: 4711 1": its pid in each namespace down to its own. */
        const char *line = find_line(pid, "\nNSpid:", status, sizeof(status)), *last;

        if (!line)
                return 0;
        last = strrchr(line, '\t');
        return last ? (pid_t)strtol(last, NULL, 10) : 0;
}

bool process_was_given(pid_t pid, const char *variable)
{
        const size_t length = strlen(variable);
        _cleanup_fclose_ FILE *stream = NULL;
        _cleanup_free_ char *word = NULL;
        char path[64];
        size_t size = 0;

        (void)snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
        stream = fopen(path, "re");
        if (!stream)
                return false;
        while (getdelim(&word, &size, '\0', stream) > 0)
                if (strncmp(word, variable, length) == 0 && word[length] == '=')
                        return true;
        return false;
}
