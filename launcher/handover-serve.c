/* SPDX-License-Identifier: MIT */
#include "handover-serve.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "cleanup.h"
#include "handover.h"
#include "log.h"
#include "status.h"

/* Whoever has connected and not said anything for so long is refused. */
#define SILENCE_USEC (2 * UINT64_C(1000000))

/* When more clients than this are silent at a time, the oldest is refused at once. */
#define GUESTS_MAX 8

/* The parent of all vhosts' directories: closed, so that no local user can play the launcher. */
#define PARENT_NAME "fpm-waker-handover"

/* A client that has connected and not yet said its hello. */
struct guest {
        struct handover *handover;
        int fd;           /* -1: this place is free */
        uint64_t arrival; /* the n-th client of all */
        sd_event_source *io;
        sd_event_source *timer;
};

struct handover {
        sd_event *event;
        sd_event_source *io;
        int fd;
        char *path;
        const char *launcher;
        handover_knock_t knock;
        void *userdata;
        struct guest guests[GUESTS_MAX];
        uint64_t arrivals;
        bool spares_words;
        char last_reason[128]; /* why somebody was refused */
};

static void guest_unwatch(struct guest *guest)
{
        guest->io = sd_event_source_disable_unref(guest->io);
        guest->timer = sd_event_source_disable_unref(guest->timer);
}

/* Closes the connection and frees the guest's place. */
static void guest_leave(struct guest *guest)
{
        guest_unwatch(guest);
        (void)close(guest->fd);
        guest->fd = -1;
}

static void guest_refuse(struct guest *guest, const char *reason)
{
        struct handover *handover = guest->handover;
        struct ucred credentials = {0};
        socklen_t length = sizeof(credentials);

        (void)getsockopt(guest->fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length);
        if (!handover->spares_words || strcmp(handover->last_reason, reason) != 0)
                log_line("refused process %d at %s: %s", credentials.pid, handover->path, reason);
        (void)snprintf(handover->last_reason, sizeof(handover->last_reason), "%s", reason);
        guest_leave(guest);
}

/* NULL if the message is a hello, else what is wrong with it. */
static const char *receive_hello(int fd)
{
        struct handover_hello hello = {0};
        ssize_t n;

        n = recv(fd, &hello, sizeof(hello), MSG_DONTWAIT | MSG_TRUNC);
        if (n < 0)
                return strerror(errno);
        if (n == 0)
                return "it hung up without a word";
        if ((size_t)n < sizeof(hello))
                return "half a message";
        if ((size_t)n > sizeof(hello) || hello.magic != HANDOVER_MAGIC)
                return "not a word of the hand-over";
        if (hello.version != HANDOVER_VERSION)
                return "fpm-launcher of another version";
        return NULL;
}

/* NULL if the guest is an fpm-launcher, else what is wrong with it. */
static const char *open_launcher(const struct guest *guest, struct peer *ret)
{
        int r;

        r = peer_of_socket(guest->fd, ret);
        if (r == 0) {
                r = peer_runs(ret, guest->handover->launcher);
                if (r > 0)
                        return NULL;
                (void)close(ret->pidfd);
        }
        if (r == -EACCES || r == -EPERM)
                return "cannot see what it runs, for lack of CAP_SYS_PTRACE";
        return r < 0 ? strerror(-r) : "it is not fpm-launcher";
}

static int on_guest_word(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        struct guest *guest = userdata;
        struct handover *handover = guest->handover;
        struct peer launcher;
        const char *reason;

        (void)source;
        (void)events;
        reason = receive_hello(fd);
        if (!reason)
                reason = open_launcher(guest, &launcher);
        if (reason) {
                guest_refuse(guest, reason);
                return 0;
        }
        /* An event loop watches a descriptor only once, and the callee wants to. */
        guest_unwatch(guest);
        reason = handover->knock(fd, &launcher, handover->userdata);
        if (reason) {
                (void)close(launcher.pidfd);
                guest_refuse(guest, reason);
        } else
                guest->fd = -1;
        return 0;
}

