#include "train/bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "device/cpu/calibrate.h"
#include "model/decoder.h"
#include "record/routing_stats.h"
#include "train/optimizer.h"

enum {
    BATCH = 16,
    SEQ = 256,
    ROWS = BATCH * SEQ,
    VOCAB = 10000,
    HIDDEN = 256,
    FFN = 1024,
    LAYERS = 6,
    HEADS = 8
};

/* A model of the comparison. layers 0: dense. */
struct variant {
    const char *name, *what;
    int32_t moe_layers, experts, top_k, intermediate;
};

static const struct variant variants[] = {
    {"dense", "dense, 6 layers", 0, 0, 0, 0},
    {"top1", "8 experts, top-1, in 2 of 6 layers (source A's baseline)", 2, 8, 1, FFN},
    {"top2", "8 experts, top-2, in 2 of 6 layers (source A's top2)", 2, 8, 2, FFN},
    {"top1-all", "8 experts, top-1, in all layers", LAYERS, 8, 1, FFN},
    {"fine-64-8", "64 experts of 1/8 width, 8 active, in all layers", LAYERS, 64, 8, FFN / 8},
};
#define VARIANT_COUNT ((int)(sizeof variants / sizeof variants[0]))
_Static_assert(sizeof variants / sizeof variants[0] <= BENCH_MAX_MODELS, "room for every variant");

/* One variant's model, ready to step. */
struct subject {
    struct experiment e;
    struct device *dev;
    struct decoder *decoder;
    struct optimizer optimizer;
    float *expert_norms;
    int64_t step;
};

static struct experiment experiment_of(const struct variant *v) {
    struct experiment e = {
        .model = {.vocab_size = VOCAB,
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
                  .dropout = 0.1,
                  .init = INIT_PYTORCH},
        .moe = {.num_layers = v->moe_layers,
                .num_experts = v->experts,
                .num_active_experts = v->top_k,
                .intermediate_size = v->intermediate,
                .renormalize = v->top_k > 1,
                .routed_scaling_factor = 1,
                .lb_coeff = 0.01,
                .temperature_start = 1,
                .expert_lr_scale = 1},
        .train = {.seed = 1, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.01, .clip = 1},
    };
    for (int32_t l = 0; l < v->moe_layers; l++)
        e.moe.layers[l] = v->moe_layers == LAYERS ? l : 2 * l + 2;
    return e;
}

static void subject_close(struct subject *s) {
    optimizer_free(&s->optimizer);
    decoder_destroy(s->decoder);
    device_close(s->dev);
    free(s->expert_norms);
    memset(s, 0, sizeof *s);
}

static moe_status subject_open(struct subject *s, const struct variant *v, int threads, moe_err *err) {
    moe_status status = MOE_OK;
    memset(s, 0, sizeof *s);
    s->e = experiment_of(v);
    const struct device_options options = {.threads = threads,
                                           .max_rows = (int64_t)ROWS * (v->top_k > 1 ? v->top_k : 1),
                                           .max_vocab = VOCAB,
                                           .max_seq = SEQ,
                                           .max_width = 2 * FFN};
    const struct decoder_limits limits = {.max_batch = BATCH, .max_seq = SEQ, .training = true};
    moe_try(device_open("cpu", &options, &s->dev, err));
    moe_try(decoder_create(&s->e.model, &s->e.moe, &limits, s->dev, &s->decoder, err));
    moe_try(params_initialize(decoder_params(s->decoder), 1, err));
    moe_try(optimizer_create(&s->optimizer, &s->e, decoder_params(s->decoder), s->e.moe.num_layers,
                             s->e.moe.num_experts, err));
    s->expert_norms = calloc((size_t)v->moe_layers * (size_t)v->experts + 1, sizeof *s->expert_norms);
    moe_check(s->expert_norms != NULL, err, MOE_ENOMEM, "no memory for expert norms");
out:
    if (status != MOE_OK) subject_close(s);
    return status;
}

struct step_times {
    double forward, backward, optimizer, total;
};

static moe_status subject_step(struct subject *s, const int32_t *tokens, const int32_t *targets,
                               struct step_times *times, moe_err *err) {
    moe_status status = MOE_OK;
    struct decoder_loss loss;
    struct gradient_norms norms = {.expert = s->expert_norms};
    const struct decoder_batch batch = {.tokens = tokens,
                                        .targets = targets,
                                        .batch = BATCH,
                                        .seq = SEQ,
                                        .seed = 1,
                                        .step = (uint32_t)s->step,
                                        .step_rows = ROWS};
    const double start = clock_seconds();
    s->step++;
    decoder_routing(s->decoder)->with_hist = s->e.moe.num_layers > 0;
    moe_try(decoder_train_batch(s->decoder, &batch, &loss, err));
    const double middle = clock_seconds();
    optimizer_give(&s->optimizer, s->step, 3e-4);
    moe_try(optimizer_finish(&s->optimizer, s->step, &norms, err));
    const double end = clock_seconds();
    *times = (struct step_times){loss.forward_seconds, loss.backward_seconds, end - middle, end - start};
out:
    return status;
}

