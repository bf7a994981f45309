/* test: rooms=train label=fast */
/* Properties of the whole model that hold whatever its weights are. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/rng.h"
#include "model/decoder.h"

enum { VOCAB = 61, HIDDEN = 24, FFN = 40, LAYERS = 3, HEADS = 4, SEQ = 12, BATCH = 6, ROWS = SEQ * BATCH };

static struct model_config small_model(void) {
    return (struct model_config){.vocab_size = VOCAB,
                                 .hidden_size = HIDDEN,
                                 .intermediate_size = FFN,
                                 .num_hidden_layers = LAYERS,
                                 .num_attention_heads = HEADS,
                                 .num_key_value_heads = HEADS,
                                 .head_dim = HIDDEN / HEADS,
                                 .max_position_embeddings = SEQ,
                                 .norm_eps = 1e-5,
                                 .attention_bias = true,
                                 .mlp_bias = true,
                                 .init = INIT_PYTORCH};
}

static struct moe_config moe_in_layer_1(int32_t experts, int32_t top_k) {
    return (struct moe_config){.layers = {1},
                               .num_layers = 1,
                               .num_experts = experts,
                               .num_active_experts = top_k,
                               .intermediate_size = FFN,
                               .routed_scaling_factor = 1,
                               .temperature_start = 1,
                               .expert_lr_scale = 1};
}

/* A model on the CPU and a batch for it. */
struct subject {
    struct device *dev;
    struct decoder *decoder;
    int32_t tokens[ROWS], targets[ROWS];
};

static void subject_open(struct subject *s, const struct model_config *model, const struct moe_config *moe) {
    moe_err err = {0};
    const struct rng_key key = {.seed = 5, .stream = RNG_TEST};
    const struct device_options options = {.threads = 2,
                                           .max_rows =
                                               ROWS * (int64_t)(moe->num_experts > 0 ? moe->num_experts : 1),
                                           .max_vocab = VOCAB,
                                           .max_seq = SEQ,
                                           .max_width = 3 * HIDDEN > FFN ? 3 * HIDDEN : FFN};
    const struct decoder_limits limits = {.max_batch = BATCH, .max_seq = SEQ, .training = true, .slots = 2};
    if (device_open("cpu", &options, &s->dev, &err) != MOE_OK ||
        decoder_create(model, moe, &limits, s->dev, &s->decoder, &err) != MOE_OK) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(params_initialize(decoder_params(s->decoder), 3, &err), MOE_OK);
    for (int i = 0; i < ROWS; i++) {
        s->tokens[i] = (int32_t)rng_below(key, (uint64_t)i, VOCAB);
        s->targets[i] = (int32_t)rng_below(key, (uint64_t)(ROWS + i), VOCAB);
    }
}

static void subject_close(struct subject *s) {
    decoder_destroy(s->decoder);
    device_close(s->dev);
}

static struct decoder_batch whole_batch(const struct subject *s) {
    return (struct decoder_batch){.tokens = s->tokens,
                                  .targets = s->targets,
                                  .batch = BATCH,
                                  .seq = SEQ,
                                  .seed = 1,
                                  .step = 1,
                                  .step_rows = ROWS};
}

static struct decoder_loss train_once(struct subject *s, const struct decoder_batch *batch) {
    struct decoder_loss loss;
    moe_err err = {0};
    if (decoder_train_batch(s->decoder, batch, &loss, &err) != MOE_OK) fail_msg("%s", err.message);
    return loss;
}

/* A parameter's values (or gradients), which a CPU device lets the host read. */
static float *values_of(struct subject *s, const char *name, bool gradient) {
    struct params *p = decoder_params(s->decoder);
    const int32_t index = params_find(p, name);
    if (index < 0) fail_msg("no parameter %s", name);
    return (gradient ? p->grads : p->values) + p->items[index].offset;
}

static int64_t count_of(struct subject *s, const char *name) {
    struct params *p = decoder_params(s->decoder);
    return p->items[params_find(p, name)].count;
}

