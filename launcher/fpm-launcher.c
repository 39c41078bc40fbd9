/* SPDX-License-Identifier: MIT */
/*
 * fpm-launcher: starts an unmodified FastCGI server on listening sockets that were passed to it.
 *
 * Collects the sockets and makes the gate's page, both at high descriptors, loads the shim by
 * LD_PRELOAD, leaves a watchdog behind if the server is to stop when idle, and becomes the server.
 * With --resident it stays, and starts the server as its child whenever somebody connects.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "cleanup.h"
#include "handover-fetch.h"
#include "handover.h"
#include "log.h"
#include "resident.h"
#include "server.h"
#include "sockets.h"
#include "span.h"
#include "status.h"
#include "watch-process.h"

/* Below the 90 s after which systemd kills a service that does not stop. */
#define DRAIN_LIMIT_DEFAULT "80s"

/* Longer than what a web page usually leaves to do, shorter than a daemon started by mistake. */
#define BACKGROUND_LIMIT_DEFAULT "1h"

#define BLANKS                   " \t\n"

#define SEE_HELP                 "; see fpm-launcher --help"

/* main() continues. */
#define GO_ON (-1)

struct settings {
        struct page_settings page;
        const char *preload;  /* NULL: beside the executable */
        const char *handover; /* NULL: the default, if nothing was passed */
        const char *listen[GATE_SOCKETS_MAX];
        size_t n_listen;
        bool resident;
        const char *liveness;           /* NULL: nowhere */
        const char *opcache_file_cache; /* NULL: nowhere */
};

static int print_help(void)
{
        printf("Usage: fpm-launcher [OPTION...] [--] SERVER [ARG...]\n"
               "\n"
               "Starts an unmodified FastCGI server, such as php-fpm, on listening sockets that\n"
               "were passed by systemd (LISTEN_FDS), as descriptor 0, by fpm-waker (hand-over),\n"
               "or that are opened here. SERVER keeps the process id.\n"
               "\n"
               "  --exit-idle-time=SPAN  stop the server gracefully after SPAN without request:\n"
               "                         90s, 5min, 1.5s, 100ms, infinity (default: infinity)\n"
               "  --drain-limit=SPAN     how long a stop may wait for requests (default: %s)\n"
               "  --background-limit=SPAN\n"
               "                         how long programs that requests left running keep an\n"
               "                         idle server from its stop (default: %s; 0: not at all)\n"
               "  --listen=ADDRESS       open a socket: /path, 127.0.0.1:9000, [::1]:9000, 9000;\n"
               "                         may be given several times (default: none)\n"
               "  --handover=PATH        fetch the sockets from fpm-waker (default, if no socket\n"
               "                         was passed: %s beside this program)\n"
               "  --fd0                  the server wants its listening socket as descriptor 0:\n"
               "                         php-cgi, fcgiwrap, programs with libfcgi (default: no)\n"
               "  --read-ahead=BOOLEAN   spare php-fpm most of its system calls for a request\n"
               "                         (default: yes)\n"
               "  --resident             stay, and start SERVER for the first connection; with\n"
               "                         --exit-idle-time=, again and again (default: no)\n"
               "  --liveness=ADDRESS     where a resident tells probes that it is there: asleep,\n"
               "                         awake or failing; as --listen= (default: nowhere)\n"
               "  --opcache-file-cache=DIRECTORY\n"
               "                         where PHP's OPcache keeps what it has compiled, for the\n"
               "                         next start (default: nowhere)\n"
               "  --preload=PATH         the shim (default: libfpm-waker.so beside this)\n"
               "  --help                 print this and exit\n"
               "  --version              print the version and exit\n"
               "\n"
               "Each option is also a variable, which the option overrides:\n"
               "FPM_WAKER_EXIT_IDLE_TIME, FPM_WAKER_DRAIN_LIMIT, FPM_WAKER_BACKGROUND_LIMIT,\n"
               "FPM_WAKER_LISTEN (addresses, with blanks between them), FPM_WAKER_HANDOVER,\n"
               "FPM_WAKER_FD0 (yes or no), FPM_WAKER_READ_AHEAD, FPM_WAKER_RESIDENT (yes or no),\n"
               "FPM_WAKER_LIVENESS, FPM_WAKER_OPCACHE_FILE_CACHE, FPM_WAKER_PRELOAD.\n"
               "Exit statuses: see fpm-launcher(1).\n",
               DRAIN_LIMIT_DEFAULT, BACKGROUND_LIMIT_DEFAULT, HANDOVER_DEFAULT);
        return fflush(stdout) == 0 ? 0 : log_fail(STATUS_SYSTEM, "cannot print the help: %m");
}

