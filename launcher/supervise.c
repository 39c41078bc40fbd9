/* SPDX-License-Identifier: MIT */
#include "supervise.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "announce.h"
#include "attempt.h"
#include "client.h"
#include "container.h"
#include "events.h"
#include "failing.h"
#include "frozen.h"
#include "handover-serve.h"
#include "log.h"
#include "maintenance.h"
#include "process.h"
#include "responder.h"
#include "status-serve.h"
#include "status.h"

#define USEC_PER_SEC UINT64_C(1000000)

/* After a stop, a container that is just being created gets so long to come to us and be turned
 * away, and one that has ended to be removed; then the client gets SIGTERM, and later SIGKILL. */
#define CLIENT_PATIENCE_USEC (10 * USEC_PER_SEC)

/*
 * A service that dies while a command of ExecReload= still runs, and has said RELOADING=1, stays in
 * its reload until systemd 257 loses its patience: all start timeout long, deaf to its socket.
 */
#define RELOAD_COMMAND_USEC USEC_PER_SEC

/* At the end of the service, whoever has just been accepted gets so long for the answer. */
#define ANSWER_USEC  USEC_PER_SEC

#define REASON_BYTES 1024

struct supervisor {
        sd_event *event;
        const struct supervision *plan;
        struct handover *handover; /* NULL: not made yet */
        struct responder *responder;
        struct failing *failing;
        struct maintenance *maintenance;
        struct status *status;
        struct attempt attempt;
        char *note;                /* see frozen.h */
        sd_event_source *patience; /* with an attempt that shall end */
        sd_event_source *asks;     /* somebody still does, in maintenance */

        uint64_t reload_usec; /* CLOCK_MONOTONIC when a reload began that is not done, else 0 */
        bool terminated;      /* we were told to stop */
        bool told_ready;      /* systemd was, by READY=1 */
        bool stopping;        /* the attempt was told to end: for that, or for maintenance */
        bool leaving;         /* exit_status stands */
        int terminate_signal; /* the next one for a client that does not come to an end */
        int failure;          /* status of the last failed attempt */
        int exit_status;
};

/* In a failing period, the failure is what systemctl status is to show. */
static void say_status(const struct supervisor *supervisor, enum report_tier tier,
                       const char *status)
{
        if (failing_is(supervisor->failing))
                return;
        announce(supervisor->status, tier, status);
}

static bool look(struct container_activity *ret, void *userdata)
{
        const struct supervisor *supervisor = userdata;

        if (!supervisor->attempt.container)
                return false;
        container_activity(supervisor->attempt.container, ret);
        return true;
}

static void on_asked(void *userdata)
{
        const struct supervisor *supervisor = userdata;

        maintenance_look(supervisor->maintenance);
}

/* --- the end of the service ---------------------------------------------------------------- */

static int on_time_to_exit(sd_event_source *source, uint64_t usec, void *userdata)
{
        const struct supervisor *supervisor = userdata;

        (void)source;
        (void)usec;
        return sd_event_exit(supervisor->event, supervisor->exit_status);
}

static void exit_at(struct supervisor *supervisor, uint64_t usec)
{
        int r;

        r = sd_event_add_time(supervisor->event, NULL, CLOCK_MONOTONIC, usec, 1, on_time_to_exit,
                              supervisor);
        if (r < 0)
                (void)sd_event_exit(supervisor->event, supervisor->exit_status);
}

static void leave(struct supervisor *supervisor, int status)
{
        uint64_t exit_usec =
            supervisor->reload_usec > 0 ? supervisor->reload_usec + RELOAD_COMMAND_USEC : 0;

        supervisor->exit_status = status;
        supervisor->leaving = true;
        failing_end(supervisor->failing);
        responder_finish(supervisor->responder);
        if (!responder_is_gone(supervisor->responder) && exit_usec == 0)
                exit_usec = gate_now_usec() + ANSWER_USEC;
        exit_at(supervisor, exit_usec);
}

static void on_answered(void *userdata)
{
        struct supervisor *supervisor = userdata;

        if (supervisor->leaving && supervisor->reload_usec == 0)
                exit_at(supervisor, 0);
}

/* --- maintenance --------------------------------------------------------------------------- */

