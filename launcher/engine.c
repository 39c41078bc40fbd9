/* SPDX-License-Identifier: MIT */
#include "engine.h"

#include <errno.h>
#include <spawn.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../preload/gate.h"
#include "cleanup.h"
#include "docker.h"
#include "log.h"
#include "status.h"

/*
 * What a master that is root needs to become its workers' user and to signal them afterwards; one
 * that is not root needs nothing.
 */
static const char *const root_capabilities[] = {"SETUID", "SETGID", "KILL"};

void engine_sandbox_words(struct words *words, const struct conf *conf)
{
        words_addf(words, "--network=%s", conf->network ? conf->network : "none");
        words_add(words, "--cap-drop=ALL");
        if (!conf->user)
                for (size_t i = 0; i < sizeof(root_capabilities) / sizeof(*root_capabilities); i++)
                        words_addf(words, "--cap-add=%s", root_capabilities[i]);
        for (size_t i = 0; i < conf->capabilities.n; i++)
                words_addf(words, "--cap-add=%s", conf->capabilities.list[i]);
        words_add(words, "--security-opt=no-new-privileges");
        if (conf->read_only) {
                words_add(words, "--read-only");
                words_add(words, "--tmpfs=/tmp");
                words_add(words, "--tmpfs=/run");
        }
        for (size_t i = 0; i < conf->tmpfs.n; i++)
                words_addf(words, "--tmpfs=%s", conf->tmpfs.list[i]);
        words_addf(words, "--init=%s", conf->init ? "true" : "false");
        if (conf->hostname)
                words_addf(words, "--hostname=%s", conf->hostname);
        if (conf->memory)
                words_addf(words, "--memory=%s", conf->memory);
        if (conf->user)
                words_addf(words, "--user=%s", conf->user);
}

/* --stop-timeout is how long `docker stop` and a stopping daemon wait before they kill. */
void engine_stop_words(struct words *words, const struct conf *conf, const char *forever)
{
        uint64_t seconds = conf->drain_limit_usec / 1000000 + 10;

        words_add(words, "--stop-signal=SIGQUIT");
        if (conf->drain_limit_usec == GATE_INFINITY || seconds > INT32_MAX)
                words_addf(words, "--stop-timeout=%s", forever);
        else
                words_addf(words, "--stop-timeout=%u", (unsigned)seconds);
}

void engine_image_words(struct words *words, const struct conf *conf, const char *opcache)
{
        for (size_t i = 0; i < conf->volumes.n; i++)
                words_addf(words, "--volume=%s", conf->volumes.list[i]);
        for (size_t i = 0; i < conf->environment.n; i++)
                words_addf(words, "--env=%s", conf->environment.list[i]);
        for (size_t i = 0; i < conf->labels.n; i++)
                words_addf(words, "--label=%s", conf->labels.list[i]);
        words_add_all(words, &conf->engine_options);
        words_add(words, "--entrypoint=/fpm-waker/fpm-launcher");
        words_add(words, conf->image);
        conf_launcher_words(words, conf, opcache);
        words_add(words, "--");
        words_add_all(words, &conf->command);
}

/* --- image inspect ------------------------------------------------------------------ */

/* Runs a short command to its end, its output into two memfds. Returns its status or -errno. */
static int run_short(char *const *command, int output_fd, int error_fd)
{
        posix_spawn_file_actions_t actions;
        pid_t pid;
        int r, status;

        r = posix_spawn_file_actions_init(&actions);
        if (r != 0)
                return -r;
        r = posix_spawn_file_actions_adddup2(&actions, output_fd, STDOUT_FILENO);
        if (r == 0)
                r = posix_spawn_file_actions_adddup2(&actions, error_fd, STDERR_FILENO);
        if (r == 0)
                r = posix_spawnp(&pid, command[0], &actions, NULL, command, environ);
        (void)posix_spawn_file_actions_destroy(&actions);
        if (r != 0)
                return -r;
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Reads all of a memfd, zero-terminated. Returns the length or -errno. */
static ssize_t read_back(int fd, char *text, size_t size)
{
        ssize_t n;

        n = pread(fd, text, size - 1, 0);
        if (n < 0)
                return -errno;
        if ((size_t)n == size - 1)
                return -E2BIG;
        text[n] = '\0';
        return n;
}

static int explain_inspect(const char *engine, const char *image, char *errors)
{
        struct docker_report report = {0};
        char *save = NULL;

        for (char *line = strtok_r(errors, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
                docker_report_line(&report, line);
        if (report.trouble == DOCKER_UNREACHABLE)
                return log_fail(STATUS_ENGINE, "%s is not reachable: %s", engine, report.reason);
        return log_fail(STATUS_IMAGE, "cannot inspect image %s: %s", image,
                        *errors ? errors : "the engine gave no reason");
}

int engine_inspect(const char *engine, const char *image, struct words *ret)
{
        /* A zero behind each word: what a word can never contain. */
        static const char format[] =
            "--format={{range .Config.Entrypoint}}{{.}}{{\"\\x00\"}}{{end}}"
            "{{range .Config.Cmd}}{{.}}{{\"\\x00\"}}{{end}}";
        _cleanup_close_ int output_fd = -1, error_fd = -1;
        _cleanup_(words_done) struct words command = {0};
        char output[65536];
        ssize_t n;
        int status;

        words_add(&command, engine);
        words_add(&command, "image");
        words_add(&command, "inspect");
        words_add(&command, format);
        words_add(&command, image);
        output_fd = memfd_create("stdout", MFD_CLOEXEC);
        error_fd = memfd_create("stderr", MFD_CLOEXEC);
        if (words_result(&command) < 0 || output_fd < 0 || error_fd < 0)
                return log_fail(STATUS_SYSTEM, "cannot inspect image %s: %s", image,
                                strerror(errno));

        status = run_short(command.list, output_fd, error_fd);
        if (status < 0)
                return log_fail(status == -ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE,
                                "cannot execute %s: %s", engine, strerror(-status));
        if (status != 0) {
                char errors[4096];

                if (read_back(error_fd, errors, sizeof(errors)) < 0)
                        errors[0] = '\0';
                return explain_inspect(engine, image, errors);
        }
        n = read_back(output_fd, output, sizeof(output));
        if (n < 0)
                return log_fail(STATUS_IMAGE, "ENTRYPOINT and CMD of image %s: %s", image,
                                strerror((int)-n));

        /* Behind the last zero is only the client's newline. */
        for (char *word = output, *end; (end = memchr(word, '\0', (size_t)(output + n - word)));
             word = end + 1)
                words_add(ret, word);
        if (words_result(ret) < 0)
                return log_fail(STATUS_SYSTEM, "ENTRYPOINT and CMD of image %s: %s", image,
                                strerror(-words_result(ret)));
        if (ret->n == 0)
                return log_fail(STATUS_CONF,
                                "image %s has neither ENTRYPOINT nor CMD: say Command= in the "
                                "vhost's conf",
                                image);
        return 0;
}
