/* SPDX-License-Identifier: MIT */
/*
 * The protocol of the gate (gate.h) as a model for Spin, which tries every order in which workers,
 * master, watchdog and clients can take their steps. bats/model runs it:
 *
 *      spin -a -DLOOKS=1 gate.pml && cc -DNP -DNOREDUCE -o pan pan.c && ./pan -l -E
 *
 * What holds in every order:
 *  - no stop, reload or idle exit, and no dismissal of a worker, kills a worker that has a
 *    connection with a request (request_cut), and none takes a connection once the server is being
 *    killed (accepted_late);
 *  - a client that closes its kept-alive connection when told goodbye writes no request into one
 *    that was hung up (request_lost);
 *  - the watchdog only stops a server without work and without queue (stopped_busy). That alone
 *    loses nothing, as the master waits for requests and the queue is there for the next server;
 *  - all comes to an end: no cycle (pan -l), and where nobody can do anything any more (timeout, in
 *    quiescence()) the server was stopped, or the gate is open (stays_closed), every connection was
 *    taken and every request answered (stranded), and every slot belongs to a living worker
 *    (slot_lost). The queue of a stopped server is where the next one, and this model, begins.
 * A worker that is killed with SIGKILL loses the connection that it has, and no other one.
 *
 * Each inline and each proctype has the name of the C function that it follows, or that function is
 * in a comment beside it. A statement here is one access to what others see: one atomic operation
 * on the page, one system call. What a process does with its own variables belongs to the access
 * before or after it, in an atomic or d_step. Promela is sequentially consistent; so are the page's
 * atomic variables, which are memory_order_seq_cst in C11. That compiler and processor keep to that
 * is assumed. A loop around a compare-exchange is one step: rounds that fail change nothing.
 *
 * Left out: limits (of a drain, of the time in which a client reacts to a goodbye); last_end_usec
 * (the watchdog closes the gate, and opens it again, whenever it likes); the signal handler in the
 * middle of the master's own code, which is as if it came after that; a second thread of a worker;
 * more than two workers; a pid that comes again. Not needed are wake_parked() at an opening, as a
 * lease ends by itself, and a leaving worker's last look at the queue, as its death is told to the
 * others: both save time.
 *
 * Sizes, 0 or 1 by default: CLIENTS, REQUESTS (of a client, with KEEP_ALIVE), LOOKS (of the
 *      watchdog, which is as good as dead after the last one), SIGNALS (to the master: to stop, or
 *      with RELOAD to execute itself), KILLS (of workers, with SIGKILL), DISMISSALS (by php-fpm's idle
 *      maintenance), INTERRUPTS (of a worker's waiting, by a signal that has a handler)
 * Shapes: COLD (workers are forked and claim their slots first), ONE_WORKER, ON_DEMAND (none at the
 *      beginning), KEEP_ALIVE (clients keep their connections), WATCHDOG_DIES (at any moment),
 *      FREE_DEAD_SLOTS (the watchdog frees slots, too), OPENING_WAKES (see did_open())
 * Mistakes, each of which is found: see bats/model/model.bats.
 */

#ifndef CLIENTS
#define CLIENTS 1
#endif
#ifndef REQUESTS
#define REQUESTS 1
#endif
#ifndef LOOKS
#define LOOKS 0
#endif
#ifndef SIGNALS
#define SIGNALS 0
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef DISMISSALS
#define DISMISSALS 0
#endif
#ifndef INTERRUPTS
#define INTERRUPTS 0
#endif

#define NONE     255
#define INFINITY 255

/* ---- the page: gate.h ------------------------------------------------------------------------ */

mtype:gate_state = {
        GATE_FREE, GATE_STARTING, GATE_WAITING, GATE_ACCEPTING, GATE_BUSY, GATE_KEPT_ALIVE,
        GATE_PARKED
};
mtype:gate_traffic = { GATE_QUIET, GATE_BETWEEN, GATE_IN_REQUEST };

#define GATE_WATCHDOG 1
#define GATE_MASTER   2

/* struct gate_page: closers in the lower two bits, the lease above them. A lease is as long as one
 * step of the clock. */
byte closed;
#define CLOSERS        3
#define LEASE_SHIFT    2
#define lease_of(word) ((word) >> LEASE_SHIFT)

#ifdef COLD
byte slots_used;
bool ready; /* ready_usec */
#endif

