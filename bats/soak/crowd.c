/* SPDX-License-Identifier: MIT */
#include "crowd.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "random.h"

/* How far from the idle exit an aimed request is, at most: in the wide and in the narrow kind. */
#define WIDE   (5 * NSEC_PER_MSEC)
#define NARROW (NSEC_PER_MSEC / 2)
/* How much one answer teaches about the moment of the idle exit, at least. */
#define LESSON ((int64_t)(NSEC_PER_MSEC / 10))
/* The idle exit is believed to come after so many idle spans, at most. */
#define LEARNED_MAX 10
/* An answer that took this part of the time after which a request hangs is told, too. */
#define SLOW 8

static uint64_t below(struct crowd *crowd, uint64_t limit)
{
        return random_below(&crowd->random, limit);
}

static bool percent(struct crowd *crowd, unsigned share)
{
        return below(crowd, 100) < share;
}

/* --- what is asked -----------------------------------------------------------------------------
 */

/* Most requests are small and fast; some are slow on one side or the other, or large. */
static struct request choose(struct crowd *crowd)
{
        struct request request = {
            .address = &crowd->addresses[below(crowd, crowd->n_addresses)],
            .script = crowd->script,
            .token = random_next(&crowd->random),
            .keep = percent(crowd, crowd->keep),
            .flush = crowd->plan->flush,
        };
        uint64_t limit;

        switch (below(crowd, 32)) {
        case 0: /* a slow script, which has begun its answer */
                request.flush = true;
                request.sleep_usec = (uint32_t)below(crowd, 20000);
                break;
        case 1: /* a slow script */
                request.sleep_usec = (uint32_t)below(crowd, 20000);
                break;
        case 2: /* work after the answer, also for longer than the idle span */
                limit = percent(crowd, 75) ? 20000 : 3 * crowd->plan->idle / NSEC_PER_USEC;
                request.late_usec = 1 + (uint32_t)below(crowd, limit);
                break;
        case 3: /* a client that connects and sends later */
                request.pause_usec = (uint32_t)below(crowd, 20000);
                break;
        case 4: /* a client that stops in the middle */
                request.body_size = (uint32_t)below(crowd, 1000);
                request.pause_usec = (uint32_t)below(crowd, 20000);
                request.pause_at = 1 + (uint32_t)below(crowd, 200 + request.body_size);
                break;
        case 5:
                request.body_size = (uint32_t)below(crowd, 1000);
                break;
        case 6:
                request.body_size = (uint32_t)below(crowd, 20000);
                break;
        case 7:
                if (percent(crowd, 20))
                        request.body_size = (uint32_t)below(crowd, CLIENT_BODY_MAX);
                break;
        default:
                break;
        }
        return request;
}

/* --- phases ------------------------------------------------------------------------------------
 */

static uint64_t aimed_at(struct crowd *crowd)
{
        const uint64_t span = crowd->n_moments ? crowd->moments[below(crowd, crowd->n_moments)]
                                               : (uint64_t)crowd->learned;
        const uint64_t exit = crowd->last_end + span;

        switch (below(crowd, 8)) {
        case 0: /* anywhere */
                return crowd->last_end + below(crowd, 2 * span);
        case 1:
        case 2:
        case 3:
                return exit - WIDE + below(crowd, 2 * WIDE);
        default:
                return exit - NARROW + below(crowd, 2 * NARROW);
        }
}

/* One client aims, or a few at once: each by itself, or all at the same moment. */
static void plan_aim(struct crowd *crowd)
{
        unsigned n = percent(crowd, 60) ? 1 : 1 + (unsigned)below(crowd, crowd->n_clients);
        unsigned first = (unsigned)below(crowd, crowd->n_clients);
        bool together = percent(crowd, 30);
        uint64_t moment = aimed_at(crowd);

        for (unsigned i = 0; i < n; i++) {
                unsigned client = (first + i) % crowd->n_clients;

                crowd->todo[client] = 1;
                crowd->next[client] = together || i == 0 ? moment : aimed_at(crowd);
        }
        atomic_fetch_add(&crowd->count.aimed, n);
}

static void plan_burst(struct crowd *crowd)
{
        const uint64_t now = now_nsec();

        crowd->pause = percent(crowd, 70) ? 0 : below(crowd, 2 * NSEC_PER_MSEC);
        for (unsigned i = 0; i < crowd->n_clients; i++) {
                crowd->todo[i] = (unsigned)below(crowd, 2 * crowd->plan->burst + 1);
                crowd->next[i] = now + below(crowd, crowd->pause + 1);
        }
}

