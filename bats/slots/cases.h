/* SPDX-License-Identifier: MIT */
/* The cases of slot-test, each a server that does something and what its slots have to say. */
#pragma once

/* at-once.c: a server whose accept does not wait, as event loops have it. */
void at_once(void);
void at_once_closing(void);
void at_once_draining(void);
void at_once_stop(void);

/* calls.c: requests and answers come and go, by every call and in all pieces. */
void every_call(void);
void unseen_calls(void);
void unseen_content(void);
void peek(void);
void no_wait(void);
void timeout(void);
void unseen_request(void);
void vanish(void);

/* connections.c: a connection ends, has several numbers, is another thread's, is one of many. */
void ended_twice(void);
void reset(void);
void closing(void);
void closing_too_late(void);
void crossing(void);
void copies(void);
void left_behind(void);
void closing_left_behind(void);
void closed_unseen(void);
void many(void);
void threads(void);
void handed_out(void);
void forked(void);

/* waits.c: poll, select and the like; and signals that come meanwhile. */
void stop_in_request(void);
void stop_with_handler(void);
void reload_with_handler(void);
void stop_between_requests(void);
void stop_spares_strangers(void);
void waits(void);
void closing_waits(void);
void mixed_waits(void);
void waits_for_clients(void);
void waits_left_behind(void);
void signals(void);
