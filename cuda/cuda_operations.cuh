/* cuda_operations.cuh - every operation of the backend, by file; contracts in device/backend.h.
 *
 * cuda_<name>_scratch() says how many bytes of scratch an operation needs at most for a device's options. */
#ifndef CUDA_OPERATIONS_CUH
#define CUDA_OPERATIONS_CUH

#include "cuda/cuda_device.cuh"

moe_status cuda_alloc(struct device *dev, size_t bytes, void **out_ptr, moe_err *err);
void cuda_release(struct device *dev, void *ptr);
moe_status cuda_alloc_host(struct device *dev, size_t bytes, void **out_ptr, moe_err *err);
void cuda_release_host(struct device *dev, void *ptr);
void cuda_upload(struct device *dev, void *dst, const void *host_src, size_t bytes);
void cuda_download(struct device *dev, void *host_dst, const void *src, size_t bytes);
void cuda_fetch(struct device *dev, void *host_dst, const void *src, size_t bytes);
void cuda_copy(struct device *dev, void *dst, const void *src, size_t bytes);
void cuda_zero(struct device *dev, void *dst, size_t bytes);
moe_status cuda_synchronize(struct device *dev, moe_err *err);
void cuda_pass_begin(struct device *dev);
void cuda_pass_end(struct device *dev);
moe_status cuda_alloc_marks(struct device *dev, int32_t count, struct device_marks **out_marks, moe_err *err);
void cuda_release_marks(struct device *dev, struct device_marks *marks);
void cuda_mark(struct device *dev, struct device_marks *marks, int32_t at);
double cuda_marked_seconds(struct device *dev, const struct device_marks *marks, int32_t from, int32_t to);
void cuda_linear_forward(struct device *dev, act_t *y, const act_t *x, const act_t *w, const act_t *bias,
                         int64_t rows, int32_t in, int32_t out);
void cuda_linear_forward_float(struct device *dev, float *y, const act_t *x, const act_t *w,
                               const act_t *bias, int64_t rows, int32_t in, int32_t out);
void cuda_linear_backward(struct device *dev, act_t *dx, float *dw, float *dbias, const act_t *dy,
                          const act_t *x, const act_t *w, int64_t rows, int32_t in, int32_t out,
                          bool accumulate_dx);
size_t cuda_linear_scratch(const struct device_options *options);
void cuda_grouped_linear_forward(struct device *dev, act_t *y, const act_t *x, const int32_t *source,
                                 const act_t *w, const act_t *bias, const int32_t *offsets, int32_t experts,
                                 int64_t max_rows, int32_t in, int32_t out);
void cuda_grouped_linear_forward_float(struct device *dev, float *y, const act_t *x, const int32_t *source,
                                       const act_t *w, const act_t *bias, const int32_t *offsets,
                                       int32_t experts, int64_t max_rows, int32_t in, int32_t out);
void cuda_grouped_linear_backward(struct device *dev, act_t *dx, float *dw, float *dbias, const act_t *dy,
                                  const act_t *x, const int32_t *source, const act_t *w,
                                  const int32_t *offsets, int32_t experts, int64_t max_rows, int32_t in,
                                  int32_t out);
void cuda_embedding_forward(struct device *dev, act_t *y, const int32_t *tokens, const act_t *table,
                            const act_t *positions, int64_t rows, int64_t seq, int32_t hidden);
void cuda_embedding_backward(struct device *dev, float *dtable, float *dpositions, const act_t *dy,
                             const int32_t *tokens, int64_t rows, int64_t seq, int32_t hidden, int32_t vocab);
void cuda_norm_forward(struct device *dev, enum norm_kind kind, act_t *y, float *mean, float *rstd,
                       const act_t *x, const act_t *gamma, const act_t *beta, int64_t rows, int32_t width,
                       int64_t x_stride, int64_t y_stride, float eps);
void cuda_norm_backward(struct device *dev, enum norm_kind kind, act_t *dx, float *dgamma, float *dbeta,
                        const act_t *dy, const act_t *x, const float *mean, const float *rstd,
                        const act_t *gamma, int64_t rows, int32_t width, int64_t x_stride, int64_t y_stride,
                        bool accumulate_dx);
void cuda_attention_forward(struct device *dev, act_t *out, float *lse, const act_t *q, const act_t *k,
                            const act_t *v, const struct attention_shape *shape, struct dropout drop);
void cuda_attention_backward(struct device *dev, act_t *dq, act_t *dk, act_t *dv, float *delta,
                             const act_t *dout, const act_t *out, const float *lse, const act_t *q,
                             const act_t *k, const act_t *v, const struct attention_shape *shape,
                             struct dropout drop);
void cuda_attention_decode(struct device *dev, act_t *out, act_t *k_cache, act_t *v_cache, const act_t *q,
                           const act_t *k, const act_t *v, const struct attention_shape *shape,
                           const struct cache_shape *cache);
void cuda_rope(struct device *dev, act_t *x, int64_t rows, int64_t seq, int64_t first, int32_t heads,
               int32_t head_dim, int64_t stride, float theta, bool interleaved, bool inverse);
void cuda_activation_forward(struct device *dev, enum activation_kind kind, act_t *y, const act_t *x,
                             int64_t rows, int32_t width, struct dropout drop);
