/* test: rooms=train label=fast */
#include "golden.h"

#include <jansson.h>

#include "model/decoder_internal.h"
#include "train/optimizer.h"

/* Tiny decoders against PyTorch (make_golden.py): logits, routing, losses, every gradient, and every
 * parameter after one and after three AdamW steps. */

#define LIMIT_FORWARD  2e-6
#define LIMIT_GRADIENT 3e-6 /* PyTorch in float32 is off by up to 1.6e-6 on these models */
#define LIMIT_STEPPED  5e-7 /* of values near 1e-1; a step moves them by up to 3e-4 */

#define NOISE_SHARE 1e-7 /* of the gradient's norm: where float32 leaves a gradient no digits */

struct fixture {
    struct golden golden;
    json_t *config;
    struct experiment experiment;
    struct decoder *decoder;
    struct optimizer optimizer;
    int64_t batch, seq;
};

static int32_t integer(const struct fixture *f, const char *key) {
    const json_t *value = json_object_get(f->config, key);
    if (!json_is_integer(value)) fail_msg("the golden file's config has no integer %s", key);
    return (int32_t)json_integer_value(value);
}

/* Of an option that came later than some of the files. */
static int32_t integer_or_0(const struct fixture *f, const char *key) {
    return json_object_get(f->config, key) != NULL ? integer(f, key) : 0;
}

static double number(const struct fixture *f, const char *key) {
    const json_t *value = json_object_get(f->config, key);
    if (!json_is_number(value)) fail_msg("the golden file's config has no number %s", key);
    return json_number_value(value);
}

/* True if the option has this value; it must then have one of the two. */
static bool is(const struct fixture *f, const char *key, const char *value, const char *other) {
    const char *text = json_string_value(json_object_get(f->config, key));
    if (text == NULL || (strcmp(text, value) != 0 && strcmp(text, other) != 0))
        fail_msg("the golden file's config has no %s of %s or %s", key, value, other);
    return strcmp(text, value) == 0;
}

static bool is_true(const struct fixture *f, const char *key) {
    return json_is_true(json_object_get(f->config, key));
}

static void read_model(struct fixture *f) {
    struct model_config *m = &f->experiment.model;
    m->vocab_size = integer(f, "vocab_size");
    m->hidden_size = integer(f, "hidden_size");
    m->intermediate_size = integer(f, "intermediate_size");
    m->num_hidden_layers = integer(f, "num_hidden_layers");
    m->num_attention_heads = integer(f, "num_attention_heads");
    m->num_key_value_heads = integer(f, "num_key_value_heads");
    m->head_dim = integer(f, "head_dim");
    m->max_position_embeddings = integer(f, "max_position_embeddings");
    m->norm = is(f, "norm", "rmsnorm", "layernorm") ? CONFIG_NORM_RMSNORM : CONFIG_NORM_LAYERNORM;
    m->norm_placement = is(f, "norm_placement", "pre", "sublayer_output") ? NORM_PRE : NORM_SUBLAYER_OUTPUT;
    m->norm_eps = number(f, "norm_eps");
    m->positions = is(f, "positions", "rope", "learned") ? POSITIONS_ROPE : POSITIONS_LEARNED;
    m->rope_theta = number(f, "rope_theta");
    m->ffn = is(f, "ffn", "swiglu", "gelu") ? FFN_SWIGLU : FFN_GELU;
    m->attention_bias = m->mlp_bias = is_true(f, "bias");
    m->qk_norm = is_true(f, "qk_norm");
}

