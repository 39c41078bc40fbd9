/* SPDX-License-Identifier: MIT */
#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "cleanup.h"
#include "complaint.h"
#include "docker-outcome.h"
#include "log.h"
#include "podman.h"
#include "relay.h"

#define USEC_PER_MSEC UINT64_C(1000)

/* The former container drains for up to its drain limit; afterwards Docker takes 28-55 ms to free
 * its name. */
#define RETRY_FIRST_USEC (50 * USEC_PER_MSEC)
#define RETRY_MOST_USEC  (1000 * USEC_PER_MSEC)
#define RETRY_LIMIT_USEC (90000 * USEC_PER_MSEC)

struct client {
        sd_event *event;
        char *const *command;
        char *const *result_command; /* NULL: command waits for the container's end by itself */
        client_ended_t ended;
        void *userdata;

        pid_t pid; /* of the client, of the monitor that it left, or of the remover; 0: none runs */
        sd_event_source *exits;
        sd_event_source *waits; /* for the next try */
        struct relay *relay;
        int output_fd;  /* the relay's other end, for the container; -1 without result_command */
        int outcome_fd; /* what fpm-docker says on its stdout; the same */
        struct docker_report report;
        struct complaint complaint;

        bool monitoring;       /* pid is podman's monitor */
        bool removing;         /* pid is `docker rm` */
        bool let_go;           /* the container's result is to be collected */
        bool container_ended;  /* and this can be done */
        bool given_up;         /* no further try */
        bool holding;          /* what it says is kept back */
        uint64_t delay_usec;   /* before the next try */
        uint64_t give_up_usec; /* CLOCK_MONOTONIC, 0: no conflict yet */
};

static void on_line(const char *line, void *userdata)
{
        struct client *client = userdata;

        docker_report_line(&client->report, line);
        if (!docker_outcome_is_note(line))
                complaint_line(&client->complaint, line);
}

/* Our environment without what is for us alone; LISTEN_* is gone already. */
static char **child_environment(void)
{
        char **environment;
        size_t n = 0;

        while (environ[n])
                n++;
        environment = calloc(n + 1, sizeof(*environment));
        if (!environment)
                return NULL;
        n = 0;
        for (char **variable = environ; *variable; variable++)
                if (strncmp(*variable, "NOTIFY_SOCKET=", strlen("NOTIFY_SOCKET=")) != 0 &&
                    strncmp(*variable, "WATCHDOG_", strlen("WATCHDOG_")) != 0)
                        environment[n++] = *variable;
        return environment;
}

/*
 * A process group of its own: Ctrl-C in a terminal is for us to translate. No signal is blocked in
 * the child, and SIGPIPE is not ignored.
 */
static int set_attributes(posix_spawnattr_t *attributes)
{
        sigset_t none, pipe;
        int r;

        (void)sigemptyset(&none);
        (void)sigemptyset(&pipe);
        (void)sigaddset(&pipe, SIGPIPE);
        r = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                     POSIX_SPAWN_SETPGROUP);
        if (r == 0)
                r = posix_spawnattr_setsigmask(attributes, &none);
        if (r == 0)
                r = posix_spawnattr_setsigdefault(attributes, &pipe);
        return -r;
}

/* Spawns with fds as stdout and stderr, -1: inherited. Returns 0, -errno. */
static int spawn(char *const *command, int output_fd, int error_fd, pid_t *ret)
{
        _cleanup_free_ char **environment = child_environment();
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        int r;

        if (!environment)
                return -ENOMEM;
        r = posix_spawnattr_init(&attributes);
        if (r != 0)
                return -r;
        r = posix_spawn_file_actions_init(&actions);
        if (r != 0) {
                (void)posix_spawnattr_destroy(&attributes);
                return -r;
        }
        r = -set_attributes(&attributes);
        if (r == 0 && output_fd >= 0)
                r = posix_spawn_file_actions_adddup2(&actions, output_fd, STDOUT_FILENO);
        if (r == 0 && error_fd >= 0)
                r = posix_spawn_file_actions_adddup2(&actions, error_fd, STDERR_FILENO);
        if (r == 0)
                r = posix_spawnp(ret, command[0], &actions, &attributes, command, environment);
        (void)posix_spawn_file_actions_destroy(&actions);
        (void)posix_spawnattr_destroy(&attributes);
        return -r;
}

static void end(struct client *client, int status)
{
        client->pid = 0;
        client->exits = sd_event_source_disable_unref(client->exits);
        client->waits = sd_event_source_disable_unref(client->waits);
        if (client->relay)
                relay_drain(client->relay);
        if (client->outcome_fd >= 0)
                docker_outcome_read(client->outcome_fd, &client->report);
        client->ended(status, client->userdata);
}

static int on_client_exits(sd_event_source *source, const siginfo_t *info, void *userdata);

/*
 * A client that has detached itself from the container has left a monitor, an orphan that is our
 * child by now: that one is the client from here on. Returns 0, -errno.
 */
