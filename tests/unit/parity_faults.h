/* parity_faults.h - the harness itself: a backend with one fault of each kind must not pass */
#ifndef PARITY_FAULTS_H
#define PARITY_FAULTS_H

#include "device/ref/reference.h"
#include "parity_harness.h"

enum fault {
    FAULT_NONE,
    FAULT_VALUE,
    FAULT_UNWRITTEN,
    FAULT_BEFORE,
    FAULT_PAST,
    FAULT_INPUT,
    FAULT_GAP,
    FAULT_NAN,
    FAULT_SUM,
    FAULT_COUNT
};

struct faulty_device {
    struct reference_device reference;
    enum fault fault;
};

enum { FAULT_ROWS = 5, FAULT_WIDTH = 7, FAULT_STRIDE = 9 };

/* y[r] = 2 x[r] on strided rows with one fault; returns the sum of y. */
static double faulty_double(const struct device *dev, float *y, float *x) {
    const enum fault fault = ((const struct faulty_device *)dev)->fault;
    double sum = 0.0;
    for (int r = 0; r < FAULT_ROWS; r++) {
        for (int i = 0; i < FAULT_WIDTH; i++) {
            if (fault == FAULT_UNWRITTEN && r == 4 && i == 6) continue;
            y[r * FAULT_STRIDE + i] = 2.0f * x[r * FAULT_STRIDE + i];
            sum += (double)y[r * FAULT_STRIDE + i];
        }
    }
    if (fault == FAULT_VALUE) y[3] += 1e-4f;
    if (fault == FAULT_BEFORE) y[-1] = 0.0f;
    if (fault == FAULT_PAST) y[FAULT_ROWS * FAULT_STRIDE] = 0.0f;
    if (fault == FAULT_INPUT) x[0] = 0.0f;
    if (fault == FAULT_GAP) y[FAULT_WIDTH] = 0.0f;
    if (fault == FAULT_NAN) y[0] = NAN;
    return fault == FAULT_SUM ? sum * (1.0 + 1e-3) : sum;
}

static void call_faulty(struct device *dev, void *const *p, const void *args, double *host) {
    const struct parity *t = args;
    const struct faulty_device sound = {.fault = FAULT_NONE};
    host[0] = faulty_double(dev == t->one ? dev : &sound.reference.base, p[0], p[1]);
}

/* Runs on the reference alone; only its side `one` has the fault. Threads and repetition are not looked at
 * here. */
static int faults_found(struct parity *t, enum fault fault) {
    struct faulty_device faulty = {.reference.base = *t->reference, .fault = fault};
    struct parity trial = {.op = "faulty",
                           .limit = 1e-5,
                           .reference = t->reference,
                           .one = &faulty.reference.base,
                           .quiet = true};
    parity_case(&trial, "fault %d", (int)fault);
    parity_rows(&trial, "y", PARITY_OUT, PARITY_ACT, FAULT_ROWS, FAULT_WIDTH, FAULT_STRIDE, 0.0f);
    parity_rows(&trial, "x", PARITY_IN, PARITY_ACT, FAULT_ROWS, FAULT_WIDTH, FAULT_STRIDE, 1.0f);
    parity_execute(&trial, 0, call_faulty, &trial);
    parity_execute(&trial, 1, call_faulty, &trial);
    parity_compare_floats(&trial, &trial.slot[0]);
    parity_compare_host(&trial);
    parity_drop_case(&trial);
    return trial.failures;
}

static void faults_are_noticed(void **state) {
    assert_int_equal(faults_found(*state, FAULT_NONE), 0);
    for (int fault = FAULT_VALUE; fault < FAULT_COUNT; fault++)
        assert_int_not_equal(faults_found(*state, (enum fault)fault), 0);
}

#endif
