/* SPDX-License-Identifier: MIT */
/*
 * The gate: the shared page through which every worker of a server accepts, and the protocol that
 * makes stopping the server safe. Built into the shim, the launcher and fpm-waker alike, so it
 * needs no libc.
 *
 * The one rule everything rests on: a worker writes its state and then reads the gate; whoever
 * closes the gate writes it and then reads all states. Both are sequentially consistent, so the
 * second of the two sees the first: no connection is taken by a worker that the closer believes
 * to be quiet. gate.pml is the whole protocol as a model, in which every order of its steps is
 * tried: who changes it here, in worker.c, master.c or watchdog.c changes it there as well.
 *
 * The page is a memfd sealed in size (F_SEAL_SHRINK | F_SEAL_GROW). A process that did not write
 * it itself trusts nothing in it: counts are clamped by the functions here, and the pids in it are
 * those of the server's own pid namespace.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GATE_MAGIC       UINT32_C(0x66706d77) /* "fpmw" */
#define GATE_VERSION     UINT32_C(2)
#define GATE_SLOTS_MAX   1024U
#define GATE_SOCKETS_MAX 16U
#define GATE_NAME_MAX    64U /* with the closing zero; longer LISTEN_FDNAMES are refused */
#define GATE_INFINITY    UINT64_MAX

/* Descriptors that travel to the server start here: shells use the low ones (3, 9) themselves. */
#define GATE_FIRST_FD 100

/* The server finds the page by this variable: the page's descriptor as a decimal number. */
#define GATE_ENVIRONMENT "FPM_WAKER_PAGE"

/*
 * What the server writes on the hand-over connection, one byte a message; the kernel adds who
 * wrote it (SCM_CREDENTIALS). See handover.h.
 */
#define GATE_SAYS_MASTER 'M' /* the writer has adopted a passed socket: it is the master */
#define GATE_SAYS_READY  'R' /* a worker waits at the gate or is past it; see ready_usec */

/* Who holds the gate closed; the gate is open when nobody does. */
enum gate_closer {
        GATE_WATCHDOG =
            1,           /* has the gate only for a lease, so that its death cannot shut a vhost */
        GATE_MASTER = 2, /* a signal to the master waits until the server is quiet */
};

enum gate_state {
        GATE_FREE,       /* nobody's slot */
        GATE_STARTING,   /* claimed, has not come to accept yet */
        GATE_WAITING,    /* waits for a connection and holds none */
        GATE_ACCEPTING,  /* saw a connection, looks at the gate */
        GATE_BUSY,       /* has a connection with a request, or may have */
        GATE_KEPT_ALIVE, /* waits on a kept-alive connection, between two requests */
        GATE_PARKED,     /* found the gate closed and holds no connection */
};

/* One worker. A cache line each, so that workers do not disturb each other. */
struct gate_slot {
        /*
         * The worker's pid, in the server's pid namespace, and in the lower half its enum
         * gate_state; 0: nobody's slot. One word, so that whoever frees a dead worker's slot cannot
         * hit the worker that has claimed it meanwhile.
         */
        _Atomic uint64_t owner;
        _Atomic uint32_t word;          /* futex: counts what a parked worker must wake up for */
        _Atomic uint32_t dismissed;     /* the gate is closed for the worker with this pid alone */
        _Atomic uint64_t requests;      /* begun in this slot, also by its earlier owners */
        _Atomic uint64_t last_end_usec; /* CLOCK_MONOTONIC when the last request ended here */
        uint64_t padding[4];
};

/* One passed socket. */
struct gate_socket {
        uint64_t inode;           /* st_ino of the descriptor: its identity whatever its number */
        int32_t fd;               /* its number in the server, from GATE_FIRST_FD on */
        uint32_t reserved;        /* */
        char name[GATE_NAME_MAX]; /* from LISTEN_FDNAMES, "" if it has none */
};

struct gate_page {
        uint32_t magic;
        uint32_t version;

        /* Written by the launcher before the server starts, only read afterwards. */
        uint64_t exit_idle_usec;        /* GATE_INFINITY: never */
        uint64_t drain_limit_usec;      /* how long a signal may wait for requests to end */
        uint64_t background_limit_usec; /* how long programs of requests hold off an idle exit */
        int32_t closing_fd;             /* eventfd, readable while the gate is closed */
        int32_t waking_fd;   /* eventfd, see gate_wake_waiting(); never read: for EPOLLET */
        int32_t handover_fd; /* connection to fpm-waker, -1 if there is none */
        uint32_t fd0;        /* the server wants its listening socket at descriptor 0 */
        uint32_t n_sockets;
        uint32_t read_ahead; /* php-fpm's requests are read ahead, see read-ahead.h */
        struct gate_socket sockets[GATE_SOCKETS_MAX];

        /* Shared while the server runs. */
        _Alignas(64) _Atomic uint64_t closed; /* enum gate_closer's bits and the lease; 0: open */
        _Atomic uint32_t slots_used;          /* no slot from here on was ever claimed */
        _Atomic uint32_t master;              /* pid of the process that adopted, 0: none yet */
        /* CLOCK_MONOTONIC of the first worker at the gate, or of a master that forks one when
         * somebody connects; 0: neither yet. */
        _Atomic uint64_t ready_usec;
        /* CLOCK_BOOTTIME of the first of all, also before a reload: no request, and so no program
         * that one has started, is older. */
        _Atomic uint64_t first_ready_usec;
        _Alignas(64) struct gate_slot slots[GATE_SLOTS_MAX];
};

