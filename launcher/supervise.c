/* SPDX-License-Identifier: MIT */
#include "supervise.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "client.h"
#include "container.h"
#include "handover-serve.h"
#include "log.h"
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

struct supervisor {
        sd_event *event;
        const struct passed *passed;
        const char *engine; /* the first word of the command, for messages */

        struct handover *handover;
        struct client *client;
        struct container *container; /* NULL: none lives */
        sd_event_source *patience;

        uint64_t reload_usec; /* CLOCK_MONOTONIC when a reload began that is not done, else 0 */
        bool served;          /* a launcher has got the sockets */
        bool stopping;        /* we were told to */
        bool idle;            /* the container was told to stop because it was idle */
        bool had_server;      /* of the last container: a server had started in it */
        bool was_killed;      /* of the last container */
        int client_status;    /* once it has ended */
        int terminate_signal; /* the next one for a client that does not come to an end */
};

/* --- how it ended -------------------------------------------------------------------------- */

/* The client has failed before a launcher came. */
static int explain_refusal(const struct supervisor *supervisor, int status)
{
        const struct docker_report *report = client_report(supervisor->client);
        const char *reason = *report->reason ? report->reason : "it gave no reason";

        if (status != DOCKER_STATUS_OWN)
                return log_fail(status,
                                "%s ended with status %d before fpm-launcher had the sockets",
                                supervisor->engine, status);
        switch (report->trouble) {
        case DOCKER_UNREACHABLE:
                return log_fail(STATUS_ENGINE, "the engine is not reachable: %s", reason);
        case DOCKER_NO_IMAGE:
                return log_fail(STATUS_IMAGE, "the image is missing: %s", reason);
        case DOCKER_NAME_IN_USE:
                return log_fail(STATUS_IMAGE, "the container's name stays in use: %s", reason);
        case DOCKER_REFUSED:
                break;
        }
        return log_fail(STATUS_IMAGE, "the engine refused the container: %s", reason);
}

static int exit_status(const struct supervisor *supervisor)
{
        int status = supervisor->client_status;

        /* Turned away, or interrupted in its start, because we were told to stop. */
        if (supervisor->stopping && !supervisor->had_server)
                return STATUS_OK;
        if (!supervisor->served)
                return explain_refusal(supervisor, status);
        if (supervisor->idle) {
                if (status != 0 && status != DOCKER_STATUS_OWN)
                        log_line("the idle container ended with status %d", status);
                return STATUS_OK;
        }
        /* The client lost the engine, and with it the container's result. */
        if (status == DOCKER_STATUS_OWN) {
                if (supervisor->stopping && !supervisor->was_killed)
                        return STATUS_OK;
                return log_fail(STATUS_SYSTEM, "the container has ended, but %s does not know how",
                                supervisor->engine);
        }
        if (status != 0)
                log_line("the container ended with status %d", status);
        return status;
}

static int on_time_to_exit(sd_event_source *source, uint64_t usec, void *userdata)
{
        const struct supervisor *supervisor = userdata;

        (void)source;
        (void)usec;
        return sd_event_exit(supervisor->event, exit_status(supervisor));
}

static void finish(struct supervisor *supervisor)
{
        uint64_t exit_usec =
            supervisor->reload_usec > 0 ? supervisor->reload_usec + RELOAD_COMMAND_USEC : 0;
        int r;

        r = sd_event_add_time(supervisor->event, NULL, CLOCK_MONOTONIC, exit_usec, 1,
                              on_time_to_exit, supervisor);
        if (r < 0)
                (void)sd_event_exit(supervisor->event, exit_status(supervisor));
}

/* --- the engine's client ------------------------------------------------------------------- */

static void on_client_ended(int status, void *userdata)
{
        struct supervisor *supervisor = userdata;

        supervisor->client_status = status;
        if (supervisor->container) {
                log_line("%s has ended with status %d, the container lives on", supervisor->engine,
                         status);
                return;
        }
        if (status == DOCKER_STATUS_OWN && !supervisor->served && !supervisor->stopping &&
            client_report(supervisor->client)->trouble == DOCKER_NAME_IN_USE &&
            client_retry(supervisor->client)) {
                /* The former container's requests may take longer than a start usually does. */
                (void)sd_notifyf(0,
                                 "STATUS=Waiting for the former container to end\n"
                                 "EXTEND_TIMEOUT_USEC=%" PRIu64,
                                 30 * USEC_PER_SEC);
                return;
        }
        finish(supervisor);
}

/* --- the container ------------------------------------------------------------------------- */

static void on_container_dead(struct supervisor *supervisor)
{
        supervisor->had_server = container_has_server(supervisor->container);
        supervisor->was_killed = container_was_killed(supervisor->container);
        container_free(supervisor->container);
        supervisor->container = NULL;
        if (!client_is_running(supervisor->client)) {
                finish(supervisor);
                return;
        }
        (void)sd_notify(0, "STATUS=The container has ended, waiting for the engine");
}

