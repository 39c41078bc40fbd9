/* SPDX-License-Identifier: MIT */
/*
 * Drives vhosts with requests that are aimed at their idle exit, and says how many were lost.
 */
#include <arpa/inet.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "sabotage.h"

static const char usage[] =
    "Usage: hammer [OPTION...] NAME,ADDRESS[,ADDRESS...][,OPTION...]...\n"
    "\n"
    "Each NAME is a vhost; ADDRESS is /PATH of a unix socket or HOST:PORT (numbers), several if "
    "it\n"
    "has several pools. Its own options: clients=N (default 6), keep=PERCENT of its requests that "
    "ask\n"
    "for the connection to be kept, script=PATH, http to speak HTTP with a web server, at=MSEC "
    "(several)\n"
    "to aim at these moments of idleness, and not at one that answers teach.\n"
    "\n"
    "  --script=PATH      answer.php, as the server sees it\n"
    "  --idle=MSEC        the vhosts' idle span, default 50\n"
    "  --burst=N          requests of a client between two silences, on average, default 10\n"
    "  --requests=N       end when there were so many, of all vhosts together ...\n"
    "  --wakes=N          ... and so often another server answered than before, ...\n"
    "  --seconds=N        ... but after so long at the latest\n"
    "  --timeout=SECONDS  a request that takes longer hangs, default 20\n"
    "  --seed=N           of what is random\n"
    "  --flush            each answer says at once which worker it comes from\n"
    "  --kill-every=MSEC  SIGKILL to a random worker that often, on average; a request that was "
    "in\n"
    "                     one is not lost\n"
    "  --signal-every=MSEC  SIGQUIT, SIGTERM or SIGUSR2 to a random master that often\n"
    "  --stop=SIGNAL      vhosts do not end by themselves: send them this number when idle\n"
    "  --losses=FILE      where each request is told that was not answered, default stderr\n"
    "  --progress=SECONDS print a line that often\n"
    "\n"
    "Prints a line for each vhost: names and numbers, the slowest answer in milliseconds.\n"
    "Exit status: 1 if a request was lost or hung, 2 usage.\n";

#define CROWDS_MAX 64

static struct {
        uint64_t requests, wakes, seconds, progress;
} arg = {.requests = 1000, .seconds = 60};

static struct crowd_plan plan = {
    .script = "answer.php",
    .seed = 1,
    .idle = 50 * NSEC_PER_MSEC,
    .timeout = 20 * NSEC_PER_SEC,
    .burst = 10,
};

static struct crowd crowds[CROWDS_MAX];
static size_t n_crowds;
static struct sabotage sabotage = {.crowds = crowds};

static _Noreturn void refuse(const char *what, const char *value)
{
        fprintf(stderr, "hammer: %s%s\n%s", what, value, usage);
        exit(2);
}

/* --- options -----------------------------------------------------------------------------------
 */

static uint64_t number(const char *text)
{
        char *end;
        uint64_t n = strtoull(text, &end, 10);

        if (!*text || *end)
                refuse("not a number: ", text);
        return n;
}

static bool parse_address(const char *text, struct address *address)
{
        struct sockaddr_un *path = (struct sockaddr_un *)&address->socket;
        struct sockaddr_in *v4 = (struct sockaddr_in *)&address->socket;
        const char *colon = strchr(text, ':');
        char host[64];

        if (text[0] == '/' && strlen(text) < sizeof(path->sun_path)) {
                path->sun_family = AF_UNIX;
                strcpy(path->sun_path, text);
                address->size = sizeof(*path);
                return true;
        }
        if (!colon || (size_t)(colon - text) >= sizeof(host))
                return false;
        memcpy(host, text, (size_t)(colon - text));
        host[colon - text] = '\0';
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)number(colon + 1));
        address->size = sizeof(*v4);
        return inet_pton(AF_INET, host, &v4->sin_addr) == 1;
}

