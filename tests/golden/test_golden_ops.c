/* test: rooms=model label=fast */
#include "golden.h"

/* Every operation on both CPU backends against what PyTorch computes in float64 (make_golden.py). */

#define LIMIT 1e-6

static void linear(struct golden *g) {
    const char *n = "linear";
    const int64_t rows = golden_dim(g, n, "x", 0);
    const int32_t in = (int32_t)golden_dim(g, n, "x", 1), out = (int32_t)golden_dim(g, n, "w", 0);
    void *x = golden_upload(g, n, "x"), *w = golden_upload(g, n, "w"), *b = golden_upload(g, n, "b");
    void *dy = golden_upload(g, n, "dy"), *y = golden_zeros(g, rows * out), *dx = golden_zeros(g, rows * in);
    float *dw = golden_zeros(g, (int64_t)out * in), *db = golden_zeros(g, out);
    g->ops->linear_forward(g->dev, y, x, w, b, rows, in, out);
    g->ops->linear_backward(g->dev, dx, dw, db, dy, x, w, rows, in, out, false);
    golden_expect(g, n, "y", y, LIMIT);
    golden_expect(g, n, "dx", dx, LIMIT);
    golden_expect(g, n, "dw", dw, LIMIT);
    golden_expect(g, n, "db", db, LIMIT);
}

static void norm(struct golden *g, const char *n, enum norm_kind kind, float eps) {
    const int64_t rows = golden_dim(g, n, "x", 0);
    const int32_t width = (int32_t)golden_dim(g, n, "x", 1);
    const bool layer = kind == NORM_LAYER;
    void *x = golden_upload(g, n, "x"), *gamma = golden_upload(g, n, "gamma"),
         *dy = golden_upload(g, n, "dy");
    void *beta = layer ? golden_upload(g, n, "beta") : NULL;
    void *y = golden_zeros(g, rows * width), *dx = golden_zeros(g, rows * width);
    float *mean = layer ? golden_zeros(g, rows) : NULL, *rstd = golden_zeros(g, rows);
    float *dgamma = golden_zeros(g, width), *dbeta = layer ? golden_zeros(g, width) : NULL;
    g->ops->norm_forward(g->dev, kind, y, mean, rstd, x, gamma, beta, rows, width, width, width, eps);
    g->ops->norm_backward(g->dev, kind, dx, dgamma, dbeta, dy, x, mean, rstd, gamma, rows, width, width,
                          width, false);
    golden_expect(g, n, "y", y, LIMIT);
    golden_expect(g, n, "dx", dx, LIMIT);
    golden_expect(g, n, "dgamma", dgamma, LIMIT);
    if (layer) golden_expect(g, n, "dbeta", dbeta, LIMIT);
}

static void layer_norm(struct golden *g) {
    norm(g, "layer_norm", NORM_LAYER, 1e-5f);
}

static void rms_norm(struct golden *g) {
    norm(g, "rms_norm", NORM_RMS, 1e-6f);
}

static void activation(struct golden *g, const char *n, enum activation_kind kind) {
    const struct dropout none = dropout_make(0, 0, 0, 0);
    const int64_t rows = golden_dim(g, n, "y", 0);
    const int32_t width = (int32_t)golden_dim(g, n, "y", 1);
    void *x = golden_upload(g, n, "x"), *dy = golden_upload(g, n, "dy");
    void *y = golden_zeros(g, rows * width), *dx = golden_zeros(g, golden_find(g, n, "x")->count);
    g->ops->activation_forward(g->dev, kind, y, x, rows, width, none);
    g->ops->activation_backward(g->dev, kind, dx, dy, x, rows, width, none);
    golden_expect(g, n, "y", y, LIMIT);
    golden_expect(g, n, "dx", dx, LIMIT);
}

static void activations(struct golden *g) {
    activation(g, "gelu", ACTIVATION_GELU);
    activation(g, "silu", ACTIVATION_SILU);
    activation(g, "relu", ACTIVATION_RELU);
    activation(g, "swiglu", ACTIVATION_SWIGLU);
}

