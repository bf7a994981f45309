#include "data/token_buffer.h"

#include <stdlib.h>

moe_status token_buffer_reserve(struct token_buffer *b, int64_t more, moe_err *err) {
    if (more <= b->capacity - b->count) return MOE_OK;
    int64_t capacity = b->capacity < 4096 ? 4096 : b->capacity + b->capacity / 2;
    if (capacity < b->count + more) capacity = b->count + more;
    int32_t *ids = realloc(b->ids, (size_t)capacity * sizeof *ids);
    if (ids == NULL) return moe_fail(err, MOE_ENOMEM, "no memory for %lld token ids", (long long)capacity);
    b->ids = ids;
    b->capacity = capacity;
    return MOE_OK;
}

moe_status token_buffer_add(struct token_buffer *b, int32_t id, moe_err *err) {
    moe_status status = MOE_OK;
    moe_try(token_buffer_reserve(b, 1, err));
    b->ids[b->count++] = id;
out:
    return status;
}

void token_buffer_free(struct token_buffer *b) {
    free(b->ids);
    *b = (struct token_buffer){0};
}
