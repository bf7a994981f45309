/* The products of experts by the backend's own kernels against cuBLAS's grouped ones, on a GPU.
 *
 *     grouped_bench [ROUNDS]
 *
 * For the experts of source D's models at full size: TFLOP/s of y = x w^T with rows in expert order, with
 * rows read where the tokens stand, and with rows that are moved first; of dx = dy w and of dw += dy^T x,
 * which is in float; and what cublasGemmGroupedBatchedEx makes of them. That function wants the sizes of its
 * groups in the host's memory, which in a training step would cost a wait for the router of every layer; here
 * they are given to it for nothing. Medians of ROUNDS (10) bursts. nan: cuBLAS refuses the product; it must
 * not refuse the first two. Exit code: 0 all is measured, and results are equal; 1 they differ or a call
 * failed; 77 no GPU. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cublas_v2.h>
#include <cuda_runtime_api.h>

#include "core/clock.h"
#include "core/normal.h"
#include "device/backend.h"

enum { TOKENS = 8192, BURST = 10, MOST_ROUNDS = 100, MOST_EXPERTS = 64 };

#define LIMIT 1e-2 /* largest difference of a product, over its largest element */

struct size {
    int32_t experts, top_k, in, out;
};

/* fc1 (gate and up together) and fc2, 8:1 to 64:8 */
static const struct size sizes[] = {
    {8, 1, 768, 4096},  {8, 1, 2048, 768}, {16, 2, 768, 2048}, {16, 2, 1024, 768},
    {32, 4, 768, 1024}, {32, 4, 512, 768}, {64, 8, 768, 512},  {64, 8, 256, 768},
};

/* What one size is measured with. */
struct subject {
    struct device *dev;
    cublasHandle_t blas;
    cudaStream_t stream; /* of blas */
    struct size size;
    int64_t rows;              /* tokens * K */
    act_t *tokens, *x, *w, *y; /* [TOKENS, in], [rows, in], [E, out, in], [rows, out] */
    act_t *dx, *other;         /* [rows, in]; cuBLAS's result, as large as the largest */
    float *dw;                 /* [E, out, in] */
    int32_t *offsets, *source;
    int32_t host_offsets[MOST_EXPERTS + 1];
    const void **left, **right; /* on the device: [E] addresses */
    void **result;
    bool failed;
};

/* ---- cuBLAS
 * ----------------------------------------------------------------------------------------------------------
 */

/* One group an expert. By columns, as cuBLAS counts, c [n, m] = a b: row-major c [m, n]. */
struct groups {
    cublasOperation_t a_op[MOST_EXPERTS], b_op[MOST_EXPERTS];
    int m[MOST_EXPERTS], n[MOST_EXPERTS], k[MOST_EXPERTS];
    int lda[MOST_EXPERTS], ldb[MOST_EXPERTS], ldc[MOST_EXPERTS], one_each[MOST_EXPERTS];
    float alpha[MOST_EXPERTS], beta[MOST_EXPERTS];
    cudaDataType_t result;
};

enum product { FORWARD, INPUT, WEIGHTS };

static const void *at(const void *base, int64_t element, cudaDataType_t type) {
    return (const char *)base + element * (type == CUDA_R_32F ? 4 : 2);
}