static int on_guest_silent(sd_event_source *source, uint64_t usec, void *userdata)
{
        (void)source;
        (void)usec;
        guest_refuse(userdata, "silent for two seconds");
        return 0;
}

/* Makes room if need be: a crowd of silent clients must not keep the launcher out. */
static struct guest *free_place(struct handover *handover)
{
        struct guest *oldest = &handover->guests[0];

        for (size_t i = 0; i < GUESTS_MAX; i++) {
                struct guest *guest = &handover->guests[i];

                if (guest->fd < 0)
                        return guest;
                if (guest->arrival < oldest->arrival)
                        oldest = guest;
        }
        guest_refuse(oldest, "silent while others wait");
        return oldest;
}

static int on_connection(sd_event_source *source, int listening_fd, uint32_t events, void *userdata)
{
        struct handover *handover = userdata;
        struct guest *guest;
        int fd, r;

        (void)source;
        (void)events;
        fd = accept4(listening_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
                if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
                        log_line("cannot accept at %s: %s", handover->path, strerror(errno));
                return 0;
        }
        guest = free_place(handover);
        guest->fd = fd;
        guest->arrival = ++handover->arrivals;
        r = sd_event_add_io(handover->event, &guest->io, fd, EPOLLIN, on_guest_word, guest);
        if (r >= 0)
                r = sd_event_add_time_relative(handover->event, &guest->timer, CLOCK_MONOTONIC,
                                               SILENCE_USEC, 0, on_guest_silent, guest);
        if (r < 0)
                guest_refuse(guest, strerror(-r));
        return 0;
}

/* Makes the directory of the socket. The container's user must pass it; nobody else gets near. */
static int make_directories(const char *path)
{
        _cleanup_free_ char *copy = strdup(path), *parent_copy = NULL;
        const char *directory, *parent;
        bool is_ours;

        if (!copy)
                return log_fail(STATUS_SYSTEM, "%s: %s", path, strerror(ENOMEM));
        directory = dirname(copy);
        parent_copy = strdup(directory);
        if (!parent_copy)
                return log_fail(STATUS_SYSTEM, "%s: %s", path, strerror(ENOMEM));
        parent = dirname(parent_copy);
        is_ours =
            strcmp(strrchr(parent, '/') ? strrchr(parent, '/') + 1 : parent, PARENT_NAME) == 0;

        /* RuntimeDirectory= makes the parent too, but with a mode that lets everybody in. */
        if (is_ours && mkdir(parent, 0700) < 0 && errno == EEXIST && chmod(parent, 0700) < 0)
                return log_fail(STATUS_HANDOVER, "%s: %s", parent, strerror(errno));
        if (mkdir(directory, 0711) < 0) {
                if (errno != EEXIST)
                        return log_fail(STATUS_HANDOVER, "cannot make %s: %s", directory,
                                        strerror(errno));
        } else if (chmod(directory, 0711) < 0) /* whatever the umask */
                return log_fail(STATUS_HANDOVER, "%s: %s", directory, strerror(errno));
        return 0;
}

/*
 * Removes the socket that a killed fpm-waker left; one that lives is an error. The probe is of
 * another type than the socket, so a living fpm-waker does not even notice it.
 */
static int remove_stale(const struct sockaddr_un *address)
{
        _cleanup_close_ int probe = -1;

        probe = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (probe < 0)
                return -errno;
        if (connect(probe, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
            errno == EPROTOTYPE)
                return -EADDRINUSE;
        if (errno == ENOENT)
                return 0;
        if (errno != ECONNREFUSED)
                return -errno;
        return unlink(address->sun_path) < 0 ? -errno : 0;
}

static int listen_at(const char *path)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        _cleanup_close_ int fd = -1;
        int r;

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, strlen(path) + 1);
        r = remove_stale(&address);
        if (r < 0)
                return r;
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        /* SO_PASSCRED is inherited by the connections: the server says on one who is master.
         * The mode lets any uid in, since --user and userns-remap make it unpredictable; who may
         * come this far at all is decided by the directory above and by peer_runs(). */
        if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &(int){1}, sizeof(int)) < 0 ||
            bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
            chmod(path, 0666) < 0 || listen(fd, GUESTS_MAX) < 0)
                return -errno;
        return take_descriptor(&fd);
}

