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

/* An empty directory beside fpm-launcher. */
#define OPCACHE_TARGET "/fpm-waker/opcache"

/*
 * What a master that is root needs to become its workers' user and to signal them afterwards; one
 * that is not root needs nothing.
 */
static const char *const root_capabilities[] = {"SETUID", "SETGID", "KILL"};

/* An object that is being filled: a failure sticks. */
struct object {
        json_t *json;
        bool failed;
};

/* Takes the value over; NULL is a failure. */
static void put(struct object *object, const char *key, json_t *value)
{
        if (json_object_set_new(object->json, key, value) < 0)
                object->failed = true;
}

/* Returns the object, or NULL if anything has failed. */
static json_t *finish(struct object *object)
{
        if (!object->failed)
                return object->json;
        json_decref(object->json);
        return NULL;
}

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

static json_t *bind(const char *from, const char *to, bool read_only)
{
        /* Unlike a volume's, a directory that is missing is an error, and not made. */
        return json_pack("{s:s, s:s, s:s, s:b}", "Type", "bind", "Source", from, "Target", to,
                         "ReadOnly", read_only);
}

static json_int_t memory_bytes(const char *text)
{
        static const char units[] = "bkmg";
        char *end;
        uint64_t n = strtoull(text, &end, 10);
        const char *unit = *end ? strchr(units, tolower((unsigned char)*end)) : units;

        for (; unit && unit > units; unit--)
                n = n > INT64_MAX / 1024 ? INT64_MAX : n * 1024;
        return n > INT64_MAX ? INT64_MAX : (json_int_t)n;
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

        conf_launcher_words(&options, parts->conf, parts->opcache ? OPCACHE_TARGET : NULL);
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
        struct object object = {.json = pairs(&conf->tmpfs, ':')};

        /* The conf's own options for them win. */
        if (conf->read_only && !json_object_get(object.json, "/tmp"))
                put(&object, "/tmp", json_string(""));
        if (conf->read_only && !json_object_get(object.json, "/run"))
                put(&object, "/run", json_string(""));
        return finish(&object);
}

static json_t *mounts(const struct docker_spec_parts *parts)
{
        json_t *array = json_pack("[o, o]", bind(parts->libdir, "/fpm-waker", true),
                                  bind(parts->rundir, "/fpm-waker/run", true));

        if (array && parts->opcache &&
            json_array_append_new(array, bind(parts->opcache, OPCACHE_TARGET, false)) < 0) {
                json_decref(array);
                return NULL;
        }
        return array;
}

static json_t *host_config(const struct docker_spec_parts *parts)
{
        const struct conf *conf = parts->conf;
        struct object host = {.json = json_object()};

        put(&host, "Binds", strings(&conf->volumes));
        put(&host, "Mounts", mounts(parts));
        put(&host, "Tmpfs", tmpfs(conf));
        put(&host, "NetworkMode", json_string(conf->network ? conf->network : "none"));
        put(&host, "CapDrop", json_pack("[s]", "ALL"));
        put(&host, "CapAdd", capabilities(conf));
        put(&host, "SecurityOpt", json_pack("[s]", "no-new-privileges"));
        put(&host, "ReadonlyRootfs", json_boolean(conf->read_only));
        put(&host, "Init", json_boolean(conf->init));
        if (conf->memory)
                put(&host, "Memory", json_integer(memory_bytes(conf->memory)));
        /* It is started by a request and by nothing else. */
        put(&host, "RestartPolicy", json_pack("{s:s}", "Name", "no"));
        /* For what is said before the hand-over: afterwards it comes to us. */
        put(&host, "LogConfig",
            json_pack("{s:s, s:{s:s, s:s}}", "Type", "json-file", "Config", "max-size", "64k",
                      "max-file", "1"));
        return finish(&host);
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

static json_t *labels(const struct docker_spec_parts *parts)
{
        struct object object = {.json = pairs(&parts->conf->labels, '=')};

        put(&object, "fpm-waker.vhost", json_string(parts->vhost));
        put(&object, "fpm-waker.version", json_string(FPM_WAKER_VERSION));
        /* The image's name may mean another image one day. */
        put(&object, "fpm-waker.image", json_incref(json_object_get(parts->image, "Id")));
        return finish(&object);
}

/* Adds the label that stands for all the rest. */
static void sign(struct object *spec)
{
        struct object object = {.json = labels_of(spec->json)};
        _cleanup_free_ char *text = json_dumps(spec->json, JSON_COMPACT);
        char value[17];

        (void)snprintf(value, sizeof(value), "%016" PRIx64, hash(text ? text : ""));
        put(&object, DOCKER_SPEC_LABEL, json_string(value));
        if (!text || object.failed)
                spec->failed = true;
}

json_t *docker_spec_new(const struct docker_spec_parts *parts)
{
        const struct conf *conf = parts->conf;
        struct object spec = {.json = json_object()};

        put(&spec, "Image", json_string(conf->image));
        put(&spec, "Labels", labels(parts));
        put(&spec, "Entrypoint", json_pack("[s]", "/fpm-waker/fpm-launcher"));
        put(&spec, "Cmd", command(parts));
        put(&spec, "Env", strings(&conf->environment));
        if (conf->user)
                put(&spec, "User", json_string(conf->user));
        if (conf->hostname)
                put(&spec, "Hostname", json_string(conf->hostname));
        put(&spec, "StopSignal", json_string("SIGQUIT"));
        put(&spec, "StopTimeout", json_integer(stop_timeout(conf)));
        /* A health check is traffic: it would keep the vhost awake for good. */
        put(&spec, "Healthcheck", json_pack("{s:[s]}", "Test", "NONE"));
        put(&spec, "HostConfig", host_config(parts));
        sign(&spec);
        return finish(&spec);
}

const char *docker_spec_label(const json_t *spec)
{
        return json_string_value(json_object_get(labels_of(spec), DOCKER_SPEC_LABEL));
}
