/* test: rooms=model label=fast */
#include "golden.h"

#include <jansson.h>

#include "model/decoder_internal.h"

/* Whole decoders against the models of Hugging Face transformers (make_moe_golden.py): logits, chosen experts
 * and their combine weights, losses, every gradient. Options are read under the names transformers gives
 * them. */

#define LIMIT_FORWARD  2e-6
#define LIMIT_GRADIENT 3e-6 /* transformers in float32 is off by up to 1e-6 on these models */

struct fixture {
    struct golden golden;
    json_t *config;
    struct model_config model;
    struct moe_config moe;
    struct decoder *decoder;
    int64_t batch, seq;
};

static int32_t integer_or(const struct fixture *f, const char *key, int32_t otherwise) {
    const json_t *value = json_object_get(f->config, key);
    return json_is_integer(value) ? (int32_t)json_integer_value(value) : otherwise;
}

static int32_t integer(const struct fixture *f, const char *key) {
    const int32_t value = integer_or(f, key, -1);
    if (value < 0) fail_msg("the golden file's config has no number %s", key);
    return value;
}

static double number(const json_t *config, const char *key) {
    const json_t *value = json_object_get(config, key);
    if (!json_is_number(value)) fail_msg("the golden file's config has no number %s", key);
    return json_number_value(value);
}

static void read_model(struct fixture *f) {
    struct model_config *m = &f->model;
    m->vocab_size = integer(f, "vocab_size");
    m->hidden_size = integer(f, "hidden_size");
    m->intermediate_size = integer(f, "intermediate_size");
    m->num_hidden_layers = integer(f, "num_hidden_layers");
    m->num_attention_heads = integer(f, "num_attention_heads");
    m->num_key_value_heads = integer(f, "num_key_value_heads");
    m->head_dim = integer_or(f, "head_dim", m->hidden_size / m->num_attention_heads);
    m->max_position_embeddings = integer(f, "max_position_embeddings");
    m->norm = CONFIG_NORM_RMSNORM;
    m->norm_eps = number(f->config, "rms_norm_eps");
    m->positions = POSITIONS_ROPE;
    m->rope_theta = number(json_object_get(f->config, "rope_parameters"), "rope_theta");
    m->ffn = FFN_SWIGLU;
}

/* The families name the number of experts differently. Mixtral has no norm_topk_prob: it always divides. */
static void read_moe(struct fixture *f) {
    struct moe_config *moe = &f->moe;
    const bool sigmoid = integer_or(f, "n_routed_experts", 0) > 0;
    moe->num_experts = sigmoid ? integer(f, "n_routed_experts")
                               : integer_or(f, "num_local_experts", integer_or(f, "num_experts", 0));
    if (moe->num_experts == 0) return;
    for (int32_t l = integer_or(f, "first_k_dense_replace", 0); l < f->model.num_hidden_layers; l++)
        moe->layers[moe->num_layers++] = l;
    moe->num_active_experts = integer(f, "num_experts_per_tok");
    moe->num_shared_experts = integer_or(f, "n_shared_experts", 0);
    moe->intermediate_size = integer_or(f, "moe_intermediate_size", f->model.intermediate_size);
    moe->router = sigmoid ? CONFIG_ROUTER_SIGMOID : CONFIG_ROUTER_SOFTMAX;
    moe->renormalize = !json_is_false(json_object_get(f->config, "norm_topk_prob"));
    moe->renormalize_top1 = true;
    moe->temperature_start = moe->temperature_end = 1;
    moe->lb_scope = LB_POOLED;
    moe->expert_lr_scale = moe->routed_scaling_factor = 1;
    /* f_e there is the share of tokens that chose e, which adds up to K; here the share of slots, up to 1. */
    if (json_object_get(f->config, "router_aux_loss_coef") != NULL)
        moe->lb_coeff = number(f->config, "router_aux_loss_coef") * moe->num_active_experts;
}

static void set_parameters(struct fixture *f) {
    struct params *params = decoder_params(f->decoder);
    int32_t stored = 0;
    for (int32_t i = 0; i < params->count; i++) {
        const struct param *p = &params->items[i];
        const struct safetensors_tensor *tensor = golden_find(&f->golden, "param", p->name);
        assert_int_equal(tensor->rank, p->rank);
        assert_memory_equal(tensor->shape, p->shape, (size_t)p->rank * sizeof *p->shape);
        float *values = golden_floats(&f->golden, "param", p->name);
        params_set(params, i, values);
        free(values);
    }
    for (int64_t i = 0; i < safetensors_count(f->golden.file); i++)
        stored += strncmp(safetensors_at(f->golden.file, i)->name, "param.", 6) == 0;
    assert_int_equal(stored, params->count);
}

/* The bias under which a sigmoid router chooses, as loss-free balancing would have learned it. */
static void set_selection_bias(struct fixture *f) {
    struct routing *routing = decoder_routing(f->decoder);
    routing->temperature = 1.0f;
    if (f->moe.router != CONFIG_ROUTER_SIGMOID || f->moe.num_layers == 0) return;
    for (int32_t i = 0; i < f->moe.num_layers; i++) {
        char number_of_layer[16];
        snprintf(number_of_layer, sizeof number_of_layer, "%d", i);
        float *bias = golden_floats(&f->golden, "select_bias", number_of_layer);
        memcpy(routing->host.bias + i * f->moe.num_experts, bias, (size_t)f->moe.num_experts * sizeof *bias);
        free(bias);
    }
    routing->with_select = true;
    routing_select(routing, f->golden.dev, 0.0f, 1, 1);
}