int handover_new(struct handover **ret, sd_event *event, const char *path, const char *launcher,
                 handover_knock_t knock, void *userdata)
{
        struct handover *handover;
        int fd, r;

        r = make_directories(path);
        if (r != 0)
                return r;
        fd = listen_at(path);
        if (fd < 0)
                return log_fail(STATUS_HANDOVER, "cannot listen at %s: %s", path, strerror(-fd));
        handover = calloc(1, sizeof(*handover));
        if (!handover) {
                (void)close(fd);
                return log_fail(STATUS_SYSTEM, "%s: %s", path, strerror(ENOMEM));
        }
        *handover = (struct handover){
            .event = event,
            .fd = fd,
            .path = strdup(path),
            .launcher = launcher,
            .knock = knock,
            .userdata = userdata,
        };
        for (size_t i = 0; i < GUESTS_MAX; i++)
                handover->guests[i] = (struct guest){.handover = handover, .fd = -1};
        r = handover->path
                ? sd_event_add_io(event, &handover->io, fd, EPOLLIN, on_connection, handover)
                : -ENOMEM;
        if (r < 0) {
                handover_free(handover);
                return log_fail(STATUS_SYSTEM, "cannot watch %s: %s", path, strerror(-r));
        }
        *ret = handover;
        return 0;
}

void handover_spare_words(struct handover *handover, bool spares)
{
        handover->spares_words = spares;
}

int handover_grant(int connection, const struct passed *passed, int output_fd)
{
        const int gate_fds[] = {passed->page_fd, passed->gate.closing_fd, passed->gate.waking_fd};
        struct handover_grant grant = {
            .magic = HANDOVER_MAGIC,
            .version = HANDOVER_VERSION,
            .n_sockets = (uint32_t)passed->n_sockets,
            .n_outputs = output_fd >= 0,
        };
        union {
                struct cmsghdr header; /* for its alignment */
                char bytes[CMSG_SPACE(HANDOVER_FDS_MAX * sizeof(int))];
        } control = {0};
        size_t before = sizeof(gate_fds) + passed->n_sockets * sizeof(int);
        size_t length = before + grant.n_outputs * sizeof(int);
        struct iovec iov = {.iov_base = &grant, .iov_len = sizeof(grant)};
        struct msghdr message = {
            .msg_iov = &iov,
            .msg_iovlen = 1,
            .msg_control = control.bytes,
            .msg_controllen = CMSG_SPACE(length),
        };
        struct cmsghdr *cmsg = &control.header;

        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(length);
        memcpy(CMSG_DATA(cmsg), gate_fds, sizeof(gate_fds));
        memcpy(CMSG_DATA(cmsg) + sizeof(gate_fds), passed->sockets,
               passed->n_sockets * sizeof(int));
        memcpy(CMSG_DATA(cmsg) + before, &output_fd, grant.n_outputs * sizeof(int));
        if (sendmsg(connection, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
                return -errno;
        return 0;
}

void handover_free(struct handover *handover)
{
        if (!handover)
                return;
        for (size_t i = 0; i < GUESTS_MAX; i++)
                if (handover->guests[i].fd >= 0)
                        guest_leave(&handover->guests[i]);
        handover->io = sd_event_source_disable_unref(handover->io);
        (void)close(handover->fd);
        if (handover->path)
                (void)unlink(handover->path);
        free(handover->path);
        free(handover);
}
