/* Balance losses of gates and their gradients: a few hundred numbers, in double, by one block. */
#include "cuda/cuda_operations.cuh"
#include "cuda/reduce.cuh"

enum { THREADS = 128 };

#define SOURCE_B_EPS 1e-10 /* under the mean of a squared coefficient of variation */

/* What CV^2 of n numbers is, and what its gradient takes from it: d/dx = slope (x - mean) - shift. */
struct variation {
    double cv, mean, slope, shift;
};

/* value(i) for i < n; every thread calls, and every thread gets the result. */
template <typename Value>
static __device__ inline struct variation variation_of(int32_t n, bool unbiased, double eps, double *part,
                                                       Value value) {
    struct variation v = {0.0, 0.0, 0.0, 0.0};
    double sum = 0.0, squares = 0.0;
    for (int32_t i = (int32_t)threadIdx.x; i < n; i += THREADS)
        sum += value(i);
    v.mean = block_sum(sum, part) / n;
    for (int32_t i = (int32_t)threadIdx.x; i < n; i += THREADS)
        squares += (value(i) - v.mean) * (value(i) - v.mean);
    squares = block_sum(squares, part);
    const double freedom = unbiased ? n - 1 : n, below = v.mean * v.mean + eps;
    if (n < 2 || below == 0.0) return v;
    v.cv = squares / freedom / below;
    v.slope = 2.0 / freedom / below;
    v.shift = v.cv * 2.0 * v.mean / n / below;
    return v;
}

static __device__ inline double derivative(const struct variation &v, double x) {
    return v.slope * (x - v.mean) - v.shift;
}

/* Sum of n counts. */
static __device__ inline double rows_of(const int32_t *counts, int32_t n, double *part) {
    double rows = 0.0;
    for (int32_t i = (int32_t)threadIdx.x; i < n; i += THREADS)
        rows += (double)counts[i];
    return block_sum(rows, part);
}

static __device__ inline void clear(float *x, int32_t n) {
    for (int32_t i = (int32_t)threadIdx.x; i < n; i += THREADS)
        x[i] = 0.0f;
    __syncthreads();
}

/* E sum_e f_e P_e over the rows of all gates, of which gate a has those whose first choices it counts. */
static __device__ inline double chance_loss(float *dload, const float *load, const int32_t *first,
                                            const struct gate_balance &balance, double *part) {
    const int32_t experts = balance.experts;
    const double all = rows_of(first, balance.gates * experts, part);
    double loss = 0.0;
    for (int32_t a = 0; a < balance.gates; a++) {
        const double rows = rows_of(first + a * experts, experts, part);
        double sum = 0.0;
        for (int32_t e = (int32_t)threadIdx.x; rows > 0.0 && e < experts; e += THREADS) {
            const int32_t i = a * experts + e;
            const double slope = (double)experts * (double)first[i] / rows / all;
            sum += slope * (double)load[i];
            dload[i] = (float)(balance.importance * slope);
        }
        loss += block_sum(sum, part);
    }
    return loss;
}

/* CV^2 of one gate's sums [E] and its gradient. */
static __device__ inline double gate_variation(float *dsums, const float *sums, double weight,
                                               const struct gate_balance &balance, double *part) {
    const bool published = balance.kind == GATE_SOFTMAX_TOP_K;
    const struct variation v = variation_of(balance.experts, published, published ? SOURCE_B_EPS : 0.0, part,
                                            [=](int32_t e) { return (double)sums[e]; });
    for (int32_t e = (int32_t)threadIdx.x; e < balance.experts; e += THREADS)
        dsums[e] = (float)(weight * derivative(v, (double)sums[e]));
    return v.cv;
}

