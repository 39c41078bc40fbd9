/* SPDX-License-Identifier: MIT */
#include "sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "status.h"

/* Where systemd's passed descriptors begin: SD_LISTEN_FDS_START. */
#define LISTEN_FDS_START 3

/* systemd's own default for Backlog=; the kernel cuts it to net.core.somaxconn. */
#define BACKLOG 4096

/* php-fpm's default for listen.mode: whoever may connect may run PHP code as the server's user. */
#define SOCKET_MODE 0660

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

bool is_listening(int fd)
{
        int type = 0, listening = 0;
        socklen_t length = sizeof(type);

        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) < 0)
                return false;
        length = sizeof(listening);
        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) < 0)
                return false;
        if (type != SOCK_STREAM || !listening) {
                errno = EINVAL;
                return false;
        }
        return true;
}

/*
 * Adds a socket; its descriptor belongs to *passed from then on. There is room: callers add no more
 * than GATE_SOCKETS_MAX in all.
 */
static int add_socket(struct passed *passed, int fd, const char *name, size_t name_length)
{
        if (name_length >= GATE_NAME_MAX)
                return log_fail(STATUS_BAD_SOCKETS,
                                "name in LISTEN_FDNAMES is too long: %.*s: at most %u bytes; "
                                "shorten FileDescriptorName= in the socket unit",
                                (int)name_length, name, GATE_NAME_MAX - 1);

        memcpy(passed->names[passed->n_sockets], name, name_length);
        passed->names[passed->n_sockets][name_length] = '\0';
        passed->sockets[passed->n_sockets++] = fd;
        return 0;
}

/* Parses decimal digits and nothing else, up to INT_MAX. */
static int parse_number(const char *text, int *ret)
{
        long value = 0;

        if (!*text)
                return -EINVAL;
        for (; *text; text++) {
                if (*text < '0' || *text > '9')
                        return -EINVAL;
                value = value * 10 + (*text - '0');
                if (value > INT_MAX)
                        return -ERANGE;
        }
        *ret = (int)value;
        return 0;
}

bool passed_in_environment(void)
{
        return getenv("LISTEN_FDS") != NULL;
}

/* Checks LISTEN_FDS and LISTEN_PID; the number of descriptors to *ret. */
static int listen_fds(int *ret)
{
        const char *fds = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID");
        int n, who;

        if (parse_number(fds, &n) < 0 || n == 0)
                return log_fail(STATUS_BAD_SOCKETS, "LISTEN_FDS is not a number of descriptors: %s",
                                fds);
        if (n > (int)GATE_SOCKETS_MAX)
                return log_fail(STATUS_BAD_SOCKETS,
                                "too many listening sockets in LISTEN_FDS: %s: at most %u", fds,
                                GATE_SOCKETS_MAX);
        if (!pid)
                return log_fail(STATUS_BAD_SOCKETS,
                                "LISTEN_FDS is set, but LISTEN_PID is not: whoever passed the "
                                "sockets must say to whom");
        if (parse_number(pid, &who) < 0)
                return log_fail(STATUS_BAD_SOCKETS, "LISTEN_PID is not a process id: %s", pid);
        if (who != getpid())
                return log_fail(STATUS_BAD_SOCKETS,
                                "the sockets were passed to another process: LISTEN_PID=%s, this "
                                "is process %d; start fpm-launcher directly or with exec",
                                pid, (int)getpid());
        *ret = n;
        return 0;
}

int passed_from_environment(struct passed *passed)
{
        const char *names = getenv("LISTEN_FDNAMES"), *name = names;
        int n = 0, n_names = 1, r;

        r = listen_fds(&n);
        if (r > 0)
                return r;

        for (const char *p = names; p && *p; p++)
                n_names += *p == ':';
        if (names && n_names != n)
                return log_fail(STATUS_BAD_SOCKETS,
                                "LISTEN_FDNAMES does not fit LISTEN_FDS: %s: %d names for %d "
                                "descriptors",
                                names, n_names, n);

        for (int i = 0; i < n; i++) {
                int fd = LISTEN_FDS_START + i;
                size_t length = name ? strcspn(name, ":") : 0;

                if (!is_listening(fd))
                        return log_fail(STATUS_BAD_SOCKETS,
                                        "passed descriptor is not a listening stream socket: "
                                        "%d (%.*s): %m; the socket unit needs ListenStream= and "
                                        "Accept=no",
                                        fd, name ? (int)length : 7, name ? name : "no name");
                r = add_socket(passed, fd, name ? name : "", length);
                if (r > 0)
                        return r;
                if (name)
                        name += length + 1;
        }
        return 0;
}

bool passed_on_stdin(void)
{
        return is_listening(STDIN_FILENO);
}

int passed_from_stdin(struct passed *passed)
{
        return add_socket(passed, STDIN_FILENO, "", 0);
}

/* Addresses that --listen= knows. */
union address {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
};

