/* SPDX-License-Identifier: MIT */
#include "maintenance.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "report.h"
#include "status.h"
#include "vhost.h"

#define FLAG_SUFFIX ".maintenance"
#define PAGE_SUFFIX ".maintenance.html"

/* --- who heeds it --------------------------------------------------------------------------- */

struct maintenance {
        maintenance_changed_t changed;
        void *userdata;
        char *flag;
        char *page;
        bool is_on;
};

void maintenance_look(struct maintenance *maintenance)
{
        bool is_on;

        if (!maintenance)
                return;
        is_on = access(maintenance->flag, F_OK) == 0;
        if (is_on == maintenance->is_on)
                return;
        maintenance->is_on = is_on;
        maintenance->changed(is_on, maintenance->userdata);
}

int maintenance_new(struct maintenance **ret, const char *stem, maintenance_changed_t changed,
                    void *userdata)
{
        struct maintenance *maintenance;
        int r = 0;

        maintenance = calloc(1, sizeof(*maintenance));
        if (!maintenance)
                return -ENOMEM;
        maintenance->changed = changed;
        maintenance->userdata = userdata;
        if (asprintf(&maintenance->flag, "%s" FLAG_SUFFIX, stem) < 0) {
                maintenance->flag = NULL;
                r = -ENOMEM;
        } else if (asprintf(&maintenance->page, "%s" PAGE_SUFFIX, stem) < 0) {
                maintenance->page = NULL;
                r = -ENOMEM;
        }
        if (r < 0) {
                maintenance_free(maintenance);
                return r;
        }
        maintenance->is_on = access(maintenance->flag, F_OK) == 0;
        *ret = maintenance;
        return 0;
}

bool maintenance_is_on(const struct maintenance *maintenance)
{
        return maintenance && maintenance->is_on;
}

uint64_t maintenance_since_usec(const char *stem)
{
        _cleanup_free_ char *flag = NULL;
        struct stat st;

        if (asprintf(&flag, "%s" FLAG_SUFFIX, stem) < 0) {
                flag = NULL;
                return 0;
        }
        if (stat(flag, &st) < 0)
                return 0;
        return (uint64_t)st.st_mtim.tv_sec * 1000000 + (uint64_t)st.st_mtim.tv_nsec / 1000;
}

const char *maintenance_page(const struct maintenance *maintenance)
{
        return maintenance->page;
}

void maintenance_free(struct maintenance *maintenance)
{
        if (!maintenance)
                return;
        free(maintenance->flag);
        free(maintenance->page);
        free(maintenance);
}

/* --- who switches -------------------------------------------------------------------------- */

static const char usage[] =
    "Usage: fpm-waker maintenance VHOST on|off\n"
    "       fpm-waker maintenance --conf=FILE on|off\n"
    "\n"
    "While it is on, the vhost is stopped, and each request gets a 503 with Retry-After: 60 and\n"
    "the page in " VHOST_DIRECTORY "/VHOST" PAGE_SUFFIX ", or beside FILE, if it is there.\n"
    "\n"
    "  --help  print this and exit\n"
    "\n"
    "See fpm-waker(8).\n";

/* The file is all there is of it: nothing is written into it. */
static int switch_on(const char *flag, const char *vhost)
{
        _cleanup_close_ int fd = -1;

        fd = open(flag, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0 && errno == EEXIST)
                return log_fail(STATUS_OK, "maintenance of %s is on already", vhost);
        if (fd < 0)
                return log_fail(STATUS_SYSTEM, "cannot make %s: %s", flag, strerror(errno));
        return STATUS_OK;
}

static int switch_off(const char *flag, const char *vhost)
{
        if (unlink(flag) == 0)
                return STATUS_OK;
        if (errno == ENOENT)
                return log_fail(STATUS_OK, "maintenance of %s is off already", vhost);
        return log_fail(STATUS_SYSTEM, "cannot remove %s: %s", flag, strerror(errno));
}

/* Tells the vhost, if it is awake, that there is something to see: see status-serve.h. */
static void nudge(const char *vhost)
{
        _cleanup_free_ char *directory = report_directory();
        int fd;

        if (!directory)
                return;
        fd = report_connect(directory, vhost);
        if (fd >= 0)
                (void)close(fd);
}

static int switch_vhost(const char *conf, const char *word)
{
        _cleanup_free_ char *stem = vhost_stem_of_conf(conf), *vhost = vhost_of_conf(conf);
        _cleanup_free_ char *flag = NULL;
        int status;

        if (!stem || !vhost || asprintf(&flag, "%s" FLAG_SUFFIX, stem) < 0) {
                flag = NULL;
                return log_fail(STATUS_SYSTEM, "maintenance: %s", strerror(ENOMEM));
        }
        if (access(conf, F_OK) < 0)
                return log_fail(STATUS_CONF, "unknown vhost: %s: %s", conf, strerror(errno));
        if (strcmp(word, "on") == 0)
                status = switch_on(flag, vhost);
        else if (strcmp(word, "off") == 0)
                status = switch_off(flag, vhost);
        else
                return log_fail(STATUS_USAGE, "maintenance is on or off, not %s", word);
        nudge(vhost);
        return status;
}

int maintenance(int argc, char **argv)
{
        enum { CONF = 256, HELP };
        static const struct option options[] = {
            {"conf", required_argument, NULL, CONF},
            {"help", no_argument, NULL, HELP},
            {0},
        };
        _cleanup_free_ char *path = NULL;
        const char *conf = NULL;
        int option, status;

        opterr = 0;
        while ((option = getopt_long(argc, argv, ":", options, NULL)) >= 0) {
                if (option == HELP)
                        return fputs(usage, stdout) < 0 ? STATUS_SYSTEM : STATUS_OK;
                if (option != CONF)
                        return log_fail(STATUS_USAGE,
                                        "wrong option %s, see fpm-waker maintenance --help",
                                        argv[optind - 1]);
                conf = optarg;
        }
        if (argc - optind != (conf ? 1 : 2))
                return log_fail(STATUS_USAGE, "a vhost and on or off, see fpm-waker maintenance "
                                              "--help");
        if (conf)
                return switch_vhost(conf, argv[optind]);
        status = vhost_check(argv[optind]);
        if (status != 0)
                return status;
        if (asprintf(&path, VHOST_DIRECTORY "/%s" VHOST_CONF_SUFFIX, argv[optind]) < 0) {
                path = NULL;
                return log_fail(STATUS_SYSTEM, "maintenance: %s", strerror(ENOMEM));
        }
        return switch_vhost(path, argv[optind + 1]);
}
