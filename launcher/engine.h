/* SPDX-License-Identifier: MIT */
/* What podman's command is made of, and would be that of an engine like it. Failures to add a word
 * stick in *words. */
#pragma once

#include "conf.h"
#include "words.h"

/* Adds the options that lock the container in, as far as its conf does not open them. */
void engine_sandbox_words(struct words *words, const struct conf *conf);

/* Adds how the container is stopped by others than us. forever: this engine's word for no limit. */
void engine_stop_words(struct words *words, const struct conf *conf, const char *forever);

/* Adds volumes, environment, the administrator's own options, image, launcher and server. */
void engine_image_words(struct words *words, const struct conf *conf, const char *opcache);

/*
 * Reads the words that an image starts by itself, its ENTRYPOINT and CMD, from the engine,
 * "podman". Waits for the engine's client. Prints what is wrong and returns the exit status for it,
 * 0 on success.
 */
int engine_inspect(const char *engine, const char *image, struct words *ret);
