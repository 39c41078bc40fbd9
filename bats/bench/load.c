/* SPDX-License-Identifier: MIT */
/*
 * Load for a FastCGI server, straight, as wrk is one for a web server: so many connections, each
 * with a request at any time, for so many seconds.
 *
 *   load SOCKET SCRIPT CLIENTS SECONDS keep|close
 *
 * Prints "requests N rate N p50_usec N p99_usec N". Status 1 if a request failed: its connection
 * ended before FCGI_END_REQUEST, or the answer is of another size than the first one's.
 * The protocol: FastCGI 1.0, sections 3 and 5.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS_MAX 256
#define TIMES_MAX   8000000U
#define HEADER_SIZE 8U

enum { BEGIN_REQUEST = 1, END_REQUEST = 3, PARAMS = 4, STDIN = 5, RESPONDER = 1 };

struct client {
        int fd;
        uint64_t began;     /* nanoseconds */
        size_t answer_size; /* of all records' content */
        uint8_t header[HEADER_SIZE];
        size_t header_size; /* of the header, what is there */
        size_t skip;        /* of the record, what is still to come */
};

struct load {
        struct sockaddr_un address;
        uint8_t request[4096];
        size_t request_size;
        bool keep;
        int epoll;
        uint32_t *times; /* nanoseconds of each request */
        size_t times_count;
        size_t answer_size; /* of the first answer, and so of all */
};

static uint64_t now(void)
{
        struct timespec time;
        clock_gettime(CLOCK_MONOTONIC, &time);
        return (uint64_t)time.tv_sec * UINT64_C(1000000000) + (uint64_t)time.tv_nsec;
}

static void die(const char *what)
{
        fprintf(stderr, "load: %s: %s\n", what, errno ? strerror(errno) : "failed");
        exit(EXIT_FAILURE);
}

static void add_record(struct load *load, uint8_t type, const uint8_t *content, size_t size)
{
        uint8_t header[HEADER_SIZE] = {1, type, 0, 1, (uint8_t)(size >> 8), (uint8_t)size, 0, 0};
        memcpy(load->request + load->request_size, header, HEADER_SIZE);
        memcpy(load->request + load->request_size + HEADER_SIZE, content, size);
        load->request_size += HEADER_SIZE + size;
}

/* Copies what has no closing zero. */
static size_t put(uint8_t *to, const void *bytes, size_t size)
{
        memcpy(to, bytes, size);
        return size;
}

static size_t add_pair(uint8_t *to, const char *name, const char *value)
{
        size_t size = 2;

        to[0] = (uint8_t)strlen(name);
        to[1] = (uint8_t)strlen(value);
        size += put(to + size, name, to[0]);
        size += put(to + size, value, to[1]);
        return size;
}

/* What nginx sends with its fastcgi_params, about. */
static void build_request(struct load *load, const char *script)
{
        const uint8_t begin[8] = {0, RESPONDER, load->keep ? 1 : 0};
        const char *const pairs[][2] = {
            {"SCRIPT_FILENAME", script},     {"QUERY_STRING", ""},
            {"REQUEST_METHOD", "GET"},       {"CONTENT_TYPE", ""},
            {"CONTENT_LENGTH", ""},          {"SCRIPT_NAME", "/page.php"},
            {"REQUEST_URI", "/page.php"},    {"DOCUMENT_URI", "/page.php"},
            {"DOCUMENT_ROOT", "/srv/bench"}, {"SERVER_PROTOCOL", "HTTP/1.1"},
            {"REQUEST_SCHEME", "http"},      {"GATEWAY_INTERFACE", "CGI/1.1"},
            {"SERVER_SOFTWARE", "load"},     {"REMOTE_ADDR", "127.0.0.1"},
            {"REMOTE_PORT", "40000"},        {"SERVER_ADDR", "127.0.0.1"},
            {"SERVER_PORT", "80"},           {"SERVER_NAME", "localhost"},
            {"HTTP_HOST", "localhost"},      {"REDIRECT_STATUS", "200"},
        };
        uint8_t params[2048] = {0};
        size_t size = 0;

        for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
                size += add_pair(params + size, pairs[i][0], pairs[i][1]);
        add_record(load, BEGIN_REQUEST, begin, sizeof(begin));
        add_record(load, PARAMS, params, size);
        add_record(load, PARAMS, params, 0);
        add_record(load, STDIN, params, 0);
}

