/* SPDX-License-Identifier: MIT */
#include "cases.h"

#include "driver.h"

static unsigned vanish_at; /* the point at which the client does, 0: it stays */

/*
 * The slot says so; and if this is the point at which the client of this round vanishes, then it
 * does, the worker finds out, the slot says what is expected then, and the worker goes back to
 * accept. Returns false in that case.
 */
static bool point_is(const char *where, const struct round *round, const char *expected,
                     const char *then)
{
        check_states(where, expected);
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
                if (!point_is(HERE, round, expected, then))                                        \
                        return false;                                                              \
        } while (0)
#define POINT(expected) POINT_THEN(expected, expected)

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

static void live_in_pieces_of(uint32_t size, const char *between)
{
        chunk = size;
        point = 0;
        live(&responders[0], between);
}

/* Every way to receive and every way to send, in pieces of different sizes. */
void every_call(void)
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
void unseen_calls(void)
{
        for (receiver = CALL_SPLICE_IN; receiver <= CALL_GETC; receiver++)
                live_in_pieces_of(4096, "busy");
        receiver = CALL_READ;
        for (sender = CALL_SENDFILE; sender <= CALL_FWRITE; sender++)
                live_in_pieces_of(4096, "busy");
}

/* The same calls, where all that they move is the content of one record. */
void unseen_content(void)
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
void peek(void)
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

/* A read that does not wait does not do so between two requests either. */
void no_wait(void)
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
void timeout(void)
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
void unseen_request(void)
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

/* The client goes away at each point. */
void vanish(void)
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
