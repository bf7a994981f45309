#include "train/bench_gpu.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/normal.h"
#include "train/learner.h"
#include "train/optimizer.h"
#include "train/schedule.h"

enum {
    WARM_UP = 2,
    PRODUCTS = 8, /* of one measurement of the matrix rate */
    PATTERN =
        (1 << 16) +
        1 /* random numbers that large arrays repeat: their values hardly matter, making them takes long */
};

static const char *const default_experiments[] = {
    "moedl/01_moedl_dense",  "moedl/c1_moedl_e8_k1", "moedl/c2_moedl_e16_k2", "moedl/c3_moedl_e32_k4",
    "moedl/c4_moedl_e64_k8", "moe-vs-dense/dense",   "moe-vs-dense/baseline", "moe-vs-dense/top2",
};

static int compare_doubles(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const double *values, int count) {
    double sorted[BENCH_GPU_ROUNDS + BENCH_GPU_MODELS];
    memcpy(sorted, values, (size_t)count * sizeof *values);
    qsort(sorted, (size_t)count, sizeof *sorted, compare_doubles);
    return count % 2 == 1 ? sorted[count / 2] : 0.5 * (sorted[count / 2 - 1] + sorted[count / 2]);
}

/* Normal numbers times scale, repeating after PATTERN. */
static void fill(float *values, int64_t count, float scale) {
    const struct rng_key key = {.seed = 1, .stream = RNG_TEST};
    for (int64_t i = 0; i < count; i++)
        values[i] = i < PATTERN ? scale * (float)rng_normal(key, (uint64_t)i) : values[i - PATTERN];
}

/* ---- the yardstick
 * ------------------------------------------------------------------------------------------ */

/* TFLOP/s of square products on the device. */
static moe_status measure_matrix(const struct bench_gpu_options *options, double *out_tflops, moe_err *err) {
    moe_status status = MOE_OK;
    const int32_t n = options->matrix;
    const size_t count = (size_t)n * (size_t)n;
    const struct device_options room = {
        .threads = options->threads, .max_rows = n, .max_vocab = 1, .max_seq = 1, .max_width = n};
    struct device *dev = NULL;
    void *x = NULL, *w = NULL, *y = NULL, *wide = NULL;
    float *values = malloc(count * sizeof *values);
    moe_check(values != NULL, err, MOE_ENOMEM, "no memory for a matrix of %d x %d", n, n);
    fill(values, (int64_t)count, 1.0f);
    moe_try(device_open(options->device, &room, &dev, err));
    const struct backend *be = dev->ops;
    moe_try(be->alloc(dev, count * sizeof *values, &wide, err));
    moe_try(be->alloc(dev, count * be->act_size, &x, err));
    moe_try(be->alloc(dev, count * be->act_size, &w, err));
    moe_try(be->alloc(dev, count * be->act_size, &y, err));
    be->upload(dev, wide, values, count * sizeof *values);
    be->to_act(dev, x, wide, (int64_t)count);
    be->to_act(dev, w, wide, (int64_t)count);
    double start = 0;
    for (int i = -WARM_UP; i < PRODUCTS; i++) {
        if (i == 0) {
            moe_try(be->synchronize(dev, err));
            start = clock_seconds();
        }
        be->linear_forward(dev, y, x, w, NULL, n, n, n);
    }
    moe_try(be->synchronize(dev, err));
    *out_tflops = 2.0 * n * (double)count * PRODUCTS / (clock_seconds() - start) * 1e-12;
out:
    if (dev != NULL) {
        dev->ops->release(dev, wide);
        dev->ops->release(dev, x);
        dev->ops->release(dev, w);
        dev->ops->release(dev, y);
    }
    device_close(dev);
    free(values);
    return status;
}

/* ---- one model
 * ---------------------------------------------------------------------------------------------- */

struct subject {
    struct experiment *e;
    struct device *dev;
    struct learner learner;
    struct optimizer optimizer;
    struct corpus_batch batch; /* one micro-batch of random tokens */
    float *expert_norms;
    int64_t step;
};

static void subject_close(struct subject *s) {
    corpus_batch_free(&s->batch);
    optimizer_free(&s->optimizer);
    learner_close(&s->learner);
    device_close(s->dev);
    experiment_free(s->e);
    free(s->expert_norms);
}

static moe_status load(struct subject *s, const struct bench_gpu_options *options, const char *name,
                       moe_err *err) {
    moe_status status = MOE_OK;
    char suite[EXPERIMENT_NAME_MAX];
    const char *slash = strchr(name, '/');
    moe_check(slash != NULL && slash - name < EXPERIMENT_NAME_MAX, err, MOE_EUSAGE,
              "experiment %s: name it as SUITE/EXPERIMENT", name);
    snprintf(suite, sizeof suite, "%.*s", (int)(slash - name), name);
    const struct experiment_choice choice = {
        .suites_dir = options->suites_dir,
        .suite = suite,
        .experiment = slash + 1,
        .protocol = "corrected",
        .tier = options->tier,
        .seed = 1,
        .sets = options->sets,
        .set_count = options->set_count,
    };
    moe_try(experiment_load(&choice, &s->e, err));
    moe_check(!experiment_is_classifier(s->e), err, MOE_ENOTSUP, "experiment %s: bench gpu trains decoders",
              name);
out:
    return status;
}

