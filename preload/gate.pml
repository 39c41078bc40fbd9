/* SPDX-License-Identifier: MIT */

#ifndef WORKERS
#define WORKERS 2
#endif
#ifndef CLIENTS
#define CLIENTS 1
#endif
#ifndef REQUESTS
#define REQUESTS 1
#endif
#ifndef LOOKS
#define LOOKS 1
#endif
#ifndef STOPS
#define STOPS 0
#endif
#ifndef RELOADS
#define RELOADS 0
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef QUITS
#define QUITS 0
#endif

#define SLOTS WORKERS
#define FORKS (WORKERS + KILLS + QUITS + WORKERS * RELOADS)
#define NONE 255

mtype:state = { GATE_FREE, GATE_STARTING, GATE_WAITING, GATE_ACCEPTING, GATE_BUSY, GATE_KEPT_ALIVE, GATE_PARKED };
mtype:traffic = { GATE_QUIET, GATE_BETWEEN, GATE_IN_REQUEST };
mtype:result = { ZERO, EAGAIN, EINTR, EBADF };

/* the page */
mtype:state slot_state[SLOTS] = GATE_FREE;
byte slot_pid[SLOTS];
byte slots_used;
bool ready;
byte closed;
#define GATE_WATCHDOG 1
#define GATE_MASTER   2
#define CLOSERS(word) ((word) & 3)
#define LEASE(word)   ((word) >> 2)

/* futex word */
bool word_changed[SLOTS];
bool asleep[SLOTS];

bool closing;

byte now;

/* processes */
mtype:life = { UNBORN, ALIVE, ZOMBIE };
mtype:life life[WORKERS] = UNBORN;
byte pid[WORKERS];
bool killed[WORKERS];
bool left[WORKERS];
byte until[WORKERS];
byte conn[WORKERS] = NONE;
bool work[WORKERS];
bool serving[WORKERS];

mtype:server = { RUNNING, STOPPED };
mtype:server server = RUNNING;
bool passed_on;
bool draining;
bool stop_pending, reload_pending;

/* epoll */
bool has_epoll[WORKERS];
bool in_epoll[WORKERS];
bool queue_ready[WORKERS];
bool opening_ready[WORKERS];
bool edge;

/* clients */
chan queue = [CLIENTS] of { byte };
mtype:place = { AWAY, QUEUED, OPEN, CLOSED, RESET, DONE };
mtype:place place[CLIENTS] = AWAY;
bool sent[CLIENTS];
bool answered[CLIENTS];
bool eof[CLIENTS];
mtype:bye = { NOTHING, WHEN_IDLE, BEHIND };
mtype:bye bye[CLIENTS] = NOTHING;
bool said[CLIENTS];

#define is_esrch(p) (!((life[0] != UNBORN && pid[0] == (p)) || (life[1] != UNBORN && pid[1] == (p))))

/* ---------- gate.c ---------- */

inline settle_closing()
{
        do
        :: seen = (closed != 0);
           closing = seen;
           if
           :: seen == (closed != 0) -> break
           :: else
           fi
        od;
        seen = false
}

inline gate_wake_waiting()
{
        d_step {
                n = 0;
                do
                :: n < WORKERS -> opening_ready[n] = has_epoll[n]; n++
                :: else -> break
                od;
                n = 0
        }
}

inline wake_parked()
{
        n = 0;
        do
        :: n < slots_used ->
                word_changed[n] = true;
                asleep[n] = false;
                n++
        :: else -> break
        od;
        n = 0
}

inline did_open()
{
        settle_closing();
        wake_parked();
#ifndef NO_OPENING_WAKE
        gate_wake_waiting()
#endif
}

inline gate_close(closer)
{
        d_step {
                was_open = (closed == 0);
                if
                :: closer == GATE_WATCHDOG -> closed = CLOSERS(closed) | closer | ((now + 1) << 2)
                :: else -> closed = closed | closer
                fi
        }
        if
        :: was_open -> was_open = false; settle_closing()
        :: else
        fi
}

