/* SPDX-License-Identifier: MIT */
#include "status-memory.h"

#include <stdio.h>
#include <string.h>

#include "cgroup.h"
#include "cleanup.h"

static uint64_t pss_of(pid_t pid)
{
        _cleanup_fclose_ FILE *stream = NULL;
        char path[64], line[256];
        unsigned long long kilobytes = 0;

        (void)snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
        stream = fopen(path, "re");
        while (stream && fgets(line, sizeof(line), stream))
                if (sscanf(line, "Pss: %llu kB", &kilobytes) == 1)
                        break;
        return kilobytes * 1024;
}

static uint64_t memory_of_cgroup(const char *cgroup, pid_t member)
{
        _cleanup_free_ pid_t *pids = NULL;
        uint64_t bytes = 0;
        ssize_t n;

        n = cgroup_processes(CGROUP_ROOT, cgroup, member, &pids);
        for (ssize_t i = 0; i < n; i++)
                bytes += pss_of(pids[i]);
        return bytes;
}

uint64_t memory_of(pid_t main, pid_t server)
{
        _cleanup_free_ char *of_main = main > 0 ? cgroup_of(main) : NULL;
        _cleanup_free_ char *of_server = server > 0 ? cgroup_of(server) : NULL;
        uint64_t bytes = 0;

        if (of_main)
                bytes += memory_of_cgroup(of_main, main);
        if (of_server && (!of_main || strcmp(of_main, of_server) != 0))
                bytes += memory_of_cgroup(of_server, server);
        return bytes;
}
