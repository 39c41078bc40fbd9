/* SPDX-License-Identifier: MIT */
/*
 * One cold request: from just before connect() to the first byte of the answer.
 *
 *   wake REQUEST EXPECT ADDRESS [COMMAND...]
 *
 * REQUEST is a file with a whole FastCGI request, ADDRESS /PATH of a unix socket or 127.0.0.1:PORT.
 * Prints both times as nanoseconds of CLOCK_MONOTONIC. Status 1 if the request was lost: its answer
 * does not contain EXPECT, or has no end.
 *
 * With COMMAND time begins when that is started, and it is tried again until there is an answer:
 * for servers whose socket nobody holds. An empty EXPECT: to be connected is enough.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NSEC_PER_SEC  UINT64_C(1000000000)
#define PATIENCE_NSEC (20 * NSEC_PER_SEC)
#define AGAIN_USEC    200

/*
 * Docker's proxy accepts before there is a server. If its own connection comes too early for the
 * container's network, the kernel tries that again after a whole second: a new one is faster.
 */
#define PORT_PATIENCE_NSEC (25 * NSEC_PER_SEC / 1000)

/* An FCGI_END_REQUEST record, header and body, is all that follows the page. */
enum { END_REQUEST = 3, END_SIZE = 16 };

static struct sockaddr_storage address;
static socklen_t address_size;
static uint8_t request[4096], answer[65536];
static size_t request_size, answer_size;
static uint64_t first_byte;

static uint64_t now(void)
{
        struct timespec time;

        (void)clock_gettime(CLOCK_MONOTONIC, &time);
        return (uint64_t)time.tv_sec * NSEC_PER_SEC + (uint64_t)time.tv_nsec;
}

static _Noreturn void die(const char *what)
{
        fprintf(stderr, "wake: %s: %s\n", what, errno ? strerror(errno) : "failed");
        exit(EXIT_FAILURE);
}

static void read_request(const char *path)
{
        FILE *file = fopen(path, "re");

        if (!file)
                die(path);
        request_size = fread(request, 1, sizeof(request), file);
        (void)fclose(file);
}

static void parse_address(const char *text)
{
        struct sockaddr_un path = {.sun_family = AF_UNIX};
        struct sockaddr_in port = {.sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

        if (*text == '/' && strlen(text) < sizeof(path.sun_path)) {
                memcpy(path.sun_path, text, strlen(text) + 1);
                memcpy(&address, &path, sizeof(path));
                address_size = sizeof(path);
        } else if (strncmp(text, "127.0.0.1:", strlen("127.0.0.1:")) == 0) {
                port.sin_port = htons((uint16_t)strtoul(strchr(text, ':') + 1, NULL, 10));
                memcpy(&address, &port, sizeof(port));
                address_size = sizeof(port);
        } else {
                errno = EINVAL;
                die(text);
        }
}

static void start(char **command)
{
        posix_spawn_file_actions_t actions;
        pid_t pid;

        errno = posix_spawn_file_actions_init(&actions);
        if (errno == 0)
                errno = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null",
                                                         O_WRONLY, 0);
        if (errno == 0)
                errno = posix_spawnp(&pid, command[0], &actions, NULL, command, environ);
        if (errno != 0)
                die(command[0]);
}

static bool is_whole(const char *expect)
{
        return answer_size >= END_SIZE && answer[answer_size - END_SIZE + 1] == END_REQUEST &&
               memmem(answer, answer_size, expect, strlen(expect)) != NULL;
}

/* Reads until the server closes. */
static bool is_answered(int fd, const char *expect)
{
        ssize_t n;

        if (send(fd, request, request_size, MSG_NOSIGNAL) != (ssize_t)request_size)
                return false;
        answer_size = 0;
        while ((n = recv(fd, answer + answer_size, sizeof(answer) - answer_size, 0)) > 0) {
                if (answer_size == 0)
                        first_byte = now();
                answer_size += (size_t)n;
        }
        errno = n < 0 ? errno : 0;
        return is_whole(expect);
}

static bool try(const char *expect, uint64_t patience_nsec)
{
        const struct timeval patience = {
            .tv_sec = (time_t)(patience_nsec / NSEC_PER_SEC),
            .tv_usec = (suseconds_t)(patience_nsec % NSEC_PER_SEC / 1000),
        };
        int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool done;

        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
                die("socket");
        done = connect(fd, (struct sockaddr *)&address, address_size) == 0 &&
               (!*expect || is_answered(fd, expect));
        (void)close(fd);
        return done;
}

int main(int argc, char **argv)
{
        uint64_t began, patience = PATIENCE_NSEC;
        int status;

        if (argc < 4) {
                fputs("usage: wake REQUEST EXPECT ADDRESS [COMMAND...]\n", stderr);
                return 2;
        }
        read_request(argv[1]);
        parse_address(argv[3]);
        if (argc > 4 && address.ss_family == AF_INET)
                patience = PORT_PATIENCE_NSEC;
        began = now();
        if (argc > 4)
                start(argv + 4);
        while (!try(argv[2], patience)) {
                if (argc == 4 || now() - began > PATIENCE_NSEC) {
                        fwrite(answer, 1, answer_size, stderr);
                        die("a request was lost");
                }
                (void)usleep(AGAIN_USEC);
        }
        errno = 0;
        if (argc > 4 && (wait(&status) < 0 || status != 0))
                die(argv[4]);
        printf("%ju %ju\n", (uintmax_t)began, (uintmax_t)first_byte);
        return EXIT_SUCCESS;
}
