/* sampler.h - drawing the next token from a model's logits.
 *
 * p = softmax(logits / temperature); of it the top_k most likely tokens are kept (ties: the lowest id), then
 * the fewest of them whose share of what is left is at least top_p (nucleus sampling, Holtzman et al. 2020),
 * and one is drawn in proportion. Draws come from a stream of their own: the token is a pure function of
 * (logits, settings, number of the draw).
 */
#ifndef TRAIN_SAMPLER_H
#define TRAIN_SAMPLER_H

#include "core/status.h"

struct sampler_settings {
    double temperature; /* 0 = always the most likely token; finite, not negative */
    int32_t top_k;      /* 0 = all */
    double top_p;       /* 1 = all; in (0, 1] */
    uint64_t seed;
};

struct sampler;

/* For logits of `vocab` tokens; all memory is taken here. MOE_EARG names a setting out of its range. */
moe_status sampler_create(const struct sampler_settings *settings, int32_t vocab,
                          struct sampler **out_sampler, moe_err *err);
void sampler_destroy(struct sampler *s); /* NULL is allowed */

/* Draw number `number` from logits [vocab]. MOE_ENUMERIC if one is NaN or +Inf, or all are -Inf. */
moe_status sampler_draw(struct sampler *s, const float *logits, uint32_t number, int32_t *out_token,
                        moe_err *err);

#endif
