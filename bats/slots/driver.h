/* SPDX-License-Identifier: MIT */
/*
 * Drives a responder call by call, and looks at the gate's page in between.
 *
 * After every order and every byte from the client this waits until each thread of the server
 * sleeps in a system call: what the page says then it says until something else happens. Whatever
 * is not as it has to be ends the program with a word of why; nothing here returns an error.
 */
#pragma once

#include <errno.h>
#include <fastcgi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#include "../../preload/gate.h"
#include "responder.h"

#define RESPONDERS_MAX 8
#define BYTES_MAX      200000U
#define KEPT           true

/* A thread of the server. */
struct responder {
        int control;
        pid_t process;
        pid_t thread;
};

/* Bytes of a request or of an answer. */
struct bytes {
        uint8_t data[BYTES_MAX];
        size_t size;
};

extern struct responder responders[RESPONDERS_MAX];
extern int server_listener;
extern pid_t server; /* the process that was started */
extern struct gate gate;
extern struct order order;
extern struct reply reply;
extern const char *address;
extern int client;

/* How this round of the case receives and sends, and how many bytes at most at once. */
extern enum call receiver, sender;
extern uint32_t chunk;
extern unsigned point; /* of the round */
extern bool receiving;

/* Kills the server, with all its processes. */
void kill_all(void);

/* Where in the tests this is. */
#define TEXT_OF(number) #number
#define TEXT(number)    TEXT_OF(number)
#define HERE            __FILE_NAME__ ":" TEXT(__LINE__)

/* Says why the case does not hold, and ends. */
_Noreturn void fail(const char *where, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#define must(condition)                                                                            \
        do {                                                                                       \
                if (!(condition))                                                                  \
                        fail(HERE, "not true: %s (%s)", #condition, strerror(errno));              \
        } while (0)

/* ---- the server ---- */

/* True if there is something to read within so many milliseconds. */
bool can_be_read(int fd, int msec);

/* Before the server is started. */
void listen_for_responders(const char *path);

/* Tells what order says, with this call, on this descriptor; somebody else asks for the result. */
void tell(const struct responder *responder, enum call call, int fd);

/* Waits for a result, and returns it; the rest of the answer is in reply. */
long result_of(const char *where, const struct responder *responder);

#define result(responder)         result_of(HERE, responder)
#define does(responder, call, fd) (tell(responder, call, fd), result(responder))

/* Waits until the server sleeps. where: who wants that. */
void settle(const char *where);

/* ---- the page ---- */

/* Waits until the server sleeps; then the slots say just this, as "waiting busy". */
void check_states(const char *where, const char *expected);

#define is(expected) check_states(HERE, expected)

/* Takes a new thread of the server on. */
struct responder *take_on(void);

/* A thread of the server's, in control. */
const struct responder *another_thread(void);

/* ---- records ---- */

/* Appends a record; content: NULL for whatever. */
void append(struct bytes *bytes, unsigned type, unsigned id, const char *content, size_t size,
            unsigned padding);

/* Whole requests and answers, and parts of them. */
void append_begin(struct bytes *bytes, unsigned id, bool kept);

void append_end(struct bytes *bytes, unsigned id);

void append_request(struct bytes *bytes, unsigned id, bool kept);

void append_answer(struct bytes *bytes, unsigned id);

/* ---- the client ---- */

extern const uint8_t goodbye[8]; /* what a kept connection gets when the gate is closed */

/* Connects to address. */
void client_connect(void);

void client_close(void);

/* Sends some of the bytes. */
void client_send(const struct bytes *bytes, size_t from, size_t to);

/* Just these bytes come from the server, within the deadline. */
void client_receive(const uint8_t *expected, size_t size);

/* Goodbyes, and the end. */
void client_is_seen_off(void);

/* ---- what a server does with a connection ---- */

/* The worker is at accept, and a client comes. Returns the connection. */
int take_client(const struct responder *responder);

/* The same, with no other worker there. */
int accept_client(const struct responder *responder);

/* The worker is done with a connection: its client is gone, or it has had enough. */
void close_and_accept(const struct responder *responder, int fd);

/* A worker begins to wait for bytes, by the call of this round. */
void begin_to_receive(const struct responder *responder, int fd);

/* What was begun ends, with these bytes. Returns how many there were. */
size_t end_to_receive(const struct responder *responder, const uint8_t *bytes, size_t size);

/* Receives bytes that have been sent. All the time the worker is in a request. */
void receive(const struct responder *responder, int fd, const struct bytes *bytes, size_t from,
             size_t to);

/* Sends some of an answer, and the client gets it. */
void answer(const struct responder *responder, int fd, const struct bytes *bytes, size_t from,
            size_t to);

/* One connection. */
struct round {
        const struct responder *responder;
        int fd;
        const char *between; /* what the slot says while the worker waits for the next request */
};

/* Bytes come while the worker waits for some. */
void bytes_come(const struct round *round, const struct bytes *bytes, size_t from, size_t to);

/* ... all of them; and all of an answer goes out. */
void all_come(const struct round *round, const struct bytes *bytes);

void answer_all(const struct round *round, const struct bytes *bytes);

/* A connection on which a request has come and has been answered. */
struct round kept_connection(void);

/* The next request comes while the worker waits for it, and everything goes on. */
void request_comes(const struct round *round);

/* Begins a wait of so many milliseconds, -1: for ever, for one or two descriptors. */
void begin_to_wait(const struct responder *responder, enum call call, int fd, int other, int msec);

/* When the last request ended in the first slot. */
uint64_t last_end(void);
