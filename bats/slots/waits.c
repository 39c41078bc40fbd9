/* SPDX-License-Identifier: MIT */
#include "cases.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "driver.h"

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
void stop_in_request(void)
{
        stopped(&responders[0]);
        tell(&responders[0], CALL_ACCEPT, server_listener);
        must(has_ended());
}

/* One with a handler of its own, which is to interrupt accept(): that runs when it is back. */
void stop_with_handler(void)
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

/* A signal that servers have for reading their files anew waits too, and the gate is open again. */
void reload_with_handler(void)
{
        static const int reloads[] = {SIGHUP, SIGUSR2};
        const struct responder *responder = &responders[0];

        for (size_t i = 0; i < 2 && responder->process == server; i++) {
                int fd = accept_client(responder);

                order.argument = SA_RESTART;
                must(does(responder, CALL_HANDLE_SIGNAL, reloads[i]) == 0);
                must(kill(server, reloads[i]) == 0);
                begin_to_receive(responder, fd);
                must(stays_in_call(responder));
                must(gate_is_closed(&gate));
                client_close();
                must(result(responder) == 0);
                close_and_accept(responder, fd);
                must(!gate_is_closed(&gate));
        }
}

/* A stop between two requests. */
void stop_between_requests(void)
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

/* A pid in the page that is no child of the server, ours: it is not signalled. */
void stop_spares_strangers(void)
{
        is("waiting");
        if (responders[0].process != server)
                return; /* a master without a handler of its own dies of the signal, as it would */
        must(gate_claim(&gate, (uint32_t)getpid()));
        must(kill(server, SIGTERM) == 0);
        must(has_ended());
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
void waits(void)
{
        for (enum call call = CALL_POLL; call <= CALL_PSELECT; call++) {
                wait_without_limit(call);
                wait_with_limit(call);
        }
}

/* The gate closes meanwhile: the connection can be read, and the read finds its end. */
void closing_waits(void)
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
void mixed_waits(void)
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
void waits_for_clients(void)
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
void waits_left_behind(void)
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
void signals(void)
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