static int print_version(void)
{
        printf("fpm-launcher %s\n", FPM_WAKER_VERSION);
        return fflush(stdout) == 0 ? 0 : log_fail(STATUS_SYSTEM, "cannot print the version: %m");
}

/* what: the option or variable that text comes from. */
static int set_span(const char *what, const char *text, uint64_t *ret_usec)
{
        int r = span_parse(text, ret_usec);

        errno = -r;
        return r == 0 ? 0
                      : log_fail(STATUS_USAGE,
                                 "bad time span in %s: %s: %m; use 90s, 5min, 1.5s, 100ms or "
                                 "infinity",
                                 what, text);
}

static int add_listen(struct settings *settings, const char *address)
{
        if (settings->n_listen == GATE_SOCKETS_MAX)
                return log_fail(STATUS_USAGE, "too many addresses to listen on: at most %u",
                                GATE_SOCKETS_MAX);
        settings->listen[settings->n_listen++] = address;
        return 0;
}

static int set_boolean(const char *what, const char *text, bool *ret)
{
        static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};

        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
                if (strcasecmp(text, words[i]) == 0) {
                        *ret = i % 2 == 1;
                        return 0;
                }
        return log_fail(STATUS_USAGE, "bad boolean in %s: %s; use yes or no", what, text);
}

/* The variable's value. An empty one counts as unset: "docker run -e NAME=" can only empty it. */
static const char *variable(const char *name)
{
        const char *value = getenv(name);

        return value && *value ? value : NULL;
}

/* Splits the variable in place: it is ours and is taken away from the server later. */
static int add_listen_variable(struct settings *settings)
{
        char *saved = NULL, *words = getenv("FPM_WAKER_LISTEN");
        int r = 0;

        if (!words)
                return 0;
        for (char *word = strtok_r(words, BLANKS, &saved); word && r == 0;
             word = strtok_r(NULL, BLANKS, &saved))
                r = add_listen(settings, word);
        return r;
}

static int read_variables(struct settings *settings)
{
        const char *exit_idle = variable("FPM_WAKER_EXIT_IDLE_TIME");
        const char *drain_limit = variable("FPM_WAKER_DRAIN_LIMIT");
        const char *background_limit = variable("FPM_WAKER_BACKGROUND_LIMIT");
        const char *fd0 = variable("FPM_WAKER_FD0");
        const char *read_ahead = variable("FPM_WAKER_READ_AHEAD");
        const char *resident = variable("FPM_WAKER_RESIDENT");
        int r = 0;

        settings->preload = variable("FPM_WAKER_PRELOAD");
        settings->handover = variable("FPM_WAKER_HANDOVER");
        settings->liveness = variable("FPM_WAKER_LIVENESS");
        settings->opcache_file_cache = variable("FPM_WAKER_OPCACHE_FILE_CACHE");
        if (exit_idle)
                r = set_span("FPM_WAKER_EXIT_IDLE_TIME", exit_idle, &settings->page.exit_idle_usec);
        if (r == 0 && drain_limit)
                r = set_span("FPM_WAKER_DRAIN_LIMIT", drain_limit,
                             &settings->page.drain_limit_usec);
        if (r == 0 && background_limit)
                r = set_span("FPM_WAKER_BACKGROUND_LIMIT", background_limit,
                             &settings->page.background_limit_usec);
        if (r == 0 && fd0)
                r = set_boolean("FPM_WAKER_FD0", fd0, &settings->page.fd0);
        if (r == 0 && read_ahead)
                r = set_boolean("FPM_WAKER_READ_AHEAD", read_ahead, &settings->page.read_ahead);
        if (r == 0 && resident)
                r = set_boolean("FPM_WAKER_RESIDENT", resident, &settings->resident);
        return r;
}

