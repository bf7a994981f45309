/* Causal attention, one head and one block of queries at a time.
 *
 * A block's scores against all keys up to its last query stand in the thread's buffer [QUERY_BLOCK, padded
 * keys], so a row's softmax is one pass (no running maximum) and nothing of size T x T is ever held. Backward
 * makes the probabilities again from the kept lse, and takes a row's sum of P dP from dout . out, which holds
 * with dropout, too: both are sum_j P_j f_j (dout . v_j) (Dao et al. 2022, appendix B.4). */
#include <assert.h>
#include <string.h>

#include <cblas.h>
#include <omp.h>

#include "core/parallel.h"
#include "device/cpu/cpu_device.h"
#include "device/cpu/dropout_mask.h"
#include "device/cpu/rows.h"

#define QUERY_BLOCK 64
#define KEY_UNIT    16 /* buffer rows are whole vectors */

/* One query head of one sequence; element (t, i) of q is q[t * q_stride + i]. */
struct head {
    const float *q, *k, *v;
    int64_t q_stride, kv_stride, out_stride;
    int64_t dim;
    float scale;
    uint64_t mask_row; /* number of query 0 among all rows of probabilities */
    int64_t seq;
    struct dropout drop;
};

/* A block of queries [begin, end) and a thread's buffers for it: keys [0, end), rows of `padded` floats. */
struct block {
    int64_t begin, end, padded;
    float *scores, *dscores; /* [QUERY_BLOCK, padded] */
    float *factor;           /* [padded] */
};

static int64_t pad_keys(int64_t keys) {
    return piece_count(keys, KEY_UNIT) * KEY_UNIT;
}

int64_t cpu_attention_floats(int64_t max_seq) {
    return (2 * QUERY_BLOCK + 1) * pad_keys(max_seq);
}

static struct block block_at(float *buffer, int64_t i, int64_t seq) {
    struct block block = {.begin = piece_begin(i, seq, QUERY_BLOCK),
                          .end = piece_begin(i + 1, seq, QUERY_BLOCK)};
    block.padded = pad_keys(block.end);
    block.scores = buffer;
    block.dscores = block.scores + QUERY_BLOCK * block.padded;
    block.factor = block.dscores + QUERY_BLOCK * block.padded;
    return block;
}

static struct head head_at(const struct attention_shape *shape, const float *q, const float *k,
                           const float *v, struct dropout drop, int64_t b, int64_t h) {
    const int64_t group = shape->heads / shape->kv_heads, dim = shape->head_dim;
    const int64_t row = b * shape->seq;
    return (struct head){.q = q + row * shape->q_stride + h * dim,
                         .k = k + row * shape->kv_stride + h / group * dim,
                         .v = v + row * shape->kv_stride + h / group * dim,
                         .q_stride = shape->q_stride,
                         .kv_stride = shape->kv_stride,
                         .out_stride = shape->heads * dim,
                         .dim = dim,
                         .scale = shape->scale,
                         .mask_row = (uint64_t)((b * shape->heads + h) * shape->seq),
                         .seq = shape->seq,
                         .drop = drop};
}

/* c [rows, cols] = a [rows, dim] b [cols, dim]^T */
static void product_nt(float *c, int64_t ldc, const float *a, int64_t lda, const float *b, int64_t ldb,
                       int64_t rows, int64_t cols, int64_t dim) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)rows, (int)cols, (int)dim, 1.0f, a, (int)lda, b,
                (int)ldb, 0.0f, c, (int)ldc);
}

/* c [rows, dim] = a [rows, keys] b [keys, dim] */
static void product_nn(float *c, int64_t ldc, const float *a, int64_t lda, const float *b, int64_t ldb,
                       int64_t rows, int64_t keys, int64_t dim) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)rows, (int)dim, (int)keys, 1.0f, a, (int)lda,
                b, (int)ldb, 0.0f, c, (int)ldc);
}

/* c [keys, dim] += a [rows, keys]^T b [rows, dim] */
static void product_tn(float *c, int64_t ldc, const float *a, int64_t lda, const float *b, int64_t ldb,
                       int64_t rows, int64_t keys, int64_t dim) {
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)keys, (int)dim, (int)rows, 1.0f, a, (int)lda, b,
                (int)ldb, 1.0f, c, (int)ldc);
}

