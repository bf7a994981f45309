/* test: rooms=device,core label=fast */
/* The matrix half of the "cpu" backend against plain loops in double, on odd sizes; equal bits on 1, 2 and 3
 * threads. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "device/backend.h"
#include "device/blas_kernel.h"

#define TOLERANCE 1e-5 /* of the largest magnitude expected */
#define THREADS   3    /* bits are compared on 1 .. THREADS threads */

/* Under AddressSanitizer an allocation that cannot be had fails as it does elsewhere. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "allocator_may_return_null=1";
}

static struct device *open_cpu_vocab(int threads, int32_t max_vocab) {
    const struct device_options options = {
        .threads = threads, .max_rows = 2048, .max_vocab = max_vocab, .max_seq = 160, .max_width = 1100};
    struct device *dev = NULL;
    moe_err err = {0};
    assert_int_equal(device_open("cpu", &options, &dev, &err), MOE_OK);
    return dev;
}

static struct device *open_cpu(int threads) {
    return open_cpu_vocab(threads, 100);
}

/* n uniform floats in [-1, 1); freed with free(). */
static float *random_floats(int64_t n, uint32_t step) {
    float *x = malloc((size_t)(n > 0 ? n : 1) * sizeof *x);
    assert_non_null(x);
    const struct rng_key key = {.seed = 7, .stream = RNG_TEST, .step = step};
    for (int64_t i = 0; i < n; i++) {
        x[i] = 2.0f * rng_uniform(key, (uint64_t)i) - 1.0f;
    }
    return x;
}

static float *copy_floats(const float *x, int64_t n) {
    float *y = malloc((size_t)(n > 0 ? n : 1) * sizeof *y);
    assert_non_null(y);
    memcpy(y, x, (size_t)n * sizeof *y);
    return y;
}

static double *zeros(int64_t n) {
    double *x = calloc((size_t)(n > 0 ? n : 1), sizeof *x);
    assert_non_null(x);
    return x;
}

static double *as_double(const float *x, int64_t n) {
    double *y = zeros(n);
    for (int64_t i = 0; i < n; i++) {
        y[i] = (double)x[i];
    }
    return y;
}

static void assert_close(const char *what, const float *got, const double *want, int64_t n) {
    double largest = 0;
    for (int64_t i = 0; i < n; i++) {
        largest = fmax(largest, fabs(want[i]));
    }
    for (int64_t i = 0; i < n; i++) {
        if (!(fabs((double)got[i] - want[i]) <= TOLERANCE * largest)) {
            fail_msg("%s[%lld] is %.9g, expected %.9g", what, (long long)i, (double)got[i], want[i]);
        }
    }
}

/* ---- linear
 * ------------------------------------------------------------------------------------------------------ */

/* A grouped linear layer's inputs, and its outputs by loops in double. linear is the case of one group. */
struct linear_case {
    int32_t experts, in, out;
    const int32_t *offsets;
    int64_t rows; /* shape of x; rows past offsets[experts] are not used */
    float *x, *w, *bias, *dy;
    float *y0, *dx0, *dw0, *dbias0; /* contents of the outputs before the call */
    double *y, *dx, *dw, *dbias;
};

static struct linear_case linear_case_make(const int32_t *offsets, int32_t experts, int64_t rows, int32_t in,
                                           int32_t out, bool accumulate_dx) {
    struct linear_case c = {.experts = experts, .in = in, .out = out, .offsets = offsets, .rows = rows};
    const int64_t weights = (int64_t)experts * in * out;
    c.x = random_floats(rows * in, 1);
    c.w = random_floats(weights, 2);
    c.bias = random_floats((int64_t)experts * out, 3);
    c.dy = random_floats(rows * out, 4);
    c.y0 = random_floats(rows * out, 5);
    c.dx0 = random_floats(rows * in, 6);
    c.dw0 = random_floats(weights, 7);
    c.dbias0 = random_floats((int64_t)experts * out, 8);
    c.y = as_double(c.y0, rows * out);
    c.dx = as_double(c.dx0, rows * in);
    c.dw = as_double(c.dw0, weights);
    c.dbias = as_double(c.dbias0, (int64_t)experts * out);
    for (int32_t e = 0; e < experts; e++) {
        const float *w = c.w + (int64_t)e * in * out;
        for (int64_t r = offsets[e]; r < offsets[e + 1]; r++) {
            for (int32_t o = 0; o < out; o++) {
                double sum = (double)c.bias[e * out + o];
                for (int32_t i = 0; i < in; i++) {
                    sum += (double)c.x[r * in + i] * (double)w[o * in + i];
                    c.dw[((int64_t)e * out + o) * in + i] +=
                        (double)c.dy[r * out + o] * (double)c.x[r * in + i];
                }
                c.y[r * out + o] = sum;
                c.dbias[e * out + o] += (double)c.dy[r * out + o];
            }
            for (int32_t i = 0; i < in; i++) {
                double sum = accumulate_dx ? (double)c.dx0[r * in + i] : 0.0;
                for (int32_t o = 0; o < out; o++) {
                    sum += (double)c.dy[r * out + o] * (double)w[o * in + i];
                }
                c.dx[r * in + i] = sum;
            }
        }
    }
    return c;
}

