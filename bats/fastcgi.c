/* SPDX-License-Identifier: MIT */
/*
 * A FastCGI client for the tests: sends requests to a server and says exactly how each one ended.
 * Plain blocking code with a deadline; one process per client.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fastcgi.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
    "Usage: fastcgi [OPTION...] ADDRESS SCRIPT\n"
    "       fastcgi [OPTION...] --raw=FILE ADDRESS\n"
    "       fastcgi --free-port\n"
    "\n"
    "ADDRESS is /PATH of a unix socket, HOST:PORT or [HOST]:PORT (numbers). Prints the\n"
    "response's two streams on stdout and stderr.\n"
    "\n"
    "  --param=NAME=VALUE   add or replace a parameter (repeatable)\n"
    "  --body=FILE          POST a file\n"
    "  --body-size=BYTES    POST that many bytes\n"
    "  --keep-conn          ask the server to keep the connection\n"
    "  --requests=N         that many in a row, with --keep-conn on one connection\n"
    "  --between=SECONDS    wait between two requests\n"
    "  --pause=SECONDS      wait after connecting, before sending ...\n"
    "  --pause-at=BYTES     ... or once that many bytes are sent\n"
    "  --slow-read=SECONDS  wait before each read of the answer\n"
    "  --linger=SECONDS     keep the connection open after the answer\n"
    "  --timeout=SECONDS    for one request, default 20\n"
    "  --expect=TEXT        a response without TEXT is wrong\n"
    "  --raw=FILE           send FILE's bytes, print what comes back until EOF\n"
    "  --half-close         with --raw: say that nothing more will come\n"
    "  --abort              with --raw: close as soon as all is sent\n"
    "  --print-request      only print the bytes that would be sent\n"
    "  --clients=N          hammer: N clients at once; prints one line, \"ok N lost N ...\"\n"
    "  --duration=SECONDS   hammer for that long instead of --requests each\n"
    "\n"
    "Exit status: 0 answered in full, 2 usage, 10 refused (no connection), 11 reset,\n"
    "12 EOF before the end of the response, 13 timeout, 14 not FastCGI, 15 wrong response;\n"
    "hammer: 1 if any request was lost.\n";

enum outcome {
        OK = 0,
        USAGE = 2,
        REFUSED = 10,
        RESET,
        EARLY_EOF,
        TIMEOUT,
        NOT_FASTCGI,
        WRONG,
        OUTCOMES,
};

static const char *const outcome_names[OUTCOMES] = {
    [OK] = "ok",           [REFUSED] = "refused",         [RESET] = "reset", [EARLY_EOF] = "eof",
    [TIMEOUT] = "timeout", [NOT_FASTCGI] = "not-fastcgi", [WRONG] = "wrong",
};

/* Bytes that grow. */
struct buffer {
        char *data;
        size_t length;
        size_t size;
};

/* What the hammer's clients count together. */
struct tally {
        _Atomic unsigned long outcomes[OUTCOMES];
        _Atomic unsigned long slowest_usec;
};

static struct {
        struct sockaddr_storage address;
        socklen_t address_length;
        struct buffer params[64]; /* "NAME=VALUE" */
        size_t n_params;
        struct buffer body;
        const char *raw;
        const char *expect;
        double between, pause, slow_read, linger, timeout, duration;
        unsigned long requests, clients, pause_at;
        bool keep_conn, has_body, half_close, abort, print_request;
} arg = {.timeout = 20, .requests = 1};

static void die(const char *what)
{
        perror(what);
        exit(USAGE);
}

static void append(struct buffer *buffer, const void *data, size_t length)
{
        if (buffer->length + length > buffer->size) {
                buffer->size = 2 * (buffer->length + length);
                buffer->data = realloc(buffer->data, buffer->size);
                if (!buffer->data)
                        die("fastcgi: memory");
        }
        if (length > 0)
                memcpy(buffer->data + buffer->length, data, length);
        buffer->length += length;
}