static int follow_monitor(struct client *client, const char *path)
{
        int pid, r;

        pid = podman_take_monitor(path);
        if (pid < 0)
                return pid;
        client->exits = sd_event_source_disable_unref(client->exits);
        r = sd_event_add_child(client->event, &client->exits, pid, WEXITED, on_client_exits,
                               client);
        if (r < 0)
                return r;
        client->pid = pid;
        client->monitoring = true;
        return 0;
}

static int on_client_exits(sd_event_source *source, const siginfo_t *info, void *userdata)
{
        struct client *client = userdata;
        const char *monitor_file = podman_monitor_file(client->command);
        bool exited = info->si_code == CLD_EXITED;
        int r;

        (void)source;
        if (client->monitoring) {
                /* Killed, it knows of no container. */
                end(client, exited ? info->si_status : DOCKER_STATUS_OWN);
                return 0;
        }
        if (exited && info->si_status == 0 && monitor_file) {
                r = follow_monitor(client, monitor_file);
                if (r == 0)
                        return 0;
                log_line("cannot find the container's monitor by %s: %s", monitor_file,
                         strerror(-r));
        }
        end(client, exited ? info->si_status : 128 + info->si_status);
        return 0;
}

/* The result of a container is what its command says; of one that fails it is not known. */
static int on_collector_exits(sd_event_source *source, const siginfo_t *info, void *userdata)
{
        (void)source;
        end(userdata, info->si_code == CLD_EXITED ? info->si_status : DOCKER_STATUS_OWN);
        return 0;
}

/* As it is in a unit. */
static bool stdout_is_stderr(void)
{
        struct stat out, error;

        return fstat(STDOUT_FILENO, &out) == 0 && fstat(STDERR_FILENO, &error) == 0 &&
               out.st_dev == error.st_dev && out.st_ino == error.st_ino;
}

static void close_and_forget(int *fd)
{
        if (*fd >= 0)
                (void)close(*fd);
        *fd = -1;
}

/* Runs fpm-docker: its stdout is for us, its stderr is relayed as the container's output is. */
static int start_short(struct client *client, char *const *command,
                       sd_event_child_handler_t handler)
{
        int r;

        close_and_forget(&client->outcome_fd);
        client->outcome_fd = memfd_create("outcome", MFD_CLOEXEC);
        if (client->outcome_fd < 0)
                return -errno;
        r = spawn(command, client->outcome_fd, client->output_fd, &client->pid);
        if (r >= 0)
                r = sd_event_add_child(client->event, &client->exits, client->pid, WEXITED, handler,
                                       client);
        if (r < 0)
                client->pid = 0;
        return r < 0 ? r : 0;
}

static void collect(struct client *client)
{
        int r;

        r = start_short(client, client->result_command, on_collector_exits);
        if (r >= 0)
                return;
        log_line("cannot execute %s: %s", client->result_command[0], strerror(-r));
        end(client, DOCKER_STATUS_OWN);
}

/* Once let go it has nothing to say but the result, if it was faster than we. */
static int on_starter_exits(sd_event_source *source, const siginfo_t *info, void *userdata)
{
        struct client *client = userdata;

        if (!client->let_go ||
            (info->si_code == CLD_EXITED && info->si_status != DOCKER_STATUS_OWN))
                return on_client_exits(source, info, userdata);
        client->pid = 0;
        client->exits = sd_event_source_disable_unref(client->exits);
        if (client->container_ended)
                collect(client);
        return 0;
}

