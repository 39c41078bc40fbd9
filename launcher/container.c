/* SPDX-License-Identifier: MIT */
#include "container.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "background.h"
#include "cgroup.h"
#include "cleanup.h"
#include "events.h"
#include "freezer.h"
#include "frozen.h"
#include "handover-serve.h"
#include "log.h"
#include "watchdog.h"

#define USEC_PER_SEC UINT64_C(1000000)

/* What `docker stop` gives a container by default: for one in which no server has started. */
#define PATIENCE_USEC (10 * USEC_PER_SEC)

/* When to look again at a resident launcher that is to end, or starts its server just now. */
#define LOOK_AGAIN_USEC USEC_PER_SEC

struct container {
        sd_event *event;
        container_event_t happened;
        void *userdata;

        struct passed shared; /* page and eventfds are our own, the sockets are borrowed */
        struct watchdog watchdog;
        struct background background;

        int connection;
        struct peer launcher; /* whatever it has become by exec: the entrypoint, the server */
        struct peer master;   /* pidfd -1: not known yet */
        int freezer;          /* of their cgroup, see cgroup.h; -1: unknown */

        struct container_rest rest;
        enum tier tier, next;
        uint64_t tier_usec;    /* since when, CLOCK_MONOTONIC */
        uint64_t idle_usec;    /* the last request's end, unless the tier is TIER_HOT */
        char *freezer_path;    /* see freezer.h; NULL: it cannot be frozen */
        struct frozen *frozen; /* with TIER_FROZEN */
        bool thawing;          /* by us: it is no news */

        sd_event_source *says;
        sd_event_source *dies;
        sd_event_source *master_dies; /* only of a resident launcher's */
        sd_event_source *looks;       /* at the page, when the watchdog wants to */
        sd_event_source *thaws;
        sd_event_source *patience;

        bool is_resident; /* the launcher */
        bool ready;
        bool idle;
        bool has_rested;
        bool stopping;
        bool killed;
        bool reload_wanted;
        bool said_nonsense; /* one line in the log is enough */
};

/* --- signals ------------------------------------------------------------------------------- */

/* A FastCGI server that wants its socket at descriptor 0 knows no SIGQUIT. */
static bool is_fd0(const struct container *container)
{
        return container->shared.gate.page->fd0 != 0;
}

/* The server's master, or what stands for it while that is not known. */
static const struct peer *server_of(const struct container *container)
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

static void stop_server(const struct container *container)
{
        send_signal(server_of(container), is_fd0(container) ? SIGTERM : SIGQUIT);
}

/* A resident launcher stops its server before it ends, but not the other way round. */
static void stop_all(const struct container *container)
{
        if (container->is_resident)
                send_signal(&container->launcher, SIGTERM);
        else
                stop_server(container);
}

/* --- tiers --------------------------------------------------------------------------------- */

static void set_tier(struct container *container, enum tier tier)
{
        container->tier = tier;
        container->tier_usec = gate_now_usec();
        if (tier == TIER_HOT)
                container->idle_usec = 0;
        container->next = tier_next(&container->rest.spans, tier, &container->watchdog.idle_usec);
}

/* When the next tier is due for who takes no request. */
static uint64_t until_next(const struct container *container)
{
        const uint64_t span_usec = container->watchdog.idle_usec;

        return span_usec < GATE_INFINITY - container->idle_usec ? container->idle_usec + span_usec
                                                                : GATE_INFINITY;
}

