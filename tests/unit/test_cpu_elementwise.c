/* test: rooms=device label=fast */
#include "cpu_fixture.h"

#include "device/cpu/dropout_mask.h"

static const struct dropout none = {{0, 0, 0}, 0};

/* What struct dropout defines, from the random words themselves. */
static float factor_by_definition(struct dropout drop, uint64_t i) {
    const struct rng_block block = rng_block_at(drop.key, i / 8);
    const uint32_t word = (block.v[i % 8 / 2] >> (16 * (i % 2))) & 0xffffu;
    return word >= drop.threshold ? dropout_scale(drop) : 0.0f;
}

/* ---- dropout
 * -------------------------------------------------------------------------------------------------- */

static void masks_are_random123_words_at_any_alignment(void **state) {
    (void)state;
    float factor[700];
    const uint64_t bases[] = {0, 1000003, 0xfffffff0ull * 8, 0x123456789abull};
    for (size_t b = 0; b < sizeof bases / sizeof bases[0]; b++) {
        for (uint64_t shift = 0; shift < 70; shift += 3) {
            const struct dropout drop =
                dropout_make(0.3f, 0xfeedface12345678ull + shift, (uint32_t)shift, 17);
            const int64_t n = 1 + (int64_t)(shift * 37 % 699);
            cpu_dropout_factors(factor, bases[b] + shift, n, drop);
            for (int64_t i = 0; i < n; i++) {
                const uint64_t at = bases[b] + shift + (uint64_t)i;
                assert_close(factor[i], factor_by_definition(drop, at), 0.0, "factor", i);
            }
        }
    }
}

static void a_mask_does_not_depend_on_how_its_range_is_cut(void **state) {
    (void)state;
    enum { N = 1000 };
    float whole[N], parts[N];
    const struct dropout drop = dropout_make(0.1f, 5, 6, 7);
    cpu_dropout_factors(whole, 3, N, drop);
    for (int64_t i = 0, n = 1; i < N; i += n, n = n % 97 + 13) {
        cpu_dropout_factors(parts + i, 3 + (uint64_t)i, i + n < N ? n : N - i, drop);
    }
    assert_same_bits(whole, parts, sizeof whole, "factors");
}

static void dropout_drops_at_its_rate_and_keeps_the_mean(void **state) {
    (void)state;
    enum { N = 1 << 20 };
    static const float rates[] = {0.0f, 0.1f, 0.5f, 0.9f};
    struct device *dev = open_cpu(2);
    float *x = zeroed_floats(N), *y = zeroed_floats(N);
    for (int64_t i = 0; i < N; i++)
        x[i] = 1.0f;
    for (uint32_t s = 0; s < 4; s++) {
        const struct dropout drop = dropout_make(rates[s], 99, s, 0);
        const double p = drop.threshold / 65536.0;
        dev->ops->dropout(dev, y, x, N, drop);
        int64_t dropped = 0;
        double sum = 0.0;
        for (int64_t i = 0; i < N; i++) {
            dropped += y[i] == 0.0f;
            sum += (double)y[i];
        }
        const double deviation = sqrt(N * p * (1.0 - p));
        assert_true(fabs((double)dropped - N * p) <= 5.0 * deviation);
        assert_true(fabs(sum - N) <= 5.0 * deviation / (1.0 - p) + 1e-6);
        /* exact: kept probability times scale is one */
        assert_close((1.0 - p) * (double)dropout_scale(drop), 1.0, 1e-7, "scale", s);
    }
    free(x), free(y);
    device_close(dev);
}

