/* SPDX-License-Identifier: MIT */
#include "podman.h"

#include "engine.h"

void podman_run_words(struct words *words, const struct conf *conf, const char *vhost,
                      const char *libdir, const struct words *server)
{
        words_add(words, "podman");
        words_add(words, "run");
        words_add(words, "--rm");
        /* podman has no daemon to clean up behind a machine that lost its power. */
        words_add(words, "--replace");
        words_addf(words, "--name=fpm-waker-%s", vhost);
        words_add(words, "--pull=never");
        words_add(words, "--init=false");
        words_add(words, "--no-healthcheck");
        /* The journal gets the output straight from the container. */
        words_add(words, "--log-driver=passthrough");
        /* podman itself tells systemd; the socket shall not get into the container. */
        words_add(words, "--sdnotify=conmon");
        words_add(words, "--cgroups=split");
        engine_sandbox_words(words, conf);
        engine_stop_words(words, conf, "2147483647");
        words_addf(words, "--volume=%s:/fpm-waker:ro", libdir);
        engine_image_words(words, conf, server);
}
