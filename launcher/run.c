/* SPDX-License-Identifier: MIT */
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "attempt.h"
#include "cleanup.h"
#include "conf.h"
#include "engine.h"
#include "failing.h"
#include "installed.h"
#include "log.h"
#include "nspawn.h"
#include "opcache-directory.h"
#include "podman.h"
#include "sockets.h"
#include "span.h"
#include "status.h"
#include "supervise.h"
#include "vhost.h"
#include "words.h"

#define HANDOVER_DIRECTORY "/run/fpm-waker-handover"

const char run_usage[] =
    "Usage: fpm-waker run [--vhost=NAME] [--handover=PATH] -- COMMAND [WORD...]\n"
    "       fpm-waker run --vhost=NAME | --conf=FILE [--handover=PATH]\n"
    "\n"
    "Hands the sockets that systemd passed to fpm-launcher in the container that COMMAND starts\n"
    "(docker run ... --entrypoint /fpm-waker/fpm-launcher IMAGE ... -- php-fpm), stops it when it\n"
    "is idle, and exits with its result. Without COMMAND, the vhost's conf says what to start.\n"
    "\n"
    "  --vhost=NAME     the vhost; its conf is " VHOST_DIRECTORY "/NAME" VHOST_CONF_SUFFIX "\n"
    "  --conf=FILE      another conf; the vhost's name is FILE's, unless --vhost= says it\n"
    "  --handover=PATH  the socket for fpm-launcher; default: handover in $RUNTIME_DIRECTORY, or\n"
    "                   in " HANDOVER_DIRECTORY "/NAME\n"
    "  --retry-limit=SPAN\n"
    "                   the longest time between two attempts to start what fails to start, and\n"
    "                   how long it is tried when nobody asks; default: the conf's, or 60s\n"
    "  --help           print this and exit\n"
    "\n"
    "See fpm-waker(8), fpm-waker.conf(5).\n";

struct arguments {
        const char *vhost;
        const char *conf;
        const char *handover;
        char *const *command; /* NULL: the conf says it */
        uint64_t retry_limit_usec;
        bool has_retry_limit; /* else the conf says it, or the default is good */
};

/* --- arguments ----------------------------------------------------------------------------- */

/* Returns 0, an exit status, or -1 after --help. */
static int parse_arguments(struct arguments *arguments, int argc, char **argv)
{
        enum { VHOST = 256, CONF, HANDOVER, RETRY_LIMIT, HELP };
        static const struct option options[] = {
            {"vhost", required_argument, NULL, VHOST},
            {"conf", required_argument, NULL, CONF},
            {"handover", required_argument, NULL, HANDOVER},
            {"retry-limit", required_argument, NULL, RETRY_LIMIT},
            {"help", no_argument, NULL, HELP},
            {0},
        };
        int option;

        opterr = 0;
        while ((option = getopt_long(argc, argv, "+:", options, NULL)) >= 0)
                switch (option) {
                case VHOST:
                        arguments->vhost = optarg;
                        break;
                case CONF:
                        arguments->conf = optarg;
                        break;
                case HANDOVER:
                        arguments->handover = optarg;
                        break;
                case RETRY_LIMIT:
                        arguments->has_retry_limit = true;
                        if (span_parse(optarg, &arguments->retry_limit_usec) < 0)
                                return log_fail(STATUS_USAGE, "--retry-limit=%s is not a time span",
                                                optarg);
                        break;
                case HELP:
                        (void)fputs(run_usage, stdout);
                        return -1;
                case ':':
                        return log_fail(STATUS_USAGE, "%s needs an argument", argv[optind - 1]);
                default:
                        return log_fail(STATUS_USAGE, "unknown option %s, see fpm-waker run --help",
                                        argv[optind - 1]);
                }
        if (argv[optind])
                arguments->command = argv + optind;
        if (arguments->conf && arguments->command)
                return log_fail(STATUS_USAGE, "either --conf=%s or a command: %s", arguments->conf,
                                arguments->command[0]);
        if (!arguments->conf && !arguments->vhost && !arguments->command)
                return log_fail(STATUS_USAGE, "nothing to run, see fpm-waker run --help");
        return 0;
}

/* --- the sockets that systemd passed ------------------------------------------------------- */

static int take_passed(struct passed *passed)
{
        int status;

        if (!passed_in_environment())
                return log_fail(STATUS_NO_SOCKET, "no socket passed (LISTEN_FDS is not set): it is "
                                                  "for a service with a socket unit");
        status = passed_from_environment(passed);
        if (status != 0)
                return status;
        for (size_t i = 0; i < passed->n_sockets; i++)
                if (fcntl(passed->sockets[i], F_SETFD, FD_CLOEXEC) < 0)
                        return log_fail(STATUS_BAD_SOCKETS, "passed descriptor %d: %s",
                                        passed->sockets[i], strerror(errno));
        (void)unsetenv("LISTEN_FDS");
        (void)unsetenv("LISTEN_PID");
        (void)unsetenv("LISTEN_FDNAMES");
        (void)unsetenv("LISTEN_PIDFDID");
        return 0;
}