static void dropout_operations_apply_the_defined_mask_and_may_alias(void **state) {
    (void)state;
    enum { N = 40013 };
    struct device *dev = open_cpu(2);
    const struct dropout drop = dropout_make(0.2f, 11, 3, 4);
    float *x = random_floats(N, 1), *residual = random_floats(N, 2), *y = zeroed_floats(N);
    float *in_place = random_floats(N, 1), *sum = random_floats(N, 2);
    dev->ops->dropout(dev, y, x, N, drop);
    dev->ops->dropout(dev, in_place, in_place, N, drop);
    assert_same_bits(y, in_place, N * sizeof *y, "in place");
    for (int64_t i = 0; i < N; i++) {
        assert_close(y[i], x[i] * factor_by_definition(drop, (uint64_t)i), 0.0, "y", i);
    }
    dev->ops->residual_dropout(dev, sum, sum, x, N, drop); /* y aliases residual */
    for (int64_t i = 0; i < N; i++)
        assert_close(sum[i], (double)residual[i] + (double)y[i], 1e-7, "sum", i);
    dev->ops->residual_dropout(dev, sum, residual, x, N, none);
    for (int64_t i = 0; i < N; i++)
        assert_close(sum[i], (double)residual[i] + (double)x[i], 1e-7, "sum", i);
    dev->ops->dropout(dev, y, x, N, none);
    assert_same_bits(y, x, N * sizeof *y, "no dropout");
    dev->ops->add_scaled(dev, sum, x, -0.75f, N);
    for (int64_t i = 0; i < N; i++) {
        assert_close(sum[i], (double)residual[i] + 0.25 * (double)x[i], 2e-7, "add_scaled", i);
    }
    free(x), free(residual), free(y), free(in_place), free(sum);
    device_close(dev);
}

/* ---- activations
 * ---------------------------------------------------------------------------------------------- */

static double activate(enum activation_kind kind, double x, double up) {
    switch (kind) {
    case ACTIVATION_GELU:
        return 0.5 * x * (1.0 + erf(x / sqrt(2.0)));
    case ACTIVATION_RELU:
        return x > 0.0 ? x : 0.0;
    case ACTIVATION_SILU:
        return x / (1.0 + exp(-x));
    case ACTIVATION_SWIGLU:
        return x / (1.0 + exp(-x)) * up;
    }
    return NAN;
}

static void check_activation(struct device *dev, enum activation_kind kind, int64_t rows, int32_t width,
                             float p) {
    const int64_t n = rows * width, in_width = kind == ACTIVATION_SWIGLU ? 2 * width : width;
    const struct dropout drop = dropout_make(p, 7, kind, 2);
    float *x = random_floats(rows * in_width, 1), *dy = random_floats(n, 2);
    float *y = zeroed_floats(n), *dx = zeroed_floats(rows * in_width);
    for (int64_t i = 0; i < rows * in_width; i++)
        x[i] *= 6.0f;
    dev->ops->activation_forward(dev, kind, y, x, rows, width, drop);
    dev->ops->activation_backward(dev, kind, dx, dy, x, rows, width, drop);
    const double h = 1e-5;
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = i / width * in_width + i % width;
        const double gate = (double)x[at], up = kind == ACTIVATION_SWIGLU ? (double)x[at + width] : 0.0;
        const double factor = p > 0.0f ? (double)factor_by_definition(drop, (uint64_t)i) : 1.0;
        assert_close((double)y[i], factor * activate(kind, gate, up), 5e-7, "y", i);
        const double slope = (activate(kind, gate + h, up) - activate(kind, gate - h, up)) / (2.0 * h);
        assert_close((double)dx[at], factor * slope * (double)dy[i], 2e-6, "dx", i);
        if (kind == ACTIVATION_SWIGLU) {
            const double d_up = activate(kind, gate, up + 1.0) - activate(kind, gate, up);
            assert_close((double)dx[at + width], factor * d_up * (double)dy[i], 2e-6, "dup", i);
        }
    }
    if (kind != ACTIVATION_SWIGLU) { /* dx may alias dy */
        dev->ops->activation_backward(dev, kind, dy, dy, x, rows, width, drop);
        assert_same_bits(dy, dx, (size_t)n * sizeof *dx, "dx over dy");
    }
    free(x), free(dy), free(y), free(dx);
}

static void activations_match_double_and_finite_differences(void **state) {
    (void)state;
    static const int64_t sizes[][2] = {{1, 1}, {3, 7}, {37, 53}, {5, 1027}, {2, 2048}, {1, 33001}};
    struct device *dev = open_cpu(2);
    for (int kind = ACTIVATION_GELU; kind <= ACTIVATION_SWIGLU; kind++) {
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            check_activation(dev, (enum activation_kind)kind, sizes[s][0], (int32_t)sizes[s][1], 0.0f);
            check_activation(dev, (enum activation_kind)kind, sizes[s][0], (int32_t)sizes[s][1], 0.25f);
        }
    }
    device_close(dev);
}