static void linear_case_free(struct linear_case *c) {
    float *floats[] = {c->x, c->w, c->bias, c->dy, c->y0, c->dx0, c->dw0, c->dbias0};
    double *doubles[] = {c->y, c->dx, c->dw, c->dbias};
    for (size_t i = 0; i < sizeof floats / sizeof floats[0]; i++) {
        free(floats[i]);
    }
    for (size_t i = 0; i < sizeof doubles / sizeof doubles[0]; i++) {
        free(doubles[i]);
    }
}

/* Outputs of one run, in one block so that bits are compared at once. */
struct linear_outputs {
    int64_t y_size, dx_size, dw_size, dbias_size;
    float *y, *dx, *dw, *dbias;
};

static struct linear_outputs linear_outputs_make(const struct linear_case *c) {
    struct linear_outputs o = {.y_size = c->rows * c->out,
                               .dx_size = c->rows * c->in,
                               .dw_size = (int64_t)c->experts * c->in * c->out,
                               .dbias_size = (int64_t)c->experts * c->out};
    o.y = copy_floats(c->y0, o.y_size);
    o.dx = copy_floats(c->dx0, o.dx_size);
    o.dw = copy_floats(c->dw0, o.dw_size);
    o.dbias = copy_floats(c->dbias0, o.dbias_size);
    return o;
}

static void linear_outputs_free(struct linear_outputs *o) {
    free(o->y);
    free(o->dx);
    free(o->dw);
    free(o->dbias);
}

static void assert_same_outputs(const struct linear_outputs *a, const struct linear_outputs *b) {
    assert_memory_equal(a->y, b->y, (size_t)a->y_size * sizeof(float));
    assert_memory_equal(a->dx, b->dx, (size_t)a->dx_size * sizeof(float));
    assert_memory_equal(a->dw, b->dw, (size_t)a->dw_size * sizeof(float));
    assert_memory_equal(a->dbias, b->dbias, (size_t)a->dbias_size * sizeof(float));
}

/* Runs a case with the given operation on 1 .. THREADS threads, compares values with the loops and bits with
 * each other. */
static void check_linear(struct linear_case *c, bool grouped, bool accumulate_dx) {
    struct linear_outputs first = {0};
    for (int threads = 1; threads <= THREADS; threads++) {
        struct device *dev = open_cpu(threads);
        struct linear_outputs o = linear_outputs_make(c);
        if (grouped) {
            dev->ops->grouped_linear_forward(dev, o.y, c->x, c->w, c->bias, c->offsets, c->experts, c->rows,
                                             c->in, c->out);
            dev->ops->grouped_linear_backward(dev, o.dx, o.dw, o.dbias, c->dy, c->x, c->w, c->offsets,
                                              c->experts, c->rows, c->in, c->out);
        } else {
            dev->ops->linear_forward(dev, o.y, c->x, c->w, c->bias, c->rows, c->in, c->out);
            dev->ops->linear_backward(dev, o.dx, o.dw, o.dbias, c->dy, c->x, c->w, c->rows, c->in, c->out,
                                      accumulate_dx);
        }
        if (threads == 1) {
            first = o;
            assert_close("y", o.y, c->y, o.y_size);
            assert_close("dx", o.dx, c->dx, o.dx_size);
            assert_close("dw", o.dw, c->dw, o.dw_size);
            assert_close("dbias", o.dbias, c->dbias, o.dbias_size);
        } else {
            assert_same_outputs(&first, &o);
            linear_outputs_free(&o);
        }
        device_close(dev);
    }
    linear_outputs_free(&first);
}

