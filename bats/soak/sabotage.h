/* SPDX-License-Identifier: MIT */
/*
 * Kills workers of the vhosts and signals their masters at random moments, and knows for each lost
 * request whether it was in a worker that was killed.
 */
#pragma once

#include "crowd.h"

struct sabotage {
        struct crowd *crowds;
        size_t n_crowds;
        uint64_t kill_every; /* nanoseconds between two SIGKILLs of a worker, on average; 0: none */
        uint64_t signal_every; /* and between two signals to a master */
        uint64_t seed;
        _Atomic uint64_t kills, signals;
        pthread_t thread;
};

/* Until the plan of the crowds has enough. */
void sabotage_start(struct sabotage *sabotage);

/* The number of a crowd's losses that no killed worker explains: each of them explains one. */
uint64_t sabotage_unexplained(const struct crowd *crowd);
