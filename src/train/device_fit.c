#include "train/device_fit.h"

static int32_t larger(int32_t a, int32_t b) {
    return a > b ? a : b;
}

struct device_options device_fit(const struct model_config *model, const struct moe_config *moe, int threads,
                                 int64_t batch, int64_t seq) {
    const int32_t most_k = moe->num_layers == 0    ? 1
                           : moe->dense_epochs > 0 ? moe->num_experts
                                                   : moe->num_active_experts;
    const int32_t attention = (model->num_attention_heads + 2 * model->num_key_value_heads) * model->head_dim;
    /* widths of an expert, of the shared ones as one layer, and of the router */
    const int32_t experts =
        moe->num_layers == 0
            ? 0
            : larger(2 * larger(moe->num_shared_experts, 1) * moe->intermediate_size, moe->num_experts);
    return (struct device_options){
        .threads = threads,
        .max_rows = batch * seq * most_k,
        .max_vocab = model->vocab_size,
        .max_seq = (int32_t)seq,
        .max_width =
            larger(larger(2 * model->intermediate_size, experts), larger(attention, model->hidden_size)),
    };
}
