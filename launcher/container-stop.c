/* SPDX-License-Identifier: MIT */
#include "container-private.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "events.h"
#include "log.h"

#define USEC_PER_SEC UINT64_C(1000000)

/* What `docker stop` gives a container by default: for one in which no server has started. */
#define PATIENCE_USEC (10 * USEC_PER_SEC)

/* --- signals ------------------------------------------------------------------------------- */

/* A FastCGI server that wants its socket at descriptor 0 knows no SIGQUIT. */
static bool is_fd0(const struct container *container)
{
        return container->shared.gate.page->fd0 != 0;
}

const struct peer *container_server(const struct container *container)
{
        if (container->master.pidfd >= 0 && !peer_is_dead(&container->master))
                return &container->master;
        return &container->launcher;
}

static void send_signal(const struct peer *to, int signal)
{
        int r;

        r = peer_kill(to, signal);
        if (r < 0 && r != -ESRCH)
                log_line("cannot signal process %d: %s", to->pid, strerror(-r));
}

void container_stop_server(const struct container *container)
{
        send_signal(container_server(container), is_fd0(container) ? SIGTERM : SIGQUIT);
}

/* A resident launcher stops its server before it ends, but not the other way round. */
void container_stop_all(const struct container *container)
{
        if (container->is_resident)
                send_signal(&container->launcher, SIGTERM);
        else
                container_stop_server(container);
}

/* --- stop and reload ----------------------------------------------------------------------- */

static int on_patience_over(sd_event_source *source, uint64_t usec, void *userdata)
{
        struct container *container = userdata;
        int r;

        (void)source;
        (void)usec;
        event_say(EVENT_KILLED, NULL,
                  container_has_server(container)
                      ? "the server has not ended within its drain limit: killing it"
                      : "nothing listens to the stop signal: killing it");
        container->killed = true;
        r = peer_kill(&container->launcher, SIGKILL);
        if (r < 0 && r != -ESRCH)
                log_line("cannot kill process %d: %s", container->launcher.pid, strerror(-r));
        return 0;
}

/* Begins, or begins anew, to count the time that the container has for its end. */
static void set_patience(struct container *container)
{
        uint64_t usec = PATIENCE_USEC;
        int r;

        container->patience = sd_event_source_disable_unref(container->patience);
        if (container_has_server(container)) {
                uint64_t limit = container->shared.gate.page->drain_limit_usec;

                if (limit >= GATE_INFINITY - PATIENCE_USEC)
                        return;
                usec += limit;
        }
        r = sd_event_add_time_relative(container->event, &container->patience, CLOCK_MONOTONIC,
                                       usec, 0, on_patience_over, container);
        if (r < 0)
                log_line("cannot limit the time to stop: %s", strerror(-r));
}

void container_stop(struct container *container)
{
        bool is_news = !container->stopping;

        container->stopping = true;
        container_rouse(container);
        container_stop_all(container);
        if (is_news)
                set_patience(container);
}

void container_stop_again(struct container *container)
{
        if (!container->stopping)
                return;
        container_stop_all(container);
        set_patience(container);
}

bool container_reload(struct container *container)
{
        container_rouse(container);
        if (container->tier == TIER_LIGHT && !container_is_waking(container))
                return false;
        if (is_fd0(container)) {
                log_line("this server cannot reload");
                return false;
        }
        if (!container->ready) {
                container->reload_wanted = true;
                return true;
        }
        container->reload_wanted = false;
        container->ready = false;
        container->happened(CONTAINER_RELOADING, container->userdata);
        send_signal(container_server(container), SIGUSR2);
        return true;
}