static int parse_address(const char *text, union address *ret, socklen_t *ret_length)
{
        char host[INET6_ADDRSTRLEN];
        const char *begin = text, *end, *port_text;
        bool bracket = *text == '[';
        size_t length;
        int port;

        memset(ret, 0, sizeof(*ret));
        if (*text == '/') {
                length = strlen(text);
                if (length >= sizeof(ret->un.sun_path))
                        return -ENAMETOOLONG;
                ret->un.sun_family = AF_UNIX;
                memcpy(ret->un.sun_path, text, length + 1);
                *ret_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
                return 0;
        }

        if (bracket) {
                begin++;
                end = strchr(begin, ']');
                if (!end || end[1] != ':')
                        return -EINVAL;
                port_text = end + 2;
        } else {
                end = strchr(text, ':');
                port_text = end ? end + 1 : text;
                if (!end) {
                        begin = "::";
                        end = begin + 2;
                        bracket = true;
                }
        }
        if (parse_number(port_text, &port) < 0 || port < 1 || port > UINT16_MAX)
                return -EINVAL;
        length = (size_t)(end - begin);
        if (length >= sizeof(host))
                return -EINVAL;
        memcpy(host, begin, length);
        host[length] = '\0';

        if (bracket) {
                ret->in6.sin6_family = AF_INET6;
                ret->in6.sin6_port = htons((uint16_t)port);
                *ret_length = sizeof(ret->in6);
                return inet_pton(AF_INET6, host, &ret->in6.sin6_addr) == 1 ? 0 : -EINVAL;
        }
        ret->in.sin_family = AF_INET;
        ret->in.sin_port = htons((uint16_t)port);
        *ret_length = sizeof(ret->in);
        return inet_pton(AF_INET, host, &ret->in.sin_addr) == 1 ? 0 : -EINVAL;
}

/*
 * Removes a socket file that no process is behind. A datagram socket asks the kernel without
 * disturbing a living server: connecting it to a stream socket fails with EPROTOTYPE, and with
 * ECONNREFUSED if nobody has the file's socket open any more.
 */