/* struct gate_slot: owner's two halves are written in one step. */
byte owner[2];
mtype:gate_state state[2] = GATE_FREE;
#if DISMISSALS
byte dismissed[2];
#endif

/* The futex of a slot: what became of it since its worker has loaded the word. */
mtype:futex = { AWAKE, LOADED, CHANGED, ASLEEP };
mtype:futex word[2] = AWAKE;

/* ---- what the kernel knows ------------------------------------------------------------------- */

byte now;      /* CLOCK_MONOTONIC */
byte lapse[2]; /* until when a worker sleeps in futex(), 0: without a limit */

/* Worker 0 and 1, each several processes one after the other. */
mtype:process = { UNBORN, ALIVE, ZOMBIE };
mtype:process life[2] = UNBORN;
byte pids[2];
bool killed[2]; /* SIGKILL is on its way */
bool left[2];   /* the handler of SIGQUIT has run: worker_leave() */
#define exists(p) ((life[0] != UNBORN && pids[0] == (p)) || (life[1] != UNBORN && pids[1] == (p)))

/* The closing eventfd is readable. */
#ifdef KEEP_ALIVE
bool closing;
#endif

/* Each worker's epoll set: it exists, its owner is in epoll_pwait(), what is on its ready list. */
bool has_wait_fd[2];
bool in_epoll[2];
bool queue_ready[2];
bool waking_ready[2];
#ifdef ON_DEMAND
bool edge; /* in the master's own epoll set */
#endif

/* The backlog of the passed socket, and each client's connection. */
chan queue = [CLIENTS] of { byte };
mtype:link = { QUEUED, OPEN, CLOSED, RESET };
mtype:link connection[CLIENTS] = QUEUED;
bool sent[CLIENTS];     /* a request that the worker has not read */
bool answered[CLIENTS]; /* an answer that the client has not read */
#ifdef KEEP_ALIVE
bool goodbye[CLIENTS]; /* a goodbye that the client has not read, behind all answers */
bool eof[CLIENTS];     /* the client has closed its end */
#endif

/* ---- what is going on, for the properties ---------------------------------------------------- */

byte slot_of[2] = NONE; /* each worker's */
byte has[2] = NONE;     /* each worker's connection */
bool works[2];          /* from accept() until it is back there: also after its answer */
#ifdef ON_DEMAND
bool reads[2]; /* as php-fpm's scoreboard has it: else it takes a worker for idle */
#endif
bool passed_on; /* the signal has reached php-fpm's handler, which kills its workers */
bool stopped;
#ifdef WATCHDOG_DIES
bool watchdog_dead;
#endif
#define is_idle(w) (has[w] == NONE && !works[w])

/* Each is asserted to be false. */
bool request_cut, accepted_late, request_lost, stopped_busy, stays_closed, stranded, slot_lost;

/* ---- gate.c ---------------------------------------------------------------------------------- */

/* What these need of each process's own. */
#define GATE_LOCALS                                                                                \
        byte until; /* as returned by gate_closed_until() */                                       \
        bool won    /* the compare-exchange: it was this process that changed something */

inline gate_settle_closing()
{
        do
        :: seen = (closed != 0);
           closing = seen;
           atomic {
                if
                :: seen == (closed != 0) -> seen = false; break
                :: else
                fi
           }
        od
}

/* Only workers with a kept-alive connection look at the closing eventfd. */
#ifdef KEEP_ALIVE
#define settle_closing gate_settle_closing();
#else
#define settle_closing
#endif

inline gate_wake_waiting()
{
        d_step { waking_ready[0] = has_wait_fd[0]; waking_ready[1] = has_wait_fd[1] }
}

/* A slot's word is increased, and whoever sleeps on it is woken. */
#define woken(s) (word[s] == AWAKE || word[s] == ASLEEP -> AWAKE : CHANGED)

inline wake_parked()
{
        atomic { word[0] = woken(0); word[1] = woken(1) }
}

#ifdef NO_LEASE
#define lease (INFINITY >> LEASE_SHIFT)
#else
#define lease (now + 1)
#endif

inline gate_close(closer)
{
#ifdef CLOSES_UNSETTLED
        do
        :: atomic {
                won = (closed == 0);
                closed = closed | closer;
                closed = (closer == GATE_WATCHDOG ->
                        (closed & CLOSERS) | (lease << LEASE_SHIFT) : closed);
                if
                :: won -> won = false
                :: else -> break
                fi
           }
           settle_closing
           break
        od
#else
        atomic {
                closed = closed | closer;
                closed = (closer == GATE_WATCHDOG ->
                        (closed & CLOSERS) | (lease << LEASE_SHIFT) : closed)
        }
        settle_closing
#endif
}

