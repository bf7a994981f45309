/* test: rooms=train label=fast */
/* Source C's block: two groups of experts with a router each, the generalist in both forms, norms of queries
 * and keys. Properties that hold whatever the weights are; values and gradients stand in tests/golden. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/rng.h"
#include "model/decoder.h"
#include "train/device_fit.h"

enum { VOCAB = 53, HIDDEN = 16, FFN = 64, LAYERS = 2, SEQ = 12, BATCH = 6, ROWS = SEQ * BATCH };

static struct model_config block_of_source_c(void) {
    return (struct model_config){.vocab_size = VOCAB,
                                 .hidden_size = HIDDEN,
                                 .intermediate_size = FFN,
                                 .num_hidden_layers = LAYERS,
                                 .num_attention_heads = 2,
                                 .num_key_value_heads = 2,
                                 .head_dim = HIDDEN / 2,
                                 .max_position_embeddings = SEQ,
                                 .norm = CONFIG_NORM_RMSNORM,
                                 .norm_placement = NORM_SUBLAYER_OUTPUT,
                                 .norm_eps = 1e-9, /* outputs are normed: their scale must not matter */
                                 .positions = POSITIONS_ROPE,
                                 .rope_theta = 5e5,
                                 .ffn = FFN_SWIGLU,
                                 .qk_norm = true,
                                 .init = INIT_NORMAL,
                                 .init_std = 0.3};
}

static struct moe_config every_layer(int32_t experts, int32_t top_k, int32_t width) {
    return (struct moe_config){.layers = {0, 1},
                               .num_layers = LAYERS,
                               .num_experts = experts,
                               .num_active_experts = top_k,
                               .intermediate_size = width,
                               .routed_scaling_factor = 1,
                               .temperature_start = 1,
                               .expert_lr_scale = 1};
}

static void add_group(struct moe_config *moe, int32_t experts, int32_t top_k, int32_t width) {
    moe->num_experts_2 = experts;
    moe->num_active_experts_2 = top_k;
    moe->intermediate_size_2 = width;
}

/* A model and a batch for it. */
struct subject {
    struct device *dev;
    struct decoder *decoder;
    int32_t tokens[ROWS], targets[ROWS];
};

static void build_on(struct subject *s, const char *device, int threads, const struct model_config *model,
                     const struct moe_config *moe) {
    moe_err err = {0};
    const struct rng_key key = {.seed = 5, .stream = RNG_TEST};
    const struct device_options options = device_fit(model, moe, threads, BATCH, SEQ);
    const struct decoder_limits limits = {.max_batch = BATCH, .max_seq = SEQ, .training = true};
    if (device_open(device, &options, &s->dev, &err) != MOE_OK ||
        decoder_create(model, moe, &limits, s->dev, &s->decoder, &err) != MOE_OK)
        fail_msg("%s", err.message);
    assert_int_equal(params_initialize(decoder_params(s->decoder), 3, &err), MOE_OK);
    for (int i = 0; i < ROWS; i++) {
        s->tokens[i] = (int32_t)rng_below(key, (uint64_t)i, VOCAB);
        s->targets[i] = (int32_t)rng_below(key, (uint64_t)(ROWS + i), VOCAB);
    }
}

static void build_cpu(struct subject *s, const struct model_config *model, const struct moe_config *moe) {
    build_on(s, "cpu", 2, model, moe);
}