static void assert_close(double got, double want, double relative, const char *what) {
    if (fabs(got - want) > relative * (fabs(want) + 1e-6))
        fail_msg("%s: %.9g, expected %.9g", what, got, want);
}

static void published_sizes_come_out_exactly(void **state) {
    (void)state;
    struct model_config model = {.vocab_size = 10000,
                                 .hidden_size = 256,
                                 .intermediate_size = 1024,
                                 .num_hidden_layers = 6,
                                 .num_attention_heads = 8,
                                 .num_key_value_heads = 8,
                                 .head_dim = 32,
                                 .max_position_embeddings = 256,
                                 .attention_bias = true,
                                 .mlp_bias = true};
    struct moe_config moe = {.layers = {2, 4},
                             .num_layers = 2,
                             .num_experts = 8,
                             .num_active_experts = 1,
                             .intermediate_size = 1024,
                             .routed_scaling_factor = 1,
                             .temperature_start = 1};
    const struct moe_config dense = {.num_layers = 0};
    struct decoder_counts counts;
    assert_int_equal(decoder_count(&model, &dense, 16, 256, &counts, NULL), MOE_OK);
    assert_int_equal(counts.total, 9924608);
    assert_int_equal(counts.active, 9924608);
    assert_int_equal(decoder_count(&model, &moe, 16, 256, &counts, NULL), MOE_OK);
    assert_int_equal(counts.total, 17286656);
    /* seven of eight experts do not see a token: 2 layers x 7 x (2 x 256 x 1024 + 1024 + 256) */
    assert_int_equal(counts.total - counts.active, 2 * 7 * (2 * 256 * 1024 + 1024 + 256));
    const int64_t parts = counts.embedding + counts.attention + counts.ffn + counts.experts +
                          counts.shared_experts + counts.router + counts.norm + counts.head;
    assert_int_equal(parts, counts.total);
    /* a stated size that differs is refused before anything is trained, and so is a mixture without weight */
    moe_err err = {0};
    struct decoder *decoder = NULL;
    struct device *dev = NULL;
    const struct device_options options = {.max_rows = 16, .max_vocab = 16, .max_seq = 16, .max_width = 16};
    const struct decoder_limits limits = {.max_batch = 1, .max_seq = 1, .training = false};
    assert_int_equal(device_open("cpu", &options, &dev, &err), MOE_OK);
    moe.routed_scaling_factor = 0; /* a mixture that says nothing */
    assert_int_equal(decoder_create(&model, &moe, &limits, dev, &decoder, &err), MOE_EARG);
    assert_non_null(strstr(err.message, "moe.routed_scaling_factor"));
    model.expected_parameters = 9924609;
    assert_int_equal(decoder_create(&model, &dense, &limits, dev, &decoder, &err), MOE_EMISMATCH);
    assert_non_null(strstr(err.message, "9924608"));
    assert_non_null(strstr(err.message, "expected_parameters"));
    device_close(dev);
}

static void a_single_expert_is_the_dense_layer(void **state) {
    (void)state;
    const struct model_config model = small_model();
    const struct moe_config dense_config = {.num_layers = 0}, one = moe_in_layer_1(1, 1);
    struct subject dense, moe;
    subject_open(&dense, &model, &dense_config);
    subject_open(&moe, &model, &one);
    struct params *to = decoder_params(moe.decoder);
    for (int32_t i = 0; i < to->count; i++) {
        char name[PARAM_NAME_MAX];
        const struct param *p = &to->items[i];
        if (p->role == PARAM_ROUTER) continue;
        snprintf(name, sizeof name, "%s", p->name);
        char *at = strstr(name, ".moe.experts.");
        if (at != NULL)
            snprintf(at, sizeof name - (size_t)(at - name), ".ffn.%s", p->name + (at - name) + 13);
        params_set(to, i, values_of(&dense, name, false));
    }
    const struct decoder_batch a = whole_batch(&dense), b = whole_batch(&moe);
    const struct decoder_loss want = train_once(&dense, &a), got = train_once(&moe, &b);
    assert_close(got.ce, want.ce, 1e-6, "cross-entropy");
    assert_close(values_of(&moe, "blocks.1.moe.experts.fc1.weight", true)[7],
                 values_of(&dense, "blocks.1.ffn.fc1.weight", true)[7], 1e-3, "gradient of fc1");
    assert_close(values_of(&moe, "token_embedding.weight", true)[HIDDEN * moe.tokens[0]],
                 values_of(&dense, "token_embedding.weight", true)[HIDDEN * dense.tokens[0]], 1e-3,
                 "gradient of the embedding");
    subject_close(&dense);
    subject_close(&moe);
}

