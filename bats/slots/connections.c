/* SPDX-License-Identifier: MIT */
#include "cases.h"

#include <sys/socket.h>
#include <unistd.h>

#include "driver.h"

/* A server that ends more requests than were begun is not idle in the middle of the next one. */
void ended_twice(void)
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

/* A client that leaves an answer unread when it goes: a reset instead of an end. */
void reset(void)
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

/* The gate closes while a worker waits for the next request, in each call that does. */
void closing(void)
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
void closing_too_late(void)
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

/* Reads goodbyes, and what follows them. */
static void client_receive_behind_goodbyes(const struct bytes *bytes)
{
        uint8_t head[sizeof(goodbye)];

        do {
                must(recv(client, head, sizeof(head), MSG_WAITALL | MSG_PEEK) == sizeof(head));
                if (memcmp(head, goodbye, sizeof(head)) == 0)
                        client_receive(goodbye, sizeof(goodbye));
        } while (memcmp(head, goodbye, sizeof(head)) == 0);
        client_receive(bytes->data, bytes->size);
}

/* Requests that cross goodbyes, of a client that had no time to look: it is told each time. */
void crossing(void)
{
        struct round round = kept_connection();
        struct bytes request = {0}, reply_to_it = {0};

        append_request(&request, 1, KEPT);
        append_answer(&reply_to_it, 1);
        for (int n = 0; n < 5; n++) {
                begin_to_receive(round.responder, round.fd);
                is("kept-alive");
                gate_close(&gate, GATE_MASTER, 0);
                client_receive(goodbye, sizeof(goodbye));
                all_come(&round, &request);
                order.size = (uint32_t)reply_to_it.size;
                memcpy(order.data, reply_to_it.data, order.size);
                must(does(round.responder, CALL_SEND, round.fd) == order.size);
                client_receive_behind_goodbyes(&reply_to_it);
                gate_open(&gate, GATE_MASTER);
        }
        close_and_accept(round.responder, round.fd);
}

/* A connection under another number, and without the number that it had. */
void copies(void)
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

/* The thread that accepted accepts again: another one works on the connection, or on a copy. */
void left_behind(void)
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
void closing_left_behind(void)
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
void closed_unseen(void)
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

        settle(HERE);
        for (uint32_t i = 0; i < atomic_load(&gate.page->slots_used); i++)
                n += gate_state(&gate.page->slots[i]) == state;
        return n;
}

/* A server with many connections at once, in one thread. */
void many(void)
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
void threads(void)
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
void handed_out(void)
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
void forked(void)
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