__global__ void gate_balance_kernel(float *dsums, double *loss, const float *sums, const int32_t *counts,
                                    struct gate_balance balance) {
    __shared__ double part[CUDA_WARP];
    const int32_t experts = balance.experts, cells = balance.gates * experts;
    double importance = 0.0, load = 0.0;
    clear(dsums, GATE_SUMS * cells);
    if (balance.kind == GATE_BY_CHANCE) {
        importance = chance_loss(dsums + GATE_LOAD * cells, sums + GATE_LOAD * cells,
                                 counts + GATE_FIRST * cells, balance, part);
    } else {
        for (int32_t a = 0; a < balance.gates; a++) {
            const int32_t of_importance = GATE_IMPORTANCE * cells + a * experts;
            const int32_t of_load = GATE_LOAD * cells + a * experts;
            importance += gate_variation(dsums + of_importance, sums + of_importance, balance.importance,
                                         balance, part);
            load += gate_variation(dsums + of_load, sums + of_load, balance.load, balance, part);
        }
    }
    if (threadIdx.x > 0) return;
    loss[0] = importance;
    loss[1] = load;
}

/* rows [A]: each group's. */
__global__ void gate_balance_joint_kernel(float *group_dsums, float *dsums, double *loss, double *rows,
                                          const float *group_sums, const float *sums, const int32_t *counts,
                                          struct gate_balance balance) {
    __shared__ double part[CUDA_WARP];
    const int32_t groups = balance.gates, experts = balance.experts, all = groups * experts;
    const float *mass = sums + GATE_MASS * all;
    const float *outer = group_sums + GATE_LOAD * groups, *inner = sums + GATE_LOAD * all;
    clear(group_dsums, GATE_SUMS * groups);
    clear(dsums, GATE_SUMS * all);
    for (int32_t g = 0; g < groups; g++) {
        const double here = rows_of(counts + GATE_FIRST * all + g * experts, experts, part);
        if (threadIdx.x == 0) rows[g] = here;
    }
    __syncthreads();
    const struct variation importance =
        variation_of(all, false, 0.0, part, [=](int32_t i) { return (double)mass[i]; });
    const auto share = [=](int32_t i) {
        const double here = rows[i / experts];
        return here > 0.0 ? (double)inner[i] / here : (double)balance.top_k / (double)experts;
    };
    const auto joint = [=](int32_t i) { return (double)outer[i / experts] * share(i); };
    const struct variation load = variation_of(all, false, 0.0, part, joint);
    for (int32_t i = (int32_t)threadIdx.x; i < all; i += THREADS) {
        dsums[GATE_MASS * all + i] = (float)(balance.importance * derivative(importance, (double)mass[i]));
        const double here = rows[i / experts], d = balance.load * derivative(load, joint(i));
        if (here > 0.0) dsums[GATE_LOAD * all + i] = (float)(d * (double)outer[i / experts] / here);
    }
    for (int32_t g = 0; g < groups; g++) {
        double sum = 0.0;
        for (int32_t e = (int32_t)threadIdx.x; e < experts; e += THREADS)
            sum += balance.load * derivative(load, joint(g * experts + e)) * share(g * experts + e);
        sum = block_sum(sum, part);
        if (threadIdx.x == 0) group_dsums[GATE_LOAD * groups + g] = (float)sum;
    }
    if (threadIdx.x > 0) return;
    loss[0] = importance.cv;
    loss[1] = load.cv;
}

/* rows of each group */
size_t cuda_gate_balance_scratch(const struct device_options *options) {
    return (size_t)options->max_width * sizeof(double);
}

void cuda_gate_balance(struct device *dev, float *dsums, double *loss, const float *sums,
                       const int32_t *counts, const struct gate_balance *balance) {
    cuda_launch(dev, "gate_balance", gate_balance_kernel, 1, THREADS, 0, dsums, loss, sums, counts, *balance);
}

void cuda_gate_balance_joint(struct device *dev, float *group_dsums, float *dsums, double *loss,
                             const float *group_sums, const float *sums, const int32_t *counts,
                             const struct gate_balance *balance) {
    cuda_launch(dev, "gate_balance_joint", gate_balance_joint_kernel, 1, THREADS, 0, group_dsums, dsums, loss,
                cuda_device_of(dev)->scratch, group_sums, sums, counts, *balance);
}
