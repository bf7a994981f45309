/* cpu_device.h - the "cpu" backend: OpenBLAS for matrix products, OpenMP for the partition.
 *
 * Every operation is a function cpu_<name> with the signature and the contract that backend.h gives its table
 * entry. Loops over pieces say num_threads(dev->options.threads); nothing sets a global of OpenMP.
 */
#ifndef DEVICE_CPU_CPU_DEVICE_H
#define DEVICE_CPU_CPU_DEVICE_H

#include "device/backend.h"

/* Most pieces whose partial sums (of parameter gradients, statistics) may be held at once; a piece's size
 * follows from the shape, see cpu_partial_grain(). */
#define CPU_PARTIALS 64

struct cpu_device {
    struct device base; /* first: a struct device * of this backend is a struct cpu_device * */

    void *block; /* holds all the buffers below */

    /* Scratch of one operation at a time, 64-byte aligned, contents undefined on entry. At least
     *   2 CPU_PARTIALS max_width doubles + 16 bytes * max_rows + 8 bytes * (max_vocab + 1) + 4 KiB. */
    void *scratch;
    size_t scratch_bytes;

    float *attention; /* threads buffers of attention_floats, see attention.c */
    int64_t attention_floats;
    float *logits; /* one chunk of head_loss, see head_loss.c */
    int64_t logits_floats;
};

/* Floats of scratch per thread that attention needs for sequences of max_seq, and floats of a chunk of logits
 * for a vocabulary of max_vocab. */
int64_t cpu_attention_floats(int64_t max_seq);
int64_t cpu_logits_floats(int64_t max_rows, int32_t max_vocab);

static inline struct cpu_device *cpu_device_of(struct device *dev) {
    return (struct cpu_device *)dev;
}

/* Rows per piece when `rows` are reduced into at most CPU_PARTIALS partial sums: a function of the shape
 * alone. */
static inline int64_t cpu_partial_grain(int64_t rows) {
    const int64_t grain = (rows + CPU_PARTIALS - 1) / CPU_PARTIALS;
    return grain < 16 ? 16 : grain;
}

moe_status cpu_alloc(struct device *dev, size_t bytes, void **out_ptr, moe_err *err);
void cpu_release(struct device *dev, void *ptr);
void cpu_upload(struct device *dev, void *dst, const void *host_src, size_t bytes);
void cpu_download(struct device *dev, void *host_dst, const void *src, size_t bytes);
void cpu_copy(struct device *dev, void *dst, const void *src, size_t bytes);
void cpu_zero(struct device *dev, void *dst, size_t bytes);
moe_status cpu_synchronize(struct device *dev, moe_err *err);
void cpu_linear_forward(struct device *dev, act_t *y, const act_t *x, const act_t *w, const act_t *bias,
                        int64_t rows, int32_t in, int32_t out);
void cpu_linear_forward_float(struct device *dev, float *y, const act_t *x, const act_t *w, const act_t *bias,
                              int64_t rows, int32_t in, int32_t out);
void cpu_linear_backward(struct device *dev, act_t *dx, float *dw, float *dbias, const act_t *dy,
                         const act_t *x, const act_t *w, int64_t rows, int32_t in, int32_t out,
                         bool accumulate_dx);
void cpu_grouped_linear_forward(struct device *dev, act_t *y, const act_t *x, const int32_t *source,
                                const act_t *w, const act_t *bias, const int32_t *offsets, int32_t experts,
                                int64_t max_rows, int32_t in, int32_t out);
void cpu_grouped_linear_forward_float(struct device *dev, float *y, const act_t *x, const int32_t *source,
                                      const act_t *w, const act_t *bias, const int32_t *offsets,
                                      int32_t experts, int64_t max_rows, int32_t in, int32_t out);
void cpu_grouped_linear_backward(struct device *dev, act_t *dx, float *dw, float *dbias, const act_t *dy,
                                 const act_t *x, const int32_t *source, const act_t *w,
                                 const int32_t *offsets, int32_t experts, int64_t max_rows, int32_t in,
                                 int32_t out);
void cpu_embedding_forward(struct device *dev, act_t *y, const int32_t *tokens, const act_t *table,
                           const act_t *positions, int64_t rows, int64_t seq, int32_t hidden);
void cpu_embedding_backward(struct device *dev, float *dtable, float *dpositions, const act_t *dy,
                            const int32_t *tokens, int64_t rows, int64_t seq, int32_t hidden, int32_t vocab);
void cpu_norm_forward(struct device *dev, enum norm_kind kind, act_t *y, float *mean, float *rstd,
                      const act_t *x, const act_t *gamma, const act_t *beta, int64_t rows, int32_t width,
                      int64_t x_stride, int64_t y_stride, float eps);
void cpu_norm_backward(struct device *dev, enum norm_kind kind, act_t *dx, float *dgamma, float *dbeta,
                       const act_t *dy, const act_t *x, const float *mean, const float *rstd,
                       const act_t *gamma, int64_t rows, int32_t width, int64_t x_stride, int64_t y_stride,
                       bool accumulate_dx);
void cpu_attention_forward(struct device *dev, act_t *out, float *lse, const act_t *q, const act_t *k,
                           const act_t *v, const struct attention_shape *shape, struct dropout drop);
void cpu_attention_backward(struct device *dev, act_t *dq, act_t *dk, act_t *dv, float *delta,
                            const act_t *dout, const act_t *out, const float *lse, const act_t *q,
                            const act_t *k, const act_t *v, const struct attention_shape *shape,
                            struct dropout drop);