static void linear_is_the_product_and_its_gradients(void **state) {
    (void)state;
    const int32_t sizes[][3] = {{1, 1, 1},    {1, 256, 1024}, {7, 13, 5},      {130, 33, 257},
                                {64, 300, 1}, {1030, 17, 30}, {600, 270, 1030}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const int32_t offsets[2] = {0, sizes[i][0]};
        for (int accumulate = 0; accumulate <= 1; accumulate++) {
            struct linear_case c =
                linear_case_make(offsets, 1, sizes[i][0], sizes[i][1], sizes[i][2], accumulate != 0);
            check_linear(&c, false, accumulate != 0);
            linear_case_free(&c);
        }
    }
}

static void linear_works_without_bias_and_without_some_gradients(void **state) {
    (void)state;
    const int32_t offsets[2] = {0, 19};
    struct linear_case c = linear_case_make(offsets, 1, 19, 21, 34, false);
    struct device *dev = open_cpu(2);
    struct linear_outputs o = linear_outputs_make(&c);
    dev->ops->linear_forward(dev, o.y, c.x, c.w, NULL, 19, 21, 34);
    for (int64_t i = 0; i < o.y_size; i++) {
        c.y[i] -= (double)c.bias[i % 34];
    }
    assert_close("y", o.y, c.y, o.y_size);
    dev->ops->linear_backward(dev, NULL, NULL, o.dbias, c.dy, c.x, c.w, 19, 21, 34, false);
    assert_close("dbias", o.dbias, c.dbias, o.dbias_size);
    assert_memory_equal(o.dw, c.dw0, (size_t)o.dw_size * sizeof(float));
    dev->ops->linear_backward(dev, NULL, o.dw, NULL, c.dy, c.x, c.w, 19, 21, 34, false);
    assert_close("dw", o.dw, c.dw, o.dw_size);
    dev->ops->linear_backward(dev, o.dx, NULL, NULL, c.dy, c.x, c.w, 19, 21, 34, false);
    assert_close("dx", o.dx, c.dx, o.dx_size);
    linear_outputs_free(&o);
    linear_case_free(&c);
    device_close(dev);
}

/* Empty first, middle and last experts, one with many rows, and rows past the last that must stay as they
 * were (the loops leave y and dx there). */
static void grouped_linear_serves_uneven_and_empty_experts(void **state) {
    (void)state;
    const int32_t offsets[9] = {0, 0, 1, 8, 8, 700, 830, 831, 831};
    struct linear_case c = linear_case_make(offsets, 8, 850, 37, 70, false);
    check_linear(&c, true, false);
    linear_case_free(&c);
    const int32_t none[3] = {0, 0, 0};
    struct linear_case empty = linear_case_make(none, 2, 3, 4, 5, false);
    check_linear(&empty, true, false);
    linear_case_free(&empty);
}

/* ---- attention
 * --------------------------------------------------------------------------------------------------- */

struct attention_case {
    struct attention_shape shape;
    struct dropout drop;
    int64_t rows, q_size, kv_size, out_size, lse_size;
    float *q, *k, *v, *dout;
    double *out, *lse, *dq, *dk, *dv;
};

static double drop_factor(struct dropout drop, uint64_t index) {
    if (drop.threshold == 0) return 1.0;
    const struct rng_block b = rng_block_at(drop.key, index / 8);
    const uint32_t word = b.v[index % 8 / 2] >> (16 * (index % 2)) & 0xffffu;
    return word >= drop.threshold ? 65536.0 / (65536.0 - drop.threshold) : 0.0;
}

/* One query's row: probabilities, output, and gradients by the chain rule through the full softmax Jacobian.
 */
