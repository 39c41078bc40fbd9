/* SPDX-License-Identifier: MIT */
#include "answering.h"

#include <errno.h>
#include <fastcgi.h>
#include <fcgiapp.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"

#define USEC_PER_SEC UINT64_C(1000000)
#define NSEC_PER_SEC 1000000000L

/* A client that neither says nor takes anything for so long is left, as web servers do. */
#define CLIENT_SILENCE_SEC 60

/* How long a client whose kept-alive connection ends may take to be just sending a request. */
#define GOODBYE_MSEC 50

/* Connections at a time. When there are more, those that have been silent for longest must go. */
#define PLACES_MAX 256

/* libfcgi has its buffers in the heap. */
#define STACK_BYTES ((size_t)128 * 1024)

static const char own_page[] =
    "<!DOCTYPE html>\n"
    "<html><head><title>503 Service Unavailable</title></head>\n"
    "<body><h1>Service Unavailable</h1>\n"
    "<p>This site cannot answer at the moment. Please try again a little later.</p>\n"
    "</body></html>\n";

/* --- connections --------------------------------------------------------------------------- */

/* One connection. */
struct place {
        int fd;              /* -1: this place is free; a copy, libfcgi closes its own */
        uint64_t since_usec; /* GATE_INFINITY: has been told to go */
};

/* The child's only state; it has no other job. */
static struct {
        struct answering *shared;
        const char *page;
        int finishing_fd; /* at its end once we are to finish */
        pthread_mutex_t lock;
        pthread_cond_t changed; /* a place has become free */
        size_t n_taken;
        struct place places[PLACES_MAX];
} child = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .changed = PTHREAD_COND_INITIALIZER,
};

static unsigned retry_after(void)
{
        uint64_t usec = atomic_load(&child.shared->retry_after_usec);
        uint64_t at_usec = atomic_load(&child.shared->retry_at_usec), now_usec = gate_now_usec();

        if (usec == 0 && at_usec > now_usec)
                usec = at_usec - now_usec;
        return usec <= USEC_PER_SEC ? 1 : (unsigned)((usec + USEC_PER_SEC - 1) / USEC_PER_SEC);
}

/* Puts the file's content as the page, if there is such a file and it has any. */
static bool put_file(FCGX_Stream *out)
{
        _cleanup_fclose_ FILE *file = child.page ? fopen(child.page, "re") : NULL;
        char bytes[4096];
        bool is_there = false;
        size_t n;

        while (file && (n = fread(bytes, 1, sizeof(bytes), file)) > 0) {
                (void)FCGX_PutStr(bytes, (int)n, out);
                is_there = true;
        }
        return is_there;
}

static void answer(FCGX_Request *request)
{
        char bytes[4096];

        (void)FCGX_FPrintF(request->out,
                           "Status: 503 Service Unavailable\r\n"
                           "Retry-After: %u\r\n"
                           "Content-Type: text/html\r\n"
                           "\r\n",
                           retry_after());
        if (!put_file(request->out))
                (void)FCGX_PutS(own_page, request->out);
        /* Not even the sender of a slow body waits for it; what is left of the body must not be
         * taken for the next request of a kept-alive connection. */
        (void)FCGX_FFlush(request->out);
        while (FCGX_GetStr(bytes, sizeof(bytes), request->in) == (int)sizeof(bytes))
                ;
        FCGX_Finish_r(request);
}

/*
 * Between two requests of a kept-alive connection. Returns true when there is something to read.
 * Once we are to finish, the client is told to close, by an empty record of FCGI_STDERR that no
 * request is about; a request that it was just sending is still answered.
 */
static bool wait_for_next(int fd)
{
        static const unsigned char goodbye[] = {1, FCGI_STDERR, 0, 1, 0, 0, 0, 0};
        struct pollfd polls[] = {
            {.fd = fd, .events = POLLIN},
            {.fd = child.finishing_fd, .events = POLLIN},
        };

        while (poll(polls, 2, -1) < 0 && errno == EINTR)
                ;
        if (polls[0].revents != 0)
                return true;
        if (send(fd, goodbye, sizeof(goodbye), MSG_NOSIGNAL) < 0)
                return false;
        return poll(polls, 1, GOODBYE_MSEC) > 0;
}

/* libfcgi's own accept would drop a client that is silent for two seconds: it gets a connection
 * that is already there. Where it would accept another one, it finds no socket, and fails. */
static void converse(int fd)
{
        const struct timeval silence = {.tv_sec = CLIENT_SILENCE_SEC};
        FCGX_Request request;

        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof(silence));
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &silence, sizeof(silence));
        if (FCGX_InitRequest(&request, -1, 0) != 0) {
                (void)close(fd);
                return;
        }
        request.ipcFd = fd;
        request.keepConnection = 1; /* or else it would finish what is not there, and hang up */
        do {
                if (FCGX_Accept_r(&request) < 0)
                        break;
                answer(&request);
        } while (request.ipcFd >= 0 && wait_for_next(request.ipcFd));
        FCGX_Free(&request, 1);
}

/* --- accepting ----------------------------------------------------------------------------- */

static void *serve(void *userdata)
{
        struct place *place = userdata;
        int fd;

        fd = fcntl(place->fd, F_DUPFD_CLOEXEC, 0);
        if (fd >= 0)
                converse(fd);
        (void)pthread_mutex_lock(&child.lock);
        (void)close(take_descriptor(&place->fd));
        child.n_taken--;
        (void)pthread_cond_signal(&child.changed);
        (void)pthread_mutex_unlock(&child.lock);
        return NULL;
}