void cpu_attention_decode(struct device *dev, act_t *out, act_t *k_cache, act_t *v_cache, const act_t *q,
                          const act_t *k, const act_t *v, const struct attention_shape *shape,
                          const struct cache_shape *cache);
void cpu_rope(struct device *dev, act_t *x, int64_t rows, int64_t seq, int64_t first, int32_t heads,
              int32_t head_dim, int64_t stride, float theta, bool interleaved, bool inverse);
void cpu_activation_forward(struct device *dev, enum activation_kind kind, act_t *y, const act_t *x,
                            int64_t rows, int32_t width, struct dropout drop);
void cpu_activation_backward(struct device *dev, enum activation_kind kind, act_t *dx, const act_t *dy,
                             const act_t *x, int64_t rows, int32_t width, struct dropout drop);
void cpu_to_act(struct device *dev, act_t *y, const float *x, int64_t n);
void cpu_dropout(struct device *dev, act_t *y, const act_t *x, int64_t n, struct dropout drop);
void cpu_residual_dropout(struct device *dev, act_t *y, const act_t *residual, const act_t *x, int64_t n,
                          struct dropout drop);
void cpu_add_scaled(struct device *dev, act_t *y, const act_t *x, float alpha, int64_t n);
void cpu_head_loss(struct device *dev, float *nll, float *lse, float *mean_logit, int32_t *correct, act_t *dx,
                   float *dw, const act_t *x, const act_t *w, const int32_t *targets,
                   const struct head_shape *shape, double *backward_seconds);
void cpu_sum(struct device *dev, double *out, const float *x, int64_t n);
int64_t cpu_find_nonfinite(struct device *dev, const float *x, int64_t n);
void cpu_router_forward(struct device *dev, float *logits, float *prob, int32_t *index, float *weight,
                        int32_t *load, float *prob_mass, float *entropy, float *z, const act_t *x,
                        const act_t *w, const float *select_bias, const struct router_shape *shape);
void cpu_router_backward(struct device *dev, act_t *dx, float *dw, float *dlogits, const float *dweight,
                         const float *prob_grad, float z_grad, const float *logits, const float *prob,
                         const int32_t *index, const act_t *x, const act_t *w,
                         const struct router_shape *shape);
void cpu_balance_gradient(struct device *dev, float *prob_grad, const int32_t *load,
                          const struct balance_shape *shape);
void cpu_route(struct device *dev, int32_t *offsets, int32_t *position, int32_t *source, int32_t *dropped,
               const int32_t *index, const float *weight, const float *prob, const struct route_shape *shape);
void cpu_gather(struct device *dev, act_t *y, const act_t *x, const int32_t *source, const int32_t *offsets,
                int32_t experts, int64_t max_rows, int32_t hidden);
void cpu_gather_backward(struct device *dev, act_t *dx, const act_t *dy, const int32_t *position,
                         int64_t rows, int32_t top_k, int32_t hidden, bool accumulate);
void cpu_combine(struct device *dev, act_t *out, const act_t *y, const float *weight, const int32_t *position,
                 int64_t rows, int32_t top_k, int32_t hidden, bool accumulate);
void cpu_combine_backward(struct device *dev, act_t *dy, float *dweight, const act_t *dout, const act_t *y,
                          const float *weight, const int32_t *position, int64_t rows, int32_t top_k,
                          int32_t hidden);
void cpu_sequence_histogram(struct device *dev, uint16_t *hist, const int32_t *index, int64_t rows,
                            int64_t seq, int32_t top_k, int32_t experts, int32_t bins);
void cpu_gate_forward(struct device *dev, float *scores, float *gates, int32_t *index, float *weight,
                      int32_t *counts, float *sums, float *entropy, const float *clean, const float *spread,
                      const float *scale, const struct gate_shape *shape);
void cpu_gate_backward(struct device *dev, act_t *dclean, act_t *dspread, float *dscale, const float *dweight,
                       const float *dgates, const float *dsums, const float *scores, const float *clean,
                       const float *spread, const float *scale, const struct gate_shape *shape);
void cpu_gate_balance(struct device *dev, float *dsums, double *loss, const float *sums,
                      const int32_t *counts, const struct gate_balance *balance);
void cpu_gate_balance_joint(struct device *dev, float *group_dsums, float *dsums, double *loss,
                            const float *group_sums, const float *sums, const int32_t *counts,
                            const struct gate_balance *balance);
void cpu_mixture_forward(struct device *dev, float *y, float *prob, const float *logits, const float *weight,
                         const int32_t *position, int64_t rows, int32_t top_k, int32_t classes);
void cpu_mixture_backward(struct device *dev, act_t *dlogits, float *dweight, const float *dy,
                          const float *prob, const float *weight, const int32_t *position, int64_t rows,
                          int32_t top_k, int32_t classes);
void cpu_mixture_loss(struct device *dev, float *nll, int32_t *correct, float *dy, const float *y,
                      const int32_t *targets, const struct mixture_shape *shape);
void cpu_sum_squares(struct device *dev, double *out, const float *x, const struct span *spans, int32_t n);
void cpu_adamw(struct device *dev, float *params, act_t *compute, float *grads, float *m, float *v,
               const struct adamw_segment *segments, int32_t count, const struct adamw_step *step,
               const float *grad_scale);

#endif
