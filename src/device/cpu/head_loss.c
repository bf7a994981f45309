/* Fused head and cross-entropy. Logits exist for one chunk of rows at a time; the maximum and the sums of a
 * row are taken while a tile of logits is still in cache, and merged over the tiles in their order. */
#include <assert.h>
#include <time.h>

#include "core/parallel.h"
#include "device/cpu/cpu_device.h"
#include "device/cpu/gemm.h"
#include "device/cpu/rows.h"

#define CHUNK_ROWS      512 /* most rows of a chunk */
#define CHUNK_MIN_ROWS  64
#define CHUNK_FLOATS    ((int64_t)8 << 20) /* logits a chunk may hold if that leaves it CHUNK_MIN_ROWS */
#define LEAST_TILE_COLS 256                /* gemm.c makes no narrower tiles of a wider result */
#define FINISH_GRAIN    16                 /* rows per piece of the passes over whole rows */

/* What a tile says of a row: its largest logit, sum exp(logit - max), sum of logits. */
struct partial {
    float max, sum_exp, sum;
};

struct chunk {
    const struct head_shape *shape;
    int64_t begin, rows;
    float *logits;            /* [rows, V] */
    struct partial *partials; /* [rows, tiling.col_pieces] */
    struct gemm_tiling tiling;
};

static int64_t chunk_rows(int64_t vocab) {
    const int64_t fit = vocab > 0 ? CHUNK_FLOATS / vocab / FINISH_GRAIN * FINISH_GRAIN : CHUNK_ROWS;
    if (fit > CHUNK_ROWS) return CHUNK_ROWS;
    return fit < CHUNK_MIN_ROWS ? CHUNK_MIN_ROWS : fit;
}

/* The largest product rows * V over all V <= max_vocab, and its partials. */
int64_t cpu_logits_floats(int64_t max_rows, int32_t max_vocab) {
    const int64_t vocab = max_vocab, most = max_rows < CHUNK_ROWS ? max_rows : CHUNK_ROWS;
    int64_t floats = most * vocab < CHUNK_FLOATS ? most * vocab : CHUNK_FLOATS;
    const int64_t least = (max_rows < CHUNK_MIN_ROWS ? max_rows : CHUNK_MIN_ROWS) * vocab;
    if (least > floats) floats = least;
    const int64_t partials = floats / LEAST_TILE_COLS + most;
    return floats + partials * (int64_t)(sizeof(struct partial) / sizeof(float));
}

static struct partial *partial_of(const struct chunk *chunk, int64_t row) {
    return chunk->partials + row * chunk->tiling.col_pieces;
}

static void logits_tile(const struct chunk *chunk, const float *x, const float *w, int64_t i) {
    const int64_t vocab = chunk->shape->vocab, hidden = chunk->shape->hidden;
    const struct gemm_tile tile = gemm_tile_at(&chunk->tiling, chunk->rows, vocab, i);
    gemm_forward_tile(chunk->logits, x + chunk->begin * hidden, w, NULL, hidden, vocab, tile);
    for (int64_t r = tile.row; r < tile.row + tile.rows; r++) {
        const float *logits = chunk->logits + r * vocab + tile.col;
        const float max = row_max(logits, tile.cols);
        partial_of(chunk, r)[tile.col / chunk->tiling.col_grain] = (struct partial){
            .max = max, .sum_exp = row_sum_exp(logits, tile.cols, max), .sum = lanes_sum(logits, tile.cols)};
    }
}

/* 1 if the target holds the row's largest logit and no earlier one equals it. */
static int32_t target_is_first_max(const float *logits, int32_t target, float max) {
    if (logits[target] < max) return 0;
    for (int32_t v = 0; v < target; v++) {
        if (logits[v] >= max) return 0;
    }
    return 1;
}

/* One row's outputs; each pointer is to the row's own element, correct may be NULL. */
static void finish_row(const struct chunk *chunk, int64_t row, int32_t target, float *nll, float *lse,
                       float *mean_logit, int32_t *correct) {
    const float *logits = chunk->logits + row * chunk->shape->vocab;
    const struct partial *partials = partial_of(chunk, row);
    const int64_t n = chunk->tiling.col_pieces;
    *nll = *lse = *mean_logit = 0.0f;
    if (correct != NULL) *correct = 0;
    if (target < 0) return;
    float max = partials[0].max;
    for (int64_t i = 1; i < n; i++) {
        max = partials[i].max > max ? partials[i].max : max;
    }
    double sum_exp = 0, sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum_exp += (double)(partials[i].sum_exp * mathf_exp(partials[i].max - max));
        sum += (double)partials[i].sum;
    }
    *lse = max + mathf_log((float)sum_exp);
    *nll = *lse - logits[target];
    *mean_logit = (float)(sum / chunk->shape->vocab);
    if (correct != NULL) *correct = target_is_first_max(logits, target, max);
}

