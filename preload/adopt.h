/* SPDX-License-Identifier: MIT */
/*
 * Adopting: the server's own bind() and listen() end up on a passed socket, and nothing that a
 * server does around its socket (probing, unlinking, chowning, setting ACLs) reaches the socket
 * that systemd made. Everything here answers like the system call: a result or -errno.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

/*
 * For the constructor: notes whether this process was the server before it executed itself (a
 * reload), and adopts a passed socket that is at descriptor 0 already (--fd0).
 */
void adopt_at_load(void);

/*
 * Takes up again what this process had adopted before a reload: there is no bind() then. Not in the
 * constructor, since a server that is a daemon forks a new master first; when it sets its handler
 * of SIGTERM, it is the master.
 */
void adopt_resume(void);

/* A passed socket that came to this process under a number of its own, by exec or the like. */
void adopt_inherited(int fd, uint32_t i);

/* bind(2): swaps fd for the passed socket that belongs there, or binds. */
long adopt_bind(int fd, const struct sockaddr *address, socklen_t size);

/*
 * fcntl(2) with F_GETFL and F_SETFL, and ioctl(2) with FIONBIO. A passed socket is non-blocking for
 * the gate's sake; whether the server's accept() is to wait is noted apart from that, and what it
 * reads is what it wrote.
 */
long adopt_get_flags(int fd);
long adopt_set_flags(int fd, long flags);
long adopt_set_nonblocking(int fd, const int *on);

/* connect(2): nobody listens yet on a passed socket whose server is just starting. */
long adopt_connect(int fd, const struct sockaddr *address, socklen_t size);

/*
 * True when a path is that of a passed socket, or the one under which a server adopted it, and
 * this process is (or precedes) the server: what it wants to do there must not happen. In workers
 * always false: what PHP code does with paths is its own business.
 */
bool adopt_guards_path(int dirfd, const char *path);

/* getxattr(2) of a POSIX ACL on a guarded path: a minimal one. */
long adopt_acl(void *value, size_t size);

/* True when two unix socket paths name the same place, as the kernel sees it. */
bool adopt_same_path(int dirfd, const char *a, const char *b);
