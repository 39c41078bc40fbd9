/* SPDX-License-Identifier: MIT */
/*
 * How fpm-docker tells fpm-waker why it could not start a container: its status is
 * DOCKER_STATUS_OWN then, and its stdout has one line. All other statuses are the container's.
 */
#pragma once

#include "docker.h"

/* Says it, and returns the exit status. */
int docker_outcome_say(enum docker_trouble trouble, const char *reason);

/* Reads what was said from the beginning of a file. What is no such line is no trouble. */
void docker_outcome_read(int fd, struct docker_report *ret);
