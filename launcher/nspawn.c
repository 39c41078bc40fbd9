/* SPDX-License-Identifier: MIT */
#include "nspawn.h"

#include <stdbool.h>
#include <string.h>

/* systemd-nspawn makes /run anew, so this can be there in a tree that cannot be written. */
#define LAUNCHER_DIRECTORY "/run/fpm-waker"
#define OPCACHE_TARGET     LAUNCHER_DIRECTORY "/opcache"

/*
 * What systemd-nspawn leaves a container by default, but for SETUID, SETGID and KILL, which a
 * master that is root needs to run its workers as another user. (--drop-capability=all would win
 * over every --capability=.)
 */
static const char *const dropped_capabilities[] = {
    "CAP_AUDIT_CONTROL",   "CAP_AUDIT_WRITE",   "CAP_CHOWN",        "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH", "CAP_FOWNER",        "CAP_FSETID",       "CAP_IPC_OWNER",
    "CAP_LEASE",           "CAP_MKNOD",         "CAP_NET_ADMIN",    "CAP_NET_BIND_SERVICE",
    "CAP_LINUX_IMMUTABLE", "CAP_NET_BROADCAST", "CAP_NET_RAW",      "CAP_SETFCAP",
    "CAP_SETPCAP",         "CAP_SYS_ADMIN",     "CAP_SYS_BOOT",     "CAP_SYS_CHROOT",
    "CAP_SYS_NICE",        "CAP_SYS_PTRACE",    "CAP_SYS_RESOURCE", "CAP_SYS_TTY_CONFIG",
};

/* Has the administrator asked for it in an option? */
static bool is_wanted(const struct conf *conf, const char *capability)
{
        static const char option[] = "--capability=";

        for (size_t i = 0; i < conf->engine_options.n; i++) {
                const char *word = conf->engine_options.list[i];

                if (strncmp(word, option, strlen(option)) == 0 && strstr(word, capability))
                        return true;
        }
        return false;
}

static void add_sandbox(struct words *words, const struct conf *conf)
{
        if (!conf->network || strcmp(conf->network, "none") == 0)
                words_add(words, "--private-network");
        for (size_t i = 0; i < sizeof(dropped_capabilities) / sizeof(*dropped_capabilities); i++)
                if (!is_wanted(conf, dropped_capabilities[i]))
                        words_addf(words, "--drop-capability=%s", dropped_capabilities[i]);
        words_add(words, "--no-new-privileges=yes");
        if (conf->read_only)
                words_add(words, "--read-only");
        if (conf->user)
                words_addf(words, "--user=%s", conf->user);
}

/* HOST:CONTAINER[:OPTIONS]; of Docker's options, ro and rw are the ones that it knows otherwise. */
static void add_volume(struct words *words, const char *volume)
{
        const char *options = strrchr(volume, ':');
        size_t n = strlen(volume);

        if (strcmp(options, ":ro") == 0)
                words_addf(words, "--bind-ro=%.*s", (int)(n - strlen(":ro")), volume);
        else if (strcmp(options, ":rw") == 0)
                words_addf(words, "--bind=%.*s", (int)(n - strlen(":rw")), volume);
        else
                words_addf(words, "--bind=%s", volume);
}

void nspawn_words(struct words *words, const struct conf *conf, const char *vhost,
                  const char *libdir, const char *rundir, const char *opcache)
{
        words_add(words, "systemd-nspawn");
        words_add(words, "--quiet");
        words_add(words, "--keep-unit");
        words_add(words, "--register=no");
        words_addf(words, "--machine=%s", vhost);
        words_addf(words, "--directory=%s", conf->directory);
        /* Output goes to our own pipe: php-fpm can open that by /proc/self/fd/2. */
        words_add(words, "--console=pipe");
        words_add(words, "--link-journal=no");
        words_add(words, "--resolv-conf=off");
        words_add(words, "--timezone=off");
        /* For others than us, who stop the server itself. */
        words_add(words, "--kill-signal=SIGQUIT");
        add_sandbox(words, conf);
        words_addf(words, "--bind-ro=%s:" LAUNCHER_DIRECTORY, libdir);
        words_addf(words, "--bind-ro=%s:" LAUNCHER_DIRECTORY "/run", rundir);
        if (opcache)
                words_addf(words, "--bind=%s:" OPCACHE_TARGET, opcache);
        for (size_t i = 0; i < conf->volumes.n; i++)
                add_volume(words, conf->volumes.list[i]);
        for (size_t i = 0; i < conf->environment.n; i++)
                words_addf(words, "--setenv=%s", conf->environment.list[i]);
        words_add_all(words, &conf->engine_options);
        words_add(words, LAUNCHER_DIRECTORY "/fpm-launcher");
        conf_launcher_words(words, conf, opcache ? OPCACHE_TARGET : NULL);
        words_add(words, "--");
        words_add_all(words, &conf->command);
}
