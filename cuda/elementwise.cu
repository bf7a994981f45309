/* Activations, dropout, residual, scaled addition: eight elements a thread, one pass over memory. */
#include "cuda/cuda_operations.cuh"
#include "cuda/pack.cuh"

/* f and f' of the ungated kinds; SwiGLU uses SiLU on its gate. */
static __device__ inline float activate(enum activation_kind kind, float x, float *slope) {
    if (kind == ACTIVATION_GELU) {
        const float cdf = 0.5f + 0.5f * erff(x * 0.70710678f);
        *slope = cdf + x * 0.39894228f * expf(-0.5f * x * x);
        return x * cdf;
    }
    if (kind == ACTIVATION_RELU) {
        *slope = x > 0.0f ? 1.0f : 0.0f;
        return x > 0.0f ? x : 0.0f;
    }
    const float s = 1.0f / (1.0f + expf(-x));
    *slope = s * (1.0f + x * (1.0f - s));
    return x * s;
}

/* Where the gate of element i of rows of `width` stands among rows of [gate | up]. */
static __device__ inline int64_t gate_at(int64_t i, int32_t width) {
    return i + i / width * width;
}

/* Gates and ups of elements i .. i + n of the result. */
template <typename T>
static __device__ inline void load_gated(struct pack *gate, struct pack *up, const T *x, int64_t i, int64_t n,
                                         int32_t width) {
    if (width % PACK == 0) {
        const T *at = x + gate_at(i, width);
        *gate = pack_load(at, n);
        *up = pack_load(at + width, n);
        return;
    }
    for (int j = 0; j < PACK; j++) {
        const T *at = x + gate_at(j < n ? i + j : i, width);
        gate->v[j] = act_load(at, 0);
        up->v[j] = act_load(at, width);
    }
}

template <typename T>
static __device__ inline void store_gated(T *x, struct pack gate, struct pack up, int64_t i, int64_t n,
                                          int32_t width) {
    if (width % PACK == 0) {
        T *at = x + gate_at(i, width);
        pack_store(at, gate, n);
        pack_store(at + width, up, n);
        return;
    }
    for (int j = 0; j < PACK && j < n; j++) {
        T *at = x + gate_at(i + j, width);
        act_store(at, 0, gate.v[j]);
        act_store(at, width, up.v[j]);
    }
}

template <typename T>
__global__ void activation_forward_kernel(enum activation_kind kind, T *y, const T *x, int64_t n,
                                          int32_t width, struct dropout drop) {
    const int64_t i = pack_first(), left = n - i;
    if (left <= 0) return;
    struct pack in, out = pack_mask(drop, (uint64_t)i / PACK);
    float slope;
    if (kind == ACTIVATION_SWIGLU) {
        struct pack up;
        load_gated(&in, &up, x, i, left, width);
        out = pack_times(out, up);
    } else {
        in = pack_load(x + i, left);
    }
#pragma unroll
    for (int j = 0; j < PACK; j++)
        out.v[j] *= activate(kind, in.v[j], &slope);
    pack_store(y + i, out, left);
}

template <typename T>
__global__ void activation_backward_kernel(enum activation_kind kind, T *dx, const T *dy, const T *x,
                                           int64_t n, int32_t width, struct dropout drop) {
    const int64_t i = pack_first(), left = n - i;
    if (left <= 0) return;
    struct pack in, up, g = pack_times(pack_mask(drop, (uint64_t)i / PACK), pack_load(dy + i, left));
    const bool gated = kind == ACTIVATION_SWIGLU;
    if (gated)
        load_gated(&in, &up, x, i, left, width);
    else
        in = pack_load(x + i, left);
#pragma unroll
    for (int j = 0; j < PACK; j++) {
        float slope;
        const float value = activate(kind, in.v[j], &slope);
        in.v[j] = g.v[j] * slope * (gated ? up.v[j] : 1.0f);
        up.v[j] = g.v[j] * value;
    }
    if (gated)
        store_gated(dx, in, up, i, left, width);
    else
        pack_store(dx + i, in, left);
}

/* y = residual + dropout(x); residual may be NULL. */
template <typename T>
__global__ void dropout_kernel(T *y, const T *residual, const T *x, int64_t n, struct dropout drop) {
    const int64_t i = pack_first(), left = n - i;
    if (left <= 0) return;
    struct pack out = pack_times(pack_mask(drop, (uint64_t)i / PACK), pack_load(x + i, left));
    if (residual != NULL) {
        const struct pack add = pack_load(residual + i, left);
#pragma unroll
        for (int j = 0; j < PACK; j++)
            out.v[j] += add.v[j];
    }
    pack_store(y + i, out, left);
}

template <typename T> __global__ void to_act_kernel(T *y, const float *x, int64_t n) {
    const int64_t i = pack_first(), left = n - i;
    if (left > 0) pack_store(y + i, pack_load(x + i, left), left);
}

template <typename T> __global__ void add_scaled_kernel(T *y, const T *x, float alpha, int64_t n) {
    const int64_t i = pack_first(), left = n - i;
    if (left <= 0) return;
    const struct pack in = pack_load(x + i, left);
    struct pack out = pack_load(y + i, left);
#pragma unroll
    for (int j = 0; j < PACK; j++)
        out.v[j] += alpha * in.v[j];
    pack_store(y + i, out, left);
}

void cuda_to_act(struct device *dev, act_t *y, const float *x, int64_t n) {
    if (y == x) return;
    cuda_for_act(dev, [&](auto act) {
        using T = decltype(act);
        cuda_launch(dev, "to_act", to_act_kernel<T>, pack_grid(n), PACK_BLOCK, 0, y, x, n);
    });
}

void cuda_activation_forward(struct device *dev, enum activation_kind kind, act_t *y, const act_t *x,
                             int64_t rows, int32_t width, struct dropout drop) {
    const int64_t n = rows * width;
    cuda_for_act(dev, [&](auto act) {
        using T = decltype(act);
        cuda_launch(dev, "activation_forward", activation_forward_kernel<T>, pack_grid(n), PACK_BLOCK, 0,
                    kind, y, x, n, width, drop);
    });
}

void cuda_activation_backward(struct device *dev, enum activation_kind kind, act_t *dx, const act_t *dy,
                              const act_t *x, int64_t rows, int32_t width, struct dropout drop) {
    const int64_t n = rows * width;
    cuda_for_act(dev, [&](auto act) {
        using T = decltype(act);
        cuda_launch(dev, "activation_backward", activation_backward_kernel<T>, pack_grid(n), PACK_BLOCK, 0,
                    kind, dx, dy, x, n, width, drop);
    });
}

void cuda_dropout(struct device *dev, act_t *y, const act_t *x, int64_t n, struct dropout drop) {
    cuda_residual_dropout(dev, y, NULL, x, n, drop);
}

void cuda_residual_dropout(struct device *dev, act_t *y, const act_t *residual, const act_t *x, int64_t n,
                           struct dropout drop) {
    cuda_for_act(dev, [&](auto act) {
        using T = decltype(act);
        cuda_launch(dev, "dropout", dropout_kernel<T>, pack_grid(n), PACK_BLOCK, 0, y, residual, x, n, drop);
    });
}

void cuda_add_scaled(struct device *dev, act_t *y, const act_t *x, float alpha, int64_t n) {
    cuda_for_act(dev, [&](auto act) {
        using T = decltype(act);
        cuda_launch(dev, "add_scaled", add_scaled_kernel<T>, pack_grid(n), PACK_BLOCK, 0, y, x, alpha, n);
    });
}