/* ---- embedding
 * ------------------------------------------------------------------------------------------------ */

static void embedding_adds_rows_forward_and_back(void **state) {
    (void)state;
    enum { B = 7, T = 13, D = 19, V = 50, R = B * T };
    struct device *dev = open_cpu(2);
    float *table = random_floats(V * D, 1), *positions = random_floats(T * D, 2),
          *dy = random_floats(R * D, 3);
    float *y = zeroed_floats(R * D), *dtable = random_floats(V * D, 4), *dpositions = random_floats(T * D, 5);
    float *table0 = random_floats(V * D, 4), *positions0 = random_floats(T * D, 5);
    int32_t tokens[R];
    for (int64_t r = 0; r < R; r++) {
        tokens[r] =
            (int32_t)rng_below((struct rng_key){3, RNG_TEST, 9}, (uint64_t)r, V - 1); /* V - 1 never */
    }
    dev->ops->embedding_forward(dev, y, tokens, table, positions, R, T, D);
    for (int64_t i = 0; i < R * D; i++) {
        const int64_t r = i / D, d = i % D;
        assert_close(y[i], (double)table[tokens[r] * D + d] + (double)positions[r % T * D + d], 1e-7, "y", i);
    }
    dev->ops->embedding_backward(dev, dtable, dpositions, dy, tokens, R, T, D, V);
    for (int64_t i = 0; i < V * D; i++) {
        double sum = (double)table0[i];
        for (int64_t r = 0; r < R; r++)
            sum += tokens[r] == i / D ? (double)dy[r * D + i % D] : 0.0;
        assert_close(dtable[i], sum, 1e-6, "dtable", i);
    }
    for (int64_t i = 0; i < T * D; i++) {
        double sum = (double)positions0[i];
        for (int64_t b = 0; b < B; b++)
            sum += (double)dy[b * T * D + i];
        assert_close(dpositions[i], sum, 1e-6, "dpositions", i);
    }
    assert_same_bits(dtable + (V - 1) * D, table0 + (V - 1) * D, D * sizeof *dtable,
                     "a word that never occurs");
    dev->ops->embedding_forward(dev, y, tokens, table, NULL, R, T, D);
    for (int64_t i = 0; i < R * D; i++)
        assert_close(y[i], table[tokens[i / D] * D + i % D], 0.0, "no places", i);
    free(table), free(positions), free(dy), free(y), free(dtable), free(dpositions), free(table0),
        free(positions0);
    device_close(dev);
}

/* ---- rope
 * ----------------------------------------------------------------------------------------------------- */

static void rope_turns_pairs_by_their_angles_and_back(void **state) {
    (void)state;
    enum { T = 300, R = 2 * T, STRIDE = 1000 };
    static const int32_t shapes[][2] = {{3, 16}, {1, 130}, {5, 2}, {7, 128}}; /* heads, head_dim */
    struct device *dev = open_cpu(2);
    for (size_t s = 0; s < 2 * sizeof shapes / sizeof shapes[0]; s++) {
        const int32_t heads = shapes[s / 2][0], dim = shapes[s / 2][1], half = dim / 2;
        const bool interleaved = s % 2 == 1;
        const float theta = s < 4 ? 10000.0f : 500000.0f;
        float *x = random_floats(R * STRIDE, 1), *y = random_floats(R * STRIDE, 1);
        dev->ops->rope(dev, y, R, T, 0, heads, dim, STRIDE, theta, interleaved, false);
        for (int64_t i = 0; i < R * STRIDE; i++) {
            const int64_t column = i % STRIDE, in_head = column % dim;
            if (column >= (int64_t)heads * dim) { /* other columns of the row stay as they are */
                assert_close(y[i], x[i], 0.0, "beyond the heads", i);
                continue;
            }
            const int64_t pair = interleaved ? in_head / 2 : in_head % half, step = interleaved ? 1 : half;
            const bool first = interleaved ? in_head % 2 == 0 : in_head < half;
            const double angle = (double)(i / STRIDE % T) * pow((double)theta, -2.0 * (double)pair / dim);
            const double other = (double)(first ? -x[i + step] : x[i - step]);
            assert_close(y[i], (double)x[i] * cos(angle) + other * sin(angle), 3e-7, "rope", i);
        }
        dev->ops->rope(dev, y, R, T, 0, heads, dim, STRIDE, theta, interleaved, true);
        for (int64_t i = 0; i < R * STRIDE; i++)
            assert_close(y[i], x[i], 5e-7, "turned back", i);
        free(x), free(y);
    }
    device_close(dev);
}