static void the_names_of_experts_do_not_matter(void **state) {
    (void)state;
    enum { EXPERTS = 5 };
    static const int order[EXPERTS] = {3, 0, 4, 1, 2};
    static const char *const tensors[] = {"blocks.1.moe.router.weight", "blocks.1.moe.experts.fc1.weight",
                                          "blocks.1.moe.experts.fc1.bias", "blocks.1.moe.experts.fc2.weight",
                                          "blocks.1.moe.experts.fc2.bias"};
    const struct model_config model = small_model();
    struct moe_config config = moe_in_layer_1(EXPERTS, 2);
    config.renormalize = true;
    config.lb_coeff = 0.01;
    struct subject a, b;
    subject_open(&a, &model, &config);
    subject_open(&b, &model, &config);
    for (size_t t = 0; t < sizeof tensors / sizeof tensors[0]; t++) {
        const size_t each = (size_t)count_of(&a, tensors[t]) / EXPERTS;
        for (int e = 0; e < EXPERTS; e++) {
            memcpy(values_of(&b, tensors[t], false) + (size_t)order[e] * each,
                   values_of(&a, tensors[t], false) + (size_t)e * each, each * sizeof(float));
        }
    }
    const struct decoder_batch batch_a = whole_batch(&a), batch_b = whole_batch(&b);
    const struct decoder_loss want = train_once(&a, &batch_a), got = train_once(&b, &batch_b);
    assert_close(got.ce, want.ce, 1e-6, "cross-entropy");
    assert_close(got.aux, want.aux, 1e-6, "balance loss");
    for (int e = 0; e < EXPERTS; e++) {
        assert_int_equal(decoder_routing(b.decoder)->host.load[order[e]],
                         decoder_routing(a.decoder)->host.load[e]);
    }
    subject_close(&a);
    subject_close(&b);
}

static void tokens_are_conserved(void **state) {
    (void)state;
    const struct model_config model = small_model();
    struct moe_config config = moe_in_layer_1(4, 2);
    config.capacity_factor = 0.75;
    struct subject s;
    subject_open(&s, &model, &config);
    const struct decoder_batch batch = whole_batch(&s);
    train_once(&s, &batch);
    const struct routing_host *host = &decoder_routing(s.decoder)->host;
    int64_t load = 0, dropped = 0;
    double mass = 0;
    const int64_t capacity = (int64_t)(ROWS * 2 / 4 * 0.75);
    for (int e = 0; e < 4; e++) {
        load += host->load[e];
        dropped += host->dropped[e];
        mass += (double)host->prob_mass[e];
        assert_true(host->load[e] - host->dropped[e] <= capacity);
    }
    assert_int_equal(load, ROWS * 2);
    assert_true(dropped >= ROWS * 2 - 4 * capacity);
    assert_close(mass, ROWS, 1e-5, "probability mass");
    subject_close(&s);
}

/* A router of zeros sends every token to expert 0. 40 tokens, 2 experts: floor(20 * 1.4) = 28 fit, which
 * single precision would make 27; and a capacity below one slot still keeps one. */