static void attention_query(struct attention_case *c, int64_t b, int64_t h, int64_t t) {
    const struct attention_shape *s = &c->shape;
    const int64_t dim = s->head_dim, group = s->heads / s->kv_heads, out_stride = s->heads * dim;
    const int64_t at_q = (b * s->seq + t) * s->q_stride + h * dim,
                  at_o = (b * s->seq + t) * out_stride + h * dim;
    double *p = zeros(s->seq), *dp = zeros(s->seq);
    double max = -INFINITY, sum = 0, dot = 0;
    for (int64_t j = 0; j <= t; j++) {
        const int64_t at_k = (b * s->seq + j) * s->kv_stride + h / group * dim;
        for (int64_t i = 0; i < dim; i++) {
            p[j] += (double)s->scale * (double)c->q[at_q + i] * (double)c->k[at_k + i];
        }
        max = fmax(max, p[j]);
    }
    for (int64_t j = 0; j <= t; j++) {
        sum += exp(p[j] - max);
    }
    c->lse[(b * s->heads + h) * s->seq + t] = max + log(sum);
    for (int64_t j = 0; j <= t; j++) {
        const int64_t at_k = (b * s->seq + j) * s->kv_stride + h / group * dim;
        const double f = drop_factor(c->drop, (uint64_t)(((b * s->heads + h) * s->seq + t) * s->seq + j));
        p[j] = exp(p[j] - max) / sum;
        for (int64_t i = 0; i < dim; i++) {
            c->out[at_o + i] += p[j] * f * (double)c->v[at_k + i];
            c->dv[at_k + i] += p[j] * f * (double)c->dout[at_o + i];
            dp[j] += f * (double)c->dout[at_o + i] * (double)c->v[at_k + i];
        }
        dot += p[j] * dp[j];
    }
    for (int64_t j = 0; j <= t; j++) {
        const int64_t at_k = (b * s->seq + j) * s->kv_stride + h / group * dim;
        const double ds = p[j] * (dp[j] - dot) * (double)s->scale;
        for (int64_t i = 0; i < dim; i++) {
            c->dq[at_q + i] += ds * (double)c->k[at_k + i];
            c->dk[at_k + i] += ds * (double)c->q[at_q + i];
        }
    }
    free(p);
    free(dp);
}

/* gap: elements between a row's last head and the next row, which must stay untouched. */
static struct attention_case attention_case_make(int64_t batch, int64_t seq, int32_t heads, int32_t kv_heads,
                                                 int32_t dim, int64_t gap, float dropout) {
    struct attention_case c = {.shape = {.batch = batch,
                                         .seq = seq,
                                         .heads = heads,
                                         .kv_heads = kv_heads,
                                         .head_dim = dim,
                                         .q_stride = heads * dim + gap,
                                         .kv_stride = kv_heads * dim + gap,
                                         .scale = 1.0f / sqrtf((float)dim)},
                               .drop = dropout_make(dropout, 3, 5, 9)};
    c.rows = batch * seq;
    c.q_size = c.rows * c.shape.q_stride;
    c.kv_size = c.rows * c.shape.kv_stride;
    c.out_size = c.rows * heads * dim;
    c.lse_size = batch * heads * seq;
    c.q = random_floats(c.q_size, 11);
    c.k = random_floats(c.kv_size, 12);
    c.v = random_floats(c.kv_size, 13);
    c.dout = random_floats(c.out_size, 14);
    for (int64_t i = 0; i < c.q_size; i++) {
        c.q[i] *= 4.0f; /* scores that tell keys apart */
    }
    c.out = zeros(c.out_size);
    c.lse = zeros(c.lse_size);
    c.dq = zeros(c.q_size);
    c.dk = zeros(c.kv_size);
    c.dv = zeros(c.kv_size);
    for (int64_t n = 0; n < batch * heads * seq; n++) {
        attention_query(&c, n / seq / heads, n / seq % heads, n % seq);
    }
    return c;
}

static void attention_case_free(struct attention_case *c) {
    float *floats[] = {c->q, c->k, c->v, c->dout};
    double *doubles[] = {c->out, c->lse, c->dq, c->dk, c->dv};
    for (size_t i = 0; i < 4; i++) {
        free(floats[i]);
    }
    for (size_t i = 0; i < 5; i++) {
        free(doubles[i]);
    }
}

static const float untouched = 1e30f;

/* n floats that are `untouched` where no head stands and NaN, which must be overwritten, where one does. */
static float *strided_output(int64_t rows, int64_t stride, int64_t used) {
    float *x = malloc((size_t)(rows * stride) * sizeof *x);
    assert_non_null(x);
    for (int64_t i = 0; i < rows * stride; i++) {
        x[i] = i % stride < used ? NAN : untouched;
    }
    return x;
}

/* Asserts that the gaps are as they were, and makes them 0, as in the expected gradients. */
static void assert_gaps(float *x, int64_t rows, int64_t stride, int64_t used) {
    for (int64_t i = 0; i < rows * stride; i++) {
        if (i % stride < used) continue;
        assert_true(x[i] == untouched);
        x[i] = 0.0f;
    }
}