inline gate_open(closer)
{
        d_step {
                opened = (closed != 0);
                closed = closed & ~closer;
                if
                :: !(closed & GATE_WATCHDOG) -> closed = CLOSERS(closed)
                :: else
                fi;
                opened = opened && closed == 0
        }
        if
        :: opened -> opened = false; did_open()
        :: else
        fi
}

/* result in until[w] */
inline gate_closed_until(w)
{
        until[w] = closed;
        do
        :: until[w] == 0 -> break
        :: CLOSERS(until[w]) & GATE_MASTER -> until[w] = NONE; break
        :: CLOSERS(until[w]) == GATE_WATCHDOG && now < LEASE(until[w]) -> break
        :: CLOSERS(until[w]) == GATE_WATCHDOG && now >= LEASE(until[w]) ->
                d_step {
                        opened = (closed == until[w]);
                        if
                        :: opened -> closed = 0; until[w] = 0
                        :: else -> until[w] = closed
                        fi
                }
                if
                :: opened -> opened = false; did_open(); break
                :: else
                fi
        od
}

inline gate_look()
{
        used = slots_used;
        traffic = GATE_QUIET;
        i = 0;
        do
        :: d_step { i < used ->
                if
                :: slot_state[i] == GATE_BUSY || slot_state[i] == GATE_ACCEPTING -> traffic = GATE_IN_REQUEST; i++; skip2 = false
                :: else -> skip2 = true
                fi }
           if
           :: !skip2
           :: skip2 -> d_step {
                if
                :: traffic == GATE_QUIET && slot_state[i] == GATE_KEPT_ALIVE -> traffic = GATE_BETWEEN
                :: else
                fi;
                skip2 = false;
                i++ }
           fi
        :: else -> break
        od;
        d_step { i = 0; used = 0 }
}

inline gate_claim(p)
{
        slot = 0;
        do
        :: d_step {
                if
                :: slot == SLOTS -> assert(false); got = true
                :: else ->
                        got = (slot_state[slot] == GATE_FREE);
                        if
                        :: got -> slot_state[slot] = GATE_STARTING
                        :: else -> slot++
                        fi
                fi }
           if
           :: got -> break
           :: else
           fi
        od;
        got = false;
        slot_pid[slot] = p;
        d_step {
                if
                :: slots_used < slot + 1 -> slots_used = slot + 1
                :: else
                fi
        }
}

inline gate_free(p)
{
        i = 0;
        do
        :: i < slots_used ->
                if
                :: slot_pid[i] != p
                :: else ->
                        if
                        :: slot_state[i] == GATE_FREE
                        :: else ->
                                slot_pid[i] = 0;
                                slot_state[i] = GATE_FREE
                        fi
                fi;
                i++
        :: else -> break
        od;
        i = 0
}

inline gate_reset()
{
        i = 0;
        do
        :: i < slots_used -> slot_state[i] = GATE_FREE; i++
        :: else -> break
        od;
        i = 0;
        ready = false;
        gate_open(GATE_WATCHDOG);
        gate_open(GATE_MASTER)
}

/* ---------- kernel ---------- */

inline wake_for_connection()
{
        if
        :: in_epoll[0] && !queue_ready[0] && !opening_ready[0] -> queue_ready[0] = true
        :: in_epoll[1] && !queue_ready[1] && !opening_ready[1] -> queue_ready[1] = true
        :: else -> queue_ready[0] = has_epoll[0]; queue_ready[1] = has_epoll[1]
        fi;
        edge = true
}

/* ---------- worker.c ---------- */

inline make_wait_fd(w)
{
        d_step { has_epoll[w] = true; queue_ready[w] = nempty(queue) }
}

inline epoll_pwait(w)
{
        in_epoll[w] = true;
        do
        :: d_step { queue_ready[w] && nempty(queue) -> in_epoll[w] = false; waited = ZERO } break
        :: d_step { queue_ready[w] && empty(queue) -> queue_ready[w] = false }
        :: d_step { opening_ready[w] -> opening_ready[w] = false; in_epoll[w] = false; waited = ZERO } break
        :: d_step { left[w] -> in_epoll[w] = false; waited = EBADF } break
        od
}

