/* SPDX-License-Identifier: MIT */
/*
 * A FastCGI responder that does one call at a time, as it is told: whatever a server may do, in
 * whatever order, and it stands still where somebody wants to look at it.
 *
 *   responder CONTROL ADDRESS    listens on ADDRESS (/path or 127.0.0.1:PORT) and takes orders from
 *                                whoever listens on the socket CONTROL. See responder.h.
 *   responder CONTROL ADDRESS fork   has a worker for that, as php-fpm does
 */
#include "responder.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../preload/gate.h"

#define FIRST_PIECE      3U /* of what goes in two pieces */
#define LAST_FD          1000
#define CONNECTIONS_MAX  5000 /* that one thread hands out to another one ... */
#define OPEN_MAX_AT_ONCE 100  /* ... which need not have closed so many of them */

#ifdef __GLIBC__
/* What programs call that were built with _FORTIFY_SOURCE; no header has them without it. */
ssize_t __read_chk(int fd, void *buffer, size_t size, size_t room);
ssize_t __recv_chk(int fd, void *buffer, size_t size, size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void *buffer, size_t size, size_t room, int flags,
                       struct sockaddr *from, socklen_t *from_size);
int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t room);
int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask,
                size_t room);
#else
#define __read_chk(fd, buffer, size, room)        read(fd, buffer, size)
#define __recv_chk(fd, buffer, size, room, flags) recv(fd, buffer, size, flags)
#define __recvfrom_chk(fd, buffer, size, room, flags, from, from_size)                             \
        recvfrom(fd, buffer, size, flags, from, from_size)
#define __poll_chk(fds, n, timeout, room)        poll(fds, n, timeout)
#define __ppoll_chk(fds, n, timeout, mask, room) ppoll(fds, n, timeout, mask)
#define preadv2(fd, vector, n, offset, flags)    readv(fd, vector, n)
#define preadv64v2                               preadv2
#define pwritev2(fd, vector, n, offset, flags)   writev(fd, vector, n)
#define pwritev64v2                              pwritev2
#define sendfile64                               sendfile
#endif

static const char *control_path;
static FILE *files[LAST_FD]; /* by descriptor, of those that stdio has */

static void *serve(void *argument);

static void die(const char *what)
{
        perror(what);
        exit(EXIT_FAILURE);
}

/* Two vectors of a buffer. Returns their number. */
static int divide(struct iovec vector[2], void *data, size_t size)
{
        size_t first = size < FIRST_PIECE ? size : FIRST_PIECE;

        vector[0] = (struct iovec){.iov_base = data, .iov_len = first};
        vector[1] = (struct iovec){.iov_base = (char *)data + first, .iov_len = size - first};
        return first < size ? 2 : 1;
}

static FILE *file_of(int fd)
{
        if (!files[fd])
                files[fd] = fdopen(fd, "r+e");
        if (!files[fd])
                die("responder: fdopen");
        return files[fd];
}