static void check_attention(struct attention_case *c) {
    const struct attention_shape *s = &c->shape;
    const int64_t q_used = s->heads * s->head_dim, kv_used = s->kv_heads * s->head_dim;
    float *first[5] = {0};
    const int64_t sizes[5] = {c->out_size, c->lse_size, c->q_size, c->kv_size, c->kv_size};
    const double *want[5] = {c->out, c->lse, c->dq, c->dk, c->dv};
    const char *names[5] = {"out", "lse", "dq", "dk", "dv"};
    for (int threads = 1; threads <= THREADS; threads++) {
        struct device *dev = open_cpu(threads);
        float *got[5] = {strided_output(c->rows, q_used, q_used), strided_output(c->lse_size, 1, 1),
                         strided_output(c->rows, s->q_stride, q_used),
                         strided_output(c->rows, s->kv_stride, kv_used),
                         strided_output(c->rows, s->kv_stride, kv_used)};
        dev->ops->attention_forward(dev, got[0], got[1], c->q, c->k, c->v, s, c->drop);
        dev->ops->attention_backward(dev, got[2], got[3], got[4], c->dout, got[0], got[1], c->q, c->k, c->v,
                                     s, c->drop);
        assert_gaps(got[2], c->rows, s->q_stride, q_used);
        assert_gaps(got[3], c->rows, s->kv_stride, kv_used);
        assert_gaps(got[4], c->rows, s->kv_stride, kv_used);
        for (int i = 0; i < 5; i++) {
            if (threads == 1) {
                assert_close(names[i], got[i], want[i], sizes[i]);
                first[i] = got[i];
            } else {
                assert_memory_equal(got[i], first[i], (size_t)sizes[i] * sizeof(float));
                free(got[i]);
            }
        }
        device_close(dev);
    }
    for (int i = 0; i < 5; i++) {
        free(first[i]);
    }
}

static void attention_is_causal_softmax_and_its_gradients(void **state) {
    (void)state;
    const struct {
        int64_t batch, seq;
        int32_t heads, kv_heads, dim;
        int64_t gap;
        float dropout;
    } shapes[] = {{1, 1, 1, 1, 1, 0, 0.0f},     {2, 7, 3, 3, 5, 0, 0.0f},    {2, 64, 2, 2, 32, 64, 0.0f},
                  {1, 65, 4, 2, 16, 3, 0.0f},   {2, 130, 6, 2, 12, 0, 0.0f}, {1, 160, 4, 1, 32, 8, 0.0f},
                  {2, 130, 4, 2, 8, 24, 0.25f}, {1, 37, 2, 2, 6, 1, 0.1f},   {1, 160, 2, 2, 32, 0, 0.5f}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct attention_case c =
            attention_case_make(shapes[i].batch, shapes[i].seq, shapes[i].heads, shapes[i].kv_heads,
                                shapes[i].dim, shapes[i].gap, shapes[i].dropout);
        check_attention(&c);
        attention_case_free(&c);
    }
}

/* Scores far outside the range of expf: one key wins, the output is its value, nothing overflows. */
static void attention_survives_large_scores(void **state) {
    (void)state;
    struct attention_case c = attention_case_make(1, 70, 1, 1, 4, 0, 0.0f);
    struct device *dev = open_cpu(2);
    float *out = random_floats(c.out_size, 1), *lse = random_floats(c.lse_size, 2);
    for (int64_t i = 0; i < c.q_size; i++) {
        c.q[i] = 500.0f;
        c.k[i] = i / 4 == 3 ? 100.0f : -100.0f;
    }
    dev->ops->attention_forward(dev, out, lse, c.q, c.k, c.v, &c.shape, c.drop);
    for (int64_t i = 3 * 4; i < c.out_size; i++) {
        assert_true(out[i] == c.v[3 * 4 + i % 4]);
    }
    for (int64_t t = 0; t < c.lse_size; t++) {
        assert_true(lse[t] == (t < 3 ? -100000.0f + logf((float)t + 1.0f) : 100000.0f));
    }
    free(out);
    free(lse);
    attention_case_free(&c);
    device_close(dev);
}

/* ---- head and loss
 * ----------------------------------------------------------------------------------------------- */

