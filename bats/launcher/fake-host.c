/* SPDX-License-Identifier: MIT */
/*
 * The host's end of the hand-over, in all the wrong ways and the right one, for one client.
 *
 *   fake-host MODE CONTROL SOCKET
 *
 * Listens on CONTROL, and on SOCKET, which is what it hands over. Prints a line for everything that
 * happens: "listening", "hello", "granted", then each message of the server as "says M", and "gone"
 * when the client is. MODE is "good", or says what is wrong: see answer().
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../launcher/handover.h"

#define LIFETIME_SEC 120

static void check(bool good, const char *what)
{
        if (good)
                return;
        fprintf(stderr, "fake-host: %s: %s\n", what, strerror(errno));
        exit(1);
}

/* The socket stays open for a look at it, until the test kills this process. */
static _Noreturn void stay(void)
{
        for (;;)
                (void)pause();
}

static void say(const char *text)
{
        puts(text);
        (void)fflush(stdout);
}

static int listen_at(const char *path, int type, int backlog)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd;

        check(strlen(path) < sizeof(address.sun_path), "path");
        (void)strcpy(address.sun_path, path);
        fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
        check(fd >= 0, "socket");
        check(bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0, "bind");
        check(type == SOCK_DGRAM || listen(fd, backlog) == 0, "listen");
        return fd;
}

/* What the host hands over, and how. */
struct answer {
        struct handover_grant grant;
        size_t length; /* of the message */
        int fds[HANDOVER_FDS_MAX];
        size_t n_fds;
};

static int make_page(const char *mode, int listener)
{
        size_t size = strcmp(mode, "small-page") == 0 ? 4096 : sizeof(struct gate_page);
        int fd = memfd_create("page", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        struct gate_page *page;
        struct stat st;

        check(fd >= 0 && ftruncate(fd, (off_t)size) == 0, "page");
        page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        check(page != MAP_FAILED && fstat(listener, &st) == 0, "map");
        gate_page_init(page);
        page->n_sockets = strcmp(mode, "wrong-count") == 0 ? 2 : 1;
        page->sockets[0].inode = st.st_ino + (strcmp(mode, "wrong-inode") == 0);
        memset(page->sockets[0].name, 'x', GATE_NAME_MAX);
        if (strcmp(mode, "endless-name") != 0)
                (void)strcpy(page->sockets[0].name, "www");
        if (strcmp(mode, "bad-page") == 0)
                page->magic++;
        if (strcmp(mode, "half-sealed-page") == 0)
                check(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW) == 0, "seal");
        else if (strcmp(mode, "unsealed-page") != 0)
                check(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0, "seals");
        return fd;
}

static void send_answer(int connection, const struct answer *answer)
{
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(answer->fds))];
        } control;
        char bytes[2 * sizeof(answer->grant)] = {0};
        struct iovec data = {bytes, answer->length};
        struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};

        memcpy(bytes, &answer->grant, sizeof(answer->grant));
        memset(&control, 0, sizeof(control));
        if (answer->n_fds > 0) {
                message.msg_control = control.bytes;
                message.msg_controllen = CMSG_SPACE(answer->n_fds * sizeof(int));
                control.header.cmsg_level = SOL_SOCKET;
                control.header.cmsg_type = SCM_RIGHTS;
                control.header.cmsg_len = CMSG_LEN(answer->n_fds * sizeof(int));
                memcpy(CMSG_DATA(&control.header), answer->fds, answer->n_fds * sizeof(int));
        }
        if (sendmsg(connection, &message, MSG_NOSIGNAL) < 0) {
                check(errno == EPIPE, "sendmsg");
                return; /* we were refused */
        }
        say("granted");
}

/* Prints what is written, line by line, until nobody can write any more. */
static void hear_output(int fd)
{
        FILE *file = fdopen(fd, "r");
        char line[256];

        check(file != NULL, "fdopen");
        while (fgets(line, sizeof(line), file)) {
                line[strcspn(line, "\n")] = '\0';
                (void)printf("output: %s\n", line);
                (void)fflush(stdout);
        }
        (void)fclose(file);
}

