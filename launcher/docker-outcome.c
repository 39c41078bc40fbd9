/* SPDX-License-Identifier: MIT */
#include "docker-outcome.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const names[] = {
    [DOCKER_REFUSED] = "refused",         [DOCKER_NAME_IN_USE] = "name-in-use",
    [DOCKER_UNREACHABLE] = "unreachable", [DOCKER_NO_IMAGE] = "no-image",
    [DOCKER_NO_COMMAND] = "no-command",
};

bool docker_outcome_is_note(const char *line)
{
        static const char note[] = "fpm-docker: " DOCKER_OUTCOME_NOTE;

        return strncmp(line, note, strlen(note)) == 0;
}

int docker_outcome_say(enum docker_trouble trouble, const char *reason)
{
        (void)printf("%s %s\n", names[trouble], reason);
        return DOCKER_STATUS_OWN;
}

void docker_outcome_read(int fd, struct docker_report *ret)
{
        char line[sizeof(ret->reason) + 32];
        ssize_t n;

        *ret = (struct docker_report){0};
        n = pread(fd, line, sizeof(line) - 1, 0);
        if (n <= 0)
                return;
        line[n] = '\0';
        line[strcspn(line, "\n")] = '\0';
        for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
                size_t length = strlen(names[i]);

                if (strncmp(line, names[i], length) != 0 || line[length] != ' ')
                        continue;
                ret->trouble = (enum docker_trouble)i;
                (void)snprintf(ret->reason, sizeof(ret->reason), "%s", line + length + 1);
        }
}
