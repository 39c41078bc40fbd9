/* SPDX-License-Identifier: MIT */
/* fpm-waker: the administrator's command on the host. One file a subcommand. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "configtest.h"
#include "log.h"
#include "maintenance.h"
#include "run.h"
#include "status-command.h"
#include "status.h"

static const struct {
        const char *name;
        int (*function)(int argc, char **argv);
        const char *summary;
} subcommands[] = {
    {"run", run, "start a vhost's container and hand it the sockets that systemd passed"},
    {"status", status_command, "show what vhosts do, and wake none"},
    {"configtest", configtest, "have a vhost's php-fpm test its configuration"},
    {"maintenance", maintenance, "have a vhost's requests answered with 503, or end that"},
};

static int print_help(void)
{
        (void)printf("Usage: fpm-waker SUBCOMMAND [OPTION...]\n\n");
        for (size_t i = 0; i < sizeof(subcommands) / sizeof(*subcommands); i++)
                (void)printf("  %-12s %s\n", subcommands[i].name, subcommands[i].summary);
        (void)printf("\n  --help     print this and exit; also behind a subcommand\n"
                     "  --version    print the version and exit\n\n"
                     "See fpm-waker(8).\n");
        return STATUS_OK;
}

static int print_version(void)
{
        (void)printf("fpm-waker %s\n", FPM_WAKER_VERSION);
        return STATUS_OK;
}

static int dispatch(int argc, char **argv)
{
        const char *name = argc > 1 ? argv[1] : NULL;

        if (!name)
                return log_fail(STATUS_USAGE, "no subcommand, see fpm-waker --help");
        if (strcmp(name, "--help") == 0)
                return print_help();
        if (strcmp(name, "--version") == 0)
                return print_version();
        for (size_t i = 0; i < sizeof(subcommands) / sizeof(*subcommands); i++)
                if (strcmp(name, subcommands[i].name) == 0)
                        return subcommands[i].function(argc - 1, argv + 1);
        return log_fail(STATUS_USAGE, "unknown %s %s, see fpm-waker --help",
                        *name == '-' ? "option" : "subcommand", name);
}

int main(int argc, char **argv)
{
        int status = dispatch(argc, argv);

        /* A full disk behind stdout must not look like success. */
        if (fflush(stdout) != 0 && status == STATUS_OK)
                return log_fail(STATUS_SYSTEM, "stdout: %s", strerror(errno));
        return status;
}
