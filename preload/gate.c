/* SPDX-License-Identifier: MIT */
#include "gate.h"

#include <time.h>

#include "raw.h"

/* Slots that were ever claimed, whatever an untrusted page says. */
static uint32_t slots_used(const struct gate_page *page)
{
        uint32_t used = atomic_load_explicit(&page->slots_used, memory_order_seq_cst);

        return used < GATE_SLOTS_MAX ? used : GATE_SLOTS_MAX;
}

static uint64_t read_clock(clockid_t clock)
{
        struct timespec now = {0};

        (void)clock_gettime(clock, &now); /* the libc's own: it needs no system call */
        return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t gate_now_usec(void)
{
        return read_clock(CLOCK_MONOTONIC);
}

void gate_page_init(struct gate_page *page)
{
        page->magic = GATE_MAGIC;
        page->version = GATE_VERSION;
        page->exit_idle_usec = GATE_INFINITY;
        page->drain_limit_usec = GATE_INFINITY;
        page->background_limit_usec = GATE_INFINITY;
        page->closing_fd = -1;
        page->waking_fd = -1;
        page->handover_fd = -1;
        page->read_ahead = 1;
}

/* The dead whom nobody has waited for yet are dead. */
static bool is_alive(uint32_t pid)
{
        const struct timespec now = {0};
        struct pollfd process = {.events = POLLIN};
        bool ended;

        if (pid == 0 || pid > INT32_MAX)
                return false;
        process.fd = (int)raw2(pidfd_open, pid, 0);
        if (process.fd < 0) /* a kernel or a seccomp profile that does not know it: cannot say */
                return raw2(kill, pid, 0) != -ESRCH;
        ended = raw_poll(&process, 1, &now) > 0;
        (void)raw_close(process.fd);
        return !ended;
}

void gate_reset(struct gate *gate)
{
        struct gate_page *page = gate->page;
        uint32_t used = slots_used(page);

        for (uint32_t i = 0; i < used; i++) {
                uint32_t pid = gate_pid(&page->slots[i]);

                if (pid != raw_getpid() && is_alive(pid))
                        continue;
                gate_set_state(&page->slots[i], GATE_FREE);
                atomic_store(&page->slots[i].dismissed, 0);
        }
        atomic_store(&page->master, 0);
        atomic_store(&page->ready_usec, 0);
        gate_open(gate, GATE_WATCHDOG);
        gate_open(gate, GATE_MASTER);
}

bool gate_become_ready(struct gate_page *page)
{
        uint64_t never = 0, not_yet = 0;

        if (atomic_load_explicit(&page->ready_usec, memory_order_relaxed))
                return false;
        (void)atomic_compare_exchange_strong(&page->first_ready_usec, &never,
                                             read_clock(CLOCK_BOOTTIME));
        return atomic_compare_exchange_strong(&page->ready_usec, &not_yet, gate_now_usec());
}

/*
 * Closers and lease are one word, so that a lease cannot lapse while it is being renewed: the
 * renewer would believe that it holds a gate which has just been opened.
 */
enum { LEASE_SHIFT = 2, CLOSERS = (1 << LEASE_SHIFT) - 1 };

static uint64_t lease_of(uint64_t closed)
{
        return closed >> LEASE_SHIFT;
}

void gate_settle_closing(const struct gate *gate)
{
        const _Atomic uint64_t *word = &gate->page->closed;
        bool closed;

        if (gate->closing_fd < 0)
                return;
        do {
                uint64_t count = 1;

                closed = atomic_load(word) != 0;
                if (closed)
                        (void)raw_write(gate->closing_fd, &count, sizeof(count));
                else
                        (void)raw_read(gate->closing_fd, &count, sizeof(count));
        } while (closed != (atomic_load(word) != 0));
}

void gate_wake_waiting(const struct gate *gate)
{
        const uint64_t one = 1;

        if (gate->waking_fd >= 0)
                (void)raw_write(gate->waking_fd, &one, sizeof(one));
}

void gate_close(struct gate *gate, enum gate_closer closer, uint64_t lease_usec)
{
        _Atomic uint64_t *word = &gate->page->closed;
        uint64_t before = atomic_load(word);
        uint64_t after;

        do {
                after = before | closer;
                if (closer == GATE_WATCHDOG)
                        after = (after & CLOSERS) | lease_usec << LEASE_SHIFT;
        } while (!atomic_compare_exchange_weak(word, &before, after));
        gate_settle_closing(gate); /* also if it was closed: whoever closed it may have died */
}

static void wake_parked(struct gate_page *page)
{
        uint32_t used = slots_used(page);

        for (uint32_t i = 0; i < used; i++) {
                struct gate_slot *slot = &page->slots[i];

                atomic_fetch_add(&slot->word, 1);
                (void)raw_futex_wake_all(&slot->word);
        }
}

static void did_open(struct gate *gate)
{
        gate_settle_closing(gate);
        wake_parked(gate->page);
        gate_wake_waiting(gate); /* whatever has become of those who were told of the queue */
}

void gate_open(struct gate *gate, enum gate_closer closer)
{
        _Atomic uint64_t *word = &gate->page->closed;
        uint64_t before = atomic_load(word);
        uint64_t after;

        do {
                after = before & ~(uint64_t)closer;
                if (!(after & GATE_WATCHDOG))
                        after &= CLOSERS;
        } while (!atomic_compare_exchange_weak(word, &before, after));
        if (before && !after)
                did_open(gate);
}

uint64_t gate_closed_until(struct gate *gate)
{
        _Atomic uint64_t *word = &gate->page->closed;
        uint64_t closed = atomic_load_explicit(word, memory_order_seq_cst);

        while (closed) {
                if ((closed & CLOSERS) != GATE_WATCHDOG)
                        return GATE_INFINITY;
                if (gate_now_usec() < lease_of(closed))
                        return lease_of(closed);
                if (atomic_compare_exchange_strong(word, &closed, 0)) {
                        did_open(gate);
                        return 0;
                }
        }
        return 0;
}

static bool is_in_request(uint32_t state)
{
        return state == GATE_BUSY || state == GATE_ACCEPTING;
}

struct gate_slot *gate_slot_of(struct gate_page *page, uint32_t pid)
{
        uint32_t used = slots_used(page);

        for (uint32_t i = 0; i < used; i++) {
                if (gate_pid(&page->slots[i]) == pid)
                        return &page->slots[i];
        }
        return NULL;
}

bool gate_dismiss(struct gate_slot *slot)
{
        uint32_t state;

        /* The pid: the next owner of the slot is somebody else, whenever it comes. */
        atomic_store(&slot->dismissed, gate_pid(slot));
        state = gate_state(slot);
        if (!is_in_request(state) && state != GATE_KEPT_ALIVE)
                return true;
        /* It may have come to the gate meanwhile, and be parked because of us. */
        atomic_store(&slot->dismissed, 0);
        atomic_fetch_add(&slot->word, 1);
        (void)raw_futex_wake_all(&slot->word);
        return false;
}

enum gate_traffic gate_look(const struct gate_page *page, uint64_t *ret_last_end_usec)
{
        enum gate_traffic traffic = GATE_QUIET;
        uint64_t last = atomic_load(&page->ready_usec);
        uint32_t used = slots_used(page);
        bool ready = last != 0;

        for (uint32_t i = 0; i < used; i++) {
                const struct gate_slot *slot = &page->slots[i];
                uint64_t end = atomic_load(&slot->last_end_usec);
                /* Once: between two loads a kept-alive worker could become busy, and be neither. */
                uint32_t state = gate_state(slot);

                if (end > last)
                        last = end;
                if (is_in_request(state))
                        traffic = GATE_IN_REQUEST;
                else if (traffic == GATE_QUIET && state == GATE_KEPT_ALIVE)
                        traffic = GATE_BETWEEN;
        }
        if (ret_last_end_usec)
                *ret_last_end_usec = ready ? last : 0;
        return traffic;
}

bool gate_is_alone(const struct gate_page *page, uint32_t pid)
{
        uint32_t used = slots_used(page);

        for (uint32_t i = 0; i < used; i++) {
                uint32_t owner = gate_pid(&page->slots[i]);

                if (owner && owner != pid)
                        return false;
        }
        return true;
}

uint64_t gate_requests(const struct gate_page *page)
{
        uint32_t used = slots_used(page);
        uint64_t sum = 0;

        for (uint32_t i = 0; i < used; i++)
                sum += atomic_load_explicit(&page->slots[i].requests, memory_order_relaxed);
        return sum;
}

struct gate_slot *gate_claim(struct gate *gate, uint32_t pid)
{
        struct gate_page *page = gate->page;

        for (uint32_t i = 0; i < GATE_SLOTS_MAX; i++) {
                struct gate_slot *slot = &page->slots[i];
                uint64_t nobody = 0;
                uint32_t used;

                if (!atomic_compare_exchange_strong(
                        &slot->owner, &nobody, (uint64_t)pid << GATE_PID_SHIFT | GATE_STARTING))
                        continue;
                used = atomic_load(&page->slots_used);
                while (used < i + 1 &&
                       !atomic_compare_exchange_weak(&page->slots_used, &used, i + 1))
                        ;
                return slot;
        }
        return NULL;
}

void gate_free(struct gate *gate, uint32_t pid)
{
        struct gate_page *page = gate->page;
        uint32_t used = slots_used(page);

        for (uint32_t i = 0; i < used; i++) {
                struct gate_slot *slot = &page->slots[i];
                uint64_t owner = atomic_load(&slot->owner);

                if (owner >> GATE_PID_SHIFT != pid)
                        continue;
                /* If it fails, somebody else has freed it: the dead write nothing. */
                (void)atomic_compare_exchange_strong(&slot->owner, &owner, 0);
                /* This pid may come again. */
                (void)atomic_compare_exchange_strong(&slot->dismissed, &(uint32_t){pid}, 0);
        }
}
