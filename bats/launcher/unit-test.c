/* SPDX-License-Identifier: MIT */
/*
 * Runs one case of what can be tested without a server:
 *
 *   unit-test span TEXT     prints microseconds, "infinity", or the errno's name, as span_parse()
 *                           says
 *   unit-test complaint     prints which of the lines on standard input complaint_line() takes
 *   unit-test CASE          a case of watchdog_look(); prints nothing, exits 0
 *
 * Time is an argument of watchdog_look(), so no case waits. As a server under fpm-launcher:
 *
 *   unit-test page          prints what the launcher wrote into the page
 *   unit-test claim PID     says in the page that PID is the master, and that all is idle
 *   unit-test dead-worker   leaves a slot that a dead worker was busy in
 *
 * The last two then wait for a signal.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../launcher/complaint.h"
#include "../../launcher/span.h"
#include "../../launcher/watchdog.h"

#define SECOND UINT64_C(1000000)
#define IDLE   (5 * SECOND)
#define START  start_usec /* when the server became ready */

static int listener = -1;
static socklen_t address_length = sizeof(sa_family_t); /* the kernel chooses an abstract name */
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static struct watchdog watchdog;
static uint64_t start_usec;
static bool programs; /* what programs_run() says */
static unsigned int asked;

#define CHECK(condition)                                                                           \
        do {                                                                                       \
                if (!(condition)) {                                                                \
                        fprintf(stderr, "line %d: not true: %s\n", __LINE__, #condition);          \
                        exit(1);                                                                   \
                }                                                                                  \
        } while (0)

static bool programs_run(void *userdata)
{
        CHECK(userdata == &watchdog);
        asked++;
        return programs;
}

/* A ready server that has never had a request, and whose worker, slot 0, waits. */
static void set_up(void)
{
        static struct gate_page page;

        start_usec = gate_now_usec(); /* all cases are in the future: no lease lapses meanwhile */
        memset(&page, 0, sizeof(page));
        gate_page_init(&page);
        watchdog = (struct watchdog){
            .gate = {&page, eventfd(0, EFD_NONBLOCK), eventfd(0, EFD_NONBLOCK)},
            .sockets = &listener,
            .n_sockets = 1,
            .idle_usec = IDLE,
            .programs_run = programs_run,
            .userdata = &watchdog,
        };
        listener = socket(AF_UNIX, SOCK_STREAM, 0);
        CHECK(bind(listener, (const struct sockaddr *)&address, address_length) == 0);
        CHECK(listen(listener, 8) == 0);
        address_length = sizeof(address);
        CHECK(getsockname(listener, (struct sockaddr *)&address, &address_length) == 0);
        CHECK(gate_claim(&watchdog.gate, 1234) == &page.slots[0]);
        gate_set_state(&page.slots[0], GATE_WAITING);
        atomic_store(&page.ready_usec, START);
}

static int connect_client(void)
{
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);

        CHECK(connect(fd, (const struct sockaddr *)&address, address_length) == 0);
        return fd;
}

static void set_state(enum gate_state state)
{
        gate_set_state(&watchdog.gate.page->slots[0], state);
}

static bool closed_by_watchdog(void)
{
        return atomic_load(&watchdog.gate.page->closed) & GATE_WATCHDOG;
}

/* One look that must say: wait, and look again at next. */
static void expect_wait(uint64_t now, uint64_t next, bool closed)
{
        uint64_t got = 0;
        enum watchdog_verdict verdict = watchdog_look(&watchdog, now, &got);

        CHECK(verdict == WATCHDOG_WAIT);
        if (got != next)
                fprintf(stderr, "next is %" PRIu64 ", not %" PRIu64 "\n", got, next);
        CHECK(got == next);
        CHECK(closed_by_watchdog() == closed);
        CHECK(asked == 0 || watchdog.background_limit_usec > 0);
}

static void expect_stop(uint64_t now)
{
        uint64_t next = 0;

        CHECK(watchdog_look(&watchdog, now, &next) == WATCHDOG_STOP);
        CHECK(next > now && next <= now + 2 * SECOND);
        CHECK(closed_by_watchdog());
        CHECK(gate_closed_until(&watchdog.gate) == now + 2 * SECOND);
}

