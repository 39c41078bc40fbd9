/* SPDX-License-Identifier: MIT */
#include "status-command.h"

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include "../preload/gate.h"
#include "cleanup.h"
#include "log.h"
#include "maintenance.h"
#include "report.h"
#include "status-memory.h"
#include "status-print.h"
#include "status-units.h"
#include "status.h"
#include "vhost.h"

/* All vhosts are asked at once: in this time whoever is alive has answered. */
#define ANSWER_USEC UINT64_C(2000000)

static const char usage[] =
    "Usage: fpm-waker status [VHOST] [--json] [--user]\n"
    "\n"
    "Shows all vhosts, or one: what runs of it, since when and why, when it will sleep, its\n"
    "requests, its wakes and how long they took, its memory now. That wakes none.\n"
    "\n"
    "  --json  an array of objects, see fpm-waker(8)\n"
    "  --user  the vhosts of the calling user's services\n"
    "  --help  print this and exit\n"
    "\n"
    "See fpm-waker(8).\n";

struct arguments {
        const char *vhost; /* NULL: all */
        bool json;
        bool user;
};

/* Where vhosts are, and what is known of them. */
struct survey {
        struct units *units;
        char *conf_directory;
        char *status_directory;
        struct vhost_status *list;
        int *connections; /* of each of the list; -errno: there is none */
        size_t n;
};

static uint64_t real_now_usec(void)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_REALTIME, &now);
        return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* --- arguments ----------------------------------------------------------------------------- */

/* Returns 0, an exit status, or -1 after --help. */
static int parse_arguments(struct arguments *arguments, int argc, char **argv)
{
        enum { JSON = 256, USER, HELP };
        static const struct option options[] = {
            {"json", no_argument, NULL, JSON},
            {"user", no_argument, NULL, USER},
            {"help", no_argument, NULL, HELP},
            {0},
        };
        int option;

        opterr = 0;
        while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0)
                switch (option) {
                case JSON:
                        arguments->json = true;
                        break;
                case USER:
                        arguments->user = true;
                        break;
                case HELP:
                        (void)fputs(usage, stdout);
                        return -1;
                default:
                        return log_fail(STATUS_USAGE,
                                        "wrong option %s, see fpm-waker status --help",
                                        argv[optind - 1]);
                }
        if (argc - optind > 1)
                return log_fail(STATUS_USAGE, "one vhost, or none for all: %s", argv[optind + 1]);
        arguments->vhost = argv[optind];
        return arguments->vhost ? vhost_check(arguments->vhost) : 0;
}

/* --- which vhosts there are ---------------------------------------------------------------- */

static int add_vhost(struct survey *survey, const char *name)
{
        struct vhost_status *list;

        if (!vhost_is_name(name))
                return 0;
        list = reallocarray(survey->list, survey->n + 1, sizeof(*list));
        if (!list)
                return -ENOMEM;
        survey->list = list;
        list[survey->n] = (struct vhost_status){.name = strdup(name)};
        if (!list[survey->n].name)
                return -ENOMEM;
        survey->n++;
        return 0;
}

static bool ends_with(const char *text, const char *suffix)
{
        const size_t n = strlen(text), end = strlen(suffix);

        return n > end && strcmp(text + n - end, suffix) == 0;
}

/* Those with a conf; suffix: ".conf". Those that have run; suffix: "". */
static int add_directory(struct survey *survey, const char *path, const char *suffix)
{
        struct dirent *entry;
        DIR *directory;
        int r = 0;

        directory = opendir(path);
        if (!directory)
                return errno == ENOENT ? 0 : -errno;
        while (r >= 0 && (entry = readdir(directory))) {
                if (!ends_with(entry->d_name, suffix))
                        continue;
                entry->d_name[strlen(entry->d_name) - strlen(suffix)] = '\0';
                /* site.php-fpm.conf is php-fpm's own: the examples have it beside site.conf. */
                if (!ends_with(entry->d_name, ".php-fpm"))
                        r = add_vhost(survey, entry->d_name);
        }
        (void)closedir(directory);
        return r;
}

static int add_sockets(struct survey *survey)
{
        char name[256];
        int r = 0;

        for (size_t i = 0; r >= 0 && i < units_count(survey->units); i++) {
                units_vhost(survey->units, i, name, sizeof(name));
                r = add_vhost(survey, name);
        }
        return r;
}

static int compare(const void *a, const void *b)
{
        const struct vhost_status *x = a, *y = b;

        return strcmp(x->name, y->name);
}

/* All of them, each once, by name; or only the one with this name, if there is such. */
static void sort_out(struct survey *survey, const char *only)
{
        size_t n = 0;

        if (survey->n > 0)
                qsort(survey->list, survey->n, sizeof(*survey->list), compare);
        for (size_t i = 0; i < survey->n; i++) {
                struct vhost_status *vhost = &survey->list[i];

                if ((n > 0 && strcmp(survey->list[n - 1].name, vhost->name) == 0) ||
                    (only && strcmp(only, vhost->name) != 0))
                        free(vhost->name);
                else
                        survey->list[n++] = *vhost;
        }
        survey->n = n;
}

