/* SPDX-License-Identifier: MIT */
/* podman, which passes descriptors on by itself and so needs no hand-over. */
#pragma once

#include "conf.h"
#include "words.h"

/* Composes `podman run` for a vhost, as docker_run_words() does. */
void podman_run_words(struct words *words, const struct conf *conf, const char *vhost,
                      const char *libdir);