static void test_infinity(void)
{
        watchdog.idle_usec = GATE_INFINITY;
        expect_wait(START + 1000 * IDLE, GATE_INFINITY, false);
}

static void test_not_ready(void)
{
        atomic_store(&watchdog.gate.page->ready_usec, 0);
        expect_wait(START + 1000 * IDLE, START + 1001 * IDLE, false);
}

static void test_countdown(void)
{
        expect_wait(START, START + IDLE, false);
        expect_wait(START + IDLE - 1, START + IDLE, false);
        expect_stop(START + IDLE);
}

static void test_countdown_from_last_end(void)
{
        atomic_store(&watchdog.gate.page->slots[0].last_end_usec, START + 3 * SECOND);
        expect_wait(START + IDLE, START + IDLE + 3 * SECOND, false);
        expect_stop(START + IDLE + 3 * SECOND);
}

static void test_busy(void)
{
        set_state(GATE_BUSY);
        expect_wait(START + 100 * IDLE, START + 101 * IDLE, false);
        set_state(GATE_ACCEPTING);
        expect_wait(START + 101 * IDLE, START + 102 * IDLE, false);
        set_state(GATE_PARKED);
        expect_stop(START + 102 * IDLE);
}

static void test_queued(void)
{
        int client = connect_client();
        struct pollfd closing = {.fd = watchdog.gate.closing_fd, .events = POLLIN};

        expect_wait(START + IDLE, START + 2 * IDLE, false);
        CHECK(poll(&closing, 1, 0) == 0);
        (void)close(accept(listener, NULL, NULL));
        (void)close(client);
        expect_stop(START + 2 * IDLE);
}

static void test_second_socket_queued(void)
{
        int sockets[2], client;

        sockets[0] = listener;
        address_length = sizeof(sa_family_t);
        address = (struct sockaddr_un){.sun_family = AF_UNIX};
        set_up();
        sockets[1] = listener;
        watchdog.sockets = sockets;
        watchdog.n_sockets = 2;
        client = connect_client();
        expect_wait(START + IDLE, START + 2 * IDLE, false);
        (void)close(client);
}

static void test_kept_alive(void)
{
        uint64_t now = START + IDLE;

        set_state(GATE_KEPT_ALIVE);
        for (int i = 0; i < 5; i++, now += 1000) {
                expect_wait(now, now + 1000, true);
                CHECK(gate_closed_until(&watchdog.gate) == now + 2 * SECOND);
        }
        set_state(GATE_PARKED);
        expect_stop(now);
}

static void test_kept_alive_request_comes(void)
{
        set_state(GATE_KEPT_ALIVE);
        expect_wait(START + IDLE, START + IDLE + 1000, true);
        set_state(GATE_BUSY);
        expect_wait(START + IDLE + 1000, START + 2 * IDLE + 1000, false);
}

static void test_kept_alive_never_lets_go(void)
{
        uint64_t now = START + IDLE;

        set_state(GATE_KEPT_ALIVE);
        for (; now < START + IDLE + 2 * SECOND; now += SECOND)
                expect_wait(now, now + 1000, true);
        expect_wait(now, now + IDLE, false);
        expect_wait(now + IDLE, now + IDLE + 1000, true); /* and another try */
}

static void test_stop_again(void)
{
        expect_stop(START + IDLE);
        expect_stop(START + IDLE + SECOND);
        set_state(GATE_BUSY);
        expect_wait(START + IDLE + 2 * SECOND, START + 2 * IDLE + 2 * SECOND, false);
}

static void test_zero(void)
{
        uint64_t next = 0;

        watchdog.idle_usec = 0;
        set_state(GATE_BUSY);
        CHECK(watchdog_look(&watchdog, START, &next) == WATCHDOG_WAIT);
        CHECK(next >= START + 1000 && next <= START + SECOND / 10);
        set_state(GATE_WAITING);
        expect_stop(START);
}

