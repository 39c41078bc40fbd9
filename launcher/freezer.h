/* SPDX-License-Identifier: MIT */
/*
 * Freezes and thaws the cgroup of a server by its files: no engine is asked. Version 2
 * (cgroup.freeze), or the freezer of version 1. A freezer is known by the path of its control file.
 *
 * root: where the hierarchies are mounted, CGROUP_ROOT but in tests.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * Finds the freezer of a process that the caller may write. *ret_path is to be freed. Returns 0,
 * -EDEADLK if the caller is in that cgroup himself, -errno.
 */
int freezer_find(const char *root, pid_t pid, char **ret_path);

/* Returns a descriptor, -errno. */
int freezer_open(const char *path);

/* Tells the kernel, which then needs a moment. Returns 0, -errno. */
int freezer_set(int freezer, bool frozen);

/* What the kernel was told last, by whomever: 1: to freeze, 0: to thaw, -errno: it is gone. */
int freezer_is_set(int freezer);

/*
 * Puts a process that is in the caller's own cgroup into one below, so that it can be frozen
 * without the caller. Needs version 2 and a cgroup that was delegated to us. Does nothing if the
 * process is elsewhere. Returns 0, -errno.
 */
int freezer_separate(const char *root, pid_t pid);

/*
 * Asks the kernel to take so many bytes of memory from the cgroup. Returns 0, -EAGAIN if it found
 * less, -errno if it cannot do such a thing here.
 */
int freezer_reclaim(const char *path, size_t bytes);
