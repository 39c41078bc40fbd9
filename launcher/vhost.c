/* SPDX-License-Identifier: MIT */
#include "vhost.h"

#include <ctype.h>
#include <string.h>

#include "log.h"
#include "status.h"

/* A vhost's name is part of paths, of a container's name and of a unit's. */
bool vhost_is_name(const char *name)
{
        const char *p = name;

        if (isalnum((unsigned char)*p))
                for (p++; isalnum((unsigned char)*p) || (*p && strchr("-_.", *p)); p++)
                        ;
        return p != name && !*p;
}

int vhost_check(const char *name)
{
        if (!vhost_is_name(name))
                return log_fail(STATUS_USAGE,
                                "not the name of a vhost: \"%s\": letters, digits, and - _ . "
                                "behind the first",
                                name);
        return 0;
}

char *vhost_of_conf(const char *path)
{
        const char *slash = strrchr(path, '/');

        return vhost_stem_of_conf(slash ? slash + 1 : path);
}

char *vhost_stem_of_conf(const char *path)
{
        size_t n = strlen(path), suffix = strlen(VHOST_CONF_SUFFIX);

        if (n > suffix && strcmp(path + n - suffix, VHOST_CONF_SUFFIX) == 0)
                n -= suffix;
        return strndup(path, n);
}