inline park(w)
{
        slot_state[slot] = GATE_PARKED;
        do
        :: word_changed[slot] = false;
           gate_closed_until(w);
           if
           :: left[w] -> waited = EBADF; break
           :: else
           fi;
           if
           :: until[w] == 0 -> waited = ZERO; break
           :: else
           fi;
           asleep[slot] = !word_changed[slot];
           if
           :: !asleep[slot]
           :: until[w] != NONE && now >= LEASE(until[w]) -> asleep[slot] = false
           fi
        od;
        until[w] = 0
}

inline pass_gate(w)
{
#ifndef SWAPPED_ORDER
        slot_state[slot] = GATE_ACCEPTING;
        gate_closed_until(w);
#else
        gate_closed_until(w);
        slot_state[slot] = GATE_ACCEPTING;
#endif
        if
        :: until[w] != 0 -> until[w] = 0; slot_state[slot] = GATE_PARKED
        :: else ->
                d_step {
                        if
                        :: nempty(queue) ->
                                assert(!passed_on);
                                queue ? c;
                                conn[w] = c;
                                work[w] = true;
                                place[c] = OPEN
                        :: else
                        fi
                }
                if
                :: conn[w] != NONE -> slot_state[slot] = GATE_BUSY
                :: else -> slot_state[slot] = GATE_WAITING
                fi
        fi
}

inline accept_through_gate(w)
{
        do
        :: waited = ZERO;
           if
           :: slot_state[slot] == GATE_PARKED -> park(w)
           :: else
           fi;
           if
           :: waited == ZERO -> slot_state[slot] = GATE_WAITING; epoll_pwait(w)
           :: else
           fi;
           pass_gate(w);
           if
           :: conn[w] != NONE -> break
           :: else
           fi;
           if
           :: left[w] -> break
           :: else
           fi
        od;
        waited = ZERO
}

inline be_back(w)
{
        if
        :: slot == NONE -> gate_claim(pid[w])
        :: else ->
                if
                :: slot_state[slot] != GATE_WAITING -> d_step { work[w] = false; slot_state[slot] = GATE_WAITING }
                :: else
                fi
        fi
}

inline hang_up(w)
{
        d_step { place[c] = CLOSED; conn[w] = NONE; c = NONE; serving[w] = false }
}

inline serve(w)
{
        do
        :: d_step { sent[c] -> sent[c] = false; serving[w] = true }
           gate_closed_until(w);
#ifdef KEEP_ALIVE
           d_step { answered[c] = true; serving[w] = false;
                    if
                    :: until[w] != 0 -> bye[c] = BEHIND; said[c] = true
                    :: else
#ifndef STICKY_GOODBYE
                       -> said[c] = false
#endif
                    fi;
                    until[w] = 0 }
           d_step { work[w] = false; slot_state[slot] = GATE_KEPT_ALIVE }
           do
           :: sent[c] || eof[c] -> break
           :: closing ->
                gate_closed_until(w);
                if
                :: until[w] != 0 && said[c] ->
                        until[w] = 0;
                        if
                        :: sent[c] || eof[c] -> break
                        :: else -> hang_up(w); break
                        fi
                :: until[w] != 0 && !said[c] ->
                        d_step { until[w] = 0; said[c] = true; bye[c] = WHEN_IDLE }
                        sent[c] || eof[c]; break
                :: else
                fi
           od;
           if
           :: c == NONE -> break
           :: else -> d_step { work[w] = true; slot_state[slot] = GATE_BUSY }
           fi
#else
           d_step { answered[c] = true; until[w] = 0 }
           hang_up(w);
           break
#endif
        :: eof[c] && !sent[c] -> hang_up(w); break
        od
}

