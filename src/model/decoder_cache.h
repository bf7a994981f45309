/* decoder_cache.h - a decoder that reads one sequence a few tokens at a time: the keys and values of what it
 * has read are kept, so a new token costs one row of every layer. */
#ifndef MODEL_DECODER_CACHE_H
#define MODEL_DECODER_CACHE_H

#include "model/decoder.h"

struct decoder_cache;

/* Room for one sequence of max_seq tokens; all memory is taken here. max_seq is at most the device's max_seq
 * and, for learned positions, the model's max_position_embeddings, or MOE_EARG. MOE_ENOTSUP names an
 * operation that the backend lacks. The decoder (which may be made without training) must outlive it. */
moe_status decoder_cache_create(struct decoder *d, int64_t max_seq, struct decoder_cache **out_cache,
                                moe_err *err);
void decoder_cache_destroy(struct decoder_cache *c); /* NULL is allowed */

/* Reads tokens [count], count >= 1, at the positions that follow those already read; the logits of the last
 * one go to host_logits [V] (NULL: not wanted). They are those of decoder_logits() over the whole sequence,
 * up to rounding. More tokens than a pass of the decoder takes are read in several. Routing is dropless and
 * uses the controls in decoder_routing() as they stand. MOE_EARG: a token outside the vocabulary, or no room.
 * Nothing is allocated. */
moe_status decoder_cache_read(struct decoder_cache *c, const int32_t *tokens, int64_t count,
                              float *host_logits, moe_err *err);

int64_t decoder_cache_length(const struct decoder_cache *c); /* tokens read */
void decoder_cache_clear(struct decoder_cache *c);           /* begins another sequence */

#endif