static bool is_over(const struct crowd *crowd)
{
        for (unsigned i = 0; i < crowd->n_clients; i++)
                if (crowd->todo[i] || crowd->clients[i].state != RESTING)
                        return false;
        return true;
}

static void next_phase(struct crowd *crowd)
{
        crowd->aiming = !crowd->aiming;
        crowd->first_of_phase = true;
        crowd->stopped = false;
        if (crowd->aiming)
                plan_aim(crowd);
        else
                plan_burst(crowd);
}

/* --- what came of it ---------------------------------------------------------------------------
 */

static void note_loss(struct crowd *crowd, const struct client *client, uint64_t now)
{
        if (crowd->n_losses < CROWD_LOSSES_MAX)
                crowd->losses[crowd->n_losses] = (struct loss){
                    .worker = client->server.worker, .began = client->began, .ended = now};
        crowd->n_losses++;
}

static void tell(const struct crowd *crowd, unsigned i, enum outcome outcome)
{
        const struct client *client = &crowd->clients[i];
        const struct request *request = &client->request;
        FILE *out = crowd->plan->losses;
        struct timespec clock;
        struct tm tm;
        char time[16];

        (void)clock_gettime(CLOCK_REALTIME, &clock);
        (void)strftime(time, sizeof(time), "%T", localtime_r(&clock.tv_sec, &tm));
        flockfile(out);
        fprintf(out,
                "%s.%06ld %s: %s after %.3f ms, sent %zu of %zu, received %zu, %s%s, "
                "%.3f ms after the last answer, worker %d, token %016" PRIx64
                ", body %u sleep %u late %u pause %u at %u\n",
                time, clock.tv_nsec / 1000, crowd->name, outcome_names[outcome],
                (double)(now_nsec() - client->began) / 1e6, client->sent, client->out_size,
                client->received, client->reused ? "a kept connection" : "a new connection",
                request->keep ? " to be kept" : "",
                (double)(int64_t)(client->began - crowd->last_end) / 1e6, client->server.worker,
                request->token, request->body_size, request->sleep_usec, request->late_usec,
                request->pause_usec, request->pause_at);
        if (client->reused)
                fprintf(
                    out, "        before, by worker %d: body %u sleep %u late %u pause %u at %u\n",
                    client->worker_before, client->before.body_size, client->before.sleep_usec,
                    client->before.late_usec, client->before.pause_usec, client->before.pause_at);
        (void)fflush(out);
        funlockfile(out);
}

/*
 * The first of a phase came too late if it met a new server, and too early if not. The idle exit
 * seems to be between; lessons that all point to one side are taken in larger and larger steps.
 */
static void learn(struct crowd *crowd, bool too_late)
{
        const int64_t least = (int64_t)WIDE;

        if ((crowd->step < 0) != too_late)
                crowd->step = too_late ? -LESSON : LESSON;
        else if (labs(crowd->step) < crowd->learned_max)
                crowd->step += crowd->step / 2;
        crowd->learned += crowd->step;
        if (crowd->learned < least || crowd->learned > crowd->learned_max)
                crowd->learned = crowd->learned < least ? least : crowd->learned_max;
}

static void meet_server(struct crowd *crowd, const struct server *server)
{
        bool is_new = strcmp(server->name, crowd->server.name) != 0;

        if (crowd->aiming && crowd->first_of_phase)
                learn(crowd, is_new);
        crowd->first_of_phase = false;
        if (is_new) {
                atomic_fetch_add(&crowd->count.wakes, 1);
                atomic_fetch_add(&crowd->plan->wakes, 1);
        }
        crowd->server = *server;
        atomic_store(&crowd->master, server->master);
}

static void request_ended(struct crowd *crowd, unsigned i, enum outcome outcome)
{
        const struct client *client = &crowd->clients[i];
        const uint64_t now = now_nsec();

        atomic_fetch_add(&crowd->count.outcomes[outcome], 1);
        atomic_fetch_add(&crowd->plan->requests, 1);
        if (outcome != ANSWERED) {
                if (outcome != HANG)
                        note_loss(crowd, client, now);
                tell(crowd, i, outcome);
        } else {
                meet_server(crowd, &client->server);
                atomic_fetch_add(&crowd->count.late, client->request.late_usec > 0);
                atomic_fetch_add(&crowd->count.reused, client->reused);
                if (now - client->began > atomic_load(&crowd->count.slowest))
                        atomic_store(&crowd->count.slowest, now - client->began);
                if (now - client->began > crowd->plan->timeout / SLOW)
                        tell(crowd, i, outcome);
        }
        crowd->last_end = now;
        crowd->next[i] = now + below(crowd, 2 * crowd->pause);
}