static long receive(const struct order *order, uint8_t *data)
{
        struct sockaddr_storage from;
        socklen_t from_size = sizeof(from);
        struct iovec vector[2];
        struct mmsghdr message = {
            .msg_hdr = {.msg_iov = vector, .msg_iovlen = (size_t)divide(vector, data, order->size)},
        };
        int n = (int)message.msg_hdr.msg_iovlen;
        int ends[2];
        long r;

        switch (order->call) {
        case CALL_READ:
                return read(order->fd, data, order->size);
        case CALL_READ_CHK:
                return __read_chk(order->fd, data, order->size, DATA_MAX);
        case CALL_READV:
                return readv(order->fd, vector, n);
        case CALL_RECV:
                return recv(order->fd, data, order->size, 0);
        case CALL_RECV_CHK:
                return __recv_chk(order->fd, data, order->size, DATA_MAX, 0);
        case CALL_RECV_DONTWAIT:
                return recv(order->fd, data, order->size, MSG_DONTWAIT);
        case CALL_RECV_PEEK:
                return recv(order->fd, data, order->size, MSG_PEEK);
        case CALL_RECVFROM:
                return recvfrom(order->fd, data, order->size, 0, NULL, NULL);
        case CALL_RECVFROM_ADDRESS:
                return recvfrom(order->fd, data, order->size, 0, (struct sockaddr *)&from,
                                &from_size);
        case CALL_RECVFROM_CHK:
                return __recvfrom_chk(order->fd, data, order->size, DATA_MAX, 0, NULL, NULL);
        case CALL_RECVMSG:
                return recvmsg(order->fd, &message.msg_hdr, 0);
        case CALL_RECVMMSG:
                r = recvmmsg(order->fd, &message, 1, 0, NULL);
                return r <= 0 ? r : (long)message.msg_len;
        case CALL_PREADV2:
                return preadv2(order->fd, vector, n, -1, 0);
        case CALL_PREADV64V2:
                return preadv64v2(order->fd, vector, n, -1, 0);
        case CALL_SPLICE_IN:
                if (pipe2(ends, O_CLOEXEC) < 0)
                        die("responder: pipe");
                r = splice(order->fd, NULL, ends[1], NULL, order->size, 0);
                if (r > 0)
                        r = read(ends[0], data, (size_t)r);
                (void)close(ends[0]);
                (void)close(ends[1]);
                return r;
        default:
                r = getc(file_of(order->fd));
                data[0] = (uint8_t)r;
                return r == EOF ? 0 : 1;
        }
}

static long transmit(const struct order *order)
{
        void *data = (void *)(uintptr_t)order->data;
        struct iovec vector[2];
        int n = divide(vector, data, order->size);
        /* Each piece a message of its own. */
        struct mmsghdr messages[2] = {{.msg_hdr = {.msg_iov = &vector[0], .msg_iovlen = 1}},
                                      {.msg_hdr = {.msg_iov = &vector[1], .msg_iovlen = 1}}};
        struct msghdr message = {.msg_iov = vector, .msg_iovlen = (size_t)n};
        int ends[2];
        long r;

        switch (order->call) {
        case CALL_WRITE:
                return write(order->fd, data, order->size);
        case CALL_WRITEV:
                return writev(order->fd, vector, n);
        case CALL_SEND:
                return send(order->fd, data, order->size, 0);
        case CALL_SENDTO:
                return sendto(order->fd, data, order->size, MSG_NOSIGNAL, NULL, 0);
        case CALL_SENDMSG:
                return sendmsg(order->fd, &message, 0);
        case CALL_SENDMMSG:
                r = sendmmsg(order->fd, messages, (unsigned)n, 0);
                return r <= 0 ? r : (long)(messages[0].msg_len + (r > 1 ? messages[1].msg_len : 0));
        case CALL_SENDFILE:
        case CALL_SENDFILE64:
                ends[0] = memfd_create("data", MFD_CLOEXEC);
                if (ends[0] < 0 || write(ends[0], data, order->size) != (ssize_t)order->size ||
                    lseek(ends[0], 0, SEEK_SET) < 0)
                        die("responder: memfd");
                r = order->call == CALL_SENDFILE
                        ? sendfile(order->fd, ends[0], NULL, order->size)
                        : sendfile64(order->fd, ends[0], NULL, order->size);
                (void)close(ends[0]);
                return r;
        case CALL_PWRITEV2:
                return pwritev2(order->fd, vector, n, -1, 0);
        case CALL_PWRITEV64V2:
                return pwritev64v2(order->fd, vector, n, -1, 0);
        case CALL_SPLICE_OUT:
                if (pipe2(ends, O_CLOEXEC) < 0 ||
                    write(ends[1], data, order->size) != (ssize_t)order->size)
                        die("responder: pipe");
                r = splice(ends[0], NULL, order->fd, NULL, order->size, 0);
                (void)close(ends[0]);
                (void)close(ends[1]);
                return r;
        default:
                r = (long)fwrite(data, 1, order->size, file_of(order->fd));
                return fflush(file_of(order->fd)) == 0 ? r : -1;
        }
}