static int find_vhosts(struct survey *survey, const char *only)
{
        int r;

        r = add_directory(survey, survey->conf_directory, VHOST_CONF_SUFFIX);
        if (r >= 0)
                r = add_directory(survey, survey->status_directory, "");
        if (r >= 0)
                r = add_sockets(survey);
        sort_out(survey, only);
        return r;
}

/* --- what they say ------------------------------------------------------------------------- */

/* Reads until the other end hangs up. Returns the length, -ETIMEDOUT, -errno. */
static ssize_t read_answer(int fd, char text[REPORT_BYTES_MAX], uint64_t deadline_usec)
{
        size_t length = 0;

        for (;;) {
                struct pollfd poller = {.fd = fd, .events = POLLIN};
                const uint64_t now_usec = gate_now_usec();
                ssize_t n;

                if (poll(&poller, 1,
                         now_usec < deadline_usec ? (int)((deadline_usec - now_usec) / 1000) + 1
                                                  : 0) == 0)
                        return -ETIMEDOUT;
                n = read(fd, text + length, REPORT_BYTES_MAX - length);
                if (n < 0 && errno != EAGAIN && errno != EINTR)
                        return -errno;
                if (n == 0 || length == REPORT_BYTES_MAX)
                        return (ssize_t)length;
                if (n > 0)
                        length += (size_t)n;
        }
}

static bool is_peer(int fd, pid_t pid)
{
        struct ucred peer;
        socklen_t size = sizeof(peer);

        return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid == pid;
}

/* Returns NULL, or what is wrong. */
static const char *hear(struct report *report, int connection, pid_t main_pid,
                        uint64_t deadline_usec)
{
        char text[REPORT_BYTES_MAX];
        ssize_t n;

        if (connection == -EACCES)
                return "only root may ask it";
        if (connection < 0 && connection != -EAGAIN)
                return "does not listen at its status socket";
        if (connection >= 0 && !is_peer(connection, main_pid))
                return "another process listens at its status socket";
        n = connection < 0 ? -ETIMEDOUT : read_answer(connection, text, deadline_usec);
        if (n == -ETIMEDOUT)
                return "does not answer";
        if (n < 0 || report_parse(report, text, (size_t)n) < 0)
                return "answers nonsense";
        return NULL;
}

/* --- what that amounts to ------------------------------------------------------------------ */

/* It runs, but only systemd knows of it. */
static enum report_tier tier_of_active(const struct unit_state *state, const char *trouble)
{
        if (trouble)
                return REPORT_UNKNOWN;
        if (strcmp(state->active, "activating") == 0)
                return REPORT_STARTING;
        return strcmp(state->active, "deactivating") == 0 ? REPORT_STOPPING : REPORT_HOT;
}

static void describe_sleep(const struct survey *survey, struct vhost_status *vhost,
                           const struct unit_state *state)
{
        struct report *report = &vhost->report;
        _cleanup_free_ char *stem = NULL;
        uint64_t maintenance_usec = 0;

        if (asprintf(&stem, "%s/%s", survey->conf_directory, vhost->name) >= 0)
                maintenance_usec = maintenance_since_usec(stem);
        else
                stem = NULL;
        report->since_usec = state->changed_usec;
        if (maintenance_usec > 0) {
                report->tier = REPORT_MAINTENANCE;
                report->since_usec = maintenance_usec;
        } else if (!state->listens) {
                report->tier = REPORT_OFF;
        } else if (strcmp(state->active, "failed") == 0) {
                report->tier = REPORT_FAILING;
                (void)snprintf(report->why, sizeof(report->why),
                               "its last run ended with %s, status %d", state->result,
                               state->exit_status);
        } else {
                report->tier = REPORT_STOPPED;
                if (report->since_usec == 0)
                        report->since_usec = state->listening_usec;
        }
}

/* Which service it is: the one of its socket, or the one that it said itself in its last run. */
static void find_service(const struct survey *survey, struct vhost_status *vhost)
{
        struct report *report = &vhost->report;
        _cleanup_free_ char *directory = NULL;
        char unit[sizeof(report->unit)];

        if (asprintf(&directory, "%s/%s", survey->status_directory, vhost->name) < 0) {
                directory = NULL;
                return;
        }
        (void)report_read_file(report, directory);
        units_service(survey->units, vhost->name, unit, sizeof(unit));
        if (*unit)
                (void)snprintf(report->unit, sizeof(report->unit), "%s", unit);
        /* Of the last run only the counts are still true. */
        report->why[0] = '\0';
        report->since_usec = report->idle_usec = report->sleep_usec = report->pid = 0;
}

