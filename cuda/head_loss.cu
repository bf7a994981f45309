/* Fused head and cross-entropy. Logits exist for one chunk of rows at a time, in fp32; a block turns a row of
 * them into its loss and its gradient, which the matrix products read in the type of activations. */
#include <algorithm>

#include "cuda/blas.cuh"
#include "cuda/cuda_operations.cuh"
#include "cuda/pack.cuh"
#include "cuda/reduce.cuh"

enum {
    ROW_THREADS = 512,
    CHUNK_MIN_ROWS = 64,
    CHUNK_MAX_ROWS = 8192,
    CHUNK_LOGITS = 64 << 20 /* logits a chunk may hold if that leaves it CHUNK_MIN_ROWS */
};

static int64_t chunk_rows(int64_t vocab) {
    const int64_t fit = CHUNK_LOGITS / vocab / CHUNK_MIN_ROWS * CHUNK_MIN_ROWS;
    return std::max<int64_t>(CHUNK_MIN_ROWS, std::min<int64_t>(fit, CHUNK_MAX_ROWS));
}

/* Logits, rounded up so that gradients behind them are aligned. */
static size_t logits_bytes(int64_t logits) {
    return ((size_t)logits * sizeof(float) + 255) / 256 * 256;
}

size_t cuda_head_loss_scratch(const struct device_options *options) {
    const int64_t vocab = options->max_vocab, all = options->max_rows * vocab;
    const int64_t most = std::min<int64_t>(all, std::max<int64_t>(CHUNK_MIN_ROWS * vocab, CHUNK_LOGITS));
    return logits_bytes(most) + (size_t)most * sizeof(bf16);
}

/* The rows at work; every pointer is to their first element. */
struct head_chunk {
    float *nll, *lse, *mean_logit;
    int32_t *correct; /* may be NULL */
    const float *logits;
    const int32_t *targets;
};

/* gradient [rows, V], NULL if none is wanted; it may be the logits themselves. */
template <typename T>
__global__ void head_row_kernel(struct head_chunk chunk, T *gradient, struct head_shape shape) {
    __shared__ float part[CUDA_WARP];
    __shared__ int32_t count[CUDA_WARP];
    const int64_t r = blockIdx.x, vocab = shape.vocab;
    const float *logits = chunk.logits + r * vocab;
    const int32_t target = chunk.targets[r];
    if (target < 0) {
        for (int64_t v = threadIdx.x; gradient != nullptr && v < vocab; v += ROW_THREADS)
            act_store(gradient + r * vocab, v, 0.0f);
        if (threadIdx.x > 0) return;
        chunk.nll[r] = chunk.lse[r] = chunk.mean_logit[r] = 0.0f;
        if (chunk.correct != nullptr) chunk.correct[r] = 0;
        return;
    }
    float most = -INFINITY, sum = 0.0f, sum_exp = 0.0f;
    for (int64_t v = threadIdx.x; v < vocab; v += ROW_THREADS) {
        most = fmaxf(most, logits[v]);
        sum += logits[v];
    }
    most = block_max(most, part);
    sum = block_sum(sum, part);
    int32_t above = 0; /* logits as large as the largest that stand before the target */
    for (int64_t v = threadIdx.x; v < vocab; v += ROW_THREADS) {
        sum_exp += expf(logits[v] - most);
        above += v < target && logits[v] >= most;
    }
    sum_exp = block_sum(sum_exp, part);
    above = block_sum(above, count);
    const float lse = most + logf(sum_exp), at_target = logits[target];
    __syncthreads(); /* the gradient may overwrite the target's logit */
    if (threadIdx.x == 0) {
        chunk.nll[r] = lse - at_target;
        chunk.lse[r] = lse;
        chunk.mean_logit[r] = sum / (float)shape.vocab;
        if (chunk.correct != nullptr) chunk.correct[r] = at_target >= most && above == 0;
    }
    if (gradient == nullptr) return;
    const float factor = shape.grad_scale * (1.0f + 2.0f * shape.z_coeff * lse);
    const float uniform = shape.grad_scale * shape.label_smoothing / (float)shape.vocab;
    const float hit = shape.grad_scale * (1.0f - shape.label_smoothing);
    for (int64_t v = threadIdx.x; v < vocab; v += ROW_THREADS) {
        const float g = factor * expf(logits[v] - lse) - uniform;
        act_store(gradient + r * vocab, v, v == target ? g - hit : g);
    }
}

/* dx [rows, D] = and dw [V, D] += from the chunk's gradient. */
static void chunk_backward(struct device *dev, void *dx, float *dw, const void *gradient, const void *x,
                           const act_t *w, int64_t rows, const struct head_shape *shape) {
    struct blas_product product = {};
    product.is_bf16 = cuda_device_of(dev)->is_bf16;
    product.m = rows, product.n = shape->hidden, product.k = shape->vocab;
    product.a = gradient, product.b = w, product.c = dx;
    blas_multiply(cuda_device_of(dev), &product, "head_loss");
    product.m = shape->vocab, product.k = rows;
    product.a_transposed = product.c_is_float = product.accumulate = true;
    product.b = x, product.c = dw;
    blas_multiply(cuda_device_of(dev), &product, "head_loss");
}

/* backward_seconds gets nothing: nothing here waits for the GPU, and what has not been waited for has no time
 * on the host's clock. */
void cuda_head_loss(struct device *dev, float *nll, float *lse, float *mean_logit, int32_t *correct,
                    act_t *dx, float *dw, const act_t *x, const act_t *w, const int32_t *targets,
                    const struct head_shape *shape, double *backward_seconds) {
    const size_t act_size = dev->ops->act_size;
    const int64_t hidden = shape->hidden, vocab = shape->vocab, grain = chunk_rows(vocab);
    void *logits = cuda_device_of(dev)->scratch;
    (void)backward_seconds;
    for (int64_t begin = 0; begin < shape->rows; begin += grain) {
        const int64_t rows = begin + grain < shape->rows ? grain : shape->rows - begin;
        const size_t at = (size_t)(begin * hidden) * act_size;
        const char *chunk_x = static_cast<const char *>(x) + at;
        const struct head_chunk chunk = {nll + begin,
                                         lse + begin,
                                         mean_logit + begin,
                                         correct != NULL ? correct + begin : NULL,
                                         static_cast<const float *>(logits),
                                         targets + begin};
        void *gradient = NULL;
        if (dx != NULL)
            gradient = cuda_device_of(dev)->is_bf16 ? cuda_at(logits, logits_bytes(rows * vocab)) : logits;
        struct blas_product product = {};
        product.is_bf16 = cuda_device_of(dev)->is_bf16;
        product.m = rows, product.n = vocab, product.k = hidden;
        product.b_transposed = product.c_is_float = true;
        product.a = chunk_x, product.b = w, product.c = logits;
        blas_multiply(cuda_device_of(dev), &product, "head_loss");
        cuda_for_act(dev, [&](auto act) {
            using T = decltype(act);
            cuda_launch(dev, "head_loss", head_row_kernel<T>, (unsigned)rows, ROW_THREADS, 0, chunk, gradient,
                        *shape);
        });
        if (dx != NULL)
            chunk_backward(dev, static_cast<char *>(dx) + at, dw, gradient, chunk_x, w, rows, shape);
    }
}
