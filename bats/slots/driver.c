/* SPDX-License-Identifier: MIT */
#include "driver.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define DEADLINE_SEC 20 /* a case that waits longer for one thing has hung */

struct responder responders[RESPONDERS_MAX];
int server_listener;
pid_t server;
struct gate gate;
struct order order;
struct reply reply;
const char *address;
int client = -1;
enum call receiver = CALL_READ, sender = CALL_WRITE;
uint32_t chunk = 4096;
unsigned point;
bool receiving;

static size_t n_responders;
static int control_listener;

static const char *const call_names[] = {
#define X(name) #name,
    CALLS(X)
#undef X
};

void kill_all(void)
{
        for (size_t i = 0; i < n_responders; i++)
                if (responders[i].process > 0) /* 0: it has not said who it is */
                        (void)kill(responders[i].process, SIGKILL);
}

_Noreturn void fail(const char *where, const char *format, ...)
{
        va_list arguments;

        fprintf(stderr, "%s, %s and %s, %u bytes at once, point %u: ", where, call_names[receiver],
                call_names[sender], chunk, point);
        va_start(arguments, format);
        vfprintf(stderr, format, arguments);
        va_end(arguments);
        fputs("\n", stderr);
        kill_all();
        exit(EXIT_FAILURE);
}

/* ---- the server ---- */

/* ---- the server ---- */

bool can_be_read(int fd, int msec)
{
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

        return poll(&poll_fd, 1, msec) > 0;
}

void listen_for_responders(const char *path)
{
        struct sockaddr_un local = {.sun_family = AF_UNIX};

        (void)snprintf(local.sun_path, sizeof(local.sun_path), "%s", path);
        control_listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        must(bind(control_listener, (const struct sockaddr *)&local, sizeof(local)) == 0);
        must(listen(control_listener, RESPONDERS_MAX) == 0);
}

void tell(const struct responder *responder, enum call call, int fd)
{
        order.call = call;
        order.fd = fd;
        must(send(responder->control, &order, sizeof(order), MSG_NOSIGNAL) == sizeof(order));
}

long result_of(const char *where, const struct responder *responder)
{
        if (!can_be_read(responder->control, DEADLINE_SEC * 1000))
                fail(where, "%s does not return", call_names[order.call]);
        must(recv(responder->control, &reply, sizeof(reply), 0) == sizeof(reply));
        return reply.result;
}

