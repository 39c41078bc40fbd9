/* SPDX-License-Identifier: MIT */
#include "conf.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "failing.h"
#include "log.h"
#include "span.h"
#include "status.h"

#define DEFAULT_COMMAND    "php-fpm"
#define DEFAULT_STOP_AFTER "5min"
/* That of fpm-launcher: below the 90 s after which systemd loses its patience. */
#define DEFAULT_DRAIN_LIMIT_USEC (80 * UINT64_C(1000000))

/* --- one function a kind of value: NULL, or what is wrong with it --------------------------- */

static const char no_memory[] = "out of memory";

static const char *set_text(char **text, const char *value)
{
        free(*text);
        *text = strdup(value);
        return *text ? NULL : no_memory;
}

static const char *add_word(struct words *words, const char *value)
{
        words_add(words, value);
        return words_result(words) < 0 ? no_memory : NULL;
}

static const char *const engine_names[] = {
    [CONF_DOCKER] = "docker",
    [CONF_PODMAN] = "podman",
    [CONF_NSPAWN] = "nspawn",
    [CONF_NATIVE] = "native",
};

static const char *set_engine(struct conf *conf, const char *value)
{
        for (size_t i = 0; i < sizeof(engine_names) / sizeof(*engine_names); i++)
                if (strcmp(value, engine_names[i]) == 0) {
                        conf->engine = (enum conf_engine)i;
                        return NULL;
                }
        return "is docker, podman, nspawn or native";
}

static const char *set_image(struct conf *conf, const char *value)
{
        if (*value == '-')
                return "is not the name of an image";
        return set_text(&conf->image, value);
}

static const char *set_directory(struct conf *conf, const char *value)
{
        if (*value != '/')
                return "is not an absolute path";
        return set_text(&conf->directory, value);
}

static const char *set_command(struct conf *conf, const char *value)
{
        int r;

        words_done(&conf->command);
        r = words_split(&conf->command, value);
        if (r == -EINVAL)
                return "has an open quote or an unknown escape";
        return r < 0 ? no_memory : NULL;
}

static const char *set_volume(struct conf *conf, const char *value)
{
        /* An anonymous volume would be another one at each wake. */
        if (!strchr(value, ':'))
                return "is HOST:CONTAINER or HOST:CONTAINER:OPTIONS";
        return add_word(&conf->volumes, value);
}

static const char *set_environment(struct conf *conf, const char *value)
{
        if (*value == '=' || !strchr(value, '='))
                return "is NAME=VALUE";
        return add_word(&conf->environment, value);
}

static const char *set_user(struct conf *conf, const char *value)
{
        return set_text(&conf->user, value);
}

static const char *set_network(struct conf *conf, const char *value)
{
        return set_text(&conf->network, value);
}

static const char *set_hostname(struct conf *conf, const char *value)
{
        return set_text(&conf->hostname, value);
}

static const char *set_boolean(bool *ret, const char *value)
{
        if (strcmp(value, "yes") == 0)
                *ret = true;
        else if (strcmp(value, "no") == 0)
                *ret = false;
        else
                return "is yes or no";
        return NULL;
}

static const char *set_read_only(struct conf *conf, const char *value)
{
        return set_boolean(&conf->read_only, value);
}

static const char *set_init(struct conf *conf, const char *value)
{
        return set_boolean(&conf->init, value);
}

static const char *set_opcache_file_cache(struct conf *conf, const char *value)
{
        return set_boolean(&conf->opcache_file_cache, value);
}

