/* SPDX-License-Identifier: MIT */
#include "attempt.h"

#include "failing.h"
#include "log.h"
#include "status.h"

bool attempt_runs(const struct attempt *attempt)
{
        return attempt->container || (attempt->client && client_is_running(attempt->client));
}

const char *attempt_engine(const struct attempt *attempt)
{
        return attempt->composed.result_command.n > 0 ? "docker"
                                                      : attempt->composed.command.list[0];
}

/* The client has failed before a launcher came. */
static int explain_refusal(const struct attempt *attempt)
{
        const struct docker_report *report = client_report(attempt->client);
        const char *reason = *report->reason ? report->reason : "it gave no reason";
        const char *complaint = client_complaint(attempt->client);
        const int status = attempt->client_status;

        if (status != DOCKER_STATUS_OWN)
                return log_fail(status > 0 ? status : STATUS_SYSTEM,
                                "%s ended with status %d before fpm-launcher had the sockets%s%s",
                                attempt_engine(attempt), status, *complaint ? ": " : "", complaint);
        switch (report->trouble) {
        case DOCKER_UNREACHABLE:
                return log_fail(STATUS_ENGINE, "the engine is not reachable: %s", reason);
        case DOCKER_NO_IMAGE:
                return log_fail(STATUS_IMAGE, "the image is missing: %s", reason);
        case DOCKER_NAME_IN_USE:
                return log_fail(STATUS_IMAGE, "the container's name stays in use: %s", reason);
        case DOCKER_NO_COMMAND:
                return log_fail(STATUS_CONF,
                                "image %s has neither ENTRYPOINT nor CMD: say Command= in the "
                                "vhost's conf",
                                reason);
        case DOCKER_REFUSED:
                break;
        }
        return log_fail(STATUS_IMAGE, "the engine refused the container: %s", reason);
}

int attempt_explain(const struct attempt *attempt, bool stopping, bool reloading)
{
        const char *complaint = client_complaint(attempt->client);
        const int status = attempt->client_status;

        /* Turned away, or interrupted in its start, because we were told to stop. */
        if (stopping && !attempt->had_server)
                return STATUS_OK;
        if (!attempt->served)
                return explain_refusal(attempt);
        if (attempt->idle) {
                if (status != 0 && status != DOCKER_STATUS_OWN)
                        log_line("the idle server ended with status %d", status);
                return STATUS_OK;
        }
        /* The client lost the engine, and with it the container's result. */
        if (status == DOCKER_STATUS_OWN) {
                if (stopping && !attempt->was_killed)
                        return STATUS_OK;
                return log_fail(STATUS_SYSTEM, "the container has ended, but %s does not know how",
                                attempt_engine(attempt));
        }
        if (attempt->ready_usec == 0 && !stopping)
                return log_fail(status > 0 ? status : STATUS_SYSTEM,
                                "the server ended with status %d before it took requests%s%s",
                                status, *complaint ? ": " : "", complaint);
        if (status != 0 && reloading)
                log_line("the server ended with status %d%s%s", status, *complaint ? ": " : "",
                         complaint);
        else if (status != 0)
                log_line("the server ended with status %d", status);
        return status;
}

bool attempt_has_failed(const struct attempt *attempt, int status, bool stopping, bool reloading)
{
        if (status == STATUS_OK || stopping || attempt->composed.retry_limit_usec == 0)
                return false;
        if (attempt->ready_usec == 0)
                return true;
        /* A reload that fails is to be seen as such; and a restarting engine is no fault of the
         * server: systemd waits for it before the next start. */
        return !reloading && !attempt->had_rested && attempt->client_status != DOCKER_STATUS_OWN &&
               gate_now_usec() - attempt->ready_usec < FAILING_STAY_USEC;
}

void attempt_done(struct attempt *attempt)
{
        container_free(attempt->container);
        client_free(attempt->client);
        words_done(&attempt->composed.command);
        words_done(&attempt->composed.result_command);
        *attempt = (struct attempt){0};
}
