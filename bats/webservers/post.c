/* SPDX-License-Identifier: MIT */
/*
 * An HTTP client for the tests of web servers: some clients at once, each with a kept-alive
 * connection on which it POSTs one request after the other. Every request has a body of its own,
 * and only a 200 with just that body is an answer. One process per client.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
    "Usage: post [OPTION...] PORT PATH\n"
    "\n"
    "POSTs to http://127.0.0.1:PORT/PATH, whose answer is to be the body. Prints one line,\n"
    "\"ok N lost N ...\"; what became of the first lost ones goes to stderr.\n"
    "\n"
    "  --clients=N          that many at once, default 1\n"
    "  --requests=N         of each client, at most; default 1\n"
    "  --stop=FILE          no further ones once this file is there\n"
    "  --burst=N            that many in a row, then none until the next period begins\n"
    "  --period=SECONDS     the same ones for all clients; default 1\n"
    "\n"
    "Exit status: 0 all were answered, 1 some were lost, 2 usage.\n";

enum {
        USAGE = 2,
        TIMEOUT_SEC = 20,
        TOLD_MAX = 5, /* lost requests that are described */
};

static struct {
        struct sockaddr_in address;
        const char *path;
        const char *stop;
        unsigned long clients, requests, burst;
        double period;
} arg = {.clients = 1, .requests = 1, .period = 1};

/* What all clients count together. */
static struct tally {
        _Atomic unsigned long ok, lost, slowest_usec;
} * tally;

/* A connection, and what was received and not yet taken. */
struct stream {
        int fd; /* -1: none */
        char data[16384];
        size_t begin, end;
};

struct answer {
        int status;
        bool closes; /* the server will close the connection */
        char body[1024];
        size_t size;
};

static _Noreturn void die(const char *what)
{
        perror(what);
        exit(USAGE);
}

