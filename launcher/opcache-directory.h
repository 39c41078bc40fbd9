/* SPDX-License-Identifier: MIT */
/* On the host: the directory where a vhost's OPcache keeps what it has compiled. */
#pragma once

#include "conf.h"

/*
 * Makes it below the service's cache directory ($CACHE_DIRECTORY), if the conf wants one: of that
 * name, so that what another image has compiled is not in it.
 * Returns 0, or the exit status after having printed what is wrong; *ret is to be freed either way,
 * and NULL if none is wanted.
 */
int opcache_directory(const struct conf *conf, const char *name, char **ret);
