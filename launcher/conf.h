/* SPDX-License-Identifier: MIT */
/* The conf of one vhost, fpm-waker.conf(5): Key=Value lines. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tier.h"
#include "words.h"

enum conf_engine {
        CONF_DOCKER,
        CONF_PODMAN,
        CONF_NSPAWN,
        CONF_NATIVE,
};

struct conf {
        enum conf_engine engine;
        char *image;                 /* NULL only for CONF_NSPAWN and CONF_NATIVE */
        char *directory;             /* the container's tree; NULL but for CONF_NSPAWN */
        struct words command;        /* empty: what the image itself starts */
        struct words volumes;        /* HOST:CONTAINER[:OPTIONS] each */
        struct words environment;    /* NAME=VALUE each */
        struct words engine_options; /* not for CONF_DOCKER, which has no command line */
        struct words capabilities;   /* as CHOWN; more than those that it has by default */
        struct words labels;         /* NAME=VALUE each */
        struct words tmpfs;          /* PATH[:OPTIONS] each; more than those of read_only */
        char *user;                  /* NULL: the image's own */
        char *network;               /* NULL: none */
        char *hostname;              /* NULL: the engine's choice */
        char *memory;                /* NULL: no limit */
        bool read_only;
        bool init; /* a tiny init before the launcher */
        bool opcache_file_cache;
        struct tier_spans spans;
        char *stop_after;  /* the last of them, as written */
        char *drain_limit; /* a span, as written; NULL: fpm-launcher's own default */
        uint64_t drain_limit_usec;
        char *background_limit; /* a span, as written; NULL: fpm-launcher's own default */
        uint64_t retry_limit_usec;
};

/*
 * Reads a file. Prints "FILE:LINE: KEY: what is wrong" and returns the exit status for it, 0 on
 * success. *conf is to be freed with conf_done() either way.
 */
int conf_read(struct conf *conf, const char *path);

/* Adds fpm-launcher's options. opcache: the OPcache file cache where the launcher sees it, NULL:
 * none. */
void conf_launcher_words(struct words *words, const struct conf *conf, const char *opcache);

void conf_done(struct conf *conf);