/* Dropout factors of query t's first `keys` keys; those after t are drawn in vain. */
static const float *dropout_row(const struct head *head, const struct block *block, int64_t t, int64_t keys) {
    const uint64_t first = (head->mask_row + (uint64_t)t) * (uint64_t)head->seq;
    cpu_dropout_factors(block->factor, first, keys, head->drop);
    return block->factor;
}

/* Query t's row works on whole vectors of keys. The keys after t that this takes in get the score of key 0,
 * which cannot change the maximum and costs no subnormal exponential, and are zeroed when the row is done. */
static int64_t fill_future(float *row, int64_t t) {
    const int64_t whole = pad_keys(t + 1);
    for (int64_t i = t + 1; i < whole; i++) {
        row[i] = row[0];
    }
    return whole;
}

static void zero_future(float *row, const struct block *block, int64_t t) {
    memset(row + t + 1, 0, (size_t)(block->padded - t - 1) * sizeof(float));
}

static void scores_of(const struct head *head, const struct block *block) {
    product_nt(block->scores, block->padded, head->q + block->begin * head->q_stride, head->q_stride, head->k,
               head->kv_stride, block->end - block->begin, block->end, head->dim);
}

/* Turns query t's scores into exp(score - max), dropout applied; returns lse and leaves 1 / sum of the
 * exponentials. */
static float softmax_row(const struct head *head, const struct block *block, int64_t t, float *inverse_sum) {
    float *p = block->scores + (t - block->begin) * block->padded;
    const int64_t keys = fill_future(p, t);
    const float max = head->scale * row_max(p, keys);
    row_exp(p, p, keys, head->scale, max);
    zero_future(p, block, t);
    const float sum = lanes_sum(p, keys);
    if (head->drop.threshold != 0) {
        const float *factor = dropout_row(head, block, t, keys);
#pragma omp simd
        for (int64_t i = 0; i < keys; i++) {
            p[i] *= factor[i];
        }
    }
    *inverse_sum = 1.0f / sum;
    return max + mathf_log(sum);
}

static void forward_block(const struct head *head, const struct block *block, float *out, float *lse) {
    float inverse_sum[QUERY_BLOCK];
    scores_of(head, block);
    for (int64_t t = block->begin; t < block->end; t++) {
        lse[t] = softmax_row(head, block, t, &inverse_sum[t - block->begin]);
    }
    float *o = out + block->begin * head->out_stride;
    product_nn(o, head->out_stride, block->scores, block->padded, head->v, head->kv_stride,
               block->end - block->begin, block->end, head->dim);
    for (int64_t r = 0; r < block->end - block->begin; r++) {
        for (int64_t i = 0; i < head->dim; i++) {
            o[r * head->out_stride + i] *= inverse_sum[r];
        }
    }
}

void cpu_attention_forward(struct device *dev, act_t *out, float *lse, const act_t *q, const act_t *k,
                           const act_t *v, const struct attention_shape *shape, struct dropout drop) {
    struct cpu_device *cpu = cpu_device_of(dev);
    const int64_t blocks = piece_count(shape->seq, QUERY_BLOCK), heads = shape->batch * shape->heads;
    assert(cpu_attention_floats(shape->seq) <= cpu->attention_floats);
#pragma omp parallel for num_threads(dev->options.threads) schedule(dynamic, 1)
    for (int64_t task = 0; task < heads * blocks; task++) {
        const int64_t n = task / blocks, b = n / shape->heads, h = n % shape->heads;
        const struct head head = head_at(shape, q, k, v, drop, b, h);
        const struct block block = block_at(cpu->attention + omp_get_thread_num() * cpu->attention_floats,
                                            task % blocks, shape->seq);
        float *o = (float *)out + b * shape->seq * head.out_stride + h * head.dim;
        forward_block(&head, &block, o, lse + n * shape->seq);
    }
}

/* Where one query head's gradients go; dk and dv are its kv head's. */
struct head_gradient {
    float *dq, *dk, *dv;
    const float *out, *dout, *lse;
};