static void attention(struct golden *g, const char *n) {
    const struct dropout none = dropout_make(0, 0, 0, 0);
    const int32_t head_dim = (int32_t)golden_dim(g, n, "q", 3);
    const struct attention_shape shape = {
        .batch = golden_dim(g, n, "q", 0),
        .seq = golden_dim(g, n, "q", 1),
        .heads = (int32_t)golden_dim(g, n, "q", 2),
        .kv_heads = (int32_t)golden_dim(g, n, "k", 2),
        .head_dim = head_dim,
        .q_stride = golden_dim(g, n, "q", 2) * head_dim,
        .kv_stride = golden_dim(g, n, "k", 2) * head_dim,
        .scale = 1.0f / sqrtf((float)head_dim),
    };
    const int64_t q_count = golden_find(g, n, "q")->count, kv_count = golden_find(g, n, "k")->count;
    void *q = golden_upload(g, n, "q"), *k = golden_upload(g, n, "k"), *v = golden_upload(g, n, "v");
    void *dout = golden_upload(g, n, "dy"), *out = golden_zeros(g, q_count);
    void *dq = golden_zeros(g, q_count), *dk = golden_zeros(g, kv_count), *dv = golden_zeros(g, kv_count);
    float *lse = golden_zeros(g, golden_find(g, n, "lse")->count);
    float *delta = golden_zeros(g, golden_find(g, n, "lse")->count);
    g->ops->attention_forward(g->dev, out, lse, q, k, v, &shape, none);
    g->ops->attention_backward(g->dev, dq, dk, dv, delta, dout, out, lse, q, k, v, &shape, none);
    golden_expect(g, n, "y", out, LIMIT);
    golden_expect(g, n, "lse", lse, LIMIT);
    golden_expect(g, n, "dq", dq, LIMIT);
    golden_expect(g, n, "dk", dk, LIMIT);
    golden_expect(g, n, "dv", dv, LIMIT);
}

static void attention_grouped(struct golden *g) {
    attention(g, "attention_gqa");
}

static void attention_long(struct golden *g) {
    attention(g, "attention_long");
}

static void rope(struct golden *g, const char *n, bool interleaved) {
    const int64_t seq = golden_dim(g, n, "x", 1), rows = golden_dim(g, n, "x", 0) * seq;
    const int32_t heads = (int32_t)golden_dim(g, n, "x", 2), head_dim = (int32_t)golden_dim(g, n, "x", 3);
    const int64_t stride = (int64_t)heads * head_dim;
    void *x = golden_upload(g, n, "x"), *dy = golden_upload(g, n, "dy");
    g->ops->rope(g->dev, x, rows, seq, 0, heads, head_dim, stride, 10000.0f, interleaved, false);
    g->ops->rope(g->dev, dy, rows, seq, 0, heads, head_dim, stride, 10000.0f, interleaved, true);
    golden_expect(g, n, "y", x, LIMIT);
    golden_expect(g, n, "dx", dy, LIMIT);
}

static void ropes(struct golden *g) {
    rope(g, "rope_halves", false);
    rope(g, "rope_pairs", true);
}

/* PyTorch's mean over the counted rows, from the three per-row outputs. */
static double mean_loss(struct golden *g, const char *n, const float *nll, const float *lse,
                        const float *mean, float smoothing, float z_coeff) {
    const int64_t rows = golden_dim(g, n, "x", 0);
    const double eps = (double)smoothing, counted = (double)rows - 2;
    float *host_lse = malloc((size_t)rows * sizeof *host_lse);
    double z = 0;
    g->ops->download(g->dev, host_lse, lse, (size_t)rows * sizeof *host_lse);
    for (int64_t r = 0; r < rows; r++)
        z += (double)host_lse[r] * (double)host_lse[r];
    free(host_lse);
    double sum_nll, sum_lse, sum_mean;
    g->ops->sum(g->dev, &sum_nll, nll, rows);
    g->ops->sum(g->dev, &sum_lse, lse, rows);
    g->ops->sum(g->dev, &sum_mean, mean, rows);
    return ((1 - eps) * sum_nll + eps * (sum_lse - sum_mean) + (double)z_coeff * z) / counted;
}

static void head(struct golden *g, const char *n, float smoothing, float z_coeff) {
    const int64_t rows = golden_dim(g, n, "x", 0);
    const struct head_shape shape = {
        .rows = rows,
        .hidden = (int32_t)golden_dim(g, n, "x", 1),
        .vocab = (int32_t)golden_dim(g, n, "w", 0),
        .label_smoothing = smoothing,
        .z_coeff = z_coeff,
        .grad_scale = 1.0f / (float)(rows - 2), /* two targets are ignored */
    };
    void *x = golden_upload(g, n, "x"), *w = golden_upload(g, n, "w"),
         *targets = golden_upload(g, n, "targets");
    float *nll = golden_zeros(g, rows), *lse = golden_zeros(g, rows), *mean = golden_zeros(g, rows);
    void *dx = golden_zeros(g, rows * shape.hidden);
    float *dw = golden_zeros(g, (int64_t)shape.vocab * shape.hidden);
    g->ops->head_loss(g->dev, nll, lse, mean, NULL, dx, dw, x, w, targets, &shape, NULL);
    golden_expect(g, n, "nll", nll, LIMIT);
    golden_expect(g, n, "lse", lse, LIMIT);
    golden_expect(g, n, "mean_logit", mean, LIMIT);
    golden_expect(g, n, "dx", dx, LIMIT);
    golden_expect(g, n, "dw", dw, LIMIT);
    golden_expect_double(g, n, "loss", mean_loss(g, n, nll, lse, mean, smoothing, z_coeff), 1e-6);
}

static void head_loss(struct golden *g) {
    head(g, "head", 0.0f, 0.0f);
    head(g, "head_smoothed", 0.1f, 1e-2f);
}

