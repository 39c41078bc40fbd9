/* SPDX-License-Identifier: MIT */
#include "status-serve.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-login.h>
#include <time.h>

#include "cleanup.h"
#include "log.h"

#define USEC_PER_SEC UINT64_C(1000000)

/* So many connections may wait while we do something else. */
#define BACKLOG 16

/* systemd is told no more often than this. */
#define TELL_USEC (10 * USEC_PER_SEC)

struct status {
        sd_event *event;
        status_look_t look;
        status_asked_t asked;
        void *userdata;

        struct report report; /* all but what look() knows */
        char *directory;      /* NULL: there is none */
        struct sockaddr_un address;
        sd_event_source *connects;
        uint64_t waking_usec; /* CLOCK_MONOTONIC since when somebody waits, 0: nobody does */

        /* What systemd was told last. */
        uint64_t told_usec;
        uint64_t told_requests;
        bool told_idle;
};

static uint64_t real_now_usec(void)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_REALTIME, &now);
        return (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
}

/* The wall clock's time for one of CLOCK_MONOTONIC; 0 stays 0. */
static uint64_t real_usec(uint64_t usec)
{
        if (usec == 0)
                return 0;
        return real_now_usec() + usec - gate_now_usec();
}

/* --- answers ------------------------------------------------------------------------------- */

static void add_activity(struct report *report, const struct container_activity *activity)
{
        report->requests += activity->requests;
        report->pid = (uint64_t)activity->pid;
        if (report->tier != REPORT_HOT && report->tier != REPORT_FROZEN &&
            report->tier != REPORT_LIGHT)
                return;
        report->idle_usec = real_usec(activity->idle_usec);
        report->sleep_usec = real_usec(activity->sleep_usec);
        if (*report->why || report->tier != REPORT_HOT)
                return;
        (void)snprintf(report->why, sizeof(report->why), "%s",
                       activity->idle_usec == 0   ? "a request runs"
                       : activity->n_programs > 0 ? "programs of requests run"
                                                  : "idle");
}

static void complete(const struct status *status, struct report *report)
{
        struct container_activity activity;

        *report = status->report;
        if (status->look(&activity, status->userdata))
                add_activity(report, &activity);
}

