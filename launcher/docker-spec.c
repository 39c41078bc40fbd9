/* SPDX-License-Identifier: MIT */
#include "docker-spec.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../preload/gate.h"
#include "cleanup.h"

/*
 * What a master that is root needs to become its workers' user and to signal them afterwards; one
 * that is not root needs nothing.
 */
static const char *const root_capabilities[] = {"SETUID", "SETGID", "KILL"};

/* --- pieces -------------------------------------------------------------------------------- */

/* NULL also if a word is not UTF-8: it must not be left out in silence. */
static json_t *strings(const struct words *words)
{
        json_t *array = json_array();

        for (size_t i = 0; i < words->n; i++)
                if (json_array_append_new(array, json_string(words->list[i])) < 0) {
                        json_decref(array);
                        return NULL;
                }
        return array;
}

/* {"FIRST": "SECOND", ...} of FIRST, SEPARATOR and SECOND each, the second "" if it is missing. */
static json_t *pairs(const struct words *words, char separator)
{
        json_t *object = json_object();

        for (size_t i = 0; i < words->n; i++) {
                const char *word = words->list[i];
                size_t n = strcspn(word, (char[]){separator, '\0'});
                _cleanup_free_ char *first = strndup(word, n);

                if (!first || json_object_set_new(object, first,
                                                  json_string(word[n] ? word + n + 1 : "")) < 0) {
                        json_decref(object);
                        return NULL;
                }
        }
        return object;
}

static json_t *bind(const char *from, const char *to)
{
        /* Unlike a volume's, a directory that is missing is an error, and not made. */
        return json_pack("{s:s, s:s, s:s, s:b}", "Type", "bind", "Source", from, "Target", to,
                         "ReadOnly", 1);
}

static json_int_t memory_bytes(const char *text)
{
        static const char units[] = "bkmg";
        char *end;
        uint64_t n = strtoull(text, &end, 10);
        const char *unit = *end ? strchr(units, tolower((unsigned char)*end)) : NULL;

        return (json_int_t)(n << (unit ? 10 * (unit - units) : 0));
}

/* How long `docker stop` and a stopping engine wait before they kill. -1: for ever. */
static json_int_t stop_timeout(const struct conf *conf)
{
        uint64_t seconds = conf->drain_limit_usec / 1000000 + 10;

        if (conf->drain_limit_usec == GATE_INFINITY || seconds > INT32_MAX)
                return -1;
        return (json_int_t)seconds;
}

/* --- what runs in it ----------------------------------------------------------------------- */

/* The image's own words: each of them may be missing, or null. */
static const json_t *image_words(const json_t *image, const char *key)
{
        return json_object_get(json_object_get(image, "Config"), key);
}

bool docker_spec_has_command(const struct docker_spec_parts *parts)
{
        return parts->conf->command.n > 0 ||
               json_array_size(image_words(parts->image, "Entrypoint")) > 0 ||
               json_array_size(image_words(parts->image, "Cmd")) > 0;
}

static json_t *command(const struct docker_spec_parts *parts)
{
        struct words options = {0};
        json_t *array;

        conf_launcher_words(&options, parts->conf);
        words_add(&options, "--");
        words_add_all(&options, &parts->conf->command);
        array = words_result(&options) == 0 ? strings(&options) : NULL;
        words_done(&options);
        if (parts->conf->command.n == 0) {
                const json_t *entrypoint = image_words(parts->image, "Entrypoint");
                const json_t *cmd = image_words(parts->image, "Cmd");

                for (size_t i = 0; i < json_array_size(entrypoint); i++)
                        (void)json_array_append(array, json_array_get(entrypoint, i));
                for (size_t i = 0; i < json_array_size(cmd); i++)
                        (void)json_array_append(array, json_array_get(cmd, i));
        }
        return array;
}

/* --- how it is locked in ------------------------------------------------------------------- */

static json_t *capabilities(const struct conf *conf)
{
        json_t *array = strings(&conf->capabilities);

        if (!conf->user)
                for (size_t i = 0; i < sizeof(root_capabilities) / sizeof(*root_capabilities); i++)
                        (void)json_array_append_new(array, json_string(root_capabilities[i]));
        return array;
}