/* --- the thread --------------------------------------------------------------------------------
 */

static void begin_due(struct crowd *crowd, uint64_t now)
{
        for (unsigned i = 0; i < crowd->n_clients; i++) {
                enum outcome outcome;
                struct request request;

                if (!crowd->todo[i] || crowd->clients[i].state != RESTING || crowd->next[i] > now)
                        continue;
                crowd->todo[i]--;
                request = choose(crowd);
                client_begin(&crowd->clients[i], &request);
                /* At once: a kept connection that was open a moment ago may not be any more. */
                if (client_go_on(&crowd->clients[i], POLLOUT, &outcome))
                        request_ended(crowd, i, outcome);
        }
}

static bool all_rest(const struct crowd *crowd)
{
        for (unsigned i = 0; i < crowd->n_clients; i++)
                if (crowd->clients[i].state != RESTING)
                        return false;
        return true;
}

/* When the plain signal is due: the one that comes from a timer which knows exactly who rests. */
static uint64_t stop_time(const struct crowd *crowd)
{
        if (!crowd->plan->stop_signal || crowd->stopped || !all_rest(crowd))
                return UINT64_MAX;
        return crowd->last_end + crowd->plan->idle;
}

static void stop_if_due(struct crowd *crowd, uint64_t now)
{
        if (stop_time(crowd) > now || crowd->server.master <= 1)
                return;
        crowd->stopped = true;
        if (kill(crowd->server.master, crowd->plan->stop_signal) == 0)
                atomic_fetch_add(&crowd->count.stops, 1);
}

static uint64_t next_moment(const struct crowd *crowd)
{
        uint64_t next = stop_time(crowd);

        for (unsigned i = 0; i < crowd->n_clients; i++) {
                uint64_t wake = client_wake(&crowd->clients[i]);

                if (crowd->todo[i] && crowd->clients[i].state == RESTING)
                        wake = crowd->next[i];
                if (wake < next)
                        next = wake;
        }
        return next;
}

/* Waits for the clients' connections, or until the next moment at which something is to be done. */
static void wait_for_clients(struct crowd *crowd, struct pollfd *polls)
{
        const uint64_t now = now_nsec(), next = next_moment(crowd);
        const uint64_t span = next > now ? next - now : 0;
        struct timespec timeout = {
            .tv_sec = (time_t)(span / NSEC_PER_SEC),
            .tv_nsec = (long)(span % NSEC_PER_SEC),
        };

        for (unsigned i = 0; i < crowd->n_clients; i++)
                polls[i] = (struct pollfd){
                    .fd = crowd->clients[i].fd,
                    .events = client_events(&crowd->clients[i]),
                };
        if (ppoll(polls, crowd->n_clients, next == UINT64_MAX ? NULL : &timeout, NULL) <= 0)
                for (unsigned i = 0; i < crowd->n_clients; i++)
                        polls[i].revents = 0;
}

static void *run(void *argument)
{
        struct crowd *crowd = argument;
        struct pollfd polls[CROWD_CLIENTS_MAX];

        (void)prctl(PR_SET_TIMERSLACK, 1);
        crowd->last_end = now_nsec();
        crowd->aiming = true; /* so that the first phase is a burst */
        for (;;) {
                if (is_over(crowd)) {
                        if (atomic_load(&crowd->plan->enough))
                                return NULL;
                        next_phase(crowd);
                }
                stop_if_due(crowd, now_nsec());
                begin_due(crowd, now_nsec());
                /* It was empty, or its last requests failed at once: nothing would come. */
                if (is_over(crowd))
                        continue;
                wait_for_clients(crowd, polls);
                for (unsigned i = 0; i < crowd->n_clients; i++) {
                        enum outcome outcome;

                        if (client_go_on(&crowd->clients[i], polls[i].revents, &outcome))
                                request_ended(crowd, i, outcome);
                }
        }
}

void crowd_start(struct crowd *crowd)
{
        crowd->learned = (int64_t)crowd->plan->idle;
        crowd->learned_max = LEARNED_MAX * crowd->learned;
        crowd->step = LESSON;
        for (unsigned i = 0; i < crowd->n_clients; i++)
                client_init(&crowd->clients[i], crowd->protocol, crowd->plan->timeout);
        if (pthread_create(&crowd->thread, NULL, run, crowd) != 0) {
                perror("hammer: thread");
                exit(EXIT_FAILURE);
        }
}