static void describe(const struct subject *s, enum product product, struct groups *g, const void *left[],
                     const void *right[], const void *result[]) {
    const int in = s->size.in, out = s->size.out;
    g->result = product == WEIGHTS ? CUDA_R_32F : CUDA_R_16BF;
    for (int e = 0; e < s->size.experts; e++) {
        const int64_t begin = s->host_offsets[e], w = (int64_t)e * in * out;
        const int rows = (int)(s->host_offsets[e + 1] - begin);
        g->one_each[e] = 1;
        g->alpha[e] = 1;
        g->beta[e] = product == WEIGHTS ? 1.0f : 0.0f;
        g->a_op[e] = product == FORWARD ? CUBLAS_OP_T : CUBLAS_OP_N;
        g->b_op[e] = product == WEIGHTS ? CUBLAS_OP_T : CUBLAS_OP_N;
        g->m[e] = product == FORWARD ? out : in;
        g->n[e] = product == WEIGHTS ? out : rows;
        g->k[e] = product == FORWARD ? in : product == INPUT ? out : rows;
        g->lda[e] = in;
        g->ldb[e] = product == FORWARD ? in : out;
        g->ldc[e] = g->m[e];
        left[e] = product == WEIGHTS ? at(s->x, begin * in, CUDA_R_16BF) : at(s->w, w, CUDA_R_16BF);
        right[e] =
            product == FORWARD ? at(s->x, begin * in, CUDA_R_16BF) : at(s->y, begin * out, CUDA_R_16BF);
        result[e] = at(s->other,
                       product == FORWARD ? begin * out
                       : product == INPUT ? begin * in
                                          : w,
                       g->result);
    }
}

static void give_addresses(struct subject *s, const void *left[], const void *right[], const void *result[]) {
    const struct backend *be = s->dev->ops;
    const size_t bytes = (size_t)s->size.experts * sizeof *left;
    be->upload(s->dev, s->left, left, bytes);
    be->upload(s->dev, s->right, right, bytes);
    be->upload(s->dev, s->result, result, bytes);
}

static void call_blas(struct subject *s, const struct groups *g) {
    const cublasStatus_t result = cublasGemmGroupedBatchedEx(
        s->blas, g->a_op, g->b_op, g->m, g->n, g->k, g->alpha, (const void *const *)s->left, CUDA_R_16BF,
        g->lda, (const void *const *)s->right, CUDA_R_16BF, g->ldb, g->beta, (void *const *)s->result,
        g->result, g->ldc, s->size.experts, g->one_each, CUBLAS_COMPUTE_32F);
    if (result != CUBLAS_STATUS_SUCCESS) s->failed = true;
}

/* ---- the backend
 * ----------------------------------------------------------------------------------------------------- */

static void call_forward(struct subject *s, const struct groups *g) {
    (void)g;
    s->dev->ops->grouped_linear_forward(s->dev, s->y, s->x, NULL, s->w, NULL, s->offsets, s->size.experts,
                                        s->rows, s->size.in, s->size.out);
}

static void call_in_place(struct subject *s, const struct groups *g) {
    (void)g;
    s->dev->ops->grouped_linear_forward(s->dev, s->y, s->tokens, s->source, s->w, NULL, s->offsets,
                                        s->size.experts, s->rows, s->size.in, s->size.out);
}

static void call_gathered(struct subject *s, const struct groups *g) {
    s->dev->ops->gather(s->dev, s->x, s->tokens, s->source, s->offsets, s->size.experts, s->rows, s->size.in);
    call_forward(s, g);
}

static void call_input(struct subject *s, const struct groups *g) {
    (void)g;
    s->dev->ops->grouped_linear_backward(s->dev, s->dx, NULL, NULL, s->y, s->x, NULL, s->w, s->offsets,
                                         s->size.experts, s->rows, s->size.in, s->size.out);
}

static void call_weights(struct subject *s, const struct groups *g) {
    (void)g;
    s->dev->ops->grouped_linear_backward(s->dev, NULL, s->dw, NULL, s->y, s->x, NULL, s->w, s->offsets,
                                         s->size.experts, s->rows, s->size.in, s->size.out);
}

/* ---- measuring
 * ------------------------------------------------------------------------------------------------------- */