static long wait_by_select(const struct order *order, uint8_t *ready)
{
        struct timeval timeout = {.tv_usec = (suseconds_t)order->argument * 1000};
        struct timespec precise = {.tv_nsec = (long)order->argument * 1000000};
        bool for_ever = order->argument < 0;
        fd_set set;
        int n = 0;
        int r;

        FD_ZERO(&set);
        for (size_t i = 0; i < WAIT_MAX; i++) {
                if (order->fds[i] < 0)
                        continue;
                FD_SET(order->fds[i], &set);
                if (order->fds[i] >= n)
                        n = order->fds[i] + 1;
        }
        if (order->call == CALL_SELECT)
                r = select(n, &set, NULL, NULL, for_ever ? NULL : &timeout);
        else
                r = pselect(n, &set, NULL, NULL, for_ever ? NULL : &precise, NULL);
        for (size_t i = 0; r >= 0 && i < WAIT_MAX; i++)
                ready[i] = order->fds[i] >= 0 && FD_ISSET(order->fds[i], &set);
        return r;
}

static long wait_by_epoll(const struct order *order, uint8_t *ready)
{
        struct epoll_event events[WAIT_MAX];
        int fd = epoll_create1(EPOLL_CLOEXEC);
        int r;

        for (size_t i = 0; i < WAIT_MAX; i++) {
                events[0] = (struct epoll_event){.events = EPOLLIN, .data.u64 = i};
                if (order->fds[i] >= 0 && epoll_ctl(fd, EPOLL_CTL_ADD, order->fds[i], events) < 0)
                        die("responder: epoll");
        }
        r = epoll_wait(fd, events, WAIT_MAX, order->argument);
        for (int i = 0; i < r; i++)
                ready[events[i].data.u64] = 1;
        (void)close(fd);
        return r;
}

static long wait_by_poll(const struct order *order, uint8_t *ready)
{
        struct timespec timeout = {.tv_nsec = (long)order->argument * 1000000};
        const struct timespec *precise = order->argument < 0 ? NULL : &timeout;
        struct pollfd fds[WAIT_MAX];
        nfds_t n = 0;
        int r;

        for (; n < WAIT_MAX && order->fds[n] >= 0; n++)
                fds[n] = (struct pollfd){.fd = order->fds[n], .events = POLLIN};
        if (order->call == CALL_POLL)
                r = poll(fds, n, order->argument);
        else if (order->call == CALL_POLL_CHK)
                r = __poll_chk(fds, n, order->argument, sizeof(fds));
        else if (order->call == CALL_PPOLL)
                r = ppoll(fds, n, precise, NULL);
        else
                r = __ppoll_chk(fds, n, precise, NULL, sizeof(fds));
        for (nfds_t i = 0; r > 0 && i < n; i++)
                ready[i] = fds[i].revents != 0;
        return r;
}

static int duplicate(const struct order *order)
{
        switch (order->call) {
        case CALL_DUP:
                return dup(order->fd);
        case CALL_DUP2:
                return dup2(order->fd, order->argument);
        case CALL_DUP3:
                return dup3(order->fd, order->argument, O_CLOEXEC);
        case CALL_DUPFD:
                return fcntl(order->fd, F_DUPFD, order->argument);
        default:
                return fcntl(order->fd, F_DUPFD_CLOEXEC, order->argument);
        }
}

static void do_nothing(int number)
{
        (void)number;
}