static void parse_vhost(char *text)
{
        struct crowd *crowd = &crowds[n_crowds];
        char *word;

        if (n_crowds == CROWDS_MAX)
                refuse("too many vhosts: ", text);
        *crowd = (struct crowd){.plan = &plan,
                                .name = strsep(&text, ","),
                                .protocol = &fastcgi,
                                .script = plan.script,
                                .n_clients = 6};
        while ((word = strsep(&text, ","))) {
                if (strncmp(word, "clients=", 8) == 0)
                        crowd->n_clients = (unsigned)number(word + 8);
                else if (strncmp(word, "keep=", 5) == 0)
                        crowd->keep = (unsigned)number(word + 5);
                else if (strncmp(word, "script=", 7) == 0)
                        crowd->script = word + 7;
                else if (strncmp(word, "at=", 3) == 0 && crowd->n_moments < CROWD_MOMENTS_MAX)
                        crowd->moments[crowd->n_moments++] = number(word + 3) * NSEC_PER_MSEC;
                else if (strcmp(word, "http") == 0)
                        crowd->protocol = &http;
                else if (crowd->n_addresses == CROWD_ADDRESSES_MAX ||
                         !parse_address(word, &crowd->addresses[crowd->n_addresses++]))
                        refuse("neither /PATH nor HOST:PORT: ", word);
        }
        if (!crowd->n_addresses || !crowd->n_clients || crowd->n_clients > CROWD_CLIENTS_MAX)
                refuse("no address, or no or too many clients: ", crowd->name);
        crowd->random = plan.seed * 1000 + n_crowds++;
}

static FILE *open_losses(const char *path)
{
        FILE *file = fopen(path, "we");

        if (!file)
                refuse("cannot write ", path);
        return file;
}

static void parse_options(int argc, char **argv)
{
        enum {
                SCRIPT,
                IDLE,
                BURST,
                REQUESTS,
                WAKES,
                SECONDS,
                TIMEOUT,
                SEED,
                FLUSH,
                STOP,
                KILL_EVERY,
                SIGNAL_EVERY,
                LOSSES,
                PROGRESS,
                HELP,
        };
        static const struct option options[] = {
            {"script", required_argument, NULL, SCRIPT},
            {"idle", required_argument, NULL, IDLE},
            {"burst", required_argument, NULL, BURST},
            {"requests", required_argument, NULL, REQUESTS},
            {"wakes", required_argument, NULL, WAKES},
            {"seconds", required_argument, NULL, SECONDS},
            {"timeout", required_argument, NULL, TIMEOUT},
            {"seed", required_argument, NULL, SEED},
            {"flush", no_argument, NULL, FLUSH},
            {"stop", required_argument, NULL, STOP},
            {"kill-every", required_argument, NULL, KILL_EVERY},
            {"signal-every", required_argument, NULL, SIGNAL_EVERY},
            {"losses", required_argument, NULL, LOSSES},
            {"progress", required_argument, NULL, PROGRESS},
            {"help", no_argument, NULL, HELP},
            {0},
        };

        for (int option; (option = getopt_long(argc, argv, "+", options, NULL)) >= 0;) {
                switch (option) {
                case SCRIPT:
                        plan.script = optarg;
                        break;
                case IDLE:
                        plan.idle = number(optarg) * NSEC_PER_MSEC;
                        break;
                case BURST:
                        plan.burst = (unsigned)number(optarg);
                        break;
                case REQUESTS:
                        arg.requests = number(optarg);
                        break;
                case WAKES:
                        arg.wakes = number(optarg);
                        break;
                case SECONDS:
                        arg.seconds = number(optarg);
                        break;
                case TIMEOUT:
                        plan.timeout = number(optarg) * NSEC_PER_SEC;
                        break;
                case SEED:
                        plan.seed = number(optarg);
                        break;
                case FLUSH:
                        plan.flush = true;
                        break;
                case STOP:
                        plan.stop_signal = (int)number(optarg);
                        break;
                case KILL_EVERY:
                        sabotage.kill_every = number(optarg) * NSEC_PER_MSEC;
                        break;
                case SIGNAL_EVERY:
                        sabotage.signal_every = number(optarg) * NSEC_PER_MSEC;
                        break;
                case LOSSES:
                        plan.losses = open_losses(optarg);
                        break;
                case PROGRESS:
                        arg.progress = number(optarg);
                        break;
                case HELP:
                        fputs(usage, stdout);
                        exit(0);
                default:
                        refuse("", "");
                }
        }
        if (optind == argc)
                refuse("no vhost", "");
        for (int i = optind; i < argc; i++)
                parse_vhost(argv[i]);
}

