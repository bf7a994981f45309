/* fixture_model.h - small models with random weights, for tests of the files that hold them. */
#ifndef TESTS_FIXTURE_MODEL_H
#define TESTS_FIXTURE_MODEL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/rng.h"
#include "train/model_file_weights.h"

enum { FIXTURE_SEQ = 7 };

/* Llama-like, grouped heads, a head_dim of its own. */
static inline struct model_config fixture_dense(void) {
    return (struct model_config){.vocab_size = 31,
                                 .hidden_size = 10,
                                 .intermediate_size = 14,
                                 .num_hidden_layers = 3,
                                 .num_attention_heads = 4,
                                 .num_key_value_heads = 2,
                                 .head_dim = 6,
                                 .max_position_embeddings = 64,
                                 .norm = CONFIG_NORM_RMSNORM,
                                 .norm_eps = 1e-6,
                                 .positions = POSITIONS_ROPE,
                                 .rope_theta = 10000,
                                 .ffn = FFN_SWIGLU,
                                 .init = INIT_NORMAL,
                                 .init_std = 0.4};
}

/* MoE layers first .. 2 (first 3: none). */
static inline struct moe_config fixture_moe(enum router_name router, int32_t first, int32_t shared) {
    struct moe_config moe = {.num_experts = 5,
                             .num_active_experts = 2,
                             .num_shared_experts = shared,
                             .intermediate_size = 6,
                             .router = router,
                             .renormalize = true,
                             .renormalize_top1 = true,
                             .routed_scaling_factor = 1,
                             .temperature_start = 1,
                             .temperature_end = 1,
                             .expert_lr_scale = 1};
    for (int32_t l = first; l < 3; l++)
        moe.layers[moe.num_layers++] = l;
    return moe;
}

/* Every parameter random, norms and biases too; a selection bias where the router is a sigmoid. */
static inline struct weights *fixture_weights(const struct model_config *model,
                                              const struct moe_config *moe) {
    moe_err err = {0};
    const struct rng_key key = {.seed = 11, .stream = RNG_TEST};
    struct weights *w = NULL;
    if (weights_create(model, moe, &w, &err) != MOE_OK || weights_allocate(w, &err) != MOE_OK)
        fail_msg("%s", err.message);
    for (int64_t i = 0; i < w->params.total; i++)
        w->values[i] = rng_uniform(key, (uint64_t)i) - 0.5f;
    for (int32_t i = 0; i < moe->num_layers * moe->num_experts && moe->router == CONFIG_ROUTER_SIGMOID; i++)
        w->bias[i] = 0.8f * (rng_uniform(key, (uint64_t)(w->params.total + i)) - 0.5f);
    return w;
}

static inline struct experiment *fixture_experiment(const struct model_config *model,
                                                    const struct moe_config *moe, const char *tokenizer) {
    moe_err err = {0};
    struct experiment *e = NULL;
    if (experiment_imported("fixture", model, moe, tokenizer, &e, &err) != MOE_OK)
        fail_msg("%s", err.message);
    return e;
}

/* Fails unless the call failed with that status and a message that holds these words. */
static inline void fixture_failed(moe_status status, const moe_err *err, moe_status want, const char *words) {
    if (status != want || strstr(err->message, words) == NULL)
        fail_msg("%s, wanted %s with '%s': %s", moe_status_name(status), moe_status_name(want), words,
                 err->message);
}

#endif