/* It also tells all waiting workers of the queue. That is a net for what is not modelled here; but
 * for OPENING_WAKES all must come right without it. */
inline did_open()
{
        settle_closing
#ifdef OPENING_WAKES
        gate_wake_waiting();
#endif
#ifdef NO_WAKE_PARKED
        skip
#else
        wake_parked()
#endif
}

inline gate_open(closer)
{
        do
        :: atomic {
                won = (closed != 0);
                closed = closed & ~closer;
                closed = (closed & GATE_WATCHDOG -> closed : closed & CLOSERS);
                won = (won && closed == 0);
                if
                :: won -> won = false
                :: else -> break
                fi
           }
           did_open();
           break
        od
}

/* Into until: 0, a lease's end, or INFINITY. */
inline gate_closed_until()
{
        do
        :: atomic {
                !won -> until = closed;
                if
                :: until == 0 -> break
                :: (until & CLOSERS) & GATE_MASTER -> until = INFINITY; break
                :: (until & CLOSERS) == GATE_WATCHDOG && now < lease_of(until) ->
                        until = lease_of(until); break
                :: (until & CLOSERS) == GATE_WATCHDOG && now >= lease_of(until)
                fi
           }
           d_step {
                won = (closed == until);
                closed = (won -> 0 : closed);
                until = 0
           }
        :: atomic { won -> won = false }
           did_open();
           break
        od
}

#define is_in_request(s) (state[s] == GATE_BUSY || state[s] == GATE_ACCEPTING)

#ifndef TWO_LOADS
#define look_at(s)                                                                                 \
        traffic = (is_in_request(s) -> GATE_IN_REQUEST :                                           \
                (traffic == GATE_QUIET && state[s] == GATE_KEPT_ALIVE -> GATE_BETWEEN : traffic))
#else
#define look_at(s)                                                                                 \
        traffic = (is_in_request(s) -> GATE_IN_REQUEST : traffic);                                 \
        traffic = (traffic == GATE_QUIET && state[s] == GATE_KEPT_ALIVE -> GATE_BETWEEN : traffic)
#endif

/* Into traffic, which is GATE_QUIET before. */
inline gate_look()
{
#ifdef COLD
        used = slots_used;
        if
        :: used > 0 -> look_at(0)
        :: used == 0
        fi;
        if
        :: used > 1 -> look_at(1)
        :: used <= 1
        fi;
        used = 0
#else
        look_at(0);
        look_at(1)
#endif
}

/* The first free slot; a process that has one is in no need of two. */
inline gate_claim(w)
{
        atomic {
                slot_of[w] = (state[0] == GATE_FREE -> 0 : 1);
                slot_lost = (state[slot_of[w]] != GATE_FREE);
                assert(!slot_lost);
                state[slot_of[w]] = GATE_STARTING;
#ifdef PID_APART
        }
        atomic {
#endif
                owner[slot_of[w]] = pids[w]
        }
#ifdef DISMISSED_IS_A_FLAG
        dismissed[slot_of[w]] = 0;
#endif
#ifdef COLD
        slots_used = (slots_used <= slot_of[w] -> slot_of[w] + 1 : slots_used)
#endif
}

#if DISMISSALS
#define FORGET_DISMISSAL(s, p) ; dismissed[s] = (dismissed[s] == (p) -> 0 : dismissed[s])
#else
#define FORGET_DISMISSAL(s, p)
#endif

/* The compare-exchange for one slot: who finds another owner does nothing. */
#ifndef PID_APART
#define free_slot(s, p)                                                                            \
        d_step {                                                                                   \
                state[s] = (owner[s] == (p) -> GATE_FREE : state[s]);                              \
                owner[s] = (owner[s] == (p) -> 0 : owner[s])                                       \
        }                                                                                          \
        FORGET_DISMISSAL(s, p)
#else
#define free_slot(s, p)                                                                            \
        do                                                                                         \
        :: atomic {                                                                                \
                if                                                                                 \
                :: owner[s] == (p) && state[s] != GATE_FREE                                        \
                :: else -> break                                                                   \
                fi                                                                                 \
           }                                                                                       \
           owner[s] = 0;                                                                           \
           state[s] = GATE_FREE;                                                                   \
           break                                                                                   \
        od
#endif

