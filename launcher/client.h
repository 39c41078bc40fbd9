/* SPDX-License-Identifier: MIT */
/*
 * The engine's client as a child: `docker run`, or a command that is there only while the container
 * starts. It starts the container and says how it ended; it is no measure of the container's life
 * (a restart of the engine ends it early). A client that detaches itself and says where its
 * monitor's pid is (podman.h) is followed by that one; whatever else is orphaned below us becomes
 * our child then.
 */
#pragma once

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "docker.h"

struct client;

/* The client has ended: its exit status, or 128 + the signal that ended it. */
typedef void (*client_ended_t)(int status, void *userdata);

/*
 * Both commands are borrowed. result_command: fpm-docker, or whatever behaves like it, has started
 * the container by the first one, and waits for its end by this one; NULL: the first one does both.
 * Returns 0, -errno.
 */
int client_new(struct client **ret, sd_event *event, char *const *command,
               char *const *result_command, client_ended_t ended, void *userdata);

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

/*
 * The container's launcher has come. A client that only starts containers is not needed any more:
 * that it ends now is not its end.
 */
void client_let_go(struct client *client);

/*
 * The container has ended: has its result fetched, if the client was let go. Returns true unless
 * ended() had been called before: it is called later, or by this, if the result cannot be fetched.
 */
bool client_collect(struct client *client);

/* Where the container shall write, a pipe; -1: the client passes on what it writes. */
int client_output(const struct client *client);

/* True from the start to the call of ended(), unless it was let go. */
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