/* Whatever a worker writes into the page, there is a next look, and not at once. */
static void test_nonsense(void)
{
        atomic_store(&watchdog.gate.page->slots[0].last_end_usec, UINT64_MAX - 1);
        expect_wait(START + IDLE, START + 2 * IDLE, false);
        atomic_store(&watchdog.gate.page->slots_used, UINT32_MAX);
        expect_wait(START + IDLE, START + 2 * IDLE, false);
}

/* Asked when the span is over and not before, and once a second from then on. */
static void test_programs(void)
{
        uint64_t now = START + IDLE;

        watchdog.background_limit_usec = 100 * IDLE;
        programs = true;
        expect_wait(now - 1, now, false);
        CHECK(asked == 0);
        for (unsigned int i = 1; i <= 5; i++, now += SECOND) {
                expect_wait(now, now + SECOND, false);
                CHECK(asked == i);
        }
        programs = false;
        expect_stop(now);
}

static void test_programs_request(void)
{
        watchdog.background_limit_usec = 100 * IDLE;
        programs = true;
        expect_wait(START + IDLE, START + IDLE + SECOND, false);
        set_state(GATE_BUSY);
        expect_wait(START + IDLE + SECOND, START + 2 * IDLE + SECOND, false);
        CHECK(asked == 1);
        set_state(GATE_WAITING);
        atomic_store(&watchdog.gate.page->slots[0].last_end_usec, START + 2 * IDLE);
        expect_wait(START + 2 * IDLE + SECOND, START + 3 * IDLE, false);
        CHECK(asked == 1);
        expect_wait(START + 3 * IDLE, START + 3 * IDLE + SECOND, false);
        CHECK(asked == 2);
}

static void test_programs_limit(void)
{
        watchdog.background_limit_usec = IDLE + 3 * SECOND / 2;
        programs = true;
        expect_wait(START + IDLE, START + IDLE + SECOND, false);
        expect_wait(START + IDLE + SECOND, START + IDLE + 3 * SECOND / 2, false);
        expect_stop(START + IDLE + 3 * SECOND / 2);
}

/* The limit runs from the last request's end, not from the server's readiness. */
static void test_programs_limit_of_last_request(void)
{
        watchdog.background_limit_usec = 2 * IDLE;
        programs = true;
        expect_wait(START + IDLE, START + IDLE + SECOND, false);
        atomic_store(&watchdog.gate.page->slots[0].last_end_usec, START + IDLE);
        expect_wait(START + IDLE + SECOND, START + 2 * IDLE, false);
        for (uint64_t now = START + 2 * IDLE; now < START + 3 * IDLE; now += SECOND)
                expect_wait(now, now + SECOND, false);
        expect_stop(START + 3 * IDLE);
}

/* It is asked once all the same: somebody wants to know what is cut off. */
static void test_programs_short_limit(void)
{
        watchdog.background_limit_usec = SECOND;
        programs = true;
        expect_stop(START + IDLE);
        CHECK(asked == 1);
}

static void test_programs_no_limit(void)
{
        watchdog.background_limit_usec = GATE_INFINITY;
        programs = true;
        expect_wait(START + 1000 * IDLE, START + 1000 * IDLE + SECOND, false);
}

static void test_programs_not_asked(void)
{
        watchdog.background_limit_usec = 0;
        programs = true;
        expect_stop(START + IDLE);
        CHECK(asked == 0);
}

/* While the gate is closed there is a look each millisecond: not for that. */
static void test_programs_asked_once_when_closed(void)
{
        watchdog.background_limit_usec = 100 * IDLE;
        set_state(GATE_KEPT_ALIVE);
        for (uint64_t i = 0; i < 5; i++)
                expect_wait(START + IDLE + 1000 * i, START + IDLE + 1000 * (i + 1), true);
        CHECK(asked == 1);
}

static void test_stopped_late(void)
{
        uint64_t late = START + IDLE + SECOND + 1;

        expect_wait(START, START + IDLE, false);
        expect_wait(late, late + IDLE, false);
        expect_wait(late + IDLE - 1, late + IDLE, false);
        expect_stop(late + IDLE);
}

