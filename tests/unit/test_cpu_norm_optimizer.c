/* test: rooms=device label=fast */
#include "cpu_fixture.h"

/* ---- norm
 * ----------------------------------------------------------------------------------------------------- */

/* y [width] of one row in double */
static void norm_row(enum norm_kind kind, double *y, const double *x, const float *gamma, const float *beta,
                     int32_t width, double eps, double *out_mean, double *out_rstd) {
    double mean = 0.0, square = 0.0;
    for (int32_t i = 0; kind == NORM_LAYER && i < width; i++)
        mean += x[i] / width;
    for (int32_t i = 0; i < width; i++)
        square += (x[i] - mean) * (x[i] - mean) / width;
    const double rstd = 1.0 / sqrt(square + eps);
    for (int32_t i = 0; i < width; i++) {
        y[i] = (x[i] - mean) * rstd * (double)gamma[i] + (kind == NORM_LAYER ? (double)beta[i] : 0.0);
    }
    *out_mean = mean;
    *out_rstd = rstd;
}

struct norm_case {
    enum norm_kind kind;
    int64_t rows;
    int32_t width;
    int64_t x_stride, y_stride;
    float shift; /* added to x: a mean far from zero */
};

struct norm_data {
    float *x, *dy, *gamma, *beta, *y, *mean, *rstd, *dx, *dgamma, *dbeta;
};

static struct norm_data norm_data_make(const struct norm_case *c) {
    struct norm_data d = {
        .x = random_floats(c->rows * c->x_stride, 1),
        .dy = random_floats(c->rows * c->y_stride, 2),
        .gamma = random_floats(c->width, 3),
        .beta = random_floats(c->width, 4),
        .y = random_floats(c->rows * c->y_stride, 5),
        .mean = zeroed_floats(c->rows),
        .rstd = zeroed_floats(c->rows),
        .dx = random_floats(c->rows * c->x_stride, 6),
        .dgamma = random_floats(c->width, 7),
        .dbeta = random_floats(c->width, 8),
    };
    for (int64_t i = 0; i < c->rows * c->x_stride; i++)
        d.x[i] += c->shift;
    return d;
}

static void norm_data_free(struct norm_data *d) {
    free(d->x), free(d->dy), free(d->gamma), free(d->beta), free(d->y);
    free(d->mean), free(d->rstd), free(d->dx), free(d->dgamma), free(d->dbeta);
}

static void norm_run(struct device *dev, const struct norm_case *c, struct norm_data *d, bool accumulate) {
    const bool layer = c->kind == NORM_LAYER;
    dev->ops->norm_forward(dev, c->kind, d->y, layer ? d->mean : NULL, d->rstd, d->x, d->gamma,
                           layer ? d->beta : NULL, c->rows, c->width, c->x_stride, c->y_stride, 1e-5f);
    dev->ops->norm_backward(dev, c->kind, d->dx, d->dgamma, layer ? d->dbeta : NULL, d->dy, d->x,
                            layer ? d->mean : NULL, d->rstd, d->gamma, c->rows, c->width, c->x_stride,
                            c->y_stride, accumulate);
}

/* sum over the row of dy . y with element `at` of x moved by h */
static double norm_objective(const struct norm_case *c, const struct norm_data *d, int64_t row, int32_t at,
                             double h) {
    double x[512], y[512], mean, rstd, sum = 0.0;
    for (int32_t i = 0; i < c->width; i++)
        x[i] = (double)d->x[row * c->x_stride + i];
    x[at] += h;
    norm_row(c->kind, y, x, d->gamma, d->beta, c->width, 1e-5, &mean, &rstd);
    for (int32_t i = 0; i < c->width; i++)
        sum += y[i] * (double)d->dy[row * c->y_stride + i];
    return sum;
}