static double now(void)
{
        struct timespec t;

        (void)clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void wait_seconds(double seconds)
{
        struct timespec t = {
            .tv_sec = (time_t)seconds,
            .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9),
        };

        while (nanosleep(&t, &t) < 0 && errno == EINTR)
                ;
}

/* --- building a request ------------------------------------------------------------------------
 */

static void append_record(struct buffer *to, int type, const char *data, size_t length)
{
        const uint8_t header[FCGI_HEADER_LEN] = {
            1, (uint8_t)type, 0, 1, (uint8_t)(length >> 8), (uint8_t)length,
        };

        append(to, header, sizeof(header));
        append(to, data, length);
}

/* A stream is records of at most 64 kB, ended by an empty one. */
static void append_stream(struct buffer *to, int type, const struct buffer *from)
{
        for (size_t at = 0; at < from->length; at += FCGI_MAX_LENGTH) {
                size_t rest = from->length - at;

                append_record(to, type, from->data + at,
                              rest < FCGI_MAX_LENGTH ? rest : FCGI_MAX_LENGTH);
        }
        append_record(to, type, NULL, 0);
}

static void append_length(struct buffer *to, size_t length)
{
        const uint8_t bytes[] = {
            (uint8_t)(length >> 24 | 0x80),
            (uint8_t)(length >> 16),
            (uint8_t)(length >> 8),
            (uint8_t)length,
        };

        if (length < 128)
                append(to, bytes + 3, 1);
        else
                append(to, bytes, 4);
}

static void append_param(struct buffer *to, const struct buffer *param)
{
        const char *equal = memchr(param->data, '=', param->length);
        size_t name = (size_t)(equal - param->data);

        append_length(to, name);
        append_length(to, param->length - name - 1);
        append(to, param->data, name);
        append(to, equal + 1, param->length - name - 1);
}

/* Adds NAME=VALUE; an earlier one of that name stays if replace is false. */
static void set_param(const char *text, bool replace)
{
        const char *equal = strchr(text, '=');
        size_t at;

        if (!equal) {
                fprintf(stderr, "fastcgi: --param=%s: no '='\n", text);
                exit(USAGE);
        }
        for (at = 0; at < arg.n_params; at++)
                if (strncmp(arg.params[at].data, text, (size_t)(equal - text) + 1) == 0)
                        break;
        if (at < arg.n_params && !replace)
                return;
        if (at == sizeof(arg.params) / sizeof(arg.params[0])) {
                fprintf(stderr, "fastcgi: too many parameters\n");
                exit(USAGE);
        }
        if (at == arg.n_params)
                arg.n_params++;
        arg.params[at].length = 0;
        append(&arg.params[at], text, strlen(text) + 1);
        arg.params[at].length--; /* without the closing zero, which strncmp above needs */
}

static void set_param_default(const char *name, const char *value)
{
        char text[4096];

        (void)snprintf(text, sizeof(text), "%s=%s", name, value);
        set_param(text, false);
}

static void default_params(const char *script)
{
        char length[32];

        (void)snprintf(length, sizeof(length), "%zu", arg.body.length);
        set_param_default("GATEWAY_INTERFACE", "CGI/1.1");
        set_param_default("SERVER_PROTOCOL", "HTTP/1.1");
        set_param_default("SERVER_SOFTWARE", "fpm-waker-tests");
        set_param_default("REMOTE_ADDR", "127.0.0.1");
        set_param_default("REQUEST_METHOD", arg.has_body ? "POST" : "GET");
        set_param_default("REQUEST_URI", script);
        set_param_default("SCRIPT_NAME", script);
        set_param_default("SCRIPT_FILENAME", script);
        set_param_default("QUERY_STRING", "");
        if (arg.has_body) {
                set_param_default("CONTENT_TYPE", "application/octet-stream");
                set_param_default("CONTENT_LENGTH", length);
        }
}

