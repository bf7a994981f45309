/* test: rooms=train label=fast */
/* Reading a sequence a few tokens at a time gives the logits of reading it whole. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/rng.h"
#include "model/decoder_cache.h"

enum { VOCAB = 67, SEQ = 40, PROMPT = 17, MOST_EXPERTS = 8 };

#define TOLERANCE 1e-5 /* of the largest logit of a row */

struct shape {
    const char *name;
    struct model_config model;
    struct moe_config moe;
};

/* Sizes are small and uneven; what differs is what a generating pass does otherwise than a training one. */
static const struct shape shapes[] = {
    {"dense, learned positions, norm before",
     {.num_attention_heads = 4,
      .num_key_value_heads = 4,
      .head_dim = 6,
      .ffn = FFN_GELU,
      .attention_bias = true,
      .mlp_bias = true},
     {.num_layers = 0}},
    {"dense, rope, RMSNorm, grouped heads, SwiGLU",
     {.num_attention_heads = 6,
      .num_key_value_heads = 2,
      .head_dim = 8,
      .norm = CONFIG_NORM_RMSNORM,
      .positions = POSITIONS_ROPE,
      .ffn = FFN_SWIGLU},
     {.num_layers = 0}},
    {"softmax MoE in layer 1, learned positions, norm on the sublayer's output",
     {.num_attention_heads = 2,
      .num_key_value_heads = 1,
      .head_dim = 12,
      .norm_placement = NORM_SUBLAYER_OUTPUT,
      .attention_bias = true},
     {.layers = {1}, .num_layers = 1, .num_experts = 5, .num_active_experts = 2, .renormalize = true}},
    {"sigmoid MoE with shared experts and a selection bias in all layers, rope, capacity in training",
     {.num_attention_heads = 4,
      .num_key_value_heads = 2,
      .head_dim = 10,
      .norm = CONFIG_NORM_RMSNORM,
      .positions = POSITIONS_ROPE,
      .ffn = FFN_SWIGLU},
     {.layers = {0, 1, 2},
      .num_layers = 3,
      .num_experts = MOST_EXPERTS,
      .num_active_experts = 3,
      .num_shared_experts = 1,
      .router = CONFIG_ROUTER_SIGMOID,
      .renormalize = true,
      .lb_gamma = 0.1,
      .capacity_factor = 0.5}},
    {"source C: two groups and a generalist, norms of queries and keys and on the sublayer's output",
     {.num_attention_heads = 4,
      .num_key_value_heads = 2,
      .head_dim = 6,
      .norm = CONFIG_NORM_RMSNORM,
      .norm_placement = NORM_SUBLAYER_OUTPUT,
      .positions = POSITIONS_ROPE,
      .ffn = FFN_SWIGLU,
      .qk_norm = true},
     {.layers = {0, 1, 2},
      .num_layers = 3,
      .num_experts = MOST_EXPERTS,
      .num_active_experts = 3,
      .num_experts_2 = 3,
      .num_active_experts_2 = 1,
      .intermediate_size_2 = 20,
      .generalist_size = 12,
      .lb_gamma = 0.1}},
    {"source C as published: experts beside attention",
     {.num_attention_heads = 4,
      .num_key_value_heads = 4,
      .head_dim = 6,
      .norm = CONFIG_NORM_RMSNORM,
      .norm_placement = NORM_SUBLAYER_OUTPUT,
      .positions = POSITIONS_ROPE,
      .ffn = FFN_SWIGLU,
      .qk_norm = true},
     {.layers = {0, 2},
      .num_layers = 2,
      .num_experts = 4,
      .num_active_experts = 2,
      .generalist_size = 12,
      .published_generalist_input = true}},
};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

struct subject {
    struct device *dev;
    struct decoder *decoder;
    int32_t tokens[SEQ];
    float *whole; /* [SEQ, VOCAB] logits of the whole sequence */
};

static void set_selection_bias(struct subject *s) {
    struct routing *r = decoder_routing(s->decoder);
    const struct rng_key key = {.seed = 9, .stream = RNG_TEST};
    for (int32_t i = 0; i < r->layers * r->experts; i++)
        r->host.bias[i] = 2.0f * rng_uniform(key, (uint64_t)i) - 1.0f;
    r->with_select = true;
    routing_select(r, s->dev, 0.0f, 0, 0);
}