static int on_connection(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        const struct status *status = userdata;
        _cleanup_close_ int connection = -1;
        char text[REPORT_BYTES_MAX];
        struct report report;
        size_t length;

        (void)source;
        (void)events;
        connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (connection < 0)
                return 0;
        status->asked(status->userdata);
        complete(status, &report);
        length = report_format(&report, text);
        /* It fits into the socket's buffer, or nobody reads it. */
        (void)send(connection, text, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        return 0;
}

/* --- the directory ------------------------------------------------------------------------- */

/* systemd makes it if the unit says so. Else only root gets into what we make. */
static int make_directory(const char *all, const char *own)
{
        if (mkdir(all, 0755) < 0 && errno != EEXIST)
                return -errno;
        if (mkdir(own, 0700) < 0 && errno != EEXIST)
                return -errno;
        return 0;
}

static int listen_at(const struct sockaddr_un *address)
{
        _cleanup_close_ int fd = -1;
        mode_t mask;
        int r;

        /* Its last owner was killed. A vhost has one service, and a service one main process. */
        if (unlink(address->sun_path) < 0 && errno != ENOENT)
                return -errno;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        mask = umask(0077);
        r = bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;
        (void)umask(mask);
        if (r < 0)
                return r;
        if (listen(fd, BACKLOG) < 0)
                return -errno;
        return take_descriptor(&fd);
}

static int serve(struct status *status, const char *vhost)
{
        _cleanup_free_ char *all = report_directory();
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd, n, r;

        if (!all || asprintf(&status->directory, "%s/%s", all, vhost) < 0) {
                status->directory = NULL;
                return -ENOMEM;
        }
        r = make_directory(all, status->directory);
        if (r < 0)
                return r;
        n = snprintf(address.sun_path, sizeof(address.sun_path), "%s/" STATUS_SOCKET,
                     status->directory);
        if (n < 0 || (size_t)n >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        fd = listen_at(&address);
        if (fd < 0)
                return fd;
        status->address = address;
        r = sd_event_add_io(status->event, &status->connects, fd, EPOLLIN, on_connection, status);
        if (r >= 0)
                r = sd_event_source_set_io_fd_own(status->connects, 1);
        else
                (void)close(fd);
        return r < 0 ? r : 0;
}

/* --- the file ------------------------------------------------------------------------------ */

/* The counts of the runs before; whatever else the file says is over. */
static void read_last(struct status *status)
{
        struct report *report = &status->report, last;

        if (report_read_file(&last, status->directory) < 0)
                return;
        report->requests = last.requests;
        report->wakes = last.wakes;
        report->n_wakes = last.n_wakes;
        memcpy(report->wake_usec, last.wake_usec, sizeof(report->wake_usec));
}

/* As a whole or not at all. Without it, counts begin anew: no reason for a line in the log. The
 * requests of a container count when it has ended. */
static void write_last(const struct status *status)
{
        _cleanup_free_ char *path = NULL, *draft = NULL;
        _cleanup_close_ int fd = -1;
        char text[REPORT_BYTES_MAX];
        size_t length;

        if (!status->connects)
                return;
        if (asprintf(&path, "%s/" STATUS_FILE, status->directory) < 0) {
                path = NULL;
                return;
        }
        if (asprintf(&draft, "%s.new", path) < 0) {
                draft = NULL;
                return;
        }
        length = report_format(&status->report, text);
        (void)unlink(draft);
        fd = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0 || write(fd, text, length) != (ssize_t)length || rename(draft, path) < 0)
                (void)unlink(draft);
}

/* --- what happens -------------------------------------------------------------------------- */

void status_set(struct status *status, enum report_tier tier, const char *why)
{
        struct report *report = &status->report;

        if (tier != report->tier)
                report->since_usec = real_now_usec();
        report->tier = tier;
        if (tier == REPORT_LIGHT)
                status->waking_usec = 0;
        (void)snprintf(report->why, sizeof(report->why), "%s", why ? why : "");
        status->told_usec = gate_now_usec();
}

void status_waking(struct status *status, uint64_t since_usec)
{
        if (status->waking_usec == 0)
                status->waking_usec = since_usec;
}

uint64_t status_woken(struct status *status)
{
        uint64_t usec = status->waking_usec;

        if (usec == 0)
                return 0;
        usec = gate_now_usec() - usec;
        status->waking_usec = 0;
        status->report.wakes++;
        report_add_wake(&status->report, usec);
        /* Whoever kills us does not kill the count. */
        write_last(status);
        return usec;
}

void status_add_requests(struct status *status, uint64_t requests)
{
        status->report.requests += requests;
}

static void format_time(char *text, size_t size, uint64_t usec)
{
        const time_t seconds = (time_t)(usec / USEC_PER_SEC);
        struct tm parts;

        if (!localtime_r(&seconds, &parts) || strftime(text, size, "%H:%M", &parts) == 0)
                *text = '\0';
}

void status_tell(struct status *status, const struct container_activity *activity)
{
        const uint64_t now_usec = gate_now_usec();
        const bool idle = activity->idle_usec > 0;
        char since[16], idle_since[16];

        if (status->report.tier != REPORT_HOT || now_usec < status->told_usec + TELL_USEC ||
            (activity->requests == status->told_requests && idle == status->told_idle))
                return;
        status->told_usec = now_usec;
        status->told_requests = activity->requests;
        status->told_idle = idle;
        format_time(since, sizeof(since), status->report.since_usec);
        format_time(idle_since, sizeof(idle_since), real_usec(activity->idle_usec));
        (void)sd_notifyf(0, "STATUS=Serving requests: %" PRIu64 " since %s%s%s", activity->requests,
                         since, idle ? ", idle since " : "", idle ? idle_since : "");
}

/* --- beginning and end --------------------------------------------------------------------- */

static void find_unit(struct report *report)
{
        char *unit = NULL;

        if (sd_pid_get_unit(0, &unit) < 0 && sd_pid_get_user_unit(0, &unit) < 0)
                return;
        (void)snprintf(report->unit, sizeof(report->unit), "%s", unit);
        free(unit);
}

int status_new(struct status **ret, sd_event *event, const char *vhost, status_look_t look,
               status_asked_t asked, void *userdata)
{
        struct status *status;
        int r;

        status = calloc(1, sizeof(*status));
        if (!status)
                return -ENOMEM;
        status->event = event;
        status->look = look;
        status->asked = asked;
        status->userdata = userdata;
        find_unit(&status->report);
        status_set(status, REPORT_STARTING, NULL);
        status->report.since_usec = real_now_usec();
        status_waking(status, gate_now_usec());
        *ret = status;
        if (!vhost)
                return 0;
        r = serve(status, vhost);
        if (r < 0)
                log_line("fpm-waker status will know little of this vhost: %s: %s",
                         status->directory ? status->directory : vhost, strerror(-r));
        else
                read_last(status);
        return 0;
}

void status_free(struct status *status)
{
        if (!status)
                return;
        write_last(status);
        if (status->connects)
                (void)unlink(status->address.sun_path);
        status->connects = sd_event_source_disable_unref(status->connects);
        free(status->directory);
        free(status);
}