/* Reads options up to SERVER. Returns GO_ON with argv[optind] the server, or an exit status. */
static int read_options(int argc, char **argv, struct settings *settings)
{
        enum {
                FIRST_LONG = 256, /* above every letter */
                EXIT_IDLE_TIME = FIRST_LONG,
                DRAIN_LIMIT,
                BACKGROUND_LIMIT,
                LISTEN,
                HANDOVER,
                FD0,
                READ_AHEAD,
                RESIDENT,
                LIVENESS,
                OPCACHE_FILE_CACHE,
                PRELOAD,
                HELP,
                VERSION,
        };
        static const struct option options[] = {
            {"exit-idle-time", required_argument, NULL, EXIT_IDLE_TIME},
            {"drain-limit", required_argument, NULL, DRAIN_LIMIT},
            {"background-limit", required_argument, NULL, BACKGROUND_LIMIT},
            {"listen", required_argument, NULL, LISTEN},
            {"handover", required_argument, NULL, HANDOVER},
            {"fd0", no_argument, NULL, FD0},
            {"read-ahead", required_argument, NULL, READ_AHEAD},
            {"resident", no_argument, NULL, RESIDENT},
            {"liveness", required_argument, NULL, LIVENESS},
            {"opcache-file-cache", required_argument, NULL, OPCACHE_FILE_CACHE},
            {"preload", required_argument, NULL, PRELOAD},
            {"help", no_argument, NULL, HELP},
            {"version", no_argument, NULL, VERSION},
            {NULL, 0, NULL, 0},
        };
        int r = 0;

        opterr = 0; /* our own words */
        while (r == 0) {
                /* "+": the words of the server are its own. ":": tell what is wrong. */
                switch (getopt_long(argc, argv, "+:", options, NULL)) {
                case -1:
                        if (settings->n_listen == 0)
                                r = add_listen_variable(settings);
                        if (r == 0 && optind == argc)
                                r = log_fail(STATUS_USAGE, "no server given: fpm-launcher "
                                                           "[OPTION...] [--] SERVER [ARG...]");
                        return r > 0 ? r : GO_ON;
                case EXIT_IDLE_TIME:
                        r = set_span("--exit-idle-time=", optarg, &settings->page.exit_idle_usec);
                        break;
                case DRAIN_LIMIT:
                        r = set_span("--drain-limit=", optarg, &settings->page.drain_limit_usec);
                        break;
                case BACKGROUND_LIMIT:
                        r = set_span("--background-limit=", optarg,
                                     &settings->page.background_limit_usec);
                        break;
                case LISTEN:
                        r = add_listen(settings, optarg);
                        break;
                case HANDOVER:
                        settings->handover = optarg;
                        break;
                case FD0:
                        settings->page.fd0 = true;
                        break;
                case READ_AHEAD:
                        r = set_boolean("--read-ahead=", optarg, &settings->page.read_ahead);
                        break;
                case RESIDENT:
                        settings->resident = true;
                        break;
                case LIVENESS:
                        settings->liveness = optarg;
                        break;
                case OPCACHE_FILE_CACHE:
                        settings->opcache_file_cache = optarg;
                        break;
                case PRELOAD:
                        settings->preload = optarg;
                        break;
                case HELP:
                        exit(print_help());
                case VERSION:
                        exit(print_version());
                case ':':
                        return log_fail(STATUS_USAGE, "option needs a value: %s" SEE_HELP,
                                        argv[optind - 1]);
                default:
                        if (optopt >= FIRST_LONG)
                                return log_fail(STATUS_USAGE, "option takes no value: %s" SEE_HELP,
                                                argv[optind - 1]);
                        if (optopt > 0)
                                return log_fail(STATUS_USAGE, "unknown option: -%c" SEE_HELP,
                                                optopt);
                        return log_fail(STATUS_USAGE, "unknown option: %s" SEE_HELP,
                                        argv[optind - 1]);
                }
        }
        return r;
}

