/* SPDX-License-Identifier: MIT */
/*
 * The gate's protocol where no server can take it: many threads at once, lapsing leases, pages
 * full of nonsense. gate-test CASE runs one case; it prints nothing if the case holds.
 *
 * Built three times: plain, with the address and undefined behaviour sanitizers, and with the
 * thread sanitizer, which is the stricter judge of 'hammer': what a worker does while it holds a
 * connection and what a closer does while all is quiet touch the same plain memory.
 */
#include "../../preload/gate.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORKERS       8U
#define CLOSINGS      300U /* of 'hammer' */
#define DISMISSALS    40U
#define STORMS        20000U
#define REQUESTS      10000000U
#define DEATHS        300000U
#define LEASE_USEC    UINT64_C(20000)
#define FAR_USEC      UINT64_C(3600000000)
#define DEADLINE_USEC UINT64_C(20000000) /* a case that takes longer has hung */

/* Ends the case with a message if the condition does not hold. */
#define must(condition)                                                                            \
        do {                                                                                       \
                if (!(condition)) {                                                                \
                        fprintf(stderr, "gate-test: line %d: not %s\n", __LINE__, #condition);     \
                        _exit(EXIT_FAILURE);                                                       \
                }                                                                                  \
        } while (0)

static struct gate gate;

/* What a worker has of its own while it holds a connection. */
static struct {
        unsigned long served;
        char padding[56];
} held[WORKERS];

static atomic_bool finished;
static bool workers_end = true; /* ... after a while, and another one takes the slot */

static void gate_make(void)
{
        gate.page = mmap(NULL, sizeof(*gate.page), PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        must(gate.page != MAP_FAILED);
        gate.closing_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        gate.waking_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        must(gate.closing_fd >= 0 && gate.waking_fd >= 0);
        gate_page_init(gate.page);
}

static bool is_readable(int fd)
{
        struct pollfd look = {.fd = fd, .events = POLLIN};

        return poll(&look, 1, 0) == 1;
}

static void start(pthread_t *ret_thread, void *(*function)(void *), void *argument)
{
        must(pthread_create(ret_thread, NULL, function, argument) == 0);
}

static void join(pthread_t thread)
{
        must(pthread_join(thread, NULL) == 0);
}

/* Sleeps until the slot's word is no longer what it was, or for a moment. */
static void park(struct gate_slot *slot, uint32_t word)
{
        const struct timespec moment = {.tv_nsec = 5000000};

        (void)syscall(SYS_futex, &slot->word, FUTEX_WAIT, word, &moment, NULL, 0);
}

/* A worker as design and gate.h tell it: state first, then the gate. */
static void *work(void *argument)
{
        size_t number = (size_t)argument;
        struct gate_slot *slot = gate_claim(&gate, (uint32_t)number + 1);

        must(slot);
        while (!atomic_load(&finished)) {
                uint32_t word = atomic_load(&slot->word);

                gate_set_state(slot, GATE_WAITING);
                gate_set_state(slot, GATE_ACCEPTING);
                if (gate_is_closed_for(&gate, slot)) {
                        gate_set_state(slot, GATE_PARKED);
                        park(slot, word);
                        continue;
                }
                gate_set_state(slot, GATE_BUSY);
                held[number].served++;
                atomic_fetch_add(&slot->requests, 1);
                atomic_store(&slot->last_end_usec, gate_now_usec());
                if (workers_end && held[number].served % 64 == 0) {
                        /* This worker ends, and its master gives the slot to a new one. */
                        gate_free(&gate, (uint32_t)number + 1);
                        slot = gate_claim(&gate, (uint32_t)number + 1);
                        must(slot);
                }
        }
        gate_free(&gate, (uint32_t)number + 1);
        return NULL;
}

static void wait_until_quiet(void)
{
        uint64_t deadline = gate_now_usec() + DEADLINE_USEC;

        while (gate_look(gate.page, NULL) != GATE_QUIET)
                must(gate_now_usec() < deadline);
}

/* Closes the gate: nobody may hold a connection. Opens it: somebody must get one. */
static void one_closing(enum gate_closer closer)
{
        unsigned long before = 0, after = 0;
        uint64_t deadline = gate_now_usec() + DEADLINE_USEC;
        uint64_t requests;

        gate_close(&gate, closer, gate_now_usec() + FAR_USEC);
        wait_until_quiet();
        for (size_t w = 0; w < WORKERS; w++)
                before += held[w].served++;
        (void)sched_yield();
        for (size_t w = 0; w < WORKERS; w++)
                after += --held[w].served;
        must(before == after);
        must(is_readable(gate.closing_fd));
        requests = gate_requests(gate.page);
        gate_open(&gate, closer);
        while (gate_requests(gate.page) == requests)
                must(gate_now_usec() < deadline);
}

/* Never 'quiet' while a worker holds a connection: then the closer alone owns what workers have. */
static void hammer(void)
{
        pthread_t threads[WORKERS];
        unsigned long sum = 0;

        for (size_t i = 0; i < WORKERS; i++)
                start(&threads[i], work, (void *)i);
        for (size_t i = 0; i < CLOSINGS; i++)
                one_closing(i % 2 ? GATE_WATCHDOG : GATE_MASTER);
        atomic_store(&finished, true);
        for (size_t i = 0; i < WORKERS; i++)
                join(threads[i]);
        for (size_t i = 0; i < WORKERS; i++)
                sum += held[i].served;
        must(sum >= CLOSINGS);
        must(gate_requests(gate.page) == sum);
        must(gate_look(gate.page, NULL) == GATE_QUIET);
        must(!is_readable(gate.closing_fd));
}

/* A worker that is dismissed takes nothing; one that may not be is not held up. */
static void one_dismissal(size_t w)
{
        struct gate_slot *slot = gate_slot_of(gate.page, (uint32_t)w + 1);
        uint64_t deadline = gate_now_usec() + DEADLINE_USEC;
        unsigned long before;

        while (!slot || !gate_dismiss(slot)) {
                must(gate_now_usec() < deadline);
                (void)sched_yield();
                slot = gate_slot_of(gate.page, (uint32_t)w + 1);
                must(!slot || !atomic_load(&slot->dismissed));
        }
        before = held[w].served++;
        (void)sched_yield();
        must(before == --held[w].served);
        /* Nobody is asked to come back but here. */
        atomic_store(&slot->dismissed, 0);
        while (atomic_load(&slot->requests) == before) {
                must(gate_now_usec() < deadline);
                (void)sched_yield();
        }
}

static void dismissed(void)
{
        pthread_t threads[2];

        workers_end = false;
        for (size_t i = 0; i < 2; i++)
                start(&threads[i], work, (void *)i);
        for (size_t i = 0; i < DISMISSALS; i++)
                one_dismissal(i % 2);
        atomic_store(&finished, true);
        for (size_t i = 0; i < 2; i++)
                join(threads[i]);
}

/* Who may be dismissed. */
static void dismissal_of(struct gate_slot *slot)
{
        static const struct {
                enum gate_state state;
                bool may_go;
        } table[] = {
            {GATE_STARTING, true}, {GATE_WAITING, true},     {GATE_ACCEPTING, false},
            {GATE_BUSY, false},    {GATE_KEPT_ALIVE, false}, {GATE_PARKED, true},
        };

        for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
                uint32_t word = atomic_load(&slot->word);

                gate_set_state(slot, table[i].state);
                must(gate_dismiss(slot) == table[i].may_go);
                must(gate_is_closed_for(&gate, slot) == table[i].may_go);
                must(!gate_is_closed(&gate));
                must((atomic_load(&slot->word) != word) == !table[i].may_go);
        }
}

/* Only workers with a slot may be dismissed, and a new one in that slot is not. */
static void dismissal(void)
{
        struct gate_slot *slot = gate_claim(&gate, 7);

        must(gate_slot_of(gate.page, 7) == slot);
        must(!gate_slot_of(gate.page, 8));
        dismissal_of(slot);
        gate_free(&gate, 7);
        must(!gate_slot_of(gate.page, 7));
        must(gate_claim(&gate, 9) == slot);
        must(!gate_is_closed_for(&gate, slot));
        gate_free(&gate, 9);
        must(gate_claim(&gate, 7) == slot); /* a pid that comes again */
        must(!gate_is_closed_for(&gate, slot));
}

/* A watchdog that died while it held the gate holds it no longer than its lease. */
static void lease(void)
{
        uint64_t until = gate_now_usec() + LEASE_USEC;

        gate_close(&gate, GATE_WATCHDOG, until);
        must(gate_is_closed(&gate) || gate_now_usec() >= until);
        while (gate_now_usec() < until)
                (void)sched_yield();
        must(!gate_is_closed(&gate));
        must(!is_readable(gate.closing_fd));
        must(gate_closed_until(&gate) == 0);
}

static void lease_renewed(void)
{
        uint64_t until = gate_now_usec() + LEASE_USEC;

        gate_close(&gate, GATE_WATCHDOG, until);
        gate_close(&gate, GATE_WATCHDOG, until + FAR_USEC);
        while (gate_now_usec() <= until)
                (void)sched_yield();
        must(gate_is_closed(&gate));
}

static void lease_is_not_for_the_master(void)
{
        gate_close(&gate, GATE_MASTER, 1);
        must(gate_is_closed(&gate));
        /* Both hold it: the watchdog's part may lapse, the master's never does. */
        gate_close(&gate, GATE_WATCHDOG, 1);
        must(gate_is_closed(&gate));
        gate_open(&gate, GATE_WATCHDOG);
        must(gate_is_closed(&gate));
        must(is_readable(gate.closing_fd));
        gate_open(&gate, GATE_MASTER);
        must(!gate_is_closed(&gate));
        must(!is_readable(gate.closing_fd));
}

static void idempotent(void)
{
        gate_open(&gate, GATE_MASTER);
        must(!gate_is_closed(&gate) && !is_readable(gate.closing_fd));
        for (size_t i = 0; i < 3; i++)
                gate_close(&gate, GATE_MASTER, 0);
        must(gate_is_closed(&gate) && is_readable(gate.closing_fd));
        gate_open(&gate, GATE_MASTER);
        must(!gate_is_closed(&gate) && !is_readable(gate.closing_fd));
        gate_open(&gate, GATE_MASTER);
        must(!gate_is_closed(&gate) && !is_readable(gate.closing_fd));
}

/* Whoever closed or opened the gate died before it had told the eventfd: the next one does so. */
static void died_between(void)
{
        uint64_t count;

        atomic_store(&gate.page->closed, GATE_MASTER);
        gate_close(&gate, GATE_MASTER, 0);
        must(is_readable(gate.closing_fd));
        must(read(gate.closing_fd, &count, sizeof(count)) == sizeof(count));
        gate_close(&gate, GATE_MASTER, 0);
        must(is_readable(gate.closing_fd));
        atomic_store(&gate.page->closed, 0);
        gate_settle_closing(&gate);
        must(!is_readable(gate.closing_fd));
}

static void *close_and_open(void *argument)
{
        const enum gate_closer *closer = argument;

        for (size_t i = 0; i < STORMS; i++) {
                gate_close(&gate, *closer, gate_now_usec() + FAR_USEC);
                must(gate_is_closed(&gate));
                gate_open(&gate, *closer);
        }
        return NULL;
}

/* Two closers at once: each is sure of its own closing, and the eventfd tells the truth at last. */
static void two_closers(void)
{
        static enum gate_closer closers[] = {GATE_WATCHDOG, GATE_MASTER};
        pthread_t threads[2];

        for (size_t i = 0; i < 2; i++)
                start(&threads[i], close_and_open, &closers[i]);
        for (size_t i = 0; i < 2; i++)
                join(threads[i]);
        must(!gate_is_closed(&gate));
        must(!is_readable(gate.closing_fd));
}

static void *look_at_the_gate(void *argument)
{
        (void)argument;
        while (!atomic_load(&finished))
                (void)gate_is_closed(&gate);
        return NULL;
}

/* Leases that lapse at once, seen by many: the eventfd is not left raised beside an open gate. */
static void lapsing(void)
{
        pthread_t threads[WORKERS];

        for (size_t i = 0; i < WORKERS; i++)
                start(&threads[i], look_at_the_gate, NULL);
        for (size_t i = 0; i < STORMS; i++) {
                uint64_t deadline = gate_now_usec() + DEADLINE_USEC;

                gate_close(&gate, GATE_WATCHDOG, 1);
                while (gate_is_closed(&gate) || is_readable(gate.closing_fd))
                        must(gate_now_usec() < deadline);
        }
        atomic_store(&finished, true);
        for (size_t i = 0; i < WORKERS; i++)
                join(threads[i]);
        must(!gate_is_closed(&gate));
        must(!is_readable(gate.closing_fd));
}

static void *park_once(void *argument)
{
        struct gate_slot *slot = argument;
        uint32_t word = atomic_load(&slot->word);
        uint64_t deadline = gate_now_usec() + DEADLINE_USEC;

        gate_set_state(slot, GATE_PARKED);
        while (atomic_load(&slot->word) == word) {
                must(gate_now_usec() < deadline);
                (void)syscall(SYS_futex, &slot->word, FUTEX_WAIT, word, NULL, NULL, 0);
        }
        must(!gate_is_closed(&gate));
        return NULL;
}

/* Who parked without any time limit is woken by the opening of the last closer. */
static void parked(void)
{
        pthread_t threads[WORKERS];

        gate_close(&gate, GATE_MASTER, 0);
        gate_close(&gate, GATE_WATCHDOG, gate_now_usec() + FAR_USEC);
        for (uint32_t i = 0; i < WORKERS; i++)
                start(&threads[i], park_once, gate_claim(&gate, i + 1));
        for (uint32_t i = 0; i < WORKERS; i++)
                while (gate_state(&gate.page->slots[i]) != GATE_PARKED)
                        (void)sched_yield();
        must(gate_look(gate.page, NULL) == GATE_QUIET);
        gate_open(&gate, GATE_WATCHDOG);
        gate_open(&gate, GATE_MASTER);
        for (size_t i = 0; i < WORKERS; i++)
                join(threads[i]);
}

/* What each state counts as, alone and beside the others. */
static void look(void)
{
        static const struct {
                enum gate_state state;
                enum gate_traffic traffic;
        } table[] = {
            {GATE_FREE, GATE_QUIET},      {GATE_STARTING, GATE_QUIET},
            {GATE_WAITING, GATE_QUIET},   {GATE_ACCEPTING, GATE_IN_REQUEST},
            {GATE_BUSY, GATE_IN_REQUEST}, {GATE_KEPT_ALIVE, GATE_BETWEEN},
            {GATE_PARKED, GATE_QUIET},
        };
        const size_t n = sizeof(table) / sizeof(*table);
        struct gate_slot *a = gate_claim(&gate, 1), *b = gate_claim(&gate, 2);

        must(a && b && a != b);
        for (size_t i = 0; i < n; i++)
                for (size_t j = 0; j < n; j++) {
                        enum gate_traffic worse = table[i].traffic > table[j].traffic
                                                      ? table[i].traffic
                                                      : table[j].traffic;

                        gate_set_state(a, table[i].state);
                        gate_set_state(b, table[j].state);
                        must(gate_look(gate.page, NULL) == worse);
                }
}

static void *take_requests(void *argument)
{
        struct gate_slot *slot = argument;

        for (size_t i = 0; i < REQUESTS; i++) {
                gate_set_state(slot, GATE_KEPT_ALIVE);
                gate_set_state(slot, GATE_BUSY);
        }
        atomic_store(&finished, true);
        return NULL;
}

/* A worker that takes a request on a kept-alive connection at the moment of a look is not quiet. */
static void kept_alive(void)
{
        struct gate_slot *slot = gate_claim(&gate, 1);
        pthread_t thread;

        must(slot);
        gate_set_state(slot, GATE_KEPT_ALIVE);
        start(&thread, take_requests, slot);
        while (!atomic_load(&finished))
                must(gate_look(gate.page, NULL) != GATE_QUIET);
        join(thread);
}

/* The countdown starts at readiness or at the last request's end, whichever is later. */
static void last_end(void)
{
        struct gate_slot *a = gate_claim(&gate, 1), *b = gate_claim(&gate, 2);
        uint64_t last = 1;

        (void)gate_look(gate.page, &last);
        must(last == 0);
        atomic_store(&a->last_end_usec, 500);
        (void)gate_look(gate.page, &last);
        must(last == 0); /* of an earlier server: this one is not ready */
        atomic_store(&gate.page->ready_usec, 700);
        (void)gate_look(gate.page, &last);
        must(last == 700);
        atomic_store(&b->last_end_usec, 900);
        (void)gate_look(gate.page, &last);
        must(last == 900);
        /* A worker that is gone takes nothing of this with it. */
        gate_free(&gate, 2);
        (void)gate_look(gate.page, &last);
        must(last == 900);
}

static void slots(void)
{
        struct gate_slot *middle;

        for (uint32_t pid = 1; pid <= GATE_SLOTS_MAX; pid++)
                must(gate_claim(&gate, pid));
        must(!gate_claim(&gate, GATE_SLOTS_MAX + 1));
        must(atomic_load(&gate.page->slots_used) == GATE_SLOTS_MAX);

        middle = &gate.page->slots[GATE_SLOTS_MAX / 2];
        gate_set_state(middle, GATE_BUSY);
        atomic_store(&middle->requests, 5);
        must(gate_look(gate.page, NULL) == GATE_IN_REQUEST);
        gate_free(&gate, gate_pid(middle));
        must(gate_look(gate.page, NULL) == GATE_QUIET); /* killed while busy: counts as nothing */
        must(gate_claim(&gate, 7777) == middle);
        must(gate_pid(middle) == 7777);
        must(gate_requests(gate.page) == 5);
        gate_free(&gate, 8888); /* nobody */
        must(!gate_claim(&gate, 9999));
}

/* Whose slot is to be freed, and whose was. */
static _Atomic uint32_t dead, buried;

static void *free_the_dead(void *argument)
{
        for (uint32_t pid = 1; pid <= DEATHS; pid++) {
                while (atomic_load(&dead) != pid)
                        (void)sched_yield();
                gate_free(&gate, pid);
                atomic_store(&buried, pid);
        }
        return argument;
}

/* Master and watchdog free a dead worker's slot at once: neither hits the next one that has it. */
static void freers(void)
{
        struct gate_slot *slot = gate_claim(&gate, 1);
        pthread_t thread;

        must(slot);
        start(&thread, free_the_dead, NULL);
        for (uint32_t pid = 1; pid <= DEATHS; pid++) {
                gate_set_state(slot, GATE_BUSY);
                atomic_store(&dead, pid);
                for (volatile uint32_t i = 0; i < pid % 256; i++)
                        ; /* which of the two is first varies */
                gate_free(&gate, pid);
                slot = gate_claim(&gate, pid + 1);
                must(slot);
                gate_set_state(slot, GATE_BUSY);
                while (atomic_load(&buried) != pid)
                        (void)sched_yield();
                must(gate_pid(slot) == pid + 1 && gate_state(slot) == GATE_BUSY);
        }
        join(thread);
}

/* A process that lives until it is killed. */
static uint32_t start_process(void)
{
        pid_t pid = fork();

        must(pid >= 0);
        if (pid > 0)
                return (uint32_t)pid;
        for (;;)
                (void)pause();
}

/* ... and one that is dead but not waited for. */
static uint32_t make_zombie(void)
{
        uint32_t pid = start_process();

        must(kill((pid_t)pid, SIGKILL) == 0);
        must(waitid(P_PID, pid, NULL, WEXITED | WNOWAIT) == 0);
        return pid;
}

/* A new server on the page of one that is dead. */
static void reset(void)
{
        uint64_t last = 1;

        gate_set_state(gate_claim(&gate, (uint32_t)getpid()), GATE_BUSY);
        gate_set_state(gate_claim(&gate, make_zombie()), GATE_BUSY);
        gate_set_state(gate_claim(&gate, INT32_MAX), GATE_KEPT_ALIVE);
        atomic_store(&gate.page->master, 1234);
        atomic_store(&gate.page->ready_usec, 99);
        gate_close(&gate, GATE_MASTER, 0);
        gate_close(&gate, GATE_WATCHDOG, gate_now_usec() + FAR_USEC);
        gate_reset(&gate);
        must(gate_look(gate.page, &last) == GATE_QUIET);
        must(last == 0);
        must(atomic_load(&gate.page->master) == 0);
        must(!gate_is_closed(&gate));
        must(!is_readable(gate.closing_fd));
        must(gate_claim(&gate, 3) == &gate.page->slots[0]);
}

/* A worker of a master that was killed still has a request: nobody else gets its slot. */
static void reset_spares_orphans(void)
{
        uint32_t orphan = start_process();
        const struct gate_slot *slot = gate_claim(&gate, orphan);

        gate_set_state(gate_slot_of(gate.page, orphan), GATE_BUSY);
        gate_reset(&gate);
        must(gate_look(gate.page, NULL) == GATE_IN_REQUEST);
        must(gate_pid(slot) == orphan);
        must(gate_claim(&gate, 3) != slot);
        must(kill((pid_t)orphan, SIGKILL) == 0);
        must(waitpid((pid_t)orphan, NULL, 0) == (pid_t)orphan);
        gate_reset(&gate);
        must(gate_look(gate.page, NULL) == GATE_QUIET);
}

/* The first worker of all is remembered over a reload, the first of this server is not. */
static void become_ready(void)
{
        uint64_t first, before = gate_now_usec(), ready;

        must(gate_become_ready(gate.page));
        must(!gate_become_ready(gate.page));
        first = atomic_load(&gate.page->first_ready_usec);
        ready = atomic_load(&gate.page->ready_usec);
        must(ready >= before && ready <= gate_now_usec());
        must(first >= before); /* of another clock, which only stops less often */
        gate_reset(&gate);
        must(atomic_load(&gate.page->ready_usec) == 0);
        must(usleep(1000) == 0);
        must(gate_become_ready(gate.page));
        must(atomic_load(&gate.page->ready_usec) > ready);
        must(atomic_load(&gate.page->first_ready_usec) == first);
}

/* Whoever did not write the page may read it safely whatever is in it. */
static void nonsense(void)
{
        uint64_t last;

        for (unsigned byte = 0; byte < 256; byte++) {
                memset(gate.page, (int)byte, sizeof(*gate.page));
                (void)gate_look(gate.page, &last);
                (void)gate_requests(gate.page);
                (void)gate_is_closed(&gate);
                gate_close(&gate, GATE_WATCHDOG, 1);
                gate_open(&gate, GATE_WATCHDOG);
                gate_free(&gate, UINT32_MAX);
                (void)gate_claim(&gate, 1);
                gate_reset(&gate);
        }
}

int main(int argc, char *argv[])
{
        static const struct {
                const char *name;
                void (*run)(void);
        } cases[] = {
            {"become-ready", become_ready},
            {"died-between", died_between},
            {"dismissal", dismissal},
            {"dismissed", dismissed},
            {"hammer", hammer},
            {"freers", freers},
            {"idempotent", idempotent},
            {"kept-alive", kept_alive},
            {"lapsing", lapsing},
            {"last-end", last_end},
            {"lease", lease},
            {"lease-is-not-for-the-master", lease_is_not_for_the_master},
            {"lease-renewed", lease_renewed},
            {"look", look},
            {"nonsense", nonsense},
            {"parked", parked},
            {"reset", reset},
            {"reset-spares-orphans", reset_spares_orphans},
            {"slots", slots},
            {"two-closers", two_closers},
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
                if (argc == 2 && strcmp(argv[1], cases[i].name) == 0) {
                        gate_make();
                        cases[i].run();
                        return EXIT_SUCCESS;
                }
        fputs("gate-test: usage: gate-test CASE; the cases are at its end\n", stderr);
        return 2;
}
