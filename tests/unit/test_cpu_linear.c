/* test: rooms=device,core label=fast */
#include "cpu_fixture.h"

/* Linear layers, plain and grouped by expert, of the "cpu" backend against plain loops in double, on odd
 * sizes; equal bits on 1, 2 and 3 threads. */

#define TOLERANCE 1e-5 /* of the largest magnitude expected */
#define THREADS   3    /* bits are compared on 1 .. THREADS threads */

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
            dev->ops->grouped_linear_forward(dev, o.y, c->x, NULL, c->w, c->bias, c->offsets, c->experts,
                                             c->rows, c->in, c->out);
            dev->ops->grouped_linear_backward(dev, o.dx, o.dw, o.dbias, c->dy, c->x, NULL, c->w, c->offsets,
                                              c->experts, c->rows, c->in, c->out);
        } else {
            dev->ops->linear_forward(dev, o.y, c->x, c->w, c->bias, c->rows, c->in, c->out);
            dev->ops->linear_backward(dev, o.dx, o.dw, o.dbias, c->dy, c->x, c->w, c->rows, c->in, c->out,
                                      accumulate_dx);
        }
        if (threads == 1) {
            first = o;
            assert_close_to_largest("y", o.y, c->y, o.y_size, TOLERANCE);
            assert_close_to_largest("dx", o.dx, c->dx, o.dx_size, TOLERANCE);
            assert_close_to_largest("dw", o.dw, c->dw, o.dw_size, TOLERANCE);
            assert_close_to_largest("dbias", o.dbias, c->dbias, o.dbias_size, TOLERANCE);
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
    assert_close_to_largest("y", o.y, c.y, o.y_size, TOLERANCE);
    dev->ops->linear_backward(dev, NULL, NULL, o.dbias, c.dy, c.x, c.w, 19, 21, 34, false);
    assert_close_to_largest("dbias", o.dbias, c.dbias, o.dbias_size, TOLERANCE);
    assert_memory_equal(o.dw, c.dw0, (size_t)o.dw_size * sizeof(float));
    dev->ops->linear_backward(dev, NULL, o.dw, NULL, c.dy, c.x, c.w, 19, 21, 34, false);
    assert_close_to_largest("dw", o.dw, c.dw, o.dw_size, TOLERANCE);
    dev->ops->linear_backward(dev, o.dx, NULL, NULL, c.dy, c.x, c.w, 19, 21, 34, false);
    assert_close_to_largest("dx", o.dx, c.dx, o.dx_size, TOLERANCE);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_is_the_product_and_its_gradients),
        cmocka_unit_test(linear_works_without_bias_and_without_some_gradients),
        cmocka_unit_test(grouped_linear_serves_uneven_and_empty_experts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
