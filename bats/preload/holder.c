/* SPDX-License-Identifier: MIT */
/*
 * Holds listening sockets as systemd does, across any number of runs of a server.
 *
 *   holder serve [--backlog=N] CONTROL [NAME=ADDRESS...]
 *           Opens the sockets, prints its own pid, and stays in the background as their holder.
 *           ADDRESS is /path, 127.0.0.1:PORT or [::1]:PORT, where PORT 0 lets the kernel choose.
 *   holder run [--nonblock] [--fd0] [--no-names] [--tell=FILE] CONTROL COMMAND [ARG...]
 *           Becomes COMMAND with the sockets passed as systemd passes them: from descriptor 3 on,
 *           blocking, with LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES; or the first as descriptor 0.
 *           It has no other descriptors beyond 2, and ignores no signal. With - as CONTROL, no
 * socket is passed. holder show CONTROL Prints a line for each socket: name, address, inode, and
 * what became of its blocking.
 *
 * A test that wants to know what a server did to its socket asks the holder: its descriptors are
 * older than every server and outlive it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKETS_MAX  32
#define NAMES_MAX    1024
#define FIRST_FD     3
#define LIFETIME_SEC 900  /* a test that was killed leaves no holder behind for long */
#define DESCRIPTORS  1024 /* more than any test shell has */
#define BACKLOG      4096

union address {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un path;
};

struct sockets {
        int fds[SOCKETS_MAX];
        size_t n;
        char names[NAMES_MAX]; /* joined by colons, as in LISTEN_FDNAMES */
};

static _Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

static _Noreturn void die(const char *format, ...)
{
        int error = errno;
        va_list arguments;

        fputs("holder: ", stderr);
        va_start(arguments, format);
        vfprintf(stderr, format, arguments);
        va_end(arguments);
        fprintf(stderr, ": %s\n", strerror(error));
        exit(EXIT_FAILURE);
}

static int port_parse(const char *text, in_port_t *ret_port)
{
        char *end;
        unsigned long port = strtoul(text, &end, 10);

        if (!*text || *end || port > UINT16_MAX)
                return -EINVAL;
        *ret_port = htons((uint16_t)port);
        return 0;
}

/* Returns the length of the address, or 0 if the text is none. */
static socklen_t address_parse(const char *text, union address *ret)
{
        char host[INET6_ADDRSTRLEN] = "";
        const char *colon = strrchr(text, ':');
        const char *from = text;
        size_t length;

        *ret = (union address){0};
        if (*text == '/') {
                if (strlen(text) >= sizeof(ret->path.sun_path))
                        return 0;
                ret->path.sun_family = AF_UNIX;
                memcpy(ret->path.sun_path, text, strlen(text));
                return sizeof(ret->path);
        }
        if (!colon)
                return 0;
        length = (size_t)(colon - text);
        if (*text == '[' && length >= 2) {
                from++;
                length -= 2;
        }
        if (length >= sizeof(host))
                return 0;
        memcpy(host, from, length);
        if (*text == '[') {
                ret->v6.sin6_family = AF_INET6;
                if (inet_pton(AF_INET6, host, &ret->v6.sin6_addr) != 1 ||
                    port_parse(colon + 1, &ret->v6.sin6_port) < 0)
                        return 0;
                return sizeof(ret->v6);
        }
        ret->v4.sin_family = AF_INET;
        if (inet_pton(AF_INET, host, &ret->v4.sin_addr) != 1 ||
            port_parse(colon + 1, &ret->v4.sin_port) < 0)
                return 0;
        return sizeof(ret->v4);
}

static void address_print(int fd)
{
        char host[INET6_ADDRSTRLEN];
        union address address = {0};
        socklen_t length = sizeof(address);

        if (getsockname(fd, &address.any, &length) < 0)
                die("cannot get the address of descriptor %d", fd);
        switch (address.any.sa_family) {
        case AF_UNIX:
                fputs(address.path.sun_path, stdout);
                break;
        case AF_INET:
                printf("%s:%u", inet_ntop(AF_INET, &address.v4.sin_addr, host, sizeof(host)),
                       ntohs(address.v4.sin_port));
                break;
        default:
                printf("[%s]:%u", inet_ntop(AF_INET6, &address.v6.sin6_addr, host, sizeof(host)),
                       ntohs(address.v6.sin6_port));
        }
}