static void subject_open(struct subject *s, const char *device, int threads, const struct shape *shape,
                         int64_t max_seq) {
    moe_err err = {0};
    struct model_config model = shape->model;
    struct moe_config moe = shape->moe;
    const struct rng_key key = {.seed = 5, .stream = RNG_TEST};
    const struct device_options options = {.threads = threads,
                                           .max_rows = SEQ * MOST_EXPERTS,
                                           .max_vocab = VOCAB,
                                           .max_seq = SEQ,
                                           .max_width = 256};
    const struct decoder_limits limits = {.max_batch = 1, .max_seq = max_seq};
    moe.routed_scaling_factor = 1;
    model.vocab_size = VOCAB, model.hidden_size = 24, model.intermediate_size = 40;
    model.num_hidden_layers = 3, model.max_position_embeddings = SEQ;
    model.norm_eps = 1e-5, model.rope_theta = 1e4, model.init = INIT_NORMAL, model.init_std = 0.3;
    moe.intermediate_size = 28, moe.temperature_start = 1;
    if (device_open(device, &options, &s->dev, &err) != MOE_OK ||
        decoder_create(&model, &moe, &limits, s->dev, &s->decoder, &err) != MOE_OK)
        fail_msg("%s: %s", shape->name, err.message);
    assert_int_equal(params_initialize(decoder_params(s->decoder), 3, &err), MOE_OK);
    if (moe.lb_gamma > 0) set_selection_bias(s);
    for (int i = 0; i < SEQ; i++)
        s->tokens[i] = (int32_t)rng_below(key, (uint64_t)i, VOCAB);
    s->whole = calloc((size_t)SEQ * VOCAB, sizeof *s->whole);
    assert_non_null(s->whole);
}

static void subject_close(struct subject *s) {
    decoder_destroy(s->decoder);
    device_close(s->dev);
    free(s->whole);
}

static int32_t largest(const float *logits) {
    int32_t best = 0;
    for (int32_t v = 1; v < VOCAB; v++)
        if (logits[v] > logits[best]) best = v;
    return best;
}

/* Returns the error relative to the row's largest logit. */
static double compare_row(const float *got, const float *want) {
    double worst = 0, scale = 0;
    for (int32_t v = 0; v < VOCAB; v++) {
        worst = fmax(worst, fabs((double)got[v] - (double)want[v]));
        scale = fmax(scale, fabs((double)want[v]));
    }
    assert_int_equal(largest(got), largest(want));
    return worst / scale;
}

static struct decoder_cache *open_cache(struct subject *s, int64_t room) {
    struct decoder_cache *cache = NULL;
    moe_err err = {0};
    if (decoder_cache_create(s->decoder, room, &cache, &err) != MOE_OK) fail_msg("%s", err.message);
    return cache;
}

static void read_tokens(struct decoder_cache *cache, const int32_t *tokens, int64_t count, float *logits) {
    moe_err err = {0};
    if (decoder_cache_read(cache, tokens, count, logits, &err) != MOE_OK) fail_msg("%s", err.message);
}

static void steps_agree_with_the_whole(const char *device) {
    float logits[VOCAB];
    for (int i = 0; i < SHAPES; i++) {
        struct subject s;
        subject_open(&s, device, 2, &shapes[i], SEQ);
        assert_int_equal(decoder_logits(s.decoder, s.tokens, 1, SEQ, s.whole, NULL), MOE_OK);
        struct decoder_cache *cache = open_cache(&s, SEQ);
        double worst = 0;
        read_tokens(cache, s.tokens, PROMPT, logits);
        worst = compare_row(logits, s.whole + (PROMPT - 1) * VOCAB);
        for (int t = PROMPT; t < SEQ; t++) {
            read_tokens(cache, s.tokens + t, 1, logits);
            worst = fmax(worst, compare_row(logits, s.whole + t * VOCAB));
        }
        print_message("%-9s %-90s error %.1e\n", device, shapes[i].name, worst);
        assert_true(worst <= TOLERANCE);
        assert_int_equal(decoder_cache_length(cache), SEQ);
        decoder_cache_destroy(cache);
        subject_close(&s);
    }
}

static void steps_agree_on_the_cpu(void **state) {
    (void)state;
    steps_agree_with_the_whole("cpu");
}

static void steps_agree_on_the_reference(void **state) {
    (void)state;
    steps_agree_with_the_whole("reference");
}

/* A decoder planned for few rows reads a long prompt in several passes; token by token from the first is the
 * same too. */
static void the_cut_of_the_prompt_does_not_matter(void **state) {
    (void)state;
    float logits[VOCAB];
    for (int i = 0; i < SHAPES; i++) {
        struct subject whole, few;
        subject_open(&whole, "cpu", 1, &shapes[i], SEQ);
        subject_open(&few, "cpu", 1, &shapes[i], 7);
        assert_int_equal(decoder_logits(whole.decoder, whole.tokens, 1, SEQ, whole.whole, NULL), MOE_OK);
        struct decoder_cache *cache = open_cache(&few, SEQ);
        read_tokens(cache, few.tokens, SEQ, logits);
        assert_true(compare_row(logits, whole.whole + (SEQ - 1) * VOCAB) <= TOLERANCE);
        decoder_cache_clear(cache);
        for (int t = 0; t < SEQ; t++)
            read_tokens(cache, few.tokens + t, 1, t == SEQ - 1 ? logits : NULL);
        assert_true(compare_row(logits, whole.whole + (SEQ - 1) * VOCAB) <= TOLERANCE);
        decoder_cache_destroy(cache);
        subject_close(&whole);
        subject_close(&few);
    }
}

