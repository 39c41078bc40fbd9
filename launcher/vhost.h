/* SPDX-License-Identifier: MIT */
/* A vhost's name, and its files: NAME.conf, and beside it what maintenance.h speaks of. */
#pragma once

#include <stdbool.h>

#define VHOST_DIRECTORY   "/etc/fpm-waker"
#define VHOST_CONF_SUFFIX ".conf"

/* Letters, digits, and - _ . behind the first. */
bool vhost_is_name(const char *name);

/* Returns 0, or the exit status for a name that is none after having printed that. */
int vhost_check(const char *name);

/* "/etc/fpm-waker/site.conf" is the conf of "site". To be freed; NULL for lack of memory. */
char *vhost_of_conf(const char *path);

/* "/etc/fpm-waker/site" for its conf, to which suffixes are added: the same. */
char *vhost_stem_of_conf(const char *path);