struct head_case {
    struct head_shape shape;
    float *x, *w, *dw0;
    int32_t *targets, *correct;
    double *nll, *lse, *mean, *dx, *dw;
};

static void head_row(struct head_case *c, int64_t r) {
    const struct head_shape *s = &c->shape;
    const int32_t target = c->targets[r];
    double *logits = zeros(s->vocab);
    double max = -INFINITY, sum = 0, total = 0;
    int32_t best = -1;
    for (int32_t v = 0; v < s->vocab; v++) {
        for (int32_t i = 0; i < s->hidden; i++) {
            logits[v] += (double)c->x[r * s->hidden + i] * (double)c->w[v * s->hidden + i];
        }
        if (logits[v] > max) {
            max = logits[v];
            best = v;
        }
        total += logits[v];
    }
    for (int32_t v = 0; v < s->vocab; v++) {
        sum += exp(logits[v] - max);
    }
    if (target >= 0) {
        const double eps = (double)s->label_smoothing, z = (double)s->z_coeff;
        c->lse[r] = max + log(sum);
        c->nll[r] = c->lse[r] - logits[target];
        c->mean[r] = total / s->vocab;
        c->correct[r] = best == target;
        for (int32_t v = 0; v < s->vocab; v++) {
            const double p = exp(logits[v] - c->lse[r]);
            const double g = (double)s->grad_scale *
                             (p * (1 + 2 * z * c->lse[r]) - eps / s->vocab - (v == target ? 1 - eps : 0));
            for (int32_t i = 0; i < s->hidden; i++) {
                c->dx[r * s->hidden + i] += g * (double)c->w[v * s->hidden + i];
                c->dw[v * s->hidden + i] += g * (double)c->x[r * s->hidden + i];
            }
        }
    }
    free(logits);
}

static struct head_case head_case_make(int64_t rows, int32_t hidden, int32_t vocab, float smoothing,
                                       float z_coeff) {
    struct head_case c = {.shape = {.rows = rows,
                                    .hidden = hidden,
                                    .vocab = vocab,
                                    .label_smoothing = smoothing,
                                    .z_coeff = z_coeff,
                                    .grad_scale = 0.37f}};
    c.x = random_floats(rows * hidden, 21);
    c.w = random_floats((int64_t)vocab * hidden, 22);
    c.dw0 = random_floats((int64_t)vocab * hidden, 23);
    c.targets = calloc((size_t)rows, sizeof *c.targets);
    c.correct = calloc((size_t)rows, sizeof *c.correct);
    const struct rng_key key = {.seed = 7, .stream = RNG_TEST, .step = 24};
    for (int64_t r = 0; r < rows; r++) {
        c.targets[r] = r % 5 == 3 ? -1 : (int32_t)rng_below(key, (uint64_t)r, (uint64_t)vocab);
    }
    c.nll = zeros(rows);
    c.lse = zeros(rows);
    c.mean = zeros(rows);
    c.dx = zeros(rows * hidden);
    c.dw = as_double(c.dw0, (int64_t)vocab * hidden);
    for (int64_t r = 0; r < rows; r++) {
        head_row(&c, r);
    }
    return c;
}

static void head_case_free(struct head_case *c) {
    void *all[] = {c->x, c->w, c->dw0, c->targets, c->correct, c->nll, c->lse, c->mean, c->dx, c->dw};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        free(all[i]);
    }
}

/* On a device planned for max_vocab, which may be more than the case needs. */
static void check_head(struct head_case *c, int32_t max_vocab) {
    const struct head_shape *s = &c->shape;
    const int64_t rows = s->rows, weights = (int64_t)s->vocab * s->hidden;
    float *first[5] = {0};
    const int64_t sizes[5] = {rows, rows, rows, rows * s->hidden, weights};
    const double *want[5] = {c->nll, c->lse, c->mean, c->dx, c->dw};
    const char *names[5] = {"nll", "lse", "mean_logit", "dx", "dw"};
    for (int threads = 1; threads <= THREADS; threads++) {
        struct device *dev = open_cpu_vocab(threads, max_vocab);
        float *got[5] = {strided_output(rows, 1, 1), strided_output(rows, 1, 1), strided_output(rows, 1, 1),
                         strided_output(rows, s->hidden, s->hidden), copy_floats(c->dw0, weights)};
        int32_t *correct = calloc((size_t)rows, sizeof *correct);
        double seconds = 0;
        dev->ops->head_loss(dev, got[0], got[1], got[2], correct, got[3], got[4], c->x, c->w, c->targets, s,
                            &seconds);
        assert_true(seconds > 0);
        assert_memory_equal(correct, c->correct, (size_t)rows * sizeof *correct);
        for (int i = 0; i < 5; i++) {
            if (threads == 1) {
                assert_close(names[i], got[i], want[i], sizes[i]);
                first[i] = got[i];
            } else {
                assert_memory_equal(got[i], first[i], (size_t)sizes[i] * sizeof(float));
                free(got[i]);
            }
        }
        free(correct);
        device_close(dev);
    }
    for (int i = 0; i < 5; i++) {
        free(first[i]);
    }
}

