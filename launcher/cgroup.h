/* SPDX-License-Identifier: MIT */
/*
 * The cgroup of a process, in whatever way this machine has its cgroups: version 2, version 1, or
 * both at once. A cgroup is known by the text of /proc/PID/cgroup.
 *
 * root: where the hierarchies are mounted, CGROUP_ROOT but in tests.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define CGROUP_ROOT "/sys/fs/cgroup"

/* Reads /proc/PID/cgroup whole; to be freed. NULL if that is not possible. */
char *cgroup_of(pid_t pid);

/*
 * Makes the path of a file of the cgroup in one hierarchy, which a line like
 * "9:name=systemd:/system.slice/a.service" names; version 2 has no name: "0::/system.slice/...".
 * directory: where below root it is mounted. Returns 0, -ENOENT for a hierarchy that is not there,
 * -ENAMETOOLONG.
 */
int cgroup_file(const char *root, const char *cgroup, const char *hierarchy, const char *directory,
                const char *file, char ret[PATH_MAX]);

/*
 * Lists the processes of a cgroup, one of which is member. Those in cgroups below it do not count.
 * *ret is to be freed. Returns how many they are, or -errno.
 */
ssize_t cgroup_processes(const char *root, const char *cgroup, pid_t member, pid_t **ret);

/*
 * Opens what says whether a cgroup is frozen, by itself or from above. The descriptor has EPOLLPRI
 * when that changes, on cgroup version 2 only. Returns it, or -errno.
 */
int cgroup_open_freezer(const char *root, const char *cgroup);

/* Looks at it. Returns 1 if the cgroup is frozen or about to be, 0, or -errno if it is gone. */
int cgroup_is_frozen(int freezer);
