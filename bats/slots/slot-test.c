/* SPDX-License-Identifier: MIT */
/*
 * What a worker's slot says while a responder does call by call what a server does.
 *
 *   slot-test CASE CONTROL ADDRESS -- COMMAND...     runs COMMAND, which ends in a responder for
 *                                                    CONTROL and ADDRESS under fpm-launcher
 *
 * Prints nothing if the case holds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cases.h"
#include "driver.h"

int main(int argc, char *argv[])
{
        static const struct {
                const char *name;
                void (*run)(void);
        } cases[] = {
            {"at-once", at_once},
            {"at-once-closing", at_once_closing},
            {"at-once-draining", at_once_draining},
            {"at-once-stop", at_once_stop},
            {"closed-unseen", closed_unseen},
            {"closing", closing},
            {"closing-left-behind", closing_left_behind},
            {"closing-too-late", closing_too_late},
            {"closing-waits", closing_waits},
            {"copies", copies},
            {"crossing", crossing},
            {"ended-twice", ended_twice},
            {"every-call", every_call},
            {"forked", forked},
            {"handed-out", handed_out},
            {"left-behind", left_behind},
            {"many", many},
            {"mixed-waits", mixed_waits},
            {"no-wait", no_wait},
            {"peek", peek},
            {"reload-with-handler", reload_with_handler},
            {"reset", reset},
            {"signals", signals},
            {"stop-between-requests", stop_between_requests},
            {"stop-in-request", stop_in_request},
            {"stop-with-handler", stop_with_handler},
            {"stop-spares-strangers", stop_spares_strangers},
            {"threads", threads},
            {"timeout", timeout},
            {"unseen-calls", unseen_calls},
            {"unseen-content", unseen_content},
            {"unseen-request", unseen_request},
            {"vanish", vanish},
            {"waits", waits},
            {"waits-for-clients", waits_for_clients},
            {"waits-left-behind", waits_left_behind},
        };
        size_t i = 0;
        int status;

        while (argc > 5 && i < sizeof(cases) / sizeof(*cases) &&
               strcmp(argv[1], cases[i].name) != 0)
                i++;
        if (argc <= 5 || i == sizeof(cases) / sizeof(*cases)) {
                fputs("slot-test: usage: see the top of slot-test.c\n", stderr);
                return 2;
        }
        address = argv[3];
        listen_for_responders(argv[2]);
        server = fork();
        if (server == 0) {
                (void)execvp(argv[5], argv + 5);
                _exit(127);
        }
        (void)take_on();
        must(gate.page);
        tell(&responders[0], CALL_ACCEPT, server_listener);
        cases[i].run();
        kill_all();
        must(waitpid(server, &status, 0) == server || errno == ECHILD);
        return EXIT_SUCCESS;
}