static void rope_keeps_its_digits_at_late_positions(void **state) {
    (void)state;
    enum { T = 100000 };
    struct device *dev = open_cpu(2);
    float *x = zeroed_floats(2 * T);
    for (int64_t t = 0; t < T; t++)
        x[2 * t] = 1.0f;
    dev->ops->rope(dev, x, T, T, 0, 1, 2, 2, 10000.0f, true, false); /* one pair, one radian a position */
    for (int64_t t = 0; t < T; t++) {
        assert_close(x[2 * t], cos((double)t), 1e-7, "cos", t);
        assert_close(x[2 * t + 1], sin((double)t), 1e-7, "sin", t);
    }
    free(x);
    device_close(dev);
}

/* ---- threads
 * -------------------------------------------------------------------------------------------------- */

/* Every operation on a shape that falls into several pieces; results one behind the other in out. */
static int64_t run_everything(int threads, float *out) {
    enum { T = 101, R = 5 * T, F = 203, N = R * F, D = 96 };
    struct device *dev = open_cpu(threads);
    const struct dropout drop = dropout_make(0.1f, 1, 2, 3);
    float *x = random_floats(2 * N, 1), *dy = random_floats(2 * N, 2), *next = out;
    int32_t tokens[R];
    for (int64_t r = 0; r < R; r++)
        tokens[r] = (int32_t)(r * r % 37);
    for (int kind = ACTIVATION_GELU; kind <= ACTIVATION_SWIGLU; kind++, next += 3 * N) {
        dev->ops->activation_forward(dev, (enum activation_kind)kind, next, x, R, F, drop);
        dev->ops->activation_backward(dev, (enum activation_kind)kind, next + N, dy, x, R, F, drop);
    }
    dev->ops->dropout(dev, next, x, N, drop), next += N;
    dev->ops->residual_dropout(dev, next, dy, x, N, drop), next += N;
    dev->ops->embedding_forward(dev, next, tokens, x, dy, R, T, F), next += N;
    dev->ops->embedding_backward(dev, next, next + 37 * F, dy, tokens, R, T, F, 37), next += (37 + T) * F;
    memcpy(next, x, N * sizeof *x);
    dev->ops->rope(dev, next, R, T, 0, 2, D, F, 10000.0f, false, false), next += N;
    dev->ops->add_scaled(dev, next, x, 0.3f, N), next += N;
    free(x), free(dy);
    device_close(dev);
    return next - out;
}

static void any_number_of_threads_gives_the_same_bits(void **state) {
    (void)state;
    enum { ROOM = 20 * 505 * 203 };
    float *one = zeroed_floats(ROOM), *many = zeroed_floats(ROOM);
    const int64_t n = run_everything(1, one);
    assert_true(n <= ROOM);
    for (int threads = 2; threads <= 5; threads++) {
        memset(many, 0, ROOM * sizeof *many);
        assert_int_equal(run_everything(threads, many), n);
        assert_same_bits(one, many, (size_t)n * sizeof *one, "threads");
    }
    free(one), free(many);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masks_are_random123_words_at_any_alignment),
        cmocka_unit_test(a_mask_does_not_depend_on_how_its_range_is_cut),
        cmocka_unit_test(dropout_drops_at_its_rate_and_keeps_the_mean),
        cmocka_unit_test(dropout_operations_apply_the_defined_mask_and_may_alias),
        cmocka_unit_test(activations_match_double_and_finite_differences),
        cmocka_unit_test(embedding_adds_rows_forward_and_back),
        cmocka_unit_test(rope_turns_pairs_by_their_angles_and_back),
        cmocka_unit_test(rope_keeps_its_digits_at_late_positions),
        cmocka_unit_test(any_number_of_threads_gives_the_same_bits),
    };
    return cmocka_run_group_tests_name("cpu element-wise", tests, NULL, NULL);
}
