/* SPDX-License-Identifier: MIT */
#include "freezer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup.h"
#include "cleanup.h"

/* The cgroup below our own that a server gets. */
#define SEPARATE "server"

/* Writes a cgroup's file in one piece, as the kernel wants it. Returns 0, -errno. */
static int write_file(const char *path, const char *text)
{
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

        if (fd < 0 || write(fd, text, strlen(text)) < 0)
                return -errno;
        return 0;
}

/* --- which it is --------------------------------------------------------------------------- */

/* True if a file of some cgroup lies in the cgroup of a control file, or below. */
static bool is_within(const char *file, const char *control)
{
        size_t n = (size_t)(strrchr(control, '/') + 1 - control);

        return strncmp(file, control, n) == 0;
}

int freezer_find(const char *root, pid_t pid, char **ret_path)
{
        static const struct {
                const char *hierarchy, *directory, *file;
        } versions[] = {
            {"freezer", "/freezer", "freezer.state"},
            {"", "", "cgroup.freeze"},
        };
        _cleanup_free_ char *own = cgroup_of(getpid()), *other = cgroup_of(pid);
        char path[PATH_MAX], own_path[PATH_MAX];
        int r = -ENOENT;

        if (!own || !other)
                return -ESRCH;
        for (size_t i = 0; i < sizeof(versions) / sizeof(*versions); i++) {
                if (cgroup_file(root, other, versions[i].hierarchy, versions[i].directory,
                                versions[i].file, path) < 0)
                        continue;
                if (access(path, W_OK) < 0) {
                        r = -errno;
                        continue;
                }
                r = cgroup_file(root, own, versions[i].hierarchy, versions[i].directory,
                                versions[i].file, own_path);
                if (r < 0 || is_within(own_path, path))
                        return -EDEADLK;
                *ret_path = strdup(path);
                return *ret_path ? 0 : -ENOMEM;
        }
        return r;
}

int freezer_separate(const char *root, pid_t pid)
{
        _cleanup_free_ char *own = cgroup_of(getpid()), *other = cgroup_of(pid);
        char path[PATH_MAX], text[16];

        if (!own || !other)
                return -ESRCH;
        if (strcmp(own, other) != 0)
                return 0;
        if (cgroup_file(root, own, "", "", SEPARATE, path) < 0)
                return -ENOENT;
        if (mkdir(path, 0755) < 0 && errno != EEXIST)
                return -errno;
        if (cgroup_file(root, own, "", "", SEPARATE "/cgroup.procs", path) < 0)
                return -ENAMETOOLONG;
        (void)snprintf(text, sizeof(text), "%d", (int)pid);
        return write_file(path, text);
}

/* --- what it does -------------------------------------------------------------------------- */

int freezer_open(const char *path)
{
        int fd = open(path, O_RDWR | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

/* Version 1 says THAWED, FREEZING or FROZEN; version 2 says 0 or 1. Returns the first letter. */
static int read_letter(int freezer)
{
        char letter;
        ssize_t n;

        n = pread(freezer, &letter, 1, 0);
        if (n < 0)
                return -errno;
        return n == 1 ? letter : -EIO;
}

int freezer_set(int freezer, bool frozen)
{
        const char *text;
        int letter;

        letter = read_letter(freezer);
        if (letter < 0)
                return letter;
        if (letter == '0' || letter == '1')
                text = frozen ? "1" : "0";
        else
                text = frozen ? "FROZEN" : "THAWED";
        return pwrite(freezer, text, strlen(text), 0) < 0 ? -errno : 0;
}

int freezer_is_set(int freezer)
{
        int letter = read_letter(freezer);

        return letter < 0 ? letter : letter == '1' || letter == 'F';
}

int freezer_reclaim(const char *path, size_t bytes)
{
        static const char separate[] = "/" SEPARATE;
        char reclaim[PATH_MAX], text[32];
        size_t n = (size_t)(strrchr(path, '/') - path);

        /* The memory of a server in a cgroup below ours is accounted to ours. */
        if (n > strlen(separate) &&
            strncmp(path + n - strlen(separate), separate, strlen(separate)) == 0)
                n -= strlen(separate);
        if (snprintf(reclaim, sizeof(reclaim), "%.*s/memory.reclaim", (int)n, path) >=
            (int)sizeof(reclaim))
                return -ENAMETOOLONG;
        (void)snprintf(text, sizeof(text), "%zu", bytes);
        return write_file(reclaim, text);
}