/* Reads a file of a thread. Returns its size, 0 if the thread has ended. */
static ssize_t read_task(const struct responder *responder, const char *name, char *text,
                         size_t room)
{
        char path[64];
        ssize_t size;
        int fd;

        (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", responder->process,
                       responder->thread, name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return 0;
        size = read(fd, text, room - 1);
        (void)close(fd);
        text[size > 0 ? size : 0] = '\0';
        return size > 0 ? size : 0;
}

/* True if a thread has taken its order and sleeps, until something comes from outside. */
static bool sleeps(const struct responder *responder)
{
        char text[512];
        const char *end;
        int untaken = 0;

        must(ioctl(responder->control, SIOCOUTQ, &untaken) == 0);
        if (untaken)
                return false; /* it may look asleep while it is being woken */
        if (!read_task(responder, "syscall", text, sizeof(text)))
                return true; /* it has ended */
        if (text[0] < '0' || text[0] > '9')
                return false;
        /* One that another processor is to wake has its system call still, but this letter not. */
        if (!read_task(responder, "stat", text, sizeof(text)))
                return true;
        end = strrchr(text, ')');
        return end && end[1] == ' ' && end[2] == 'S';
}

void settle(const char *where)
{
        const struct timespec moment = {.tv_nsec = 20000};
        time_t end = time(NULL) + DEADLINE_SEC;

        for (size_t i = 0; i < n_responders; i++)
                while (!sleeps(&responders[i])) {
                        if (time(NULL) > end)
                                fail(where, "the server does not sleep");
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

void check_states(const char *where, const char *expected)
{
        settle(where);
        if (strcmp(states(), expected) != 0)
                fail(where, "the slots say: %s; expected: %s", states(), expected);
}

struct responder *take_on(void)
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

const struct responder *another_thread(void)
{
        must(does(&responders[0], CALL_THREAD, -1) == 0);
        return take_on();
}

/* ---- records ---- */

void append(struct bytes *bytes, unsigned type, unsigned id, const char *content, size_t size,
            unsigned padding)
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

void append_begin(struct bytes *bytes, unsigned id, bool kept)
{
        const char body[8] = {0, FCGI_RESPONDER, kept ? FCGI_KEEP_CONN : 0};

        append(bytes, FCGI_BEGIN_REQUEST, id, body, sizeof(body), 0);
}

void append_end(struct bytes *bytes, unsigned id)
{
        static const char body[8];

        append(bytes, FCGI_END_REQUEST, id, body, sizeof(body), 0);
}

void append_request(struct bytes *bytes, unsigned id, bool kept)
{
        append_begin(bytes, id, kept);
        append(bytes, FCGI_PARAMS, id, NULL, 27, 5);
        append(bytes, FCGI_PARAMS, id, NULL, 0, 0);
        append(bytes, FCGI_STDIN, id, NULL, 10, 6);
        append(bytes, FCGI_STDIN, id, NULL, 0, 0);
}

void append_answer(struct bytes *bytes, unsigned id)
{
        append(bytes, FCGI_STDOUT, id, NULL, 30, 2);
        append(bytes, FCGI_STDERR, id, NULL, 5, 3);
        append(bytes, FCGI_STDOUT, id, NULL, 0, 0);
        append_end(bytes, id);
}

/* ---- the client ---- */

void client_connect(void)
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

void client_close(void)
{
        must(close(client) == 0);
        client = -1;
}

void client_send(const struct bytes *bytes, size_t from, size_t to)
{
        must(send(client, bytes->data + from, to - from, MSG_NOSIGNAL) == (ssize_t)(to - from));
}

void client_receive(const uint8_t *expected, size_t size)
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

const uint8_t goodbye[8] = {1, FCGI_STDERR, 0, 1, 0, 0, 0, 0};

void client_is_seen_off(void)
{
        uint8_t bytes[sizeof(goodbye)];
        ssize_t n;

        while ((n = recv(client, bytes, sizeof(bytes), MSG_WAITALL)) > 0)
                must(n == sizeof(bytes) && memcmp(bytes, goodbye, sizeof(bytes)) == 0);
        must(n == 0 || errno == ECONNRESET);
        client_close();
}

/* ---- what a server does with a connection ---- */

int take_client(const struct responder *responder)
{
        long fd;

        client_connect();
        fd = result(responder);
        must(fd >= 0);
        return (int)fd;
}

int accept_client(const struct responder *responder)
{
        is("waiting");
        return take_client(responder);
}

void close_and_accept(const struct responder *responder, int fd)
{
        must(does(responder, CALL_CLOSE, fd) == 0);
        if (client >= 0)
                client_close();
        tell(responder, CALL_ACCEPT, server_listener);
        is("waiting");
}

void begin_to_receive(const struct responder *responder, int fd)
{
        order.size = chunk;
        tell(responder, receiver, fd);
        receiving = true;
}

size_t end_to_receive(const struct responder *responder, const uint8_t *bytes, size_t size)
{
        long n = result(responder);

        receiving = false;
        must(n > 0 && (size_t)n <= size);
        must(memcmp(reply.data, bytes, (size_t)n) == 0);
        return (size_t)n;
}

void receive(const struct responder *responder, int fd, const struct bytes *bytes, size_t from,
             size_t to)
{
        while (from < to) {
                order.size = to - from < chunk ? (uint32_t)(to - from) : chunk;
                tell(responder, receiver, fd);
                from += end_to_receive(responder, bytes->data + from, to - from);
                is("busy");
        }
}

void answer(const struct responder *responder, int fd, const struct bytes *bytes, size_t from,
            size_t to)
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

void bytes_come(const struct round *round, const struct bytes *bytes, size_t from, size_t to)
{
        client_send(bytes, from, to);
        from += end_to_receive(round->responder, bytes->data + from, to - from);
        receive(round->responder, round->fd, bytes, from, to);
}

void all_come(const struct round *round, const struct bytes *bytes)
{
        bytes_come(round, bytes, 0, bytes->size);
}

void answer_all(const struct round *round, const struct bytes *bytes)
{
        answer(round->responder, round->fd, bytes, 0, bytes->size);
}

struct round kept_connection(void)
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

void request_comes(const struct round *round)
{
        struct bytes request = {0}, reply_to_it = {0};

        append_request(&request, 1, KEPT);
        append_answer(&reply_to_it, 1);
        all_come(round, &request);
        answer_all(round, &reply_to_it);
}

void begin_to_wait(const struct responder *responder, enum call call, int fd, int other, int msec)
{
        memset(order.fds, -1, sizeof(order.fds));
        order.fds[0] = fd;
        order.fds[1] = other;
        order.argument = msec;
        tell(responder, call, -1);
}

uint64_t last_end(void)
{
        return atomic_load(&gate.page->slots[0].last_end_usec);
}
