/* parity_marks.h - times between marks, with graphs and without, on the backend and on the reference */
#ifndef PARITY_MARKS_H
#define PARITY_MARKS_H

#include <stdlib.h>
#include <unistd.h>

#include "core/clock.h"
#include "parity_harness.h"

enum { MARKS_OF_SLOT = 3, MARKS_SIDE = 96 };

struct marked {
    struct device *dev;
    struct device_marks *marks; /* [2 slots, MARKS_OF_SLOT] */
    void *x, *y, *w;            /* [MARKS_SIDE, MARKS_SIDE] */
};

/* Times of marks come in steps of up to a microsecond, as float milliseconds. */
static double marks_rounding(double seconds) {
    return 2e-6 + 1e-6 * seconds;
}

static double seconds_between(const struct marked *m, int32_t from, int32_t to) {
    return m->dev->ops->marked_seconds(m->dev, m->marks, from, to);
}

static void give_products(const struct marked *m, int count) {
    for (int i = 0; i < count; i++)
        m->dev->ops->linear_forward(m->dev, m->y, m->x, m->w, NULL, MARKS_SIDE, MARKS_SIDE, MARKS_SIDE);
}

/* A pass of two parts between the marks of a slot. */
static void give_marked_pass(const struct marked *m, int32_t slot) {
    const struct backend *ops = m->dev->ops;
    const int32_t first = slot * MARKS_OF_SLOT;
    ops->pass_begin(m->dev);
    ops->mark(m->dev, m->marks, first);
    give_products(m, 1);
    ops->mark(m->dev, m->marks, first + 1);
    give_products(m, 3);
    ops->mark(m->dev, m->marks, first + 2);
    ops->pass_end(m->dev);
}

static void parts_make_the_whole(const struct marked *m, int32_t slot) {
    const int32_t first = slot * MARKS_OF_SLOT;
    const double one = seconds_between(m, first, first + 1), two = seconds_between(m, first + 1, first + 2),
                 whole = seconds_between(m, first, first + 2);
    assert_true(one >= 0 && two >= 0 && whole > 0);
    assert_true(fabs(one + two - whole) <= marks_rounding(whole));
}

/* Passes of both slots before one wait; then one slot again, which leaves the other as it was. */
static void slots_are_kept_apart(const struct marked *m) {
    moe_err err = {0};
    const int32_t second = MARKS_OF_SLOT, last = 2 * MARKS_OF_SLOT - 1;
    give_marked_pass(m, 0);
    give_marked_pass(m, 1);
    assert_int_equal(m->dev->ops->synchronize(m->dev, &err), MOE_OK);
    parts_make_the_whole(m, 0);
    parts_make_the_whole(m, 1);
    const double first_pass = seconds_between(m, 0, second - 1), both = seconds_between(m, 0, last);
    assert_true(seconds_between(m, second - 1, second) >= 0);
    give_marked_pass(m, 1);
    assert_int_equal(m->dev->ops->synchronize(m->dev, &err), MOE_OK);
    parts_make_the_whole(m, 1);
    assert_true(seconds_between(m, 0, second - 1) == first_pass);
    assert_true(seconds_between(m, 0, second) + marks_rounding(both) >= both);
}

/* The host's clock surrounds what the device measures, and is surrounded by it; two clocks may differ in a
 * hundredth. */
static void seconds_are_seconds(const struct marked *m) {
    const struct backend *ops = m->dev->ops;
    moe_err err = {0};
    const double start = clock_seconds();
    ops->mark(m->dev, m->marks, 0);
    assert_int_equal(ops->synchronize(m->dev, &err), MOE_OK);
    const double inner = clock_seconds();
    usleep(3000);
    const double slept = clock_seconds() - inner;
    ops->mark(m->dev, m->marks, 1);
    assert_int_equal(ops->synchronize(m->dev, &err), MOE_OK);
    const double outer = clock_seconds() - start, measured = seconds_between(m, 0, 1);
    assert_true(measured >= 0.99 * slept && measured <= 1.01 * outer);
}

/* Where the host does not do the work itself, it is told of a mark that was never placed, once. */
static void marks_that_are_missing_are_told(const struct marked *m) {
    const struct backend *ops = m->dev->ops;
    struct device_marks *fresh = NULL;
    moe_err err = {0};
    assert_int_equal(ops->alloc_marks(m->dev, 2, &fresh, &err), MOE_OK);
    ops->mark(m->dev, fresh, 0);
    assert_int_equal(ops->synchronize(m->dev, &err), MOE_OK);
    assert_true(ops->marked_seconds(m->dev, fresh, 0, 0) == 0);
    assert_int_equal(ops->synchronize(m->dev, &err), MOE_OK);
    if (!ops->host_memory) {
        assert_true(ops->marked_seconds(m->dev, fresh, 0, 1) == 0);
        assert_int_not_equal(ops->synchronize(m->dev, &err), MOE_OK);
        assert_non_null(strstr(err.message, "marked_seconds"));
        assert_int_equal(ops->synchronize(m->dev, &err), MOE_OK);
    }
    ops->release_marks(m->dev, fresh);
    ops->release_marks(m->dev, NULL);
}

static void check_marks(const char *backend) {
    const struct device_options small = {
        .threads = 1, .max_rows = MARKS_SIDE, .max_vocab = 16, .max_seq = 16, .max_width = MARKS_SIDE};
    struct marked m = {0};
    enum { ROUNDS = 4 }; /* the first pass of a device is not kept as a graph */
    assert_int_equal(device_open(backend, &small, &m.dev, NULL), MOE_OK);
    const struct backend *ops = m.dev->ops;
    const size_t bytes = MARKS_SIDE * MARKS_SIDE * ops->act_size;
    void **buffers[] = {&m.x, &m.y, &m.w};
    for (int i = 0; i < 3; i++)
        assert_int_equal(ops->alloc(m.dev, bytes, buffers[i], NULL), MOE_OK);
    assert_int_equal(ops->alloc_marks(m.dev, 2 * MARKS_OF_SLOT, &m.marks, NULL), MOE_OK);
    for (int round = 0; round < ROUNDS; round++)
        slots_are_kept_apart(&m);
    seconds_are_seconds(&m);
    marks_that_are_missing_are_told(&m);
    slots_are_kept_apart(&m); /* after other marks have gone */
    ops->release_marks(m.dev, m.marks);
    for (int i = 0; i < 3; i++)
        ops->release(m.dev, *buffers[i]);
    device_close(m.dev);
}

static void marks_measure_what_lies_between(void **state) {
    const struct parity *t = *state;
    const char *wish = getenv("MOE_CUDA_GRAPHS");
    char *before = wish != NULL ? strdup(wish) : NULL;
    for (int graphs = 0; graphs < 2; graphs++) {
        assert_int_equal(setenv("MOE_CUDA_GRAPHS", graphs == 0 ? "0" : "1", 1), 0);
        check_marks("reference");
        check_marks(t->backend);
    }
    if (before != NULL)
        assert_int_equal(setenv("MOE_CUDA_GRAPHS", before, 1), 0);
    else
        assert_int_equal(unsetenv("MOE_CUDA_GRAPHS"), 0);
    free(before);
}

#endif