static void begin(struct load *load, struct client *client)
{
        client->began = now();
        client->answer_size = client->header_size = client->skip = 0;
        if (client->fd < 0) {
                struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
                client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
                if (client->fd < 0 || connect(client->fd, (const struct sockaddr *)&load->address,
                                              sizeof(load->address)) < 0)
                        die("connect");
                if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, client->fd, &event) < 0)
                        die("epoll_ctl");
        }
        if (send(client->fd, load->request, load->request_size, MSG_NOSIGNAL) !=
            (ssize_t)load->request_size)
                die("send");
}

/* Takes what came. Returns true at the end of END_REQUEST. */
static bool take(struct client *client, const uint8_t *bytes, size_t size)
{
        while (size > 0) {
                size_t part;
                if (client->header_size < HEADER_SIZE) {
                        client->header[client->header_size++] = *bytes++;
                        size--;
                        if (client->header_size < HEADER_SIZE)
                                continue;
                        client->skip = (size_t)client->header[4] << 8 | client->header[5];
                        client->answer_size += client->skip;
                        client->skip += client->header[6];
                }
                part = size < client->skip ? size : client->skip;
                bytes += part;
                size -= part;
                client->skip -= part;
                if (client->skip == 0) {
                        client->header_size = 0;
                        if (client->header[1] == END_REQUEST)
                                return true;
                }
        }
        return false;
}

static void ended(struct load *load, const struct client *client)
{
        if (load->times_count == TIMES_MAX)
                die("too many requests");
        load->times[load->times_count++] = (uint32_t)(now() - client->began);
        if (load->answer_size == 0)
                load->answer_size = client->answer_size;
        errno = 0;
        if (client->answer_size != load->answer_size)
                die("the size of an answer");
}

/* Reads once. The next request begins when the answer is there, as with nginx. */
static void go_on(struct load *load, struct client *client)
{
        static uint8_t buffer[262144];
        ssize_t size = recv(client->fd, buffer, sizeof(buffer), 0);

        if (size <= 0)
                die("a connection that ended before its answer");
        if (!take(client, buffer, (size_t)size))
                return;
        ended(load, client);
        if (!load->keep) {
                close(client->fd);
                client->fd = -1;
        }
        begin(load, client);
}

static int by_time(const void *left, const void *right)
{
        uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
        return a < b ? -1 : a > b;
}

/* Prints the time in microseconds below which so many of a hundred requests are. */
static void print_percentile(const struct load *load, const char *name, size_t percent)
{
        uint32_t nanoseconds = load->times[load->times_count * percent / 100];

        printf(" %s %.2f", name, nanoseconds / 1e3);
}

static void report(const struct load *load, uint64_t took)
{
        qsort(load->times, load->times_count, sizeof(*load->times), by_time);
        printf("requests %zu rate %.1f", load->times_count,
               (double)load->times_count * 1e9 / (double)took);
        print_percentile(load, "p50_usec", 50);
        print_percentile(load, "p99_usec", 99);
        putchar('\n');
}

/* Drives so many clients for so long. Returns how long it was, in nanoseconds. */
static uint64_t drive(struct load *load, size_t count, uint64_t nanoseconds)
{
        static struct client clients[CLIENTS_MAX];
        struct epoll_event events[CLIENTS_MAX];
        uint64_t begun = now();

        load->epoll = epoll_create1(EPOLL_CLOEXEC);
        if (load->epoll < 0)
                die("epoll_create1");
        for (size_t i = 0; i < count; i++) {
                clients[i].fd = -1;
                begin(load, &clients[i]);
        }
        while (now() - begun < nanoseconds) {
                int ready = epoll_wait(load->epoll, events, CLIENTS_MAX, 5000);

                if (ready <= 0)
                        die("an answer within 5 seconds");
                for (int i = 0; i < ready; i++)
                        go_on(load, events[i].data.ptr);
        }
        return now() - begun;
}

int main(int argc, char **argv)
{
        struct load load = {.address.sun_family = AF_UNIX};
        unsigned long count;

        if (argc != 6 || strlen(argv[1]) >= sizeof(load.address.sun_path)) {
                fputs("usage: load SOCKET SCRIPT CLIENTS SECONDS keep|close\n", stderr);
                return 2;
        }
        memcpy(load.address.sun_path, argv[1], strlen(argv[1]));
        count = strtoul(argv[3], NULL, 10);
        load.keep = strcmp(argv[5], "keep") == 0;
        build_request(&load, argv[2]);
        load.times = calloc(TIMES_MAX, sizeof(*load.times));
        if (count < 1 || count > CLIENTS_MAX || !load.times)
                die("a number of clients from 1 to 256");
        report(&load, drive(&load, count, (uint64_t)(strtod(argv[4], NULL) * 1e9)));
        return EXIT_SUCCESS;
}
