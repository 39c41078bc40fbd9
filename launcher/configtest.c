/* SPDX-License-Identifier: MIT */
#include "configtest.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "complaint.h"
#include "conf.h"
#include "events.h"
#include "log.h"
#include "status.h"
#include "vhost.h"
#include "words.h"

static const char usage[] = "Usage: fpm-waker configtest VHOST\n"
                            "\n"
                            "Has php-fpm test its configuration (-t) with the words that the "
                            "vhost's conf has for it. Only\n"
                            "with Engine=native.\n"
                            "\n"
                            "  --help  print this and exit\n"
                            "\n"
                            "See fpm-waker(8).\n";

/* Anything else might take -t for something else, or start a server. */
static bool is_php_fpm(const char *word)
{
        const char *slash = strrchr(word, '/');

        return strncmp(slash ? slash + 1 : word, "php-fpm", strlen("php-fpm")) == 0;
}

static void compose(struct words *words, const struct conf *conf)
{
        if (conf->environment.n > 0) {
                words_add(words, "env");
                words_add_all(words, &conf->environment);
        }
        words_add_all(words, &conf->command);
        words_add(words, "-t");
}

/* Starts it with its output in a pipe. Returns the end to read from, or -errno. */
static int start(char *const *command, pid_t *ret)
{
        _cleanup_close_ int reader = -1, writer = -1;
        posix_spawn_file_actions_t actions;
        int ends[2], r;

        if (pipe2(ends, O_CLOEXEC) < 0)
                return -errno;
        reader = ends[0];
        writer = ends[1];
        r = posix_spawn_file_actions_init(&actions);
        if (r != 0)
                return -r;
        r = posix_spawn_file_actions_adddup2(&actions, writer, STDOUT_FILENO);
        if (r == 0)
                r = posix_spawn_file_actions_adddup2(&actions, writer, STDERR_FILENO);
        if (r == 0)
                r = posix_spawnp(ret, command[0], &actions, NULL, command, environ);
        (void)posix_spawn_file_actions_destroy(&actions);
        return r != 0 ? -r : take_descriptor(&reader);
}

/* Hands on what it says, and notes what says best why it fails. Returns its wait status. */
static int listen_to(int reader, pid_t pid, struct complaint *complaint)
{
        _cleanup_fclose_ FILE *stream = fdopen(reader, "r");
        _cleanup_free_ char *line = NULL;
        size_t size = 0;
        int status = 0;

        if (!stream)
                (void)close(reader);
        while (stream && getline(&line, &size, stream) >= 0) {
                line[strcspn(line, "\n")] = '\0';
                (void)fprintf(stderr, "%s\n", line);
                complaint_line(complaint, line);
        }
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        return status;
}

static int test(const struct conf *conf)
{
        _cleanup_(words_done) struct words words = {0};
        struct complaint complaint = {0};
        int reader, status;
        pid_t pid = 0;

        compose(&words, conf);
        if (!words.list || words_result(&words) < 0)
                return log_fail(STATUS_SYSTEM, "configtest: %s", strerror(ENOMEM));
        reader = start(words.list, &pid);
        if (reader < 0)
                return log_fail(reader == -ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE,
                                "cannot execute %s: %s", words.list[0], strerror(-reader));
        status = listen_to(reader, pid, &complaint);
        if (status == 0)
                return STATUS_OK;
        event_say(EVENT_RELOAD_FAILED, &(struct event_fields){.reason = complaint.text},
                  "php-fpm refuses its configuration: %s", complaint.text);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int test_vhost(const char *vhost)
{
        _cleanup_(conf_done) struct conf conf = {0};
        _cleanup_free_ char *path = NULL;
        int status;

        status = vhost_check(vhost);
        if (status != 0)
                return status;
        events_of(vhost);
        if (asprintf(&path, VHOST_DIRECTORY "/%s" VHOST_CONF_SUFFIX, vhost) < 0) {
                path = NULL;
                return log_fail(STATUS_SYSTEM, "configtest: %s", strerror(ENOMEM));
        }
        status = conf_read(&conf, path);
        if (status != 0)
                return status;
        if (conf.engine != CONF_NATIVE)
                return log_fail(STATUS_CONF, "%s: Engine: is not native", path);
        if (!is_php_fpm(conf.command.list[0]))
                return log_fail(STATUS_OK, "not tested: %s is not php-fpm", conf.command.list[0]);
        return test(&conf);
}

int configtest(int argc, char **argv)
{
        static const struct option options[] = {
            {"help", no_argument, NULL, 'h'},
            {0},
        };
        int option;

        opterr = 0;
        while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
                if (option == 'h')
                        return fputs(usage, stdout) < 0 ? STATUS_SYSTEM : STATUS_OK;
                return log_fail(STATUS_USAGE, "wrong option %s, see fpm-waker configtest --help",
                                argv[optind - 1]);
        }
        if (argc - optind != 1)
                return log_fail(STATUS_USAGE, "one vhost, see fpm-waker configtest --help");
        return test_vhost(argv[optind]);
}