inline gate_free(p)
{
        free_slot(0, p);
        free_slot(1, p)
}

inline reset_slot(s)
{
        atomic {
                state[s] = GATE_FREE;
#ifndef PID_APART
                owner[s] = 0;
#endif
        }
#if DISMISSALS
        dismissed[s] = 0
#endif
}

/* At exec() no worker of before lives: php-fpm waits for all of them. */
inline gate_reset()
{
        reset_slot(0);
        reset_slot(1);
#ifdef COLD
        ready = false;
#endif
        gate_open(GATE_WATCHDOG);
        gate_open(GATE_MASTER)
}

/* ---- the kernel ------------------------------------------------------------------------------ */

/*
 * A connection comes: the first of those that sleep, in the order of the socket's own list, is
 * woken (EPOLLEXCLUSIVE); who is before it in the list, and all if nobody sleeps, get it on their
 * ready list. Here nobody is before it: the fewer are told, the harder.
 */
#define sleeps(w) (in_epoll[w] && !queue_ready[w] && !waking_ready[w])

inline wake_for_connection()
{
        if
        :: sleeps(0) -> queue_ready[0] = true
        :: sleeps(1) -> queue_ready[1] = true
        :: else -> queue_ready[0] = has_wait_fd[0]; queue_ready[1] = has_wait_fd[1]
        fi
}

/* ---- worker.c -------------------------------------------------------------------------------- */

#if INTERRUPTS
byte interrupts = INTERRUPTS;
#else
#define interrupted false
#endif

#define me   _pid
#define slot slot_of[_pid]

#ifdef DISMISSED_IS_A_FLAG
#define is_dismissed (dismissed[slot] != 0)
#else
#define is_dismissed (dismissed[slot] == pids[me])
#endif

inline make_wait_fd()
{
        d_step { has_wait_fd[me] = true; queue_ready[me] = nempty(queue) }
}

inline be_back()
{
        if
        :: atomic { slot == NONE } make_wait_fd(); gate_claim(me)
        :: d_step { slot != NONE && state[slot] != GATE_PARKED ->
                works[me] = false;
                state[slot] = GATE_WAITING }
#ifndef FORGETS_PARKED
        :: atomic { slot != NONE && state[slot] == GATE_PARKED }
#else
        :: d_step { slot != NONE && state[slot] == GATE_PARKED -> state[slot] = GATE_WAITING }
#endif
        fi
#ifdef COLD
        ;
        ready = true /* shim_become_ready() */
#endif
}

/* Level-triggered for the queue, so it stays on the list; edge-triggered for the waking eventfd. */
inline epoll_pwait()
{
        do
        :: atomic { queue_ready[me] && nempty(queue) -> in_epoll[me] = false; break }
        :: d_step { queue_ready[me] && empty(queue) -> queue_ready[me] = false }
        :: atomic { waking_ready[me] -> waking_ready[me] = false; in_epoll[me] = false; break }
        :: atomic { left[me] -> in_epoll[me] = false; break }
#if INTERRUPTS
        :: atomic { interrupts > 0 ->
                interrupts--;
                interrupted = true;
                in_epoll[me] = false;
                break }
#endif
        od
}

/* The word has been loaded; it is loaded again before each further look at the gate. */
inline park()
{
        do
        :: gate_closed_until();
#if DISMISSALS
           until = (is_dismissed -> INFINITY : until);
#endif
           if
           :: atomic { left[me] || until == 0 -> until = 0; word[slot] = AWAKE; break }
           :: d_step { else -> /* futex() */
                word[slot] = (word[slot] == LOADED -> ASLEEP : AWAKE);
                lapse[me] = (until == INFINITY -> 0 : until);
                until = 0 }
           fi;
           if
           :: d_step { word[slot] == AWAKE || left[me] || (lapse[me] > 0 && now >= lapse[me]) ->
                lapse[me] = 0;
                word[slot] = LOADED }
#if INTERRUPTS
           :: atomic { interrupts > 0 ->
                interrupts--;
                interrupted = true;
                lapse[me] = 0;
                word[slot] = AWAKE;
                break }
#endif
           fi
        od
}