static uint64_t now_usec(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* --- one request -------------------------------------------------------------------------------
 */

static bool connect_to_server(struct stream *stream)
{
        struct timeval timeout = {.tv_sec = TIMEOUT_SEC};
        int on = 1;

        stream->begin = stream->end = 0;
        stream->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (stream->fd < 0)
                die("post: socket");
        setsockopt(stream->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
        setsockopt(stream->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        return connect(stream->fd, (struct sockaddr *)&arg.address, sizeof(arg.address)) == 0;
}

static void disconnect(struct stream *stream)
{
        if (stream->fd >= 0)
                (void)close(stream->fd);
        stream->fd = -1;
}

/* The next byte of the answer, or -1. */
static int next_byte(struct stream *stream)
{
        ssize_t n;

        if (stream->begin == stream->end) {
                n = recv(stream->fd, stream->data, sizeof(stream->data), 0);
                if (n == 0)
                        errno = ECONNRESET;
                if (n <= 0)
                        return -1;
                stream->begin = 0;
                stream->end = (size_t)n;
        }
        return (unsigned char)stream->data[stream->begin++];
}

/* A line without its end. */
static bool read_line(struct stream *stream, char *line, size_t room)
{
        size_t size = 0;
        int c;

        while ((c = next_byte(stream)) >= 0 && c != '\n')
                if (c != '\r' && size < room - 1)
                        line[size++] = (char)c;
        line[size] = '\0';
        return c == '\n';
}

/* What does not fit is read and dropped: it is no right answer anyway. */
static bool read_body(struct stream *stream, struct answer *answer, size_t size)
{
        int c;

        while (size--) {
                if ((c = next_byte(stream)) < 0)
                        return false;
                if (answer->size < sizeof(answer->body))
                        answer->body[answer->size++] = (char)c;
        }
        return true;
}

static bool read_chunks(struct stream *stream, struct answer *answer)
{
        char line[256];
        size_t size;

        do {
                if (!read_line(stream, line, sizeof(line)))
                        return false;
                size = strtoul(line, NULL, 16);
                if (!read_body(stream, answer, size) || !read_line(stream, line, sizeof(line)))
                        return false;
        } while (size);
        return true;
}

static bool read_answer(struct stream *stream, struct answer *answer)
{
        bool chunked = false;
        size_t size = 0;
        char line[1024];

        if (!read_line(stream, line, sizeof(line)))
                return false;
        if (strncmp(line, "HTTP/1.1 ", 9) == 0)
                answer->status = (int)strtol(line + 9, NULL, 10);
        for (;;) {
                if (!read_line(stream, line, sizeof(line)))
                        return false;
                if (line[0] == '\0')
                        break;
                if (strncasecmp(line, "Content-Length:", 15) == 0)
                        size = strtoul(line + 15, NULL, 10);
                else if (strcasecmp(line, "Transfer-Encoding: chunked") == 0)
                        chunked = true;
                else if (strcasecmp(line, "Connection: close") == 0)
                        answer->closes = true;
        }
        return chunked ? read_chunks(stream, answer) : read_body(stream, answer, size);
}

static bool exchange(struct stream *stream, const char *body, struct answer *answer)
{
        char request[1024];
        int size = snprintf(request, sizeof(request),
                            "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"
                            "Content-Length: %zu\r\n\r\n%s",
                            arg.path, strlen(body), body);

        if (stream->fd < 0 && !connect_to_server(stream))
                return false;
        return send(stream->fd, request, (size_t)size, MSG_NOSIGNAL) == size &&
               read_answer(stream, answer);
}

static void post(struct stream *stream, unsigned client, unsigned long number)
{
        struct answer answer = {0};
        uint64_t began = now_usec();
        uint64_t took;
        unsigned long slowest;
        bool complete;
        char body[64];

        (void)snprintf(body, sizeof(body), "%u-%lu", client, number);
        complete = exchange(stream, body, &answer);
        took = now_usec() - began;
        if (complete && answer.status == 200 && answer.size == strlen(body) &&
            memcmp(answer.body, body, answer.size) == 0)
                atomic_fetch_add(&tally->ok, 1);
        else if (atomic_fetch_add(&tally->lost, 1) < TOLD_MAX)
                fprintf(stderr, "%s: status %d, %zu bytes, after %.1f ms: %s\n", body,
                        answer.status, answer.size, (double)took / 1000,
                        complete ? "complete" : strerror(errno));
        slowest = atomic_load(&tally->slowest_usec);
        while (took > slowest &&
               !atomic_compare_exchange_weak(&tally->slowest_usec, &slowest, took))
                ;
        if (!complete || answer.closes)
                disconnect(stream);
}

/* --- all of them -------------------------------------------------------------------------------
 */

static void wait_for_next_period(void)
{
        uint64_t period = (uint64_t)(arg.period * 1e6);

        (void)usleep((useconds_t)(period - now_usec() % period));
}

static void run_client(unsigned client)
{
        struct stream stream = {.fd = -1};

        for (unsigned long n = 0; n < arg.requests; n++) {
                if (arg.stop && access(arg.stop, F_OK) == 0)
                        break;
                if (arg.burst && n % arg.burst == 0)
                        wait_for_next_period();
                post(&stream, client, n);
        }
        disconnect(&stream);
}

static int run_clients(void)
{
        tally =
            mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (tally == MAP_FAILED)
                die("post: mmap");
        for (unsigned client = 0; client < arg.clients; client++) {
                pid_t pid = fork();

                if (pid < 0)
                        die("post: fork");
                if (pid == 0) {
                        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                        run_client(client);
                        _exit(0);
                }
        }
        for (int status; wait(&status) > 0;)
                if (status != 0)
                        atomic_fetch_add(&tally->lost, 1);
        printf("ok %lu lost %lu slowest %.1f ms\n", atomic_load(&tally->ok),
               atomic_load(&tally->lost), (double)atomic_load(&tally->slowest_usec) / 1000);
        return atomic_load(&tally->lost) > 0;
}

static void parse_options(int argc, char **argv)
{
        enum { CLIENTS, REQUESTS, STOP, BURST, PERIOD };
        static const struct option options[] = {
            {"clients", required_argument, NULL, CLIENTS},
            {"requests", required_argument, NULL, REQUESTS},
            {"stop", required_argument, NULL, STOP},
            {"burst", required_argument, NULL, BURST},
            {"period", required_argument, NULL, PERIOD},
            {0},
        };

        for (int option; (option = getopt_long(argc, argv, "+", options, NULL)) >= 0;) {
                switch (option) {
                case CLIENTS:
                        arg.clients = strtoul(optarg, NULL, 10);
                        break;
                case REQUESTS:
                        arg.requests = strtoul(optarg, NULL, 10);
                        break;
                case STOP:
                        arg.stop = optarg;
                        break;
                case BURST:
                        arg.burst = strtoul(optarg, NULL, 10);
                        break;
                case PERIOD:
                        arg.period = strtod(optarg, NULL);
                        break;
                default:
                        fputs(usage, stderr);
                        exit(USAGE);
                }
        }
        if (argc - optind != 2) {
                fputs(usage, stderr);
                exit(USAGE);
        }
        arg.address.sin_family = AF_INET;
        arg.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        arg.address.sin_port = htons((uint16_t)strtoul(argv[optind], NULL, 10));
        arg.path = argv[optind + 1];
}

int main(int argc, char **argv)
{
        parse_options(argc, argv);
        return run_clients();
}