static void router(struct golden *g, const char *n, enum router_kind kind, float temperature,
                   bool renormalize, float renormalize_eps, float z_grad) {
    const struct router_shape shape = {
        .rows = golden_dim(g, n, "x", 0),
        .hidden = (int32_t)golden_dim(g, n, "x", 1),
        .experts = (int32_t)golden_dim(g, n, "w", 0),
        .top_k = (int32_t)golden_dim(g, n, "weight", 1),
        .kind = kind,
        .temperature = temperature,
        .renormalize = renormalize,
        .renormalize_eps = renormalize_eps,
        .weight_scale = 1.0f,
    };
    const int64_t cells = shape.rows * shape.experts, slots = shape.rows * shape.top_k;
    void *x = golden_upload(g, n, "x"), *w = golden_upload(g, n, "w"), *bias = golden_upload(g, n, "bias");
    float *logits = golden_zeros(g, cells), *prob = golden_zeros(g, cells), *weight = golden_zeros(g, slots);
    int32_t *index = golden_zeros(g, slots), *load = golden_zeros(g, shape.experts);
    float *mass = golden_zeros(g, shape.experts), *entropy = golden_zeros(g, 1), *z = golden_zeros(g, 1);
    void *dx = golden_zeros(g, shape.rows * shape.hidden);
    float *dw = golden_zeros(g, (int64_t)shape.experts * shape.hidden), *dlogits = golden_zeros(g, cells);
    float *dweight = golden_upload(g, n, "dweight"), *prob_grad = golden_upload(g, n, "prob_grad");
    g->ops->router_forward(g->dev, logits, prob, index, weight, load, mass, entropy, z, x, w, bias, &shape);
    g->ops->router_backward(g->dev, dx, dw, dlogits, dweight, prob_grad, z_grad, logits, prob, index, x, w,
                            &shape);
    golden_expect_ints(g, n, "index", index);
    golden_expect_ints(g, n, "load", load);
    golden_expect(g, n, "logits", logits, LIMIT);
    golden_expect(g, n, "prob", prob, LIMIT);
    golden_expect(g, n, "weight", weight, LIMIT);
    golden_expect(g, n, "prob_mass", mass, LIMIT);
    golden_expect(g, n, "entropy", entropy, LIMIT);
    golden_expect(g, n, "z", z, LIMIT);
    golden_expect(g, n, "dx", dx, LIMIT);
    golden_expect(g, n, "dw", dw, LIMIT);
}

static void routers(struct golden *g) {
    router(g, "router_top1", ROUTER_SOFTMAX, 1.0f, false, 0.0f, 0.0f);
    router(g, "router_top2", ROUTER_SOFTMAX, 0.7f, true, 0.0f, 1e-2f);
    router(g, "router_bias", ROUTER_SIGMOID, 1.0f, true, 1e-6f, 0.0f);
}

static void adamw(struct golden *g) {
    const int64_t n = golden_find(g, "adamw", "start")->count;
    float *p = golden_upload(g, "adamw", "start"), *m = golden_zeros(g, n), *v = golden_zeros(g, n);
    const struct adamw_segment segment = {.offset = 0, .count = n, .lr = 1e-2f, .weight_decay = 0.1f};
    for (int t = 1; t <= 4; t++) {
        const struct adamw_step step = {
            .beta1 = 0.9f,
            .beta2 = 0.999f,
            .eps = 1e-8f,
            .bias_correction1 = (float)(1 - pow(0.9, t)),
            .bias_correction2 = (float)(1 - pow(0.999, t)),
        };
        char grad[16], after[16];
        snprintf(grad, sizeof grad, "grad.%d", t - 1);
        snprintf(after, sizeof after, "after.%d", t - 1);
        g->ops->adamw(g->dev, p, p, golden_upload(g, "adamw", grad), m, v, &segment, 1, &step,
                      &(float){1.0f});
        golden_expect(g, "adamw", after, p, LIMIT);
    }
}

static const struct {
    const char *title;
    void (*run)(struct golden *g);
} operations[] = {
    {"linear", linear},
    {"layer norm", layer_norm},
    {"rms norm", rms_norm},
    {"activations", activations},
    {"attention, grouped", attention_grouped},
    {"attention, long", attention_long},
    {"rope", ropes},
    {"head and loss", head_loss},
    {"router", routers},
    {"adamw", adamw},
};

static void run_all(const char *device) {
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        struct golden g;
        golden_open(&g, "ops", device);
        operations[i].run(&g);
        golden_close(&g, operations[i].title);
    }
}

static void reference_backend_agrees_with_pytorch(void **state) {
    (void)state;
    run_all("reference");
}

static void cpu_backend_agrees_with_pytorch(void **state) {
    (void)state;
    run_all("cpu");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_backend_agrees_with_pytorch),
        cmocka_unit_test(cpu_backend_agrees_with_pytorch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
