/* SPDX-License-Identifier: MIT */
/*
 * Which passed socket belongs to a pool whose address matches none: php-fpm is asked for its own
 * configuration (php-fpm -tt), since bind() tells an address but not the pool's name, and a
 * pm.status_listen binds like a pool but must stay the server's own.
 */
#pragma once

#include <sys/socket.h>

#define POOLS_OWN_SOCKET (-1000)

/*
 * Returns the index of the passed socket, POOLS_OWN_SOCKET when the address is none of a pool's, or
 * -EADDRNOTAVAIL when it is a pool that no passed socket is for; that has then been said on stderr.
 * Starts a process only when there is a choice to make. Not signal-safe.
 */
int pools_find(const struct sockaddr *address, socklen_t size);
