/* SPDX-License-Identifier: MIT */
/* The engine's troubles, and Docker's own words for them: what its client says on stderr. */
#pragma once

#include <stdbool.h>

#include "words.h"

/* Why `docker run` ended before there was a container (its status 125). */
enum docker_trouble {
        DOCKER_REFUSED,     /* for a reason of its own, told in the report */
        DOCKER_NAME_IN_USE, /* a container of that name is still there */
        DOCKER_UNREACHABLE, /* the engine does not answer */
        DOCKER_NO_IMAGE,
        DOCKER_NO_COMMAND, /* neither the image nor the conf says what to start */
};

/* What the client said on stderr. */
struct docker_report {
        enum docker_trouble trouble;
        char reason[512];   /* its own words, "" if it said nothing */
        char container[65]; /* DOCKER_NAME_IN_USE: id of the one that has the name, "" if unknown */
};

/* The status of `docker run` for its own failures; 126 and 127 are the runtime's. */
#define DOCKER_STATUS_OWN 125

/* Reads one line of the client's stderr. */
void docker_report_line(struct docker_report *report, const char *line);

/*
 * Composes `docker rm ID` with the client and the global options of a `docker run` command, to
 * remove what was created or has ended, but not what runs. Returns false if the command is none.
 */
bool docker_rm_words(struct words *words, char *const *run_command, const char *id);