static void open_fixture(struct fixture *f, const char *name, const char *device) {
    moe_err err = {0};
    memset(f, 0, sizeof *f);
    golden_open(&f->golden, name, device);
    f->config = json_loads(safetensors_metadata(f->golden.file, "config"), 0, NULL);
    assert_non_null(f->config);
    read_model(f);
    read_moe(f);
    f->batch = golden_dim(&f->golden, "input", NULL, 0);
    f->seq = golden_dim(&f->golden, "input", NULL, 1);
    const struct decoder_limits limits = {.max_batch = f->batch, .max_seq = f->seq, .training = true};
    if (decoder_create(&f->model, &f->moe, &limits, f->golden.dev, &f->decoder, &err) != MOE_OK)
        fail_msg("%s", err.message);
    set_parameters(f);
    set_selection_bias(f);
}

static void check_logits(struct fixture *f) {
    float *logits = malloc((size_t)(f->batch * f->seq * f->model.vocab_size) * sizeof *logits);
    int32_t *tokens = golden_ints(&f->golden, "input", NULL);
    assert_int_equal(decoder_logits(f->decoder, tokens, f->batch, f->seq, logits, NULL), MOE_OK);
    golden_compare(&f->golden, "logits", NULL, logits, NULL, LIMIT_FORWARD);
    free(tokens);
    free(logits);
}

static void train_batch(struct fixture *f) {
    moe_err err = {0};
    struct decoder_loss loss;
    int32_t *tokens = golden_ints(&f->golden, "input", NULL);
    int32_t *targets = golden_ints(&f->golden, "target", NULL);
    const int64_t rows = f->batch * f->seq;
    const struct decoder_batch batch = {
        .tokens = tokens, .targets = targets, .batch = f->batch, .seq = f->seq, .step_rows = rows};
    if (decoder_train_batch(f->decoder, &batch, &loss, &err) != MOE_OK) fail_msg("%s", err.message);
    golden_expect_double(&f->golden, "loss", "total", loss.ce / (double)rows + loss.aux, LIMIT_FORWARD);
    if (f->moe.lb_coeff > 0) {
        const double coefficient = number(f->config, "router_aux_loss_coef");
        golden_expect_double(&f->golden, "loss", "aux", loss.aux / coefficient, LIMIT_FORWARD);
    }
    free(tokens);
    free(targets);
}

static void check_routing(struct fixture *f) {
    for (int32_t i = 0; i < f->moe.num_layers; i++) {
        const struct moe *moe = &f->decoder->parts.blocks[f->moe.layers[i]].moe[0];
        char number_of_layer[16];
        snprintf(number_of_layer, sizeof number_of_layer, "%d", i);
        golden_expect_ints(&f->golden, "index", number_of_layer, moe->index);
        golden_expect(&f->golden, "weight", number_of_layer, moe->weight, LIMIT_FORWARD);
    }
}

static void check_gradients(struct fixture *f) {
    const struct params *params = decoder_params(f->decoder);
    for (int32_t i = 0; i < params->count; i++)
        golden_expect(&f->golden, "grad", params->items[i].name, params_grad(params, i), LIMIT_GRADIENT);
}

static void run(const char *name, const char *device) {
    struct fixture f;
    open_fixture(&f, name, device);
    check_logits(&f);
    train_batch(&f);
    check_routing(&f);
    check_gradients(&f);
    decoder_destroy(f.decoder);
    json_decref(f.config);
    golden_close(&f.golden, name);
}

static void run_on_both(const char *name) {
    run(name, "reference");
    run(name, "cpu");
}

static void llama(void **state) {
    (void)state;
    run_on_both("moe_llama");
}

static void mixtral_with_its_balance_loss(void **state) {
    (void)state;
    run_on_both("moe_mixtral");
}

static void olmoe_top1_with_raw_probability(void **state) {
    (void)state;
    run_on_both("moe_olmoe_top1");
}

/* Source D as published: the loss teaches the router nothing, only the balance loss does. */
static void olmoe_top1_divided_by_itself(void **state) {
    (void)state;
    run_on_both("moe_olmoe_top1_sum1");
}

static void olmoe_top4_with_raw_probabilities(void **state) {
    (void)state;
    run_on_both("moe_olmoe_top4");
}

static void glm4_with_sigmoid_bias_and_shared_experts(void **state) {
    (void)state;
    run_on_both("moe_glm4");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(llama),
        cmocka_unit_test(mixtral_with_its_balance_loss),
        cmocka_unit_test(olmoe_top1_with_raw_probability),
        cmocka_unit_test(olmoe_top1_divided_by_itself),
        cmocka_unit_test(olmoe_top4_with_raw_probabilities),
        cmocka_unit_test(glm4_with_sigmoid_bias_and_shared_experts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