static int compare_doubles(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static moe_status wait_for_all(struct subject *s, moe_err *err) {
    moe_status status = MOE_OK;
    moe_try(s->dev->ops->synchronize(s->dev, err));
    moe_check(cudaStreamSynchronize(s->stream) == cudaSuccess && !s->failed, err, MOE_EIO, "cuBLAS failed");
out:
    return status;
}

/* TFLOP/s of a product of 2 rows in out floating-point operations; the median of bursts, after one to warm
 * up. */
static moe_status measure(struct subject *s, void (*call)(struct subject *, const struct groups *),
                          const struct groups *g, int rounds, double *out_tflops, moe_err *err) {
    moe_status status = MOE_OK;
    double seconds[MOST_ROUNDS];
    for (int i = -1; i < rounds; i++) {
        const double start = clock_seconds();
        for (int k = 0; k < BURST; k++)
            call(s, g);
        moe_try(wait_for_all(s, err));
        if (i >= 0) seconds[i] = clock_seconds() - start;
    }
    qsort(seconds, (size_t)rounds, sizeof *seconds, compare_doubles);
    *out_tflops = 2e-12 * (double)s->rows * s->size.in * s->size.out * BURST / seconds[rounds / 2];
out:
    return status;
}

static float from_bf16(uint16_t half) {
    const uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static double element(const void *x, int64_t i, bool is_float) {
    return (double)(is_float ? ((const float *)x)[i] : from_bf16(((const uint16_t *)x)[i]));
}

/* Largest difference of two arrays, of bf16 or float, over the largest element; infinite if one is not
 * finite.
 */
static double difference(struct subject *s, const void *a, const void *b, int64_t n, bool is_float) {
    const struct backend *be = s->dev->ops;
    const size_t bytes = (size_t)n * (is_float ? sizeof(float) : sizeof(uint16_t));
    double most = 0, largest = 0;
    char *host = malloc(2 * bytes);
    if (host == NULL) return (double)INFINITY;
    be->download(s->dev, host, a, bytes);
    be->download(s->dev, host + bytes, b, bytes);
    for (int64_t i = 0; i < n; i++) {
        const double x = element(host, i, is_float), y = element(host + bytes, i, is_float);
        most = isfinite(x) && isfinite(y) ? fmax(most, fabs(x - y)) : (double)INFINITY;
        largest = fmax(largest, fabs(x));
    }
    free(host);
    return most / largest;
}

struct times {
    double forward, in_place, gathered, input, weights;
    double blas[3]; /* NAN: refused */
    double off;     /* largest difference from cuBLAS's results */
};

/* cuBLAS's time of a product, and how far its result is from `own` [n]. */
static moe_status measure_blas(struct subject *s, enum product product, const void *own, int64_t n,
                               int rounds, struct times *t, moe_err *err) {
    moe_status status = MOE_OK;
    struct groups g;
    const void *left[MOST_EXPERTS], *right[MOST_EXPERTS], *result[MOST_EXPERTS];
    const bool is_float = product == WEIGHTS;
    describe(s, product, &g, left, right, result);
    give_addresses(s, left, right, result);
    s->dev->ops->zero(s->dev, s->other, (size_t)n * (is_float ? sizeof(float) : sizeof(uint16_t)));
    moe_try(wait_for_all(s, err));
    call_blas(s, &g);
    if (s->failed && product == WEIGHTS) {
        s->failed = false;
        t->blas[product] = (double)NAN;
        goto out;
    }
    moe_try(wait_for_all(s, err));
    t->off = fmax(t->off, difference(s, own, s->other, n, is_float));
    moe_try(measure(s, call_blas, &g, rounds, &t->blas[product], err));
out:
    return status;
}

static moe_status measure_size(struct subject *s, int rounds, struct times *t, moe_err *err) {
    moe_status status = MOE_OK;
    const int64_t in = s->size.in, out = s->size.out, weights = s->size.experts * in * out;
    moe_try(measure(s, call_gathered, NULL, rounds, &t->gathered, err)); /* leaves x in expert order */
    moe_try(measure(s, call_in_place, NULL, rounds, &t->in_place, err));
    moe_try(measure(s, call_forward, NULL, rounds, &t->forward, err));
    moe_try(measure_blas(s, FORWARD, s->y, s->rows * out, rounds, t, err));
    moe_try(measure(s, call_input, NULL, rounds, &t->input, err));
    moe_try(measure_blas(s, INPUT, s->dx, s->rows * in, rounds, t, err));
    moe_try(measure(s, call_weights, NULL, rounds, &t->weights, err));
    s->dev->ops->zero(s->dev, s->dw, (size_t)weights * sizeof *s->dw);
    call_weights(s, NULL);
    moe_try(measure_blas(s, WEIGHTS, s->dw, weights, rounds, t, err));
out:
    return status;
}

/* ---- a size's memory
 * ------------------------------------------------------------------------------------------------- */

static moe_status fill(struct subject *s, act_t *x, int64_t n, float scale, uint32_t step, moe_err *err) {
    moe_status status = MOE_OK;
    const struct backend *be = s->dev->ops;
    const struct rng_key key = {.seed = 1, .stream = RNG_TEST, .step = step};
    void *wide = NULL;
    float *values = malloc((size_t)n * sizeof *values);
    moe_check(values != NULL, err, MOE_ENOMEM, "no memory for %lld numbers", (long long)n);
    for (int64_t i = 0; i < n; i++)
        values[i] = scale * (float)rng_normal(key, (uint64_t)i);
    moe_try(be->alloc(s->dev, (size_t)n * sizeof *values, &wide, err));
    be->upload(s->dev, wide, values, (size_t)n * sizeof *values);
    be->to_act(s->dev, x, wide, n);
    moe_try(be->synchronize(s->dev, err));
out:
    s->dev->ops->release(s->dev, wide);
    free(values);
    return status;
}

/* Tokens choose experts by chance, some of which are three times as much in demand as others. */
static moe_status choose_experts(struct subject *s, moe_err *err) {
    moe_status status = MOE_OK;
    const struct rng_key key = {.seed = 1, .stream = RNG_TEST, .step = 9};
    const int32_t experts = s->size.experts;
    int32_t *source = malloc((size_t)s->rows * sizeof *source), count[MOST_EXPERTS] = {0}, demand = 0;
    int32_t *chosen = malloc((size_t)s->rows * sizeof *chosen), next[MOST_EXPERTS];
    moe_check(source != NULL && chosen != NULL, err, MOE_ENOMEM, "no memory for %lld rows",
              (long long)s->rows);
    for (int32_t e = 0; e < experts; e++)
        demand += 1 + e % 3;
    for (int64_t i = 0; i < s->rows; i++) {
        int32_t left = (int32_t)rng_below(key, (uint64_t)i, (uint64_t)demand), e = 0;
        while (left >= 1 + e % 3) {
            left -= 1 + e % 3;
            e++;
        }
        chosen[i] = e;
        count[e]++;
    }
    for (int32_t e = 0; e < experts; e++) {
        next[e] = s->host_offsets[e];
        s->host_offsets[e + 1] = s->host_offsets[e] + count[e];
    }
    for (int64_t i = 0; i < s->rows; i++)
        source[next[chosen[i]]++] = (int32_t)(i / s->size.top_k);
    s->dev->ops->upload(s->dev, s->source, source, (size_t)s->rows * sizeof *source);
    s->dev->ops->upload(s->dev, s->offsets, s->host_offsets, ((size_t)experts + 1) * sizeof *s->host_offsets);
    moe_try(s->dev->ops->synchronize(s->dev, err));
out:
    free(source);
    free(chosen);
    return status;
}

static void subject_close(struct subject *s) {
    void *const blocks[] = {s->tokens, s->x,       s->w,      s->y,    s->dx,    s->other,
                            s->dw,     s->offsets, s->source, s->left, s->right, s->result};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++)
        s->dev->ops->release(s->dev, blocks[i]);
}

static moe_status subject_open(struct subject *s, moe_err *err) {
    moe_status status = MOE_OK;
    struct device *dev = s->dev;
    const size_t in = (size_t)s->size.in, out = (size_t)s->size.out, experts = (size_t)s->size.experts;
    const size_t rows = (size_t)s->rows, weights = experts * in * out, wide = in > out ? in : out;
    const size_t act = dev->ops->act_size, largest = rows * wide > weights ? rows * wide : weights;
    const struct {
        void *out;
        size_t bytes;
    } blocks[] = {
        {&s->tokens, TOKENS * in * act},
        {&s->x, rows * in * act},
        {&s->w, weights * act},
        {&s->y, rows * out * act},
        {&s->dx, rows * in * act},
        {&s->other, largest * sizeof(float)},
        {&s->dw, weights * sizeof(float)},
        {&s->offsets, (experts + 1) * sizeof(int32_t)},
        {&s->source, rows * sizeof(int32_t)},
        {&s->left, experts * sizeof(void *)},
        {&s->right, experts * sizeof(void *)},
        {&s->result, experts * sizeof(void *)},
    };
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++)
        moe_try(dev->ops->alloc(dev, blocks[i].bytes, blocks[i].out, err));
    moe_try(fill(s, s->tokens, (int64_t)TOKENS * s->size.in, 1.0f, 1, err));
    moe_try(fill(s, s->w, (int64_t)weights, 1.0f / sqrtf((float)in), 2, err));
    moe_try(choose_experts(s, err));
out:
    return status;
}

