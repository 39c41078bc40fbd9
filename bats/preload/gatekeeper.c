/* SPDX-License-Identifier: MIT */
/*
 * Does to the gate of a running server what else only dying processes and unlucky moments do.
 *
 *   gatekeeper ORDERS ANSWERS COMMAND [ARG...]
 *
 * stands between fpm-launcher and the server: becomes COMMAND, and leaves a process behind that
 * reads orders from one FIFO and writes a line for each into the other.
 *
 *   states     says what the workers do: "waiting busy parked", and "raised" if the closing eventfd
 * is parked     says which worker is parked close      as the watchdog, for a minute open       the
 * same wake       tells every waiting worker to look at the queue raise      the closing eventfd
 * alone lower      the same
 */
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../preload/gate.h"

#define MINUTE_USEC UINT64_C(60000000)
#define LIFETIME    900U /* seconds: a test that was killed leaves nothing behind for long */

static struct gate gate;

static _Noreturn void die(const char *what)
{
        perror(what);
        exit(EXIT_FAILURE);
}

static void find_gate(void)
{
        const char *fd = getenv(GATE_ENVIRONMENT);

        gate.page = mmap(NULL, sizeof(*gate.page), PROT_READ | PROT_WRITE, MAP_SHARED,
                         fd ? atoi(fd) : -1, 0);
        if (gate.page == MAP_FAILED)
                die("gatekeeper: no page");
        gate.closing_fd = gate.page->closing_fd;
        gate.waking_fd = gate.page->waking_fd;
}

static void say_states(FILE *answers)
{
        static const char *const names[] = {"free", "starting",   "waiting", "accepting",
                                            "busy", "kept-alive", "parked"};
        struct pollfd closing = {.fd = gate.closing_fd, .events = POLLIN};
        const char *before = "";

        for (uint32_t state = GATE_STARTING; state <= GATE_PARKED; state++)
                for (size_t i = 0; i < GATE_SLOTS_MAX; i++)
                        if (gate_state(&gate.page->slots[i]) == state) {
                                fprintf(answers, "%s%s", before, names[state]);
                                before = " ";
                        }
        fputs(poll(&closing, 1, 0) == 1 ? " raised\n" : "\n", answers);
}

static void say_parked(FILE *answers)
{
        for (size_t i = 0; i < GATE_SLOTS_MAX; i++)
                if (gate_state(&gate.page->slots[i]) == GATE_PARKED)
                        fprintf(answers, "%u\n", (unsigned int)gate_pid(&gate.page->slots[i]));
}

static bool obey(const char *order, FILE *answers)
{
        uint64_t count = 1;
        bool done = true;

        if (strcmp(order, "states") == 0)
                say_states(answers);
        else if (strcmp(order, "parked") == 0)
                say_parked(answers);
        else if (strcmp(order, "close") == 0)
                gate_close(&gate, GATE_WATCHDOG, gate_now_usec() + MINUTE_USEC);
        else if (strcmp(order, "open") == 0)
                gate_open(&gate, GATE_WATCHDOG);
        else if (strcmp(order, "raise") == 0)
                done = write(gate.closing_fd, &count, sizeof(count)) == sizeof(count);
        else if (strcmp(order, "lower") == 0)
                done = read(gate.closing_fd, &count, sizeof(count)) == sizeof(count);
        else
                done = false;
        return done;
}

static _Noreturn void serve(const char *orders_path, const char *answers_path)
{
        (void)alarm(LIFETIME);
        for (;;) {
                FILE *orders = fopen(orders_path, "re"), *answers = NULL;
                char order[16] = "";

                if (orders && fgets(order, sizeof(order), orders))
                        answers = fopen(answers_path, "we");
                if (!answers)
                        die("gatekeeper: FIFO");
                order[strcspn(order, "\n")] = '\0';
                if (!obey(order, answers))
                        fputs("failed\n", answers);
                (void)fclose(answers);
                (void)fclose(orders);
        }
}

int main(int argc, char *argv[])
{
        pid_t child;

        if (argc < 4) {
                fputs("gatekeeper: usage: gatekeeper ORDERS ANSWERS COMMAND [ARG...]\n", stderr);
                return EXIT_FAILURE;
        }
        find_gate();
        child = fork();
        if (child == 0) {
                if (fork() == 0)
                        serve(argv[1], argv[2]);
                _exit(EXIT_SUCCESS);
        }
        if (child < 0 || waitpid(child, NULL, 0) < 0)
                die("gatekeeper: fork");
        (void)execv(argv[3], argv + 3);
        die(argv[3]);
}
