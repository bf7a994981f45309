/* Fused head and cross-entropy. Logits exist for one chunk of rows at a time. While a tile of logits is still
 * in cache they are replaced by exp(logit - max), max being the row's largest of that tile; a row's tiles are
 * merged in their order, and its gradient is then each tile's exponentials times one factor. */
#include <assert.h>
#include <string.h>
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

/* What the tile that holds a row's target says of it. */
struct target_logit {
    float logit;
    int32_t first_max; /* 1 if no earlier logit of the tile is as large and none is larger */
};

/* The call, and the rows [begin, begin + rows) of it that are at work. x and targets begin at that row. */
struct chunk {
    const struct head_shape *shape;
    const float *x, *w;
    const int32_t *targets;
    int64_t begin, rows;
    struct gemm_tiling tiling;
    float *logits;                  /* [rows, V] */
    struct partial *partials;       /* [rows, tiling.col_pieces] */
    struct target_logit *at_target; /* [rows] */
};

static int64_t chunk_rows(int64_t vocab) {
    const int64_t fit = vocab > 0 ? CHUNK_FLOATS / vocab / FINISH_GRAIN * FINISH_GRAIN : CHUNK_ROWS;
    if (fit > CHUNK_ROWS) return CHUNK_ROWS;
    return fit < CHUNK_MIN_ROWS ? CHUNK_MIN_ROWS : fit;
}

/* The largest product rows * V over all V <= max_vocab, its partials and its target logits. */
int64_t cpu_logits_floats(int64_t max_rows, int32_t max_vocab) {
    const int64_t vocab = max_vocab, most = max_rows < CHUNK_ROWS ? max_rows : CHUNK_ROWS;
    int64_t floats = most * vocab < CHUNK_FLOATS ? most * vocab : CHUNK_FLOATS;
    const int64_t least = (max_rows < CHUNK_MIN_ROWS ? max_rows : CHUNK_MIN_ROWS) * vocab;
    if (least > floats) floats = least;
    const int64_t partials = floats / LEAST_TILE_COLS + most;
    return floats +
           (partials * (int64_t)sizeof(struct partial) + most * (int64_t)sizeof(struct target_logit)) /
               (int64_t)sizeof(float);
}

static struct chunk chunk_at(struct cpu_device *cpu, const struct head_shape *shape, const float *x,
                             const float *w, const int32_t *targets, int64_t begin, int64_t rows) {
    struct chunk chunk = {.shape = shape, .w = w, .begin = begin, .rows = rows, .logits = cpu->logits};
    chunk.x = x + begin * shape->hidden;
    chunk.targets = targets + begin;
    chunk.tiling = gemm_tiling_alone(rows, shape->vocab);
    chunk.partials = (struct partial *)(chunk.logits + rows * shape->vocab);
    chunk.at_target = (struct target_logit *)(chunk.partials + rows * chunk.tiling.col_pieces);
    assert((float *)(chunk.at_target + rows) <= cpu->logits + cpu->logits_floats);
    return chunk;
}

static struct target_logit look_at_target(const float *logits, int64_t target, float max) {
    struct target_logit at = {.logit = logits[target], .first_max = logits[target] >= max};
    for (int64_t v = 0; at.first_max && v < target; v++) {
        if (logits[v] >= max) at.first_max = 0;
    }
    return at;
}

static void logits_tile(const struct chunk *chunk, int64_t i) {
    const int64_t vocab = chunk->shape->vocab;
    const struct gemm_tile tile = gemm_tile_at(&chunk->tiling, chunk->rows, vocab, i);
    gemm_forward_tile(chunk->logits, chunk->x, chunk->w, NULL, chunk->shape->hidden, vocab, tile);
    const int64_t piece = tile.col / chunk->tiling.col_grain;
    for (int64_t r = tile.row; r < tile.row + tile.rows; r++) {
        const int64_t target = chunk->targets[r];
        float *logits = chunk->logits + r * vocab + tile.col;
        if (target < 0) continue;
        struct partial *partial = &chunk->partials[r * chunk->tiling.col_pieces + piece];
        partial->max = row_max(logits, tile.cols);
        partial->sum = lanes_sum(logits, tile.cols);
        if (target >= tile.col && target < tile.col + tile.cols) {
            chunk->at_target[r] = look_at_target(logits, target - tile.col, partial->max);
        }
        row_exp(logits, logits, tile.cols, 1.0f, partial->max);
        partial->sum_exp = lanes_sum(logits, tile.cols);
    }
}