static void head_loss_is_cross_entropy_and_its_gradients(void **state) {
    (void)state;
    const struct {
        int64_t rows;
        int32_t hidden, vocab;
        float smoothing, z_coeff;
        int32_t max_vocab;
    } shapes[] = {{1, 1, 2, 0.0f, 0.0f, 2},
                  {7, 12, 11, 0.1f, 0.0f, 11},
                  {130, 9, 1100, 0.0f, 1e-2f, 2000},
                  {530, 20, 333, 0.1f, 1e-3f, 333},
                  {1100, 6, 61, 0.0f, 0.0f, 61},
                  {4, 16, 1, 0.0f, 0.0f, 1},
                  {512, 1, 16384, 0.0f, 0.0f, 66000},
                  {130, 2, 66000, 0.1f, 0.0f, 66000},
                  {70, 2, 140000, 0.0f, 1e-4f, 140000}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct head_case c = head_case_make(shapes[i].rows, shapes[i].hidden, shapes[i].vocab,
                                            shapes[i].smoothing, shapes[i].z_coeff);
        check_head(&c, shapes[i].max_vocab);
        head_case_free(&c);
    }
}

/* Evaluation asks for no gradient: the same losses, and nothing else is written. */
static void head_loss_without_gradient_gives_the_same_losses(void **state) {
    (void)state;
    struct head_case c = head_case_make(100, 10, 77, 0.0f, 0.0f);
    struct device *dev = open_cpu(2);
    float nll[100], lse[100], mean[100];
    double seconds = 0;
    dev->ops->head_loss(dev, nll, lse, mean, NULL, NULL, NULL, c.x, c.w, c.targets, &c.shape, &seconds);
    assert_close("nll", nll, c.nll, 100);
    assert_close("lse", lse, c.lse, 100);
    assert_close("mean_logit", mean, c.mean, 100);
    assert_true(seconds == 0);
    device_close(dev);
    head_case_free(&c);
}

/* Equal logits everywhere: only target 0 is the first of the largest. */
static void head_loss_takes_the_first_of_equal_logits(void **state) {
    (void)state;
    const float x[2] = {1.0f, 1.0f}, w[6] = {0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f};
    const int32_t targets[2] = {0, 5};
    const struct head_shape shape = {.rows = 2, .hidden = 1, .vocab = 6};
    float nll[2], lse[2], mean[2];
    int32_t correct[2];
    struct device *dev = open_cpu(1);
    dev->ops->head_loss(dev, nll, lse, mean, correct, NULL, NULL, x, w, targets, &shape, NULL);
    assert_int_equal(correct[0], 1);
    assert_int_equal(correct[1], 0);
    assert_true(fabsf(nll[0] - logf(6.0f)) < 1e-6f && mean[1] == 0.5f);
    device_close(dev);
}

/* ---- memory, reductions, devices
 * --------------------------------------------------------------------------------- */