static void check_norm_rows(const struct norm_case *c, const struct norm_data *d,
                            const struct norm_data *before, bool accumulate) {
    const double h = 1e-5;
    for (int64_t r = 0; r < c->rows; r++) {
        double x[512], y[512], mean, rstd;
        for (int32_t i = 0; i < c->width; i++)
            x[i] = (double)d->x[r * c->x_stride + i];
        norm_row(c->kind, y, x, d->gamma, d->beta, c->width, 1e-5, &mean, &rstd);
        assert_close(d->rstd[r], rstd, 1e-5, "rstd", r);
        if (c->kind == NORM_LAYER) assert_close(d->mean[r], mean, 1e-6, "mean", r);
        for (int32_t i = 0; i < c->width; i++) {
            assert_close(d->y[r * c->y_stride + i], y[i], 2e-5, "y", r * c->width + i);
            const double slope = (norm_objective(c, d, r, i, h) - norm_objective(c, d, r, i, -h)) / (2.0 * h);
            const double base = accumulate ? (double)before->dx[r * c->x_stride + i] : 0.0;
            assert_close(d->dx[r * c->x_stride + i], base + slope, 5e-5, "dx", r * c->width + i);
        }
        for (int64_t i = c->width; i < c->y_stride; i++) {
            assert_close(d->y[r * c->y_stride + i], before->y[r * c->y_stride + i], 0.0, "between rows", i);
        }
    }
}

static void check_norm_parameters(const struct norm_case *c, const struct norm_data *d,
                                  const struct norm_data *before) {
    for (int32_t i = 0; i < c->width; i++) {
        double dgamma = (double)before->dgamma[i], dbeta = (double)before->dbeta[i];
        for (int64_t r = 0; r < c->rows; r++) {
            double x[512], y[512], mean, rstd;
            for (int32_t j = 0; j < c->width; j++)
                x[j] = (double)d->x[r * c->x_stride + j];
            norm_row(c->kind, y, x, d->gamma, d->beta, c->width, 1e-5, &mean, &rstd);
            const double dy = (double)d->dy[r * c->y_stride + i];
            dgamma += dy * (x[i] - mean) * rstd;
            dbeta += c->kind == NORM_LAYER ? dy : 0.0;
        }
        assert_close(d->dgamma[i], dgamma, 2e-5, "dgamma", i);
        assert_close(d->dbeta[i], dbeta, 1e-5, "dbeta", i);
    }
}

static void norms_match_double_and_finite_differences(void **state) {
    (void)state;
    static const struct norm_case cases[] = {
        {NORM_LAYER, 1, 1, 1, 1, 0.0f},     {NORM_LAYER, 3, 5, 5, 5, 0.0f},
        {NORM_LAYER, 17, 33, 40, 37, 3.0f}, {NORM_LAYER, 70, 50, 50, 64, -2.0f},
        {NORM_LAYER, 5, 256, 256, 256, 0},  {NORM_RMS, 1, 1, 1, 1, 0.0f},
        {NORM_RMS, 19, 31, 33, 32, 0.5f},   {NORM_RMS, 40, 64, 192, 64, 0.0f},
    };
    struct device *dev = open_cpu(2);
    for (size_t i = 0; i < 2 * sizeof cases / sizeof cases[0]; i++) {
        const struct norm_case *c = &cases[i / 2];
        struct norm_data d = norm_data_make(c), before = norm_data_make(c);
        norm_run(dev, c, &d, i % 2 == 1);
        check_norm_rows(c, &d, &before, i % 2 == 1);
        check_norm_parameters(c, &d, &before);
        norm_data_free(&d), norm_data_free(&before);
    }
    device_close(dev);
}

static void a_constant_row_normalises_to_beta(void **state) {
    (void)state;
    enum { W = 100 };
    struct device *dev = open_cpu(1);
    const struct norm_case c = {NORM_LAYER, 1, W, W, W, 0.0f};
    struct norm_data d = norm_data_make(&c);
    for (int i = 0; i < W; i++)
        d.x[i] = 2.5f;
    norm_run(dev, &c, &d, false);
    assert_same_bits(d.y, d.beta, W * sizeof *d.y, "constant row");
    norm_data_free(&d);
    device_close(dev);
}