static const char *add_capability(struct conf *conf, const char *value)
{
        if (value[strspn(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_")])
                return "is the name of a capability, as CHOWN";
        return add_word(&conf->capabilities, value);
}

static const char *add_label(struct conf *conf, const char *value)
{
        if (*value == '=' || !strchr(value, '='))
                return "is NAME=VALUE";
        return add_word(&conf->labels, value);
}

static const char *add_tmpfs(struct conf *conf, const char *value)
{
        if (*value != '/')
                return "is PATH or PATH:OPTIONS";
        return add_word(&conf->tmpfs, value);
}

static const char *set_memory(struct conf *conf, const char *value)
{
        size_t digits = strspn(value, "0123456789");

        if (digits == 0 ||
            (value[digits] && (!strchr("bkmgBKMG", value[digits]) || value[digits + 1])))
                return "is a number of bytes, or one with K, M or G behind it";
        return set_text(&conf->memory, value);
}

static const char *set_usec(uint64_t *ret_usec, const char *value)
{
        int r;

        r = span_parse(value, ret_usec);
        if (r < 0)
                return r == -ERANGE ? "is too long" : "is not a time span (90s, 5min, infinity)";
        return NULL;
}

static const char *set_span(char **text, uint64_t *ret_usec, const char *value)
{
        const char *wrong = set_usec(ret_usec, value);

        return wrong ? wrong : set_text(text, value);
}

static const char *set_freeze_after(struct conf *conf, const char *value)
{
        return set_usec(&conf->spans.usec[TIER_FROZEN], value);
}

static const char *set_light_after(struct conf *conf, const char *value)
{
        return set_usec(&conf->spans.usec[TIER_LIGHT], value);
}

static const char *set_stop_after(struct conf *conf, const char *value)
{
        return set_span(&conf->stop_after, &conf->spans.usec[TIER_STOPPED], value);
}

static const char *set_drain_limit(struct conf *conf, const char *value)
{
        return set_span(&conf->drain_limit, &conf->drain_limit_usec, value);
}

static const char *set_background_limit(struct conf *conf, const char *value)
{
        uint64_t usec;

        return set_span(&conf->background_limit, &usec, value);
}

static const char *set_retry_limit(struct conf *conf, const char *value)
{
        return set_usec(&conf->retry_limit_usec, value);
}

static const char *add_engine_option(struct conf *conf, const char *value)
{
        return add_word(&conf->engine_options, value);
}

/* --- the keys ------------------------------------------------------------------------------ */

enum {
        KEY_ENGINE,
        KEY_IMAGE,
        KEY_DIRECTORY,
        KEY_COMMAND,
        KEY_VOLUME,
        KEY_ENVIRONMENT,
        KEY_USER,
        KEY_NETWORK,
        KEY_READ_ONLY,
        KEY_MEMORY,
        KEY_FREEZE_AFTER,
        KEY_LIGHT_AFTER,
        KEY_STOP_AFTER,
        KEY_DRAIN_LIMIT,
        KEY_BACKGROUND_LIMIT,
        KEY_RETRY_LIMIT,
        KEY_ENGINE_OPTION,
        KEY_CAPABILITY,
        KEY_HOSTNAME,
        KEY_INIT,
        KEY_LABEL,
        KEY_TMPFS,
        KEY_OPCACHE_FILE_CACHE,
        KEYS,
};

#define ONLY(engine) (1U << (engine))
#define IMAGES       (ONLY(CONF_DOCKER) | ONLY(CONF_PODMAN))
#define CONTAINERS   (IMAGES | ONLY(CONF_NSPAWN))

static const struct key {
        const char *name;
        const char *(*set)(struct conf *conf, const char *value);
        bool repeatable;
        bool may_be_empty;
        unsigned engines; /* the only ones with which it has a meaning, 0: all */
} keys[KEYS] = {
    [KEY_ENGINE] = {.name = "Engine", .set = set_engine},
    [KEY_IMAGE] = {.name = "Image", .set = set_image, .engines = IMAGES},
    [KEY_DIRECTORY] = {.name = "Directory", .set = set_directory, .engines = ONLY(CONF_NSPAWN)},
    [KEY_COMMAND] = {.name = "Command", .set = set_command, .may_be_empty = true},
    [KEY_VOLUME] = {.name = "Volume", .set = set_volume, .repeatable = true, .engines = CONTAINERS},
    [KEY_ENVIRONMENT] = {.name = "Environment", .set = set_environment, .repeatable = true},
    [KEY_USER] = {.name = "User", .set = set_user, .engines = CONTAINERS},
    [KEY_NETWORK] = {.name = "Network", .set = set_network, .engines = CONTAINERS},
    [KEY_READ_ONLY] = {.name = "ReadOnly", .set = set_read_only, .engines = CONTAINERS},
    [KEY_MEMORY] = {.name = "Memory", .set = set_memory, .engines = IMAGES},
    [KEY_FREEZE_AFTER] = {.name = "FreezeAfterSec", .set = set_freeze_after},
    [KEY_LIGHT_AFTER] = {.name = "LightAfterSec", .set = set_light_after},
    [KEY_STOP_AFTER] = {.name = "StopAfterSec", .set = set_stop_after},
    [KEY_DRAIN_LIMIT] = {.name = "DrainLimit", .set = set_drain_limit},
    [KEY_BACKGROUND_LIMIT] = {.name = "BackgroundLimit", .set = set_background_limit},
    [KEY_RETRY_LIMIT] = {.name = "RetryLimit", .set = set_retry_limit},
    [KEY_ENGINE_OPTION] = {.name = "EngineOption",
                           .set = add_engine_option,
                           .repeatable = true,
                           .engines = CONTAINERS},
    [KEY_CAPABILITY] = {.name = "Capability",
                        .set = add_capability,
                        .repeatable = true,
                        .engines = IMAGES},
    [KEY_HOSTNAME] = {.name = "Hostname", .set = set_hostname, .engines = IMAGES},
    [KEY_INIT] = {.name = "Init", .set = set_init, .engines = IMAGES},
    [KEY_LABEL] = {.name = "Label", .set = add_label, .repeatable = true, .engines = IMAGES},
    [KEY_TMPFS] = {.name = "Tmpfs", .set = add_tmpfs, .repeatable = true, .engines = IMAGES},
    [KEY_OPCACHE_FILE_CACHE] = {.name = "OpcacheFileCache", .set = set_opcache_file_cache},
};

/* --- reading ------------------------------------------------------------------------------- */

struct place {
        const char *path;
        unsigned line;
        unsigned first[KEYS]; /* the line where each key came first, 0: not yet */
};

static int fail(const struct place *place, const char *key, const char *wrong)
{
        return log_fail(STATUS_CONF, "%s:%u: %s: %s", place->path, place->line, key, wrong);
}

/* Cuts blanks off at both ends, in place. */
static char *strip(char *text)
{
        size_t n;

        while (isspace((unsigned char)*text))
                text++;
        n = strlen(text);
        while (n > 0 && isspace((unsigned char)text[n - 1]))
                text[--n] = '\0';
        return text;
}

static int read_assignment(struct conf *conf, struct place *place, char *line)
{
        char *equals = strchr(line, '='), *name, *value;
        const char *wrong;
        size_t i;

        if (!equals)
                return fail(place, line, "is not KEY=VALUE");
        *equals = '\0';
        name = strip(line);
        value = strip(equals + 1);
        for (i = 0; i < KEYS && strcmp(name, keys[i].name) != 0; i++)
                ;
        if (i == KEYS)
                return fail(place, name, "unknown key");
        if (!*value && !keys[i].may_be_empty)
                return fail(place, name, "is empty");
        if (place->first[i] != 0 && !keys[i].repeatable)
                return log_fail(STATUS_CONF, "%s:%u: %s: is already in line %u", place->path,
                                place->line, name, place->first[i]);
        if (place->first[i] == 0)
                place->first[i] = place->line;
        wrong = keys[i].set(conf, value);
        return wrong ? fail(place, name, wrong) : 0;
}

static int read_lines(struct conf *conf, struct place *place, FILE *file)
{
        _cleanup_free_ char *line = NULL;
        size_t allocated = 0;
        ssize_t n;

        errno = 0;
        while ((n = getline(&line, &allocated, file)) >= 0) {
                char *text;
                int status;

                place->line++;
                if (strlen(line) != (size_t)n)
                        return fail(place, strip(line), "has a zero byte");
                text = strip(line);
                if (*text == '\0' || *text == '#' || *text == ';')
                        continue;
                status = read_assignment(conf, place, text);
                if (status != 0)
                        return status;
        }
        if (ferror(file))
                return log_fail(STATUS_CONF, "%s: %s", place->path, strerror(errno));
        return 0;
}

static bool has_meaning(const struct key *key, enum conf_engine engine)
{
        return key->engines == 0 || key->engines & ONLY(engine);
}

/* Docker says what the image itself starts with every start, so that this is the default there. */
static void complete_whole(struct conf *conf, const struct place *place)
{
        if (conf->engine == CONF_DOCKER && place->first[KEY_COMMAND] == 0)
                words_done(&conf->command);
}

/* What only the whole file can tell. */
static int check_whole(const struct conf *conf, struct place *place)
{
        bool has_image = conf->engine == CONF_DOCKER || conf->engine == CONF_PODMAN;

        for (size_t i = 0; i < KEYS; i++)
                if (place->first[i] != 0 && !has_meaning(&keys[i], conf->engine)) {
                        char wrong[64];

                        place->line = place->first[i];
                        (void)snprintf(wrong, sizeof(wrong), "has no meaning with Engine=%s",
                                       engine_names[conf->engine]);
                        return fail(place, keys[i].name, wrong);
                }
        if (has_image && !conf->image)
                return log_fail(STATUS_CONF, "%s: Image: is missing", place->path);
        if (conf->engine == CONF_DOCKER && conf->engine_options.n > 0) {
                /* That is asked by its API, not by a command that would read options. */
                place->line = place->first[KEY_ENGINE_OPTION];
                return fail(place, "EngineOption",
                            "has no meaning with Engine=docker; there are Capability=, Hostname=, "
                            "Init=, Label=, Tmpfs=, and the others of fpm-waker.conf(5)");
        }
        if (conf->engine == CONF_NSPAWN && !conf->directory)
                return log_fail(STATUS_CONF, "%s: Directory: is missing", place->path);
        if (conf->engine == CONF_NSPAWN && conf->network && strcmp(conf->network, "none") != 0 &&
            strcmp(conf->network, "host") != 0) {
                place->line = place->first[KEY_NETWORK];
                return fail(place, "Network", "is none or host with Engine=nspawn");
        }
        if (!has_image && conf->command.n == 0) {
                place->line = place->first[KEY_COMMAND];
                return fail(place, "Command", "is empty, and there is no image that has one");
        }
        return 0;
}

int conf_read(struct conf *conf, const char *path)
{
        struct place place = {.path = path};
        _cleanup_fclose_ FILE *file = NULL;
        int status;

        *conf = (struct conf){
            .read_only = true,
            .spans = TIER_SPANS_NONE,
            .drain_limit_usec = DEFAULT_DRAIN_LIMIT_USEC,
            .retry_limit_usec = FAILING_RETRY_LIMIT_USEC,
        };
        if (set_stop_after(conf, DEFAULT_STOP_AFTER) || add_word(&conf->command, DEFAULT_COMMAND))
                return log_fail(STATUS_SYSTEM, "%s: %s", path, no_memory);
        file = fopen(path, "re");
        if (!file)
                return log_fail(STATUS_CONF, "%s: %s", path, strerror(errno));
        status = read_lines(conf, &place, file);
        if (status != 0)
                return status;
        complete_whole(conf, &place);
        return check_whole(conf, &place);
}

void conf_launcher_words(struct words *words, const struct conf *conf, const char *opcache)
{
        if (tier_has_light(&conf->spans)) /* fpm-waker stops the server, and the launcher */
                words_add(words, "--resident");
        else
                words_addf(words, "--exit-idle-time=%s", conf->stop_after);
        if (conf->drain_limit)
                words_addf(words, "--drain-limit=%s", conf->drain_limit);
        if (conf->background_limit)
                words_addf(words, "--background-limit=%s", conf->background_limit);
        if (opcache)
                words_addf(words, "--opcache-file-cache=%s", opcache);
}

void conf_done(struct conf *conf)
{
        words_done(&conf->command);
        words_done(&conf->volumes);
        words_done(&conf->environment);
        words_done(&conf->engine_options);
        words_done(&conf->capabilities);
        words_done(&conf->labels);
        words_done(&conf->tmpfs);
        free(conf->image);
        free(conf->directory);
        free(conf->user);
        free(conf->network);
        free(conf->hostname);
        free(conf->memory);
        free(conf->stop_after);
        free(conf->drain_limit);
        free(conf->background_limit);
        *conf = (struct conf){0};
}