static void destroy(struct subject *s) {
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

static struct decoder_loss train_once(struct subject *s) {
    struct decoder_loss loss;
    moe_err err = {0};
    const struct decoder_batch batch = whole_batch(s);
    if (decoder_train_batch(s->decoder, &batch, &loss, &err) != MOE_OK) fail_msg("%s", err.message);
    return loss;
}

static struct decoder_loss evaluate_once(struct subject *s) {
    struct decoder_loss loss;
    moe_err err = {0};
    const struct decoder_batch batch = whole_batch(s);
    if (decoder_eval_batch(s->decoder, &batch, &loss, NULL, NULL, &err) != MOE_OK)
        fail_msg("%s", err.message);
    return loss;
}

/* A parameter of block `block` ("moe.experts.fc1.weight"), which a CPU device lets the host read. */
static float *array_of(struct subject *s, int block, const char *name, bool gradient) {
    struct params *p = decoder_params(s->decoder);
    char full[PARAM_NAME_MAX];
    snprintf(full, sizeof full, "blocks.%d.%s", block, name);
    const int32_t index = params_find(p, full);
    if (index < 0) fail_msg("no parameter %s", full);
    return (gradient ? p->grads : p->values) + p->items[index].offset;
}

static int64_t count_of(struct subject *s, int block, const char *name) {
    const float *values = array_of(s, block, name, false);
    const struct params *p = decoder_params(s->decoder);
    for (int32_t i = 0; i < p->count; i++)
        if (p->values + p->items[i].offset == values) return p->items[i].count;
    return 0;
}

/* The parameters that both models have under one name. */
static void copy_common(struct subject *to, struct subject *from) {
    struct params *a = decoder_params(to->decoder), *b = decoder_params(from->decoder);
    for (int32_t i = 0; i < a->count; i++) {
        const int32_t index = params_find(b, a->items[i].name);
        if (index < 0) continue;
        assert_int_equal(a->items[i].count, b->items[index].count);
        params_set(a, i, b->values + b->items[index].offset);
    }
}

static void copy(struct subject *to, const char *name, struct subject *from, const char *from_name) {
    for (int l = 0; l < LAYERS; l++) {
        assert_int_equal(count_of(to, l, name), count_of(from, l, from_name));
        memcpy(array_of(to, l, name, false), array_of(from, l, from_name, false),
               (size_t)count_of(to, l, name) * sizeof(float));
    }
}

static void set_zero(struct subject *s, const char *name) {
    for (int l = 0; l < LAYERS; l++)
        memset(array_of(s, l, name, false), 0, (size_t)count_of(s, l, name) * sizeof(float));
}

static void assert_close(double got, double want, double relative, const char *what) {
    if (!(fabs(got - want) <= relative * (fabs(want) + 1e-6)))
        fail_msg("%s: %.9g, expected %.9g", what, got, want);
}

static const char *const group_tensors[] = {"router.weight", "experts.fc1.weight", "experts.fc2.weight"};
enum { GROUP_TENSORS = 3 };

/* (k y + k y) / 2k = y: equal groups are one group, and each gets half of its gradient. */
static void equal_groups_are_one(void **state) {
    const struct model_config model = block_of_source_c();
    struct moe_config one_config = every_layer(4, 2, 24), two_config = one_config;
    struct subject one, two;
    (void)state;
    one_config.lb_coeff = two_config.lb_coeff = 0.1;
    one_config.z_coeff = two_config.z_coeff = 0.01;
    add_group(&two_config, 4, 2, 24);
    build_cpu(&one, &model, &one_config);
    build_cpu(&two, &model, &two_config);
    copy_common(&two, &one);
    for (int t = 0; t < GROUP_TENSORS; t++) {
        char first[64], second[64];
        snprintf(first, sizeof first, "moe.%s", group_tensors[t]);
        snprintf(second, sizeof second, "moe2.%s", group_tensors[t]);
        copy(&two, second, &one, first);
    }
    const struct decoder_loss want = train_once(&one), got = train_once(&two);
    assert_close(got.ce, want.ce, 1e-6, "cross-entropy");
    assert_close(got.aux, 2 * want.aux, 1e-6, "balance loss");
    assert_close(got.router_z, 2 * want.router_z, 1e-6, "router z-loss");
    const struct routing *a = decoder_routing(one.decoder), *b = decoder_routing(two.decoder);
    assert_int_equal(a->layers, LAYERS);
    assert_int_equal(b->layers, 2 * LAYERS);
    assert_memory_equal(b->host.load, a->host.load, LAYERS * 4 * sizeof(int32_t));
    assert_memory_equal(b->host.load + LAYERS * 4, a->host.load, LAYERS * 4 * sizeof(int32_t));
    for (int64_t i = 0; i < count_of(&one, 1, "moe.experts.fc2.weight"); i++) {
        const double whole = (double)array_of(&one, 1, "moe.experts.fc2.weight", true)[i];
        assert_true(fabs((double)array_of(&two, 1, "moe.experts.fc2.weight", true)[i] - whole / 2) < 1e-6);
        assert_true(fabs((double)array_of(&two, 1, "moe2.experts.fc2.weight", true)[i] - whole / 2) < 1e-6);
    }
    destroy(&one);
    destroy(&two);
}

/* Rows of the layer axis: first groups, then second groups; cells that a router lacks stay empty. */
static void rows_are_routers(void **state) {
    static const int32_t numbers[] = {0, 1, 1000, 1001};
    const struct model_config model = block_of_source_c();
    struct moe_config config = every_layer(3, 1, 32);
    struct subject s;
    (void)state;
    add_group(&config, 8, 4, 8);
    build_cpu(&s, &model, &config);
    train_once(&s);
    const struct routing *r = decoder_routing(s.decoder);
    assert_int_equal(r->layers, 4);
    assert_int_equal(r->experts, 8);
    assert_memory_equal(decoder_router_numbers(s.decoder), numbers, sizeof numbers);
    for (int l = 0; l < 4; l++) {
        const int32_t experts = l < 2 ? 3 : 8, top_k = l < 2 ? 1 : 4;
        int64_t load = 0;
        double mass = 0;
        assert_int_equal(routing_experts(r, l), experts);
        for (int e = 0; e < 8; e++) {
            load += r->host.load[l * 8 + e];
            mass += (double)r->host.prob_mass[l * 8 + e];
            if (e >= experts) assert_int_equal(r->host.load[l * 8 + e], 0);
        }
        assert_int_equal(load, ROWS * top_k);
        assert_close(mass, ROWS, 1e-5, "probability mass");
    }
    destroy(&s);
}

static void the_names_of_experts_do_not_matter(void **state) {
    enum { EXPERTS = 5 };
    static const int order[EXPERTS] = {3, 0, 4, 1, 2};
    const struct model_config model = block_of_source_c();
    struct moe_config config = every_layer(2, 1, 32);
    struct subject a, b;
    (void)state;
    config.lb_coeff = 0.1;
    add_group(&config, EXPERTS, 2, 16);
    build_cpu(&a, &model, &config);
    build_cpu(&b, &model, &config);
    for (int t = 0; t < GROUP_TENSORS; t++) {
        char name[64];
        snprintf(name, sizeof name, "moe2.%s", group_tensors[t]);
        const size_t each = (size_t)count_of(&a, 1, name) / EXPERTS;
        for (int e = 0; e < EXPERTS; e++)
            memcpy(array_of(&b, 1, name, false) + (size_t)order[e] * each,
                   array_of(&a, 1, name, false) + (size_t)e * each, each * sizeof(float));
    }
    const struct decoder_loss want = train_once(&a), got = train_once(&b);
    assert_close(got.ce, want.ce, 1e-6, "cross-entropy");
    assert_close(got.aux, want.aux, 1e-6, "balance loss");
    destroy(&a);
    destroy(&b);
}

/* Experts of K = E that are slices of a dense layer, under a router that prefers none, give the dense output
 * over E: the norm behind it takes the scale away. The balance loss is alpha, for all loads and probabilities
 * agree. */
static void slices_under_an_indifferent_router_are_the_dense_layer(void **state) {
    enum { EXPERTS = 8, WIDTH = FFN / EXPERTS };
    const struct model_config model = block_of_source_c();
    const struct moe_config dense_config = {.num_layers = 0};
    struct moe_config config = every_layer(EXPERTS, EXPERTS, WIDTH);
    struct subject dense, sliced;
    (void)state;
    config.lb_coeff = 0.01;
    build_cpu(&dense, &model, &dense_config);
    build_cpu(&sliced, &model, &config);
    copy_common(&sliced, &dense);
    set_zero(&sliced, "moe.router.weight");
    for (int l = 0; l < LAYERS; l++) {
        const float *fc1 = array_of(&dense, l, "ffn.fc1.weight", false); /* gate's rows, then up's */
        const float *fc2 = array_of(&dense, l, "ffn.fc2.weight", false);
        for (int e = 0; e < EXPERTS; e++) {
            float *to1 = array_of(&sliced, l, "moe.experts.fc1.weight", false) + e * 2 * WIDTH * HIDDEN;
            float *to2 = array_of(&sliced, l, "moe.experts.fc2.weight", false) + e * WIDTH * HIDDEN;
            for (int half = 0; half < 2; half++)
                memcpy(to1 + half * WIDTH * HIDDEN, fc1 + (half * FFN + e * WIDTH) * HIDDEN,
                       WIDTH * HIDDEN * sizeof(float));
            for (int row = 0; row < HIDDEN; row++)
                memcpy(to2 + row * WIDTH, fc2 + row * FFN + e * WIDTH, WIDTH * sizeof(float));
        }
    }
    const struct decoder_loss want = train_once(&dense), got = train_once(&sliced);
    assert_close(got.ce, want.ce, 1e-5, "cross-entropy");
    assert_close(got.aux, 0.01 * LAYERS, 1e-6, "balance loss");
    destroy(&dense);
    destroy(&sliced);
}

/* Routed experts that give nothing leave the generalist: in the mean of the groups scaled, which the norm
 * takes away; beside them just as it is. */
static void a_generalist_alone_is_a_dense_layer(void **state) {
    struct model_config model = block_of_source_c();
    const struct moe_config dense_config = {.num_layers = 0};
    struct moe_config config = every_layer(4, 2, 8);
    (void)state;
    config.generalist_size = model.intermediate_size;
    add_group(&config, 3, 1, 16);
    for (int published = 0; published < 2; published++) {
        for (int pre = 0; pre <= published; pre++) {
            struct subject dense, moe;
            model.norm_placement = pre ? NORM_PRE : NORM_SUBLAYER_OUTPUT;
            config.published_generalist_input = published != 0;
            build_cpu(&dense, &model, &dense_config);
            build_cpu(&moe, &model, &config);
            copy_common(&moe, &dense);
            copy(&moe, "moe.generalist.fc1.weight", &dense, "ffn.fc1.weight");
            copy(&moe, "moe.generalist.fc2.weight", &dense, "ffn.fc2.weight");
            set_zero(&moe, "moe.experts.fc2.weight");
            set_zero(&moe, "moe2.experts.fc2.weight");
            const struct decoder_loss want = train_once(&dense), got = train_once(&moe);
            assert_close(got.ce, want.ce, published ? 1e-7 : 1e-5, "cross-entropy");
            destroy(&dense);
            destroy(&moe);
        }
    }
}

/* An expert that no token chooses gets no gradient and does no harm. */
static void an_empty_expert_of_the_second_group(void **state) {
    const struct model_config model = block_of_source_c();
    struct moe_config config = every_layer(4, 2, 8);
    struct subject s;
    (void)state;
    add_group(&config, 3, 1, 16);
    build_cpu(&s, &model, &config);
    struct routing *r = decoder_routing(s.decoder);
    r->host.bias[2 * r->experts + 1] = -10; /* layer 0's second router */
    r->with_select = true;
    routing_select(r, s.dev, 0.0f, 1, 1);
    const struct decoder_loss loss = train_once(&s);
    assert_true(isfinite(loss.ce));
    assert_int_equal(r->host.load[2 * r->experts + 1], 0);
    assert_true(r->host.load[2 * r->experts] > 0);
    const float *gradient = array_of(&s, 0, "moe2.experts.fc1.weight", true);
    const int64_t each = count_of(&s, 0, "moe2.experts.fc1.weight") / 3;
    double other = 0;
    for (int64_t i = 0; i < each; i++) {
        assert_true(gradient[each + i] == 0.0f);
        other += fabs((double)gradient[i]);
    }
    assert_true(other > 0);
    destroy(&s);
}

/* Mean cross-entropy with a parameter moved by `distance` along its gradient. */
static double moved_loss(struct subject *s, const struct param *p, const float *kept, double distance) {
    const struct params *all = decoder_params(s->decoder);
    float *x = all->values + p->offset;
    const float *g = all->grads + p->offset;
    for (int64_t k = 0; k < p->count; k++)
        x[k] = (float)((double)kept[k] + distance * (double)g[k]);
    const double loss = evaluate_once(s).ce / ROWS;
    memcpy(x, kept, (size_t)p->count * sizeof *kept);
    return loss;
}

/* The derivative along the gradient is its square, for every parameter by itself. All experts are active, so
 * that no step over the edge of a choice comes in between; a step changes the loss by about 2e-3. */
static double largest_error(struct subject *s) {
    const struct params *all = decoder_params(s->decoder);
    double worst = 0;
    for (int32_t i = 0; i < all->count; i++) {
        const struct param *p = &all->items[i];
        float *kept = malloc((size_t)p->count * sizeof *kept);
        double squares = 0, loss[4];
        memcpy(kept, all->values + p->offset, (size_t)p->count * sizeof *kept);
        for (int64_t k = 0; k < p->count; k++)
            squares += (double)all->grads[p->offset + k] * (double)all->grads[p->offset + k];
        const double h = 2e-3 / squares;
        for (int k = 0; k < 4; k++)
            loss[k] = moved_loss(s, p, kept, h * (k < 2 ? k - 2 : k - 1));
        free(kept);
        const double slope = (loss[0] - 8 * loss[1] + 8 * loss[2] - loss[3]) / (12 * h);
        const double error = fabs(slope - squares) / squares;
        if (!(error <= 1e-3)) fail_msg("%s: slope %.6g, gradient %.6g", p->name, slope, squares);
        worst = fmax(worst, error);
    }
    return worst;
}

static void gradients_agree_with_differences(void **state) {
    struct model_config model = block_of_source_c();
    struct moe_config config = every_layer(3, 3, 8);
    (void)state;
    add_group(&config, 2, 2, 16);
    config.generalist_size = 12;
    for (int form = 0; form < 3; form++) {
        struct subject s;
        config.published_generalist_input = form > 0;
        model.norm_placement = form == 2 ? NORM_PRE : NORM_SUBLAYER_OUTPUT;
        build_on(&s, "reference", 1, &model, &config);
        train_once(&s);
        print_message("             form %d: largest error %.1e\n", form, largest_error(&s));
        destroy(&s);
    }
}

static void threads_do_not_change_a_bit(void **state) {
    const struct model_config model = block_of_source_c();
    struct moe_config config = every_layer(6, 3, 8);
    (void)state;
    add_group(&config, 2, 1, 24);
    config.generalist_size = 20;
    config.lb_coeff = 0.01;
    config.capacity_factor = 0.9;
    for (int published = 0; published < 2; published++) {
        struct subject one, two;
        config.published_generalist_input = published != 0;
        build_on(&one, "cpu", 1, &model, &config);
        build_on(&two, "cpu", 2, &model, &config);
        const struct decoder_loss a = train_once(&one), b = train_once(&two);
        const struct params *p = decoder_params(one.decoder), *q = decoder_params(two.decoder);
        assert_true(a.ce == b.ce && a.aux == b.aux);
        assert_memory_equal(p->grads, q->grads, (size_t)p->total * sizeof(float));
        destroy(&one);
        destroy(&two);
    }
}

static void means_over_layers_divide_both_losses(void **state) {
    const struct model_config model = block_of_source_c();
    struct moe_config config = every_layer(4, 2, 8);
    (void)state;
    config.lb_coeff = 0.1;
    config.z_coeff = 0.1;
    add_group(&config, 2, 1, 8);
    struct subject sum, mean;
    build_cpu(&sum, &model, &config);
    config.aux_mean_over_layers = true;
    build_cpu(&mean, &model, &config);
    const struct decoder_loss whole = train_once(&sum), part = train_once(&mean);
    assert_true(whole.aux > 0 && whole.router_z > 0);
    assert_close(part.aux, whole.aux / LAYERS, 1e-6, "balance loss");
    assert_close(part.router_z, whole.router_z / LAYERS, 1e-6, "router z-loss");
    destroy(&sum);
    destroy(&mean);
}

static int64_t dropped(struct subject *s) {
    const struct routing *r = decoder_routing(s->decoder);
    int64_t sum = 0;
    for (int32_t c = 0; c < r->layers * r->experts; c++)
        sum += r->host.dropped[c];
    return sum;
}

static void evaluation_drops_if_asked(void **state) {
    const struct model_config model = block_of_source_c();
    struct moe_config config = every_layer(4, 1, 8);
    (void)state;
    config.capacity_factor = 0.5;
    add_group(&config, 3, 2, 8);
    for (int drop = 0; drop < 2; drop++) {
        struct subject s;
        config.drop_in_evaluation = drop != 0;
        build_cpu(&s, &model, &config);
        evaluate_once(&s);
        assert_true((dropped(&s) > 0) == config.drop_in_evaluation);
        if (drop) {
            const int64_t here = dropped(&s);
            train_once(&s);
            assert_int_equal(dropped(&s), here);
        }
        destroy(&s);
    }
}

/* The bias moves by row; source C's code moves the first group's only. */
static void the_second_bias_moves_unless_published(void **state) {
    const struct model_config model = block_of_source_c();
    struct moe_config config = every_layer(4, 1, 8);
    (void)state;
    add_group(&config, 3, 1, 8);
    for (int published = 0; published < 2; published++) {
        struct subject s;
        config.published_bias_first_group_only = published != 0;
        build_cpu(&s, &model, &config);
        train_once(&s);
        struct routing *r = decoder_routing(s.decoder);
        int64_t load[4 * 4];
        for (int c = 0; c < 4 * 4; c++)
            load[c] = r->host.load[c];
        routing_update_bias(r, load, 0.5f, BIAS_SIGN);
        for (int l = 0; l < 4; l++) {
            for (int e = 0; e < routing_experts(r, l); e++) {
                const double excess = (double)load[l * 4 + e] - (double)ROWS / routing_experts(r, l);
                const float want = (l >= 2 && published) || excess == 0 ? 0 : excess > 0 ? -0.5f : 0.5f;
                assert_true(r->host.bias[l * 4 + e] == want);
            }
        }
        assert_true(r->host.bias[2 * 4 + 3] == 0); /* an expert that the router lacks */
        destroy(&s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_groups_are_one),
        cmocka_unit_test(rows_are_routers),
        cmocka_unit_test(the_names_of_experts_do_not_matter),
        cmocka_unit_test(slices_under_an_indifferent_router_are_the_dense_layer),
        cmocka_unit_test(a_generalist_alone_is_a_dense_layer),
        cmocka_unit_test(an_empty_expert_of_the_second_group),
        cmocka_unit_test(gradients_agree_with_differences),
        cmocka_unit_test(threads_do_not_change_a_bit),
        cmocka_unit_test(means_over_layers_divide_both_losses),
        cmocka_unit_test(evaluation_drops_if_asked),
        cmocka_unit_test(the_second_bias_moves_unless_published),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