static json_t *tmpfs(const struct conf *conf)
{
        json_t *object = pairs(&conf->tmpfs, ':');

        if (conf->read_only) {
                json_t *more = json_pack("{s:s, s:s}", "/tmp", "", "/run", "");

                /* The conf's own options for them win. */
                (void)json_object_update_missing_new(object, more);
        }
        return object;
}

static json_t *host_config(const struct docker_spec_parts *parts)
{
        const struct conf *conf = parts->conf;
        json_t *host;

        host = json_pack("{s:o, s:[o, o], s:o, s:[s], s:o, s:[s], s:b, s:b, s:s, s:{s:s}, s:{s:s, "
                         "s:{s:s, s:s}}}",
                         "Binds", strings(&conf->volumes),                      /**/
                         "Mounts", bind(parts->libdir, "/fpm-waker"),           /**/
                         bind(parts->rundir, "/fpm-waker/run"),                 /**/
                         "Tmpfs", tmpfs(conf),                                  /**/
                         "CapDrop", "ALL", "CapAdd", capabilities(conf),        /**/
                         "SecurityOpt", "no-new-privileges",                    /**/
                         "ReadonlyRootfs", conf->read_only,                     /**/
                         "Init", conf->init,                                    /**/
                         "NetworkMode", conf->network ? conf->network : "none", /**/
                         /* It is started by a request and by nothing else. */
                         "RestartPolicy", "Name", "no",
                         /* For what is said before the hand-over: afterwards it comes to us. */
                         "LogConfig", "Type", "json-file", "Config", "max-size", "64k", "max-file",
                         "1");
        if (host && conf->memory)
                (void)json_object_set_new(host, "Memory", json_integer(memory_bytes(conf->memory)));
        return host;
}

/* --- all of it ----------------------------------------------------------------------------- */

/* FNV-1a: it only has to tell one spec from the next. */
static uint64_t hash(const char *text)
{
        uint64_t value = UINT64_C(0xcbf29ce484222325);

        for (; *text; text++)
                value = (value ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
        return value;
}

static json_t *labels_of(const json_t *spec)
{
        json_t *labels = json_object_get(spec, "Labels");

        /* The engine has them one level deeper. */
        return labels ? labels : json_object_get(json_object_get(spec, "Config"), "Labels");
}

static int label(json_t *spec)
{
        _cleanup_free_ char *text = json_dumps(spec, JSON_COMPACT);
        char value[17];

        if (!text)
                return -1;
        (void)snprintf(value, sizeof(value), "%016" PRIx64, hash(text));
        return json_object_set_new(labels_of(spec), DOCKER_SPEC_LABEL, json_string(value));
}

json_t *docker_spec_new(const struct docker_spec_parts *parts)
{
        const struct conf *conf = parts->conf;
        json_t *spec, *labels = pairs(&conf->labels, '=');

        (void)json_object_set_new(labels, "fpm-waker.vhost", json_string(parts->vhost));
        (void)json_object_set_new(labels, "fpm-waker.version", json_string(FPM_WAKER_VERSION));
        /* The tag may point to another image one day. */
        (void)json_object_set(labels, "fpm-waker.image", json_object_get(parts->image, "Id"));
        spec = json_pack("{s:s, s:o, s:[s], s:o, s:o, s:s, s:i, s:{s:[s]}, s:o}",        /**/
                         "Image", conf->image, "Labels", labels,                         /**/
                         "Entrypoint", "/fpm-waker/fpm-launcher", "Cmd", command(parts), /**/
                         "Env", strings(&conf->environment), "StopSignal", "SIGQUIT",    /**/
                         "StopTimeout", (int)stop_timeout(conf),                         /**/
                         /* A health check is traffic: it would keep the vhost awake for good. */
                         "Healthcheck", "Test", "NONE", "HostConfig", host_config(parts));
        if (spec && conf->user)
                (void)json_object_set_new(spec, "User", json_string(conf->user));
        if (spec && conf->hostname)
                (void)json_object_set_new(spec, "Hostname", json_string(conf->hostname));
        if (spec && label(spec) < 0) {
                json_decref(spec);
                return NULL;
        }
        return spec;
}

const char *docker_spec_label(const json_t *spec)
{
        return json_string_value(json_object_get(labels_of(spec), DOCKER_SPEC_LABEL));
}
