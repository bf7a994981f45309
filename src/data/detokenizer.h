/* detokenizer.h - token ids to text as they come.
 *
 * What comes out is valid UTF-8 and never ends inside a character: bytes of a character that may still be
 * completed are held back, bytes that are none become U+FFFD. All of it together is the text of all ids
 * together (tokenizer_decode()).
 */
#ifndef DATA_DETOKENIZER_H
#define DATA_DETOKENIZER_H

#include "core/status.h"

struct tokenizer;
struct detokenizer;

/* The tokenizer must outlive it. */
moe_status detokenizer_create(const struct tokenizer *t, struct detokenizer **out_detokenizer, moe_err *err);
void detokenizer_destroy(struct detokenizer *d); /* NULL is allowed */

/* The text [*out_size] that one id more makes certain, often none; valid until the next call. MOE_EARG: an id
 * that the tokenizer does not have. */
moe_status detokenizer_push(struct detokenizer *d, int32_t id, const char **out_text, size_t *out_size,
                            moe_err *err);

/* What is still held back; what is pushed afterwards begins a text of its own. */
moe_status detokenizer_end(struct detokenizer *d, const char **out_text, size_t *out_size, moe_err *err);

#endif
