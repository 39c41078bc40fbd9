/* SPDX-License-Identifier: MIT */
#include "sabotage.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "random.h"

#define KILLS_MAX    100000U
#define CHILDREN_MAX 64U

/* A client may write to a killed worker for so long, until it sees the end of the connection. */
#define DEATH_MAX (50 * NSEC_PER_MSEC)

struct kill {
        const struct crowd *crowd;
        uint64_t time;
        int worker;
        bool used; /* explains a loss */
};

static struct kill kills[KILLS_MAX];
static size_t n_kills; /* read when the thread has ended */

static uint64_t random_state;

static uint64_t below(uint64_t limit)
{
        return random_below(&random_state, limit);
}

static bool is_php_fpm(int pid)
{
        char path[64], name[32] = "";
        FILE *file;

        (void)snprintf(path, sizeof(path), "/proc/%d/comm", pid);
        file = fopen(path, "re");
        if (!file)
                return false;
        if (!fgets(name, sizeof(name), file))
                name[0] = '\0';
        (void)fclose(file);
        return strncmp(name, "php-fpm", 7) == 0;
}

/* The master's children: all of them are workers, whatever they are doing. */
static int some_worker(int master)
{
        int workers[CHILDREN_MAX];
        size_t n = 0;
        char path[64];
        FILE *file;

        (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", master, master);
        file = fopen(path, "re");
        if (!file)
                return 0;
        while (n < CHILDREN_MAX && fscanf(file, "%d", &workers[n]) == 1)
                n++;
        (void)fclose(file);
        return n ? workers[below(n)] : 0;
}

static void kill_worker(struct sabotage *sabotage, const struct crowd *crowd, int master)
{
        int worker = some_worker(master);

        if (worker <= 0 || n_kills == KILLS_MAX)
                return;
        kills[n_kills] = (struct kill){.crowd = crowd, .worker = worker, .time = now_nsec()};
        if (kill(worker, SIGKILL) < 0)
                return;
        n_kills++;
        atomic_fetch_add(&sabotage->kills, 1);
}

static void signal_master(struct sabotage *sabotage, int master)
{
        static const int signals[] = {SIGQUIT, SIGTERM, SIGUSR2};

        if (kill(master, signals[below(sizeof(signals) / sizeof(signals[0]))]) == 0)
                atomic_fetch_add(&sabotage->signals, 1);
}

static void *run(void *argument)
{
        struct sabotage *sabotage = argument;
        uint64_t every = sabotage->kill_every ? sabotage->kill_every : sabotage->signal_every;

        while (!atomic_load(&sabotage->crowds[0].plan->enough)) {
                const uint64_t span = below(2 * every);
                const struct timespec moment = {
                    .tv_sec = (time_t)(span / NSEC_PER_SEC),
                    .tv_nsec = (long)(span % NSEC_PER_SEC),
                };
                const struct crowd *crowd = &sabotage->crowds[below(sabotage->n_crowds)];
                int master;

                (void)nanosleep(&moment, NULL);
                master = atomic_load(&crowd->master);
                if (master <= 1 || !is_php_fpm(master))
                        continue;
                if (sabotage->kill_every)
                        kill_worker(sabotage, crowd, master);
                else
                        signal_master(sabotage, master);
        }
        return NULL;
}

void sabotage_start(struct sabotage *sabotage)
{
        random_state = sabotage->seed;
        if (pthread_create(&sabotage->thread, NULL, run, sabotage) != 0) {
                perror("hammer: thread");
                exit(EXIT_FAILURE);
        }
}

static bool explains(const struct kill *kill, const struct crowd *crowd, const struct loss *loss)
{
        if (kill->used || kill->crowd != crowd)
                return false;
        if (loss->worker)
                return kill->worker == loss->worker;
        return kill->time + DEATH_MAX >= loss->began && kill->time <= loss->ended;
}

static bool is_explained(const struct crowd *crowd, const struct loss *loss)
{
        for (size_t i = 0; i < n_kills; i++)
                if (explains(&kills[i], crowd, loss)) {
                        kills[i].used = true;
                        return true;
                }
        return false;
}

uint64_t sabotage_unexplained(const struct crowd *crowd)
{
        uint64_t n = crowd->n_losses > CROWD_LOSSES_MAX ? crowd->n_losses - CROWD_LOSSES_MAX : 0;

        /* First those whose worker is known, so that the others do not take their explanation. */
        for (int known = 1; known >= 0; known--)
                for (size_t i = 0; i < crowd->n_losses && i < CROWD_LOSSES_MAX; i++)
                        if ((crowd->losses[i].worker > 0) == (known > 0) &&
                            !is_explained(crowd, &crowd->losses[i]))
                                n++;
        return n;
}
