/* SPDX-License-Identifier: MIT */
/* A vhost's container as the Docker engine's API wants it described. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "conf.h"

/* The label that says what a container was made of: another conf or image, another value. */
#define DOCKER_SPEC_LABEL "fpm-waker.spec"

struct docker_spec_parts {
        const struct conf *conf;
        const char *vhost;
        const char *libdir;  /* host directory of fpm-launcher */
        const char *rundir;  /* host directory of the hand-over socket */
        const char *opcache; /* host directory of the OPcache file cache, NULL: none */
        const json_t *image; /* what the engine says of the image */
};

/* True if there are words for the server: the conf's, or those of the image. */
bool docker_spec_has_command(const struct docker_spec_parts *parts);

/* The body of POST /containers/create. To be freed by json_decref(); NULL for lack of memory,
 * or for something in the conf that is not UTF-8. */
json_t *docker_spec_new(const struct docker_spec_parts *parts);

/* The value of the label in a spec, or in what the engine says of a container; NULL: none. */
const char *docker_spec_label(const json_t *spec);