static void read_moe(struct fixture *f) {
    struct moe_config *moe = &f->experiment.moe;
    const json_t *layers = json_object_get(f->config, "moe_layers");
    moe->num_layers = (int32_t)json_array_size(layers);
    for (int32_t i = 0; i < moe->num_layers; i++)
        moe->layers[i] = (int32_t)json_integer_value(json_array_get(layers, (size_t)i));
    moe->num_experts = integer(f, "num_experts");
    moe->num_active_experts = integer(f, "num_active_experts");
    moe->num_shared_experts = integer(f, "num_shared_experts");
    moe->intermediate_size = integer(f, "intermediate_size");
    moe->router = is(f, "router", "sigmoid", "softmax") ? CONFIG_ROUTER_SIGMOID : CONFIG_ROUTER_SOFTMAX;
    moe->renormalize = is_true(f, "renormalize");
    moe->renormalize_eps = number(f, "renormalize_eps");
    moe->temperature_start = moe->temperature_end = number(f, "temperature");
    moe->lb_coeff = number(f, "lb_coeff");
    moe->lb_scope = is(f, "lb_scope", "pooled", "per_layer") ? LB_POOLED : LB_PER_LAYER;
    moe->z_coeff = number(f, "router_z_coeff");
    moe->expert_lr_scale = moe->routed_scaling_factor = 1;
    moe->num_experts_2 = integer_or_0(f, "num_experts_2");
    moe->num_active_experts_2 = integer_or_0(f, "num_active_experts_2");
    moe->intermediate_size_2 = integer_or_0(f, "intermediate_size_2");
    moe->generalist_size = integer_or_0(f, "generalist_size");
    moe->published_generalist_input = is_true(f, "published_generalist_input");
    moe->aux_mean_over_layers = is_true(f, "aux_mean_over_layers");
}

static void read_training(struct fixture *f) {
    struct train_config *t = &f->experiment.train;
    f->batch = integer(f, "batch_size");
    f->seq = integer(f, "max_position_embeddings");
    t->lr = number(f, "learning_rate");
    t->beta1 = number(f, "beta1");
    t->beta2 = number(f, "beta2");
    t->eps = number(f, "eps");
    t->weight_decay = number(f, "weight_decay");
    t->clip = number(f, "clip");
    t->label_smoothing = number(f, "label_smoothing");
    t->z_coeff = number(f, "z_coeff");
}

static void set_parameters(struct fixture *f) {
    struct params *params = decoder_params(f->decoder);
    for (int32_t i = 0; i < params->count; i++) {
        const struct param *p = &params->items[i];
        const struct safetensors_tensor *tensor = golden_find(&f->golden, "param", p->name);
        assert_int_equal(tensor->rank, p->rank);
        assert_memory_equal(tensor->shape, p->shape, (size_t)p->rank * sizeof *p->shape);
        float *values = golden_floats(&f->golden, "param", p->name);
        params_set(params, i, values);
        free(values);
    }
}

static void open_fixture(struct fixture *f, const char *name, const char *device) {
    moe_err err = {0};
    memset(f, 0, sizeof *f);
    golden_open(&f->golden, name, device);
    f->config = json_loads(safetensors_metadata(f->golden.file, "config"), 0, NULL);
    assert_non_null(f->config);
    read_model(f);
    read_moe(f);
    read_training(f);
    const struct decoder_limits limits = {.max_batch = f->batch, .max_seq = f->seq, .training = true};
    if (decoder_create(&f->experiment.model, &f->experiment.moe, &limits, f->golden.dev, &f->decoder, &err) !=
            MOE_OK ||
        optimizer_create(&f->optimizer, &f->experiment, decoder_params(f->decoder),
                         moe_config_routers(&f->experiment.moe), moe_config_most_experts(&f->experiment.moe),
                         &err) != MOE_OK)
        fail_msg("%s", err.message);
    decoder_routing(f->decoder)->temperature = (float)f->experiment.moe.temperature_start;
    set_parameters(f);
}

static void close_fixture(struct fixture *f, const char *name) {
    optimizer_free(&f->optimizer);
    decoder_destroy(f->decoder);
    json_decref(f->config);
    golden_close(&f->golden, name);
}

/* Every parameter of the file is one of the model's, and no other is. */
static void check_names(struct fixture *f) {
    int32_t stored = 0;
    for (int64_t i = 0; i < safetensors_count(f->golden.file); i++)
        stored += strncmp(safetensors_at(f->golden.file, i)->name, "param.", 6) == 0;
    assert_int_equal(stored, decoder_params(f->decoder)->count);
}

