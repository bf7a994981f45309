/* test: rooms=device,core label=fast */
#include "cpu_fixture.h"

/* The head with its cross-entropy of the "cpu" backend against plain loops in double, on odd sizes; equal
 * bits on 1, 2 and 3 threads. */

#define TOLERANCE 1e-5 /* of the largest magnitude expected */
#define THREADS   3    /* bits are compared on 1 .. THREADS threads */

struct head_case {
    struct head_shape shape;
    float *x, *w, *dw0;
    int32_t *targets, *correct;
    double *nll, *lse, *mean, *dx, *dw;
};

static void head_row(struct head_case *c, int64_t r) {
    const struct head_shape *s = &c->shape;
    const int32_t target = c->targets[r];
    double *logits = zeroed_doubles(s->vocab);
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
    c.nll = zeroed_doubles(rows);
    c.lse = zeroed_doubles(rows);
    c.mean = zeroed_doubles(rows);
    c.dx = zeroed_doubles(rows * hidden);
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
                assert_close_to_largest(names[i], got[i], want[i], sizes[i], TOLERANCE);
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
    assert_close_to_largest("nll", nll, c.nll, 100, TOLERANCE);
    assert_close_to_largest("lse", lse, c.lse, 100, TOLERANCE);
    assert_close_to_largest("mean_logit", mean, c.mean, 100, TOLERANCE);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(head_loss_is_cross_entropy_and_its_gradients),
        cmocka_unit_test(head_loss_without_gradient_gives_the_same_losses),
        cmocka_unit_test(head_loss_takes_the_first_of_equal_logits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