static int remove_stale(const union address *address, socklen_t length)
{
        _cleanup_close_ int probe = -1;
        const char *path = address->un.sun_path;
        struct stat st;

        if (lstat(path, &st) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!S_ISSOCK(st.st_mode))
                return -ENOTSOCK;
        probe = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (probe < 0)
                return -errno;
        if (connect(probe, &address->any, length) == 0 || errno == EPROTOTYPE)
                return -EADDRINUSE;
        if (errno != ECONNREFUSED)
                return -errno;
        return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

/* Opens, binds and listens. Returns the descriptor or -errno. */
static int open_socket(const union address *address, socklen_t length)
{
        _cleanup_close_ int fd = -1;
        mode_t old_umask;
        int on = 1, r;

        fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        if (address->any.sa_family == AF_UNIX) {
                r = remove_stale(address, length);
                if (r < 0)
                        return r;
        } else if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
                return -errno;

        old_umask = umask(0777 & ~SOCKET_MODE);
        r = bind(fd, &address->any, length) < 0 ? -errno : 0;
        (void)umask(old_umask);
        if (r < 0)
                return r;
        if (listen(fd, BACKLOG) < 0)
                return -errno;
        return take_descriptor(&fd);
}

static bool is_bare_port(const char *text)
{
        return !strpbrk(text, "/:");
}

int socket_listen(const char *text, int *ret_fd)
{
        union address address;
        socklen_t length;
        int fd;

        if (parse_address(text, &address, &length) < 0)
                return log_fail(STATUS_USAGE,
                                "not an address to listen on: %s; use /path, 127.0.0.1:9000, "
                                "[::1]:9000 or 9000",
                                text);
        fd = open_socket(&address, length);
        if (fd == -EAFNOSUPPORT && is_bare_port(text)) {
                /* No IPv6 here: all addresses are those of IPv4. */
                address.in =
                    (struct sockaddr_in){.sin_family = AF_INET, .sin_port = address.in6.sin6_port};
                fd = open_socket(&address, sizeof(address.in));
        }
        errno = -fd;
        if (fd == -EADDRINUSE)
                return log_fail(STATUS_SYSTEM,
                                "cannot listen: %s: %m; a running server has this address", text);
        if (fd == -ENOTSOCK)
                return log_fail(STATUS_SYSTEM,
                                "cannot listen: %s: %m; the file there is not a socket and is "
                                "left alone",
                                text);
        if (fd < 0)
                return log_fail(STATUS_SYSTEM, "cannot listen: %s: %m", text);
        *ret_fd = fd;
        return 0;
}

int passed_listen(struct passed *passed, const char *text)
{
        int fd, r;

        r = socket_listen(text, &fd);
        return r > 0 ? r : add_socket(passed, fd, "", 0);
}

/* The page's memory. Whoever gets it later may write, but neither resize it nor lift the seals. */
static int open_page(void)
{
        _cleanup_close_ int fd = -1;

        /* Kernels since 6.3 may insist on the flag that older ones do not know. */
        fd = memfd_create("fpm-waker", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
        if (fd < 0 && errno == EINVAL)
                fd = memfd_create("fpm-waker", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0 || ftruncate(fd, sizeof(struct gate_page)) < 0 ||
            fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
                return -errno;
        return take_descriptor(&fd);
}

int passed_make_page(struct passed *passed)
{
        void *page;

        passed->page_fd = open_page();
        errno = -passed->page_fd;
        if (passed->page_fd < 0)
                return log_fail(STATUS_SYSTEM, "cannot make the gate's page: %m");
        page = mmap(NULL, sizeof(struct gate_page), PROT_READ | PROT_WRITE, MAP_SHARED,
                    passed->page_fd, 0);
        if (page == MAP_FAILED)
                return log_fail(STATUS_SYSTEM, "cannot map the gate's page: %m");
        passed->gate.page = page;
        gate_page_init(passed->gate.page);

        passed->gate.closing_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        passed->gate.waking_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (passed->gate.closing_fd < 0 || passed->gate.waking_fd < 0)
                return log_fail(STATUS_SYSTEM, "cannot make the gate's eventfds: %m");
        return 0;
}

/* Moves a descriptor to where it survives exec and is in no shell's way. */
static int move_up(int *fd)
{
        int moved;

        moved = fcntl(*fd, F_DUPFD, GATE_FIRST_FD);
        if (moved < 0)
                return -errno;
        (void)close(*fd);
        *fd = moved;
        return 0;
}

/* Room for everything at GATE_FIRST_FD and above, whatever the soft limit is. */
static void raise_descriptor_limit(void)
{
        const rlim_t wanted = GATE_FIRST_FD + 2 * (GATE_SOCKETS_MAX + 4);
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
                return;
        limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static int move_all_up(struct passed *passed)
{
        int *own[] = {&passed->page_fd, &passed->gate.closing_fd, &passed->gate.waking_fd};
        int r = 0;

        raise_descriptor_limit();
        for (size_t i = 0; r == 0 && i < sizeof(own) / sizeof(own[0]); i++)
                r = move_up(own[i]);
        if (r == 0 && passed->handover_fd >= 0)
                r = move_up(&passed->handover_fd);
        for (size_t i = 0; r == 0 && i < passed->n_sockets; i++)
                r = move_up(&passed->sockets[i]);
        return r;
}

/*
 * Descriptor 0 is a listening socket only for a server that wants it there: php-fpm's workers would
 * exit at once, and a shell would read its script from it.
 */
static int settle_stdin(const struct passed *passed, bool fd0)
{
        _cleanup_close_ int null = -1;

        if (fd0)
                return dup2(passed->sockets[0], STDIN_FILENO) < 0 ? -errno : 0;
        if (fcntl(STDIN_FILENO, F_GETFD) >= 0 && !is_listening(STDIN_FILENO))
                return 0;
        null = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (null < 0)
                return -errno;
        if (null == STDIN_FILENO) {
                (void)take_descriptor(&null);
                return fcntl(STDIN_FILENO, F_SETFD, 0) < 0 ? -errno : 0;
        }
        return dup2(null, STDIN_FILENO) < 0 ? -errno : 0;
}

int passed_settle(struct passed *passed, bool fd0)
{
        int r;

        if (fd0 && passed->n_sockets != 1)
                return log_fail(STATUS_USAGE,
                                "--fd0 takes exactly one listening socket, but there are %zu",
                                passed->n_sockets);

        r = move_all_up(passed);
        errno = -r;
        if (r < 0)
                return log_fail(STATUS_SYSTEM,
                                "cannot move a descriptor to %d or above: %m; raise LimitNOFILE= "
                                "or --ulimit nofile",
                                GATE_FIRST_FD);
        r = settle_stdin(passed, fd0);
        errno = -r;
        if (r < 0)
                return log_fail(STATUS_SYSTEM, "cannot prepare descriptor 0: %m");
        return 0;
}

int passed_write_page(const struct passed *passed, const struct page_settings *settings)
{
        struct gate_page *page = passed->gate.page;

        for (size_t i = 0; i < passed->n_sockets; i++) {
                struct gate_socket *entry = &page->sockets[i];
                struct stat st;

                if (fstat(passed->sockets[i], &st) < 0)
                        return log_fail(STATUS_SYSTEM, "cannot look at a listening socket: %m");
                *entry = (struct gate_socket){.inode = st.st_ino, .fd = passed->sockets[i]};
                memcpy(entry->name, passed->names[i], sizeof(entry->name));
        }
        page->magic = GATE_MAGIC;
        page->version = GATE_VERSION;
        page->n_sockets = (uint32_t)passed->n_sockets;
        page->exit_idle_usec = settings->exit_idle_usec;
        page->drain_limit_usec = settings->drain_limit_usec;
        page->background_limit_usec = settings->background_limit_usec;
        page->read_ahead = settings->read_ahead;
        page->fd0 = settings->fd0;
        page->closing_fd = passed->gate.closing_fd;
        page->waking_fd = passed->gate.waking_fd;
        page->handover_fd = passed->handover_fd;
        return 0;
}