inline pass_gate()
{
#ifndef SWAPPED_ORDER
        state[slot] = GATE_ACCEPTING;
#endif
        gate_closed_until();
#if DISMISSALS
        until = (until == 0 && is_dismissed -> INFINITY : until);
#endif
#ifdef SWAPPED_ORDER
        state[slot] = GATE_ACCEPTING;
#endif
        if
        :: d_step { until != 0 -> until = 0; state[slot] = GATE_PARKED }
        :: d_step { until == 0 && nempty(queue) -> /* accept4() */
                accepted_late = passed_on;
                assert(!accepted_late);
                queue ? has[me];
                works[me] = true;
                connection[has[me]] = OPEN }
           state[slot] = GATE_BUSY
        :: atomic { until == 0 && empty(queue) }
           state[slot] = GATE_WAITING
        fi
}

inline accept_through_gate()
{
        do
        :: if
           :: d_step { state[slot] == GATE_PARKED -> word[slot] = LOADED }
              park()
#ifdef PARK_THEN_WAIT
              ;
              if
              :: atomic { left[me] }
              :: d_step { !left[me] -> state[slot] = GATE_WAITING; in_epoll[me] = true }
                 epoll_pwait()
              fi
#endif
           :: d_step { state[slot] != GATE_PARKED ->
                state[slot] = GATE_WAITING;
                in_epoll[me] = true }
              epoll_pwait()
           fi;
#ifdef LEAVE_WITHOUT_LOOK
           if
           :: atomic { left[me] -> break }
           :: atomic { !left[me] }
           fi;
#endif
           pass_gate();
           if
           :: has[me] != NONE || left[me] || interrupted -> break
           :: else
           fi
        od
}

/* ---- connection.c ---------------------------------------------------------------------------- */

#define c has[_pid]