static int compare_doubles(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count) {
    qsort(values, (size_t)count, sizeof *values, compare_doubles);
    return count % 2 == 1 ? values[count / 2] : 0.5 * (values[count / 2 - 1] + values[count / 2]);
}

/* Products of one dense step: forward, input gradient and weight gradient of each linear layer. */
struct layer_shape {
    const char *what;
    int32_t in, out, times;
};

static const struct layer_shape layer_shapes[] = {
    {"attention qkv", HIDDEN, 3 * HIDDEN, LAYERS},
    {"attention out", HIDDEN, HIDDEN, LAYERS},
    {"ffn fc1", HIDDEN, FFN, LAYERS},
    {"ffn fc2", FFN, HIDDEN, LAYERS},
    {"head", HIDDEN, VOCAB, 1},
};
#define LAYER_COUNT ((int)(sizeof layer_shapes / sizeof layer_shapes[0]))

/* The three products of a linear layer over ROWS rows. */
static void products_of(const struct layer_shape *l, struct calibrate_gemm out[3]) {
    out[0] = (struct calibrate_gemm){ROWS, l->out, l->in, 0, 1};
    out[1] = (struct calibrate_gemm){ROWS, l->in, l->out, 0, 0};
    out[2] = (struct calibrate_gemm){l->out, l->in, ROWS, 1, 0};
}

static double flops_of(const struct calibrate_gemm *g) {
    return 2.0 * (double)g->m * (double)g->n * (double)g->k;
}

/* Time-weighted GFLOP/s of all products of a dense step; items may be NULL. */
static double measure_products(int threads, int repeats, double fma, struct bench_gemms *items) {
    static const char *const names[LAYER_COUNT][3] = {
        {"attention qkv forward", "attention qkv d-input", "attention qkv d-weight"},
        {"attention out forward", "attention out d-input", "attention out d-weight"},
        {"ffn fc1 forward", "ffn fc1 d-input", "ffn fc1 d-weight"},
        {"ffn fc2 forward", "ffn fc2 d-input", "ffn fc2 d-weight"},
        {"head forward", "head d-input", "head d-weight"},
    };
    double flops = 0, seconds = 0;
    for (int l = 0; l < LAYER_COUNT; l++) {
        struct calibrate_gemm products[3];
        products_of(&layer_shapes[l], products);
        for (int p = 0; p < 3; p++) {
            const double t = calibrate_sgemm(&products[p], threads, repeats);
            flops += layer_shapes[l].times * flops_of(&products[p]);
            seconds += layer_shapes[l].times * t;
            if (items == NULL) continue;
            const double gflops = flops_of(&products[p]) / t * 1e-9;
            items->items[items->count++] = (struct bench_gemm){names[l][p],   products[p].m, products[p].n,
                                                               products[p].k, gflops,        gflops / fma};
        }
    }
    return flops / seconds * 1e-9;
}

moe_status bench_gemms_run(const struct bench_options *options, struct bench_gemms *out_gemms, moe_err *err) {
    moe_status status = MOE_OK;
    struct device *dev = NULL;
    const struct device_options small = {.max_rows = 16, .max_vocab = 16, .max_seq = 16, .max_width = 16};
    memset(out_gemms, 0, sizeof *out_gemms);
    out_gemms->threads = options->threads > 0 ? options->threads : parallel_default_threads();
    moe_try(device_open("cpu", &small, &dev, err)); /* puts the BLAS on one thread a call */
    const double before = calibrate_fma(out_gemms->threads, 0.2);
    out_gemms->total_gflops = measure_products(out_gemms->threads, options->rounds, before, out_gemms);
    out_gemms->fma_gflops = before;
out:
    device_close(dev);
    return status;
}

/* Seconds of what a top-1 step does for statistics alone: histograms, reading them, measures of balance. The
 * expert norms cost nothing of their own: the sums of squares that clipping needs are merely cut at the
 * experts' borders. */
static double statistics_seconds(struct subject *s) {
    static const int32_t every_row_expert_0[ROWS];
    struct routing *r = decoder_routing(s->decoder);
    const double start = clock_seconds();
    for (int32_t l = 0; l < r->layers; l++) {
        s->dev->ops->sequence_histogram(s->dev, r->hist, every_row_expert_0, ROWS, SEQ, 1, r->experts,
                                        ROUTING_HIST_BINS);
    }
    routing_download(r, s->dev);
    for (int32_t l = 0; l < r->layers; l++) {
        const struct routing_stats stats = routing_stats_of_load(r->host.load + l * r->experts, r->experts);
        if (!isfinite(stats.entropy)) return NAN;
    }
    return clock_seconds() - start;
}

