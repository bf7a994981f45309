/* embedding.h - token embedding plus learned positions, with dropout. */
#ifndef NN_EMBEDDING_H
#define NN_EMBEDDING_H

#include "nn/pass.h"

struct embedding {
    int32_t vocab, hidden, positions; /* positions 0: none are learned */
    float dropout;
    int32_t table, position_table; /* parameter indices; -1 if there is none */
};

/* token_embedding.weight [V, D] and, if positions > 0, position_embedding.weight [positions, D], all N(0,
 * std). */
moe_status embedding_declare(struct embedding *e, struct params *params, int32_t vocab, int32_t hidden,
                             int32_t positions, float dropout, float std, moe_err *err);
/* y [rows, D] from tokens [rows] */
void embedding_forward(const struct embedding *e, const struct nn_pass *pass, act_t *y,
                       const int32_t *tokens);
/* dy is overwritten with its masked self */
void embedding_backward(const struct embedding *e, const struct nn_pass *pass, act_t *dy,
                        const int32_t *tokens);

#endif
