/* SPDX-License-Identifier: MIT */
#include "podman.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "engine.h"

/* An empty directory beside fpm-launcher. */
#define OPCACHE_TARGET "/fpm-waker/opcache"

static const char monitor_option[] = "--conmon-pidfile=";

void podman_run_words(struct words *words, const struct conf *conf, const char *vhost,
                      const char *libdir, const char *rundir, const char *opcache)
{
        words_add(words, "podman");
        words_add(words, "run");
        words_add(words, "--detach");
        words_addf(words, "%s%s/monitor", monitor_option, rundir);
        words_add(words, "--rm");
        /* podman has no daemon to clean up behind a machine that lost its power. */
        words_add(words, "--replace");
        words_addf(words, "--name=fpm-waker-%s", vhost);
        /* A request must not wait for a download. */
        words_add(words, "--pull=never");
        /* A health check is traffic: it would keep the vhost awake for good. */
        words_add(words, "--no-healthcheck");
        /* The container writes to our own pipe: nobody stands between, and no copy is kept. */
        words_add(words, "--log-driver=passthrough");
        /* It is us that systemd hears. */
        words_add(words, "--sdnotify=ignore");
        words_add(words, "--cgroups=split");
        engine_sandbox_words(words, conf);
        engine_stop_words(words, conf, "2147483647");
        words_addf(words, "--volume=%s:/fpm-waker:ro", libdir);
        words_addf(words, "--volume=%s:/fpm-waker/run:ro", rundir);
        if (opcache)
                words_addf(words, "--volume=%s:" OPCACHE_TARGET, opcache);
        engine_image_words(words, conf, opcache ? OPCACHE_TARGET : NULL);
}

const char *podman_monitor_file(char *const *command)
{
        const char *path = NULL;
        bool detaches = false;

        for (; *command; command++)
                if (strcmp(*command, "--detach") == 0 || strcmp(*command, "-d") == 0)
                        detaches = true;
                else if (strncmp(*command, monitor_option, strlen(monitor_option)) == 0)
                        path = *command + strlen(monitor_option);
                else if (strcmp(*command, "--") == 0)
                        break;
        return detaches ? path : NULL;
}

int podman_take_monitor(const char *path)
{
        _cleanup_fclose_ FILE *file = fopen(path, "re");
        int pid = 0;

        if (!file)
                return -errno;
        (void)unlink(path);
        return fscanf(file, "%d", &pid) == 1 && pid > 0 ? pid : -ESRCH;
}