static int on_time_to_sleep(sd_event_source *source, uint64_t usec, void *userdata)
{
        struct supervisor *supervisor = userdata;
        uint64_t over_usec = responder_last_asked(supervisor->responder) + MAINTENANCE_USEC;

        if (over_usec <= usec) {
                leave(supervisor, STATUS_OK);
                return 0;
        }
        (void)sd_event_source_set_time(source, over_usec);
        (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        return 0;
}

/* Instead of an attempt. */
static void maintain(struct supervisor *supervisor)
{
        int r;

        supervisor->reload_usec = 0;
        supervisor->stopping = false;
        supervisor->terminate_signal = SIGTERM;
        supervisor->patience = sd_event_source_disable_unref(supervisor->patience);
        failing_end(supervisor->failing);
        /* Whoever answers now may do so with another page. */
        responder_finish(supervisor->responder);
        responder_retry_after(supervisor->responder, MAINTENANCE_USEC);
        responder_start(supervisor->responder, maintenance_page(supervisor->maintenance));
        supervisor->asks = sd_event_source_disable_unref(supervisor->asks);
        r = sd_event_add_time(supervisor->event, &supervisor->asks, CLOCK_MONOTONIC,
                              gate_now_usec() + MAINTENANCE_USEC, 0, on_time_to_sleep, supervisor);
        if (r < 0)
                log_line("cannot end when nobody asks: %s", strerror(-r));
        supervisor->told_ready = true;
        announce_in_maintenance(supervisor->status);
}

/* --- the end of an attempt ----------------------------------------------------------------- */

/* An attempt has failed that is not the last one. */
static void fail_for_now(struct supervisor *supervisor, int status, const char *reason)
{
        struct attempt *attempt = &supervisor->attempt;

        supervisor->failure = status;
        if (attempt->client && failing_is_news(supervisor->failing, reason))
                client_release(attempt->client);
        failing_again(supervisor->failing, reason, attempt->composed.retry_limit_usec);
        status_set(supervisor->status, REPORT_FAILING, reason);
}

/* Captures what is said about a failure, so that it is not said over and over again. */
static void finish(struct supervisor *supervisor)
{
        char reason[REASON_BYTES] = "";
        int status;

        log_capture(reason, sizeof(reason));
        status = attempt_explain(&supervisor->attempt, supervisor->stopping,
                                 supervisor->reload_usec > 0);
        log_capture(NULL, 0);
        if (attempt_has_failed(&supervisor->attempt, status, supervisor->stopping,
                               supervisor->reload_usec > 0)) {
                fail_for_now(supervisor, status, reason);
                return;
        }
        client_release(supervisor->attempt.client);
        announce_end(status != STATUS_OK, supervisor->reload_usec > 0, reason);
        if (maintenance_is_on(supervisor->maintenance) && !supervisor->terminated)
                maintain(supervisor);
        else
                leave(supervisor, status);
}

/* --- the container ------------------------------------------------------------------------- */

static void on_container_dead(struct supervisor *supervisor)
{
        struct attempt *attempt = &supervisor->attempt;
        struct container_activity activity;

        attempt->had_rested = container_has_rested(attempt->container);
        attempt->had_server = container_has_server(attempt->container);
        attempt->was_killed = container_was_killed(attempt->container);
        container_activity(attempt->container, &activity);
        status_add_requests(supervisor->status, activity.requests);
        container_free(attempt->container);
        attempt->container = NULL;
        if (!client_collect(attempt->client)) {
                finish(supervisor);
                return;
        }
        say_status(supervisor, REPORT_STOPPING, "The server has ended, waiting for the engine");
}

static void on_container_ready(struct supervisor *supervisor)
{
        const uint64_t reload_usec = supervisor->reload_usec;

        supervisor->reload_usec = 0;
        if (supervisor->attempt.ready_usec == 0)
                supervisor->attempt.ready_usec = gate_now_usec();
        client_release(supervisor->attempt.client);
        failing_ready(supervisor->failing);
        if (supervisor->stopping)
                return;
        supervisor->told_ready = true;
        announce_ready(supervisor->status, reload_usec);
}

static void on_container_idle(struct supervisor *supervisor)
{
        struct container_activity activity;

        container_activity(supervisor->attempt.container, &activity);
        supervisor->attempt.idle = true;
        announce_idle(supervisor->status, activity.requests);
}

static void on_container_looked(struct supervisor *supervisor)
{
        struct container_activity activity;

        container_activity(supervisor->attempt.container, &activity);
        status_tell(supervisor->status, &activity);
}

static void on_container_rests(const struct supervisor *supervisor, enum report_tier tier)
{
        announce_rest(supervisor->status, tier, supervisor->stopping || supervisor->attempt.idle);
}

/* The wake began with the connection, for which the launcher has started this process. */
static void on_container_waking(struct supervisor *supervisor)
{
        struct container_activity activity;

        container_activity(supervisor->attempt.container, &activity);
        status_waking(supervisor->status, gate_now_usec() - process_age_usec(activity.pid));
        say_status(supervisor, REPORT_STARTING, "Waiting for the server to take requests");
}

static void on_container_event(enum container_event what, void *userdata)
{
        struct supervisor *supervisor = userdata;

        switch (what) {
        case CONTAINER_READY:
                on_container_ready(supervisor);
                break;
        case CONTAINER_RELOADING:
                supervisor->reload_usec = gate_now_usec();
                client_forget_complaint(supervisor->attempt.client);
                announce_reloading(supervisor->status, supervisor->reload_usec);
                break;
        case CONTAINER_FROZEN:
                on_container_rests(supervisor, REPORT_FROZEN);
                break;
        case CONTAINER_THAWED:
                announce_thawed(supervisor->status);
                break;
        case CONTAINER_WAKING:
                on_container_waking(supervisor);
                break;
        case CONTAINER_LIGHT:
                client_release(supervisor->attempt.client);
                on_container_rests(supervisor, REPORT_LIGHT);
                break;
        case CONTAINER_IDLE:
                on_container_idle(supervisor);
                break;
        case CONTAINER_BUSY:
                supervisor->attempt.idle = false;
                announce_busy(supervisor->status);
                break;
        case CONTAINER_LOOKED:
                on_container_looked(supervisor);
                break;
        case CONTAINER_DEAD:
                on_container_dead(supervisor);
                break;
        }
}

static const char *on_knock(int connection, const struct peer *launcher, void *userdata)
{
        struct supervisor *supervisor = userdata;
        struct attempt *attempt = &supervisor->attempt;
        const struct container_rest rest = {.spans = attempt->composed.spans,
                                            .note = supervisor->note};
        int r;

        if (attempt->container)
                return "the sockets are already in a living container";
        if (supervisor->stopping)
                return "the vhost is being stopped";
        if (!attempt_runs(attempt))
                return "no container is being started";
        r = container_new(&attempt->container, supervisor->event, supervisor->plan->passed,
                          client_output(attempt->client), connection, launcher, &rest,
                          on_container_event, supervisor);
        if (r < 0)
                return strerror(-r);
        client_let_go(attempt->client);
        attempt->served = true;
        attempt->idle = false;
        if (container_tier(attempt->container, NULL) == TIER_LIGHT)
                on_container_event(CONTAINER_LIGHT, supervisor);
        else
                say_status(supervisor, REPORT_STARTING, "Waiting for the server to take requests");
        return NULL;
}

/* --- attempts ------------------------------------------------------------------------------ */

/* The engine has not started a container, but may do so if it is asked again. */
static bool ask_again(struct supervisor *supervisor)
{
        struct attempt *attempt = &supervisor->attempt;

        if (attempt->served || supervisor->stopping)
                return false;
        switch (client_report(attempt->client)->trouble) {
        case DOCKER_NAME_IN_USE:
                if (!client_retry(attempt->client))
                        return false;
                /* The former container's requests may take longer than a start usually does. */
                say_status(supervisor, REPORT_STARTING, "Waiting for the former container to end");
                (void)sd_notifyf(0, "EXTEND_TIMEOUT_USEC=%" PRIu64, 30 * USEC_PER_SEC);
                return true;
        case DOCKER_UNREACHABLE:
                /* It may just be restarting: then its socket is with systemd, and we wait there. */
                if (attempt->repeated)
                        return false;
                attempt->repeated = true;
                return client_start(attempt->client) >= 0;
        case DOCKER_REFUSED:
        case DOCKER_NO_IMAGE:
        case DOCKER_NO_COMMAND:
                break;
        }
        return false;
}

static void on_client_ended(int status, void *userdata)
{
        struct supervisor *supervisor = userdata;
        struct attempt *attempt = &supervisor->attempt;

        attempt->client_status = status;
        /* Without an engine in between, the client itself has become the server. */
        if (attempt->container && container_is_dead(attempt->container)) {
                on_container_dead(supervisor);
                return;
        }
        if (attempt->container) {
                log_line("%s has ended with status %d, the container lives on",
                         attempt_engine(&supervisor->attempt), status);
                return;
        }
        if (status != DOCKER_STATUS_OWN || !ask_again(supervisor))
                finish(supervisor);
}

/* Returns 0, or an exit status after having said what is wrong. */
static int start_attempt(struct supervisor *supervisor)
{
        const struct supervision *plan = supervisor->plan;
        struct attempt *attempt = &supervisor->attempt;
        int status, r;

        status = plan->compose(&attempt->composed, plan->userdata);
        if (status != 0)
                return status;
        if (words_result(&attempt->composed.command) < 0 ||
            words_result(&attempt->composed.result_command) < 0)
                return log_fail(STATUS_SYSTEM, "cannot compose the command: %s", strerror(ENOMEM));
        if (!supervisor->handover)
                status = handover_new(&supervisor->handover, supervisor->event, plan->handover_path,
                                      plan->launcher, on_knock, supervisor);
        if (status != 0)
                return status;
        handover_spare_words(supervisor->handover, failing_is(supervisor->failing));
        r = client_new(&attempt->client, supervisor->event, attempt->composed.command.list,
                       attempt->composed.result_command.list, on_client_ended, supervisor);
        if (r < 0)
                return log_fail(STATUS_SYSTEM, "cannot start the container: %s", strerror(-r));
        if (failing_is(supervisor->failing))
                client_hold(attempt->client);
        r = client_start(attempt->client);
        if (r < 0)
                return log_fail(r == -ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE,
                                "cannot execute %s: %s", attempt_engine(&supervisor->attempt),
                                strerror(-r));
        say_status(supervisor, REPORT_STARTING, "Starting");
        return 0;
}

static void attempt(struct supervisor *supervisor)
{
        char reason[REASON_BYTES] = "";
        int status;

        attempt_done(&supervisor->attempt);
        if (maintenance_is_on(supervisor->maintenance)) {
                maintain(supervisor);
                return;
        }
        log_capture(reason, sizeof(reason));
        status = start_attempt(supervisor);
        log_capture(NULL, 0);
        if (status == 0)
                return;
        if (supervisor->attempt.composed.retry_limit_usec > 0) {
                fail_for_now(supervisor, status, reason);
                return;
        }
        announce_end(true, supervisor->reload_usec > 0, reason);
        leave(supervisor, status);
}

static void on_failing_event(enum failing_event what, void *userdata)
{
        struct supervisor *supervisor = userdata;

        switch (what) {
        case FAILING_ATTEMPT:
                attempt(supervisor);
                break;
        case FAILING_GIVE_UP:
                log_line("nobody asks any more: the next attempt is made with the next request");
                leave(supervisor, supervisor->failure);
                break;
        }
}

/* --- the service manager's signals --------------------------------------------------------- */

static int on_client_patience_over(sd_event_source *source, uint64_t usec, void *userdata)
{
        struct supervisor *supervisor = userdata;

        (void)usec;
        /* container_stop() limits the time of a living container. */
        if (!supervisor->attempt.container) {
                log_line("%s does not come to an end: signal %d",
                         attempt_engine(&supervisor->attempt), supervisor->terminate_signal);
                client_kill(supervisor->attempt.client, supervisor->terminate_signal);
                supervisor->terminate_signal = SIGKILL;
        }
        (void)sd_event_source_set_time_relative(source, CLIENT_PATIENCE_USEC);
        (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        return 0;
}

static void stop_attempt(struct supervisor *supervisor)
{
        struct attempt *attempt = &supervisor->attempt;
        int r;

        if (attempt->container)
                container_stop(attempt->container);
        if (supervisor->stopping)
                return;
        supervisor->stopping = true;
        /*
         * A container that is just being created is not interrupted: that would leave it behind.
         * Its launcher is turned away instead, and so it ends and is removed.
         */
        client_give_up(attempt->client);
        r = sd_event_add_time_relative(supervisor->event, &supervisor->patience, CLOCK_MONOTONIC,
                                       CLIENT_PATIENCE_USEC, 0, on_client_patience_over,
                                       supervisor);
        if (r < 0)
                log_line("cannot limit the time to stop: %s", strerror(-r));
}

static int on_stop(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
        struct supervisor *supervisor = userdata;

        (void)source;
        (void)info;
        if (!supervisor->terminated)
                announce_stopping(supervisor->status);
        supervisor->terminated = true;
        if (attempt_runs(&supervisor->attempt))
                stop_attempt(supervisor);
        else if (!supervisor->leaving)
                leave(supervisor, STATUS_OK);
        return 0;
}

static void on_maintenance(bool is_on, void *userdata)
{
        struct supervisor *supervisor = userdata;

        if (supervisor->terminated || supervisor->leaving)
                return;
        announce_maintenance(is_on);
        if (is_on && attempt_runs(&supervisor->attempt)) {
                status_set(supervisor->status, REPORT_STOPPING, "maintenance");
                (void)sd_notify(0, "STATUS=Stopping for maintenance");
                stop_attempt(supervisor);
        } else if (is_on) {
                maintain(supervisor);
        } else if (supervisor->asks) {
                supervisor->asks = sd_event_source_disable_unref(supervisor->asks);
                responder_finish(supervisor->responder);
                responder_retry_after(supervisor->responder, 0);
                status_waking(supervisor->status, gate_now_usec());
                attempt(supervisor);
        }
}

static void reload_nothing(const struct supervisor *supervisor)
{
        if (!supervisor->told_ready || supervisor->terminated)
                return;
        announce_reloaded_nothing();
}

static int on_reload(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
        struct supervisor *supervisor = userdata;

        (void)source;
        (void)info;
        maintenance_look(supervisor->maintenance);
        if (!supervisor->stopping && supervisor->attempt.container &&
            container_reload(supervisor->attempt.container))
                return 0;
        /* A container that is not there yet reads the newest configuration by itself. */
        failing_hurry(supervisor->failing);
        reload_nothing(supervisor);
        return 0;
}

static int watch_signals(struct supervisor *supervisor)
{
        static const struct {
                int signal;
                sd_event_signal_handler_t handler;
        } table[] = {
            {SIGTERM, on_stop},
            {SIGINT, on_stop},
            {SIGQUIT, on_stop},
            {SIGHUP, on_reload},
        };
        sigset_t mask;
        int r = 0;

        (void)sigemptyset(&mask);
        (void)sigaddset(&mask, SIGCHLD);
        for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
                (void)sigaddset(&mask, table[i].signal);
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return -errno;
        (void)signal(SIGPIPE, SIG_IGN);
        for (size_t i = 0; r >= 0 && i < sizeof(table) / sizeof(*table); i++)
                r = sd_event_add_signal(supervisor->event, NULL, table[i].signal, table[i].handler,
                                        supervisor);
        return r;
}

/* --- all of it ----------------------------------------------------------------------------- */

/* The note lies beside the socket of the hand-over. */
static int find_note(struct supervisor *supervisor)
{
        const char *path = supervisor->plan->handover_path;

        if (asprintf(&supervisor->note, "%.*s/frozen", (int)(strrchr(path, '/') - path), path) <
            0) {
                supervisor->note = NULL;
                return -ENOMEM;
        }
        frozen_recover(supervisor->note);
        return 0;
}

static int set_up(struct supervisor *supervisor)
{
        int r;

        r = find_note(supervisor);
        if (r >= 0)
                r = watch_signals(supervisor);
        if (r >= 0)
                r = responder_new(&supervisor->responder, supervisor->event,
                                  supervisor->plan->passed, on_answered, supervisor);
        if (r >= 0)
                r = failing_new(&supervisor->failing, supervisor->event, supervisor->responder,
                                on_failing_event, supervisor);
        if (r >= 0 && supervisor->plan->stem)
                r = maintenance_new(&supervisor->maintenance, supervisor->plan->stem,
                                    on_maintenance, supervisor);
        if (r >= 0)
                r = status_new(&supervisor->status, supervisor->event, supervisor->plan->vhost,
                               look, on_asked, supervisor);
        /* If the unit has WatchdogSec=: the loop itself is what must go on. */
        if (r >= 0)
                r = sd_event_set_watchdog(supervisor->event, 1);
        return r;
}

int supervise(const struct supervision *supervision)
{
        struct supervisor supervisor = {
            .plan = supervision,
            .terminate_signal = SIGTERM,
        };
        int r, status;

        events_of(supervision->vhost);
        r = sd_event_new(&supervisor.event);
        if (r >= 0)
                r = set_up(&supervisor);
        if (r < 0)
                status = log_fail(STATUS_SYSTEM, "cannot set the event loop up: %s", strerror(-r));
        else {
                attempt(&supervisor);
                status = sd_event_loop(supervisor.event);
                if (status < 0)
                        status = log_fail(STATUS_SYSTEM, "event loop: %s", strerror(-status));
        }
        status_free(supervisor.status);
        attempt_done(&supervisor.attempt);
        maintenance_free(supervisor.maintenance);
        failing_free(supervisor.failing);
        responder_free(supervisor.responder);
        handover_free(supervisor.handover);
        (void)sd_event_source_disable_unref(supervisor.patience);
        (void)sd_event_source_disable_unref(supervisor.asks);
        (void)sd_event_unref(supervisor.event);
        free(supervisor.note);
        return status;
}