active [WORKERS] proctype worker()
{
        byte slot = NONE, n = 0, c = NONE;
        bool seen, opened, got;
        mtype:result waited = ZERO;

#define w _pid
        do
        :: life[w] == ALIVE ->
                {
                        make_wait_fd(w);
                        do
                        :: be_back(w);
                           if
                           :: !ready -> ready = true
                           :: else
                           fi;
                           accept_through_gate(w);
                           if
                           :: conn[w] == NONE -> break
                           :: else
                           fi;
                           serve(w);
                           if
                           :: left[w] -> break
                           :: else
                           fi
                        od
                } unless { killed[w] };
                d_step {
                        if
                        :: conn[w] != NONE -> place[conn[w]] = RESET
                        :: else
                        fi;
                        conn[w] = NONE;
                        work[w] = false;
                        serving[w] = false;
                        has_epoll[w] = false;
                        in_epoll[w] = false;
                        queue_ready[w] = false;
                        opening_ready[w] = false;
                        until[w] = 0;
                        if
                        :: slot != NONE -> asleep[slot] = false
                        :: else
                        fi;
                        slot = NONE; n = 0; c = NONE;
                        seen = false; opened = false; got = false; waited = ZERO;
                        killed[w] = false;
                        left[w] = false;
                        life[w] = ZOMBIE
                }
        od
#undef w
}

/* ---------- master.c ---------- */

inline fork(w)
{
        d_step { forks++; pid[w] = forks; life[w] = ALIVE }
}

inline pass_on()
{
        d_step {
                assert(conn[0] == NONE && !work[0]);
                assert(conn[1] == NONE && !work[1]);
                draining = false;
                passed_on = true
        }
}

inline drain()
{
        gate_look();
        if
        :: traffic == GATE_QUIET -> pass_on()
        :: else
        fi;
        traffic = GATE_QUIET
}

inline hold_signal()
{
        draining = true;
        gate_close(GATE_MASTER);
        drain()
}

#define looks_quiet(s) (slot_state[s] != GATE_BUSY && slot_state[s] != GATE_ACCEPTING && slot_state[s] != GATE_KEPT_ALIVE)

inline master_waitpid(w)
{
        life[w] = UNBORN;
#ifndef WAITPID_DOES_NOT_FREE
        gate_free(pid[w]);
#endif
#ifndef WAITPID_DOES_NOT_WAKE
        gate_wake_waiting();
#endif
        edge = nempty(queue)
}

active proctype master()
{
        byte i, used, n, forks, quits = QUITS;
        bool seen, opened, was_open, skip2, ticked;
        mtype:traffic traffic = GATE_QUIET;

        do
        :: life[0] == ZOMBIE -> master_waitpid(0)
        :: life[1] == ZOMBIE -> master_waitpid(1)
        :: life[0] == UNBORN && !passed_on && forks < FORKS -> fork(0)
        :: life[1] == UNBORN && !passed_on && forks < FORKS -> fork(1)
        :: (stop_pending || reload_pending) && !draining && !passed_on -> hold_signal()
        :: draining && !ticked -> ticked = true; drain()
        :: draining && looks_quiet(0) && looks_quiet(1) -> drain()
        :: passed_on && life[0] == ALIVE && !killed[0] -> killed[0] = true
        :: passed_on && life[1] == ALIVE && !killed[1] -> killed[1] = true
        :: passed_on && life[0] == UNBORN && life[1] == UNBORN ->
                ticked = false;
                if
                :: stop_pending -> server = STOPPED; break
                :: else ->
                        reload_pending = false;
                        passed_on = false;
                        gate_reset()
                fi
        od
}

/* ---------- watchdog.c ---------- */

#if LOOKS > 0
inline keep_open()
{
        if
        :: holds -> holds = false; gate_open(GATE_WATCHDOG)
        :: else
        fi
}

#define lease_lapsed (!(closed & GATE_WATCHDOG) || now >= LEASE(closed))

inline watchdog_look()
{
        gate_look();
        if
        :: traffic == GATE_IN_REQUEST || !ready -> keep_open()
        :: traffic != GATE_IN_REQUEST && holds -> keep_open()
        :: traffic != GATE_IN_REQUEST && ready ->
                holds = true;
                gate_close(GATE_WATCHDOG);
#ifndef NO_SECOND_LOOK
                gate_look();
#endif
                if
                :: traffic == GATE_IN_REQUEST -> keep_open()
                :: else ->
#ifndef NO_LOOK_AT_THE_QUEUE
                        queued = nempty(queue);
#endif
                        if
                        :: queued -> keep_open()
                        :: !queued -> keep_open()
                        :: !queued && traffic == GATE_BETWEEN
                        :: !queued && traffic == GATE_QUIET ->
                                assert(lease_lapsed || (conn[0] == NONE && !work[0] && conn[1] == NONE && !work[1]));
                                stop_pending = true
                        fi
                fi
        fi;
        d_step { queued = false; traffic = GATE_QUIET }
}

