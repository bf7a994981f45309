/* Balance losses of gates and their gradients: a few hundred numbers, in double, on one thread. */
#include "device/cpu/cpu_device.h"

#define SOURCE_B_EPS 1e-10 /* under the mean of a squared coefficient of variation */

/* Squared coefficient of variation of x [n]; dx [n] = weight times its gradient. */
static double cv_squared(const double *x, int32_t n, bool unbiased, double eps, double weight, double *dx) {
    double mean = 0, squares = 0;
    for (int32_t i = 0; i < n; i++) {
        mean += x[i] / n;
        dx[i] = 0;
    }
    for (int32_t i = 0; i < n; i++)
        squares += (x[i] - mean) * (x[i] - mean);
    const double freedom = unbiased ? n - 1 : n, below = mean * mean + eps;
    if (n < 2 || below == 0) return 0;
    const double variance = squares / freedom;
    for (int32_t i = 0; i < n; i++)
        dx[i] = weight * (2 * (x[i] - mean) / freedom / below - variance * 2 * mean / n / (below * below));
    return variance / below;
}

/* CV^2 of one gate's sums [E] and its gradient; work [2, E]. */
static double variation(float *dsums, const float *sums, double *work, double weight,
                        const struct gate_balance *balance) {
    const int32_t experts = balance->experts;
    const bool published = balance->kind == GATE_SOFTMAX_TOP_K;
    double *x = work, *dx = work + experts;
    for (int32_t e = 0; e < experts; e++)
        x[e] = (double)sums[e];
    const double cv = cv_squared(x, experts, published, published ? SOURCE_B_EPS : 0, weight, dx);
    for (int32_t e = 0; e < experts; e++)
        dsums[e] = (float)dx[e];
    return cv;
}

/* E sum_e f_e P_e over the rows of all gates, of which gate a has those whose first choices it counts. */
static double chance_loss(float *dload, const float *load, const int32_t *first,
                          const struct gate_balance *balance) {
    const int32_t experts = balance->experts;
    double all = 0, loss = 0;
    for (int32_t i = 0; i < balance->gates * experts; i++)
        all += first[i];
    for (int32_t a = 0; a < balance->gates; a++) {
        double rows = 0;
        for (int32_t e = 0; e < experts; e++)
            rows += first[a * experts + e];
        for (int32_t i = a * experts; rows > 0 && i < (a + 1) * experts; i++) {
            const double slope = experts * first[i] / rows / all;
            loss += slope * (double)load[i];
            dload[i] = (float)(balance->importance * slope);
        }
    }
    return loss;
}

void cpu_gate_balance(struct device *dev, float *dsums, double *loss, const float *sums,
                      const int32_t *counts, const struct gate_balance *balance) {
    const int32_t experts = balance->experts, cells = balance->gates * experts;
    double *work = cpu_device_of(dev)->scratch;
    loss[0] = loss[1] = 0;
    for (int32_t i = 0; i < GATE_SUMS * cells; i++)
        dsums[i] = 0.0f;
    if (balance->kind == GATE_BY_CHANCE) {
        loss[0] = chance_loss(dsums + GATE_LOAD * cells, sums + GATE_LOAD * cells,
                              counts + GATE_FIRST * cells, balance);
        return;
    }
    for (int32_t a = 0; a < balance->gates; a++) {
        const int32_t importance = GATE_IMPORTANCE * cells + a * experts,
                      load = GATE_LOAD * cells + a * experts;
        loss[0] += variation(dsums + importance, sums + importance, work, balance->importance, balance);
        loss[1] += variation(dsums + load, sums + load, work, balance->load, balance);
    }
}

/* CV^2 of load[i, j] = load_i load_ij / rows_i and its gradients; work [3, A, E]. */
static double joint_load(float *d_outer, float *d_inner, const float *outer, const float *inner,
                         const int32_t *first, double *work, const struct gate_balance *balance) {
    const int32_t groups = balance->gates, experts = balance->experts, all = groups * experts;
    double *x = work, *dx = x + all, *share = dx + all;
    for (int32_t i = 0; i < groups; i++) {
        double rows = 0;
        for (int32_t at = i * experts; at < (i + 1) * experts; at++)
            rows += first[at];
        for (int32_t at = i * experts; at < (i + 1) * experts; at++) {
            share[at] = rows > 0 ? (double)inner[at] / rows : (double)balance->top_k / experts;
            x[at] = (double)outer[i] * share[at];
        }
    }
    const double cv = cv_squared(x, all, false, 0, balance->load, dx);
    for (int32_t i = 0; i < groups; i++) {
        double rows = 0, sum = 0;
        for (int32_t at = i * experts; at < (i + 1) * experts; at++)
            rows += first[at];
        for (int32_t at = i * experts; at < (i + 1) * experts; at++) {
            sum += dx[at] * share[at];
            if (rows > 0) d_inner[at] = (float)(dx[at] * (double)outer[i] / rows);
        }
        d_outer[i] = (float)sum;
    }
    return cv;
}

void cpu_gate_balance_joint(struct device *dev, float *group_dsums, float *dsums, double *loss,
                            const float *group_sums, const float *sums, const int32_t *counts,
                            const struct gate_balance *balance) {
    const int32_t groups = balance->gates, all = groups * balance->experts;
    double *work = cpu_device_of(dev)->scratch, *dx = work + all;
    for (int32_t i = 0; i < GATE_SUMS * groups; i++)
        group_dsums[i] = 0.0f;
    for (int32_t i = 0; i < GATE_SUMS * all; i++)
        dsums[i] = 0.0f;
    for (int32_t i = 0; i < all; i++)
        work[i] = (double)sums[GATE_MASS * all + i];
    loss[0] = cv_squared(work, all, false, 0, balance->importance, dx);
    for (int32_t i = 0; i < all; i++)
        dsums[GATE_MASS * all + i] = (float)dx[i];
    loss[1] =
        joint_load(group_dsums + GATE_LOAD * groups, dsums + GATE_LOAD * all, group_sums + GATE_LOAD * groups,
                   sums + GATE_LOAD * all, counts + GATE_FIRST * all, work, balance);
}