static long change(const struct order *order, uint8_t *data)
{
        const struct timeval timeout = {.tv_usec = (suseconds_t)order->argument * 1000};
        struct sigaction action = {.sa_handler = do_nothing};
        int ends[2], on = 1;
        long r;

        switch (order->call) {
        case CALL_ACCEPT:
        case CALL_ACCEPT4:
                r = order->call == CALL_ACCEPT ? accept(order->fd, NULL, NULL)
                                               : accept4(order->fd, NULL, NULL, order->argument);
                if (r < 0)
                        return r;
                files[r] = NULL; /* what was there had another connection */
                (void)setsockopt((int)r, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
                return r;
        case CALL_CLOSE:
                return close(order->fd);
        case CALL_FCLOSE:
                r = fclose(file_of(order->fd));
                files[order->fd] = NULL;
                return r;
        case CALL_SHUTDOWN:
                return shutdown(order->fd, order->argument);
        case CALL_SET_NONBLOCK:
                return fcntl(order->fd, F_SETFL, O_RDWR | (order->argument ? O_NONBLOCK : 0));
        case CALL_SET_FIONBIO:
                return ioctl(order->fd, FIONBIO, &order->argument);
        case CALL_IS_NONBLOCK:
                return (fcntl(order->fd, F_GETFL) & O_NONBLOCK) != 0;
        case CALL_SET_TIMEOUT:
                return setsockopt(order->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
        case CALL_HANDLE_SIGNAL:
                action.sa_flags = order->argument;
                return sigaction(order->fd, &action, NULL);
        case CALL_PIPE:
                r = pipe2(ends, O_CLOEXEC);
                memcpy(data, ends, sizeof(ends));
                return r;
        default:
                return duplicate(order);
        }
}

static long serve_many(const struct order *order, uint8_t *data)
{
        for (int i = 0; i < order->argument; i++) {
                int fd = accept(order->fd, NULL, NULL);

                if (fd < 0)
                        return -1;
                while (read(fd, data, DATA_MAX) > 0)
                        ;
                (void)close(fd);
        }
        return order->argument;
}

/* Connections that another thread is to close; the last one is -1. */
static int handed_out[CONNECTIONS_MAX + 1];
static atomic_int n_handed_out, n_closed;

/* Does not sleep: the other one is to be just at accept when this one closes. */
static void *close_all(void *nothing)
{
        for (int i = 0;; i++) {
                while (atomic_load(&n_handed_out) == i)
                        ;
                if (handed_out[i] < 0)
                        return nothing;
                (void)close(handed_out[i]);
                atomic_store(&n_closed, i + 1);
        }
}

static long hand_out(const struct order *order)
{
        int n = order->argument < CONNECTIONS_MAX ? order->argument : CONNECTIONS_MAX;
        pthread_t thread;

        atomic_store(&n_handed_out, 0);
        atomic_store(&n_closed, 0);
        if (pthread_create(&thread, NULL, close_all, NULL) != 0)
                die("responder: thread");
        for (int i = 0; i < n; i++) {
                while (i - atomic_load(&n_closed) > OPEN_MAX_AT_ONCE)
                        (void)sched_yield();
                handed_out[i] = accept(order->fd, NULL, NULL);
                if (handed_out[i] < 0)
                        die("responder: accept");
                atomic_store(&n_handed_out, i + 1);
                /* Not always at the same moment. */
                for (volatile int pause = i % 256; pause > 0; pause--)
                        ;
        }
        handed_out[n] = -1;
        atomic_store(&n_handed_out, n + 1);
        (void)pthread_join(thread, NULL);
        return n;
}

static void obey(const struct order *order, struct reply *reply, int listener)
{
        pthread_t thread;

        errno = 0;
        memset(reply->data, 0, WAIT_MAX);
        if (order->call <= CALL_GETC)
                reply->result = receive(order, reply->data);
        else if (order->call <= CALL_FWRITE)
                reply->result = transmit(order);
        else if (order->call <= CALL_PPOLL_CHK)
                reply->result = wait_by_poll(order, reply->data);
        else if (order->call <= CALL_PSELECT)
                reply->result = wait_by_select(order, reply->data);
        else if (order->call == CALL_SERVE)
                reply->result = serve_many(order, reply->data);
        else if (order->call == CALL_HAND_OUT)
                reply->result = hand_out(order);
        else if (order->call == CALL_EPOLL)
                reply->result = wait_by_epoll(order, reply->data);
        else if (order->call < CALL_THREAD)
                reply->result = change(order, reply->data);
        else if (order->call == CALL_THREAD)
                reply->result = -pthread_create(&thread, NULL, serve, (void *)(intptr_t)listener);
        else if (order->call == CALL_FORK)
                reply->result = fork();
        else
                exit(EXIT_SUCCESS);
        if (reply->result < 0 && errno)
                reply->result = -errno;
}

/* The first message: who this is, and from the process that was started what the gate consists of.
 */
static void introduce(int control, struct reply *reply)
{
        const char *page_fd = getenv(GATE_ENVIRONMENT); /* gone once this process accepts */
        int fds[3];
        _Alignas(struct cmsghdr) char rights[CMSG_SPACE(sizeof(fds))] = {0};
        struct iovec vector = {.iov_base = reply, .iov_len = sizeof(*reply)};
        struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
        const struct gate_page *page;
        struct cmsghdr *header = (struct cmsghdr *)rights;

        if (page_fd) {
                fds[0] = atoi(page_fd);
                page = mmap(NULL, sizeof(*page), PROT_READ, MAP_SHARED, fds[0], 0);
                if (page == MAP_FAILED)
                        die("responder: page");
                fds[1] = page->closing_fd;
                fds[2] = page->waking_fd;
                message.msg_control = rights;
                message.msg_controllen = sizeof(rights);
                header->cmsg_level = SOL_SOCKET;
                header->cmsg_type = SCM_RIGHTS;
                header->cmsg_len = CMSG_LEN(sizeof(fds));
                memcpy(CMSG_DATA(header), fds, sizeof(fds));
        }
        if (sendmsg(control, &message, MSG_NOSIGNAL) < 0)
                die("responder: control");
}

static int connect_control(int listener, struct reply *reply)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int control = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", control_path);
        if (control < 0 || connect(control, (const struct sockaddr *)&address, sizeof(address)) < 0)
                die("responder: control");
        reply->result = listener;
        reply->process = getpid();
        reply->thread = (pid_t)syscall(SYS_gettid);
        introduce(control, reply);
        return control;
}

static void *serve(void *argument)
{
        int listener = (int)(intptr_t)argument;
        struct order *order = malloc(sizeof(*order));
        struct reply *reply = malloc(sizeof(*reply));
        int control;

        if (!order || !reply)
                die("responder: memory");
        control = connect_control(listener, reply);
        while (recv(control, order, sizeof(*order), 0) == sizeof(*order)) {
                obey(order, reply, listener);
                if (order->call == CALL_FORK && reply->result == 0) {
                        (void)close(control);
                        control = connect_control(listener, reply);
                } else if (send(control, reply, sizeof(*reply), MSG_NOSIGNAL) < 0) {
                        break;
                }
        }
        exit(EXIT_SUCCESS); /* whoever gave the orders is gone */
}

static int listen_on(const char *text)
{
        struct sockaddr_un local = {.sun_family = AF_UNIX};
        struct sockaddr_in internet = {.sin_family = AF_INET};
        const char *colon = strrchr(text, ':');
        int fd = socket(colon ? AF_INET : AF_UNIX, SOCK_STREAM, 0);
        int r;

        if (colon) {
                internet.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
                internet.sin_port = htons((uint16_t)atoi(colon + 1));
                r = bind(fd, (const struct sockaddr *)&internet, sizeof(internet));
        } else {
                (void)snprintf(local.sun_path, sizeof(local.sun_path), "%s", text);
                r = bind(fd, (const struct sockaddr *)&local, sizeof(local));
        }
        if (r < 0 || listen(fd, SOMAXCONN) < 0)
                die(text);
        return fd;
}

int main(int argc, char *argv[])
{
        bool forks = argc == 4 && strcmp(argv[3], "fork") == 0;
        int listener;

        if (argc != 3 && !forks)
                return 2;
        (void)signal(SIGPIPE, SIG_IGN);
        control_path = argv[1];
        listener = listen_on(argv[2]);
        if (forks && fork() > 0)
                return waitpid(-1, NULL, 0) > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
        (void)serve((void *)(intptr_t)listener);
}