#ifndef KEEP_ALIVE
/* php-fpm reads the request, answers and closes: seen from outside, at once. */
inline serve()
{
#ifdef ON_DEMAND
        d_step { sent[c] -> sent[c] = false; reads[me] = true }
        d_step { reads[me] = false;
#else
        d_step { sent[c] -> sent[c] = false;
#endif
                answered[c] = true;
                connection[c] = CLOSED;
                c = NONE }
}
#else

#define there_is_something (sent[c] || eof[c])

inline hang_up()
{
        connection[c] = CLOSED;
        c = NONE;
        said_goodbye = false
}

inline hang_up_unless_there_is()
{
        if
        :: atomic { there_is_something -> break }
        :: atomic { else -> hang_up(); break }
        fi
}

/* Ends, by 'break', when the client has sent something or closed. */
inline wait_for_request()
{
        d_step { works[me] = false; state[slot] = GATE_KEPT_ALIVE } /* begin_wait() */
        do
        :: atomic { there_is_something -> break }
        :: closing ->
                gate_closed_until();
                if
#ifndef NO_GOODBYE
                /* goodbye_see_off(): then the client has its time, and does something. */
#ifdef GOODBYE_ONCE
                :: atomic { until != 0 && said_goodbye -> until = 0 } hang_up_unless_there_is()
                :: d_step { until != 0 && !said_goodbye ->
#else
                :: d_step { until != 0 ->
#endif
                        until = 0;
                        goodbye[c] = (goodbye[c] || !said_goodbye);
                        said_goodbye = true }
                   atomic { there_is_something -> break }
#else
                :: atomic { until != 0 -> until = 0 } hang_up_unless_there_is()
#endif
                :: atomic { until == 0 }
#ifndef NOBODY_SETTLES
                   settle_closing
#endif
                fi
        od
}

inline serve()
{
        do
        :: d_step { sent[c] ->
                sent[c] = false;
#ifndef GOODBYE_ONCE
                said_goodbye = false /* goodbye_did_begin() */
#endif
                }
           gate_closed_until();
           atomic { /* goodbye_write(): behind the answer, if the gate is closed */
                answered[c] = true;
#ifdef NO_GOODBYE
                until = 0;
#endif
                goodbye[c] = (until != 0);
                said_goodbye = (said_goodbye || until != 0);
                until = 0
           }
           wait_for_request();
           if
           :: atomic { c == NONE -> break }
           :: d_step { c != NONE -> works[me] = true; state[slot] = GATE_BUSY }
           fi
        :: atomic { eof[c] && !sent[c] -> hang_up(); break }
        od
}
#endif

active [2] proctype worker()
{
        GATE_LOCALS;
#ifdef KEEP_ALIVE
        bool seen, said_goodbye;
#endif
#if INTERRUPTS
        bool interrupted;
#endif

        do
        :: life[me] == ALIVE ->
                {
                        do
                        :: be_back();
                           accept_through_gate();
                           if
                           :: atomic { c == NONE && left[me] -> break }
                           :: atomic { c != NONE } serve()
#if INTERRUPTS
                           :: atomic { c == NONE && !left[me] -> interrupted = false }
#endif
                           fi;
#if DISMISSALS
                           if
                           :: atomic { left[me] -> break }
                           :: atomic { !left[me] }
                           fi
#endif
                        od
                } unless { killed[me] };
                atomic { /* whatever it was doing */
                        if
                        :: c != NONE -> connection[c] = RESET; c = NONE
                        :: else
                        fi;
                        if
                        :: slot != NONE -> word[slot] = AWAKE; slot = NONE
                        :: else
                        fi;
                        works[me] = false;
                        has_wait_fd[me] = false;
                        in_epoll[me] = false;
                        queue_ready[me] = false;
                        waking_ready[me] = false;
                        lapse[me] = 0;
                        until = 0;
                        won = false;
#ifdef KEEP_ALIVE
                        seen = false;
                        said_goodbye = false;
#endif
#ifdef ON_DEMAND
                        reads[me] = false;
#endif
#if INTERRUPTS
                        interrupted = false;
#endif
                        killed[me] = false;
                        left[me] = false;
                        life[me] = ZOMBIE
                }
        od
}
#undef c

/* ---- clients --------------------------------------------------------------------------------- */

#define c (_pid - 2)

inline connect()
{
        atomic {
                queue ! c;
#ifdef ON_DEMAND
                edge = true;
#endif
                wake_for_connection()
        }
}

/* It sends its request as late as it likes. */
active [CLIENTS] proctype client()
{
#ifndef KEEP_ALIVE
        connect();
        sent[c] = true;
        d_step { answered[c] || connection[c] == RESET -> answered[c] = false; sent[c] = false }
#else
        byte requests = REQUESTS;

        connect();
        do
        :: d_step { requests > 0 && connection[c] != RESET ->
                request_lost = (connection[c] == CLOSED);
                assert(!request_lost);
                requests--;
                sent[c] = true }
           if
           /* Bytes behind the answer: this connection is not used again. */
           :: d_step { answered[c] ->
                answered[c] = false;
                requests = (goodbye[c] -> 0 : requests) }
           :: atomic { connection[c] == RESET -> break }
           fi
        :: atomic { connection[c] == CLOSED || connection[c] == RESET || goodbye[c] -> break }
        :: d_step { requests > 0 && requests < REQUESTS -> requests = 0 }
        od;
        atomic { eof[c] = true; requests = 0; goodbye[c] = false }
        atomic { connection[c] == CLOSED || connection[c] == RESET ->
                eof[c] = false;
                sent[c] = false }
#endif
}
#undef c

/* ---- master.c -------------------------------------------------------------------------------- */

/* php-fpm's, and what the child comes to by itself. */
inline fork(w)
{
        forks++;
        pids[w] = forks;
        life[w] = ALIVE
}

/* As after fork(), at the gate for the first time, in steps that disturb nobody. */
inline fork_waiting(w)
{
        fork(w);
        slot_of[w] = w;
        owner[w] = pids[w];
        state[w] = GATE_WAITING;
        has_wait_fd[w] = true;
        queue_ready[w] = nempty(queue)
}

/* php-fpm has few reasons not to replace a worker that has ended; here it has some. */
inline replace(w)
{
        if
        :: atomic { life[1 - w] != UNBORN || passed_on }
#ifdef ON_DEMAND
        :: true
#endif
        :: d_step { !passed_on -> fork(w) }
        fi
}

inline master_waitpid(w)
{
        life[w] = UNBORN;
#ifndef WAITPID_DOES_NOT_FREE
        gate_free(pids[w]);
#endif
#ifndef WAITPID_DOES_NOT_WAKE
        gate_wake_waiting();
#endif
#if defined(ON_DEMAND) && !defined(WAITPID_DOES_NOT_ARM)
        edge = nempty(queue); /* arm_ondemand() */
#endif
        replace(w)
}

/* The signal is passed on if the look said so: pass_on_pending(). */
inline drain()
{
        gate_look();
        d_step {
                draining = (traffic != GATE_QUIET);
                passed_on = !draining;
                traffic = GATE_QUIET;
                request_cut = passed_on && !(is_idle(0) && is_idle(1));
                assert(!request_cut)
        }
}

/*
 * Each millisecond there is another look. One that can do nothing is not modelled, or the model
 * would never come to rest: so there is one look at any time, and more when the drain may be over.
 */
#define looks_idle(s) (!is_in_request(s) && state[s] != GATE_KEPT_ALIVE)
#if defined(KEEP_ALIVE) && !defined(CLOSES_UNSETTLED)
#define time_to_look (look_again || !closing || (looks_idle(0) && looks_idle(1)))
#else
#define time_to_look (look_again || (looks_idle(0) && looks_idle(1)))
#endif

/* php-fpm's; a worker goes on until it is dead. */
inline kill_workers()
{
        request_cut = !(is_idle(0) && is_idle(1));
        assert(!request_cut);
        killed[0] = (life[0] == ALIVE);
        killed[1] = (life[1] == ALIVE)
}

/* php-fpm's idle maintenance: SIGQUIT first, SIGKILL if that did not help. */
inline send_to_idle(w)
{
        if
        :: d_step { life[w] == ALIVE && !killed[w] -> left[w] = true; word[s] = woken(s) }
        :: d_step { life[w] == ALIVE && !killed[w] ->
                request_cut = !is_idle(w);
                assert(!request_cut);
                killed[w] = true }
        :: atomic { life[w] != ALIVE || killed[w] }
        fi
}

inline master_kill(w)
{
        if
#ifdef DRAIN_DISMISSES_ALL
        :: atomic { s != NONE && draining } send_to_idle(w)
        :: d_step { s != NONE && !draining -> dismissed[s] = pids[w] }
#else
        :: d_step { s != NONE -> dismissed[s] = pids[w] } /* gate_dismiss() */
#endif
           if
           :: atomic { looks_idle(s) } send_to_idle(w)
           :: atomic { else } dismissed[s] = 0;
#ifndef DISMISSAL_DOES_NOT_WAKE
              word[s] = woken(s)
#endif
           fi
        :: atomic { s == NONE }
        fi;
        s = NONE
}

active proctype master()
{
        GATE_LOCALS;
        mtype:gate_traffic traffic = GATE_QUIET;
        byte forks, signals = SIGNALS;
        bool draining, look_again = true;
#ifdef COLD
        byte used;
#endif
#ifdef KEEP_ALIVE
        bool seen;
#endif
#if DISMISSALS
        byte dismissals = DISMISSALS, s = NONE;
#endif

#ifdef COLD
        d_step { fork(0) }
        d_step { fork(1) }
#else
#ifndef ON_DEMAND
        d_step {
                fork_waiting(0);
#ifndef ONE_WORKER
                fork_waiting(1)
#endif
        }
#endif
#endif
        do
        :: stopped -> break
        :: atomic { life[0] == ZOMBIE && !stopped } master_waitpid(0)
        :: atomic { life[1] == ZOMBIE && !stopped } master_waitpid(1)
#ifdef ON_DEMAND
        /* fpm_pctl_on_socket_accept(): none is needed if one seems to be idle. */
        :: d_step { edge && !passed_on && !stopped ->
                edge = false;
                if
                :: (life[0] != UNBORN && !reads[0]) || (life[1] != UNBORN && !reads[1])
                :: else ->
                        if
                        :: life[0] == UNBORN -> fork(0)
                        :: else ->
                                if
                                :: life[1] == UNBORN -> fork(1)
                                :: else
                                fi
                        fi
                fi }
#endif
#if SIGNALS
        :: atomic { signals > 0 && !draining && !passed_on && !stopped -> signals-- }
                gate_close(GATE_MASTER); /* hold_signal() */
                drain()
        :: atomic { signals > 0 && !draining && !passed_on && !stopped -> signals-- }
        :: atomic { draining && time_to_look -> look_again = false }
#ifdef KEEP_ALIVE
                gate_close(GATE_MASTER);
#endif
                drain()
        /* php-fpm kills its workers, and ends, or waits for them and executes itself. */
#ifndef RELOAD
        :: d_step { passed_on && !stopped -> kill_workers(); stopped = true }
#else
        :: d_step { passed_on && !killed[0] && !killed[1] &&
                (life[0] == ALIVE || life[1] == ALIVE) -> kill_workers() }
        :: atomic { passed_on && life[0] == UNBORN && life[1] == UNBORN -> passed_on = false }
                gate_reset(); /* adopt_resume(), after exec() */
                atomic { fork(0); fork(1) }
#endif
#endif
#if DISMISSALS
        :: atomic { dismissals > 0 && life[0] == ALIVE && !passed_on && !stopped ->
                dismissals--;
                s = slot_of[0] } /* gate_slot_of() */
                master_kill(0)
        :: atomic { dismissals > 0 -> dismissals-- }
#endif
        od
}

/* ---- launcher/watchdog.c and watch.c --------------------------------------------------------- */

#if LOOKS

inline keep_open()
{
        gate_open(GATE_WATCHDOG)
}

#define lease_lapsed (!(closed & GATE_WATCHDOG) || now >= lease_of(closed))

/* WATCHDOG_STOP: stop_server() sends a signal to the master, as comes here at any time. */
inline stop()
{
        stopped_busy = !lease_lapsed && (!is_idle(0) || !is_idle(1) || nempty(queue));
        assert(!stopped_busy)
}

/*
 * decide(). The first look at the workers is only for not closing in vain; here it says that the
 * server is idle whenever it likes. So does the second one say that it has not been so for long.
 */
inline watchdog_look()
{
        gate_close(GATE_WATCHDOG);
#ifndef NO_SECOND_LOOK
        gate_look();
#endif
        if
        :: atomic { traffic = GATE_QUIET } keep_open()
        :: atomic { traffic == GATE_BETWEEN -> traffic = GATE_QUIET }
#ifndef NO_LOOK_AT_THE_QUEUE
        :: d_step { traffic == GATE_QUIET && empty(queue) -> stop() }
#else
        :: d_step { traffic == GATE_QUIET -> stop() }
#endif
        fi
}

inline free_dead_slot(s)
{
        do
        :: atomic {
                p = (state[s] != GATE_FREE -> owner[s] : 0);
                if
                :: p != 0 && !exists(p) /* kill(p, 0) says ESRCH */
                :: else -> p = 0; break
                fi
           }
           gate_free(p);
           p = 0;
           break
        od
}

active proctype watchdog()
{
        GATE_LOCALS;
        mtype:gate_traffic traffic = GATE_QUIET;
        byte looks = LOOKS;
#ifdef COLD
        byte used;
#endif
#ifdef KEEP_ALIVE
        bool seen;
#endif
#ifdef FREE_DEAD_SLOTS
        byte p;
#endif

        {
                do
                :: atomic { looks > 0 && !stopped -> looks-- }
#ifdef FREE_DEAD_SLOTS
                   free_dead_slot(0);
                   free_dead_slot(1);
#endif
#ifdef COLD
                   if
                   :: ready -> watchdog_look()
                   :: !ready
                   fi
#else
                   watchdog_look()
#endif
                od
        }
#ifdef WATCHDOG_DIES
        unless { watchdog_dead }
#endif
}

/* Time passes when it makes a difference. */
active proctype clock()
{
#ifdef NO_LEASE
#define lapses false
#else
#define lapses (lease_of(closed) > now)
#endif
        do
        :: d_step { lapses || lapse[0] > now || lapse[1] > now -> now++ }
        od
}
#endif

/* ---- the world ------------------------------------------------------------------------------- */

#if KILLS || defined(WATCHDOG_DIES)
active proctype killer()
{
        byte kills = KILLS;

        do
        :: d_step { kills > 0 && life[0] == ALIVE && !killed[0] -> kills--; killed[0] = true }
        :: d_step { kills > 0 && life[1] == ALIVE && !killed[1] -> kills--; killed[1] = true }
        :: atomic { kills > 0 -> kills-- }
#ifdef WATCHDOG_DIES
        :: d_step { !watchdog_dead -> watchdog_dead = true }
#endif
        od
}
#endif

/* Nobody can do anything any more: what has become of everybody? */
#ifdef KEEP_ALIVE
#define is_done(i)                                                                                 \
        (connection[i] == RESET || (connection[i] != QUEUED && !sent[i] && !answered[i]))
#else
#define is_done(i) (connection[i] == CLOSED || connection[i] == RESET)
#endif
#define is_lost(s) (state[s] != GATE_FREE && !exists(owner[s]))

active proctype quiescence()
{
        atomic {
                timeout;
                if
                :: stopped
                :: else ->
                        stays_closed = passed_on || (closed & GATE_MASTER) ||
                                ((closed & GATE_WATCHDOG) && now < lease_of(closed));
                        assert(!stays_closed);
                        stranded = nempty(queue) || !is_done(0) || !is_done(CLIENTS - 1);
                        assert(!stranded);
                        slot_lost = is_lost(0) || is_lost(1);
                        assert(!slot_lost)
                fi
        }
}