static void answer(const char *mode, int connection, int listener)
{
        struct answer answer = {
            .grant = {.magic = HANDOVER_MAGIC, .version = HANDOVER_VERSION, .n_sockets = 1},
            .length = sizeof(answer.grant),
            .n_fds = 4,
        };
        int pair[2], output[2];

        check(pipe2(output, O_CLOEXEC) == 0, "pipe2");
        check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair");
        if (strcmp(mode, "connected-socket") == 0)
                listener = pair[0];
        else if (strcmp(mode, "datagram-socket") == 0)
                listener = socket(AF_UNIX, SOCK_DGRAM, 0);
        else if (strcmp(mode, "no-socket") == 0)
                listener = eventfd(0, 0);

        answer.fds[0] = make_page(mode, listener);
        answer.fds[1] = eventfd(0, EFD_NONBLOCK);
        answer.fds[2] = eventfd(0, EFD_NONBLOCK);
        answer.fds[3] = listener;
        answer.fds[4] = listener;
        if (strcmp(mode, "garbage") == 0)
                memset(&answer.grant, 0x5a, sizeof(answer.grant));
        else if (strcmp(mode, "half") == 0)
                answer.length /= 2;
        else if (strcmp(mode, "empty") == 0)
                answer.length = 0;
        else if (strcmp(mode, "long") == 0)
                answer.length *= 2;
        else if (strcmp(mode, "other-version") == 0)
                answer.grant.version = 99;
        else if (strcmp(mode, "no-descriptors") == 0)
                answer.n_fds = 0;
        else if (strcmp(mode, "a-descriptor-too-few") == 0)
                answer.n_fds--;
        else if (strcmp(mode, "a-descriptor-too-many") == 0)
                answer.n_fds++;
        else if (strcmp(mode, "nothing-granted") == 0)
                answer.grant.n_sockets = 0;
        else if (strcmp(mode, "a-million-granted") == 0)
                answer.grant.n_sockets = 1000000;
        else if (strcmp(mode, "output") == 0 || strcmp(mode, "no-pipe") == 0) {
                answer.grant.n_outputs = 1;
                answer.fds[answer.n_fds++] = mode[0] == 'o' ? output[1] : pair[1];
        } else if (strcmp(mode, "two-outputs") == 0) {
                answer.grant.n_outputs = 2;
                answer.fds[answer.n_fds++] = output[1];
                answer.fds[answer.n_fds++] = output[1];
        } else if (strcmp(mode, "missing-output") == 0)
                answer.grant.n_outputs = 1;
        send_answer(connection, &answer);
        (void)close(output[1]);
        if (strcmp(mode, "output") == 0)
                hear_output(output[0]);
        if (strcmp(mode, "chatty") == 0)
                check(send(connection, "!", 1, MSG_NOSIGNAL) == 1, "send");
}

int main(int argc, char **argv)
{
        struct handover_hello hello;
        int control, listener, connection;
        const char *mode;
        char byte;

        check(argc == 4, "usage: fake-host MODE CONTROL SOCKET");
        mode = argv[1];
        (void)alarm(LIFETIME_SEC);
        listener = listen_at(argv[3], SOCK_STREAM, 8);
        control = listen_at(argv[2], strcmp(mode, "stream") == 0 ? SOCK_STREAM : SOCK_SEQPACKET,
                            strcmp(mode, "deaf") == 0 ? 0 : 8);
        say("listening");
        if (strcmp(mode, "deaf") == 0)
                stay();

        connection = accept4(control, NULL, NULL, SOCK_CLOEXEC);
        check(connection >= 0, "accept");
        if (strcmp(mode, "hangup") == 0) {
                (void)close(connection);
                stay();
        }
        if (recv(connection, &hello, sizeof(hello), 0) == sizeof(hello) &&
            hello.magic == HANDOVER_MAGIC && hello.version == HANDOVER_VERSION)
                say("hello");
        if (strcmp(mode, "silent") != 0)
                answer(mode, connection, listener);
        while (recv(connection, &byte, 1, 0) == 1) {
                char line[] = "says ?";

                line[5] = byte;
                say(line);
        }
        say("gone");
        stay();
}