inline free_dead_slots()
{
        s = 0;
        do
        :: s < SLOTS ->
                p = slot_pid[s];
                if
                :: slot_state[s] != GATE_FREE && p != 0 ->
                        if
                        :: is_esrch(p) -> gate_free(p)
                        :: else
                        fi
                :: else
                fi;
                s++
        :: else -> break
        od;
        d_step { s = 0; p = 0 }
}

active proctype watchdog()
{
        byte i, used, n, looks = LOOKS, s, p;
        bool seen, opened, was_open, holds, queued, skip2;
        mtype:traffic traffic = GATE_QUIET;

        {
        do
        :: looks > 0 && server == RUNNING ->
                looks--;
#ifdef FREE_DEAD_SLOTS
                free_dead_slots();
#endif
                watchdog_look()
        :: else -> break
        od
        } unless { watchdog_dead }
}
#endif
bool watchdog_dead;

/* ---------- world ---------- */

active proctype clock()
{
        do
        :: LEASE(closed) > now ||
           (until[0] != NONE && LEASE(until[0]) > now) ||
           (until[1] != NONE && LEASE(until[1]) > now) -> now++
        od
}

active proctype world()
{
        byte stops = STOPS, reloads = RELOADS, kills = KILLS;

        do
        :: stops > 0 -> stops--; stop_pending = true
        :: stops > 0 -> stops--
        :: reloads > 0 -> reloads--; reload_pending = true
        :: reloads > 0 -> reloads--
        :: d_step { kills > 0 && life[0] == ALIVE && !killed[0] -> kills--; killed[0] = true }
        :: d_step { kills > 0 && life[1] == ALIVE && !killed[1] -> kills--; killed[1] = true }
        :: kills > 0 -> kills--
#ifdef WATCHDOG_DIES
        :: !watchdog_dead -> watchdog_dead = true
#endif
        od
}

active [CLIENTS] proctype client()
{
        byte requests = REQUESTS;
#define me (_pid - FIRST_CLIENT)
        atomic { queue ! me; place[me] = QUEUED; wake_for_connection() }
        do
        :: requests > 0 ->
                if
                :: bye[me] == NOTHING
                :: bye[me] == WHEN_IDLE
                fi;
                d_step { requests--; assert(place[me] != CLOSED); sent[me] = true }
                if
                :: d_step { answered[me] -> answered[me] = false;
                        if
                        :: bye[me] == BEHIND -> requests = 0
                        :: else -> bye[me] = NOTHING
                        fi }
#ifndef KEEP_ALIVE
                   break
#endif
                :: place[me] == RESET -> break
                fi
        :: place[me] == CLOSED || place[me] == RESET -> break
        :: true -> break
        od;
        d_step { eof[me] = true; requests = 0; bye[me] = NOTHING }
        place[me] == CLOSED || place[me] == RESET;
        place[me] = DONE
#undef me
}

active proctype quiescence()
{
        byte k;
        timeout;
        d_step {
                if
                :: server == RUNNING ->
                        assert(empty(queue));
                        assert(!stop_pending && !reload_pending);
                        assert(!(closed & GATE_MASTER));
                        assert(!(closed & GATE_WATCHDOG) || now >= LEASE(closed));
                        k = 0;
                        do
                        :: k < SLOTS ->
                                assert(slot_state[k] == GATE_FREE || !is_esrch(slot_pid[k]));
                                assert(!asleep[k]);
                                k++
                        :: else -> break
                        od;
                        k = 0;
                        do
                        :: k < CLIENTS -> assert(place[k] == DONE); k++
                        :: else -> break
                        od
                :: else
                fi
        }
}