static struct buffer build_request(void)
{
        const char begin[8] = {0, FCGI_RESPONDER, arg.keep_conn ? FCGI_KEEP_CONN : 0};
        struct buffer request = {0}, params = {0};

        append_record(&request, FCGI_BEGIN_REQUEST, begin, sizeof(begin));
        for (size_t i = 0; i < arg.n_params; i++)
                append_param(&params, &arg.params[i]);
        append_stream(&request, FCGI_PARAMS, &params);
        append_stream(&request, FCGI_STDIN, &arg.body);
        free(params.data);
        return request;
}

/* --- one exchange ------------------------------------------------------------------------------
 */

/*
 * Takes complete records from the front of input. Returns true at END_REQUEST; *ret_outcome
 * becomes NOT_FASTCGI when it is no FastCGI, or a request that the server did not accept.
 */
static bool take_records(struct buffer *input, struct buffer *out, struct buffer *err,
                         enum outcome *ret_outcome)
{
        size_t at = 0;
        bool end = false;

        while (!end && input->length - at >= FCGI_HEADER_LEN) {
                const uint8_t *header = (const uint8_t *)input->data + at;
                size_t length = (size_t)header[4] << 8 | header[5];
                const char *content = input->data + at + FCGI_HEADER_LEN;

                if (header[0] != 1) {
                        *ret_outcome = NOT_FASTCGI;
                        return true;
                }
                if (input->length - at < FCGI_HEADER_LEN + length + header[6])
                        break;
                if (header[1] == FCGI_STDOUT) {
                        append(out, content, length);
                } else if (header[1] == FCGI_STDERR) {
                        append(err, content, length);
                } else {
                        end = true;
                        if (header[1] != FCGI_END_REQUEST || length != 8 || content[4] != 0)
                                *ret_outcome = NOT_FASTCGI;
                }
                at += FCGI_HEADER_LEN + length + header[6];
        }
        memmove(input->data, input->data + at, input->length - at);
        input->length -= at;
        return end;
}

static int connect_server(double deadline)
{
        /* A full backlog of a unix socket makes connect() wait: by SO_SNDTIMEO not for ever. */
        double rest = deadline - now();
        struct timeval limit = {.tv_sec = (time_t)rest + 1};
        int fd = socket(arg.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0)
                die("fastcgi: socket");
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
        if (connect(fd, (const struct sockaddr *)&arg.address, arg.address_length) < 0) {
                (void)close(fd);
                return -1;
        }
        (void)fcntl(fd, F_SETFL, O_NONBLOCK);
        return fd;
}

/* Sends request[from..to) and reads on until the response ends (or, to end early, all is sent). */
static enum outcome exchange(int fd, const char *request, size_t from, size_t to, bool until_sent,
                             double deadline, struct buffer *out, struct buffer *err)
{
        static char chunk[1 << 16];
        struct buffer input = {0};
        enum outcome outcome = OK;
        bool done = false, reset = false;

        while (!done) {
                struct pollfd event = {
                    .fd = fd,
                    .events = (short)(POLLIN | (from < to ? POLLOUT : 0)),
                };
                double rest = deadline - now();
                ssize_t n;

                if (until_sent && from == to)
                        break;
                if (arg.half_close && from == to)
                        (void)shutdown(fd, SHUT_WR);
                if (rest <= 0 || poll(&event, 1, (int)(rest * 1000) + 1) == 0) {
                        outcome = TIMEOUT;
                        break;
                }
                if (event.revents & POLLOUT) {
                        n = send(fd, request + from, to - from, MSG_NOSIGNAL);
                        if (n > 0) {
                                from += (size_t)n;
                        } else if (errno != EAGAIN && errno != EINTR) {
                                /* Read on: there may be an answer. The kernel reports a reset only
                                 * once, be it here. */
                                reset = errno == ECONNRESET;
                                to = from;
                        }
                }
                if (!(event.revents & (POLLIN | POLLHUP | POLLERR)))
                        continue;
                wait_seconds(arg.slow_read);
                n = read(fd, chunk, sizeof(chunk));
                if (n < 0 && (errno == EAGAIN || errno == EINTR))
                        continue;
                if (n <= 0) {
                        outcome = n < 0 || reset ? RESET : EARLY_EOF;
                        break;
                }
                if (arg.raw) {
                        append(out, chunk, (size_t)n);
                        continue;
                }
                append(&input, chunk, (size_t)n);
                done = take_records(&input, out, err, &outcome);
        }
        free(input.data);
        return outcome;
}

