/* SPDX-License-Identifier: MIT */
#include "opcache-directory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "log.h"
#include "status.h"

/*
 * What is in there is executed, so the service's directory above is closed to all other users of
 * the host. In a container, nobody knows as whom its workers run, and its root may be anybody's:
 * all of them may write, as in /tmp.
 */
static mode_t mode_for(enum conf_engine engine)
{
        return engine == CONF_NATIVE ? 0700 : 01777;
}

static int make(const char *path, mode_t mode)
{
        if (mkdir(path, 0700) < 0)
                return errno == EEXIST ? 0 : -errno;
        return chmod(path, mode) < 0 ? -errno : 0; /* whatever the umask */
}

/* Nobody else may get as far as to what is executed. */
static int check_closed(const char *path)
{
        struct stat st;

        if (stat(path, &st) < 0)
                return -errno;
        return st.st_mode & (S_IRWXG | S_IRWXO) ? -EPERM : 0;
}

int opcache_directory(const struct conf *conf, const char *name, char **ret)
{
        const char *cache = getenv("CACHE_DIRECTORY");
        _cleanup_free_ char *path = NULL;
        int r, length;

        *ret = NULL;
        if (!conf->opcache_file_cache)
                return 0;
        if (!cache || !*cache)
                return log_fail(STATUS_CONF, "OpcacheFileCache: the unit has no CacheDirectory=");
        length = (int)strcspn(cache, ":"); /* the first of them, if the unit has several */
        if (asprintf(&path, "%.*s", length, cache) < 0) {
                path = NULL;
                return log_fail(STATUS_SYSTEM, "OpcacheFileCache: %s", strerror(ENOMEM));
        }
        r = check_closed(path);
        if (r == -EPERM)
                return log_fail(STATUS_CONF,
                                "OpcacheFileCache: %s is open to others: the unit needs "
                                "CacheDirectoryMode=0700",
                                path);
        if (r == 0) {
                free(path);
                if (asprintf(&path, "%.*s/%s", length, cache, name) < 0) {
                        path = NULL;
                        r = -ENOMEM;
                }
        }
        if (r == 0)
                r = make(path, mode_for(conf->engine));
        if (r < 0)
                return log_fail(STATUS_SYSTEM, "OpcacheFileCache: %s: %s", cache, strerror(-r));
        *ret = path;
        path = NULL;
        return 0;
}