static void threads_and_earlier_sequences_leave_no_trace(void **state) {
    (void)state;
    float one[VOCAB], three[VOCAB], again[VOCAB];
    for (int i = 0; i < SHAPES; i++) {
        struct subject a, b;
        subject_open(&a, "cpu", 1, &shapes[i], SEQ);
        subject_open(&b, "cpu", 3, &shapes[i], SEQ);
        struct decoder_cache *ca = open_cache(&a, SEQ), *cb = open_cache(&b, SEQ);
        read_tokens(ca, a.tokens, PROMPT, NULL);
        read_tokens(ca, a.tokens + PROMPT, 1, one);
        read_tokens(cb, b.tokens + 1, SEQ - 1, NULL);
        decoder_cache_clear(cb);
        read_tokens(cb, b.tokens, PROMPT, NULL);
        read_tokens(cb, b.tokens + PROMPT, 1, three);
        assert_memory_equal(one, three, sizeof one);
        decoder_cache_clear(cb);
        read_tokens(cb, b.tokens, PROMPT, NULL);
        read_tokens(cb, b.tokens + PROMPT, 1, again);
        assert_memory_equal(three, again, sizeof one);
        decoder_cache_destroy(ca);
        decoder_cache_destroy(cb);
        subject_close(&a);
        subject_close(&b);
    }
}

/* The bias decides who is chosen: without it the logits are others. */
static void the_selection_bias_counts(void **state) {
    (void)state;
    float with[VOCAB], without[VOCAB];
    struct subject s;
    subject_open(&s, "cpu", 1, &shapes[3], SEQ);
    struct decoder_cache *cache = open_cache(&s, SEQ);
    read_tokens(cache, s.tokens, PROMPT, NULL);
    read_tokens(cache, s.tokens + PROMPT, 1, with);
    decoder_routing(s.decoder)->with_select = false;
    decoder_cache_clear(cache);
    read_tokens(cache, s.tokens, PROMPT, NULL);
    read_tokens(cache, s.tokens + PROMPT, 1, without);
    assert_memory_not_equal(with, without, sizeof with);
    decoder_cache_destroy(cache);
    subject_close(&s);
}

/* A device that cannot allocate any more still reads. */
static void reading_allocates_nothing(void **state) {
    (void)state;
    float logits[VOCAB];
    for (int i = 0; i < SHAPES; i++) {
        struct subject s;
        subject_open(&s, "cpu", 1, &shapes[i], SEQ);
        struct decoder_cache *cache = open_cache(&s, SEQ);
        const struct backend *ops = s.dev->ops;
        struct backend full = *ops;
        full.alloc = NULL;
        s.dev->ops = &full;
        read_tokens(cache, s.tokens, PROMPT, NULL);
        read_tokens(cache, s.tokens + PROMPT, 1, logits);
        s.dev->ops = ops;
        decoder_cache_destroy(cache);
        subject_close(&s);
    }
}

static void what_does_not_fit_is_refused(void **state) {
    (void)state;
    struct subject s;
    moe_err err = {0};
    struct decoder_cache *cache = NULL;
    subject_open(&s, "cpu", 1, &shapes[0], SEQ);
    assert_int_equal(decoder_cache_create(s.decoder, SEQ + 1, &cache, &err), MOE_EARG);
    assert_null(cache);
    cache = open_cache(&s, 4);
    assert_int_equal(decoder_cache_read(cache, s.tokens, 5, NULL, NULL), MOE_EARG);
    assert_int_equal(decoder_cache_read(cache, s.tokens, 0, NULL, NULL), MOE_EARG);
    read_tokens(cache, s.tokens, 4, NULL);
    assert_int_equal(decoder_cache_read(cache, s.tokens, 1, NULL, NULL), MOE_EARG);
    decoder_cache_clear(cache);
    s.tokens[1] = VOCAB;
    assert_int_equal(decoder_cache_read(cache, s.tokens, 2, NULL, NULL), MOE_EARG);
    decoder_cache_destroy(cache);
    subject_close(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_agree_on_the_cpu),
        cmocka_unit_test(steps_agree_on_the_reference),
        cmocka_unit_test(the_cut_of_the_prompt_does_not_matter),
        cmocka_unit_test(threads_and_earlier_sequences_leave_no_trace),
        cmocka_unit_test(the_selection_bias_counts),
        cmocka_unit_test(reading_allocates_nothing),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