/* ---- optimizer
 * ------------------------------------------------------------------------------------------------ */

static void sums_of_squares_are_exact_in_double(void **state) {
    (void)state;
    enum { N = 3000000, SPANS = 71 };
    struct device *dev = open_cpu(2);
    float *x = random_floats(N, 1);
    struct span spans[SPANS];
    double out[SPANS];
    for (int32_t s = 0; s < SPANS; s++)
        spans[s] = (struct span){s * 40000, s == 70 ? 200000 : s * s * 7 % 40000};
    spans[5] = (struct span){0, N};
    dev->ops->sum_squares(dev, out, x, spans, SPANS);
    for (int32_t s = 0; s < SPANS; s++) {
        long double sum = 0.0L;
        for (int64_t i = 0; i < spans[s].count; i++) {
            sum += (long double)x[spans[s].offset + i] * (double)x[spans[s].offset + i];
        }
        assert_close(out[s], (double)sum, 1e-13, "sum of squares", s);
    }
    free(x);
    device_close(dev);
}

/* One parameter in double, as the paper has it. */
static double adamw_by_definition(double p, double g, double *m, double *v,
                                  const struct adamw_segment *segment, const struct adamw_step *step) {
    p -= (double)segment->lr * (double)segment->weight_decay * p;
    *m = (double)step->beta1 * *m + (1.0 - (double)step->beta1) * g;
    *v = (double)step->beta2 * *v + (1.0 - (double)step->beta2) * g * g;
    const double m_hat = *m / (double)step->bias_correction1, v_hat = *v / (double)step->bias_correction2;
    return p - (double)segment->lr * m_hat / (sqrt(v_hat) + (double)step->eps);
}

/* Of the segments below. */
static bool in_no_segment(int64_t i) {
    return i >= 17 && i < 20;
}

static void adamw_follows_its_definition_over_many_steps(void **state) {
    (void)state;
    enum { N = 40009, STEPS = 20 };
    static const struct adamw_segment segments[] = {
        {0, 17, 1e-2f, 0.0f}, {20, 36000, 3e-3f, 0.1f}, {36020, 3989, 1e-3f, 0.5f}};
    struct device *dev = open_cpu(2);
    float *p = random_floats(N, 1), *copy = zeroed_floats(N), *m = zeroed_floats(N), *v = zeroed_floats(N);
    float *start = random_floats(N, 1);
    double *pd = zeroed(N, sizeof *pd), *md = zeroed(N, sizeof *md), *vd = zeroed(N, sizeof *vd);
    for (int64_t i = 0; i < N; i++)
        pd[i] = (double)p[i];
    for (int t = 1; t <= STEPS; t++) {
        float *g = random_floats(N, 100 + (uint32_t)t), *before = random_floats(N, 100 + (uint32_t)t);
        for (int64_t i = 0; i < N; i += 3)
            g[i] = before[i] = 0.0f;
        const struct adamw_step step = {0.9f, 0.95f, 1e-8f, 1.0f - powf(0.9f, (float)t),
                                        1.0f - powf(0.95f, (float)t)};
        dev->ops->adamw(dev, p, copy, g, m, v, segments, 3, &step, &(float){0.25f});
        for (int s = 0; s < 3; s++) {
            for (int64_t i = segments[s].offset; i < segments[s].offset + segments[s].count; i++) {
                pd[i] =
                    adamw_by_definition(pd[i], 0.25 * (double)before[i], &md[i], &vd[i], &segments[s], &step);
            }
        }
        for (int64_t i = 0; i < N; i++)
            assert_close(g[i], in_no_segment(i) ? (double)before[i] : 0.0, 0.0, "gradient", i);
        free(g), free(before);
    }
    for (int64_t i = 0; i < N; i++) {
        assert_close(p[i], in_no_segment(i) ? (double)start[i] : pd[i], 3e-6, "parameter", i);
        assert_close(copy[i], in_no_segment(i) ? 0.0 : (double)p[i], 0.0, "compute copy", i);
        assert_close(m[i], md[i], 1e-6, "m", i);
        assert_close(v[i], vd[i], 1e-6, "v", i);
    }
    free(p), free(copy), free(m), free(v), free(start), free(pd), free(md), free(vd);
    device_close(dev);
}