static moe_status fill_parameters(struct params *params, moe_err *err) {
    moe_status status = MOE_OK;
    int64_t largest = 1;
    for (int32_t i = 0; i < params->count; i++)
        largest = params->items[i].count > largest ? params->items[i].count : largest;
    float *values = malloc((size_t)largest * sizeof *values);
    moe_check(values != NULL, err, MOE_ENOMEM, "no memory for a tensor of %lld elements", (long long)largest);
    for (int32_t i = 0; i < params->count; i++) {
        const struct param *p = &params->items[i];
        fill(values, p->count, p->init_scale);
        for (int64_t k = 0; p->init == PARAM_CONSTANT && k < p->count; k++)
            values[k] = p->init_scale;
        params_set(params, i, values);
    }
out:
    free(values);
    return status;
}

static moe_status subject_open(struct subject *s, const struct bench_gpu_options *options, const char *name,
                               moe_err *err) {
    moe_status status = MOE_OK;
    const struct rng_key key = {.seed = 1, .stream = RNG_TEST, .step = 1};
    memset(s, 0, sizeof *s);
    moe_try(load(s, options, name, err));
    const struct device_options room = learner_device(s->e, options->threads);
    moe_try(device_open(options->device, &room, &s->dev, err));
    moe_try(learner_open(&s->learner, s->e, s->dev, err));
    moe_try(fill_parameters(s->learner.params, err));
    const int32_t layers = learner_layers(&s->learner), experts = learner_experts(&s->learner);
    moe_try(optimizer_create(&s->optimizer, s->e, s->learner.params, layers, experts, err));
    const int64_t rows = (int64_t)s->e->train.micro_batch_size * s->e->data.sequence_length;
    s->batch.tokens = calloc((size_t)rows, sizeof *s->batch.tokens);
    s->batch.targets = calloc((size_t)rows, sizeof *s->batch.targets);
    s->expert_norms = calloc((size_t)layers * (size_t)experts + 1, sizeof *s->expert_norms);
    moe_check(s->batch.tokens != NULL && s->batch.targets != NULL && s->expert_norms != NULL, err, MOE_ENOMEM,
              "no memory for a batch of %lld tokens", (long long)rows);
    for (int64_t i = 0; i < rows; i++) {
        s->batch.tokens[i] = (int32_t)rng_below(key, (uint64_t)i, (uint64_t)s->e->model.vocab_size);
        s->batch.targets[i] = (int32_t)rng_below(key, (uint64_t)(rows + i), (uint64_t)s->e->model.vocab_size);
    }
out:
    return status;
}

struct step_times {
    double forward, backward, optimizer, total;
};

static void set_controls(struct subject *s) {
    const struct moe_config *moe = &s->e->moe;
    struct routing *r = s->learner.routing;
    r->temperature = (float)schedule_temperature(moe, 0);
    r->with_select = moe->num_layers > 0 && moe->lb_gamma > 0;
    r->with_hist = moe->num_layers > 0;
    if (r->with_select) routing_select(r, s->dev, 0.0f, 1, (uint32_t)s->step);
}

static moe_status subject_step(struct subject *s, struct step_times *times, moe_err *err) {
    moe_status status = MOE_OK;
    const struct train_config *t = &s->e->train;
    const int64_t seq = s->e->data.sequence_length, micros = t->batch_size / t->micro_batch_size;
    struct gradient_norms norms = {.expert = learner_layers(&s->learner) > 0 ? s->expert_norms : NULL};
    const double start = clock_seconds();
    *times = (struct step_times){0};
    s->step++;
    set_controls(s);
    for (int64_t micro = 0; micro < micros; micro++) {
        const struct learner_batch batch = {
            .data = &s->batch,
            .batch = t->micro_batch_size,
            .seq = seq,
            .step = (uint32_t)s->step,
            .micro = (uint32_t)micro,
            .step_rows = micros * t->micro_batch_size * seq,
        };
        moe_try(learner_give_batch(&s->learner, &batch, (int32_t)micro, err));
    }
    optimizer_give(&s->optimizer, s->step, schedule_lr(t, s->step, 1000));
    moe_try(s->dev->ops->synchronize(s->dev, err));
    for (int32_t micro = 0; micro < micros; micro++) {
        struct learner_loss loss;
        learner_read_batch(&s->learner, micro, &loss);
        times->forward += loss.forward_seconds;
        times->backward += loss.backward_seconds;
    }
    moe_try(optimizer_finish(&s->optimizer, s->step, &norms, err));
    times->optimizer = norms.seconds;
    times->total = clock_seconds() - start;
out:
    return status;
}

