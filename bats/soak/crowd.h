/* SPDX-License-Identifier: MIT */
/*
 * All clients of one vhost, in one thread: bursts of requests, then silence, then requests that are
 * aimed at the moment at which the vhost ends for being idle.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "protocol.h"

#define CROWD_CLIENTS_MAX   32U
#define CROWD_ADDRESSES_MAX 4U
#define CROWD_MOMENTS_MAX   4U

#define CROWD_LOSSES_MAX    1000U

/* A request that was not answered, for whoever can say why. */
struct loss {
        int worker; /* 0: it did not get so far as to say */
        uint64_t began, ended;
};

/* Shared by all crowds. */
struct crowd_plan {
        const char *script; /* of vhosts that have no other */
        uint64_t seed;
        uint64_t idle;    /* the vhosts' idle span, in nanoseconds */
        uint64_t timeout; /* of a request */
        unsigned burst;   /* requests of one client in a burst, on average */
        int stop_signal;  /* sent to the master when it has been idle; 0: it ends by itself */
        bool flush;       /* each answer's first line at once */
        FILE *losses;     /* where it is said how requests ended that were not answered */
        _Atomic uint64_t requests, wakes; /* so far, of all crowds */
        atomic_bool enough;               /* ends all crowds */
};

struct crowd_count {
        _Atomic uint64_t outcomes[OUTCOMES];
        _Atomic uint64_t aimed;  /* requests aimed at the idle exit */
        _Atomic uint64_t wakes;  /* another server answered than before */
        _Atomic uint64_t late;   /* requests that went on after fastcgi_finish_request() */
        _Atomic uint64_t reused; /* requests on a kept connection */
        _Atomic uint64_t stops;  /* signals by stop_signal */
        _Atomic uint64_t slowest;
};

struct crowd {
        struct crowd_plan *plan;
        const char *name;
        const struct protocol *protocol;
        const char *script; /* answer.php, as the server sees it */
        struct address addresses[CROWD_ADDRESSES_MAX];
        size_t n_addresses;
        unsigned n_clients;
        unsigned keep;                       /* percentage of the requests with FCGI_KEEP_CONN */
        uint64_t moments[CROWD_MOMENTS_MAX]; /* of idleness, to aim at instead of the idle exit */
        size_t n_moments;
        struct crowd_count count;
        struct loss losses[CROWD_LOSSES_MAX]; /* the first ones */
        size_t n_losses;                      /* all */
        _Atomic int master;                   /* who answered last */
        pthread_t thread;

        /* The thread's own. */
        uint64_t random;
        struct client clients[CROWD_CLIENTS_MAX];
        unsigned todo[CROWD_CLIENTS_MAX]; /* requests of each client in this phase */
        uint64_t next[CROWD_CLIENTS_MAX]; /* when its next one begins */
        bool aiming;                      /* the phase: aimed requests, or a burst */
        uint64_t pause;                   /* between two requests of a burst */
        uint64_t last_end;                /* of a request */
        int64_t learned;                  /* from the last end to the idle exit, as it seems */
        int64_t learned_max;
        int64_t step; /* of the last lesson */
        bool first_of_phase;
        bool stopped; /* by stop_signal, in this phase */
        struct server server;
};

void crowd_start(struct crowd *crowd);