static void a_zero_gradient_only_decays(void **state) {
    (void)state;
    float p[3] = {1.0f, -2.0f, 0.5f}, g[3] = {0}, m[3] = {0}, v[3] = {0};
    const struct adamw_segment segment = {0, 3, 0.1f, 0.5f};
    const struct adamw_step step = {0.9f, 0.999f, 1e-8f, 0.1f, 0.001f};
    struct device *dev = open_cpu(1);
    dev->ops->adamw(dev, p, p, g, m, v, &segment, 1, &step, &(float){1.0f});
    const double want[3] = {0.95, -1.9, 0.475};
    for (int i = 0; i < 3; i++)
        assert_close(p[i], want[i], 1e-7, "decayed", i);
    device_close(dev);
}

/* ---- threads
 * -------------------------------------------------------------------------------------------------- */

static void any_number_of_threads_gives_the_same_bits(void **state) {
    (void)state;
    enum { N = 200000 };
    const struct norm_case c = {NORM_LAYER, 1031, 129, 131, 130, 0.1f};
    const struct span spans[2] = {{1, N - 5}, {7, 100}};
    const struct adamw_segment segments[2] = {{0, 100000, 1e-3f, 0.1f}, {100000, 100000, 1e-2f, 0.0f}};
    const struct adamw_step step = {0.9f, 0.95f, 1e-8f, 0.1f, 0.05f};
    struct norm_data first = {0};
    float *p1 = NULL;
    double squares1[2] = {0};
    for (int threads = 1; threads <= 3; threads++) {
        struct device *dev = open_cpu(threads);
        struct norm_data d = norm_data_make(&c);
        float *p = random_floats(N, 1), *g = random_floats(N, 2), *m = zeroed_floats(N),
              *v = zeroed_floats(N);
        double squares[2];
        norm_run(dev, &c, &d, true);
        dev->ops->sum_squares(dev, squares, g, spans, 2);
        dev->ops->adamw(dev, p, p, g, m, v, segments, 2, &step, &(float){0.5f});
        free(g), free(m), free(v);
        device_close(dev);
        if (threads == 1) {
            first = d, p1 = p;
            memcpy(squares1, squares, sizeof squares);
            continue;
        }
        assert_same_bits(d.y, first.y, (size_t)(c.rows * c.y_stride) * sizeof(float), "y");
        assert_same_bits(d.dx, first.dx, (size_t)(c.rows * c.x_stride) * sizeof(float), "dx");
        assert_same_bits(d.dgamma, first.dgamma, (size_t)c.width * sizeof(float), "dgamma");
        assert_same_bits(d.dbeta, first.dbeta, (size_t)c.width * sizeof(float), "dbeta");
        assert_same_bits(p, p1, N * sizeof(float), "parameters");
        assert_same_bits(squares, squares1, sizeof squares, "squares");
        norm_data_free(&d);
        free(p);
    }
    norm_data_free(&first);
    free(p1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms_match_double_and_finite_differences),
        cmocka_unit_test(a_constant_row_normalises_to_beta),
        cmocka_unit_test(sums_of_squares_are_exact_in_double),
        cmocka_unit_test(adamw_follows_its_definition_over_many_steps),
        cmocka_unit_test(a_zero_gradient_only_decays),
        cmocka_unit_test(any_number_of_threads_gives_the_same_bits),
    };
    return cmocka_run_group_tests_name("cpu norm and optimizer", tests, NULL, NULL);
}
