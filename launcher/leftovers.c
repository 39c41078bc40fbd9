/* SPDX-License-Identifier: MIT */
#include "leftovers.h"

#include <ctype.h>
#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "process.h"

static pid_t pid_of(const struct dirent *entry)
{
        return isdigit((unsigned char)entry->d_name[0]) ? (pid_t)strtol(entry->d_name, NULL, 10)
                                                        : 0;
}

static bool answers(const struct unavailable *unavailable, pid_t pid)
{
        for (size_t i = 0; i < UNAVAILABLE_CHILDREN; i++)
                if (unavailable->children[i] == pid)
                        return true;
        return false;
}

size_t leftovers_end(struct gate_page *page, uint64_t since_ticks,
                     const struct unavailable *unavailable)
{
        DIR *directory = opendir("/proc");
        const struct dirent *entry;
        size_t n = 0;

        if (!directory)
                return 0;
        while ((entry = readdir(directory))) {
                pid_t pid = pid_of(entry);
                struct process process;

                if (pid <= 0 || process_read(pid, &process) < 0 || process.parent != getpid() ||
                    !process.runs || process.started_ticks < since_ticks ||
                    answers(unavailable, pid))
                        continue;
                /* A child's pid stays its own until we wait for it. */
                if (gate_slot_of(page, (uint32_t)pid))
                        (void)kill(pid, SIGTERM);
                else if (kill(pid, SIGKILL) == 0)
                        n++;
        }
        (void)closedir(directory);
        return n;
}
