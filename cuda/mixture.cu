/* Softmax of short rows, and the loss of a mixture of class probabilities: one warp a row. */
#include "cuda/cuda_operations.cuh"
#include "cuda/reduce.cuh"
#include "cuda/top_k.cuh"

enum { ROW_WARPS = 8 }; /* rows that a block takes side by side */

static __device__ inline int64_t warp_row(void) {
    return (int64_t)blockIdx.x * ROW_WARPS + threadIdx.x / CUDA_WARP;
}

/* Largest element of a row, in every lane. */
template <typename T> static __device__ inline float row_max(const T *x, int32_t n) {
    float most = -INFINITY;
    for (int32_t i = lane_of(); i < n; i += CUDA_WARP)
        most = fmaxf(most, act_load(x, i));
    return warp_max(most);
}

/* Sum of e^(x - shift) over a row. */
template <typename T> static __device__ inline float row_sum_exp(const T *x, int32_t n, float shift) {
    float sum = 0.0f;
    for (int32_t i = lane_of(); i < n; i += CUDA_WARP)
        sum += expf(act_load(x, i) - shift);
    return warp_sum(sum);
}

template <typename T> __global__ void softmax_forward_kernel(T *y, const T *x, int64_t rows, int32_t width) {
    const int64_t r = warp_row();
    if (r >= rows) return;
    const float most = row_max(x + r * width, width), sum = row_sum_exp(x + r * width, width, most);
    for (int32_t i = lane_of(); i < width; i += CUDA_WARP)
        act_store(y + r * width, i, expf(act_load(x + r * width, i) - most) / sum);
}

template <typename T>
__global__ void softmax_backward_kernel(T *dx, const T *dy, const T *y, int64_t rows, int32_t width) {
    const int64_t r = warp_row();
    if (r >= rows) return;
    const T *top = dy + r * width, *out = y + r * width;
    float mean = 0.0f;
    for (int32_t i = lane_of(); i < width; i += CUDA_WARP)
        mean = fmaf(act_load(top, i), act_load(out, i), mean);
    mean = warp_sum(mean);
    for (int32_t i = lane_of(); i < width; i += CUDA_WARP)
        act_store(dx + r * width, i, act_load(out, i) * (act_load(top, i) - mean));
}

/* Whether the first of the largest elements stands at `target`. */
template <typename T>
static __device__ inline bool is_largest(const T *y, int32_t n, int32_t target, float most) {
    int32_t before = 0;
    for (int32_t i = lane_of(); i < target; i += CUDA_WARP)
        before += act_load(y, i) >= most;
    return warp_sum(before) == 0 && target >= 0 && target < n && act_load(y, target) >= most;
}

template <typename T>
__global__ void mixture_loss_kernel(float *nll, int32_t *correct, T *dy, const T *y, const int32_t *targets,
                                    struct mixture_shape shape) {
    const int64_t r = warp_row();
    if (r >= shape.rows) return;
    const int32_t classes = shape.classes, target = targets[r], lane = lane_of();
    const T *row = y + r * classes;
    const float most = row_max(row, classes), sum = row_sum_exp(row, classes, most);
    const bool hit = is_largest(row, classes, target, most);
    const float at_target = target >= 0 ? act_load(row, target) : 0.0f, lse = most + logf(sum);
    const bool least = at_target <= 0x1p-126f;
    for (int32_t c = lane; dy != nullptr && c < classes; c += CUDA_WARP) {
        float g = 0.0f;
        if (target >= 0 && shape.kind == MIXTURE_SOFTMAX)
            g = shape.grad_scale * (expf(act_load(row, c) - lse) - (c == target ? 1.0f : 0.0f));
        else if (c == target && !least)
            g = -shape.grad_scale / at_target;
        act_store(dy + r * classes, c, g);
    }
    if (lane > 0) return;
    correct[r] = hit;
    if (target < 0)
        nll[r] = 0.0f;
    else
        nll[r] = shape.kind == MIXTURE_SOFTMAX ? lse - at_target : -logf(least ? 0x1p-126f : at_target);
}

void cuda_softmax_forward(struct device *dev, act_t *y, const act_t *x, int64_t rows, int32_t width) {
    cuda_for_act(dev, [&](auto act) {
        using T = decltype(act);
        cuda_launch(dev, "softmax_forward", softmax_forward_kernel<T>, cuda_pieces(rows, ROW_WARPS),
                    ROW_WARPS * CUDA_WARP, 0, y, x, rows, width);
    });
}

void cuda_softmax_backward(struct device *dev, act_t *dx, const act_t *dy, const act_t *y, int64_t rows,
                           int32_t width) {
    cuda_for_act(dev, [&](auto act) {
        using T = decltype(act);
        cuda_launch(dev, "softmax_backward", softmax_backward_kernel<T>, cuda_pieces(rows, ROW_WARPS),
                    ROW_WARPS * CUDA_WARP, 0, dx, dy, y, rows, width);
    });
}

void cuda_mixture_loss(struct device *dev, float *nll, int32_t *correct, act_t *dy, const act_t *y,
                       const int32_t *targets, const struct mixture_shape *shape) {
    cuda_for_act(dev, [&](auto act) {
        using T = decltype(act);
        cuda_launch(dev, "mixture_loss", mixture_loss_kernel<T>, cuda_pieces(shape->rows, ROW_WARPS),
                    ROW_WARPS * CUDA_WARP, 0, nll, correct, dy, y, targets, *shape);
    });
}
