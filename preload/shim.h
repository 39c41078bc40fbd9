/* SPDX-License-Identifier: MIT */
/*
 * The shim's own state: the one struct that everything in preload/ shares.
 *
 * A process with the shim in it is in one of a few roles. Only the server and its workers do
 * anything; in every other process (entrypoint scripts, their helpers, programs that PHP starts)
 * each wrapper is one compare and the system call.
 *
 * fork() copies this struct. What must not be inherited lies in a page of its own that the kernel
 * hands zeroed to each child (MADV_WIPEONFORK), so that no fork has to be intercepted.
 * Under vfork() a child shares its parent's memory: whatever changes this struct asks
 * shim_owns_memory() first.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/un.h>

#include "gate.h"
#include "hold.h"
#include "recycling.h"
#include "text.h"

/* Descriptors from here on are never ours: php-fpm has two pipes for each worker, and thousands. */
#define SHIM_FDS_MAX         65536
#define SHIM_CONNECTIONS_MAX GATE_SLOTS_MAX /* each that is open at the same time has a slot */

/* A unix socket's path, with a closing zero that the address itself need not have. */
#define SHIM_PATH_SIZE (sizeof(((struct sockaddr_un *)0)->sun_path) + 1)

enum shim_role {
        SHIM_ABSENT,   /* no page: nothing to do in this process */
        SHIM_BEFORE,   /* knows the passed sockets and has adopted none */
        SHIM_SERVER,   /* has adopted: the master, or a server of a single process */
        SHIM_CHILD,    /* forked by the server, has not accepted yet */
        SHIM_WORKER,   /* forked by the server and has accepted */
        SHIM_STRANGER, /* forked by a worker: none of our business */
};

/* What a descriptor number is in this process. */
enum shim_fd {
        SHIM_FD_OTHER = 0,
        SHIM_FD_LISTENER = 1,                                     /* + index of the passed socket */
        SHIM_FD_CONNECTION = SHIM_FD_LISTENER + GATE_SOCKETS_MAX, /* + index of the connection */
};

/* Where one direction of a connection stands in the FastCGI record framing. See record.h. */
struct record_stream {
        uint8_t head[11]; /* header, and the first three bytes of a BEGIN_REQUEST */
        uint8_t have;     /* how much of head is there */
        uint32_t left;    /* bytes of content and padding to come */
};

/* An accepted connection of this process. */
struct connection {
        _Atomic bool used;
        /* The slot that says what becomes of it, and connection.c's LEFT_BEHIND; 0: none. */
        _Atomic uintptr_t owner;
        int fd;                      /* one of its descriptors */
        _Atomic unsigned references; /* how many it has */
        bool kept;                   /* its last request asked for FCGI_KEEP_CONN */
        bool finished;               /* nothing more is to come, whatever the socket says */
        bool stirred;                /* something went over it since its worker last waited */
        bool said_goodbye;           /* since its last request, see goodbye.h ... */
        bool answered_goodbye;       /* ... and right behind its answer */
        bool is_numbered;            /* its requests had the ids 1, 3, 5 ... so far */
        bool at_once;                /* its server's accept() does not wait: see worker.c */
        bool lost;              /* bytes went by unseen, and nobody knows where the records are */
        uint32_t requests;      /* begun on it */
        uint32_t went_on;       /* of them, those that came although an answer had one */
        _Atomic int32_t active; /* requests begun and not ended */
        int32_t unread;         /* requests begun whose body has not been read to its end */
        struct record_stream in, out;
};

/* What was read from a connection before the server asked for it. See read-ahead.h. */
struct read_ahead {
        const struct connection *connection; /* NULL: none is read ahead */
        uint32_t at, end; /* where in the buffer the bytes are that the server has not read */
        uint32_t peeked;  /* so many bytes, from the buffer's start, are still in the socket too */
        uint8_t buffer[8192];
};

/* A passed socket, as this process knows it. */
struct listener {
        uint64_t inode;
        struct sockaddr_storage address; /* what it is bound to */
        socklen_t address_size;
        char adopted_path[SHIM_PATH_SIZE]; /* the server's own word */
        bool adopted;
        bool at_once;        /* the server's own word, O_NONBLOCK: its accept() does not wait */
        unsigned references; /* descriptors of the server's own that are this socket */
        /* The master's own epoll set with it, of pm = ondemand; -1: none. */
        int ondemand_fd;
        int ondemand_number;
        struct epoll_event ondemand_event;
        int more_fd; /* eventfd in it, for workers to say that more wait; -1: none */
        /* In a worker, made at its first accept; -1 before. */
        int wait_fd; /* epoll of the socket and the waking eventfd */
        int own_fd;  /* a duplicate that the server cannot close under us */
};

/* Zeroed by the kernel in each forked child. */
struct shim_process {
        uint32_t pid;
};

struct shim {
        enum shim_role role;
        bool resumes;    /* was the server before it executed itself, see adopt_resume() */
        bool is_php_fpm; /* the executable is named php-fpm* */
        bool unmatched;  /* the lone passed socket went to a pool with another address */
        uint32_t server; /* pid of the process with SHIM_SERVER */
        struct gate gate;
        int page_fd;
        struct shim_process *process;
        bool wiped_on_fork; /* else each question costs a getpid() */

        uint32_t n_listeners;
        struct listener listeners[GATE_SOCKETS_MAX];
        uint16_t fds[SHIM_FDS_MAX]; /* enum shim_fd */
        int fds_end;                /* no descriptor from here on was ever ours */
        struct connection connections[SHIM_CONNECTIONS_MAX];
        struct read_ahead read_ahead;
        struct recycling recycling;
        struct hold hold;
        int deferred; /* a signal that a worker lets wait, 0: none */

        /* php-fpm's command line as it was at its start: it overwrites its own for its title. */
        char words[4096];
        size_t words_size;
        struct line ld_preload; /* the administrator's own part of it */
};

extern struct shim shim;

/* The kind of a descriptor; SHIM_FD_OTHER for everything that is not ours. Signal-safe. */
static inline unsigned shim_fd(int fd)
{
        return (unsigned)fd < SHIM_FDS_MAX ? shim.fds[fd] : SHIM_FD_OTHER;
}

/* The passed socket behind a descriptor, or NULL. */
static inline struct listener *shim_listener(int fd)
{
        unsigned kind = shim_fd(fd);

        return kind >= SHIM_FD_LISTENER && kind < SHIM_FD_CONNECTION
                   ? &shim.listeners[kind - SHIM_FD_LISTENER]
                   : NULL;
}

/* The role of this process, put right if it was forked since the last question. */
enum shim_role shim_role(void);

/* False in a vfork() child, which shares memory that is its parent's. */
bool shim_owns_memory(void);

/* Makes this process the server: notes its pid here and in the page, and tells fpm-waker. */
void shim_become_server(void);

/* Says one of GATE_SAYS_* on the hand-over connection, if there is one. Never blocks. */
void shim_say(char what);

/* Notes in the page that somebody waits for connections, and tells fpm-waker the first time. */
void shim_become_ready(void);

/* Notes what a descriptor is. */
void shim_set_fd(int fd, unsigned kind);

/* Notes that a descriptor of the server's own is passed socket i (0 ...). */
void shim_track_listener(int fd, uint32_t i);

/* Notes that a descriptor number is no longer what it was. */
void shim_forget(int fd);

/* The index of the passed socket that a descriptor is, by identity, or -1. */
int shim_identify(int fd);