static void on_container_event(enum container_event what, void *userdata)
{
        struct supervisor *supervisor = userdata;

        switch (what) {
        case CONTAINER_READY:
                supervisor->reload_usec = 0;
                if (!supervisor->stopping)
                        (void)sd_notify(0, "READY=1\nSTATUS=Serving requests");
                break;
        case CONTAINER_RELOADING:
                supervisor->reload_usec = gate_now_usec();
                (void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=Reloading",
                                 supervisor->reload_usec);
                break;
        case CONTAINER_IDLE:
                supervisor->idle = true;
                (void)sd_notify(0, "STOPPING=1\nSTATUS=Idle, stopping");
                break;
        case CONTAINER_BUSY:
                supervisor->idle = false;
                (void)sd_notify(0, "STATUS=Serving requests");
                break;
        case CONTAINER_DEAD:
                on_container_dead(supervisor);
                break;
        }
}

static const char *on_knock(int connection, const struct peer *launcher, void *userdata)
{
        struct supervisor *supervisor = userdata;
        int r;

        if (supervisor->container)
                return "the sockets are already in a living container";
        if (supervisor->stopping)
                return "the vhost is being stopped";
        r = container_new(&supervisor->container, supervisor->event, supervisor->passed, connection,
                          launcher, on_container_event, supervisor);
        if (r < 0)
                return strerror(-r);
        supervisor->served = true;
        supervisor->idle = false;
        (void)sd_notify(0, "STATUS=The container runs, waiting for the server in it");
        return NULL;
}

/* --- the service manager's signals --------------------------------------------------------- */

static int on_client_patience_over(sd_event_source *source, uint64_t usec, void *userdata)
{
        struct supervisor *supervisor = userdata;

        (void)usec;
        /* container_stop() limits the time of a living container. */
        if (!supervisor->container) {
                log_line("%s does not come to an end: signal %d", supervisor->engine,
                         supervisor->terminate_signal);
                client_kill(supervisor->client, supervisor->terminate_signal);
                supervisor->terminate_signal = SIGKILL;
        }
        (void)sd_event_source_set_time_relative(source, CLIENT_PATIENCE_USEC);
        (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        return 0;
}

static int on_stop(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
        struct supervisor *supervisor = userdata;
        int r;

        (void)source;
        (void)info;
        if (supervisor->container)
                container_stop(supervisor->container);
        if (supervisor->stopping)
                return 0;
        supervisor->stopping = true;
        (void)sd_notify(0, "STOPPING=1\nSTATUS=Stopping when the running requests are done");
        /*
         * A container that is just being created is not interrupted: that would leave it behind.
         * Its launcher is turned away instead, and so it ends and is removed.
         */
        client_give_up(supervisor->client);
        r = sd_event_add_time_relative(supervisor->event, &supervisor->patience, CLOCK_MONOTONIC,
                                       CLIENT_PATIENCE_USEC, 0, on_client_patience_over,
                                       supervisor);
        if (r < 0)
                log_line("cannot limit the time to stop: %s", strerror(-r));
        return 0;
}

static int on_reload(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
        struct supervisor *supervisor = userdata;

        (void)source;
        (void)info;
        /* A container that is not there yet reads the newest configuration by itself. */
        if (supervisor->container)
                container_reload(supervisor->container);
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

static int start(struct supervisor *supervisor, char *const *command, const char *handover_path,
                 const char *launcher)
{
        int r;

        r = watch_signals(supervisor);
        if (r >= 0)
                r = client_new(&supervisor->client, supervisor->event, command, on_client_ended,
                               supervisor);
        if (r < 0)
                return log_fail(STATUS_SYSTEM, "cannot set the event loop up: %s", strerror(-r));
        r = handover_new(&supervisor->handover, supervisor->event, handover_path, launcher,
                         on_knock, supervisor);
        if (r != 0)
                return r;
        r = client_start(supervisor->client);
        if (r < 0)
                return log_fail(r == -ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE,
                                "cannot execute %s: %s", command[0], strerror(-r));
        (void)sd_notify(0, "STATUS=Starting the container");
        return 0;
}

int supervise(char *const *command, const struct passed *passed, const char *handover_path,
              const char *launcher)
{
        struct supervisor supervisor = {
            .passed = passed,
            .engine = command[0],
            .terminate_signal = SIGTERM,
        };
        int r, status;

        r = sd_event_new(&supervisor.event);
        if (r < 0)
                return log_fail(STATUS_SYSTEM, "cannot make an event loop: %s", strerror(-r));
        status = start(&supervisor, command, handover_path, launcher);
        if (status == 0) {
                status = sd_event_loop(supervisor.event);
                if (status < 0)
                        status = log_fail(STATUS_SYSTEM, "event loop: %s", strerror(-status));
        }
        container_free(supervisor.container);
        client_free(supervisor.client);
        handover_free(supervisor.handover);
        (void)sd_event_source_disable_unref(supervisor.patience);
        (void)sd_event_unref(supervisor.event);
        return status;
}
