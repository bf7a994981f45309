/* AdamW: master weights, moments, compute copy and cleared gradients in one pass; and the factor that clips
 * its gradients. */
#include "cuda/cuda_operations.cuh"
#include "cuda/pack.cuh"
#include "cuda/reduce.cuh"

#define CLIP_THREADS 256

__global__ void clip_scale_kernel(float *scale, const double *squares, int n, double clip) {
    __shared__ double part[CUDA_WARP];
    double sum = 0.0;
    for (int i = static_cast<int>(threadIdx.x); i < n; i += CLIP_THREADS)
        sum += squares[i];
    const double norm = sqrt(block_sum(sum, part));
    if (threadIdx.x != 0) return;
    const bool finite = norm <= 1.7976931348623157e308;
    *scale = !finite ? NAN : clip > 0.0 && norm > clip ? static_cast<float>(clip / (norm + 1e-6)) : 1.0f;
}

void cuda_clip_scale(struct device *dev, float *scale, const double *squares, int32_t n, double clip) {
    cuda_launch(dev, "clip_scale", clip_scale_kernel, 1, CLIP_THREADS, 0, scale, squares, n, clip);
}

/* What an element needs, with the bias corrections folded in. */
struct adamw_factors {
    float beta1, beta2, eps;
    float grad_scale; /* known on the device only */
    float decay;      /* lr weight_decay */
    float rate;       /* lr / bias_correction1 */
    float root_scale; /* 1 / sqrt(bias_correction2) */
};

static __device__ inline float adamw_element(float p, float g, float *m, float *v, struct adamw_factors f) {
    const float grad = f.grad_scale * g;
    *m = fmaf(f.beta1, *m, (1.0f - f.beta1) * grad);
    *v = fmaf(f.beta2, *v, (1.0f - f.beta2) * grad * grad);
    return fmaf(-f.decay, p, p) - f.rate * *m / fmaf(sqrtf(*v), f.root_scale, f.eps);
}

/* Packs are cut at multiples of PACK of the whole array, so that all but a segment's ends are aligned. */
template <typename T>
__global__ void adamw_kernel(float *params, T *compute, float *grads, float *m, float *v, int64_t begin,
                             int64_t end, struct adamw_factors f, const float *grad_scale) {
    f.grad_scale = *grad_scale;
    if (f.grad_scale != f.grad_scale) return;
    const int64_t first = begin / PACK * PACK + pack_first();
    const int64_t from = first < begin ? begin : first, to = first + PACK < end ? first + PACK : end;
    if (from >= to) return;
    struct pack p = pack_load(params + from, to - from), m1 = pack_load(m + from, to - from);
    struct pack v1 = pack_load(v + from, to - from);
    const struct pack g = pack_load(grads + from, to - from);
#pragma unroll
    for (int j = 0; j < PACK; j++)
        p.v[j] = adamw_element(p.v[j], g.v[j], &m1.v[j], &v1.v[j], f);
    pack_store(params + from, p, to - from);
    pack_store(m + from, m1, to - from);
    pack_store(v + from, v1, to - from);
    pack_store(grads + from, pack{}, to - from);
    if (compute != nullptr) pack_store(compute + from, p, to - from);
}

void cuda_adamw(struct device *dev, float *params, act_t *compute, float *grads, float *m, float *v,
                const struct adamw_segment *segments, int32_t count, const struct adamw_step *step,
                const float *grad_scale) {
    void *copy = compute == params ? NULL : compute;
    for (int32_t s = 0; s < count; s++) {
        const struct adamw_factors f = {
            .beta1 = step->beta1,
            .beta2 = step->beta2,
            .eps = step->eps,
            .grad_scale = 0.0f,
            .decay = segments[s].lr * segments[s].weight_decay,
            .rate = segments[s].lr / step->bias_correction1,
            .root_scale = 1.0f / sqrtf(step->bias_correction2),
        };
        const int64_t begin = segments[s].offset, end = begin + segments[s].count;
        if (begin == end) continue;
        cuda_for_act(dev, [&](auto act) {
            using T = decltype(act);
            cuda_launch(dev, "adamw", adamw_kernel<T>, pack_grid(end - begin / PACK * PACK), PACK_BLOCK, 0,
                        params, copy, grads, m, v, begin, end, f, grad_scale);
        });
    }
}