/* --- the run -----------------------------------------------------------------------------------
 */

static uint64_t hangs(const struct crowd *crowd)
{
        return atomic_load(&crowd->count.outcomes[HANG]);
}

/* Not answered, for whatever reason but a hang. */
static uint64_t failures(const struct crowd *crowd)
{
        uint64_t n = 0;

        for (int i = ANSWERED + 1; i < OUTCOMES; i++)
                n += atomic_load(&crowd->count.outcomes[i]);
        return n - hangs(crowd);
}

static void print_progress(uint64_t began)
{
        uint64_t n_failures = 0, n_hangs = 0;

        for (size_t i = 0; i < n_crowds; i++) {
                n_failures += failures(&crowds[i]);
                n_hangs += hangs(&crowds[i]);
        }
        fprintf(stderr,
                "%4.0f s: requests %" PRIu64 ", wakes %" PRIu64 ", kills %" PRIu64
                ", signals %" PRIu64 ", not answered %" PRIu64 ", hanging %" PRIu64 "\n",
                (double)(now_nsec() - began) / 1e9, atomic_load(&plan.requests),
                atomic_load(&plan.wakes), atomic_load(&sabotage.kills),
                atomic_load(&sabotage.signals), n_failures, n_hangs);
}

static bool is_enough(void)
{
        return atomic_load(&plan.requests) >= arg.requests && atomic_load(&plan.wakes) >= arg.wakes;
}

static void wait_until_enough(void)
{
        const uint64_t began = now_nsec(), end = began + arg.seconds * NSEC_PER_SEC;
        uint64_t progress = arg.progress ? began + arg.progress * NSEC_PER_SEC : UINT64_MAX;

        while (now_nsec() < end && !is_enough()) {
                (void)usleep(10000);
                if (now_nsec() >= progress) {
                        print_progress(began);
                        progress += arg.progress * NSEC_PER_SEC;
                }
        }
        atomic_store(&plan.enough, true);
}

static void start_all(void)
{
        for (size_t i = 0; i < n_crowds; i++)
                crowd_start(&crowds[i]);
        if (sabotage.kill_every || sabotage.signal_every)
                sabotage_start(&sabotage);
}

static void join_all(void)
{
        for (size_t i = 0; i < n_crowds; i++)
                (void)pthread_join(crowds[i].thread, NULL);
        if (sabotage.kill_every || sabotage.signal_every)
                (void)pthread_join(sabotage.thread, NULL);
}

/* Prints what came of a vhost. Returns true if a request of it was lost or hung. */
static bool report(const struct crowd *crowd)
{
        const struct crowd_count *count = &crowd->count;
        const uint64_t n_failures = failures(crowd), n_hangs = hangs(crowd);
        /* A hang is never explained by a killed worker. */
        const uint64_t n_lost = sabotage_unexplained(crowd);

        printf("vhost %s requests %" PRIu64 " lost %" PRIu64 " hang %" PRIu64 " killed %" PRIu64
               " aimed %" PRIu64 " wakes %" PRIu64 " stops %" PRIu64 " kept %" PRIu64
               " late %" PRIu64 " slowest %" PRIu64 "\n",
               crowd->name, atomic_load(&count->outcomes[ANSWERED]) + n_failures + n_hangs, n_lost,
               n_hangs, n_failures - n_lost, atomic_load(&count->aimed), atomic_load(&count->wakes),
               atomic_load(&count->stops), atomic_load(&count->reused), atomic_load(&count->late),
               atomic_load(&count->slowest) / NSEC_PER_MSEC);
        return n_lost || n_hangs;
}

int main(int argc, char **argv)
{
        bool any = false;

        plan.losses = stderr;
        parse_options(argc, argv);
        sabotage.n_crowds = n_crowds;
        sabotage.seed = plan.seed;
        start_all();
        wait_until_enough();
        join_all();
        for (size_t i = 0; i < n_crowds; i++)
                any |= report(&crowds[i]);
        printf("all kills %" PRIu64 " signals %" PRIu64 "\n", atomic_load(&sabotage.kills),
               atomic_load(&sabotage.signals));
        return any;
}
