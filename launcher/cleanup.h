/* SPDX-License-Identifier: MIT */
/* Clean-up at the end of a scope, as in systemd: _cleanup_(function) on a variable. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(function) __attribute__((cleanup(function)))
#define _cleanup_free_      _cleanup_(free_pointer)
#define _cleanup_close_     _cleanup_(close_descriptor)
#define _cleanup_fclose_    _cleanup_(close_stream)

static inline void free_pointer(void *pointer)
{
        free(*(void **)pointer);
}

static inline void close_descriptor(const int *fd)
{
        if (*fd >= 0)
                (void)close(*fd);
}

static inline void close_stream(FILE **stream)
{
        if (*stream)
                (void)fclose(*stream);
}

/* Hands a descriptor on: the variable no longer owns it. */
static inline int take_descriptor(int *fd)
{
        int taken = *fd;

        *fd = -1;
        return taken;
}
