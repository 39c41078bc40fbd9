/* SPDX-License-Identifier: MIT */
/*
 * fpm-docker: what fpm-waker has to say to the Docker engine, in a process of its own that is there
 * only while a vhost wakes and when it has ended. Not for anybody else.
 *
 *   fpm-docker start VHOST CONF LAUNCHER-DIRECTORY HANDOVER-DIRECTORY
 *       makes the vhost's container unless there is one that is made of the same, starts it, and
 *       waits for its end. SIGTERM ends the waiting, but not what comes before, nor the
 *       container.
 *
 *   fpm-docker wait VHOST
 *       waits for the container's end.
 *
 * The status is the container's, or that of a failure to execute its first program (126, 127), or
 * DOCKER_STATUS_OWN with a line on stdout, see docker-outcome.h.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "conf.h"
#include "docker-api.h"
#include "docker-outcome.h"
#include "docker-spec.h"
#include "log.h"
#include "opcache-directory.h"
#include "status.h"

/* Of requests whose answers matter, what else they may end with. */
enum {
        HTTP_OK = 200,
        HTTP_CREATED = 201,
        HTTP_NO_CONTENT = 204,
        HTTP_NOT_MODIFIED = 304,
        HTTP_NOT_FOUND = 404,
        HTTP_CONFLICT = 409,
};

/* Go on: there is no exit status yet. */
#define GO_ON (-1)

struct vhost {
        struct docker_api *api;
        char *name; /* of the container */
};

/* --- asking the engine --------------------------------------------------------------------- */

/* Says why there is no answer, and returns the exit status. */
static int say_unanswered(const struct docker_answer *answer)
{
        return docker_outcome_say(DOCKER_UNREACHABLE,
                                  *answer->reason ? answer->reason : strerror(ENOMEM));
}

/* A request about the container itself. Returns GO_ON if there is an answer. */
static int ask(const struct vhost *vhost, const char *method, const char *format,
               struct docker_answer *ret)
{
        _cleanup_free_ char *path = NULL;

        *ret = (struct docker_answer){0};
        if (asprintf(&path, "/containers/%s%s", vhost->name, format) < 0)
                path = NULL;
        if (!path || docker_api_call(vhost->api, method, path, NULL, ret) < 0)
                return say_unanswered(ret);
        return GO_ON;
}

/* What the engine says of the image. */
static int find_image(const struct vhost *vhost, const char *image, struct docker_answer *ret)
{
        _cleanup_free_ char *name = docker_api_escape(image), *path = NULL;

        *ret = (struct docker_answer){0};
        if (!name || asprintf(&path, "/images/%s/json", name) < 0)
                path = NULL;
        if (!path || docker_api_call(vhost->api, "GET", path, NULL, ret) < 0)
                return say_unanswered(ret);
        if (ret->status == HTTP_OK)
                return GO_ON;
        return docker_outcome_say(ret->status == HTTP_NOT_FOUND ? DOCKER_NO_IMAGE : DOCKER_REFUSED,
                                  ret->reason);
}

/* --- the container ------------------------------------------------------------------------- */

/* Returns GO_ON if there is none any more. */
static int remove_container(const struct vhost *vhost)
{
        _cleanup_(docker_answer_done) struct docker_answer answer = {0};
        int r;

        /* Not by force: one that runs, be it because somebody has just started it, ends first. */
        r = ask(vhost, "DELETE", "?v=1", &answer);
        if (r != GO_ON || answer.status == HTTP_NO_CONTENT || answer.status == HTTP_NOT_FOUND)
                return r;
        return docker_outcome_say(
            answer.status == HTTP_CONFLICT ? DOCKER_NAME_IN_USE : DOCKER_REFUSED, answer.reason);
}

