/* SPDX-License-Identifier: MIT */
#include "docker.h"

#include <stdio.h>
#include <string.h>

/* --- what the client says ------------------------------------------------------------------ */

/* Pieces of messages of Docker 20 to 28, and of podman 4 and 5. */
static const struct {
        const char *piece;
        enum docker_trouble trouble;
} troubles[] = {
    {"is already in use by container", DOCKER_NAME_IN_USE},
    {"Cannot connect to the Docker daemon", DOCKER_UNREACHABLE},
    {"permission denied while trying to connect to the", DOCKER_UNREACHABLE},
    {"failed to connect to the docker API", DOCKER_UNREACHABLE},
    {"error during connect:", DOCKER_UNREACHABLE},
    {"No such image", DOCKER_NO_IMAGE},
    {"Unable to find image", DOCKER_NO_IMAGE},
    {"pull access denied", DOCKER_NO_IMAGE},
    {"manifest unknown", DOCKER_NO_IMAGE},
    /* podman's */
    {": image not known", DOCKER_NO_IMAGE},
    /* The former container was killed together with its monitor: --replace is right once more. */
    {"cannot remove container", DOCKER_NAME_IN_USE},
};

static void remember_container(struct docker_report *report, const char *line)
{
        const char *id = strstr(line, "by container \"");
        size_t n;

        if (!id)
                return;
        id += strlen("by container \"");
        n = strspn(id, "0123456789abcdef");
        if (n == 0 || n >= sizeof(report->container) || id[n] != '"')
                return;
        memcpy(report->container, id, n);
        report->container[n] = '\0';
}

void docker_report_line(struct docker_report *report, const char *line)
{
        static const char *const prefixes[] = {"docker: ", "Error: "};
        bool is_own = false;
        size_t n_prefix = 0;

        for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++)
                if (strncmp(line, prefixes[i], strlen(prefixes[i])) == 0) {
                        n_prefix = strlen(prefixes[i]);
                        is_own = true;
                }
        for (size_t i = 0; i < sizeof(troubles) / sizeof(*troubles); i++)
                if (strstr(line, troubles[i].piece)) {
                        report->trouble = troubles[i].trouble;
                        is_own = true;
                }
        if (report->trouble == DOCKER_NAME_IN_USE)
                remember_container(report, line);
        /* Not the hint at --help behind it, nor the progress before. */
        if (!is_own)
                return;
        (void)snprintf(report->reason, sizeof(report->reason), "%s", line + n_prefix);
}

/* --- docker rm ----------------------------------------------------------------------------- */

bool docker_rm_words(struct words *words, char *const *run_command, const char *id)
{
        size_t n = 0;

        while (run_command[n] && strcmp(run_command[n], "run") != 0)
                n++;
        if (n == 0 || !run_command[n] || !*id)
                return false;
        for (size_t i = 0; i < n; i++)
                words_add(words, run_command[i]);
        words_add(words, "rm");
        words_add(words, id);
        return words_result(words) == 0;
}
