/* SPDX-License-Identifier: MIT */
#include "podman.h"

#include "engine.h"

void podman_run_words(struct words *words, const struct conf *conf, const char *vhost,
                      const char *libdir)
{
        words_add(words, "podman");
        words_add(words, "run");
        /* Its monitor becomes the unit's main process; podman itself need not stay. */
        words_add(words, "--detach");
        words_add(words, "--rm");
        /* podman has no daemon to clean up behind a machine that lost its power. */
        words_add(words, "--replace");
        words_addf(words, "--name=fpm-waker-%s", vhost);
        words_add(words, "--pull=never");
        words_add(words, "--no-healthcheck");
        /* Not passthrough: the images' error_log is /proc/self/fd/2, and php-fpm can open a pipe
         * by that path, but not the journal's socket. */
        words_add(words, "--log-driver=journald");
        /* podman itself tells systemd; the socket shall not get into the container. */
        words_add(words, "--sdnotify=conmon");
        words_add(words, "--cgroups=split");
        engine_sandbox_words(words, conf);
        engine_stop_words(words, conf, "2147483647");
        words_addf(words, "--volume=%s:/fpm-waker:ro", libdir);
        engine_image_words(words, conf);
}