/* As a busy machine has it. */
static void test_a_bit_late(void)
{
        expect_wait(START, START + IDLE, false);
        expect_stop(START + IDLE + SECOND);
}

/* The first look of all may be as late as it likes. */
static void test_first_look_late(void)
{
        expect_stop(START + 1000 * IDLE);
}

static void test_stopped_and_on_time(void)
{
        expect_wait(START, START + IDLE, false);
        watchdog_was_stopped(&watchdog, START + IDLE - 1);
        expect_wait(START + IDLE, START + 2 * IDLE - 1, false);
        expect_stop(START + 2 * IDLE - 1);
}

/* As the server of another cgroup: each look finds it frozen, the last finds it thawed. */
static void test_stopped_for_long(void)
{
        uint64_t now = START + IDLE;

        for (int i = 0; i < 5; i++, now += IDLE) {
                watchdog_was_stopped(&watchdog, now);
                expect_wait(now, now + IDLE, false);
        }
        expect_stop(now);
}

/* The signal waits for the thaw with the server; a client that comes then is to be served. */
static void test_stopped_when_told_to_stop(void)
{
        expect_stop(START + IDLE);
        watchdog_was_stopped(&watchdog, START + IDLE + SECOND);
        expect_wait(START + IDLE + SECOND, START + 2 * IDLE + SECOND, false);
}

static void test_stopped_during_request(void)
{
        set_state(GATE_BUSY);
        watchdog_was_stopped(&watchdog, START + 2 * IDLE);
        expect_wait(START + 2 * IDLE, START + 3 * IDLE, false);
        set_state(GATE_WAITING);
        atomic_store(&watchdog.gate.page->slots[0].last_end_usec, START + 3 * IDLE);
        expect_wait(START + 3 * IDLE, START + 4 * IDLE, false);
        expect_stop(START + 4 * IDLE);
}

/* The programs were frozen too. */
static void test_stopped_programs(void)
{
        watchdog.background_limit_usec = 2 * IDLE;
        programs = true;
        watchdog_was_stopped(&watchdog, START + 10 * IDLE);
        for (uint64_t now = START + 11 * IDLE; now < START + 12 * IDLE; now += SECOND)
                expect_wait(now, now + SECOND, false);
        expect_stop(START + 12 * IDLE);
}

/* A server that is not ready when it thaws has all its time from its readiness on. */
static void test_stopped_before_ready(void)
{
        atomic_store(&watchdog.gate.page->ready_usec, 0);
        watchdog_was_stopped(&watchdog, START + IDLE);
        expect_wait(START + IDLE, START + 2 * IDLE, false);
        atomic_store(&watchdog.gate.page->ready_usec, START + 2 * IDLE);
        expect_wait(START + 2 * IDLE, START + 3 * IDLE, false);
        expect_stop(START + 3 * IDLE);
}

static const struct {
        const char *name;
        void (*run)(void);
} cases[] = {
    {"infinity", test_infinity},
    {"not-ready", test_not_ready},
    {"countdown", test_countdown},
    {"countdown-from-last-end", test_countdown_from_last_end},
    {"busy", test_busy},
    {"queued", test_queued},
    {"second-socket-queued", test_second_socket_queued},
    {"kept-alive", test_kept_alive},
    {"kept-alive-request-comes", test_kept_alive_request_comes},
    {"kept-alive-never-lets-go", test_kept_alive_never_lets_go},
    {"stop-again", test_stop_again},
    {"zero", test_zero},
    {"nonsense", test_nonsense},
    {"programs", test_programs},
    {"programs-request", test_programs_request},
    {"programs-limit", test_programs_limit},
    {"programs-limit-of-last-request", test_programs_limit_of_last_request},
    {"programs-short-limit", test_programs_short_limit},
    {"programs-no-limit", test_programs_no_limit},
    {"programs-not-asked", test_programs_not_asked},
    {"programs-asked-once-when-closed", test_programs_asked_once_when_closed},
    {"stopped-late", test_stopped_late},
    {"a-bit-late", test_a_bit_late},
    {"first-look-late", test_first_look_late},
    {"stopped-and-on-time", test_stopped_and_on_time},
    {"stopped-for-long", test_stopped_for_long},
    {"stopped-when-told-to-stop", test_stopped_when_told_to_stop},
    {"stopped-during-request", test_stopped_during_request},
    {"stopped-programs", test_stopped_programs},
    {"stopped-before-ready", test_stopped_before_ready},
};

