/* Linear and grouped linear layers. A linear layer is a group of one. */
#include <assert.h>

#include "device/cpu/cpu_device.h"
#include "device/cpu/gemm.h"

/* The three products of a layer over groups of rows. */
struct groups {
    const int32_t *offsets; /* [count + 1] */
    int32_t count;
    int64_t in, out;
};

static int64_t group_rows(const struct groups *groups, int64_t e) {
    return groups->offsets[e + 1] - groups->offsets[e];
}

/* Tiles of group e's [rows, cols] result. A single group is cut finer, to occupy the threads. */
static struct gemm_tiling row_tiling(const struct groups *groups, int64_t e, int64_t cols) {
    const int64_t rows = group_rows(groups, e);
    return groups->count == 1 ? gemm_tiling_alone(rows, cols) : gemm_tiling_listed(rows, cols);
}

static struct gemm_tiling weight_tiling(const struct groups *groups) {
    return gemm_tiling_alone(groups->out, groups->in);
}

/* Most tiles that any group's [rows, cols] result has. */
static int64_t most_tiles(const struct groups *groups, int64_t cols) {
    int64_t most = 0;
    for (int64_t e = 0; e < groups->count; e++) {
        const struct gemm_tiling tiling = row_tiling(groups, e, cols);
        if (gemm_tiles(&tiling) > most) most = gemm_tiles(&tiling);
    }
    return most;
}

static void forward_task(const struct groups *groups, float *y, const float *x, const float *w,
                         const float *bias, int64_t e, int64_t i) {
    const int64_t in = groups->in, out = groups->out, begin = groups->offsets[e];
    const struct gemm_tiling tiling = row_tiling(groups, e, out);
    if (i >= gemm_tiles(&tiling)) return;
    gemm_forward_tile(y + begin * out, x + begin * in, w + e * out * in, bias != NULL ? bias + e * out : NULL,
                      in, out, gemm_tile_at(&tiling, group_rows(groups, e), out, i));
}

static void groups_forward(struct device *dev, const struct groups *groups, float *y, const float *x,
                           const float *w, const float *bias) {
    const int64_t tiles = most_tiles(groups, groups->out);
#pragma omp parallel for num_threads(dev->options.threads) schedule(dynamic, 1)
    for (int64_t t = 0; t < tiles * groups->count; t++) {
        forward_task(groups, y, x, w, bias, t / tiles, t % tiles);
    }
}

static void input_task(const struct groups *groups, float *dx, const float *dy, const float *w,
                       bool accumulate, int64_t e, int64_t i) {
    const int64_t in = groups->in, out = groups->out, begin = groups->offsets[e];
    const struct gemm_tiling tiling = row_tiling(groups, e, in);
    if (i >= gemm_tiles(&tiling)) return;
    gemm_input_tile(dx + begin * in, dy + begin * out, w + e * out * in, in, out, accumulate,
                    gemm_tile_at(&tiling, group_rows(groups, e), in, i));
}

/* A tile of dw; the tiles of the first column of tiles also add their outputs' bias gradients. */
static void weight_task(const struct groups *groups, float *dw, float *dbias, const float *dy, const float *x,
                        int64_t e, int64_t i) {
    const int64_t in = groups->in, out = groups->out, begin = groups->offsets[e];
    const int64_t rows = group_rows(groups, e);
    if (rows == 0) return;
    const struct gemm_tiling tiling = weight_tiling(groups);
    const struct gemm_tile tile = gemm_tile_at(&tiling, out, in, i);
    if (dbias != NULL && tile.col == 0) {
        gemm_column_sums(dbias + e * out, dy + begin * out, rows, out, tile.row, tile.rows);
    }
    if (dw != NULL)
        gemm_weight_tile(dw + e * out * in, dy + begin * out, x + begin * in, rows, in, out, tile);
}

/* One list for both products: the tiles of dw, which are the longer ones, go first. */
static void groups_backward(struct device *dev, const struct groups *groups, float *dx, float *dw,
                            float *dbias, const float *dy, const float *x, const float *w, bool accumulate) {
    const struct gemm_tiling weight = weight_tiling(groups);
    const int64_t weight_tiles = dw != NULL || dbias != NULL ? gemm_tiles(&weight) : 0;
    const int64_t input_tiles = dx != NULL ? most_tiles(groups, groups->in) : 0;
    const int64_t weight_tasks = weight_tiles * groups->count;
    const int64_t tasks = weight_tasks + input_tiles * groups->count;
#pragma omp parallel for num_threads(dev->options.threads) schedule(dynamic, 1)
    for (int64_t t = 0; t < tasks; t++) {
        if (t < weight_tasks) {
            weight_task(groups, dw, dbias, dy, x, t / weight_tiles, t % weight_tiles);
        } else {
            const int64_t u = t - weight_tasks;
            input_task(groups, dx, dy, w, accumulate, u / input_tiles, u % input_tiles);
        }
    }
}

void cpu_grouped_linear_forward(struct device *dev, act_t *y, const act_t *x, const int32_t *source,
                                const act_t *w, const act_t *bias, const int32_t *offsets, int32_t experts,
                                int64_t max_rows, int32_t in, int32_t out) {
    (void)max_rows;
    assert(source == NULL);
    (void)source;
    const struct groups groups = {.offsets = offsets, .count = experts, .in = in, .out = out};
    groups_forward(dev, &groups, y, x, w, bias);
}

void cpu_grouped_linear_forward_float(struct device *dev, float *y, const act_t *x, const int32_t *source,
                                      const act_t *w, const act_t *bias, const int32_t *offsets,
                                      int32_t experts, int64_t max_rows, int32_t in, int32_t out) {
    cpu_grouped_linear_forward(dev, y, x, source, w, bias, offsets, experts, max_rows, in, out);
}

void cpu_grouped_linear_backward(struct device *dev, act_t *dx, float *dw, float *dbias, const act_t *dy,
                                 const act_t *x, const int32_t *source, const act_t *w,
                                 const int32_t *offsets, int32_t experts, int64_t max_rows, int32_t in,
                                 int32_t out) {
    (void)max_rows;
    assert(source == NULL);
    (void)source;
    const struct groups groups = {.offsets = offsets, .count = experts, .in = in, .out = out};
    groups_backward(dev, &groups, dx, dw, dbias, dy, x, w, false);
}

void cpu_linear_forward(struct device *dev, act_t *y, const act_t *x, const act_t *w, const act_t *bias,
                        int64_t rows, int32_t in, int32_t out) {
    const int32_t offsets[2] = {0, (int32_t)rows};
    const struct groups groups = {.offsets = offsets, .count = 1, .in = in, .out = out};
    groups_forward(dev, &groups, y, x, w, bias);
}

void cpu_linear_forward_float(struct device *dev, float *y, const act_t *x, const act_t *w, const act_t *bias,
                              int64_t rows, int32_t in, int32_t out) {
    cpu_linear_forward(dev, y, x, w, bias, rows, in, out);
}

void cpu_linear_backward(struct device *dev, act_t *dx, float *dw, float *dbias, const act_t *dy,
                         const act_t *x, const act_t *w, int64_t rows, int32_t in, int32_t out,
                         bool accumulate_dx) {
    const int32_t offsets[2] = {0, (int32_t)rows};
    const struct groups groups = {.offsets = offsets, .count = 1, .in = in, .out = out};
    groups_backward(dev, &groups, dx, dw, dbias, dy, x, w, accumulate_dx);
}
