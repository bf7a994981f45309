/* The router: logits from one matrix product; then probabilities, choice, weights and statistics in one pass
 * with a warp a row. */
#include <algorithm>

#include "cuda/blas.cuh"
#include "cuda/cuda_operations.cuh"
#include "cuda/reduce.cuh"
#include "cuda/top_k.cuh"

enum {
    ROW_WARPS = 8,             /* rows that a block looks at side by side */
    PIECES = 512,              /* most blocks, each with its own partial statistics */
    SUM_THREADS = 128,         /* of a block that adds partial statistics up */
    CHUNK_GRADIENTS = 16 << 20 /* gradients of logits that are held in the type of activations at a time */
};

/* Rows of a piece: a function of the rows alone. */
static int64_t row_grain(int64_t rows) {
    return (int64_t)cuda_pieces(cuda_pieces(rows, PIECES), ROW_WARPS) * ROW_WARPS;
}

/* Sums over the rows of one piece, by piece. */
struct router_partials {
    double *entropy, *z; /* [PIECES] */
    float *mass;         /* [PIECES, E] */
    int32_t *load;       /* [PIECES, E] */
};

static struct router_partials partials_in(void *scratch, int32_t experts) {
    struct router_partials p;
    p.entropy = static_cast<double *>(scratch);
    p.z = p.entropy + PIECES;
    p.mass = reinterpret_cast<float *>(p.z + PIECES);
    p.load = reinterpret_cast<int32_t *>(p.mass + (int64_t)PIECES * experts);
    return p;
}

size_t cuda_router_scratch(const struct device_options *options) {
    const size_t width = (size_t)options->max_width, all = (size_t)options->max_rows * width;
    const size_t statistics = 2 * PIECES * (sizeof(double) + width * sizeof(float));
    const size_t gradients = std::min<size_t>(all, std::max<size_t>(width, CHUNK_GRADIENTS)) * sizeof(bf16);
    return std::max(statistics, gradients);
}

/* ---- forward
 * ---------------------------------------------------------------------------------------------- */

/* prob = softmax(logits) of a row, its entropy added; with m the maximum and s = sum e^(l - m): -sum p ln p =
 * ln s - sum p (l - m). Returns log sum exp. */
static __device__ inline float softmax_row(float *prob, const float *logits, int32_t experts, float most,
                                           double *entropy) {
    float sum = 0.0f, moment = 0.0f;
    for (int32_t e = lane_of(); e < experts; e += CUDA_WARP) {
        const float shifted = logits[e] - most, p = expf(shifted);
        prob[e] = p;
        sum += p;
        moment += p > 0.0f ? p * shifted : 0.0f;
    }
    sum = warp_sum(sum);
    moment = warp_sum(moment);
    for (int32_t e = lane_of(); e < experts; e += CUDA_WARP)
        prob[e] /= sum;
    *entropy += (double)(logf(sum) - moment / sum);
    return most + logf(sum);
}

/* prob = sigmoid(logits); the entropy is that of prob / sum prob. */
static __device__ inline float sigmoid_row(float *prob, const float *logits, int32_t experts, float most,
                                           float *out_total, double *entropy) {
    float total = 0.0f, moment = 0.0f, sum = 0.0f;
    for (int32_t e = lane_of(); e < experts; e += CUDA_WARP) {
        const float p = 1.0f / (1.0f + expf(-logits[e]));
        prob[e] = p;
        total += p;
        moment += p > 0.0f ? p * logf(p) : 0.0f;
        sum += expf(logits[e] - most);
    }
    total = warp_sum(total);
    moment = warp_sum(moment);
    sum = warp_sum(sum);
    *out_total = total;
    *entropy += (double)(logf(total) - moment / total);
    return most + logf(sum);
}

/* index and weight [K] of a row, load += its choices; score [E] is scratch of the warp, each lane's own. */
static __device__ inline void choose_row(int32_t *index, float *weight, int32_t *load, float *score,
                                         const float *prob, const float *bias,
                                         const struct router_shape &shape) {
    const int32_t lane = lane_of();
    float sum = shape.renormalize_eps;
    for (int32_t e = lane; e < shape.experts; e += CUDA_WARP)
        score[e] = score_of(bias != nullptr ? prob[e] + bias[e] : prob[e]);
    __syncwarp(); /* prob is read by other lanes than wrote it */
    for (int32_t k = 0; k < shape.top_k; k++) {
        const int32_t e = take_largest(score, shape.experts);
        sum += prob[e];
        if (lane == 0) atomicAdd(&load[e], 1);
        if (lane == k % CUDA_WARP) {
            index[k] = e;
            weight[k] = prob[e];
        }
    }
    for (int32_t k = lane; k < shape.top_k; k += CUDA_WARP)
        weight[k] = (shape.renormalize ? weight[k] / sum : weight[k]) * shape.weight_scale;
}

