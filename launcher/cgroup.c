/* SPDX-License-Identifier: MIT */
#include "cgroup.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"

/* More processes than a vhost has; what is beyond is not looked at. */
#define PROCESSES_MAX 4096

char *cgroup_of(pid_t pid)
{
        _cleanup_fclose_ FILE *stream = NULL;
        char path[64], *text = NULL;
        size_t size = 0;

        (void)snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
        stream = fopen(path, "re");
        if (!stream || getdelim(&text, &size, '\0', stream) < 0) {
                free(text);
                return NULL;
        }
        return text;
}

/* --- where it is --------------------------------------------------------------------------- */

static const char *next_line(const char *line)
{
        line += strcspn(line, "\n");
        return *line ? line + 1 : line;
}

int cgroup_file(const char *root, const char *cgroup, const char *hierarchy, const char *directory,
                const char *file, char ret[PATH_MAX])
{
        const size_t length = strlen(hierarchy);

        for (const char *line = cgroup; *line; line = next_line(line)) {
                const char *name = line + strcspn(line, ":\n") + 1, *path;
                int n;

                if (name[-1] != ':' || strncmp(name, hierarchy, length) != 0 || name[length] != ':')
                        continue;
                path = name + length + 1;
                n = snprintf(ret, PATH_MAX, "%s%s%.*s/%s", root, directory,
                             (int)strcspn(path, "\n"), path, file);
                return n < PATH_MAX ? 0 : -ENAMETOOLONG;
        }
        return -ENOENT;
}

/* --- its processes ------------------------------------------------------------------------- */

struct pids {
        pid_t *list;
        size_t n;
        bool has_member;
};

static int add_pid(struct pids *pids, pid_t pid, pid_t member)
{
        if (pids->n == PROCESSES_MAX)
                return 0;
        if (!pids->list)
                pids->list = malloc(PROCESSES_MAX * sizeof(*pids->list));
        if (!pids->list)
                return -ENOMEM;
        pids->list[pids->n++] = pid;
        if (pid == member)
                pids->has_member = true;
        return 0;
}

/* 0 if it could be read and the member is in it: then it is the right file. Else -errno. */
static int read_list(const char *path, pid_t member, struct pids *pids)
{
        _cleanup_fclose_ FILE *stream = fopen(path, "re");
        int pid, r = 0;

        if (!stream)
                return -errno;
        pids->n = 0;
        while (r == 0 && fscanf(stream, "%d", &pid) == 1)
                if (pid > 0) /* 0: of another pid namespace */
                        r = add_pid(pids, pid, member);
        return r < 0 || pids->has_member ? r : -ESRCH;
}

/*
 * A container on cgroup version 1 does not find its own cgroup below its root, but sees no other
 * processes than its own: all of them are looked at.
 */
static int search_processes(const char *cgroup, pid_t member, struct pids *pids)
{
        DIR *directory = opendir("/proc");
        const struct dirent *entry;
        int r = 0;

        if (!directory)
                return -errno;
        pids->n = 0;
        while (r == 0 && (entry = readdir(directory))) {
                pid_t pid = isdigit((unsigned char)entry->d_name[0])
                                ? (pid_t)strtol(entry->d_name, NULL, 10)
                                : 0;
                _cleanup_free_ char *other = pid > 0 ? cgroup_of(pid) : NULL;

                if (other && strcmp(other, cgroup) == 0)
                        r = add_pid(pids, pid, member);
        }
        (void)closedir(directory);
        return r < 0 || pids->has_member ? r : -ESRCH;
}

ssize_t cgroup_processes(const char *root, const char *cgroup, pid_t member, pid_t **ret)
{
        struct pids pids = {0};
        char path[PATH_MAX];
        int r;

        /* Version 2 last: beside version 1, systemd and the engines keep what is theirs there. */
        r = cgroup_file(root, cgroup, "name=systemd", "/systemd", "cgroup.procs", path);
        if (r == 0)
                r = read_list(path, member, &pids);
        if (r < 0 && cgroup_file(root, cgroup, "", "", "cgroup.procs", path) == 0)
                r = read_list(path, member, &pids);
        if (r < 0)
                r = search_processes(cgroup, member, &pids);
        if (r < 0) {
                free(pids.list);
                return r;
        }
        *ret = pids.list;
        return (ssize_t)pids.n;
}

/* --- frozen? ------------------------------------------------------------------------------- */

int cgroup_open_freezer(const char *root, const char *cgroup)
{
        char path[PATH_MAX];
        int fd = -1, r;

        r = cgroup_file(root, cgroup, "freezer", "/freezer", "freezer.state", path);
        if (r == 0)
                fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0)
                return fd;
        r = cgroup_file(root, cgroup, "", "", "cgroup.events", path);
        if (r < 0)
                return r;
        fd = open(path, O_RDONLY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

int cgroup_is_frozen(int freezer)
{
        char text[256];
        ssize_t n;

        n = pread(freezer, text, sizeof(text) - 1, 0);
        if (n < 0)
                return -errno;
        text[n] = '\0';
        /* Version 1 says FROZEN, FREEZING or THAWED; version 2 "frozen 1" in one of its lines. */
        return strncmp(text, "FR", 2) == 0 || strstr(text, "frozen 1") != NULL;
}