/* One row's outputs; each pointer is to the row's own element, correct may be NULL. */
static void finish_row(const struct chunk *chunk, int64_t row, float *nll, float *lse, float *mean_logit,
                       int32_t *correct) {
    const int64_t pieces = chunk->tiling.col_pieces;
    const struct partial *partials = chunk->partials + row * pieces;
    const struct target_logit *at_target = &chunk->at_target[row];
    *nll = *lse = *mean_logit = 0.0f;
    if (correct != NULL) *correct = 0;
    if (chunk->targets[row] < 0) return;
    float max = partials[0].max;
    for (int64_t i = 1; i < pieces; i++) {
        max = partials[i].max > max ? partials[i].max : max;
    }
    double sum_exp = 0, sum = 0;
    for (int64_t i = 0; i < pieces; i++) {
        sum_exp += (double)(partials[i].sum_exp * mathf_exp(partials[i].max - max));
        sum += (double)partials[i].sum;
    }
    *lse = max + mathf_log((float)sum_exp);
    *nll = *lse - at_target->logit;
    *mean_logit = (float)(sum / chunk->shape->vocab);
    if (correct == NULL) return;
    *correct = at_target->first_max && at_target->logit >= max;
    for (int64_t i = 0; i < chunk->targets[row] / chunk->tiling.col_grain; i++) {
        if (partials[i].max >= max) *correct = 0;
    }
}

/* Exponentials of a row to the gradient of grad_scale * its loss; 0 if ignored. */
static void gradient_row(const struct chunk *chunk, int64_t row, float lse) {
    const struct head_shape *shape = chunk->shape;
    const int64_t vocab = shape->vocab, grain = chunk->tiling.col_grain;
    const int32_t target = chunk->targets[row];
    float *g = chunk->logits + row * vocab;
    if (target < 0) {
        memset(g, 0, (size_t)vocab * sizeof(float));
        return;
    }
    const float uniform = shape->grad_scale * shape->label_smoothing / (float)vocab;
    for (int64_t i = 0; i < chunk->tiling.col_pieces; i++) {
        const float factor = shape->grad_scale * (1.0f + 2.0f * shape->z_coeff * lse) *
                             mathf_exp(chunk->partials[row * chunk->tiling.col_pieces + i].max - lse);
        const int64_t end = piece_begin(i + 1, vocab, grain);
#pragma omp simd
        for (int64_t v = piece_begin(i, vocab, grain); v < end; v++) {
            g[v] = factor * g[v] - uniform;
        }
    }
    g[target] -= shape->grad_scale * (1.0f - shape->label_smoothing);
}

static void chunk_forward(struct device *dev, const struct chunk *chunk) {
#pragma omp parallel for num_threads(dev->options.threads) schedule(dynamic, 1)
    for (int64_t i = 0; i < gemm_tiles(&chunk->tiling); i++) {
        logits_tile(chunk, i);
    }
}

/* dx is the chunk's, dw the whole; lse the chunk's. */
static void chunk_backward(struct device *dev, const struct chunk *chunk, float *dx, float *dw,
                           const float *lse) {
    const int64_t vocab = chunk->shape->vocab, hidden = chunk->shape->hidden, rows = chunk->rows;
    const struct gemm_tiling input = gemm_tiling_alone(rows, hidden),
                             weight = gemm_tiling_alone(vocab, hidden);
    const int64_t inputs = gemm_tiles(&input);
#pragma omp parallel num_threads(dev->options.threads)
    {
#pragma omp for schedule(dynamic, FINISH_GRAIN)
        for (int64_t r = 0; r < rows; r++) {
            gradient_row(chunk, r, lse[r]);
        }
#pragma omp for schedule(dynamic, 1)
        for (int64_t t = 0; t < inputs + gemm_tiles(&weight); t++) {
            if (t < inputs) { /* the longer ones first */
                gemm_input_tile(dx, chunk->logits, chunk->w, hidden, vocab, false,
                                gemm_tile_at(&input, rows, hidden, t));
            } else {
                gemm_weight_tile(dw, chunk->logits, chunk->x, rows, hidden, vocab,
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
    const int64_t pieces = piece_count(shape->rows, chunk_rows(shape->vocab));
    const int64_t grain =
        pieces > 0 ? piece_count(piece_count(shape->rows, pieces), FINISH_GRAIN) * FINISH_GRAIN : 1;
    for (int64_t begin = 0; begin < shape->rows; begin += grain) {
        const int64_t rows = begin + grain < shape->rows ? grain : shape->rows - begin;
        const struct chunk chunk = chunk_at(cpu_device_of(dev), shape, x, w, targets, begin, rows);
        chunk_forward(dev, &chunk);
#pragma omp parallel for num_threads(dev->options.threads) schedule(static)
        for (int64_t r = 0; r < rows; r++) {
            const int64_t at = begin + r;
            finish_row(&chunk, r, &nll[at], &lse[at], &mean_logit[at], correct != NULL ? &correct[at] : NULL);
        }
        if (dx == NULL) continue;
        const double start = seconds_now();
        chunk_backward(dev, &chunk, (float *)dx + begin * shape->hidden, dw, lse + begin);
        if (backward_seconds != NULL) *backward_seconds += seconds_now() - start;
    }
}