struct router_outputs {
    float *logits, *prob;
    int32_t *index;
    float *weight;
};

/* Dynamic shared memory: score and mass [ROW_WARPS, E] each, load [E]. */
static size_t router_shared(int32_t experts) {
    return (2 * ROW_WARPS + 1) * (size_t)experts * sizeof(float);
}

__global__ void router_forward_kernel(struct router_outputs out, struct router_partials parts,
                                      const float *bias, struct router_shape shape, int64_t grain) {
    CUDA_SHARED(float, shared);
    __shared__ double part[CUDA_WARP];
    const int32_t experts = shape.experts, warp = (int32_t)threadIdx.x / CUDA_WARP, lane = lane_of();
    float *score = shared + warp * experts, *mass = shared + (ROW_WARPS + warp) * experts;
    int32_t *load = reinterpret_cast<int32_t *>(shared + 2 * ROW_WARPS * experts);
    double entropy = 0.0, z = 0.0;
    for (int32_t e = lane; e < experts; e += CUDA_WARP)
        mass[e] = 0.0f;
    for (int32_t e = (int32_t)threadIdx.x; e < experts; e += ROW_WARPS * CUDA_WARP)
        load[e] = 0;
    __syncthreads();
    const int64_t begin = blockIdx.x * grain, end = begin + grain < shape.rows ? begin + grain : shape.rows;
    for (int64_t r = begin + warp; r < end; r += ROW_WARPS) {
        float *logits = out.logits + r * experts, *prob = out.prob + r * experts;
        float most = -INFINITY, total = 1.0f;
        for (int32_t e = lane; e < experts; e += CUDA_WARP) {
            if (shape.temperature != 1.0f) logits[e] /= shape.temperature;
            most = fmaxf(most, logits[e]);
        }
        most = warp_max(most);
        const float lse = shape.kind == ROUTER_SOFTMAX
                              ? softmax_row(prob, logits, experts, most, &entropy)
                              : sigmoid_row(prob, logits, experts, most, &total, &entropy);
        z += (double)lse * (double)lse;
        for (int32_t e = lane; e < experts; e += CUDA_WARP)
            mass[e] += prob[e] / total;
        choose_row(out.index + r * shape.top_k, out.weight + r * shape.top_k, load, score, prob, bias, shape);
    }
    /* every lane has its warp's sums: they count once */
    entropy = block_sum(lane == 0 ? entropy : 0.0, part);
    z = block_sum(lane == 0 ? z : 0.0, part);
    if (threadIdx.x == 0) {
        parts.entropy[blockIdx.x] = entropy;
        parts.z[blockIdx.x] = z;
    }
    for (int32_t e = (int32_t)threadIdx.x; e < experts; e += ROW_WARPS * CUDA_WARP) {
        float sum = 0.0f;
        for (int32_t w = 0; w < ROW_WARPS; w++)
            sum += shared[(ROW_WARPS + w) * experts + e];
        parts.mass[(int64_t)blockIdx.x * experts + e] = sum;
        parts.load[(int64_t)blockIdx.x * experts + e] = load[e];
    }
}

/* One block an expert, and one more for the two sums. */
__global__ void router_sums_kernel(int32_t *load, float *prob_mass, float *entropy, float *z,
                                   struct router_partials parts, int32_t pieces, int32_t experts) {
    __shared__ double part[CUDA_WARP];
    __shared__ int32_t count[CUDA_WARP];
    const int32_t e = (int32_t)blockIdx.x;
    double first = 0.0, second = 0.0;
    int32_t chosen = 0;
    for (int32_t p = (int32_t)threadIdx.x; p < pieces; p += SUM_THREADS) {
        first += e < experts ? (double)parts.mass[(int64_t)p * experts + e] : parts.entropy[p];
        second += e < experts ? 0.0 : parts.z[p];
        chosen += e < experts ? parts.load[(int64_t)p * experts + e] : 0;
    }
    first = block_sum(first, part);
    second = block_sum(second, part);
    chosen = block_sum(chosen, count);
    if (threadIdx.x > 0) return;
    if (e < experts) {
        prob_mass[e] = (float)first;
        load[e] = chosen;
    } else {
        *entropy = (float)first;
        *z = (float)second;
    }
}

