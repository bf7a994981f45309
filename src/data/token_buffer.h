/* token_buffer.h - a growing array of token ids. */
#ifndef DATA_TOKEN_BUFFER_H
#define DATA_TOKEN_BUFFER_H

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

struct token_buffer {
    int32_t *ids; /* [count] */
    int64_t count, capacity;
};

/* Makes room for `more` ids behind the present ones. */
moe_status token_buffer_reserve(struct token_buffer *b, int64_t more, moe_err *err);
moe_status token_buffer_add(struct token_buffer *b, int32_t id, moe_err *err);
void token_buffer_free(struct token_buffer *b);

#ifdef __cplusplus
}
#endif

#endif