static void check_logits(struct fixture *f) {
    float *logits = malloc((size_t)(f->batch * f->seq * f->experiment.model.vocab_size) * sizeof *logits);
    int32_t *tokens = golden_ints(&f->golden, "input.0", NULL);
    assert_int_equal(decoder_logits(f->decoder, tokens, f->batch, f->seq, logits, NULL), MOE_OK);
    golden_compare(&f->golden, "logits", NULL, logits, NULL, LIMIT_FORWARD);
    free(tokens);
    free(logits);
}

static void check_routing(struct fixture *f) {
    const int32_t *numbers = decoder_router_numbers(f->decoder);
    for (int32_t i = 0; i < decoder_routing(f->decoder)->layers; i++) {
        const struct block *block = &f->decoder->parts.blocks[numbers[i] % MOE_SECOND_GROUP];
        const struct moe *moe = &block->moe[numbers[i] / MOE_SECOND_GROUP];
        char number_of_router[16];
        snprintf(number_of_router, sizeof number_of_router, "%d", numbers[i]);
        golden_expect(&f->golden, "router_prob", number_of_router, moe->prob, LIMIT_FORWARD);
        golden_expect_ints(&f->golden, "router_index", number_of_router, moe->index);
    }
}

/* Forward and backward of batch number `step`, and its losses. */
static void train_batch(struct fixture *f, int step) {
    char number_of_batch[16];
    moe_err err = {0};
    struct decoder_loss loss;
    snprintf(number_of_batch, sizeof number_of_batch, "%d", step);
    int32_t *tokens = golden_ints(&f->golden, "input", number_of_batch);
    int32_t *targets = golden_ints(&f->golden, "target", number_of_batch);
    const struct decoder_batch batch = {
        .tokens = tokens,
        .targets = targets,
        .batch = f->batch,
        .seq = f->seq,
        .step = (uint32_t)step,
        .step_rows = f->batch * f->seq,
        .label_smoothing = (float)f->experiment.train.label_smoothing,
        .z_coeff = (float)f->experiment.train.z_coeff,
    };
    if (decoder_train_batch(f->decoder, &batch, &loss, &err) != MOE_OK) fail_msg("%s", err.message);
    const double rows = (double)(f->batch * f->seq);
    const struct {
        const char *name;
        double value;
    } losses[] = {
        {"loss_nll", loss.ce / rows},
        {"loss_ce", loss.smoothed / rows},
        {"loss_aux", loss.aux},
        {"loss_head_z", loss.head_z / rows},
        {"loss_router_z", loss.router_z},
        {"loss", (loss.smoothed + loss.head_z) / rows + loss.aux + loss.router_z},
    };
    for (size_t i = 0; i < sizeof losses / sizeof losses[0]; i++)
        golden_expect_double(&f->golden, losses[i].name, number_of_batch, losses[i].value, LIMIT_FORWARD);
    free(tokens);
    free(targets);
}

static void check_gradients(struct fixture *f) {
    const struct params *params = decoder_params(f->decoder);
    for (int32_t i = 0; i < params->count; i++)
        golden_expect(&f->golden, "grad", params->items[i].name, params_grad(params, i), LIMIT_GRADIENT);
}

static void optimizer_update(struct fixture *f, int step) {
    char number_of_batch[16];
    struct gradient_norms norms = {0};
    snprintf(number_of_batch, sizeof number_of_batch, "%d", step);
    optimizer_give(&f->optimizer, step + 1, f->experiment.train.lr);
    assert_int_equal(optimizer_finish(&f->optimizer, step + 1, &norms, NULL), MOE_OK);
    golden_expect_double(&f->golden, "grad_norm", number_of_batch, norms.total, LIMIT_GRADIENT);
}

/* Marks what cannot agree. Adam divides a gradient by its own size, so rounding noise becomes a whole step.
 * Such noise are the keys' bias (the middle third of the packed one: softmax does not see it, its gradient is
 * zero, unless keys are normed) and the few elements whose gradient happens to be that small; *chance counts
 * these. */