/*
 * One request on *fd, which is connected if it is -1, and closed unless it may be used again.
 */
static enum outcome run_request(int *fd, const struct buffer *request, struct buffer *out,
                                struct buffer *err)
{
        double deadline = now() + arg.timeout + arg.pause;
        struct pollfd event = {.fd = *fd, .events = POLLIN};
        enum outcome outcome = OK;
        size_t first = arg.pause_at < request->length ? arg.pause_at : request->length;

        out->length = err->length = 0;
        /* A server may close a kept connection between two requests: no loss, nothing was sent. */
        if (*fd >= 0 && poll(&event, 1, 0) > 0) {
                (void)close(*fd);
                *fd = -1;
        }
        if (*fd < 0)
                *fd = connect_server(deadline);
        if (*fd < 0)
                return errno == EAGAIN || errno == ETIMEDOUT ? TIMEOUT : REFUSED;
        if (first > 0 && arg.pause > 0)
                outcome = exchange(*fd, request->data, 0, first, true, deadline, out, err);
        else
                first = 0;
        if (outcome == OK && arg.abort)
                outcome =
                    exchange(*fd, request->data, first, request->length, true, deadline, out, err);
        else if (outcome == OK) {
                wait_seconds(arg.pause);
                outcome =
                    exchange(*fd, request->data, first, request->length, false, deadline, out, err);
        }
        if (arg.raw && outcome == EARLY_EOF)
                outcome = OK;
        if (outcome == OK && arg.expect &&
            (out->length == 0 || !memmem(out->data, out->length, arg.expect, strlen(arg.expect))))
                outcome = WRONG;
        wait_seconds(arg.linger);
        if (!arg.keep_conn || outcome != OK) {
                (void)close(*fd);
                *fd = -1;
        }
        return outcome;
}

/* --- modes -------------------------------------------------------------------------------------
 */

static enum outcome run_once(const struct buffer *request)
{
        struct buffer out = {0}, err = {0};
        enum outcome outcome = OK;
        int fd = -1;

        for (unsigned long i = 0; i < arg.requests && outcome == OK; i++) {
                if (i > 0)
                        wait_seconds(arg.between);
                outcome = run_request(&fd, request, &out, &err);
                (void)fwrite(out.data, 1, out.length, stdout);
                (void)fwrite(err.data, 1, err.length, stderr);
                (void)fflush(stdout);
        }
        if (outcome != OK)
                fprintf(stderr, "fastcgi: %s\n", outcome_names[outcome]);
        return outcome;
}

static void run_client(const struct buffer *request, struct tally *tally)
{
        double end = now() + arg.duration;
        struct buffer out = {0}, err = {0};
        int fd = -1;

        for (unsigned long i = 0; arg.duration > 0 ? now() < end : i < arg.requests; i++) {
                double began = now();
                enum outcome outcome = run_request(&fd, request, &out, &err);
                unsigned long usec = (unsigned long)((now() - began) * 1e6);
                unsigned long slowest = atomic_load(&tally->slowest_usec);

                atomic_fetch_add(&tally->outcomes[outcome], 1);
                while (usec > slowest &&
                       !atomic_compare_exchange_weak(&tally->slowest_usec, &slowest, usec))
                        ;
                /* Nothing is gained by flooding a server that is not there. */
                wait_seconds(outcome == REFUSED ? 0.01 : arg.between);
        }
}