/* Hangs up on the connection that came first, unless that has only just come. */
static void make_room(void)
{
        struct place *oldest = &child.places[0];

        for (size_t i = 1; i < PLACES_MAX; i++)
                if (child.places[i].since_usec < oldest->since_usec)
                        oldest = &child.places[i];
        if (oldest->since_usec > gate_now_usec() - USEC_PER_SEC / 2)
                return;
        /* Its thread reads the end of the stream. */
        (void)shutdown(oldest->fd, SHUT_RD);
        oldest->since_usec = GATE_INFINITY;
}

/* Waits a little for a place to become free. To be called with the lock held. */
static void wait_for_change(void)
{
        struct timespec until;

        (void)clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += NSEC_PER_SEC / 10;
        if (until.tv_nsec >= NSEC_PER_SEC) {
                until.tv_nsec -= NSEC_PER_SEC;
                until.tv_sec++;
        }
        (void)pthread_cond_timedwait(&child.changed, &child.lock, &until);
}

/* Returns a place for the connection, which is the caller's until a thread has it. */
static struct place *take_place(int fd)
{
        struct place *place = child.places;

        (void)pthread_mutex_lock(&child.lock);
        while (child.n_taken == PLACES_MAX) {
                make_room();
                wait_for_change();
        }
        while (place->fd >= 0)
                place++;
        *place = (struct place){.fd = fd, .since_usec = gate_now_usec()};
        child.n_taken++;
        (void)pthread_mutex_unlock(&child.lock);
        return place;
}

static void accept_from(int listening_fd, const pthread_attr_t *attributes)
{
        struct place *place;
        pthread_t thread;
        int fd;

        fd = accept4(listening_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) {
                /* Somebody else was faster; or we are short of something, which passes. */
                if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
                        (void)poll(NULL, 0, 100);
                return;
        }
        atomic_store(&child.shared->last_asked_usec, gate_now_usec());
        place = take_place(fd);
        if (pthread_create(&thread, attributes, serve, place) != 0)
                (void)serve(place);
}

static void accept_until_told(const struct passed *passed, const pthread_attr_t *attributes)
{
        struct pollfd polls[GATE_SOCKETS_MAX + 1];
        nfds_t n = passed->n_sockets;

        for (size_t i = 0; i < n; i++)
                polls[i] = (struct pollfd){.fd = passed->sockets[i], .events = POLLIN};
        polls[n] = (struct pollfd){.fd = child.finishing_fd, .events = POLLIN};
        for (;;) {
                if (poll(polls, n + 1, -1) < 0)
                        continue;
                if (polls[n].revents != 0)
                        return;
                for (size_t i = 0; i < n; i++)
                        if (polls[i].revents != 0)
                                accept_from(passed->sockets[i], attributes);
        }
}

/* Signals stay blocked: whoever wants to end us has the pipe, or SIGKILL. */
static _Noreturn void be_child(const struct passed *passed)
{
        pthread_attr_t attributes;

        (void)setpgid(0, 0);
        (void)prctl(PR_SET_NAME, "fpm-responder");
        for (size_t i = 0; i < PLACES_MAX; i++)
                child.places[i].fd = -1;
        if (FCGX_Init() != 0 || pthread_attr_init(&attributes) != 0 ||
            pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) != 0 ||
            pthread_attr_setstacksize(&attributes, STACK_BYTES) != 0)
                _exit(1);
        accept_until_told(passed, &attributes);
        (void)pthread_mutex_lock(&child.lock);
        while (child.n_taken > 0)
                (void)pthread_cond_wait(&child.changed, &child.lock);
        _exit(0);
}

/*
 * Keeps of the parent's descriptors only what the child needs. Others would be missed: the death
 * of the server is seen by the end of a connection.
 */
static void close_others(const struct passed *passed, int finishing_fd)
{
        int next = STDERR_FILENO + 1;

        /* The lowest one to keep, from where the last one was, until there is none. */
        for (;;) {
                int lowest = finishing_fd >= next ? finishing_fd : INT_MAX;

                for (size_t i = 0; i < passed->n_sockets; i++)
                        if (passed->sockets[i] >= next && passed->sockets[i] < lowest)
                                lowest = passed->sockets[i];
                if (lowest > next)
                        (void)close_range((unsigned)next, (unsigned)lowest - 1, 0);
                if (lowest == INT_MAX)
                        return;
                next = lowest + 1;
        }
}

/* --- the parent ---------------------------------------------------------------------------- */

int answering_fork(const struct passed *passed, struct answering *shared, const char *page,
                   pid_t *ret_pid, int *ret_holding_fd)
{
        _cleanup_close_ int finishing_fd = -1, holding_fd = -1;
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        finishing_fd = fds[0];
        holding_fd = fds[1];
        *ret_pid = fork();
        if (*ret_pid < 0)
                return -errno;
        if (*ret_pid == 0) {
                child.shared = shared;
                child.page = page;
                child.finishing_fd = finishing_fd;
                close_others(passed, finishing_fd);
                be_child(passed);
        }
        *ret_holding_fd = take_descriptor(&holding_fd);
        return 0;
}

struct answering *answering_new(void)
{
        void *shared;

        shared = mmap(NULL, sizeof(struct answering), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        return shared == MAP_FAILED ? NULL : shared;
}

void answering_free(struct answering *shared)
{
        (void)munmap(shared, sizeof(*shared));
}
