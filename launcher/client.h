/* SPDX-License-Identifier: MIT */
/*
 * The engine's client, `docker run`, as a child. It starts the container and says how it ended;
 * it is no measure of the container's life (a restart of the engine ends it early).
 */
#pragma once

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "docker.h"

struct client;

/* The client has ended: its exit status, or 128 + the signal that ended it. */
typedef void (*client_ended_t)(int status, void *userdata);

/* command is borrowed. Returns 0, -errno. */
int client_new(struct client **ret, sd_event *event, char *const *command, client_ended_t ended,
               void *userdata);

/* Starts it. Returns 0, -errno if it cannot be executed. */
int client_start(struct client *client);

/*
 * After it has ended because the container's name is in use: removes the container that has the
 * name unless it runs, and starts the client again, a little later each time. Returns false once
 * that has been going on for too long.
 */
bool client_retry(struct client *client);

/* Makes a retry that waits end at once, as if the client had ended again. */
void client_give_up(struct client *client);

/* True from the start to the call of ended(). */
bool client_is_running(const struct client *client);

/* Signals the client itself, if it runs. */
void client_kill(struct client *client, int signal);

/* Before it is started: what it says is kept back until client_release(). */
void client_hold(struct client *client);

/* Says what was kept back, also after its end. What never is released is never said. */
void client_release(struct client *client);

/* The line of its output that says best why it has ended, "": none does. */
const char *client_complaint(const struct client *client);

/* Whatever it has said until now explains nothing that comes. */
void client_forget_complaint(struct client *client);

/* What it said on its stderr about itself. */
const struct docker_report *client_report(const struct client *client);

/* Leaves the client alone if it still runs. NULL is allowed. */
void client_free(struct client *client);