static int run_hammer(const struct buffer *request)
{
        struct tally *tally =
            mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        unsigned long lost = 0;

        if (tally == MAP_FAILED)
                die("fastcgi: mmap");
        for (unsigned long i = 0; i < arg.clients; i++) {
                pid_t pid = fork();

                if (pid < 0)
                        die("fastcgi: fork");
                if (pid == 0) {
                        run_client(request, tally);
                        _exit(0);
                }
        }
        for (int status; wait(&status) > 0;)
                if (status != 0)
                        lost++;
        for (int i = OK + 1; i < OUTCOMES; i++)
                lost += atomic_load(&tally->outcomes[i]);
        printf("ok %lu lost %lu", atomic_load(&tally->outcomes[OK]), lost);
        for (int i = OK + 1; i < OUTCOMES; i++)
                if (outcome_names[i] && atomic_load(&tally->outcomes[i]) > 0)
                        printf(" %s %lu", outcome_names[i], atomic_load(&tally->outcomes[i]));
        printf(" slowest %.1f ms\n", (double)atomic_load(&tally->slowest_usec) / 1000);
        return lost > 0;
}

static int print_free_port(void)
{
        struct sockaddr_in address = {.sin_family = AF_INET};
        socklen_t length = sizeof(address);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
            getsockname(fd, (struct sockaddr *)&address, &length) < 0)
                die("fastcgi: no free port");
        printf("%d\n", ntohs(address.sin_port));
        return 0;
}

/* --- options -----------------------------------------------------------------------------------
 */

static void parse_address(const char *text)
{
        struct sockaddr_un *local = (struct sockaddr_un *)&arg.address;
        struct sockaddr_in *v4 = (struct sockaddr_in *)&arg.address;
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&arg.address;
        const char *colon = strrchr(text, ':');
        char host[64] = "";
        uint16_t port;

        if (strncmp(text, "unix:", 5) == 0)
                text += 5;
        if (text[0] == '/' && strlen(text) < sizeof(local->sun_path)) {
                local->sun_family = AF_UNIX;
                strcpy(local->sun_path, text);
                arg.address_length = sizeof(*local);
                return;
        }
        if (colon && (size_t)(colon - text) < sizeof(host)) {
                port = htons((uint16_t)atoi(colon + 1));
                memcpy(host, text, (size_t)(colon - text));
                if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
                        v4->sin_family = AF_INET;
                        v4->sin_port = port;
                        arg.address_length = sizeof(*v4);
                        return;
                }
                host[strcspn(host, "]")] = '\0';
                if (host[0] == '[' && inet_pton(AF_INET6, host + 1, &v6->sin6_addr) == 1) {
                        v6->sin6_family = AF_INET6;
                        v6->sin6_port = port;
                        arg.address_length = sizeof(*v6);
                        return;
                }
        }
        fprintf(stderr, "fastcgi: %s: neither /PATH nor HOST:PORT\n", text);
        exit(USAGE);
}

static struct buffer read_file(const char *path)
{
        struct buffer buffer = {0};
        char chunk[4096];
        FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");

        if (!file)
                die(path);
        for (size_t n; (n = fread(chunk, 1, sizeof(chunk), file)) > 0;)
                append(&buffer, chunk, n);
        if (file != stdin)
                (void)fclose(file);
        return buffer;
}

/* Bytes that show when one is lost or two are swapped. */
static struct buffer make_body(size_t length)
{
        struct buffer buffer = {0};

        for (size_t i = 0; i < length; i++) {
                char c = (char)('!' + (i / 251 + i) % 93);

                append(&buffer, &c, 1);
        }
        return buffer;
}