/* Removes a container of our name that runs no more and is made of something else. */
static int clear_name(const struct vhost *vhost, const json_t *spec, bool *ret_is_there)
{
        _cleanup_(docker_answer_done) struct docker_answer answer = {0};
        const char *label;
        int r;

        *ret_is_there = false;
        r = ask(vhost, "GET", "/json", &answer);
        if (r != GO_ON || answer.status == HTTP_NOT_FOUND)
                return r;
        if (answer.status != HTTP_OK)
                return docker_outcome_say(DOCKER_REFUSED, answer.reason);
        label = docker_spec_label(answer.body);
        if (label && strcmp(label, docker_spec_label(spec)) == 0) {
                *ret_is_there = true;
                return GO_ON;
        }
        r = remove_container(vhost);
        if (r == GO_ON)
                log_line(DOCKER_OUTCOME_NOTE "removed container %s, which %s", vhost->name,
                         label ? "was made of another conf or image"
                               : "was not running and was not made by fpm-waker");
        return r;
}

/* What the engine leaves out because this machine cannot do it, as a limit of memory. */
static void pass_warnings_on(const struct docker_answer *answer)
{
        const json_t *warnings = json_object_get(answer->body, "Warnings");

        for (size_t i = 0; i < json_array_size(warnings); i++) {
                const char *warning = json_string_value(json_array_get(warnings, i));

                log_line(DOCKER_OUTCOME_NOTE "the engine warns: %s", warning ? warning : "");
        }
}

static int create(const struct vhost *vhost, const json_t *spec)
{
        _cleanup_(docker_answer_done) struct docker_answer answer = {0};
        _cleanup_free_ char *path = NULL;
        enum docker_trouble trouble = DOCKER_REFUSED;

        if (asprintf(&path, "/containers/create?name=%s", vhost->name) < 0)
                path = NULL;
        if (!path || docker_api_call(vhost->api, "POST", path, spec, &answer) < 0)
                return say_unanswered(&answer);
        if (answer.status == HTTP_CREATED) {
                pass_warnings_on(&answer);
                return GO_ON;
        }
        if (answer.status == HTTP_NOT_FOUND)
                trouble = DOCKER_NO_IMAGE;
        if (answer.status == HTTP_CONFLICT)
                trouble = DOCKER_NAME_IN_USE;
        return docker_outcome_say(trouble, answer.reason);
}

/* The runtime's status for a first program that cannot be executed or is missing, else that it was
 * refused. */
static int explain_start(const struct vhost *vhost, const char *reason)
{
        _cleanup_(docker_answer_done) struct docker_answer answer = {0};
        json_int_t status;
        int r;

        r = ask(vhost, "GET", "/json", &answer);
        if (r != GO_ON)
                return r;
        status =
            json_integer_value(json_object_get(json_object_get(answer.body, "State"), "ExitCode"));
        if (status != STATUS_NOT_EXECUTABLE && status != STATUS_NOT_FOUND)
                return docker_outcome_say(DOCKER_REFUSED, reason);
        log_line("%s", reason);
        return (int)status;
}

static int start(const struct vhost *vhost)
{
        _cleanup_(docker_answer_done) struct docker_answer answer = {0};
        int r;

        r = ask(vhost, "POST", "/start", &answer);
        if (r != GO_ON)
                return r;
        switch (answer.status) {
        case HTTP_NO_CONTENT:
                return GO_ON;
        case HTTP_NOT_MODIFIED:
                return docker_outcome_say(DOCKER_NAME_IN_USE, "a container of that name runs");
        case HTTP_CONFLICT:
                return docker_outcome_say(DOCKER_NAME_IN_USE, answer.reason);
        default:
                return explain_start(vhost, answer.reason);
        }
}

/* Waits for its end, and returns its status. */
static int wait_for_end(const struct vhost *vhost)
{
        _cleanup_(docker_answer_done) struct docker_answer answer = {0};
        const json_t *status;
        int r;

        r = ask(vhost, "POST", "/wait", &answer);
        if (r != GO_ON)
                return r;
        status = json_object_get(answer.body, "StatusCode");
        if (answer.status == HTTP_OK && json_is_integer(status))
                return (int)json_integer_value(status) & 0xff;
        return docker_outcome_say(DOCKER_REFUSED, answer.reason);
}

/* --- what we are asked for ----------------------------------------------------------------- */

/*
 * Of each image one of its own: in another image, other code may have the same name and time. (What
 * former images have left stays: their files are other users'.)
 */