/*
 * A process's own view of the page: the descriptors have other numbers in each process. Both
 * eventfds are made with EFD_NONBLOCK (and without EFD_SEMAPHORE).
 */
struct gate {
        struct gate_page *page;
        int closing_fd;
        int waking_fd;
};

/* What a look over all slots says. */
enum gate_traffic {
        GATE_QUIET,      /* nobody holds a connection */
        GATE_BETWEEN,    /* nobody has a request, but kept-alive connections are still held */
        GATE_IN_REQUEST, /* a worker has a request, or is just accepting */
};

/* The clock of every *_usec here: CLOCK_MONOTONIC, which stands still while the host sleeps. */
uint64_t gate_now_usec(void);

/* Sets up a zeroed page: magic, version, everything open, no descriptor, no socket, no limit. */
void gate_page_init(struct gate_page *page);

/*
 * Forgets the master, its readiness and all workers but those of other processes that live, and
 * opens the gate: for a new server on an old page whose former master is dead or has just been
 * replaced by exec. Workers of a master that was killed go on until their request has ended.
 */
void gate_reset(struct gate *gate);

/*
 * Notes that a worker is at the gate, or a master is there for it. Returns true for the first since
 * gate_reset(). Costs a read otherwise.
 */
bool gate_become_ready(struct gate_page *page);

/*
 * Closes the gate for one closer. From the return on, a worker that gate_look() calls quiet takes
 * no connection until the gate is open again. Idempotent; async-signal-safe.
 * lease_usec: for GATE_WATCHDOG, the CLOCK_MONOTONIC time at which the closing lapses by itself
 * (a later call renews it); ignored for GATE_MASTER.
 */
void gate_close(struct gate *gate, enum gate_closer closer, uint64_t lease_usec);

/* Takes one closer's closing back; wakes everybody if that was the last. Async-signal-safe. */
void gate_open(struct gate *gate, enum gate_closer closer);

/*
 * Makes the closing eventfd readable just while the gate is closed, whoever else does the same
 * meanwhile. Closing and opening do so; but somebody else may have died in the middle of it.
 */
void gate_settle_closing(const struct gate *gate);

/*
 * Wakes every worker that waits at the gate, for a look of its own at the queue: a worker that was
 * woken for a connection and died or left before it took it may be the only one that was told.
 */
void gate_wake_waiting(const struct gate *gate);

/*
 * Until when the gate is closed: 0 if it is open, a lease's end (CLOCK_MONOTONIC) if only that
 * holds it, else GATE_INFINITY. Opens it by itself when the lease has lapsed. Async-signal-safe.
 */
uint64_t gate_closed_until(struct gate *gate);

static inline bool gate_is_closed(struct gate *gate)
{
        return gate_closed_until(gate) != 0;
}

/*
 * Looks over all slots.
 * ret_last_end_usec: when the last request ended, or when the server became ready if that is
 * later, or 0 if it is not ready. May be NULL.
 */
enum gate_traffic gate_look(const struct gate_page *page, uint64_t *ret_last_end_usec);

/* The slot of a process that has one and accepts in one thread, or NULL. */
struct gate_slot *gate_slot_of(struct gate_page *page, uint32_t pid);

/*
 * Closes the gate for one worker, which is to be told to go. Returns true if it holds no connection
 * and will take none. False if it has one: then all is as before. By the same rule as the gate.
 */
bool gate_dismiss(struct gate_slot *slot);

/* True if no other process has a slot. */
bool gate_is_alone(const struct gate_page *page, uint32_t pid);

/* The number of requests begun since the page was set up. */
uint64_t gate_requests(const struct gate_page *page);

/* Claims a free slot for the worker pid. NULL: all are taken. */
struct gate_slot *gate_claim(struct gate *gate, uint32_t pid);

/* Frees the slots of a dead process, so that they count as nothing. Harmless if somebody else does
 * so at the same time. */
void gate_free(struct gate *gate, uint32_t pid);

#define GATE_PID_SHIFT 32

/* A slot's enum gate_state, or whatever an untrusted page says. */
static inline uint32_t gate_state(const struct gate_slot *slot)
{
        return (uint32_t)atomic_load_explicit(&slot->owner, memory_order_seq_cst);
}

/* The pid of a slot's worker; 0: nobody's slot. */
static inline uint32_t gate_pid(const struct gate_slot *slot)
{
        return (uint32_t)(atomic_load_explicit(&slot->owner, memory_order_seq_cst) >>
                          GATE_PID_SHIFT);
}

/* True for a worker that is to go, see gate_dismiss(). */
static inline bool gate_is_dismissed(const struct gate_slot *slot)
{
        uint32_t pid = atomic_load(&slot->dismissed);

        return pid != 0 && pid == gate_pid(slot);
}

/* True for a worker that may not accept: the gate is closed, or it is dismissed. */
static inline bool gate_is_closed_for(struct gate *gate, const struct gate_slot *slot)
{
        return gate_is_closed(gate) || gate_is_dismissed(slot);
}

/*
 * Writes the state of the caller's own slot, visible to a closer before whatever this worker does
 * next. GATE_FREE gives the slot back.
 */
static inline void gate_set_state(struct gate_slot *slot, enum gate_state state)
{
        uint64_t owner = atomic_load_explicit(&slot->owner, memory_order_relaxed);

        owner = state == GATE_FREE ? 0 : owner >> GATE_PID_SHIFT << GATE_PID_SHIFT | state;
        atomic_store_explicit(&slot->owner, owner, memory_order_seq_cst);
}