void cuda_router_forward(struct device *dev, float *logits, float *prob, int32_t *index, float *weight,
                         int32_t *load, float *prob_mass, float *entropy, float *z, const act_t *x,
                         const act_t *w, const float *select_bias, const struct router_shape *shape) {
    const struct router_partials parts = partials_in(cuda_device_of(dev)->scratch, shape->experts);
    const struct router_outputs out = {logits, prob, index, weight};
    const int64_t grain = row_grain(shape->rows);
    const unsigned pieces = shape->rows > 0 ? cuda_pieces(shape->rows, grain) : 0;
    struct blas_product product = {};
    product.is_bf16 = cuda_device_of(dev)->is_bf16;
    product.m = shape->rows, product.n = shape->experts, product.k = shape->hidden;
    product.b_transposed = product.c_is_float = true;
    product.a = x, product.b = w, product.c = logits;
    blas_multiply(cuda_device_of(dev), &product, "router_forward");
    cuda_launch(dev, "router_forward", router_forward_kernel, pieces, ROW_WARPS * CUDA_WARP,
                router_shared(shape->experts), out, parts, select_bias, *shape, grain);
    cuda_launch(dev, "router_forward", router_sums_kernel, (unsigned)shape->experts + 1, SUM_THREADS, 0, load,
                prob_mass, entropy, z, parts, (int32_t)pieces, shape->experts);
}

/* ---- backward
 * --------------------------------------------------------------------------------------------- */

/* Inputs of the gradient of logits. */
struct router_gradients {
    float *dlogits;
    void *copy; /* the chunk's gradients in the type of activations, or NULL */
    const float *dweight, *prob_grad, *logits, *prob;
    const int32_t *index;
    float z_grad;
};

/* dprob = gradient through the balance loss: prob_grad about its mean under prob, over sum prob. Under a
 * softmax the mean falls out later and the sum is 1. */
static __device__ inline void balance_row(float *dprob, const float *prob_grad, const float *prob,
                                          const struct router_shape &shape) {
    float total = 1.0f, mean = 0.0f;
    if (prob_grad != nullptr && shape.kind == ROUTER_SIGMOID) {
        total = 0.0f;
        for (int32_t e = lane_of(); e < shape.experts; e += CUDA_WARP) {
            total += prob[e];
            mean = fmaf(prob_grad[e], prob[e], mean);
        }
        total = warp_sum(total);
        mean = warp_sum(mean) / total;
    }
    for (int32_t e = lane_of(); e < shape.experts; e += CUDA_WARP)
        dprob[e] = prob_grad != nullptr ? (prob_grad[e] - mean) / total : 0.0f;
}

/* dprob += gradient through the combine weights. Renormalised, with P = sum p and s = P + eps:
 *   d/dp_k = (P (dw_k - mean) + eps dw_k) / s^2,  mean = sum p_j dw_j / P,
 * times weight_scale, where the mean is taken about dw_0, so that one expert, or equal gradients, leave
 * exactly the eps term. */
static __device__ inline void weight_row(float *dprob, const float *dweight, const float *prob,
                                         const int32_t *index, const struct router_shape &shape) {
    double total = 0.0, moment = 0.0;
    for (int32_t k = lane_of(); shape.renormalize && k < shape.top_k; k += CUDA_WARP) {
        total += (double)prob[index[k]];
        moment += (double)prob[index[k]] * ((double)dweight[k] - (double)dweight[0]);
    }
    total = warp_sum(total);
    moment = warp_sum(moment);
    const double eps = (double)shape.renormalize_eps, s = total + eps;
    for (int32_t k = lane_of(); k < shape.top_k; k += CUDA_WARP) {
        double g = (double)dweight[k];
        if (shape.renormalize) g = ((g - (double)dweight[0]) * total - moment + eps * g) / (s * s);
        dprob[index[k]] += (float)(g * (double)shape.weight_scale); /* a row's experts are different */
    }
}

/* dlogits holds dprob on entry, the gradient with respect to x w^T (before the temperature) on return. */
static __device__ inline void logit_row(float *dlogits, const float *prob, const float *logits, float z_grad,
                                        const struct router_shape &shape) {
    float mean = 0.0f, most = -INFINITY, sum = 0.0f;
    for (int32_t e = lane_of(); e < shape.experts; e += CUDA_WARP) {
        mean = fmaf(prob[e], dlogits[e], mean);
        most = fmaxf(most, logits[e]);
    }
    mean = warp_sum(mean);
    most = warp_max(most);
    for (int32_t e = lane_of(); z_grad != 0.0f && e < shape.experts; e += CUDA_WARP)
        sum += expf(logits[e] - most);
    const float lse = most + logf(warp_sum(sum));
    for (int32_t e = lane_of(); e < shape.experts; e += CUDA_WARP) {
        const float p = prob[e];
        float g = shape.kind == ROUTER_SOFTMAX ? p * (dlogits[e] - mean) : p * (1.0f - p) * dlogits[e];
        if (z_grad != 0.0f) g = fmaf(2.0f * z_grad * lse, expf(logits[e] - lse), g);
        dlogits[e] = g / shape.temperature;
    }
}

