/* SPDX-License-Identifier: MIT */
/*
 * A fuzz target for preload/record.c: whatever the bytes and however they are cut, it says what the
 * judge in whole.c says.
 *
 * The input: a byte with the number of pieces, a byte for each of them, the stream. The pieces'
 * size is in the lower seven bits, from SIZE_LARGE on in steps that reach the largest record; the
 * eighth bit says that record.c does not see the piece.
 */
#include <stdlib.h>

#include "whole.h"

#define SIZE_LARGE 96
#define SIZE_STEP  ((size_t)4093) /* a prime: no boundary repeats */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct whole_cut cuts[UINT8_MAX];
        size_t n = 0;

        if (size > 0) {
                n = data[0];
                data++;
                size--;
        }
        if (n > size)
                n = size;
        for (size_t i = 0; i < n; i++) {
                size_t piece = data[i] & 0x7f;

                if (piece >= SIZE_LARGE)
                        piece = (piece - SIZE_LARGE + 1) * SIZE_STEP;
                cuts[i] = (struct whole_cut){.size = piece, .unseen = data[i] & 0x80};
        }
        if (size - n <= WHOLE_SIZE_MAX && whole_compare(data + n, size - n, cuts, n, NULL) < 0)
                abort();
        return 0;
}