static void open_socket(struct sockets *sockets, const char *argument, int backlog)
{
        const int on = 1;
        const char *equals = strchr(argument, '=');
        union address address;
        socklen_t length;
        int fd;

        errno = EINVAL;
        if (!equals || sockets->n == SOCKETS_MAX)
                die("%s is not NAME=ADDRESS", argument);
        length = address_parse(equals + 1, &address);
        if (length == 0)
                die("%s is not NAME=ADDRESS", argument);
        fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                die("cannot make a socket for %s", argument);
        if (address.any.sa_family != AF_UNIX &&
            setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
                die("cannot set options for %s", argument);
        if (bind(fd, &address.any, length) < 0)
                die("cannot bind %s", argument);
        if (listen(fd, backlog) < 0)
                die("cannot listen on %s", argument);
        if (strlen(sockets->names) + (size_t)(equals - argument) + 2 > NAMES_MAX)
                die("the names are too long");
        if (sockets->n > 0)
                strcat(sockets->names, ":");
        strncat(sockets->names, argument, (size_t)(equals - argument));
        sockets->fds[sockets->n++] = fd;
}

/* Binds or connects the control socket. */
static int control_open(const char *path, bool serve)
{
        union address address;
        socklen_t length = address_parse(path, &address);
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

        errno = EINVAL;
        if (fd < 0 || *path != '/' || length == 0)
                die("%s is no absolute path for a control socket", path);
        if (serve && (bind(fd, &address.any, length) < 0 || listen(fd, SOCKETS_MAX) < 0))
                die("cannot listen on %s", path);
        if (!serve && connect(fd, &address.any, length) < 0)
                die("cannot connect to %s", path);
        return fd;
}

static void give(int client, const struct sockets *sockets)
{
        char names[NAMES_MAX];
        _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(sockets->fds))] = {0};
        struct iovec data = {.iov_base = names, .iov_len = sizeof(names)};
        struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
        struct cmsghdr *header;

        memcpy(names, sockets->names, sizeof(names));
        if (sockets->n > 0) {
                message.msg_control = control;
                message.msg_controllen = CMSG_SPACE(sockets->n * sizeof(int));
                header = (struct cmsghdr *)control;
                header->cmsg_level = SOL_SOCKET;
                header->cmsg_type = SCM_RIGHTS;
                header->cmsg_len = CMSG_LEN(sockets->n * sizeof(int));
                memcpy(CMSG_DATA(header), sockets->fds, sockets->n * sizeof(int));
        }
        if (sendmsg(client, &message, MSG_NOSIGNAL) < 0)
                perror("holder: cannot pass the sockets");
}

static void take(const char *control_path, struct sockets *ret)
{
        _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(ret->fds))];
        struct iovec data = {.iov_base = ret->names, .iov_len = sizeof(ret->names)};
        struct msghdr message = {.msg_iov = &data,
                                 .msg_iovlen = 1,
                                 .msg_control = control,
                                 .msg_controllen = sizeof(control)};
        const struct cmsghdr *header;
        int fd = control_open(control_path, false);

        *ret = (struct sockets){0};
        if (recvmsg(fd, &message, MSG_CMSG_CLOEXEC) <= 0)
                die("cannot get the sockets from %s", control_path);
        header = CMSG_FIRSTHDR(&message);
        if (header) {
                ret->n = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                memcpy(ret->fds, CMSG_DATA(header), ret->n * sizeof(int));
        }
        (void)close(fd);
}

/* Whoever waits for the end of a pipe (bats does) must not wait for the holder. */
static void let_go(int control, const struct sockets *sockets)
{
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        for (int fd = 0; fd < DESCRIPTORS; fd++) {
                bool ours = fd == control || fd == null;

                for (size_t i = 0; i < sockets->n; i++)
                        ours |= fd == sockets->fds[i];
                if (fd <= STDERR_FILENO)
                        (void)dup2(null, fd);
                else if (!ours)
                        (void)close(fd);
        }
}

static int serve(int argc, char *argv[])
{
        struct sockets sockets = {0};
        int backlog = BACKLOG;
        int control;
        pid_t pid;

        if (argc > 0 && sscanf(argv[0], "--backlog=%d", &backlog) == 1) {
                argv++;
                argc--;
        }
        if (argc < 1)
                return EXIT_FAILURE;
        control = control_open(argv[0], true);
        for (int i = 1; i < argc; i++)
                open_socket(&sockets, argv[i], backlog);

        pid = fork();
        if (pid < 0)
                die("cannot fork");
        if (pid > 0) {
                printf("%d\n", (int)pid);
                return EXIT_SUCCESS;
        }

        let_go(control, &sockets);
        (void)setsid();
        (void)alarm(LIFETIME_SEC);
        for (;;) {
                int client = accept4(control, NULL, NULL, SOCK_CLOEXEC);

                if (client < 0)
                        continue;
                give(client, &sockets);
                (void)close(client);
        }
}

