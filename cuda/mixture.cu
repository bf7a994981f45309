/* Mixtures of class probabilities, and their loss: one warp a row. */
#include "cuda/cuda_operations.cuh"
#include "cuda/reduce.cuh"
#include "cuda/top_k.cuh"

enum { ROW_WARPS = 8 }; /* rows that a block takes side by side */

static __device__ inline int64_t warp_row(void) {
    return (int64_t)blockIdx.x * ROW_WARPS + threadIdx.x / CUDA_WARP;
}

/* Largest element of a row, in every lane. */
static __device__ inline float row_max(const float *x, int32_t n) {
    float most = -INFINITY;
    for (int32_t i = lane_of(); i < n; i += CUDA_WARP)
        most = fmaxf(most, x[i]);
    return warp_max(most);
}

/* Sum of e^(x - shift) over a row. */
static __device__ inline float row_sum_exp(const float *x, int32_t n, float shift) {
    float sum = 0.0f;
    for (int32_t i = lane_of(); i < n; i += CUDA_WARP)
        sum += expf(x[i] - shift);
    return warp_sum(sum);
}

/* Row of prob and logits that a slot holds, negative if none. */
static __device__ inline int64_t row_of(const int32_t *position, int64_t slot) {
    return position != NULL ? position[slot] : slot;
}

/* A lane reads and writes its own classes only, so that prob may be logits. */
__global__ void mixture_forward_kernel(float *y, float *prob, const float *logits, const float *weight,
                                       const int32_t *position, int64_t rows, int32_t top_k,
                                       int32_t classes) {
    const int64_t r = warp_row();
    if (r >= rows) return;
    for (int64_t slot = r * top_k; slot < (r + 1) * top_k; slot++) {
        const int64_t at = row_of(position, slot) * classes;
        if (at < 0) continue;
        const float most = row_max(logits + at, classes), sum = row_sum_exp(logits + at, classes, most);
        for (int32_t c = lane_of(); c < classes; c += CUDA_WARP)
            prob[at + c] = expf(logits[at + c] - most) / sum;
    }
    for (int32_t c = lane_of(); c < classes; c += CUDA_WARP) {
        float sum = 0.0f;
        for (int64_t slot = r * top_k; slot < (r + 1) * top_k; slot++) {
            const int64_t at = row_of(position, slot) * classes;
            if (at >= 0) sum += (weight != NULL ? weight[slot] : 1.0f) * prob[at + c];
        }
        y[r * classes + c] = sum;
    }
}

template <typename T>
__global__ void mixture_backward_kernel(T *dlogits, float *dweight, const float *dy, const float *prob,
                                        const float *weight, const int32_t *position, int64_t rows,
                                        int32_t top_k, int32_t classes) {
    const int64_t r = warp_row();
    if (r >= rows) return;
    const float *top = dy + r * classes;
    for (int64_t slot = r * top_k; slot < (r + 1) * top_k; slot++) {
        const int64_t at = row_of(position, slot) * classes;
        const float w = weight != NULL ? weight[slot] : 1.0f;
        float dot = 0.0f;
        for (int32_t c = lane_of(); at >= 0 && c < classes; c += CUDA_WARP)
            dot = fmaf(prob[at + c], top[c], dot);
        dot = warp_sum(dot);
        for (int32_t c = lane_of(); at >= 0 && c < classes; c += CUDA_WARP)
            act_store(dlogits, at + c, w * prob[at + c] * (top[c] - dot));
        if (dweight != NULL && lane_of() == 0) dweight[slot] = dot;
    }
}

/* Whether the first of the largest elements stands at `target`. */
static __device__ inline bool is_largest(const float *y, int32_t n, int32_t target, float most) {
    int32_t before = 0;
    for (int32_t i = lane_of(); i < target; i += CUDA_WARP)
        before += y[i] >= most;
    return warp_sum(before) == 0 && target >= 0 && target < n && y[target] >= most;
}

__global__ void mixture_loss_kernel(float *nll, int32_t *correct, float *dy, const float *y,
                                    const int32_t *targets, struct mixture_shape shape) {
    const int64_t r = warp_row();
    if (r >= shape.rows) return;
    const int32_t classes = shape.classes, target = targets[r], lane = lane_of();
    const float *row = y + r * classes;
    const float most = row_max(row, classes), sum = row_sum_exp(row, classes, most);
    const bool hit = is_largest(row, classes, target, most);
    const float at_target = target >= 0 ? row[target] : 0.0f, lse = most + logf(sum);
    const bool least = at_target <= 0x1p-126f;
    for (int32_t c = lane; dy != nullptr && c < classes; c += CUDA_WARP) {
        float g = 0.0f;
        if (target >= 0 && shape.kind == MIXTURE_SOFTMAX)
            g = shape.grad_scale * (expf(row[c] - lse) - (c == target ? 1.0f : 0.0f));
        else if (c == target && !least)
            g = -shape.grad_scale / at_target;
        dy[r * classes + c] = g;
    }
    if (lane > 0) return;
    correct[r] = hit;
    if (target < 0)
        nll[r] = 0.0f;
    else
        nll[r] = shape.kind == MIXTURE_SOFTMAX ? lse - at_target : -logf(least ? 0x1p-126f : at_target);
}

void cuda_mixture_forward(struct device *dev, float *y, float *prob, const float *logits, const float *weight,
                          const int32_t *position, int64_t rows, int32_t top_k, int32_t classes) {
    cuda_launch(dev, "mixture_forward", mixture_forward_kernel, cuda_pieces(rows, ROW_WARPS),
                ROW_WARPS * CUDA_WARP, 0, y, prob, logits, weight, position, rows, top_k, classes);
}

void cuda_mixture_backward(struct device *dev, act_t *dlogits, float *dweight, const float *dy,
                           const float *prob, const float *weight, const int32_t *position, int64_t rows,
                           int32_t top_k, int32_t classes) {
    cuda_for_act(dev, [&](auto act) {
        using T = decltype(act);
        cuda_launch(dev, "mixture_backward", mixture_backward_kernel<T>, cuda_pieces(rows, ROW_WARPS),
                    ROW_WARPS * CUDA_WARP, 0, dlogits, dweight, dy, prob, weight, position, rows, top_k,
                    classes);
    });
}

void cuda_mixture_loss(struct device *dev, float *nll, int32_t *correct, float *dy, const float *y,
                       const int32_t *targets, const struct mixture_shape *shape) {
    cuda_launch(dev, "mixture_loss", mixture_loss_kernel, cuda_pieces(shape->rows, ROW_WARPS),
                ROW_WARPS * CUDA_WARP, 0, nll, correct, dy, y, targets, *shape);
}
