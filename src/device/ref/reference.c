/* reference.c - the "reference" backend: its memory, its table, opening and closing */
#include "device/ref/reference.h"

#include <stdlib.h>

#include "core/arena.h"

#define REAL float
#include "device/ref/kernels.inc"

double *reference_scratch(struct device *dev, int64_t n) {
    struct reference_device *ref = (struct reference_device *)dev;
    const size_t count = n > 0 ? (size_t)n : 1;
    if (count > ref->scratch_count) {
        double *grown = realloc(ref->scratch, count * sizeof *grown);
        if (grown == NULL) {
            ref->out_of_memory = true;
            return NULL;
        }
        ref->scratch = grown;
        ref->scratch_count = count;
    }
    return ref->scratch;
}

static moe_status ref_alloc(struct device *dev, size_t bytes, void **out_ptr, moe_err *err) {
    (void)dev;
    return arena_block(bytes, out_ptr, err);
}

static void ref_release(struct device *dev, void *ptr) {
    (void)dev;
    free(ptr);
}

static void ref_copy(struct device *dev, void *dst, const void *src, size_t bytes) {
    (void)dev;
    if (bytes > 0) memcpy(dst, src, bytes);
}

static void ref_zero(struct device *dev, void *dst, size_t bytes) {
    (void)dev;
    if (bytes > 0) memset(dst, 0, bytes);
}

static moe_status ref_synchronize(struct device *dev, moe_err *err) {
    struct reference_device *ref = (struct reference_device *)dev;
    moe_status status = MOE_OK;
    const bool failed = ref->out_of_memory;
    ref->out_of_memory = false;
    moe_check(!failed, err, MOE_ENOMEM,
              "reference backend: no memory for a row of scratch; use a smaller shape");
out:
    return status;
}

static const struct backend reference_backend = {
    .name = "reference",
    .act_size = sizeof(float),
    .host_memory = true,
    .grouped_source = true,
    .alloc = ref_alloc,
    .release = ref_release,
    .upload = ref_copy,
    .alloc_host = ref_alloc,
    .release_host = ref_release,
    .download = ref_copy,
    .fetch = ref_copy,
    .copy = ref_copy,
    .zero = ref_zero,
    .synchronize = ref_synchronize,
    .pass_begin = device_host_pass,
    .pass_end = device_host_pass,
    .alloc_marks = device_host_alloc_marks,
    .release_marks = device_host_release_marks,
    .mark = device_host_mark,
    .marked_seconds = device_host_marked_seconds,
    .linear_forward = ref_linear_forward,
    .linear_forward_float = ref_linear_forward_float,
    .linear_backward = ref_linear_backward,
    .grouped_linear_forward = ref_grouped_linear_forward,
    .grouped_linear_forward_float = ref_grouped_linear_forward_float,
    .grouped_linear_backward = ref_grouped_linear_backward,
    .embedding_forward = ref_embedding_forward,
    .embedding_backward = ref_embedding_backward,
    .norm_forward = ref_norm_forward,
    .norm_backward = ref_norm_backward,
    .attention_forward = ref_attention_forward,
    .attention_backward = ref_attention_backward,
    .attention_decode = ref_attention_decode,
    .rope = ref_rope,
    .activation_forward = ref_activation_forward,
    .activation_backward = ref_activation_backward,
    .to_act = ref_to_act,
    .dropout = ref_dropout,
    .residual_dropout = ref_residual_dropout,
    .add_scaled = ref_add_scaled,
    .head_loss = ref_head_loss,
    .sum = ref_sum,
    .find_nonfinite = ref_find_nonfinite,
    .router_forward = ref_router_forward,
    .router_backward = ref_router_backward,
    .balance_gradient = ref_balance_slopes,
    .route = ref_route,
    .gather = ref_gather,
    .gather_backward = ref_gather_backward,
    .combine = ref_combine,
    .combine_backward = ref_combine_backward,
    .sequence_histogram = ref_sequence_histogram,
    .gate_forward = ref_gate_forward,
    .gate_backward = ref_gate_backward,
    .gate_balance = ref_gate_balance,
    .gate_balance_joint = ref_gate_balance_joint,
    .mixture_forward = ref_mixture_forward,
    .mixture_backward = ref_mixture_backward,
    .mixture_loss = ref_mixture_loss,
    .sum_squares = ref_sum_squares,
    .clip_scale = device_host_clip_scale,
    .adamw = ref_adamw,
};

moe_status device_open_reference(const struct device_options *options, struct device **out_device,
                                 moe_err *err) {
    moe_status status = MOE_OK;
    struct reference_device *ref = calloc(1, sizeof *ref);
    moe_check(ref != NULL, err, MOE_ENOMEM, "reference backend: no memory for the device");
    ref->base = (struct device){.ops = &reference_backend, .options = *options};
    *out_device = &ref->base;
out:
    return status;
}

void device_close_reference(struct device *dev) {
    struct reference_device *ref = (struct reference_device *)dev;
    if (ref == NULL) return;
    free(ref->scratch);
    free(ref);
}
