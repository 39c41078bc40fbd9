/* SPDX-License-Identifier: MIT */
/* A process as /proc shows it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PROCESS_NAME_MAX 16 /* the kernel's TASK_COMM_LEN, with the closing zero */

struct process {
        pid_t pid;
        pid_t parent;           /* 0: outside of our pid namespace */
        uint64_t started_ticks; /* since boot, also while the machine slept: clock ticks */
        bool runs;              /* is not dead, waited for or not */
        bool executed;          /* a program of its own; false: a fork of its parent's */
        bool is_init;           /* the first of its pid namespace: inherits orphans */
        bool has_slot;          /* is a worker, whoever its parent is */
        bool by_entrypoint;     /* has the launcher's environment; see process_was_given() */
        char name[PROCESS_NAME_MAX];
};

/* Reads what /proc/PID/stat says. Returns 0 or -EINVAL. */
int process_parse(const char *stat, struct process *ret);

/* Reads a process, all but is_init, has_slot and by_entrypoint. Returns 0, -ENOENT or -ESRCH if it
 * is gone or hidden, -errno. */
int process_read(pid_t pid, struct process *ret);

/* True if the process has a handler for a signal, or blocks it, as who reads it from a descriptor
 * does. */
bool process_heeds(pid_t pid, int signal);

/* For how long it has been there, exact to a clock tick; 0 if that cannot be told. */
uint64_t process_age_usec(pid_t pid);

/* The pid of a process in its own pid namespace, be that ours or not; 0 if it is gone. */
pid_t process_own_pid(pid_t pid);

/*
 * True if the environment of the process had the variable when it executed its program, or its
 * parent when it executed that (proc(5), /proc/PID/environ). False also if it is not shown to us:
 * it is to root and to the same user.
 */
bool process_was_given(pid_t pid, const char *variable);