static void capacity_is_exact(void **state) {
    (void)state;
    static const struct {
        double factor;
        int32_t dropped;
    } cases[] = {{1.4, 12}, {0.01, 39}, {2.0, 0}};
    const struct model_config model = small_model();
    struct moe_config config = moe_in_layer_1(2, 1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct subject s;
        config.capacity_factor = cases[i].factor;
        subject_open(&s, &model, &config);
        memset(values_of(&s, "blocks.1.moe.router.weight", false), 0, 2 * HIDDEN * sizeof(float));
        struct decoder_batch batch = whole_batch(&s);
        batch.batch = 5;
        batch.seq = 8;
        batch.step_rows = 40;
        train_once(&s, &batch);
        assert_int_equal(decoder_routing(s.decoder)->host.load[0], 40);
        assert_int_equal(decoder_routing(s.decoder)->host.dropped[0], cases[i].dropped);
        subject_close(&s);
    }
}

static void micro_batches_add_up_to_the_batch(void **state) {
    (void)state;
    const struct model_config model = small_model();
    const struct moe_config config =
        moe_in_layer_1(4, 1); /* no balance loss: that one is a mean per micro-batch */
    struct subject whole, parts;
    subject_open(&whole, &model, &config);
    subject_open(&parts, &model, &config);
    const struct decoder_batch batch = whole_batch(&whole);
    const struct decoder_loss want = train_once(&whole, &batch);
    double ce = 0;
    for (int first = 0; first < BATCH; first += 2) {
        struct decoder_batch part = whole_batch(&parts);
        part.tokens += first * SEQ;
        part.targets += first * SEQ;
        part.batch = 2;
        part.micro = (uint32_t)first / 2;
        ce += train_once(&parts, &part).ce;
    }
    assert_close(ce, want.ce, 1e-6, "cross-entropy");
    const struct params *p = decoder_params(whole.decoder), *q = decoder_params(parts.decoder);
    double difference = 0, size = 0;
    for (int64_t i = 0; i < p->total; i++) {
        difference += pow((double)p->grads[i] - (double)q->grads[i], 2);
        size += pow((double)p->grads[i], 2);
    }
    assert_true(sqrt(difference / size) < 1e-5);
    subject_close(&whole);
    subject_close(&parts);
}

/* A slot has its losses and its times until it is given another batch, whatever the other one does. */
static void results_in_flight_are_kept_apart(void **state) {
    (void)state;
    const struct model_config model = small_model();
    const struct moe_config config = moe_in_layer_1(4, 2);
    struct decoder_loss first, second, again;
    struct subject s;
    moe_err err = {0};
    subject_open(&s, &model, &config);
    const double start = clock_seconds();
    struct decoder_batch batch = whole_batch(&s);
    assert_int_equal(decoder_give_batch(s.decoder, &batch, 0, &err), MOE_OK);
    batch.batch = 1;
    assert_int_equal(decoder_give_batch(s.decoder, &batch, 1, &err), MOE_OK);
    decoder_read_batch(s.decoder, 0, &first);
    decoder_read_batch(s.decoder, 1, &second);
    assert_true(first.targets == ROWS && second.targets == SEQ && first.ce > second.ce);
    const double inside =
        first.forward_seconds + first.backward_seconds + second.forward_seconds + second.backward_seconds;
    assert_true(first.forward_seconds > 0 && first.backward_seconds > 0 && second.forward_seconds > 0);
    assert_true(inside <= clock_seconds() - start);
    assert_int_equal(decoder_give_batch(s.decoder, &batch, 1, &err), MOE_OK);
    decoder_read_batch(s.decoder, 0, &again);
    assert_memory_equal(&again, &first, sizeof first);
    assert_int_equal(decoder_give_batch(s.decoder, &batch, 2, &err), MOE_EARG);
    subject_close(&s);
}