/* Returns 0, -errno if systemd does not answer. */
static int describe(const struct survey *survey, struct vhost_status *vhost, int connection,
                    uint64_t deadline_usec)
{
        struct unit_state state = {0};
        struct report answer;
        int r = 0;

        find_service(survey, vhost);
        if (*vhost->report.unit)
                r = units_state(survey->units, vhost->report.unit, &state);
        if (r < 0)
                return r;
        if (state.main_pid == 0) {
                describe_sleep(survey, vhost, &state);
                return 0;
        }
        vhost->trouble = hear(&answer, connection, state.main_pid, deadline_usec);
        if (!vhost->trouble) {
                /* In its sandbox, a native one cannot tell its own unit. */
                memcpy(answer.unit, vhost->report.unit, sizeof(answer.unit));
                vhost->report = answer;
        } else {
                /* As it is for some milliseconds of each start, and with podman always. */
                if (connection == -ENOENT || connection == -ECONNREFUSED)
                        vhost->trouble = NULL;
                vhost->report.tier = tier_of_active(&state, vhost->trouble);
                vhost->report.since_usec = state.changed_usec;
        }
        vhost->memory_bytes = memory_of(state.main_pid, (pid_t)vhost->report.pid);
        return 0;
}

static int ask(struct survey *survey)
{
        const uint64_t deadline_usec = gate_now_usec() + ANSWER_USEC;
        struct rlimit limit;
        int r = 0;

        /* A connection for each vhost. */
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
                limit.rlim_cur = limit.rlim_max;
                (void)setrlimit(RLIMIT_NOFILE, &limit);
        }
        survey->connections = calloc(survey->n + 1, sizeof(*survey->connections));
        if (!survey->connections)
                return -ENOMEM;
        for (size_t i = 0; i < survey->n; i++)
                survey->connections[i] =
                    report_connect(survey->status_directory, survey->list[i].name);
        for (size_t i = 0; i < survey->n; i++) {
                if (r >= 0)
                        r = describe(survey, &survey->list[i], survey->connections[i],
                                     deadline_usec);
                if (survey->connections[i] >= 0)
                        (void)close(survey->connections[i]);
        }
        return r;
}

static bool has_conf(const struct survey *survey, const char *name)
{
        _cleanup_free_ char *path = NULL;

        if (asprintf(&path, "%s/%s" VHOST_CONF_SUFFIX, survey->conf_directory, name) < 0) {
                path = NULL;
                return true;
        }
        return access(path, F_OK) == 0;
}

/* Counts may outlive their vhost. */
static void forget_former(struct survey *survey)
{
        size_t n = 0;

        for (size_t i = 0; i < survey->n; i++) {
                struct vhost_status *vhost = &survey->list[i];

                if (vhost->report.tier == REPORT_OFF && !has_conf(survey, vhost->name))
                        free(vhost->name);
                else
                        survey->list[n++] = *vhost;
        }
        survey->n = n;
}

/* --- all of it ----------------------------------------------------------------------------- */

static int find_directories(struct survey *survey, bool user)
{
        const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
        int n;

        survey->status_directory = report_directory();
        if (!user)
                n = asprintf(&survey->conf_directory, VHOST_DIRECTORY);
        else if (config && *config == '/')
                n = asprintf(&survey->conf_directory, "%s/fpm-waker", config);
        else
                n = asprintf(&survey->conf_directory, "%s/.config/fpm-waker", home ? home : "");
        if (n < 0)
                survey->conf_directory = NULL;
        return survey->status_directory && survey->conf_directory ? 0 : -ENOMEM;
}

static void print(const struct survey *survey, const struct arguments *arguments)
{
        const uint64_t now_usec = real_now_usec();

        if (arguments->json)
                status_print_json(survey->list, survey->n);
        else if (arguments->vhost)
                status_print_block(&survey->list[0], now_usec);
        else
                status_print_table(survey->list, survey->n, now_usec);
}

static int show(struct survey *survey, const struct arguments *arguments)
{
        int r, status = STATUS_OK;

        r = find_directories(survey, arguments->user);
        if (r >= 0)
                r = units_new(&survey->units, arguments->user);
        if (r < 0)
                return log_fail(STATUS_SYSTEM, "cannot ask systemd: %s", strerror(-r));
        r = find_vhosts(survey, arguments->vhost);
        if (r < 0)
                return log_fail(STATUS_SYSTEM, "cannot list the vhosts: %s", strerror(-r));
        if (arguments->vhost && survey->n == 0)
                return log_fail(STATUS_CONF, "unknown vhost: %s", arguments->vhost);
        r = ask(survey);
        if (r < 0)
                return log_fail(STATUS_SYSTEM, "cannot ask systemd: %s", strerror(-r));
        if (!arguments->vhost)
                forget_former(survey);
        print(survey, arguments);
        for (size_t i = 0; i < survey->n; i++)
                if (survey->list[i].trouble)
                        status = log_fail(STATUS_SYSTEM, "%s: %s", survey->list[i].name,
                                          survey->list[i].trouble);
        return status;
}

int status_command(int argc, char **argv)
{
        struct arguments arguments = {0};
        struct survey survey = {0};
        int status;

        status = parse_arguments(&arguments, argc, argv);
        if (status != 0)
                return status < 0 ? STATUS_OK : status;
        status = show(&survey, &arguments);
        for (size_t i = 0; i < survey.n; i++)
                free(survey.list[i].name);
        free(survey.list);
        free(survey.connections);
        free(survey.conf_directory);
        free(survey.status_directory);
        units_free(survey.units);
        return status;
}
