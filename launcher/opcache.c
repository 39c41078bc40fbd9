/* SPDX-License-Identifier: MIT */
#include "opcache.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "server.h"
#include "status.h"

/* What the ini file there reads; libfpm-waker.so would hide a name like those of our own. */
#define DIRECTORY_VARIABLE "OPCACHE_FILE_CACHE"

/* Behind those that PHP reads anyway: nothing before the colon is what it was built with. */
static int add_ini_directory(const char *directory)
{
        const char *own = getenv("PHP_INI_SCAN_DIR");
        _cleanup_free_ char *both = NULL;

        if (asprintf(&both, "%s:%s", own ? own : "", directory) < 0) {
                both = NULL;
                return -1;
        }
        return setenv("PHP_INI_SCAN_DIR", both, 1);
}

int opcache_prepare_environment(const char *directory)
{
        char ini[PATH_MAX];
        int r;

        if (!directory)
                return 0;
        if (access(directory, R_OK | W_OK | X_OK) < 0) {
                log_line("no OPcache file cache: %s: %s", directory, strerror(errno));
                return 0;
        }
        r = beside_executable("php.d", ini);
        if (r == 0 && access(ini, R_OK | X_OK) < 0)
                r = -errno;
        if (r < 0) {
                log_line("no OPcache file cache: php.d beside this program: %s", strerror(-r));
                return 0;
        }
        if (setenv(DIRECTORY_VARIABLE, directory, 1) < 0 || add_ini_directory(ini) < 0)
                return log_fail(STATUS_SYSTEM, "cannot set the server's environment: %m");
        return 0;
}
