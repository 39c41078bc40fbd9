/* SPDX-License-Identifier: MIT */
/*
 * What a worker's slot says while a responder does call by call what a server does.
 *
 *   slot-test CASE CONTROL ADDRESS -- COMMAND...     runs COMMAND, which ends in a responder for
 *                                                    CONTROL and ADDRESS under fpm-launcher
 *
 * After every order and every byte from the client this waits until each thread of the server
 * sleeps in a system call, and then looks at the gate's page: what it says then it says until
 * something else happens. Prints nothing if the case holds.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fastcgi.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../preload/gate.h"
#include "responder.h"

#define DEADLINE_SEC   20 /* a case that waits longer for one thing has hung */
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

static struct responder responders[RESPONDERS_MAX];
static size_t n_responders;
static int control_listener, server_listener;
static pid_t server; /* the process that was started */
static struct gate gate;
static struct order order;
static struct reply reply;

static const char *address;
static int client = -1;

/* How this round of the case receives and sends, and how many bytes at most at once. */
static enum call receiver = CALL_READ, sender = CALL_WRITE;
static uint32_t chunk = 4096;
static unsigned point, vanish_at;
static bool receiving;

static const char *const call_names[] = {
#define X(name) #name,
    CALLS(X)
#undef X
};

static void kill_all(void)
{
        for (size_t i = 0; i < n_responders; i++)
                if (responders[i].process > 0) /* 0: it has not said who it is */
                        (void)kill(responders[i].process, SIGKILL);
}

static _Noreturn void fail(int line, const char *format, ...) __attribute__((format(printf, 2, 3)));

static _Noreturn void fail(int line, const char *format, ...)
{
        va_list arguments;

        fprintf(stderr, "line %d, %s and %s, %u bytes at once, point %u: ", line,
                call_names[receiver], call_names[sender], chunk, point);
        va_start(arguments, format);
        vfprintf(stderr, format, arguments);
        va_end(arguments);
        fputs("\n", stderr);
        kill_all();
        exit(EXIT_FAILURE);
}

