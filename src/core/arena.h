/* arena.h - memory planned once.
 *
 * A user walks its allocations twice with the same code: first in measuring mode (base == NULL), which only
 * adds up sizes, then over a block of that size. Nothing is freed one by one; arena_mark()/arena_rewind()
 * reuse scratch.
 */
#ifndef CORE_ARENA_H
#define CORE_ARENA_H

#include "core/status.h"

#define ARENA_ALIGN 64 /* bytes: a cache line, and a full AVX-512 vector */

struct arena {
    unsigned char *base; /* NULL while measuring */
    size_t capacity;     /* bytes; ignored while measuring */
    size_t used;         /* bytes handed out, each allocation rounded up to ARENA_ALIGN */
    size_t peak;         /* largest value `used` has had */
};

/* An arena that only measures. */
struct arena arena_measure(void);

/* An arena over a block that the caller owns; base must be aligned to ARENA_ALIGN. */
struct arena arena_over(void *base, size_t capacity);

/* count * size bytes, aligned; while measuring returns NULL. Overrunning the planned capacity is a
 * programming error and asserts: the plan was made by the same calls. */
void *arena_take(struct arena *arena, size_t count, size_t size);

#define arena_array(arena, type, count) ((type *)arena_take((arena), (size_t)(count), sizeof(type)))

/* Everything taken after a mark is given back by rewinding to it. */
size_t arena_mark(const struct arena *arena);
void arena_rewind(struct arena *arena, size_t mark);

/* One zeroed host block aligned to ARENA_ALIGN; freed with free(). bytes == 0 gives a block of one line. */
moe_status arena_block(size_t bytes, void **out_block, moe_err *err);

#endif
