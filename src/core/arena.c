#include "core/arena.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <sys/mman.h>

#define LARGE_PAGE ((size_t)2 << 20)

static size_t round_up(size_t bytes) {
    return (bytes + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
}

struct arena arena_measure(void) {
    return (struct arena){0};
}

struct arena arena_over(void *base, size_t capacity) {
    return (struct arena){.base = base, .capacity = capacity};
}

void *arena_take(struct arena *arena, size_t count, size_t size) {
    const size_t at = arena->used;
    assert(size == 0 || count <= SIZE_MAX / 2 / size);
    arena->used += round_up(count * size);
    if (arena->used > arena->peak) arena->peak = arena->used;
    if (arena->base == NULL) return NULL;
    assert(arena->used <= arena->capacity && "an allocation was not in the plan");
    return arena->base + at;
}

size_t arena_mark(const struct arena *arena) {
    return arena->used;
}

void arena_rewind(struct arena *arena, size_t mark) {
    assert(mark <= arena->used);
    arena->used = mark;
}

/* Large blocks lie on the kernel's large pages where it has them: a training step walks through all of its
 * memory, and with small pages up to a tenth of its time goes into translating addresses. */
static void *take_block(size_t size) {
    if (size < LARGE_PAGE) return aligned_alloc(ARENA_ALIGN, size);
    void *block = aligned_alloc(LARGE_PAGE, (size + LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE);
    if (block != NULL) (void)madvise(block, size, MADV_HUGEPAGE); /* advice: works the same without */
    return block;
}

moe_status arena_block(size_t bytes, void **out_block, moe_err *err) {
    moe_status status = MOE_OK;
    const size_t size = bytes == 0 ? ARENA_ALIGN : round_up(bytes);
    void *block = take_block(size);
    moe_check(block != NULL, err, MOE_ENOMEM,
              "cannot allocate %zu MiB of memory; use a smaller model or batch", size >> 20);
    memset(block, 0, size);
    *out_block = block;
out:
    return status;
}