static void evaluation_neither_drops_nor_masks(void **state) {
    (void)state;
    struct model_config model = small_model();
    model.dropout = 0.5;
    struct moe_config tight = moe_in_layer_1(4, 1), free_config = moe_in_layer_1(4, 1);
    tight.capacity_factor = 0.25;
    struct subject a, b;
    subject_open(&a, &model, &tight);
    model.dropout = 0;
    subject_open(&b, &model, &free_config);
    struct decoder_loss la, lb;
    double sequence_ce[BATCH], sum = 0;
    const struct decoder_batch batch_a = whole_batch(&a), batch_b = whole_batch(&b);
    assert_int_equal(decoder_eval_batch(a.decoder, &batch_a, &la, sequence_ce, NULL, NULL), MOE_OK);
    assert_int_equal(decoder_eval_batch(b.decoder, &batch_b, &lb, NULL, NULL, NULL), MOE_OK);
    for (int i = 0; i < BATCH; i++)
        sum += sequence_ce[i];
    assert_true(la.ce == lb.ce);
    assert_close(sum, la.ce, 1e-6, "sum over sequences");
    assert_true(train_once(&a, &batch_a).ce != la.ce);
    subject_close(&a);
    subject_close(&b);
}

static void a_dense_pass_uses_every_expert(void **state) {
    (void)state;
    const struct model_config model = small_model();
    struct moe_config config = moe_in_layer_1(4, 1);
    config.dense_epochs = 1;
    struct subject s;
    subject_open(&s, &model, &config);
    const struct decoder_batch batch = whole_batch(&s);
    decoder_routing(s.decoder)->dense = true;
    train_once(&s, &batch);
    for (int e = 0; e < 4; e++)
        assert_int_equal(decoder_routing(s.decoder)->host.load[e], ROWS);
    decoder_routing(s.decoder)->dense = false;
    train_once(&s, &batch);
    int64_t load = 0;
    for (int e = 0; e < 4; e++)
        load += decoder_routing(s.decoder)->host.load[e];
    assert_int_equal(load, ROWS);
    subject_close(&s);
}

static void experts_that_sit_out_get_no_token(void **state) {
    (void)state;
    const struct model_config model = small_model();
    const struct moe_config config = moe_in_layer_1(4, 2);
    struct subject s;
    subject_open(&s, &model, &config);
    const struct decoder_batch batch = whole_batch(&s);
    struct routing *routing = decoder_routing(s.decoder);
    int masked = 0;
    routing->with_select = true;
    for (uint32_t step = 0; step < 20; step++) {
        int here = 0;
        routing_select(routing, s.dev, 0.9f, 1, step);
        train_once(&s, &batch);
        for (int e = 0; e < 4; e++) {
            if (!isinf(routing->host.select[e])) continue;
            assert_int_equal(routing->host.load[e], 0);
            here++;
        }
        assert_true(here <= 2); /* K experts stay */
        masked += here;
    }
    assert_true(masked > 20);
    subject_close(&s);
}

static void bad_tokens_are_refused(void **state) {
    (void)state;
    const struct model_config model = small_model();
    const struct moe_config dense = {.num_layers = 0};
    struct subject s;
    struct decoder_loss loss;
    moe_err err = {0};
    subject_open(&s, &model, &dense);
    struct decoder_batch batch = whole_batch(&s);
    s.tokens[3] = VOCAB;
    assert_int_equal(decoder_train_batch(s.decoder, &batch, &loss, &err), MOE_EARG);
    assert_non_null(strstr(err.message, "token 3"));
    s.tokens[3] = 0;
    batch.batch = BATCH + 1;
    assert_int_equal(decoder_train_batch(s.decoder, &batch, &loss, &err), MOE_EARG);
    subject_close(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_sizes_come_out_exactly),
        cmocka_unit_test(a_single_expert_is_the_dense_layer),
        cmocka_unit_test(the_names_of_experts_do_not_matter),
        cmocka_unit_test(tokens_are_conserved),
        cmocka_unit_test(capacity_is_exact),
        cmocka_unit_test(micro_batches_add_up_to_the_batch),
        cmocka_unit_test(results_in_flight_are_kept_apart),
        cmocka_unit_test(evaluation_neither_drops_nor_masks),
        cmocka_unit_test(a_dense_pass_uses_every_expert),
        cmocka_unit_test(experts_that_sit_out_get_no_token),
        cmocka_unit_test(bad_tokens_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