/* ---- all of them
 * ----------------------------------------------------------------------------------------------------- */

static void print_times(const struct size *size, const struct times *t) {
    printf("%2d:%d %5d -> %4d  %7.0f %8.0f %8.0f %7.0f  %7.0f %7.0f  %7.0f %7.0f  %.1e\n", size->experts,
           size->top_k, size->in, size->out, t->forward, t->in_place, t->gathered, t->blas[FORWARD], t->input,
           t->blas[INPUT], t->weights, t->blas[WEIGHTS], t->off);
}

static moe_status run(struct subject *s, int rounds, moe_err *err) {
    moe_status status = MOE_OK;
    double worst = 0, own = 0, library = 0;
    printf("TFLOP/s           forward in place gathered  cuBLAS    input  cuBLAS  weights  cuBLAS  "
           "difference\n");
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct times t = {0};
        s->size = sizes[i];
        s->rows = (int64_t)TOKENS * sizes[i].top_k;
        status = subject_open(s, err);
        if (status == MOE_OK) status = measure_size(s, rounds, &t, err);
        subject_close(s);
        if (status != MOE_OK) goto out;
        print_times(&sizes[i], &t);
        worst = fmax(worst, t.off);
        own += 1 / t.forward + 1 / t.input;
        library += 1 / t.blas[FORWARD] + 1 / t.blas[INPUT];
    }
    printf(
        "summary: forward and input together take %.2f of cuBLAS's grouped time; largest difference %.1e\n",
        own / library, worst);
    moe_check(worst <= LIMIT, err, MOE_EMISMATCH, "results differ by %.1e, at most %.1e is right", worst,
              LIMIT);
