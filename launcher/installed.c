/* SPDX-License-Identifier: MIT */
#include "installed.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

int installed_launcher(char **ret)
{
        static const char *const places[] = {"fpm-launcher", "../lib/fpm-waker/fpm-launcher"};
        _cleanup_free_ char *own = realpath("/proc/self/exe", NULL);
        char path[PATH_MAX], *slash;

        if (!own)
                return -errno;
        slash = strrchr(own, '/');
        for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
                int n = snprintf(path, sizeof(path), "%.*s/%s", (int)(slash - own), own, places[i]);

                if (n < 0 || (size_t)n >= sizeof(path))
                        return -ENAMETOOLONG;
                *ret = realpath(path, NULL);
                if (*ret)
                        return 0;
        }
        return -errno;
}