/* Fetches what fpm-waker holds for us at path. */
static int collect_from_host(const struct settings *settings, const char *path,
                             struct passed *passed)
{
        if (settings->n_listen > 0 || passed_in_environment())
                return log_fail(STATUS_USAGE,
                                "sockets from two sides: --handover=%s excludes --listen= and "
                                "LISTEN_FDS",
                                path);
        return handover_fetch(path, passed);
}

/* Finds the listening sockets, wherever they are, and the gate's page that belongs to them. */
static int collect_sockets(const struct settings *settings, struct passed *passed)
{
        char path[PATH_MAX];
        int r = 0;

        if (settings->handover)
                return collect_from_host(settings, settings->handover, passed);

        if (passed_in_environment())
                r = passed_from_environment(passed);
        else if (settings->n_listen == 0 && passed_on_stdin())
                r = passed_from_stdin(passed);
        else if (settings->n_listen == 0) {
                if (beside_executable(HANDOVER_DEFAULT, path) == 0 && access(path, F_OK) == 0)
                        return collect_from_host(settings, path, passed);
                return log_fail(STATUS_NO_SOCKET,
                                "no listening socket: neither LISTEN_FDS nor descriptor 0 nor %s; "
                                "start it by a socket unit, or use --listen= or --handover=",
                                path);
        }
        if (r == 0 && passed->n_sockets + settings->n_listen > GATE_SOCKETS_MAX)
                return log_fail(STATUS_BAD_SOCKETS, "too many listening sockets: at most %u",
                                GATE_SOCKETS_MAX);
        for (size_t i = 0; r == 0 && i < settings->n_listen; i++)
                r = passed_listen(passed, settings->listen[i]);
        return r > 0 ? r : passed_make_page(passed);
}

int main(int argc, char **argv)
{
        struct settings settings = {
            .page = {.exit_idle_usec = GATE_INFINITY, .read_ahead = true},
        };
        struct passed passed = PASSED_NOTHING;
        struct server server;
        int r;

        /* What is wanted. */
        (void)span_parse(DRAIN_LIMIT_DEFAULT, &settings.page.drain_limit_usec);
        (void)span_parse(BACKGROUND_LIMIT_DEFAULT, &settings.page.background_limit_usec);
        r = read_variables(&settings);
        if (r > 0)
                return r;
        r = read_options(argc, argv, &settings);
        if (r != GO_ON)
                return r;
        if (settings.liveness && !settings.resident)
                return log_fail(STATUS_USAGE, "--liveness=%s needs --resident", settings.liveness);

        /* Is it possible? Until here, and while this fails, nothing is touched. */
        r = server_find(&server, settings.preload, argv + optind);
        if (r > 0)
                return r;
        server.opcache_file_cache = settings.opcache_file_cache;

        /* Sockets and page, where they survive exec. */
        r = collect_sockets(&settings, &passed);
        if (r > 0)
                return r;
        r = passed_settle(&passed, settings.page.fd0);
        if (r > 0)
                return r;
        if (settings.resident)
                return resident_live(&passed, &server, &settings.page, settings.liveness);
        r = passed_write_page(&passed, &settings.page);
        if (r > 0)
                return r;

        /* Who stops it when idle: fpm-waker, if the sockets came from there. */
        if (settings.page.exit_idle_usec != GATE_INFINITY && passed.handover_fd < 0) {
                r = watch_process_start(&passed, settings.page.fd0 ? SIGTERM : SIGQUIT);
                if (r > 0)
                        return r;
        }

        /* Become the server. */
        r = server_prepare_environment(&server, passed.page_fd);
        if (r > 0)
                return r;
        return server_exec(&server);
}