#define must(condition)                                                                            \
        do {                                                                                       \
                if (!(condition))                                                                  \
                        fail(__LINE__, "not true: %s (%s)", #condition, strerror(errno));          \
        } while (0)

/* ---- the server ---- */

static bool can_be_read(int fd, int msec)
{
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

        return poll(&poll_fd, 1, msec) > 0;
}

static void listen_for_responders(const char *path)
{
        struct sockaddr_un local = {.sun_family = AF_UNIX};

        (void)snprintf(local.sun_path, sizeof(local.sun_path), "%s", path);
        control_listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        must(bind(control_listener, (const struct sockaddr *)&local, sizeof(local)) == 0);
        must(listen(control_listener, RESPONDERS_MAX) == 0);
}

/* Tells what order says, with this call, on this descriptor; somebody else asks for the result. */
static void tell(const struct responder *responder, enum call call, int fd)
{
        order.call = call;
        order.fd = fd;
        must(send(responder->control, &order, sizeof(order), MSG_NOSIGNAL) == sizeof(order));
}

static long result_of(int line, const struct responder *responder)
{
        if (!can_be_read(responder->control, DEADLINE_SEC * 1000))
                fail(line, "%s does not return", call_names[order.call]);
        must(recv(responder->control, &reply, sizeof(reply), 0) == sizeof(reply));
        return reply.result;
}

#define result(responder)         result_of(__LINE__, responder)
#define does(responder, call, fd) (tell(responder, call, fd), result(responder))

/* True if a thread has taken its order and sleeps, until something comes from outside. */
static bool sleeps(const struct responder *responder)
{
        char path[64], text[64];
        ssize_t size;
        int fd, untaken = 0;

        must(ioctl(responder->control, SIOCOUTQ, &untaken) == 0);
        if (untaken)
                return false; /* it may look asleep while it is being woken */
        (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/syscall", responder->process,
                       responder->thread);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return true; /* it has ended */
        size = read(fd, text, sizeof(text));
        (void)close(fd);
        return size > 0 && text[0] >= '0' && text[0] <= '9';
}

static void settle(int line)
{
        const struct timespec moment = {.tv_nsec = 20000};
        time_t end = time(NULL) + DEADLINE_SEC;

        for (size_t i = 0; i < n_responders; i++)
                while (!sleeps(&responders[i])) {
                        if (time(NULL) > end)
                                fail(line, "the server does not sleep");
                        (void)nanosleep(&moment, NULL);
                }
}

/* ---- the page ---- */

/* Receives the first reply, and with it what makes up the gate. */
static void take_gate(int control)
{
        int fds[3];
        _Alignas(struct cmsghdr) char rights[CMSG_SPACE(sizeof(fds))];
        struct iovec vector = {.iov_base = &reply, .iov_len = sizeof(reply)};
        struct msghdr message = {.msg_iov = &vector,
                                 .msg_iovlen = 1,
                                 .msg_control = rights,
                                 .msg_controllen = sizeof(rights)};
        const struct cmsghdr *header;

        must(recvmsg(control, &message, MSG_CMSG_CLOEXEC) == sizeof(reply));
        header = CMSG_FIRSTHDR(&message);
        if (!header)
                return;
        must(header->cmsg_len == CMSG_LEN(sizeof(fds)));
        memcpy(fds, CMSG_DATA(header), sizeof(fds));
        gate.page = mmap(NULL, sizeof(*gate.page), PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
        must(gate.page != MAP_FAILED);
        must(gate.page->magic == GATE_MAGIC);
        gate.closing_fd = fds[1];
        gate.waking_fd = fds[2];
        (void)close(fds[0]);
}

/* The states of all slots, in words. */
static const char *states(void)
{
        static const char *const names[] = {
            [GATE_STARTING] = "starting", [GATE_WAITING] = "waiting",
            [GATE_PARKED] = "parked",     [GATE_ACCEPTING] = "accepting",
            [GATE_BUSY] = "busy",         [GATE_KEPT_ALIVE] = "kept-alive",
        };
        static char text[256];
        size_t size = 0;

        text[0] = '\0';
        for (uint32_t i = 0; i < atomic_load(&gate.page->slots_used); i++) {
                uint32_t state = gate_state(&gate.page->slots[i]);

                if (state != GATE_FREE && size < sizeof(text))
                        size += (size_t)snprintf(text + size, sizeof(text) - size, "%s%s",
                                                 size ? " " : "", names[state]);
        }
        return text;
}

static void check_states(int line, const char *expected)
{
        settle(line);
        if (strcmp(states(), expected) != 0)
                fail(line, "the slots say: %s; expected: %s", states(), expected);
}

#define is(expected) check_states(__LINE__, expected)

/* Takes a new thread of the server on. */
static struct responder *take_on(void)
{
        struct responder *responder = &responders[n_responders++];

        must(n_responders <= RESPONDERS_MAX);
        must(can_be_read(control_listener, DEADLINE_SEC * 1000));
        responder->control = accept4(control_listener, NULL, NULL, SOCK_CLOEXEC);
        take_gate(responder->control);
        responder->process = reply.process;
        responder->thread = reply.thread;
        server_listener = (int)reply.result;
        return responder;
}

/* ---- records ---- */

static void append(struct bytes *bytes, unsigned type, unsigned id, const char *content,
                   size_t size, unsigned padding)
{
        const uint8_t header[FCGI_HEADER_LEN] = {
            FCGI_VERSION_1,       (uint8_t)type, (uint8_t)(id >> 8), (uint8_t)id,
            (uint8_t)(size >> 8), (uint8_t)size, (uint8_t)padding,   0};

        must(bytes->size + sizeof(header) + size + padding <= BYTES_MAX);
        memcpy(bytes->data + bytes->size, header, sizeof(header));
        bytes->size += sizeof(header);
        if (content)
                memcpy(bytes->data + bytes->size, content, size);
        else
                memset(bytes->data + bytes->size, 'x', size);
        memset(bytes->data + bytes->size + size, 0, padding);
        bytes->size += size + padding;
}

static void append_begin(struct bytes *bytes, unsigned id, bool kept)
{
        const char body[8] = {0, FCGI_RESPONDER, kept ? FCGI_KEEP_CONN : 0};

        append(bytes, FCGI_BEGIN_REQUEST, id, body, sizeof(body), 0);
}

static void append_end(struct bytes *bytes, unsigned id)
{
        static const char body[8];

        append(bytes, FCGI_END_REQUEST, id, body, sizeof(body), 0);
}

static void append_request(struct bytes *bytes, unsigned id, bool kept)
{
        append_begin(bytes, id, kept);
        append(bytes, FCGI_PARAMS, id, NULL, 27, 5);
        append(bytes, FCGI_PARAMS, id, NULL, 0, 0);
        append(bytes, FCGI_STDIN, id, NULL, 10, 6);
        append(bytes, FCGI_STDIN, id, NULL, 0, 0);
}

static void append_answer(struct bytes *bytes, unsigned id)
{
        append(bytes, FCGI_STDOUT, id, NULL, 30, 2);
        append(bytes, FCGI_STDERR, id, NULL, 5, 3);
        append(bytes, FCGI_STDOUT, id, NULL, 0, 0);
        append_end(bytes, id);
}

/* ---- the client ---- */

static void client_connect(void)
{
        struct sockaddr_un local = {.sun_family = AF_UNIX};
        struct sockaddr_in internet = {.sin_family = AF_INET};
        const char *colon = strrchr(address, ':');
        const int on = 1;

        client = socket(colon ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (colon) {
                internet.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
                internet.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
                must(setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0);
                must(connect(client, (struct sockaddr *)&internet, sizeof(internet)) == 0);
        } else {
                (void)snprintf(local.sun_path, sizeof(local.sun_path), "%s", address);
                must(connect(client, (struct sockaddr *)&local, sizeof(local)) == 0);
        }
}

static void client_close(void)
{
        must(close(client) == 0);
        client = -1;
}

/* Sends some of the bytes. */
static void client_send(const struct bytes *bytes, size_t from, size_t to)
{
        must(send(client, bytes->data + from, to - from, MSG_NOSIGNAL) == (ssize_t)(to - from));
}

/* Just these bytes come from the server, within the deadline. */
static void client_receive(const uint8_t *expected, size_t size)
{
        static uint8_t data[BYTES_MAX];

        for (size_t have = 0; have < size;) {
                ssize_t n;

                must(can_be_read(client, DEADLINE_SEC * 1000));
                n = recv(client, data + have, size - have, 0);
                must(n > 0);
                have += (size_t)n;
                must(memcmp(data, expected, have) == 0);
        }
}

/* ---- what a server does with a connection ---- */

/* The worker is at accept, and a client comes. Returns the connection. */
static int take_client(const struct responder *responder)
{
        long fd;

        client_connect();
        fd = result(responder);
        must(fd >= 0);
        return (int)fd;
}

/* The same, with no other worker there. */
static int accept_client(const struct responder *responder)
{
        is("waiting");
        return take_client(responder);
}

/* The worker is done with a connection: its client is gone, or it has had enough. */
static void close_and_accept(const struct responder *responder, int fd)
{
        must(does(responder, CALL_CLOSE, fd) == 0);
        if (client >= 0)
                client_close();
        tell(responder, CALL_ACCEPT, server_listener);
        is("waiting");
}

static void begin_to_receive(const struct responder *responder, int fd)
{
        order.size = chunk;
        tell(responder, receiver, fd);
        receiving = true;
}

/* What was begun ends, with these bytes. Returns how many there were. */
static size_t end_to_receive(const struct responder *responder, const uint8_t *bytes, size_t size)
{
        long n = result(responder);

        receiving = false;
        must(n > 0 && (size_t)n <= size);
        must(memcmp(reply.data, bytes, (size_t)n) == 0);
        return (size_t)n;
}

/* Receives bytes that have been sent. All the time the worker is in a request. */
static void receive(const struct responder *responder, int fd, const struct bytes *bytes,
                    size_t from, size_t to)
{
        while (from < to) {
                order.size = to - from < chunk ? (uint32_t)(to - from) : chunk;
                tell(responder, receiver, fd);
                from += end_to_receive(responder, bytes->data + from, to - from);
                is("busy");
        }
}

/* Sends some of an answer, and the client gets it. */
static void answer(const struct responder *responder, int fd, const struct bytes *bytes,
                   size_t from, size_t to)
{
        size_t sent = from;

        while (sent < to) {
                long n;

                order.size = to - sent < chunk ? (uint32_t)(to - sent) : chunk;
                memcpy(order.data, bytes->data + sent, order.size);
                n = does(responder, sender, fd);
                must(n > 0 && (size_t)n <= to - sent);
                sent += (size_t)n;
                is("busy");
        }
        client_receive(bytes->data + from, to - from);
}

/* One connection. */
struct round {
        const struct responder *responder;
        int fd;
        const char *between; /* what the slot says while the worker waits for the next request */
};

/*
 * The slot says so; and if this is the point at which the client of this round vanishes, then it
 * does, the worker finds out, the slot says what is expected then, and the worker goes back to
 * accept. Returns false in that case.
 */
static bool point_is(int line, const struct round *round, const char *expected, const char *then)
{
        check_states(line, expected);
        if (++point != vanish_at)
                return true;
        client_close();
        if (!receiving)
                begin_to_receive(round->responder, round->fd);
        while (result(round->responder) > 0) /* what the client had sent before */
                begin_to_receive(round->responder, round->fd);
        receiving = false;
        is(then); /* busy until it is back; to hang up between two requests is no request */
        close_and_accept(round->responder, round->fd);
        return false;
}

#define POINT_THEN(expected, then)                                                                 \
        do {                                                                                       \
                if (!point_is(__LINE__, round, expected, then))                                    \
                        return false;                                                              \
        } while (0)
#define POINT(expected) POINT_THEN(expected, expected)

/* Bytes come while the worker waits for some. */
static void bytes_come(const struct round *round, const struct bytes *bytes, size_t from, size_t to)
{
        client_send(bytes, from, to);
        from += end_to_receive(round->responder, bytes->data + from, to - from);
        receive(round->responder, round->fd, bytes, from, to);
}

static void all_come(const struct round *round, const struct bytes *bytes)
{
        bytes_come(round, bytes, 0, bytes->size);
}

static void answer_all(const struct round *round, const struct bytes *bytes)
{
        answer(round->responder, round->fd, bytes, 0, bytes->size);
}

/* A request that comes in pieces, and whose answer goes out in pieces. */
static bool in_pieces(const struct round *round)
{
        struct bytes request = {0}, reply_to_it = {0};

        append_request(&request, 1, KEPT);
        append_answer(&reply_to_it, 1);
        POINT("busy");
        begin_to_receive(round->responder, round->fd);
        POINT("busy");
        bytes_come(round, &request, 0, 4);
        begin_to_receive(round->responder, round->fd);
        POINT("busy");
        bytes_come(round, &request, 4, request.size - FCGI_HEADER_LEN);
        begin_to_receive(round->responder, round->fd);
        POINT("busy"); /* between two records, but not between two requests */
        bytes_come(round, &request, request.size - FCGI_HEADER_LEN, request.size);
        POINT("busy");
        answer(round->responder, round->fd, &reply_to_it, 0, 20);
        POINT("busy");
        answer(round->responder, round->fd, &reply_to_it, 20, reply_to_it.size - 1);
        begin_to_receive(round->responder, round->fd);
        POINT("busy"); /* but for a byte */
        bytes_come(round, &request, 0, 1);
        answer(round->responder, round->fd, &reply_to_it, reply_to_it.size - 1, reply_to_it.size);
        POINT("busy"); /* until it is back; and the next one has begun */
        begin_to_receive(round->responder, round->fd);
        POINT("busy");
        bytes_come(round, &request, 1, request.size);
        return true;
}

/* Waiting for the next one. */
static bool next(const struct round *round)
{
        struct bytes request = {0}, reply_to_it = {0};

        append_request(&request, 1, KEPT);
        append_answer(&reply_to_it, 1);
        answer_all(round, &reply_to_it);
        POINT_THEN("busy", round->between);
        begin_to_receive(round->responder, round->fd);
        POINT(round->between);
        bytes_come(round, &request, 0, 1);
        POINT("busy");
        begin_to_receive(round->responder, round->fd);
        POINT("busy");
        bytes_come(round, &request, 1, request.size);
        answer_all(round, &reply_to_it);
        begin_to_receive(round->responder, round->fd);
        POINT(round->between);
        return true;
}

/* A question about the server, between two requests. */
static bool management(const struct round *round)
{
        struct bytes question = {0}, reply_to_it = {0};

        append(&question, FCGI_GET_VALUES, 0, "\17\0FCGI_MPXS_CONNS", 17, 7);
        append(&reply_to_it, FCGI_GET_VALUES_RESULT, 0, "\17\1FCGI_MPXS_CONNS1", 18, 6);
        bytes_come(round, &question, 0, 9);
        begin_to_receive(round->responder, round->fd);
        POINT("busy");
        bytes_come(round, &question, 9, question.size);
        POINT_THEN("busy", round->between);
        answer_all(round, &reply_to_it);
        begin_to_receive(round->responder, round->fd);
        POINT(round->between);
        return true;
}

/* A request that is aborted while it comes, once more when it has ended. */
static bool aborted(const struct round *round)
{
        struct bytes request = {0}, reply_to_it = {0}, abort_it = {0};

        append_begin(&request, 7, KEPT);
        append(&request, FCGI_PARAMS, 7, NULL, 27, 5);
        append(&abort_it, FCGI_ABORT_REQUEST, 7, NULL, 0, 0);
        append_end(&reply_to_it, 7);
        all_come(round, &request);
        begin_to_receive(round->responder, round->fd);
        POINT("busy");
        all_come(round, &abort_it);
        begin_to_receive(round->responder, round->fd);
        POINT("busy"); /* nobody has said its end */
        all_come(round, &abort_it);
        answer_all(round, &reply_to_it);
        begin_to_receive(round->responder, round->fd);
        POINT(round->between);
        all_come(round, &abort_it);
        POINT_THEN("busy", round->between);
        begin_to_receive(round->responder, round->fd);
        POINT(round->between);
        return true;
}

/* Three requests come at once; two of them are sent side by side, the third one behind. */
static bool several(const struct round *round)
{
        struct bytes requests = {0}, first = {0}, second = {0}, nothing = {0};

        append_begin(&requests, 1, KEPT);
        append_request(&requests, 258, KEPT);
        append(&requests, FCGI_PARAMS, 1, NULL, 0, 0);
        append(&requests, FCGI_STDIN, 1, NULL, 0, 0);
        append_request(&requests, 1, KEPT);
        append_answer(&first, 1);
        append_answer(&second, 258);
        append(&nothing, FCGI_STDIN, 258, NULL, 0, 0);
        all_come(round, &requests);
        answer_all(round, &second);
        POINT("busy");
        begin_to_receive(round->responder, round->fd);
        POINT("busy"); /* two are still to be answered */
        all_come(round, &nothing);
        answer_all(round, &first);
        begin_to_receive(round->responder, round->fd);
        POINT("busy"); /* one is */
        all_come(round, &nothing);
        answer_all(round, &first);
        begin_to_receive(round->responder, round->fd);
        POINT(round->between);
        return true;
}

/* A request without FCGI_KEEP_CONN: it is the server's to close, whatever the client does. */
static bool not_kept(const struct round *round)
{
        struct bytes request = {0}, reply_to_it = {0};

        append_request(&request, 1, !KEPT);
        append_answer(&reply_to_it, 1);
        all_come(round, &request);
        answer_all(round, &reply_to_it);
        begin_to_receive(round->responder, round->fd);
        POINT("busy");
        return true;
}

/* All that can happen on a connection. */
static void live(const struct responder *responder, const char *between)
{
        struct round round = {responder, accept_client(responder), between};

        if (!in_pieces(&round) || !next(&round) || !management(&round) || !aborted(&round) ||
            !several(&round) || !not_kept(&round))
                return;
        client_close();
        must(result(responder) <= 0);
        receiving = false;
        close_and_accept(responder, round.fd);
}

/* ---- cases ---- */

static void live_in_pieces_of(uint32_t size, const char *between)
{
        chunk = size;
        point = 0;
        live(&responders[0], between);
}

/* Every way to receive and every way to send, in pieces of different sizes. */
static void every_call(void)
{
        for (uint32_t size = 1; size <= 17; size++)
                live_in_pieces_of(size, "kept-alive");
        for (receiver = CALL_READ; receiver <= CALL_PREADV64V2; receiver++) {
                if (receiver == CALL_RECV_DONTWAIT || receiver == CALL_RECV_PEEK)
                        continue; /* these do not wait, or do not take */
                live_in_pieces_of(7, "kept-alive");
                live_in_pieces_of(4096, "kept-alive");
        }
        receiver = CALL_READ;
        for (sender = CALL_WRITE; sender <= CALL_PWRITEV64V2; sender++) {
                live_in_pieces_of(7, "kept-alive");
                live_in_pieces_of(4096, "kept-alive");
        }
}

/* Ways that do not show what they move: then a connection that is kept counts as busy. */
static void unseen_calls(void)
{
        for (receiver = CALL_SPLICE_IN; receiver <= CALL_GETC; receiver++)
                live_in_pieces_of(4096, "busy");
        receiver = CALL_READ;
        for (sender = CALL_SENDFILE; sender <= CALL_FWRITE; sender++)
                live_in_pieces_of(4096, "busy");
}

/* The same calls, where all that they move is the content of one record. */
static void unseen_content(void)
{
        static const enum call in[] = {CALL_SPLICE_IN, CALL_READ};
        static const enum call out[] = {CALL_SENDFILE, CALL_SENDFILE64, CALL_SPLICE_OUT};
        const struct responder *responder = &responders[0];
        struct bytes request = {0}, reply_to_it = {0};
        const size_t header = FCGI_HEADER_LEN;
        /* Behind BEGIN_REQUEST and PARAMS, of append_request(). */
        const size_t body = 2 * header + 2 * header + 27 + 5;

        append_request(&request, 1, KEPT);
        append_answer(&reply_to_it, 1);
        for (size_t i = 0; i < sizeof(out) / sizeof(out[0]); i++) {
                int fd = accept_client(responder);

                client_send(&request, 0, request.size);
                receive(responder, fd, &request, 0, body + header);
                receiver = in[i % 2];
                receive(responder, fd, &request, body + header, body + header + 16);
                receiver = CALL_READ;
                receive(responder, fd, &request, body + header + 16, request.size);
                answer(responder, fd, &reply_to_it, 0, header);
                sender = out[i];
                answer(responder, fd, &reply_to_it, header, header + 10);
                answer(responder, fd, &reply_to_it, header + 10, header + 30);
                sender = CALL_WRITE;
                answer(responder, fd, &reply_to_it, header + 30, reply_to_it.size);
                begin_to_receive(responder, fd);
                is("kept-alive");
                client_close();
                must(result(responder) == 0);
                close_and_accept(responder, fd);
        }
}

/* What is only peeked at comes again. */
static void peek(void)
{
        const struct responder *responder = &responders[0];
        struct bytes request = {0}, reply_to_it = {0};
        int fd = accept_client(responder);

        append_answer(&reply_to_it, 1);
        for (int i = 0; i < 3; i++) {
                append_request(&request, 1, KEPT);
                client_send(&request, 0, request.size);
                order.size = chunk;
                must(does(responder, CALL_RECV_PEEK, fd) == (long)request.size);
                is("busy");
                order.size = chunk;
                must(does(responder, CALL_RECV_PEEK, fd) == (long)request.size);
                receive(responder, fd, &request, 0, request.size);
                answer(responder, fd, &reply_to_it, 0, reply_to_it.size);
                order.size = chunk;
                must(does(responder, CALL_RECV_DONTWAIT, fd) == -EAGAIN);
                is("busy");
                order.size = chunk;
                tell(responder, CALL_RECV_PEEK, fd);
                is("kept-alive");
                client_send(&request, 0, 1);
                must(result(responder) == 1);
                is("busy");
                receive(responder, fd, &request, 0, 1);
                client_send(&request, 1, request.size);
                receive(responder, fd, &request, 1, request.size);
                answer(responder, fd, &reply_to_it, 0, reply_to_it.size);
                request.size = 0;
        }
        close_and_accept(responder, fd);
}

/* A connection on which a request has come and has been answered. */
static struct round kept_connection(void)
{
        struct round round = {&responders[0], accept_client(&responders[0]), "kept-alive"};
        struct bytes request = {0}, reply_to_it = {0};

        append_request(&request, 1, KEPT);
        append_answer(&reply_to_it, 1);
        client_send(&request, 0, request.size);
        receive(round.responder, round.fd, &request, 0, request.size);
        answer_all(&round, &reply_to_it);
        return round;
}

/* The next request comes while the worker waits for it, and everything goes on. */
static void request_comes(const struct round *round)
{
        struct bytes request = {0}, reply_to_it = {0};

        append_request(&request, 1, KEPT);
        append_answer(&reply_to_it, 1);
        all_come(round, &request);
        answer_all(round, &reply_to_it);
}

static uint64_t last_end(void)
{
        return atomic_load(&gate.page->slots[0].last_end_usec);
}

/* A read that does not wait does not do so between two requests either. */
static void no_wait(void)
{
        /* recv(2) of nothing waits nevertheless. */
        static const enum call of_nothing[] = {CALL_READ, CALL_READ_CHK, CALL_READV, CALL_PREADV2};
        struct round round = kept_connection();

        order.argument = 1;
        must(does(round.responder, CALL_SET_NONBLOCK, round.fd) == 0);
        for (receiver = CALL_READ; receiver <= CALL_PREADV64V2; receiver++) {
                order.size = chunk;
                must(does(round.responder, receiver, round.fd) == -EAGAIN);
                is("busy");
        }
        order.argument = 0;
        must(does(round.responder, CALL_SET_NONBLOCK, round.fd) == 0);
        for (size_t i = 0; i < sizeof(of_nothing) / sizeof(of_nothing[0]); i++) {
                order.size = 0;
                must(does(round.responder, of_nothing[i], round.fd) == 0);
                is("busy");
        }
        receiver = CALL_READ;
        close_and_accept(round.responder, round.fd);
}

/* A server that looks up from its wait now and then. */
static void timeout(void)
{
        struct round round = kept_connection();
        uint64_t end;

        order.argument = 200;
        must(does(round.responder, CALL_SET_TIMEOUT, round.fd) == 0);
        begin_to_receive(round.responder, round.fd);
        is("kept-alive");
        must(result(round.responder) == -EAGAIN);
        /* Nothing has happened since: the time that all has been idle is no shorter for it. */
        end = last_end();
        for (int i = 0; i < 3; i++) {
                begin_to_receive(round.responder, round.fd);
                is("kept-alive");
                must(result(round.responder) == -EAGAIN);
                is("kept-alive");
                must(last_end() == end);
        }
        begin_to_receive(round.responder, round.fd);
        request_comes(&round);
        begin_to_receive(round.responder, round.fd);
        is("kept-alive");
        must(last_end() > end);
        client_close();
        must(result(round.responder) == 0);
        close_and_accept(round.responder, round.fd);
}

/* A request that nobody saw coming, on a connection where one was seen before. */
static void unseen_request(void)
{
        struct round round = kept_connection();
        struct bytes begin = {0};

        append_begin(&begin, 1, KEPT);
        client_send(&begin, 0, begin.size);
        receiver = CALL_SPLICE_IN;
        receive(round.responder, round.fd, &begin, 0, begin.size);
        receiver = CALL_READ;
        begin_to_receive(round.responder, round.fd);
        is("busy");
        client_close();
        must(result(round.responder) == 0);
        is("busy");
        close_and_accept(round.responder, round.fd);
}

/* A server that ends more requests than were begun is not idle in the middle of the next one. */
static void ended_twice(void)
{
        struct round round = kept_connection();
        struct bytes again = {0}, begin = {0}, rest = {0};

        append_end(&again, 1);
        append_end(&again, 2);
        append_begin(&begin, 1, KEPT);
        append_request(&rest, 3, KEPT);
        answer_all(&round, &again);
        begin_to_receive(round.responder, round.fd);
        is("kept-alive");
        all_come(&round, &begin);
        begin_to_receive(round.responder, round.fd);
        is("busy");
        all_come(&round, &rest);
        begin_to_receive(round.responder, round.fd);
        is("busy");
        client_close();
        must(result(round.responder) == 0);
        close_and_accept(round.responder, round.fd);
}

static const uint8_t goodbye[8] = {1, FCGI_STDERR, 0, 1, 0, 0, 0, 0};

/* A client that leaves an answer unread when it goes: a reset instead of an end. */
static void reset(void)
{
        struct round round = kept_connection();
        struct bytes request = {0};
        uint64_t end;

        append_request(&request, 1, KEPT);
        client_send(&request, 0, request.size);
        receive(round.responder, round.fd, &request, 0, request.size);
        append_end(&request, 1);
        order.size = 2 * FCGI_HEADER_LEN;
        memcpy(order.data, request.data + request.size - order.size, order.size);
        must(does(round.responder, CALL_WRITE, round.fd) == order.size);
        begin_to_receive(round.responder, round.fd);
        is("kept-alive");
        end = last_end();
        client_close();
        must(result(round.responder) == -ECONNRESET);
        is("kept-alive");
        close_and_accept(round.responder, round.fd);
        must(last_end() == end);
}

/* Goodbyes, and the end. */
static void client_is_seen_off(void)
{
        uint8_t bytes[sizeof(goodbye)];
        ssize_t n;

        while ((n = recv(client, bytes, sizeof(bytes), MSG_WAITALL)) > 0)
                must(n == sizeof(bytes) && memcmp(bytes, goodbye, sizeof(bytes)) == 0);
        must(n == 0 || errno == ECONNRESET);
        client_close();
}

/* The gate closes while a worker waits for the next request, in each call that does. */
static void closing(void)
{
        for (enum call call = CALL_READ; call <= CALL_PREADV64V2; call++) {
                struct round round;

                if (call == CALL_RECV_DONTWAIT)
                        continue;
                receiver = CALL_READ;
                round = kept_connection();
                receiver = call;
                begin_to_receive(round.responder, round.fd);
                is("kept-alive");
                gate_close(&gate, GATE_MASTER, 0);
                client_receive(goodbye, sizeof(goodbye));
                must(result(round.responder) == 0);
                is("kept-alive"); /* until it has hung up */
                must(does(round.responder, CALL_CLOSE, round.fd) == 0);
                tell(round.responder, CALL_ACCEPT, server_listener);
                is("waiting"); /* it holds nothing */
                client_is_seen_off();
                gate_open(&gate, GATE_MASTER);
        }
}

/* The gate closes, and just then the next request comes: it is served, and then no other. */
static void closing_too_late(void)
{
        struct round round = kept_connection();
        struct bytes request = {0}, reply_to_it = {0};

        begin_to_receive(round.responder, round.fd);
        is("kept-alive");
        gate_close(&gate, GATE_MASTER, 0);
        client_receive(goodbye, sizeof(goodbye));
        append_request(&request, 1, KEPT);
        append_answer(&reply_to_it, 1);
        all_come(&round, &request);
        is("busy");
        answer_all(&round, &reply_to_it);
        client_receive(goodbye, sizeof(goodbye));
        begin_to_receive(round.responder, round.fd);
        must(result(round.responder) == 0);
        must(does(round.responder, CALL_CLOSE, round.fd) == 0);
        client_close();
        tell(round.responder, CALL_ACCEPT, server_listener);
        is("waiting");
        gate_open(&gate, GATE_MASTER);
}

/* Begins a wait of so many milliseconds, -1: for ever, for one or two descriptors. */
static void begin_to_wait(const struct responder *responder, enum call call, int fd, int other,
                          int msec)
{
        memset(order.fds, -1, sizeof(order.fds));
        order.fds[0] = fd;
        order.fds[1] = other;
        order.argument = msec;
        tell(responder, call, -1);
}

/* The server has had time to do something, and has not come back from what it was told. */
static bool stays_in_call(const struct responder *responder)
{
        return !can_be_read(responder->control, 20);
}

static bool has_ended(void)
{
        int status;

        return waitpid(server, &status, 0) == server && WIFEXITED(status) &&
               WEXITSTATUS(status) == 0;
}

/* A request during which the server is told to stop, once and again: it notices nothing. */
static void stopped(const struct responder *responder)
{
        struct bytes request = {0}, reply_to_it = {0};
        struct round round = {responder, accept_client(responder), "kept-alive"};

        append_request(&request, 1, !KEPT);
        append_answer(&reply_to_it, 1);
        begin_to_wait(responder, CALL_POLL, round.fd, -1, -1);
        is("busy");
        must(kill(responder->process, SIGTERM) == 0);
        must(stays_in_call(responder));
        client_send(&request, 0, 4);
        must(result(responder) == 1);
        receive(responder, round.fd, &request, 0, 4);
        begin_to_receive(responder, round.fd);
        is("busy");
        must(kill(responder->process, SIGTERM) == 0);
        must(stays_in_call(responder));
        bytes_come(&round, &request, 4, request.size);
        begin_to_wait(responder, CALL_SELECT, round.fd, -1, -1);
        is("busy");
        must(kill(responder->process, SIGTERM) == 0);
        must(stays_in_call(responder));
        client_send(&request, 0, 1);
        must(result(responder) == 1);
        answer_all(&round, &reply_to_it);
        must(does(responder, CALL_CLOSE, round.fd) == 0);
}

/* ... and ends when it is back. */
static void stop_in_request(void)
{
        stopped(&responders[0]);
        tell(&responders[0], CALL_ACCEPT, server_listener);
        must(has_ended());
}

/* One with a handler of its own, which is to interrupt accept(): that runs when it is back. */
static void stop_with_handler(void)
{
        const struct responder *responder = &responders[0];

        if (responder->process != server)
                return; /* a worker's handlers are its own business */
        must(does(responder, CALL_CLOSE, accept_client(responder)) == 0);
        client_close();
        order.argument = 0;
        must(does(responder, CALL_HANDLE_SIGNAL, SIGTERM) == 0);
        tell(responder, CALL_ACCEPT, server_listener);
        stopped(responder);
        client_close();
        tell(responder, CALL_ACCEPT, server_listener);
        must(result(responder) == -EINTR);
}

/* The same, between two requests. */
static void stop_between_requests(void)
{
        struct round round = kept_connection();

        if (round.responder->process != server)
                return;
        begin_to_receive(round.responder, round.fd);
        is("kept-alive");
        must(kill(server, SIGTERM) == 0);
        client_receive(goodbye, sizeof(goodbye));
        must(result(round.responder) == 0);
        must(does(round.responder, CALL_CLOSE, round.fd) == 0);
        tell(round.responder, CALL_ACCEPT, server_listener);
        must(has_ended());
}

/* A connection under another number, and without the number that it had. */
static void copies(void)
{
        const struct responder *responder = &responders[0];

        for (enum call call = CALL_DUP; call <= CALL_DUPFD_CLOEXEC; call++) {
                struct round round = kept_connection();
                int first = round.fd;

                order.argument = first + 20;
                round.fd = (int)does(responder, call, first);
                must(round.fd > first);
                begin_to_receive(responder, first);
                is("kept-alive");
                request_comes(&round); /* answered, and from now on received, by the copy */
                begin_to_receive(responder, round.fd);
                is("kept-alive");
                request_comes(&round);
                must(does(responder, CALL_CLOSE, first) == 0);
                begin_to_receive(responder, round.fd);
                is("kept-alive");
                request_comes(&round);
                begin_to_receive(responder, round.fd);
                is("kept-alive");
                client_close();
                must(result(responder) == 0);
                close_and_accept(responder, round.fd);
        }
}

/* A thread of the server's, in control. */
static const struct responder *another_thread(void)
{
        must(does(&responders[0], CALL_THREAD, -1) == 0);
        return take_on();
}

/* The thread that accepted accepts again: another one works on the connection, or on a copy. */
static void left_behind(void)
{
        struct round round = kept_connection();
        int first = round.fd;

        round.responder = another_thread();
        tell(&responders[0], CALL_ACCEPT, server_listener);
        is("busy waiting");
        begin_to_receive(round.responder, round.fd);
        is("kept-alive waiting");
        client_send(&(const struct bytes){.data = {1}}, 0, 1);
        must(result(round.responder) == 1);
        is("busy waiting");
        round.fd = (int)does(round.responder, CALL_DUP, first);
        must(does(round.responder, CALL_CLOSE, first) == 0);
        is("busy waiting");
        must(does(round.responder, CALL_CLOSE, round.fd) == 0);
        is("waiting");
        client_close();
        receiving = false;
        close_and_accept(&responders[0], accept_client(&responders[0]));
}

/* The gate closes while another thread waits for the next request. */
static void closing_left_behind(void)
{
        struct round round = kept_connection();

        round.responder = another_thread();
        tell(&responders[0], CALL_ACCEPT, server_listener);
        begin_to_receive(round.responder, round.fd);
        is("kept-alive waiting");
        gate_close(&gate, GATE_MASTER, 0);
        client_receive(goodbye, sizeof(goodbye));
        must(result(round.responder) == 0);
        must(does(round.responder, CALL_CLOSE, round.fd) == 0);
        is("waiting");
        client_close();
        gate_open(&gate, GATE_MASTER);
        is("waiting");
}

/* fclose() ends a connection without a close() that anybody could see. */
static void closed_unseen(void)
{
        for (int i = 0; i < 3; i++) {
                int fd = accept_client(&responders[0]);

                client_send(&(const struct bytes){.data = {1}}, 0, 1);
                must(does(&responders[0], CALL_GETC, fd) == 1);
                is("busy");
                must(does(&responders[0], CALL_FCLOSE, fd) == 0);
                is("busy");
                client_close();
                tell(&responders[0], CALL_ACCEPT, server_listener);
                is("waiting");
        }
}

static unsigned count(enum gate_state state)
{
        unsigned n = 0;

        settle(__LINE__);
        for (uint32_t i = 0; i < atomic_load(&gate.page->slots_used); i++)
                n += gate_state(&gate.page->slots[i]) == state;
        return n;
}

/* A server with many connections at once, in one thread. */
static void many(void)
{
        enum { MANY = 300 };
        static int fds[MANY], clients[MANY];
        const struct responder *responder = &responders[0];

        for (unsigned i = 0; i < MANY; i++) {
                fds[i] = take_client(responder);
                clients[i] = client;
                tell(responder, CALL_ACCEPT, server_listener);
                must(count(GATE_BUSY) == i + 1);
                must(count(GATE_WAITING) == 1);
        }
        for (unsigned i = 0; i < MANY; i++) {
                int fd = take_client(responder);

                must(does(responder, CALL_CLOSE, fds[i]) == 0);
                must(does(responder, CALL_CLOSE, fd) == 0);
                client_close();
                (void)close(clients[i]);
                tell(responder, CALL_ACCEPT, server_listener);
                must(count(GATE_BUSY) == MANY - 1 - i);
                must(count(GATE_WAITING) == 1);
        }
}

/* Connects and closes so many times. */
static void knock(unsigned n)
{
        while (n--) {
                client_connect();
                client_close();
        }
}

/* Threads that accept at the same time. */
static void threads(void)
{
        enum { THREADS = 4, CONNECTIONS = 1000 };

        (void)accept_client(&responders[0]);
        client_close();
        for (int i = 1; i < THREADS; i++)
                (void)another_thread();
        order.argument = CONNECTIONS;
        for (int i = 0; i < THREADS; i++)
                tell(&responders[i], CALL_SERVE, server_listener);
        knock(THREADS * CONNECTIONS);
        for (int i = 0; i < THREADS; i++)
                must(result(&responders[i]) == CONNECTIONS);
        for (int i = 0; i < THREADS; i++)
                tell(&responders[i], CALL_ACCEPT, server_listener);
        is("busy waiting waiting waiting waiting"); /* one is still open */
}

/* One thread accepts, another one closes, maybe before the first one is back at accept. */
static void handed_out(void)
{
        enum { CONNECTIONS = 5000 };

        must(does(&responders[0], CALL_CLOSE, accept_client(&responders[0])) == 0);
        client_close();
        order.argument = CONNECTIONS;
        tell(&responders[0], CALL_HAND_OUT, server_listener);
        knock(CONNECTIONS);
        must(result(&responders[0]) == CONNECTIONS);
        tell(&responders[0], CALL_ACCEPT, server_listener);
        is("waiting");
}

/* What a process does that a worker forked is not followed: it is a program in the background. */
static void forked(void)
{
        struct round round = kept_connection(), in_child = round;

        must(does(round.responder, CALL_FORK, -1) > 0);
        in_child.responder = take_on();
        begin_to_receive(in_child.responder, round.fd);
        is("busy");
        request_comes(&in_child);
        begin_to_receive(in_child.responder, round.fd);
        is("busy");
        must(does(round.responder, CALL_CLOSE, round.fd) == 0);
        tell(round.responder, CALL_ACCEPT, server_listener);
        is("waiting");
        client_close();
        must(result(in_child.responder) == 0);
        is("waiting");
}

static void wait_without_limit(enum call call)
{
        struct round round = kept_connection();

        begin_to_wait(round.responder, call, round.fd, -1, -1);
        is("kept-alive");
        client_send(&(const struct bytes){.data = {FCGI_VERSION_1}}, 0, 1);
        must(result(round.responder) == 1 && reply.data[0] == 1);
        is("busy");
        order.size = 1;
        must(does(round.responder, CALL_READ, round.fd) == 1);
        begin_to_wait(round.responder, call, round.fd, -1, -1);
        is("busy"); /* half a header */
        client_close();
        must(result(round.responder) == 1 && reply.data[0] == 1);
        close_and_accept(round.responder, round.fd);
}

static void wait_with_limit(enum call call)
{
        struct round round = kept_connection();
        uint64_t end;

        begin_to_wait(round.responder, call, round.fd, -1, 0);
        must(result(round.responder) == 0 && reply.data[0] == 0);
        is("busy"); /* it just had a look */
        begin_to_wait(round.responder, call, round.fd, -1, 100);
        is("kept-alive");
        must(result(round.responder) == 0 && reply.data[0] == 0);
        end = last_end();
        begin_to_wait(round.responder, call, round.fd, -1, 100);
        is("kept-alive");
        must(result(round.responder) == 0);
        must(last_end() == end);
        begin_to_receive(round.responder, round.fd);
        is("kept-alive");
        request_comes(&round);
        begin_to_wait(round.responder, call, round.fd, -1, -1);
        is("kept-alive");
        client_close();
        must(result(round.responder) == 1 && reply.data[0] == 1);
        close_and_accept(round.responder, round.fd);
}

/* Servers that wait for the next request by other means than a read. */
static void waits(void)
{
        for (enum call call = CALL_POLL; call <= CALL_PSELECT; call++) {
                wait_without_limit(call);
                wait_with_limit(call);
        }
}

/* The gate closes meanwhile: the connection can be read, and the read finds its end. */
static void closing_waits(void)
{
        for (enum call call = CALL_POLL; call <= CALL_PSELECT; call++) {
                struct round round = kept_connection();

                begin_to_wait(round.responder, call, round.fd, -1, -1);
                is("kept-alive");
                gate_close(&gate, GATE_MASTER, 0);
                must(result(round.responder) == 1 && reply.data[0] == 1);
                is("kept-alive");
                begin_to_wait(round.responder, call, round.fd, -1, -1);
                must(result(round.responder) == 1 && reply.data[0] == 1);
                order.size = chunk;
                must(does(round.responder, CALL_RECV_DONTWAIT, round.fd) == 0);
                must(does(round.responder, CALL_CLOSE, round.fd) == 0);
                tell(round.responder, CALL_ACCEPT, server_listener);
                is("waiting");
                client_is_seen_off();
                gate_open(&gate, GATE_MASTER);
        }
}

/* Whoever waits for something else as well may have work that nobody sees: busy. */
static void mixed_waits(void)
{
        for (enum call call = CALL_POLL; call <= CALL_EPOLL; call++) {
                struct round round = kept_connection();
                int ends[2];

                must(does(round.responder, CALL_PIPE, -1) == 0);
                memcpy(ends, reply.data, sizeof(ends));
                begin_to_wait(round.responder, call, round.fd, ends[0], -1);
                is("busy");
                client_send(&(const struct bytes){.data = {FCGI_VERSION_1}}, 0, 1);
                must(result(round.responder) == 1 && reply.data[0] == 1 && reply.data[1] == 0);
                is("busy");
                must(does(round.responder, CALL_CLOSE, round.fd) == 0);
                client_close();
                begin_to_wait(round.responder, call, server_listener, ends[0], 20);
                is("busy");
                must(result(round.responder) == 0);
                must(does(round.responder, CALL_CLOSE, ends[0]) == 0);
                must(does(round.responder, CALL_CLOSE, ends[1]) == 0);
                tell(round.responder, CALL_ACCEPT, server_listener);
        }
}

/* Servers that wait for a client by other means than accept. */
static void waits_for_clients(void)
{
        const struct responder *responder = &responders[0];

        for (enum call call = CALL_POLL; call <= CALL_PSELECT; call++) {
                struct round round = kept_connection();
                uint64_t end;

                must(does(responder, CALL_CLOSE, round.fd) == 0);
                client_close();
                is("busy");
                begin_to_wait(responder, call, server_listener, -1, 0);
                must(result(responder) == 0);
                is("busy");
                begin_to_wait(responder, call, server_listener, -1, 100);
                is("waiting");
                must(result(responder) == 0);
                end = last_end();
                begin_to_wait(responder, call, server_listener, -1, -1);
                is("waiting");
                must(last_end() == end);
                client_connect();
                must(result(responder) == 1 && reply.data[0] == 1);
                is("waiting"); /* it has not accepted */
                round.fd = (int)does(responder, CALL_ACCEPT, server_listener);
                is("busy");
                close_and_accept(responder, round.fd);
        }
}

/* The same while another thread has the connection. */
static void waits_left_behind(void)
{
        const struct responder *thread;
        struct round round = kept_connection();

        round.responder = thread = another_thread();
        begin_to_wait(&responders[0], CALL_SELECT, server_listener, -1, -1);
        is("busy");
        begin_to_receive(thread, round.fd);
        is("kept-alive");
        client_close();
        must(result(thread) == 0);
        must(does(thread, CALL_CLOSE, round.fd) == 0);
        is("");
        client_connect();
        must(result(&responders[0]) == 1);
        tell(&responders[0], CALL_ACCEPT, server_listener);
        must(result(&responders[0]) >= 0);
        is("busy");
}

/* A signal interrupts a wait as it would without us: if its handler says so. */
static void signals(void)
{
        struct round round = kept_connection();

        order.argument = SA_RESTART;
        must(does(round.responder, CALL_HANDLE_SIGNAL, SIGUSR1) == 0);
        begin_to_receive(round.responder, round.fd);
        is("kept-alive");
        must(kill(round.responder->process, SIGUSR1) == 0);
        is("kept-alive");
        request_comes(&round);
        close_and_accept(round.responder, round.fd);
        must(kill(round.responder->process, SIGUSR1) == 0);
        round.fd = accept_client(round.responder);
        order.argument = 0;
        must(does(round.responder, CALL_HANDLE_SIGNAL, SIGUSR1) == 0);
        close_and_accept(round.responder, round.fd);
        must(kill(round.responder->process, SIGUSR1) == 0);
        must(result(round.responder) == -EINTR);
        tell(round.responder, CALL_ACCEPT, server_listener);
        round = kept_connection();
        begin_to_receive(round.responder, round.fd);
        is("kept-alive");
        must(kill(round.responder->process, SIGUSR1) == 0);
        must(result(round.responder) == -EINTR);
        begin_to_receive(round.responder, round.fd);
        request_comes(&round);
        close_and_accept(round.responder, round.fd);
}

/* The client goes away at each point. */
static void vanish(void)
{
        unsigned n;

        point = 0;
        live(&responders[0], "kept-alive");
        n = point;
        for (vanish_at = 1; vanish_at <= n; vanish_at++) {
                point = 0;
                live(&responders[0], "kept-alive");
        }
}

int main(int argc, char *argv[])
{
        static const struct {
                const char *name;
                void (*run)(void);
        } cases[] = {
            {"closed-unseen", closed_unseen},
            {"closing", closing},
            {"closing-left-behind", closing_left_behind},
            {"closing-too-late", closing_too_late},
            {"closing-waits", closing_waits},
            {"copies", copies},
            {"ended-twice", ended_twice},
            {"every-call", every_call},
            {"forked", forked},
            {"handed-out", handed_out},
            {"left-behind", left_behind},
            {"many", many},
            {"mixed-waits", mixed_waits},
            {"no-wait", no_wait},
            {"peek", peek},
            {"reset", reset},
            {"signals", signals},
            {"stop-between-requests", stop_between_requests},
            {"stop-in-request", stop_in_request},
            {"stop-with-handler", stop_with_handler},
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
