/* SPDX-License-Identifier: MIT */
/*
 * The life of one vhost's container under systemd: start it, hand the sockets over, tell systemd
 * how it goes, translate the service manager's signals, and end as the container ends. When it does
 * not start, requests are answered all the same, and it is tried again.
 */
#pragma once

#include <stdint.h>

#include "sockets.h"

struct composed;

struct supervision {
        const struct passed *passed; /* the sockets to hand over */
        const char *handover_path;   /* where */
        const char *launcher;        /* path of fpm-launcher */
        const char *vhost;           /* NULL: it has no name */
        const char *stem;            /* see maintenance.h; NULL: this vhost is never in that */
        /*
         * Says for each attempt anew what it is made of, see attempt.h. Returns 0, or an exit
         * status after having printed what is wrong.
         */
        int (*compose)(struct composed *composed, void *userdata);
        void *userdata;
};

/* Returns the exit status for the process; what is wrong has been printed. */
int supervise(const struct supervision *supervision);