static int print_span(const char *text)
{
        uint64_t usec = 42;
        int r = span_parse(text, &usec);

        if (r < 0)
                printf("%s\n", strerrorname_np(-r));
        else if (usec == UINT64_MAX)
                printf("infinity\n");
        else
                printf("%" PRIu64 "\n", usec);
        return r < 0 && usec != 42 ? 1 : 0; /* written although it failed */
}

static struct gate open_gate(void)
{
        const char *fd = getenv(GATE_ENVIRONMENT);
        void *page;

        CHECK(fd != NULL);
        page =
            mmap(NULL, sizeof(struct gate_page), PROT_READ | PROT_WRITE, MAP_SHARED, atoi(fd), 0);
        CHECK(page != MAP_FAILED);
        return (struct gate){page, -1, -1};
}

static void print_usec(const char *name, uint64_t usec)
{
        if (usec == GATE_INFINITY)
                printf("%s infinity\n", name);
        else
                printf("%s %" PRIu64 "\n", name, usec);
}

static int print_page(void)
{
        const struct gate_page *page = open_gate().page;

        printf("magic %x version %u\n", page->magic, page->version);
        print_usec("exit-idle", page->exit_idle_usec);
        print_usec("drain-limit", page->drain_limit_usec);
        print_usec("background-limit", page->background_limit_usec);
        printf("closing %d waking %d handover %d fd0 %u\n", page->closing_fd, page->waking_fd,
               page->handover_fd, page->fd0);
        for (uint32_t i = 0; i < page->n_sockets; i++) {
                struct stat st;

                CHECK(fstat(page->sockets[i].fd, &st) == 0);
                printf("socket %d %s %s\n", page->sockets[i].fd, page->sockets[i].name,
                       st.st_ino == page->sockets[i].inode ? "same" : "other");
        }
        return 0;
}

static _Noreturn void be_idle(struct gate_page *page, uint32_t master)
{
        atomic_store(&page->master, master);
        CHECK(gate_become_ready(page));
        puts("idle");
        (void)fflush(stdout);
        for (;;)
                (void)pause();
}

static _Noreturn void claim_master(uint32_t pid)
{
        be_idle(open_gate().page, pid);
}

static _Noreturn void leave_dead_worker(void)
{
        struct gate gate = open_gate();
        pid_t child = fork();

        if (child == 0)
                _exit(0);
        CHECK(waitpid(child, NULL, 0) == child);
        gate_set_state(gate_claim(&gate, (uint32_t)child), GATE_BUSY);
        be_idle(gate.page, (uint32_t)getpid());
}

static int print_complaint(void)
{
        struct complaint complaint = {0};
        char line[1024];

        while (fgets(line, sizeof(line), stdin)) {
                line[strcspn(line, "\n")] = '\0';
                complaint_line(&complaint, line);
        }
        puts(complaint.text);
        return 0;
}

int main(int argc, char **argv)
{
        if (argc == 2 && strcmp(argv[1], "complaint") == 0)
                return print_complaint();
        if (argc == 2 && strcmp(argv[1], "page") == 0)
                return print_page();
        if (argc == 3 && strcmp(argv[1], "claim") == 0)
                claim_master((uint32_t)atoi(argv[2]));
        if (argc == 2 && strcmp(argv[1], "dead-worker") == 0)
                leave_dead_worker();
        if (argc == 3 && strcmp(argv[1], "span") == 0)
                return print_span(argv[2]);
        for (size_t i = 0; argc == 2 && i < sizeof(cases) / sizeof(cases[0]); i++)
                if (strcmp(argv[1], cases[i].name) == 0) {
                        set_up();
                        cases[i].run();
                        return 0;
                }
        fprintf(stderr, "unit-test: no such case\n");
        return 2;
}
