/* SPDX-License-Identifier: MIT */
#include "container-private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "frozen.h"
#include "handover-serve.h"
#include "log.h"

/* --- what the server says ------------------------------------------------------------------ */

static void forget_master(struct container *container)
{
        container->master_dies = sd_event_source_disable_unref(container->master_dies);
        (void)close(container->master.pidfd);
        container->master.pidfd = -1;
        if (container->is_resident)
                container_become_light(container);
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
                        container_stop_again(container);
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
        container_stop_again(container);
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
        container_set_tier(container, TIER_HOT);
        container->watchdog.background_limit_usec = page->background_limit_usec;
        container->happened(CONTAINER_READY, container->userdata);
        container_look(container);
        container_stop_again(container);
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

static bool programs_run(void *userdata)
{
        struct container *container = userdata;
        return background_look(&container->background, container_server(container)->pid,
                               container->shared.gate.page);
}

static int on_time_to_look(sd_event_source *source, uint64_t usec, void *userdata)
{
        (void)source;
        (void)usec;
        container_look(userdata);
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
                r = container_watch_freezer(container);
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
        container_find_freezer(container);
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
        container_set_tier(container, TIER_HOT);
        /* Nobody has woken it, and it waits for that by itself. */
        if (container->is_resident && !watchdog_is_asked(&container->watchdog)) {
                container->idle_usec = gate_now_usec();
                container_set_tier(container, TIER_LIGHT);
                container_look_at(container, container_until_next(container));
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
            .pid = container_server(container)->pid,
        };
        if (container->tier == TIER_FROZEN || container->tier == TIER_LIGHT) {
                ret->idle_usec = container->idle_usec;
                ret->sleep_usec = container_until_next(container);
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