void cuda_activation_backward(struct device *dev, enum activation_kind kind, act_t *dx, const act_t *dy,
                              const act_t *x, int64_t rows, int32_t width, struct dropout drop);
void cuda_to_act(struct device *dev, act_t *y, const float *x, int64_t n);
void cuda_dropout(struct device *dev, act_t *y, const act_t *x, int64_t n, struct dropout drop);
void cuda_residual_dropout(struct device *dev, act_t *y, const act_t *residual, const act_t *x, int64_t n,
                           struct dropout drop);
void cuda_add_scaled(struct device *dev, act_t *y, const act_t *x, float alpha, int64_t n);
void cuda_head_loss(struct device *dev, float *nll, float *lse, float *mean_logit, int32_t *correct,
                    act_t *dx, float *dw, const act_t *x, const act_t *w, const int32_t *targets,
                    const struct head_shape *shape, double *backward_seconds);
void cuda_sum(struct device *dev, double *out, const float *x, int64_t n);
int64_t cuda_find_nonfinite(struct device *dev, const float *x, int64_t n);
void cuda_router_forward(struct device *dev, float *logits, float *prob, int32_t *index, float *weight,
                         int32_t *load, float *prob_mass, float *entropy, float *z, const act_t *x,
                         const act_t *w, const float *select_bias, const struct router_shape *shape);
void cuda_router_backward(struct device *dev, act_t *dx, float *dw, float *dlogits, const float *dweight,
                          const float *prob_grad, float z_grad, const float *logits, const float *prob,
                          const int32_t *index, const act_t *x, const act_t *w,
                          const struct router_shape *shape);
void cuda_balance_gradient(struct device *dev, float *prob_grad, const int32_t *load,
                           const struct balance_shape *shape);
void cuda_route(struct device *dev, int32_t *offsets, int32_t *position, int32_t *source, int32_t *dropped,
                const int32_t *index, const float *weight, const float *prob,
                const struct route_shape *shape);
void cuda_gather(struct device *dev, act_t *y, const act_t *x, const int32_t *source, const int32_t *offsets,
                 int32_t experts, int64_t max_rows, int32_t hidden);
void cuda_gather_backward(struct device *dev, act_t *dx, const act_t *dy, const int32_t *position,
                          int64_t rows, int32_t top_k, int32_t hidden, bool accumulate);
void cuda_combine(struct device *dev, act_t *out, const act_t *y, const float *weight,
                  const int32_t *position, int64_t rows, int32_t top_k, int32_t hidden, bool accumulate);
void cuda_combine_backward(struct device *dev, act_t *dy, float *dweight, const act_t *dout, const act_t *y,
                           const float *weight, const int32_t *position, int64_t rows, int32_t top_k,
                           int32_t hidden);
void cuda_sequence_histogram(struct device *dev, uint16_t *hist, const int32_t *index, int64_t rows,
                             int64_t seq, int32_t top_k, int32_t experts, int32_t bins);
void cuda_gate_forward(struct device *dev, float *scores, float *gates, int32_t *index, float *weight,
                       int32_t *counts, float *sums, float *entropy, const float *clean, const float *spread,
                       const float *scale, const struct gate_shape *shape);
void cuda_gate_backward(struct device *dev, act_t *dclean, act_t *dspread, float *dscale,
                        const float *dweight, const float *dgates, const float *dsums, const float *scores,
                        const float *clean, const float *spread, const float *scale,
                        const struct gate_shape *shape);
void cuda_gate_balance(struct device *dev, float *dsums, double *loss, const float *sums,
                       const int32_t *counts, const struct gate_balance *balance);
void cuda_gate_balance_joint(struct device *dev, float *group_dsums, float *dsums, double *loss,
                             const float *group_sums, const float *sums, const int32_t *counts,
                             const struct gate_balance *balance);
void cuda_mixture_forward(struct device *dev, float *y, float *prob, const float *logits, const float *weight,
                          const int32_t *position, int64_t rows, int32_t top_k, int32_t classes);
void cuda_mixture_backward(struct device *dev, act_t *dlogits, float *dweight, const float *dy,
                           const float *prob, const float *weight, const int32_t *position, int64_t rows,
                           int32_t top_k, int32_t classes);
void cuda_mixture_loss(struct device *dev, float *nll, int32_t *correct, float *dy, const float *y,
                       const int32_t *targets, const struct mixture_shape *shape);
void cuda_sum_squares(struct device *dev, double *out, const float *x, const struct span *spans, int32_t n);
void cuda_clip_scale(struct device *dev, float *scale, const double *squares, int32_t n, double clip);
void cuda_adamw(struct device *dev, float *params, act_t *compute, float *grads, float *m, float *v,
                const struct adamw_segment *segments, int32_t count, const struct adamw_step *step,
                const float *grad_scale);

/* Shared memory of a block that attention takes at most: of the widest heads, in float. */
size_t cuda_attention_shared(void);

size_t cuda_embedding_scratch(const struct device_options *options);
size_t cuda_norm_scratch(const struct device_options *options);
size_t cuda_head_loss_scratch(const struct device_options *options);
size_t cuda_router_scratch(const struct device_options *options);
size_t cuda_route_scratch(const struct device_options *options);
size_t cuda_gate_scratch(const struct device_options *options);
size_t cuda_gate_balance_scratch(const struct device_options *options);
size_t cuda_sum_squares_scratch(const struct device_options *options);

#endif
