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

/* Has the directory as it shall be, whatever the umask, and whatever was there. */
static int make(const char *path, mode_t mode)
{
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
                return -errno;
        return chmod(path, mode) < 0 ? -errno : 0;
}

/* The service's own, to be freed: the first of them, if the unit has several. NULL: it has none. */
static char *cache_directory(void)
{
        const char *cache = getenv("CACHE_DIRECTORY");

        return cache && *cache ? strndup(cache, strcspn(cache, ":")) : NULL;
}

int opcache_directory(const struct conf *conf, const char *name, char **ret)
{
        _cleanup_free_ char *cache = NULL;
        struct stat st;
        int r;

        *ret = NULL;
        if (!conf->opcache_file_cache)
                return 0;
        cache = cache_directory();
        if (!cache)
                return log_fail(STATUS_CONF, "OpcacheFileCache: the unit has no CacheDirectory=");
        if (stat(cache, &st) < 0)
                return log_fail(STATUS_SYSTEM, "OpcacheFileCache: %s: %s", cache, strerror(errno));
        if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
                return log_fail(STATUS_CONF,
                                "OpcacheFileCache: %s is open to others: the unit needs "
                                "CacheDirectoryMode=0700",
                                cache);
        if (asprintf(ret, "%s/%s", cache, name) < 0) {
                *ret = NULL;
                return log_fail(STATUS_SYSTEM, "OpcacheFileCache: %s", strerror(ENOMEM));
        }
        r = make(*ret, mode_for(conf->engine));
        return r < 0 ? log_fail(STATUS_SYSTEM, "OpcacheFileCache: %s: %s", *ret, strerror(-r)) : 0;
}