static void look_at(struct container *container, uint64_t usec)
{
        int r;

        r = sd_event_source_set_time(container->looks, usec);
        if (r >= 0)
                r = sd_event_source_set_enabled(
                    container->looks, usec == GATE_INFINITY ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
        if (r < 0)
                log_line("cannot look for idleness again: %s", strerror(-r));
}

/* In the light tier: somebody has connected, or its launcher has already started the server. */
static bool is_waking(const struct container *container)
{
        return container->master.pidfd >= 0 || watchdog_is_asked(&container->watchdog);
}

static void thaw(struct container *container)
{
        frozen_free(container->frozen);
        container->frozen = NULL;
        container->thawing = container->freezer >= 0 && cgroup_is_frozen(container->freezer) > 0;
}

/* A frozen server goes on, with a new idle span: it is asked, or is to hear a signal. */
static void rouse(struct container *container)
{
        if (!container->frozen)
                return;
        watchdog_open(&container->watchdog, gate_now_usec());
        thaw(container);
        set_tier(container, TIER_HOT);
        if (!container->stopping)
                container->happened(CONTAINER_THAWED, container->userdata);
        look_at(container, 0);
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
        rouse(container);
        stop_all(container);
        if (is_news)
                set_patience(container);
}

/* A signal that came before the server had its handlers was in vain: say it again. */
static void stop_again(struct container *container)
{
        if (!container->stopping)
                return;
        stop_all(container);
        set_patience(container);
}

bool container_reload(struct container *container)
{
        rouse(container);
        if (container->tier == TIER_LIGHT && !is_waking(container))
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
        send_signal(server_of(container), SIGUSR2);
        return true;
}

/* --- the freezer --------------------------------------------------------------------------- */

/* `docker pause` freezes the container, but not us: its idle time stands still, ours does not. */
static void heed_freezer(struct container *container)
{
        if (!container->thawing && container->freezer >= 0 &&
            cgroup_is_frozen(container->freezer) > 0)
                watchdog_was_stopped(&container->watchdog, gate_now_usec());
}

static int on_freezer_changed(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        struct container *container = userdata;
        int is_frozen = cgroup_is_frozen(fd);

        (void)events;
        /* It is gone with the container, and would be readable for ever. */
        if (is_frozen < 0)
                (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        if (container->frozen) {
                if (is_frozen >= 0 && frozen_is_over(container->frozen))
                        rouse(container);
                return 0;
        }
        /* Frozen, or just thawed, which heed_freezer() would not see. */
        if (is_frozen > 0 || !container->thawing)
                watchdog_was_stopped(&container->watchdog, gate_now_usec());
        container->thawing = false;
        return 0;
}

/* Without it, when cgroups are not where they usually are, a frozen server counts as idle. */
static int watch_freezer(struct container *container)
{
        _cleanup_free_ char *cgroup = cgroup_of(container->launcher.pid);
        int r;

        if (!cgroup || peer_is_dead(&container->launcher))
                return 0;
        container->freezer = cgroup_open_freezer(CGROUP_ROOT, cgroup);
        if (container->freezer < 0 || cgroup_is_frozen(container->freezer) < 0)
                return 0;
        r = sd_event_add_io(container->event, &container->thaws, container->freezer, EPOLLPRI,
                            on_freezer_changed, container);
        /* We may be frozen with it: then this is to be known before it is looked at. */
        if (r >= 0)
                r = sd_event_source_set_priority(container->thaws, SD_EVENT_PRIORITY_IMPORTANT);
        return r < 0 ? r : 0;
}

/* Finds out how the launcher can be frozen, as long as it is a single process that waits for our
 * answer: if at all. */
static void find_freezer(struct container *container)
{
        static bool said;
        uint64_t usec;
        int r;

        if (tier_next(&container->rest.spans, TIER_HOT, &usec) != TIER_FROZEN)
                return;
        r = freezer_separate(CGROUP_ROOT, container->launcher.pid);
        if (r >= 0)
                r = freezer_find(CGROUP_ROOT, container->launcher.pid, &container->freezer_path);
        if (r >= 0)
                return;
        container->rest.spans.usec[TIER_FROZEN] = GATE_INFINITY;
        if (!said)
                log_line("cannot freeze the server, so it just runs until it is stopped: %s",
                         r == -EDEADLK ? "it has no cgroup of its own" : strerror(-r));
        said = true;
}

/* --- down, tier by tier -------------------------------------------------------------------- */

static bool programs_run(void *userdata)
{
        struct container *container = userdata;
        return background_look(&container->background, server_of(container)->pid,
                               container->shared.gate.page);
}

static void on_frozen_event(enum frozen_event what, void *userdata)
{
        (void)what;
        rouse(userdata);
}

/*
 * If we were held up for so long that the lease of the gate was over before all was frozen, a
 * worker may have taken a connection.
 */
static bool is_still_quiet(struct container *container)
{
        struct gate *gate = &container->watchdog.gate;

        return gate_is_closed(gate) && gate_look(gate->page, NULL) == GATE_QUIET;
}

/* Returns when to look again. */
static uint64_t freeze(struct container *container)
{
        const struct frozen_plan plan = {
            .path = container->freezer_path,
            .note = container->rest.note,
            .sockets = container->shared.sockets,
            .n_sockets = container->shared.n_sockets,
            .init = peer_is_near(&container->launcher) ? NULL : &container->launcher,
            .happened = on_frozen_event,
            .userdata = container,
        };
        int r;

        r = frozen_new(&container->frozen, container->event, &plan);
        if (r < 0) {
                log_line("cannot freeze the server: %s", strerror(-r));
                container->rest.spans.usec[TIER_FROZEN] = GATE_INFINITY;
                set_tier(container, TIER_HOT);
                return 0;
        }
        set_tier(container, TIER_FROZEN);
        container->happened(CONTAINER_FROZEN, container->userdata);
        if (!is_still_quiet(container)) {
                rouse(container);
                return 0;
        }
        return until_next(container);
}

/* The gate is closed, and all is quiet. Returns when to look again: after a signal, if it did not
 * help. */
static uint64_t go_down(struct container *container, uint64_t again_usec)
{
        container->idle_usec = watchdog_idle_since(&container->watchdog);
        container->has_rested = true;
        switch (container->next) {
        case TIER_FROZEN:
                return freeze(container);
        case TIER_LIGHT:
                stop_server(container);
                break;
        case TIER_HOT:
        case TIER_STOPPED:
        case TIERS:
                stop_all(container);
                if (!container->idle)
                        container->happened(CONTAINER_IDLE, container->userdata);
                container->idle = true;
                break;
        }
        return again_usec;
}

static uint64_t look_at_server(struct container *container)
{
        enum watchdog_verdict verdict;
        uint64_t next_usec;

        /* It is time for the tier behind the frozen one, unless somebody connects just now. */
        if (container->frozen) {
                watchdog_close(&container->watchdog, gate_now_usec());
                thaw(container);
        }
        heed_freezer(container);
        verdict = watchdog_look(&container->watchdog, gate_now_usec(), &next_usec);
        background_say(&container->background, verdict == WATCHDOG_STOP,
                       container->watchdog.background_limit_usec);
        if (verdict == WATCHDOG_STOP)
                return go_down(container, next_usec);
        if (container->idle) {
                container->idle = false;
                container->happened(CONTAINER_BUSY, container->userdata);
        } else {
                container->happened(CONTAINER_LOOKED, container->userdata);
        }
        if (container->tier == TIER_FROZEN) {
                set_tier(container, TIER_HOT);
                container->happened(CONTAINER_THAWED, container->userdata);
                return 0;
        }
        return next_usec;
}

/* Nobody is there but the resident launcher: is it time for that to end, too? */
static uint64_t look_at_launcher(struct container *container)
{
        const uint64_t now_usec = gate_now_usec(), next_usec = until_next(container);

        if (next_usec > now_usec)
                return next_usec;
        if (!is_waking(container)) {
                stop_all(container);
                if (!container->idle)
                        container->happened(CONTAINER_IDLE, container->userdata);
                container->idle = true;
        }
        return now_usec + LOOK_AGAIN_USEC;
}

static void look(struct container *container)
{
        look_at(container, container->tier == TIER_LIGHT ? look_at_launcher(container)
                                                         : look_at_server(container));
}

static int on_time_to_look(sd_event_source *source, uint64_t usec, void *userdata)
{
        (void)source;
        (void)usec;
        look(userdata);
        return 0;
}

/* --- what the server says ------------------------------------------------------------------ */

/* Without its server, a resident launcher opens the gate, forgets all in the page, and waits for
 * connections. */
static void become_light(struct container *container)
{
        container->ready = false;
        watchdog_open(&container->watchdog, gate_now_usec());
        if (container->idle_usec == 0)
                container->idle_usec = gate_now_usec();
        set_tier(container, TIER_LIGHT);
        container->happened(CONTAINER_LIGHT, container->userdata);
        look_at(container, until_next(container));
}

static void forget_master(struct container *container)
{
        container->master_dies = sd_event_source_disable_unref(container->master_dies);
        (void)close(container->master.pidfd);
        container->master.pidfd = -1;
        if (container->is_resident)
                become_light(container);
}

static int on_master_dies(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        (void)source;
        (void)fd;
        (void)events;
        forget_master(userdata);
        return 0;
}

static int watch_master(struct container *container)
{
        int r;

        if (!container->is_resident)
                return 0;
        r = sd_event_add_io(container->event, &container->master_dies, container->master.pidfd,
                            EPOLLIN, on_master_dies, container);
        return r < 0 ? r : sd_event_source_set_enabled(container->master_dies, SD_EVENT_ONESHOT);
}

static void hear_master(struct container *container, pid_t pid)
{
        struct peer master;
        int r;

        if (container->master.pidfd >= 0) {
                if (container->master.pid == pid || !peer_is_dead(&container->master)) {
                        stop_again(container);
                        return;
                }
                forget_master(container);
        }
        r = peer_beside(&container->launcher, pid, &master);
        if (r < 0) {
                log_line("process %d cannot be the server's master: %s", pid, strerror(-r));
                return;
        }
        container->master = master;
        r = watch_master(container);
        if (r < 0)
                log_line("cannot watch the server's master: %s", strerror(-r));
        if (container->tier == TIER_LIGHT)
                container->happened(CONTAINER_WAKING, container->userdata);
        stop_again(container);
}

static void hear_ready(struct container *container)
{
        const struct gate_page *page = container->shared.gate.page;
        uint64_t *stop_usec = &container->rest.spans.usec[TIER_STOPPED];

        if (container->ready)
                return;
        container->ready = true;
        if (page->exit_idle_usec < *stop_usec)
                *stop_usec = page->exit_idle_usec;
        set_tier(container, TIER_HOT);
        container->watchdog.background_limit_usec = page->background_limit_usec;
        container->happened(CONTAINER_READY, container->userdata);
        look(container);
        stop_again(container);
        if (container->reload_wanted)
                (void)container_reload(container);
}

static pid_t sender_of(struct msghdr *message)
{
        for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
                if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS) {
                        struct ucred credentials;

                        memcpy(&credentials, CMSG_DATA(c), sizeof(credentials));
                        return credentials.pid;
                }
        return 0;
}

static int on_server_says(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        struct container *container = userdata;
        char word[2] = {0};
        union {
                struct cmsghdr header; /* for its alignment */
                char bytes[CMSG_SPACE(sizeof(struct ucred))];
        } control;
        struct iovec iov = {.iov_base = word, .iov_len = sizeof(word)};
        struct msghdr message = {
            .msg_iov = &iov,
            .msg_iovlen = 1,
            .msg_control = control.bytes,
            .msg_controllen = sizeof(control.bytes),
        };
        ssize_t n;

        (void)events;
        /* Descriptors that come along do not fit into control: the kernel drops them. */
        n = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n <= 0)
                (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        else if (n == 1 && word[0] == GATE_SAYS_MASTER)
                hear_master(container, sender_of(&message));
        else if (n == 1 && word[0] == GATE_SAYS_READY)
                hear_ready(container);
        else if (!container->said_nonsense) {
                container->said_nonsense = true;
                log_line("process %d in the container talks nonsense on the hand-over connection: "
                         "ignored",
                         sender_of(&message));
        }
        return 0;
}

static int on_launcher_dies(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        struct container *container = userdata;

        (void)source;
        (void)fd;
        (void)events;
        container->happened(CONTAINER_DEAD, container->userdata);
        return 0;
}

/* --- beginning and end --------------------------------------------------------------------- */

/* Makes a page and lists the sockets in it. */
static int make_page(struct passed *shared)
{
        struct gate_page *page;

        /* Prints what is wrong, which hardly ever is anything else than a lack of memory. */
        if (passed_make_page(shared) != 0)
                return -ENOMEM;
        page = shared->gate.page;
        for (size_t i = 0; i < shared->n_sockets; i++) {
                struct stat st;

                if (fstat(shared->sockets[i], &st) < 0)
                        return -errno;
                page->sockets[i].inode = st.st_ino;
                memcpy(page->sockets[i].name, shared->names[i], GATE_NAME_MAX);
        }
        page->n_sockets = (uint32_t)shared->n_sockets;
        return 0;
}

static int watch(struct container *container)
{
        sd_event *event = container->event;
        int r;

        r = sd_event_add_io(event, &container->dies, container->launcher.pidfd, EPOLLIN,
                            on_launcher_dies, container);
        if (r >= 0)
                r = sd_event_source_set_enabled(container->dies, SD_EVENT_ONESHOT);
        if (r >= 0)
                r = sd_event_add_io(event, &container->says, container->connection, EPOLLIN,
                                    on_server_says, container);
        if (r >= 0)
                r = sd_event_add_time(event, &container->looks, CLOCK_MONOTONIC, UINT64_MAX, 1,
                                      on_time_to_look, container);
        if (r >= 0)
                r = sd_event_source_set_enabled(container->looks, SD_EVENT_OFF);
        if (r >= 0)
                r = watch_freezer(container);
        return r;
}

int container_new(struct container **ret, sd_event *event, const struct passed *passed,
                  int output_fd, int connection, const struct peer *launcher,
                  const struct container_rest *rest, container_event_t happened, void *userdata)
{
        struct container *container;
        int r;

        container = malloc(sizeof(*container));
        if (!container)
                return -ENOMEM;
        *container = (struct container){
            .event = event,
            .happened = happened,
            .userdata = userdata,
            .shared = *passed,
            .connection = connection,
            .launcher = *launcher,
            .master = {.pidfd = -1},
            .freezer = -1,
            .rest = *rest,
            .is_resident = tier_has_light(&rest->spans),
        };
        find_freezer(container);
        r = make_page(&container->shared);
        if (r >= 0)
                r = watch(container);
        if (r >= 0)
                r = handover_grant(connection, &container->shared, output_fd);
        if (r < 0) {
                container->connection = container->launcher.pidfd = -1;
                container_free(container);
                return r;
        }
        container->watchdog = (struct watchdog){
            .gate = container->shared.gate,
            .sockets = container->shared.sockets,
            .n_sockets = container->shared.n_sockets,
            .programs_run = programs_run,
            .userdata = container,
        };
        set_tier(container, TIER_HOT);
        /* Nobody has woken it, and it waits for that by itself. */
        if (container->is_resident && !watchdog_is_asked(&container->watchdog)) {
                container->idle_usec = gate_now_usec();
                set_tier(container, TIER_LIGHT);
                look_at(container, until_next(container));
        }
        *ret = container;
        return 0;
}

enum tier container_tier(const struct container *container, uint64_t *ret_since_usec)
{
        if (ret_since_usec)
                *ret_since_usec = container->tier_usec;
        return container->tier;
}

void container_activity(const struct container *container, struct container_activity *ret)
{
        const struct watchdog *watchdog = &container->watchdog;
        enum gate_traffic traffic;

        *ret = (struct container_activity){
            .requests = gate_requests(container->shared.gate.page),
            .pid = server_of(container)->pid,
        };
        if (container->tier == TIER_FROZEN || container->tier == TIER_LIGHT) {
                ret->idle_usec = container->idle_usec;
                ret->sleep_usec = until_next(container);
                if (ret->sleep_usec == GATE_INFINITY)
                        ret->sleep_usec = 0;
                return;
        }
        traffic = gate_look(container->shared.gate.page, &ret->idle_usec);
        if (!container->ready || traffic == GATE_IN_REQUEST) {
                ret->idle_usec = 0;
                return;
        }
        if (ret->idle_usec > 0 && ret->idle_usec < watchdog->awake_usec)
                ret->idle_usec = watchdog->awake_usec;
        if (ret->idle_usec == 0 || watchdog->idle_usec >= GATE_INFINITY - ret->idle_usec)
                return;
        ret->sleep_usec = ret->idle_usec + watchdog->idle_usec;
        if (ret->sleep_usec > gate_now_usec())
                return;
        ret->n_programs = container->background.n;
        if (ret->n_programs > 0)
                ret->sleep_usec = 0;
}

bool container_has_server(const struct container *container)
{
        return container->master.pidfd >= 0 || container->ready;
}

bool container_has_rested(const struct container *container)
{
        return container->has_rested;
}

bool container_is_dead(const struct container *container)
{
        return peer_is_dead(&container->launcher);
}

bool container_was_killed(const struct container *container)
{
        return container->killed;
}

static void close_if_open(int fd)
{
        if (fd >= 0)
                (void)close(fd);
}

void container_free(struct container *container)
{
        if (!container)
                return;
        frozen_free(container->frozen);
        free(container->freezer_path);
        container->says = sd_event_source_disable_unref(container->says);
        container->dies = sd_event_source_disable_unref(container->dies);
        container->master_dies = sd_event_source_disable_unref(container->master_dies);
        container->looks = sd_event_source_disable_unref(container->looks);
        container->thaws = sd_event_source_disable_unref(container->thaws);
        container->patience = sd_event_source_disable_unref(container->patience);
        close_if_open(container->connection);
        close_if_open(container->launcher.pidfd);
        close_if_open(container->master.pidfd);
        close_if_open(container->freezer);
        if (container->shared.gate.page)
                (void)munmap(container->shared.gate.page, sizeof(struct gate_page));
        close_if_open(container->shared.page_fd);
        close_if_open(container->shared.gate.closing_fd);
        close_if_open(container->shared.gate.waking_fd);
        free(container);
}