/* Row t: scores become P f (what v was summed with), dscores (dout . v) become scale * dS. */
static void gradient_row(const struct head *head, const struct block *block, const struct head_gradient *grad,
                         int64_t t) {
    float *p = block->scores + (t - block->begin) * block->padded;
    float *ds = block->dscores + (t - block->begin) * block->padded;
    const int64_t keys = fill_future(p, t);
    const float row_term =
        lanes_dot(grad->out + t * head->out_stride, grad->dout + t * head->out_stride, head->dim);
    const float scale = head->scale, lse = grad->lse[t];
    if (head->drop.threshold == 0) {
#pragma omp simd
        for (int64_t i = 0; i < keys; i++) {
            p[i] = row_exp_of(scale * p[i] - lse);
            ds[i] = scale * p[i] * (ds[i] - row_term);
        }
    } else {
        const float *factor = dropout_row(head, block, t, keys);
#pragma omp simd
        for (int64_t i = 0; i < keys; i++) {
            const float prob = row_exp_of(scale * p[i] - lse);
            p[i] = prob * factor[i];
            ds[i] = scale * prob * (ds[i] * factor[i] - row_term);
        }
    }
    zero_future(p, block, t);
    zero_future(ds, block, t);
}

static void backward_block(const struct head *head, const struct block *block,
                           const struct head_gradient *grad) {
    const int64_t rows = block->end - block->begin, begin = block->begin, keys = block->end;
    const float *dout = grad->dout + begin * head->out_stride;
    const float *q = head->q + begin * head->q_stride;
    scores_of(head, block);
    product_nt(block->dscores, block->padded, dout, head->out_stride, head->v, head->kv_stride, rows, keys,
               head->dim);
    for (int64_t t = begin; t < block->end; t++) {
        gradient_row(head, block, grad, t);
    }
    product_tn(grad->dv, head->kv_stride, block->scores, block->padded, dout, head->out_stride, rows, keys,
               head->dim);
    product_nn(grad->dq + begin * head->q_stride, head->q_stride, block->dscores, block->padded, head->k,
               head->kv_stride, rows, keys, head->dim);
    product_tn(grad->dk, head->kv_stride, block->dscores, block->padded, q, head->q_stride, rows, keys,
               head->dim);
}

static void zero_head(float *x, int64_t stride, int64_t seq, int64_t dim) {
    for (int64_t t = 0; t < seq; t++) {
        memset(x + t * stride, 0, (size_t)dim * sizeof(float));
    }
}

/* All query heads of one kv head of one sequence, in order: dk and dv are added up by one thread. */
static void backward_group(const struct attention_shape *shape, const struct head_gradient *tensors,
                           const float *q, const float *k, const float *v, struct dropout drop, int64_t b,
                           int64_t kv_head, float *buffer) {
    const int64_t group = shape->heads / shape->kv_heads, seq = shape->seq, dim = shape->head_dim;
    const int64_t kv_at = b * seq * shape->kv_stride + kv_head * dim;
    zero_head(tensors->dk + kv_at, shape->kv_stride, seq, dim);
    zero_head(tensors->dv + kv_at, shape->kv_stride, seq, dim);
    for (int64_t h = kv_head * group; h < (kv_head + 1) * group; h++) {
        const struct head head = head_at(shape, q, k, v, drop, b, h);
        const int64_t out_at = b * seq * head.out_stride + h * dim;
        const struct head_gradient grad = {.dq = tensors->dq + b * seq * shape->q_stride + h * dim,
                                           .dk = tensors->dk + kv_at,
                                           .dv = tensors->dv + kv_at,
                                           .out = tensors->out + out_at,
                                           .dout = tensors->dout + out_at,
                                           .lse = tensors->lse + (b * shape->heads + h) * seq};
        for (int64_t i = 0; i < piece_count(seq, QUERY_BLOCK); i++) {
            const struct block block = block_at(buffer, i, seq);
            backward_block(&head, &block, &grad);
        }
    }
}

void cpu_attention_backward(struct device *dev, act_t *dq, act_t *dk, act_t *dv, float *delta,
                            const act_t *dout, const act_t *out, const float *lse, const act_t *q,
                            const act_t *k, const act_t *v, const struct attention_shape *shape,
                            struct dropout drop) {
    struct cpu_device *cpu = cpu_device_of(dev);
    const struct head_gradient tensors = {.dq = dq, .dk = dk, .dv = dv, .out = out, .dout = dout, .lse = lse};
    (void)delta;
    assert(cpu_attention_floats(shape->seq) <= cpu->attention_floats);
#pragma omp parallel for num_threads(dev->options.threads) schedule(dynamic, 1)
    for (int64_t task = 0; task < shape->batch * shape->kv_heads; task++) {
        backward_group(shape, &tensors, q, k, v, drop, task / shape->kv_heads, task % shape->kv_heads,
                       cpu->attention + omp_get_thread_num() * cpu->attention_floats);
    }
}