static void memory_is_zeroed_aligned_and_copied(void **state) {
    (void)state;
    const size_t bytes = ((size_t)5 << 19) + 12; /* more than two pieces of a copy */
    struct device *dev = open_cpu(3);
    void *a = NULL, *b = NULL;
    assert_int_equal(dev->ops->alloc(dev, bytes, &a, NULL), MOE_OK);
    assert_int_equal(dev->ops->alloc(dev, bytes, &b, NULL), MOE_OK);
    assert_int_equal((uintptr_t)a % 64, 0);
    float *host = random_floats((int64_t)(bytes / 4), 31), *back = calloc(bytes, 1);
    assert_memory_equal(a, back, bytes);
    dev->ops->upload(dev, a, host, bytes);
    dev->ops->copy(dev, b, a, bytes);
    dev->ops->download(dev, back, b, bytes);
    assert_memory_equal(back, host, bytes);
    dev->ops->zero(dev, b, bytes - 4);
    assert_true(((float *)b)[0] == 0 && ((float *)b)[bytes / 4 - 2] == 0);
    assert_true(((float *)b)[bytes / 4 - 1] == host[bytes / 4 - 1]);
    assert_int_equal(dev->ops->synchronize(dev, NULL), MOE_OK);
    dev->ops->release(dev, a);
    dev->ops->release(dev, b);
    dev->ops->release(dev, NULL);
    moe_err err = {0};
    assert_int_equal(dev->ops->alloc(dev, SIZE_MAX / 4, &a, &err), MOE_ENOMEM);
    free(host);
    free(back);
    device_close(dev);
}

static void sum_and_search_cover_every_element(void **state) {
    (void)state;
    const int64_t sizes[] = {0, 1, 7, 4099, 70001, 300007};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        const int64_t n = sizes[s];
        float *x = random_floats(n, 41);
        double want = 0, first = 0;
        for (int64_t i = 0; i < n; i++) {
            want += (double)x[i];
        }
        for (int threads = 1; threads <= THREADS; threads++) {
            struct device *dev = open_cpu(threads);
            const double got = dev->ops->sum(dev, x, n);
            assert_true(fabs(got - want) <= 1e-9 * (1 + fabs(want)));
            if (threads == 1) first = got;
            assert_true(got == first);
            assert_int_equal(dev->ops->find_nonfinite(dev, x, n), -1);
            const int64_t at = n - 1;
            if (n > 0) {
                const float kept = x[at];
                x[at] = -INFINITY;
                assert_int_equal(dev->ops->find_nonfinite(dev, x, n), at);
                x[at / 3] = NAN;
                assert_int_equal(dev->ops->find_nonfinite(dev, x, n), at / 3);
                x[at / 3] = x[at] = kept;
            }
            device_close(dev);
            free(x);
            x = random_floats(n, 41);
        }
        free(x);
    }
}

static void devices_are_found_by_name(void **state) {
    (void)state;
    const struct device_options options = {.threads = 0};
    struct device *dev = NULL;
    moe_err err = {0};
    assert_int_equal(device_open("cpu", &options, &dev, &err), MOE_OK);
    assert_true(dev->options.threads >= 1);
    assert_string_equal(dev->ops->name, "cpu");
    device_close(dev);
    device_close(NULL);
    assert_int_equal(device_open("abacus", &options, &dev, &err), MOE_ENOTFOUND);
    assert_non_null(strstr(err.message, "abacus"));
    const struct device_options negative = {.threads = 1, .max_rows = -1};
    assert_int_equal(device_open("cpu", &negative, &dev, &err), MOE_EARG);
}

static void the_blas_names_itself(void **state) {
    (void)state;
    assert_true(strncmp(device_cpu_blas(), "OpenBLAS ", 9) == 0);
    assert_true(strlen(device_cpu_blas()) > strlen("OpenBLAS 0.3"));
    /* A user's choice is never overridden. */
    assert_int_equal(setenv("OPENBLAS_CORETYPE", "Haswell", 1), 0);
    assert_null(blas_preferred_kernel());
    assert_int_equal(unsetenv("OPENBLAS_CORETYPE"), 0);
    const char *kernel = blas_preferred_kernel();
    assert_true(kernel == NULL || strstr(device_cpu_blas(), kernel) == NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_is_the_product_and_its_gradients),
        cmocka_unit_test(linear_works_without_bias_and_without_some_gradients),
        cmocka_unit_test(grouped_linear_serves_uneven_and_empty_experts),
        cmocka_unit_test(attention_is_causal_softmax_and_its_gradients),
        cmocka_unit_test(attention_survives_large_scores),
        cmocka_unit_test(head_loss_is_cross_entropy_and_its_gradients),
        cmocka_unit_test(head_loss_without_gradient_gives_the_same_losses),
        cmocka_unit_test(head_loss_takes_the_first_of_equal_logits),
        cmocka_unit_test(memory_is_zeroed_aligned_and_copied),
        cmocka_unit_test(sum_and_search_cover_every_element),
        cmocka_unit_test(devices_are_found_by_name),
        cmocka_unit_test(the_blas_names_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
