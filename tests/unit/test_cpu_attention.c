/* test: rooms=device,core label=fast */
#include "cpu_fixture.h"

/* Attention of the "cpu" backend against plain loops in double, on odd sizes; equal bits on 1, 2 and 3
 * threads. */

#define TOLERANCE 1e-5 /* of the largest magnitude expected */
#define THREADS   3    /* bits are compared on 1 .. THREADS threads */

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
    double *p = zeroed_doubles(s->seq), *dp = zeroed_doubles(s->seq);
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
    c.out = zeroed_doubles(c.out_size);
    c.lse = zeroed_doubles(c.lse_size);
    c.dq = zeroed_doubles(c.q_size);
    c.dk = zeroed_doubles(c.kv_size);
    c.dv = zeroed_doubles(c.kv_size);
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

/* Asserts that the gaps are as they were, and makes them 0, as in the expected gradients. */
static void assert_gaps(float *x, int64_t rows, int64_t stride, int64_t used) {
    for (int64_t i = 0; i < rows * stride; i++) {
        if (i % stride < used) continue;
        assert_true(x[i] == UNTOUCHED);
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
        dev->ops->attention_backward(dev, got[2], got[3], got[4], NULL, c->dout, got[0], got[1], c->q, c->k,
                                     c->v, s, c->drop);
        assert_gaps(got[2], c->rows, s->q_stride, q_used);
        assert_gaps(got[3], c->rows, s->kv_stride, kv_used);
        assert_gaps(got[4], c->rows, s->kv_stride, kv_used);
        for (int i = 0; i < 5; i++) {
            if (threads == 1) {
                assert_close_to_largest(names[i], got[i], want[i], sizes[i], TOLERANCE);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_is_causal_softmax_and_its_gradients),
        cmocka_unit_test(attention_survives_large_scores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