static bool *noisy_elements(const struct fixture *f, const struct param *p, int64_t *chance) {
    const double noise = NOISE_SHARE * golden_double(&f->golden, "grad_norm", "0");
    const bool packed_bias = strstr(p->name, "attention.qkv.bias") != NULL && !f->experiment.model.qk_norm;
    bool *skip = calloc((size_t)p->count, sizeof *skip);
    float *gradient = golden_floats(&f->golden, "grad", p->name);
    for (int64_t i = 0; i < p->count; i++) {
        const double size = fabs((double)gradient[i]);
        const bool key = packed_bias && i >= p->count / 3 && i < 2 * p->count / 3;
        if (key) assert_true(size < 1e-12);
        skip[i] = key || (size > 0 && size < noise);
        *chance += skip[i] && !key;
    }
    free(gradient);
    return skip;
}

/* Parameters after a step ("step1", "step3"). */
static void check_parameters(struct fixture *f, const char *when) {
    const struct params *params = decoder_params(f->decoder);
    int64_t chance = 0;
    for (int32_t i = 0; i < params->count; i++) {
        const struct param *p = &params->items[i];
        float *values = malloc((size_t)p->count * sizeof *values);
        bool *skip = noisy_elements(f, p, &chance);
        params_get(params, i, values);
        golden_compare(&f->golden, when, p->name, values, skip, LIMIT_STEPPED);
        free(values);
        free(skip);
    }
    assert_true(chance < params->total / 1000);
}

static void run(const char *name, const char *device) {
    struct fixture f;
    open_fixture(&f, name, device);
    check_names(&f);
    check_logits(&f);
    for (int step = 0; step < integer(&f, "steps"); step++) {
        train_batch(&f, step);
        if (step == 0) {
            check_routing(&f);
            check_gradients(&f);
        }
        optimizer_update(&f, step);
        if (step == 0) check_parameters(&f, "step1");
    }
    check_parameters(&f, "step3");
    close_fixture(&f, name);
}

static void run_on_both(const char *name) {
    run(name, "reference");
    run(name, "cpu");
}

static void dense_model(void **state) {
    (void)state;
    run_on_both("dense");
}

static void top1_with_raw_probability(void **state) {
    (void)state;
    run_on_both("top1");
}

static void top2_renormalized_at_low_temperature(void **state) {
    (void)state;
    run_on_both("top2_renormalized");
}

static void top2_with_label_smoothing(void **state) {
    (void)state;
    run_on_both("top2_smoothed");
}

static void all_experts_softly(void **state) {
    (void)state;
    run_on_both("soft");
}

static void rms_norm_rope_swiglu_sigmoid_and_a_shared_expert(void **state) {
    (void)state;
    run_on_both("llama");
}

static void norms_on_sublayer_outputs_and_z_losses(void **state) {
    (void)state;
    run_on_both("sublayer_output");
}

static void two_groups_of_experts(void **state) {
    (void)state;
    run_on_both("two_groups");
}

static void a_generalist_in_the_mean_of_the_groups(void **state) {
    (void)state;
    run_on_both("generalist");
}

static void experts_beside_attention_as_published(void **state) {
    (void)state;
    run_on_both("generalist_beside");
    run_on_both("generalist_beside_pre");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dense_model),
        cmocka_unit_test(top1_with_raw_probability),
        cmocka_unit_test(top2_renormalized_at_low_temperature),
        cmocka_unit_test(top2_with_label_smoothing),
        cmocka_unit_test(all_experts_softly),
        cmocka_unit_test(rms_norm_rope_swiglu_sigmoid_and_a_shared_expert),
        cmocka_unit_test(norms_on_sublayer_outputs_and_z_losses),
        cmocka_unit_test(two_groups_of_experts),
        cmocka_unit_test(a_generalist_in_the_mean_of_the_groups),
        cmocka_unit_test(experts_beside_attention_as_published),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