out:
    return status;
}

int main(int argc, char **argv) {
    moe_status status = MOE_OK;
    moe_err err = {0};
    struct subject s = {0};
    const int rounds = argc > 1 ? atoi(argv[1]) : 10;
    const struct device_options room = {
        .max_rows = TOKENS * 8, .max_vocab = 1, .max_seq = 1, .max_width = 4096};
    if (rounds < 1 || rounds > MOST_ROUNDS) {
        fprintf(stderr, "usage: grouped_bench [ROUNDS], 1 to %d\n", MOST_ROUNDS);
        return 2;
    }
    if (device_open("cuda", &room, &s.dev, &err) != MOE_OK) {
        printf("skipped: %s\n", err.message);
        return 77;
    }
    moe_check(cudaStreamCreateWithFlags(&s.stream, cudaStreamNonBlocking) == cudaSuccess &&
                  cublasCreate(&s.blas) == CUBLAS_STATUS_SUCCESS &&
                  cublasSetStream(s.blas, s.stream) == CUBLAS_STATUS_SUCCESS,
              &err, MOE_ENOTSUP, "cuBLAS does not open");
    moe_try(run(&s, rounds, &err));
out:
    if (s.blas != NULL) cublasDestroy(s.blas);
    if (s.stream != NULL) cudaStreamDestroy(s.stream);
    device_close(s.dev);
    if (status != MOE_OK) fprintf(stderr, "grouped_bench: %s\n", err.message);
    return status == MOE_OK ? 0 : 1;
}