struct rounds {
    double tokens_per_second[BENCH_MAX_MODELS][BENCH_MAX_ROUNDS];
    struct step_times times[BENCH_MAX_MODELS][BENCH_MAX_ROUNDS];
    double fma[BENCH_MAX_ROUNDS], sgemm[BENCH_MAX_ROUNDS], statistics[BENCH_MAX_ROUNDS];
};

static void summarise_model(const struct subject *s, const struct variant *v, const struct rounds *r,
                            int number, int rounds, double dense_flops, struct bench_model *out) {
    double values[BENCH_MAX_ROUNDS];
    const struct decoder_counts *counts = decoder_counts_of(s->decoder);
    *out = (struct bench_model){.name = v->name,
                                .what = v->what,
                                .parameters = counts->total,
                                .active = counts->active,
                                .flops_per_token = counts->flops_per_token,
                                .flops_ratio = dense_flops / counts->flops_per_token};
    memcpy(values, r->tokens_per_second[number], sizeof values);
    out->tokens_per_second = median(values, rounds);
    out->gflops = out->tokens_per_second * counts->flops_per_token * 1e-9;
    for (int i = 0; i < rounds; i++)
        values[i] = r->tokens_per_second[number][i] / r->tokens_per_second[0][i];
    out->of_dense = median(values, rounds);
    for (int i = 0; i < rounds; i++)
        values[i] = r->times[number][i].forward;
    out->forward = median(values, rounds);
    for (int i = 0; i < rounds; i++)
        values[i] = r->times[number][i].backward;
    out->backward = median(values, rounds);
    for (int i = 0; i < rounds; i++)
        values[i] = r->times[number][i].optimizer;
    out->optimizer = median(values, rounds);
}

static moe_status run_round(struct subject *subjects, const int32_t *tokens, const int32_t *targets,
                            int threads, int round, struct rounds *r, moe_err *err) {
    moe_status status = MOE_OK;
    r->fma[round] = calibrate_fma(threads, 0.1);
    r->sgemm[round] = measure_products(threads, 1, 1.0, NULL);
    for (int v = 0; v < VARIANT_COUNT; v++) {
        struct step_times *t = &r->times[v][round];
        moe_try(subject_step(&subjects[v], tokens, targets, t, err));
        r->tokens_per_second[v][round] = ROWS / t->total;
        if (v == 1) r->statistics[round] = statistics_seconds(&subjects[v]) / t->total;
    }
out:
    return status;
}

moe_status bench_steps_run(const struct bench_options *options, struct bench_steps *out_steps, moe_err *err) {
    moe_status status = MOE_OK;
    struct subject subjects[VARIANT_COUNT] = {{.step = 0}};
    struct rounds *r = calloc(1, sizeof *r);
    int32_t *tokens = calloc(2 * ROWS, sizeof *tokens);
    const struct rng_key key = {.seed = 1, .stream = RNG_TEST};
    const int threads = options->threads > 0 ? options->threads : parallel_default_threads();
    memset(out_steps, 0, sizeof *out_steps);
    moe_check(r != NULL && tokens != NULL, err, MOE_ENOMEM, "no memory for a batch");
    for (int i = 0; i < 2 * ROWS; i++)
        tokens[i] = (int32_t)rng_below(key, (uint64_t)i, VOCAB);
    for (int v = 0; v < VARIANT_COUNT; v++)
        moe_try(subject_open(&subjects[v], &variants[v], threads, err));
    moe_try(
        run_round(subjects, tokens, tokens + ROWS, threads, 0, r, err)); /* warm-up: pages, caches, clocks */
    for (int i = 0; i < options->rounds; i++)
        moe_try(run_round(subjects, tokens, tokens + ROWS, threads, i, r, err));
    out_steps->rounds = options->rounds;
    out_steps->threads = threads;
    out_steps->model_count = VARIANT_COUNT;
    const double dense_flops = decoder_counts_of(subjects[0].decoder)->flops_per_token;
    for (int v = 0; v < VARIANT_COUNT; v++) {
        summarise_model(&subjects[v], &variants[v], r, v, options->rounds, dense_flops,
                        &out_steps->models[v]);
    }
    double ratios[BENCH_MAX_ROUNDS];
    for (int i = 0; i < options->rounds; i++) {
        ratios[i] = r->tokens_per_second[0][i] * dense_flops * 1e-9 / r->sgemm[i];
    }
    out_steps->dense_of_sgemm = median(ratios, options->rounds);
    out_steps->fma_gflops = median(r->fma, options->rounds);
    out_steps->sgemm_gflops = median(r->sgemm, options->rounds);
    out_steps->statistics_share = median(r->statistics, options->rounds);
out:
    for (int v = 0; v < VARIANT_COUNT; v++)
        subject_close(&subjects[v]);
    free(r);
    free(tokens);
    return status;
}
