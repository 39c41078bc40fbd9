/* SPDX-License-Identifier: MIT */
/* Where the parts of fpm-waker that go into containers are installed. */
#pragma once

/*
 * Finds fpm-launcher: beside fpm-waker (also as a symlink) or in ../lib/fpm-waker.
 * Returns 0 and its real path, to be freed; -errno if it is in neither place.
 */
int installed_launcher(char **ret);