static int find_opcache(const struct docker_spec_parts *parts, char **ret)
{
        const char *id = json_string_value(json_object_get(parts->image, "Id"));
        const char *colon = id ? strchr(id, ':') : NULL;
        char name[32];

        (void)snprintf(name, sizeof(name), "opcache-%.12s", colon ? colon + 1 : "image");
        return opcache_directory(parts->conf, name, ret);
}

/* Has the container as it shall be, not started. */
static int prepare(const struct vhost *vhost, struct docker_spec_parts *parts)
{
        _cleanup_(docker_answer_done) struct docker_answer image = {0};
        _cleanup_free_ char *opcache = NULL;
        bool is_there = false;
        json_t *spec;
        int r;

        r = find_image(vhost, parts->conf->image, &image);
        if (r != GO_ON)
                return r;
        parts->image = image.body;
        r = find_opcache(parts, &opcache);
        if (r != 0)
                return r;
        parts->opcache = opcache;
        if (!docker_spec_has_command(parts))
                return docker_outcome_say(DOCKER_NO_COMMAND, parts->conf->image);
        spec = docker_spec_new(parts);
        if (!spec)
                return docker_outcome_say(DOCKER_REFUSED, "its conf is not UTF-8");
        r = clear_name(vhost, spec, &is_there);
        if (r == GO_ON && !is_there)
                r = create(vhost, spec);
        json_decref(spec);
        return r;
}

static int start_and_wait(const struct vhost *vhost, struct docker_spec_parts *parts)
{
        struct timespec began;
        char query[80];
        sigset_t mask;
        int r;

        /* An engine whose client hangs up may leave half of a start behind. */
        (void)sigemptyset(&mask);
        (void)sigaddset(&mask, SIGTERM);
        (void)sigprocmask(SIG_BLOCK, &mask, NULL);
        r = prepare(vhost, parts);
        if (r != GO_ON)
                return r;
        (void)clock_gettime(CLOCK_REALTIME, &began);
        r = start(vhost);
        if (r != GO_ON)
                return r;
        (void)sigprocmask(SIG_UNBLOCK, &mask, NULL);

        /* From here on only for who ends before the hand-over: its last words went to the engine.
         */
        r = wait_for_end(vhost);
        (void)snprintf(query, sizeof(query), "stdout=1&stderr=1&since=%" PRIdMAX ".%09ld",
                       (intmax_t)began.tv_sec, began.tv_nsec);
        docker_api_logs(vhost->api, vhost->name, query, STDERR_FILENO);
        return r;
}

static int run(const struct vhost *vhost, int argc, char **argv)
{
        _cleanup_(conf_done) struct conf conf = {0};
        struct docker_spec_parts parts = {.conf = &conf, .vhost = argv[2]};
        int status;

        if (argc == 3 && strcmp(argv[1], "wait") == 0)
                return wait_for_end(vhost);
        if (argc != 6 || strcmp(argv[1], "start") != 0)
                return log_fail(STATUS_USAGE, "for fpm-waker only, see fpm-waker(8)");
        /* fpm-waker has found no fault with it just before. */
        status = conf_read(&conf, argv[3]);
        if (status != 0)
                return status;
        parts.libdir = argv[4];
        parts.rundir = argv[5];
        return start_and_wait(vhost, &parts);
}

int main(int argc, char **argv)
{
        struct vhost vhost = {0};
        int r, status;

        if (argc < 3)
                return log_fail(STATUS_USAGE, "for fpm-waker only, see fpm-waker(8)");
        r = docker_api_new(&vhost.api);
        if (r == -EINVAL)
                return docker_outcome_say(DOCKER_UNREACHABLE, "DOCKER_HOST is not unix://PATH");
        if (r >= 0 && asprintf(&vhost.name, "fpm-waker-%s", argv[2]) < 0)
                r = -ENOMEM;
        status = r < 0 ? log_fail(STATUS_SYSTEM, "cannot ask the engine: %s", strerror(-r))
                       : run(&vhost, argc, argv);
        docker_api_free(vhost.api);
        free(vhost.name);
        return status;
}
