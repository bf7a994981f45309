#include "train/device_fit.h"

static int32_t larger(int32_t a, int32_t b) {
    return a > b ? a : b;
}

/* Slots of a row in the widest pass of a router. */
static int32_t most_slots(const struct moe_config *moe) {
    if (moe->num_layers == 0) return 1;
    return moe->dense_epochs > 0 ? moe_config_most_experts(moe)
                                 : larger(moe->num_active_experts, moe->num_active_experts_2);
}

/* Of an expert, of those that every token uses as one layer, and of a router. */
static int32_t widest_of_moe(const struct moe_config *moe) {
    if (moe->num_layers == 0) return 0;
    const int32_t first = larger(moe->num_shared_experts, 1) * moe->intermediate_size;
    const int32_t others = larger(moe->intermediate_size_2, moe->generalist_size);
    return larger(2 * larger(first, others), moe_config_most_experts(moe));
}

struct device_options device_fit(const struct model_config *model, const struct moe_config *moe, int threads,
                                 int64_t batch, int64_t seq) {
    const int32_t attention = (model->num_attention_heads + 2 * model->num_key_value_heads) * model->head_dim;
    return (struct device_options){
        .threads = threads,
        .max_rows = batch * seq * most_slots(moe),
        .max_vocab = model->vocab_size,
        .max_seq = (int32_t)seq,
        .max_width = larger(larger(2 * model->intermediate_size, widest_of_moe(moe)),
                            larger(attention, model->hidden_size)),
    };
}
