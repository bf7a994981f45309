#include "nn/embedding.h"

moe_status embedding_declare(struct embedding *e, struct params *params, int32_t vocab, int32_t hidden,
                             int32_t positions, float dropout, float std, moe_err *err) {
    moe_status status = MOE_OK;
    struct param_declaration d = {.rank = 2,
                                  .shape = {vocab, hidden},
                                  .init = PARAM_NORMAL,
                                  .init_scale = std,
                                  .role = PARAM_EMBEDDING,
                                  .moe_layer = -1};
    *e = (struct embedding){.vocab = vocab,
                            .hidden = hidden,
                            .positions = positions,
                            .dropout = dropout,
                            .table = -1,
                            .position_table = -1};
    moe_try(params_declare(params, "token_embedding", "weight", &d, &e->table, err));
    if (positions > 0) {
        d.shape[0] = positions;
        moe_try(params_declare(params, "position_embedding", "weight", &d, &e->position_table, err));
    }
out:
    return status;
}

void embedding_forward(const struct embedding *e, const struct nn_pass *pass, act_t *y,
                       const int32_t *tokens) {
    const struct backend *be = pass->dev->ops;
    const act_t *positions = params_weight(pass->params, e->position_table);
    if (positions != NULL)
        positions = (const char *)positions + (size_t)(nn_first_position(pass) * e->hidden) * be->act_size;
    be->embedding_forward(pass->dev, y, tokens, params_weight(pass->params, e->table), positions, pass->rows,
                          pass->seq, e->hidden);
    const struct dropout drop = nn_dropout(pass, e->dropout, NN_SITES_PER_PASS - 1);
    if (drop.threshold > 0) be->dropout(pass->dev, y, y, pass->rows * e->hidden, drop);
}

void embedding_backward(const struct embedding *e, const struct nn_pass *pass, act_t *dy,
                        const int32_t *tokens) {
    const struct backend *be = pass->dev->ops;
    const struct dropout drop = nn_dropout(pass, e->dropout, NN_SITES_PER_PASS - 1);
    if (drop.threshold > 0) be->dropout(pass->dev, dy, dy, pass->rows * e->hidden, drop);
    be->embedding_backward(pass->dev, params_grad(pass->params, e->table),
                           params_grad(pass->params, e->position_table), dy, tokens, pass->rows, pass->seq,
                           e->hidden, e->vocab);
}
