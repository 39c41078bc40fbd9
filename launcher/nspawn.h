/* SPDX-License-Identifier: MIT */
/* systemd-nspawn, which runs a directory tree as a container, and stays as long as that. */
#pragma once

#include "conf.h"
#include "words.h"

/*
 * Composes systemd-nspawn for a vhost. libdir, rundir: host directories of fpm-launcher and of the
 * hand-over socket. Failures stick in *words.
 */
void nspawn_words(struct words *words, const struct conf *conf, const char *vhost,
                  const char *libdir, const char *rundir, const char *opcache);