/* What is supervised. */
struct plan {
        const struct arguments *arguments;
        const char *conf_path;
        const char *launcher;
        const char *handover;
};

/* --- what to run --------------------------------------------------------------------------- */

/* Hands a string on: the variable no longer owns it. */
static char *take_string(char **string)
{
        char *taken = *string;

        *string = NULL;
        return taken;
}

/* Returns the path, to be freed, or NULL with the exit status in *ret_status. */
static char *handover_path(const struct arguments *arguments, int *ret_status)
{
        const char *runtime = getenv("RUNTIME_DIRECTORY");
        _cleanup_free_ char *path = NULL;
        int n;

        if (arguments->handover)
                n = asprintf(&path, "%s", arguments->handover);
        else if (runtime && *runtime) /* the first of them, if the unit has several */
                n = asprintf(&path, "%.*s/handover", (int)strcspn(runtime, ":"), runtime);
        else if (arguments->vhost)
                n = asprintf(&path, HANDOVER_DIRECTORY "/%s/handover", arguments->vhost);
        else {
                *ret_status = log_fail(STATUS_USAGE,
                                       "no path for the hand-over: say --vhost= or --handover=, or "
                                       "RuntimeDirectory= in the unit");
                return NULL;
        }
        if (n < 0) {
                path = NULL;
                *ret_status =
                    log_fail(STATUS_SYSTEM, "no path for the hand-over: %s", strerror(ENOMEM));
                return NULL;
        }
        if (*path != '/') {
                *ret_status =
                    log_fail(STATUS_USAGE, "path of the hand-over is not absolute: %s", path);
                return NULL;
        }
        return take_string(&path);
}

/* An empty Command= is what the image itself starts. */
static int complete_command(struct conf *conf, const char *engine)
{
        return conf->command.n > 0 ? 0 : engine_inspect(engine, conf->image, &conf->command);
}

/* The launcher's directory is mounted into the container, and the socket's below it. */
static int compose_docker(struct words *words, struct words *result_words, const struct plan *plan)
{
        _cleanup_free_ char *launcher = strdup(plan->launcher), *handover = strdup(plan->handover);
        const char *libdir, *vhost = plan->arguments->vhost;

        if (!launcher || !handover)
                return log_fail(STATUS_SYSTEM, "cannot compose the command: %s", strerror(ENOMEM));
        libdir = dirname(launcher);
        words_addf(words, "%s/fpm-docker", libdir);
        words_add(words, "start");
        words_add(words, vhost);
        words_add(words, plan->conf_path);
        words_add(words, libdir);
        words_add(words, dirname(handover));
        words_addf(result_words, "%s/fpm-docker", libdir);
        words_add(result_words, "wait");
        words_add(result_words, vhost);
        return 0;
}

static int compose_podman(struct words *words, struct conf *conf, const char *vhost,
                          const char *handover, const char *launcher)
{
        _cleanup_free_ char *libdir = strdup(launcher), *rundir = strdup(handover), *opcache = NULL;
        int status;

        if (!libdir || !rundir)
                return log_fail(STATUS_SYSTEM, "cannot compose the command: %s", strerror(ENOMEM));
        status = opcache_directory(conf, "opcache", &opcache);
        if (status == 0)
                status = complete_command(conf, "podman");
        if (status == 0)
                podman_run_words(words, conf, vhost, dirname(libdir), dirname(rundir), opcache);
        return status;
}

static int compose_nspawn(struct words *words, const struct conf *conf, const char *vhost,
                          const char *handover, const char *launcher)
{
        _cleanup_free_ char *libdir = strdup(launcher), *rundir = strdup(handover), *opcache = NULL;
        int status;

        if (!libdir || !rundir)
                return log_fail(STATUS_SYSTEM, "cannot compose the command: %s", strerror(ENOMEM));
        status = opcache_directory(conf, "opcache", &opcache);
        if (status == 0)
                nspawn_words(words, conf, vhost, dirname(libdir), dirname(rundir), opcache);
        return status;
}

static int compose_native(struct words *words, const struct conf *conf, const char *handover,
                          const char *launcher)
{
        _cleanup_free_ char *opcache = NULL;
        int status;

        status = opcache_directory(conf, "opcache", &opcache);
        if (status != 0)
                return status;
        if (conf->environment.n > 0) {
                words_add(words, "env");
                words_add_all(words, &conf->environment);
        }
        words_add(words, launcher);
        words_addf(words, "--handover=%s", handover);
        conf_launcher_words(words, conf, opcache);
        words_add(words, "--");
        words_add_all(words, &conf->command);
        return 0;
}

/* --- what is supervised: a conf's server, and a command of one's own ----------------------- */

