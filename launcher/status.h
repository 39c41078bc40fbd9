/* SPDX-License-Identifier: MIT */
/*
 * The exit statuses of fpm-launcher and fpm-waker, as their man pages list them. All others are
 * those of the server or the container.
 */
#pragma once

enum {
        STATUS_OK = 0,
        STATUS_SYSTEM = 1,           /* a system call failed */
        STATUS_USAGE = 2,            /* unknown option, bad span, missing argument */
        STATUS_NO_SOCKET = 3,        /* no socket was passed */
        STATUS_BAD_SOCKETS = 4,      /* nonsense in LISTEN_FDS and friends, no listening socket */
        STATUS_PRELOAD = 5,          /* the shim is missing or unusable */
        STATUS_HANDOVER = 6,         /* the hand-over failed */
        STATUS_CONF = 7,             /* a vhost's conf is wrong or unreadable */
        STATUS_ENGINE = 8,           /* the engine is not reachable */
        STATUS_IMAGE = 9,            /* the image is missing, or the engine refused the container */
        STATUS_NOT_EXECUTABLE = 126, /* found, but cannot be executed */
        STATUS_NOT_FOUND = 127,
};
