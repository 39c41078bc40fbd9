/* SPDX-License-Identifier: MIT */
/* What master.c keeps in the shim's struct. */
#pragma once

#include "master.h"

enum { HELD_SIGNALS = 5 };

struct hold {
        struct {
                struct raw_sigaction action; /* the server's own */
                bool on;
                bool pending;
        } signals[HELD_SIGNALS];
        bool accepts; /* this process, and not only its workers */
        bool draining;
        bool reloading;         /* passed on to php-fpm, which will execute itself */
        uint64_t deadline_usec; /* CLOCK_MONOTONIC: then the signal passes, quiet or not */
        int timer;
        /* How often the handler has run and the server's own was not or was called. */
        _Atomic unsigned held_back, passed_on;
};
