/* SPDX-License-Identifier: MIT */
#include "cases.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "driver.h"

#define LEASE_USEC UINT64_C(60000000)

static const struct responder *const loop = &responders[0];

static long set_nonblock(enum call call, int on)
{
        order.argument = on;
        return does(loop, call, server_listener);
}

/* The server is an event loop now, and has no connection. */
static void become_loop(enum call call)
{
        int fd = accept_client(loop);

        must(does(loop, CALL_IS_NONBLOCK, server_listener) == 0);
        must(set_nonblock(call, 1) == 0);
        must(does(loop, CALL_IS_NONBLOCK, server_listener) == 1);
        must(does(loop, CALL_CLOSE, fd) == 0);
        client_close();
        must(does(loop, CALL_ACCEPT, server_listener) == -EAGAIN);
        is("waiting");
}

static int accept_at_once(void)
{
        long fd;

        client_connect();
        fd = does(loop, CALL_ACCEPT, server_listener);
        must(fd >= 0);
        return (int)fd;
}

/* A kept-alive request is answered, and the client leaves. */
static void leave_kept(int fd)
{
        struct bytes request = {0}, reply_to_it = {0};

        append_request(&request, 1, KEPT);
        append_answer(&reply_to_it, 1);
        client_send(&request, 0, request.size);
        order.size = (uint32_t)request.size;
        must(does(loop, CALL_RECV_DONTWAIT, fd) == (long)request.size);
        order.size = (uint32_t)reply_to_it.size;
        memcpy(order.data, reply_to_it.data, order.size);
        must(does(loop, CALL_WRITE, fd) == order.size);
        client_receive(reply_to_it.data, reply_to_it.size);
        client_close();
        order.size = chunk;
        must(does(loop, CALL_RECV_DONTWAIT, fd) == 0);
}

/* Several at once: each is busy until it is closed, whatever its client does. */
static void several(void)
{
        int first = accept_at_once(), first_client = client, second;
        uint64_t end;

        is("busy");
        must(does(loop, CALL_ACCEPT, server_listener) == -EAGAIN);
        is("busy waiting");
        second = accept_at_once();
        is("busy busy");
        end = last_end();
        must(does(loop, CALL_CLOSE, first) == 0);
        is("busy");
        must(last_end() > end);
        must(close(first_client) == 0);
        must(does(loop, CALL_ACCEPT, server_listener) == -EAGAIN);
        is("waiting busy");
        leave_kept(second);
        is("waiting busy"); /* it has not closed it */
        must(does(loop, CALL_CLOSE, second) == 0);
        is("waiting");
}

/* A loop that accepts one, and then waits by means that we do not see. */
static void one(void)
{
        int fd = accept_at_once();

        client_close();
        must(does(loop, CALL_CLOSE, fd) == 0);
        is("");
}

void at_once(void)
{
        for (enum call call = CALL_SET_NONBLOCK; call <= CALL_SET_FIONBIO; call++) {
                become_loop(call);
                several();
                one();
                must(set_nonblock(call, 0) == 0);
                must(does(loop, CALL_IS_NONBLOCK, server_listener) == 0);
                tell(loop, CALL_ACCEPT, server_listener);
                is("waiting");
        }
}

/* A watchdog's closing is over as soon as that has seen a connection: accept waits for it. */
void at_once_closing(void)
{
        int fd;

        become_loop(CALL_SET_NONBLOCK);
        gate_close(&gate, GATE_WATCHDOG, gate_now_usec() + LEASE_USEC);
        tell(loop, CALL_ACCEPT, server_listener);
        is("parked");
        gate_open(&gate, GATE_WATCHDOG);
        must(result(loop) == -EAGAIN);
        is("waiting");

        fd = accept_at_once();
        client_connect();
        gate_close(&gate, GATE_WATCHDOG, gate_now_usec() + LEASE_USEC);
        tell(loop, CALL_ACCEPT, server_listener);
        is("busy parked");
        gate_open(&gate, GATE_WATCHDOG);
        must(result(loop) >= 0);
        is("busy busy");
        must(does(loop, CALL_CLOSE, fd) == 0);
        is("busy");
}

/* While a server is drained its accept finds nothing, but a loop with connections goes on. */
void at_once_draining(void)
{
        int fd;

        become_loop(CALL_SET_NONBLOCK);
        fd = accept_at_once();
        client_connect();
        gate_close(&gate, GATE_MASTER, 0);
        must(does(loop, CALL_ACCEPT, server_listener) == -EAGAIN);
        is("busy waiting");
        must(does(loop, CALL_CLOSE, fd) == 0);
        is("waiting");
        must(does(loop, CALL_ACCEPT, server_listener) == -EAGAIN);
        is("waiting");
        gate_open(&gate, GATE_MASTER);
        must(does(loop, CALL_ACCEPT, server_listener) >= 0);
        is("busy");
}

/* A signal waits until the last connection is closed, and no longer. */
void at_once_stop(void)
{
        int first, second, status;

        become_loop(CALL_SET_NONBLOCK);
        first = accept_at_once();
        second = accept_at_once();
        must(kill(loop->process, SIGTERM) == 0);
        must(does(loop, CALL_CLOSE, first) == 0);
        is("busy");
        tell(loop, CALL_CLOSE, second);
        must(can_be_read(loop->control, -1));
        must(recv(loop->control, &reply, sizeof(reply), 0) == 0);
        if (loop->process == server)
                must(waitpid(server, &status, 0) == server && WIFEXITED(status) &&
                     WEXITSTATUS(status) == 0);
}