static void parse_options(int argc, char **argv)
{
        enum {
                PARAM,
                BODY,
                BODY_SIZE,
                KEEP_CONN,
                REQUESTS,
                BETWEEN,
                PAUSE,
                PAUSE_AT,
                SLOW_READ,
                LINGER,
                TIME_OUT,
                EXPECT,
                RAW,
                CLIENTS,
                DURATION,
                HALF_CLOSE,
                ABORT,
                PRINT_REQUEST,
                FREE_PORT,
                HELP
        };
        static const struct option options[] = {
            {"param", required_argument, NULL, PARAM},
            {"body", required_argument, NULL, BODY},
            {"body-size", required_argument, NULL, BODY_SIZE},
            {"keep-conn", no_argument, NULL, KEEP_CONN},
            {"requests", required_argument, NULL, REQUESTS},
            {"between", required_argument, NULL, BETWEEN},
            {"pause", required_argument, NULL, PAUSE},
            {"pause-at", required_argument, NULL, PAUSE_AT},
            {"slow-read", required_argument, NULL, SLOW_READ},
            {"linger", required_argument, NULL, LINGER},
            {"timeout", required_argument, NULL, TIME_OUT},
            {"expect", required_argument, NULL, EXPECT},
            {"raw", required_argument, NULL, RAW},
            {"clients", required_argument, NULL, CLIENTS},
            {"duration", required_argument, NULL, DURATION},
            {"half-close", no_argument, NULL, HALF_CLOSE},
            {"abort", no_argument, NULL, ABORT},
            {"print-request", no_argument, NULL, PRINT_REQUEST},
            {"free-port", no_argument, NULL, FREE_PORT},
            {"help", no_argument, NULL, HELP},
            {0},
        };

        for (int option; (option = getopt_long(argc, argv, "+", options, NULL)) >= 0;) {
                switch (option) {
                case PARAM:
                        set_param(optarg, true);
                        break;
                case BODY:
                        arg.body = read_file(optarg);
                        arg.has_body = true;
                        break;
                case BODY_SIZE:
                        arg.body = make_body(strtoul(optarg, NULL, 10));
                        arg.has_body = true;
                        break;
                case KEEP_CONN:
                        arg.keep_conn = true;
                        break;
                case REQUESTS:
                        arg.requests = strtoul(optarg, NULL, 10);
                        break;
                case BETWEEN:
                        arg.between = strtod(optarg, NULL);
                        break;
                case PAUSE:
                        arg.pause = strtod(optarg, NULL);
                        break;
                case PAUSE_AT:
                        arg.pause_at = strtoul(optarg, NULL, 10);
                        break;
                case SLOW_READ:
                        arg.slow_read = strtod(optarg, NULL);
                        break;
                case LINGER:
                        arg.linger = strtod(optarg, NULL);
                        break;
                case TIME_OUT:
                        arg.timeout = strtod(optarg, NULL);
                        break;
                case EXPECT:
                        arg.expect = optarg;
                        break;
                case RAW:
                        arg.raw = optarg;
                        break;
                case CLIENTS:
                        arg.clients = strtoul(optarg, NULL, 10);
                        break;
                case DURATION:
                        arg.duration = strtod(optarg, NULL);
                        break;
                case HALF_CLOSE:
                        arg.half_close = true;
                        break;
                case ABORT:
                        arg.abort = true;
                        break;
                case PRINT_REQUEST:
                        arg.print_request = true;
                        break;
                case FREE_PORT:
                        exit(print_free_port());
                case HELP:
                        fputs(usage, stdout);
                        exit(0);
                default:
                        fputs(usage, stderr);
                        exit(USAGE);
                }
        }
        if (argc - optind != (arg.raw ? 1 : 2)) {
                fputs(usage, stderr);
                exit(USAGE);
        }
}

int main(int argc, char **argv)
{
        struct buffer request;

        parse_options(argc, argv);
        if (!arg.print_request)
                parse_address(argv[optind]);
        if (arg.raw) {
                request = read_file(arg.raw);
        } else {
                default_params(argv[optind + 1]);
                request = build_request();
        }
        if (arg.print_request)
                return fwrite(request.data, 1, request.length, stdout) < request.length;
        return arg.clients > 0 ? run_hammer(&request) : (int)run_once(&request);
}
