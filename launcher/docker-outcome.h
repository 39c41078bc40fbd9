/* SPDX-License-Identifier: MIT */
/*
 * How fpm-docker tells fpm-waker why it could not start a container: its status is
 * DOCKER_STATUS_OWN then, and its stdout has one line. All other statuses are the container's.
 */
#pragma once

#include <stdbool.h>

#include "docker.h"

/* What a line on stderr begins with that says what was done on the way, and is no reason. */
#define DOCKER_OUTCOME_NOTE "note: "

/* True for such a line of fpm-docker. */
bool docker_outcome_is_note(const char *line);

/* Says it, and returns the exit status. */
int docker_outcome_say(enum docker_trouble trouble, const char *reason);

/* Reads what was said from the beginning of a file. What is no such line is no trouble. */
void docker_outcome_read(int fd, struct docker_report *ret);