static moe_status describe(const struct subject *s, const char *name, struct bench_gpu_model *out,
                           moe_err *err) {
    moe_status status = MOE_OK;
    const struct train_config *t = &s->e->train;
    struct learner_counts counts;
    moe_try(learner_count(s->e, &counts, err));
    *out = (struct bench_gpu_model){
        .experts = s->e->moe.num_layers > 0 ? s->e->moe.num_experts : 0,
        .top_k = s->e->moe.num_layers > 0 ? s->e->moe.num_active_experts : 0,
        .parameters = counts.total,
        .active = counts.active,
        .tokens =
            (int64_t)(t->batch_size / t->micro_batch_size) * t->micro_batch_size * s->e->data.sequence_length,
        .flops_per_token = counts.flops_per_token,
    };
    snprintf(out->name, sizeof out->name, "%s", name);
out:
    return status;
}

static moe_status measure_model(const struct bench_gpu_options *options, const char *name,
                                struct bench_gpu_model *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct subject s;
    double rate[BENCH_GPU_ROUNDS], forward[BENCH_GPU_ROUNDS], backward[BENCH_GPU_ROUNDS],
        optimizer[BENCH_GPU_ROUNDS];
    moe_try(subject_open(&s, options, name, err));
    moe_try(describe(&s, name, out, err));
    int64_t waited = 0;
    for (int i = -WARM_UP; i < options->rounds; i++) {
        struct step_times times;
        if (i == 0) waited = s.dev->counts.waits;
        moe_try(subject_step(&s, &times, err));
        if (i < 0) continue;
        rate[i] = (double)out->tokens / times.total;
        forward[i] = times.forward;
        backward[i] = times.backward;
        optimizer[i] = times.optimizer;
    }
    out->tokens_per_second = median(rate, options->rounds);
    out->tflops = out->tokens_per_second * out->flops_per_token * 1e-12;
    out->forward = median(forward, options->rounds);
    out->backward = median(backward, options->rounds);
    out->optimizer = median(optimizer, options->rounds);
    out->waits = (double)(s.dev->counts.waits - waited) / options->rounds;
    out->passes = s.dev->counts.passes;
    out->plans = s.dev->counts.plans;
out:
    subject_close(&s);
    return status;
}

/* ---- all of them
 * -------------------------------------------------------------------------------------------- */

/* The dense model of the same suite, or NULL. */
static const struct bench_gpu_model *dense_of(const struct bench_gpu *b, const struct bench_gpu_model *m) {
    const size_t suite = (size_t)(strchr(m->name, '/') - m->name) + 1;
    for (int i = 0; i < b->count; i++) {
        if (b->models[i].experts == 0 && strncmp(b->models[i].name, m->name, suite) == 0)
            return &b->models[i];
    }
    return NULL;
}

static void compare(struct bench_gpu *b) {
    for (int i = 0; i < b->count; i++) {
        struct bench_gpu_model *m = &b->models[i];
        const struct bench_gpu_model *dense = dense_of(b, m);
        m->of_matrix = m->tflops / b->matrix_tflops;
        m->of_dense = dense != NULL ? m->tokens_per_second / dense->tokens_per_second : (double)NAN;
        m->flops_ratio = dense != NULL ? dense->flops_per_token / m->flops_per_token : (double)NAN;
    }
}

moe_status bench_gpu_run(const struct bench_gpu_options *options, struct bench_gpu *out_bench, moe_err *err) {
    moe_status status = MOE_OK;
    const bool named = options->experiment_count > 0;
    const int defaults = (int)(sizeof default_experiments / sizeof default_experiments[0]);
    const int count = named ? options->experiment_count : defaults;
    double matrix[BENCH_GPU_MODELS + 1];
    memset(out_bench, 0, sizeof *out_bench);
    moe_check(count <= BENCH_GPU_MODELS && options->rounds >= 1 && options->rounds <= BENCH_GPU_ROUNDS, err,
              MOE_EARG, "bench gpu: at most %d experiments and %d rounds", BENCH_GPU_MODELS,
              BENCH_GPU_ROUNDS);
    for (int i = 0; i < count; i++) {
        const char *name = named ? options->experiments[i] : default_experiments[i];
        moe_try(measure_matrix(options, &matrix[i], err));
        moe_try(measure_model(options, name, &out_bench->models[i], err));
        out_bench->count++;
    }
    moe_try(measure_matrix(options, &matrix[count], err));
    out_bench->rounds = options->rounds;
    out_bench->matrix = options->matrix;
    out_bench->matrix_tflops = median(matrix, count + 1);
    compare(out_bench);
out:
    return status;
}