static void set_number(const char *name, long number)
{
        char text[24];

        (void)snprintf(text, sizeof(text), "%ld", number);
        (void)setenv(name, text, 1);
}

/* systemd sets or clears the flag anew at each start; it is in the description that all share. */
static void set_blocking(int fd, bool blocking)
{
        int flags = fcntl(fd, F_GETFL);

        if (flags < 0 ||
            fcntl(fd, F_SETFL, blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK) < 0)
                die("cannot set the blocking of descriptor %d", fd);
}

static int run(int argc, char *argv[])
{
        struct sockets sockets;
        bool nonblock = false, fd0 = false, names = true;
        const char *tell = NULL;

        for (; argc > 0 && strncmp(argv[0], "--", 2) == 0; argc--, argv++)
                if (strcmp(argv[0], "--nonblock") == 0)
                        nonblock = true;
                else if (strcmp(argv[0], "--fd0") == 0)
                        fd0 = true;
                else if (strcmp(argv[0], "--no-names") == 0)
                        names = false;
                else if (strncmp(argv[0], "--tell=", strlen("--tell=")) == 0)
                        tell = argv[0] + strlen("--tell=");
                else
                        return EXIT_FAILURE;
        if (argc < 2)
                return EXIT_FAILURE;

        /* A shell makes its background commands ignore these two; systemd does no such thing. */
        (void)signal(SIGINT, SIG_DFL);
        (void)signal(SIGQUIT, SIG_DFL);

        sockets.n = 0;
        if (strcmp(argv[0], "-") != 0)
                take(argv[0], &sockets);
        for (size_t i = 0; i < sockets.n; i++) {
                /* Out of the way first: the places from FIRST_FD on may be each other's. */
                sockets.fds[i] = fcntl(sockets.fds[i], F_DUPFD_CLOEXEC, FIRST_FD + SOCKETS_MAX);
                set_blocking(sockets.fds[i], !nonblock);
        }
        if (close_range(FIRST_FD, UINT_MAX, CLOSE_RANGE_CLOEXEC) < 0)
                die("cannot let other descriptors go");
        if (fd0) {
                if (sockets.n == 0 || dup2(sockets.fds[0], STDIN_FILENO) < 0)
                        die("cannot pass a socket as descriptor 0");
        } else if (sockets.n > 0) {
                for (size_t i = 0; i < sockets.n; i++)
                        if (dup2(sockets.fds[i], FIRST_FD + (int)i) < 0)
                                die("cannot pass a socket");
                set_number("LISTEN_FDS", (long)sockets.n);
                set_number("LISTEN_PID", (long)getpid());
                if (names)
                        (void)setenv("LISTEN_FDNAMES", sockets.names, 1);
        }
        if (tell && close(open(tell, O_WRONLY | O_CREAT | O_CLOEXEC, 0666)) < 0)
                die("cannot make %s", tell);
        (void)execvp(argv[1], argv + 1);
        die("cannot run %s", argv[1]);
}

static int show(int argc, char *argv[])
{
        struct sockets sockets;
        const char *name;

        if (argc != 1)
                return EXIT_FAILURE;
        take(argv[0], &sockets);
        name = sockets.names;
        for (size_t i = 0; i < sockets.n; i++) {
                int flags = fcntl(sockets.fds[i], F_GETFL);
                size_t length = strcspn(name, ":");
                struct stat status;

                if (flags < 0 || fstat(sockets.fds[i], &status) < 0)
                        die("cannot look at a socket");
                printf("%.*s ", (int)length, name);
                address_print(sockets.fds[i]);
                printf(" %ju %s\n", (uintmax_t)status.st_ino,
                       flags & O_NONBLOCK ? "nonblocking" : "blocking");
                name += length + (name[length] == ':');
        }
        return EXIT_SUCCESS;
}

int main(int argc, char *argv[])
{
        int status = EXIT_FAILURE;

        if (argc >= 3 && strcmp(argv[1], "serve") == 0)
                status = serve(argc - 2, argv + 2);
        else if (argc >= 3 && strcmp(argv[1], "run") == 0)
                status = run(argc - 2, argv + 2);
        else if (argc >= 3 && strcmp(argv[1], "show") == 0)
                status = show(argc - 2, argv + 2);
        if (status != EXIT_SUCCESS)
                fputs("holder: usage: see the top of holder.c\n", stderr);
        return status;
}