template <typename T>
__global__ void router_backward_kernel(struct router_gradients g, struct router_shape shape, int64_t begin,
                                       int64_t end) {
    const int64_t r = begin + (int64_t)blockIdx.x * ROW_WARPS + threadIdx.x / CUDA_WARP;
    if (r >= end) return;
    const int64_t at = r * shape.experts, slot = r * shape.top_k;
    balance_row(g.dlogits + at, g.prob_grad, g.prob + at, shape);
    __syncwarp();
    weight_row(g.dlogits + at, g.dweight + slot, g.prob + at, g.index + slot, shape);
    __syncwarp();
    logit_row(g.dlogits + at, g.prob + at, g.logits + at, g.z_grad, shape);
    T *copy = static_cast<T *>(g.copy);
    for (int32_t e = lane_of(); copy != nullptr && e < shape.experts; e += CUDA_WARP)
        act_store(copy + (r - begin) * shape.experts, e, g.dlogits[at + e]);
}

void cuda_router_backward(struct device *dev, act_t *dx, float *dw, float *dlogits, const float *dweight,
                          const float *prob_grad, float z_grad, const float *logits, const float *prob,
                          const int32_t *index, const act_t *x, const act_t *w,
                          const struct router_shape *shape) {
    struct cuda_device *cuda = cuda_device_of(dev);
    const struct router_gradients g = {
        dlogits, cuda->is_bf16 ? cuda->scratch : NULL, dweight, prob_grad, logits, prob, index, z_grad};
    const int64_t grain = std::max<int64_t>(1, CHUNK_GRADIENTS / shape->experts);
    for (int64_t begin = 0; begin < shape->rows; begin += grain) {
        const int64_t end = begin + grain < shape->rows ? begin + grain : shape->rows;
        const size_t at = (size_t)(begin * shape->hidden) * dev->ops->act_size;
        const void *gradient = cuda->is_bf16 ? g.copy : dlogits + begin * shape->experts;
        cuda_for_act(dev, [&](auto act) {
            using T = decltype(act);
            cuda_launch(dev, "router_backward", router_backward_kernel<T>,
                        cuda_pieces(end - begin, ROW_WARPS), ROW_WARPS * CUDA_WARP, 0, g, *shape, begin, end);
        });
        struct blas_product product = {};
        product.is_bf16 = cuda->is_bf16;
        product.accumulate = true;
        product.n = shape->hidden;
        product.a = gradient;
        if (dx != NULL) {
            product.m = end - begin, product.k = shape->experts;
            product.b = w, product.c = static_cast<char *>(dx) + at;
            blas_multiply(cuda, &product, "router_backward");
        }
        product.m = shape->experts, product.k = end - begin;
        product.a_transposed = product.c_is_float = true;
        product.b = static_cast<const char *>(x) + at, product.c = dw;
        blas_multiply(cuda, &product, "router_backward");
    }
}

/* ---- balance between the passes
 * --------------------------------------------------------------------------- */

/* A thread an expert of a layer. */
__global__ void balance_gradient_kernel(float *prob_grad, const int32_t *load, struct balance_shape shape) {
    const int64_t cell = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, experts = shape.experts;
    if (cell >= shape.layers * experts) return;
    const int32_t pool = shape.pooled ? shape.layers : 1, first = (int32_t)(cell / experts) / pool * pool;
    const double rows = (double)shape.rows * pool;
    double slots = 0.0;
    for (int32_t l = first; l < first + pool; l++)
        slots += (double)load[(int64_t)l * shape.stride + cell % experts];
    prob_grad[cell / experts * shape.stride + cell % experts] =
        (float)(shape.scale * (double)experts * (slots / (rows * shape.top_k)) / rows);
}

void cuda_balance_gradient(struct device *dev, float *prob_grad, const int32_t *load,
                           const struct balance_shape *shape) {
    cuda_launch(dev, "balance_gradient", balance_gradient_kernel,
                cuda_pieces((int64_t)shape->layers * shape->experts, 128), 128, 0, prob_grad, load, *shape);
}