static int compose_given(struct composed *composed, void *userdata)
{
        const struct plan *plan = userdata;

        for (char *const *word = plan->arguments->command; *word; word++)
                words_add(&composed->command, *word);
        composed->retry_limit_usec = plan->arguments->retry_limit_usec;
        composed->spans = TIER_SPANS_NONE;
        return 0;
}

/* Reads the conf each time: it may be what is repaired. */
static int compose_conf(struct composed *composed, void *userdata)
{
        const struct plan *plan = userdata;
        _cleanup_(conf_done) struct conf conf = {0};
        int status;

        composed->retry_limit_usec = plan->arguments->retry_limit_usec;
        status = conf_read(&conf, plan->conf_path);
        if (status != 0)
                return status;
        if (!plan->arguments->has_retry_limit)
                composed->retry_limit_usec = conf.retry_limit_usec;
        composed->spans = conf.spans;
        switch (conf.engine) {
        case CONF_DOCKER:
                return compose_docker(&composed->command, &composed->result_command, plan);
        case CONF_PODMAN:
                return compose_podman(&composed->command, &conf, plan->arguments->vhost,
                                      plan->handover, plan->launcher);
        case CONF_NSPAWN:
                return compose_nspawn(&composed->command, &conf, plan->arguments->vhost,
                                      plan->handover, plan->launcher);
        case CONF_NATIVE:
                break;
        }
        return compose_native(&composed->command, &conf, plan->handover, plan->launcher);
}

/* Where the vhost's files are: the stem of their paths, to be freed, or NULL if it has none. */
static int find_stem(const struct plan *plan, char **ret)
{
        *ret = NULL;
        if (plan->conf_path)
                *ret = vhost_stem_of_conf(plan->conf_path);
        else if (!plan->arguments->vhost)
                return 0;
        else if (asprintf(ret, VHOST_DIRECTORY "/%s", plan->arguments->vhost) < 0)
                *ret = NULL;
        return *ret ? 0 : log_fail(STATUS_SYSTEM, "cannot start: %s", strerror(ENOMEM));
}

static int run_supervised(struct plan *plan)
{
        _cleanup_free_ char *handover = NULL, *stem = NULL;
        struct passed passed = PASSED_NOTHING;
        struct supervision supervision = {
            .passed = &passed,
            .launcher = plan->launcher,
            .vhost = plan->arguments->vhost,
            .compose = plan->arguments->command ? compose_given : compose_conf,
            .userdata = plan,
        };
        int status;

        handover = handover_path(plan->arguments, &status);
        if (!handover)
                return status;
        plan->handover = supervision.handover_path = handover;
        status = find_stem(plan, &stem);
        if (status != 0)
                return status;
        supervision.stem = stem;
        status = take_passed(&passed);
        return status != 0 ? status : supervise(&supervision);
}

/* A unit can wait until the conf is right: requests get an answer meanwhile. */
static int check_first(const char *path)
{
        _cleanup_(conf_done) struct conf conf = {0};
        char reason[1024];
        int status;

        log_capture(reason, sizeof(reason));
        status = conf_read(&conf, path);
        log_capture(NULL, 0);
        if (status == 0 || (getenv("RUNTIME_DIRECTORY") && passed_in_environment()))
                return 0;
        return log_fail(status, "%s", reason);
}

static int run_conf(struct arguments *arguments, const char *launcher)
{
        _cleanup_free_ char *path = NULL, *vhost = NULL;
        int status;

        if (arguments->conf)
                path = strdup(arguments->conf);
        else if (asprintf(&path, VHOST_DIRECTORY "/%s" VHOST_CONF_SUFFIX, arguments->vhost) < 0)
                path = NULL;
        if (arguments->vhost)
                vhost = strdup(arguments->vhost);
        else if (arguments->conf)
                vhost = vhost_of_conf(arguments->conf);
        if (!path || !vhost)
                return log_fail(STATUS_SYSTEM, "cannot read a conf: %s", strerror(ENOMEM));
        status = vhost_check(vhost);
        if (status == 0)
                status = check_first(path);
        if (status != 0)
                return status;
        arguments->vhost = vhost;
        return run_supervised(
            &(struct plan){.arguments = arguments, .conf_path = path, .launcher = launcher});
}

int run(int argc, char **argv)
{
        struct arguments arguments = {.retry_limit_usec = FAILING_RETRY_LIMIT_USEC};
        _cleanup_free_ char *launcher = NULL;
        int status, r;

        status = parse_arguments(&arguments, argc, argv);
        if (status != 0)
                return status < 0 ? STATUS_OK : status;
        if (arguments.vhost) {
                status = vhost_check(arguments.vhost);
                if (status != 0)
                        return status;
        }
        r = installed_launcher(&launcher);
        if (r < 0)
                return log_fail(STATUS_SYSTEM, "cannot find fpm-launcher beside fpm-waker: %s",
                                strerror(-r));
        if (!arguments.command)
                return run_conf(&arguments, launcher);
        return run_supervised(&(struct plan){.arguments = &arguments, .launcher = launcher});
}
