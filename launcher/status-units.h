/* SPDX-License-Identifier: MIT */
/* What systemd knows of vhosts, by its bus. To ask starts nothing. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct units;

/* A vhost's service and its socket. Times are CLOCK_REALTIME, 0: never. */
struct unit_state {
        char active[32];         /* ActiveState of the service */
        char result[32];         /* of its last run, "success" if that was well */
        pid_t main_pid;          /* 0: it does not run */
        int exit_status;         /* of the last one */
        uint64_t changed_usec;   /* since when it is active, or whatever it is */
        bool listens;            /* the socket does */
        uint64_t listening_usec; /* since then */
};

/* Lists the socket units of vhosts, of the calling user if user is true. Returns 0, -errno. */
int units_new(struct units **ret, bool user);

size_t units_count(const struct units *units);

/* Copies the name of the vhost of the unit, cut to size. */
void units_vhost(const struct units *units, size_t i, char *ret, size_t size);

/* Copies the name of a vhost's service, cut to size; "" if it has no socket unit. */
void units_service(const struct units *units, const char *vhost, char *ret, size_t size);

/* Returns 0, -errno. */
int units_state(const struct units *units, const char *service, struct unit_state *ret);

/* NULL is allowed. */
void units_free(struct units *units);