/* Logits of a row to the gradient of grad_scale * its loss; 0 if ignored. */
static void gradient_row(const struct head_shape *shape, float *logits, int32_t target, float lse) {
    const int64_t vocab = shape->vocab;
    const float used = target >= 0 ? shape->grad_scale : 0.0f;
    const float scale = used * (1.0f + 2.0f * shape->z_coeff * lse);
    const float uniform = used * shape->label_smoothing / (float)vocab;
    if (target < 0) {
        for (int64_t v = 0; v < vocab; v++) {
            logits[v] = 0.0f;
        }
        return;
    }
#pragma omp simd
    for (int64_t v = 0; v < vocab; v++) {
        logits[v] = scale * mathf_exp(logits[v] - lse) - uniform;
    }
    logits[target] -= used * (1.0f - shape->label_smoothing);
}

static void chunk_forward(struct device *dev, const struct chunk *chunk, const float *x, const float *w) {
#pragma omp parallel for num_threads(dev->options.threads) schedule(dynamic, 1)
    for (int64_t i = 0; i < gemm_tiles(&chunk->tiling); i++) {
        logits_tile(chunk, x, w, i);
    }
}

static void chunk_backward(struct device *dev, const struct chunk *chunk, float *dx, float *dw,
                           const float *x, const float *w, const int32_t *targets, const float *lse) {
    const int64_t vocab = chunk->shape->vocab, hidden = chunk->shape->hidden, rows = chunk->rows;
    const struct gemm_tiling input = gemm_tiling_alone(rows, hidden),
                             weight = gemm_tiling_alone(vocab, hidden);
    const int64_t inputs = gemm_tiles(&input);
#pragma omp parallel num_threads(dev->options.threads)
    {
#pragma omp for schedule(dynamic, FINISH_GRAIN)
        for (int64_t r = 0; r < rows; r++) {
            gradient_row(chunk->shape, chunk->logits + r * vocab, targets[chunk->begin + r],
                         lse[chunk->begin + r]);
        }
#pragma omp for schedule(dynamic, 1)
        for (int64_t t = 0; t < inputs + gemm_tiles(&weight); t++) {
            if (t < inputs) { /* the longer ones first */
                gemm_input_tile(dx + chunk->begin * hidden, chunk->logits, w, hidden, vocab, false,
                                gemm_tile_at(&input, rows, hidden, t));
            } else {
                gemm_weight_tile(dw, chunk->logits, x + chunk->begin * hidden, rows, hidden, vocab,
                                 gemm_tile_at(&weight, vocab, hidden, t - inputs));
            }
        }
    }
}

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void cpu_head_loss(struct device *dev, float *nll, float *lse, float *mean_logit, int32_t *correct, act_t *dx,
                   float *dw, const act_t *x, const act_t *w, const int32_t *targets,
                   const struct head_shape *shape, double *backward_seconds) {
    struct cpu_device *cpu = cpu_device_of(dev);
    const int64_t pieces = piece_count(shape->rows, chunk_rows(shape->vocab));
    const int64_t grain =
        pieces > 0 ? piece_count(piece_count(shape->rows, pieces), FINISH_GRAIN) * FINISH_GRAIN : 1;
    for (int64_t begin = 0; begin < shape->rows; begin += grain) {
        struct chunk chunk = {.shape = shape, .begin = begin, .logits = cpu->logits};
        chunk.rows = begin + grain < shape->rows ? grain : shape->rows - begin;
        chunk.tiling = gemm_tiling_alone(chunk.rows, shape->vocab);
        chunk.partials = (struct partial *)(cpu->logits + chunk.rows * shape->vocab);
        assert(chunk.rows * (shape->vocab + 3 * chunk.tiling.col_pieces) <= cpu->logits_floats);
        chunk_forward(dev, &chunk, x, w);
#pragma omp parallel for num_threads(dev->options.threads) schedule(static)
        for (int64_t r = 0; r < chunk.rows; r++) {
            const int64_t at = begin + r;
            finish_row(&chunk, r, targets[at], &nll[at], &lse[at], &mean_logit[at],
                       correct != NULL ? &correct[at] : NULL);
        }
        if (dx == NULL) continue;
        const double start = seconds_now();
        chunk_backward(dev, &chunk, dx, dw, x, w, targets, lse);
        if (backward_seconds != NULL) *backward_seconds += seconds_now() - start;
    }
}