int client_start(struct client *client)
{
        _cleanup_close_ int child_fd = -1;
        int r;

        client->report = (struct docker_report){0};
        client->complaint = (struct complaint){0};
        close_and_forget(&client->output_fd);
        client->monitoring = false;
        if (podman_monitor_file(client->command)) {
                (void)unlink(podman_monitor_file(client->command));
                (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
        }
        relay_free(client->relay);
        client->relay = NULL;
        r = relay_new(&client->relay, client->event, on_line, client, &child_fd);
        if (r < 0)
                return r;
        if (client->holding)
                relay_hold(client->relay);
        if (client->result_command) {
                /* Any user in the container may open it anew, as /proc/self/fd/2. */
                if (fchmod(child_fd, 0622) < 0)
                        return -errno;
                client->output_fd = take_descriptor(&child_fd);
                return start_short(client, client->command, on_starter_exits);
        }
        r = spawn(client->command, stdout_is_stderr() ? child_fd : -1, child_fd, &client->pid);
        if (r >= 0)
                r = sd_event_add_child(client->event, &client->exits, client->pid, WEXITED,
                                       on_client_exits, client);
        if (r < 0)
                client->pid = 0;
        return r < 0 ? r : 0;
}

/* --- when the launcher has come ------------------------------------------------------------ */

void client_let_go(struct client *client)
{
        if (!client->result_command)
                return;
        client->let_go = true;
        client->container_ended = false;
        client->waits = sd_event_source_disable_unref(client->waits);
        client_kill(client, SIGTERM);
}

bool client_collect(struct client *client)
{
        bool is_time = client->let_go && client->pid == 0 && !client->container_ended;

        client->container_ended = true;
        if (is_time)
                collect(client);
        return is_time || client_is_running(client);
}

int client_output(const struct client *client)
{
        return client->output_fd;
}

/* --- another try --------------------------------------------------------------------------- */

static int on_time_to_try(sd_event_source *source, uint64_t usec, void *userdata)
{
        struct client *client = userdata;
        int r = 0;

        (void)source;
        (void)usec;
        client->waits = sd_event_source_disable_unref(client->waits);
        if (!client->given_up)
                r = client_start(client);
        if (r < 0)
                log_line("cannot execute %s: %s", client->command[0], strerror(-r));
        if (r < 0 || client->given_up)
                end(client, DOCKER_STATUS_OWN);
        return 0;
}

static void try_after(struct client *client, uint64_t usec)
{
        int r;

        r = sd_event_add_time_relative(client->event, &client->waits, CLOCK_MONOTONIC, usec, 1000,
                                       on_time_to_try, client);
        if (r < 0) {
                log_line("cannot wait for another try: %s", strerror(-r));
                end(client, DOCKER_STATUS_OWN);
        }
}

static int on_remover_exits(sd_event_source *source, const siginfo_t *info, void *userdata)
{
        struct client *client = userdata;
        bool removed = info->si_code == CLD_EXITED && info->si_status == 0;

        (void)source;
        client->exits = sd_event_source_disable_unref(client->exits);
        client->pid = 0;
        client->removing = false;
        if (removed)
                log_line("removed container %s, which was not running", client->report.container);
        try_after(client, removed || client->given_up ? 0 : client->delay_usec);
        return 0;
}

/*
 * A container that was created but never started, because all of us were killed just in between,
 * would have the name for good. Returns false if there is nothing to remove.
 */
static bool remove_former(struct client *client)
{
        _cleanup_(words_done) struct words words = {0};
        _cleanup_close_ int null = -1;
        int r;

        if (!docker_rm_words(&words, client->command, client->report.container))
                return false;
        null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (null < 0)
                return false;
        r = spawn(words.list, null, null, &client->pid);
        if (r >= 0)
                r = sd_event_add_child(client->event, &client->exits, client->pid, WEXITED,
                                       on_remover_exits, client);
        if (r < 0) {
                client->pid = 0;
                return false;
        }
        client->removing = true;
        return true;
}

bool client_retry(struct client *client)
{
        uint64_t now_usec = 0;

        (void)sd_event_now(client->event, CLOCK_MONOTONIC, &now_usec);
        if (client->give_up_usec == 0) {
                client->give_up_usec = now_usec + RETRY_LIMIT_USEC;
                client->delay_usec = RETRY_FIRST_USEC;
        } else if (now_usec >= client->give_up_usec)
                return false;
        else if (client->delay_usec < RETRY_MOST_USEC)
                client->delay_usec *= 2;
        if (client->delay_usec > RETRY_MOST_USEC)
                client->delay_usec = RETRY_MOST_USEC;
        if (!remove_former(client))
                try_after(client, client->delay_usec);
        return true;
}

void client_give_up(struct client *client)
{
        client->given_up = true;
        if (client->waits)
                (void)sd_event_source_set_time(client->waits, 0);
}

bool client_is_running(const struct client *client)
{
        return client->pid > 0 || client->waits;
}

void client_kill(struct client *client, int signal)
{
        /* Not waited for yet, or the source would be gone: the pid is still the child's. */
        if (client->pid > 0 && kill(client->pid, signal) < 0)
                log_line("cannot signal %s: %s", client->command[0], strerror(errno));
}

void client_hold(struct client *client)
{
        client->holding = true;
}

void client_release(struct client *client)
{
        client->holding = false;
        if (client->relay)
                relay_release(client->relay);
}

const char *client_complaint(const struct client *client)
{
        return client->complaint.text;
}

void client_forget_complaint(struct client *client)
{
        client->complaint = (struct complaint){0};
}

const struct docker_report *client_report(const struct client *client)
{
        return &client->report;
}

int client_new(struct client **ret, sd_event *event, char *const *command,
               char *const *result_command, client_ended_t ended, void *userdata)
{
        struct client *client;

        client = malloc(sizeof(*client));
        if (!client)
                return -ENOMEM;
        *client = (struct client){
            .event = event,
            .command = command,
            .result_command = result_command,
            .output_fd = -1,
            .outcome_fd = -1,
            .ended = ended,
            .userdata = userdata,
        };
        *ret = client;
        return 0;
}

void client_free(struct client *client)
{
        if (!client)
                return;
        client->exits = sd_event_source_disable_unref(client->exits);
        client->waits = sd_event_source_disable_unref(client->waits);
        relay_free(client->relay);
        close_and_forget(&client->output_fd);
        close_and_forget(&client->outcome_fd);
        free(client);
}
