#include "device/cpu/cpu_device.h"

#include <stdlib.h>

#include <cblas.h>

#include "core/arena.h"
#include "core/parallel.h"

static const struct backend cpu_backend = {
    .name = "cpu",
    .act_size = sizeof(float),
    .host_memory = true,
    .alloc = cpu_alloc,
    .release = cpu_release,
    .upload = cpu_upload,
    .alloc_host = cpu_alloc,
    .release_host = cpu_release,
    .download = cpu_download,
    .fetch = cpu_download,
    .copy = cpu_copy,
    .zero = cpu_zero,
    .synchronize = cpu_synchronize,
    .pass_begin = device_host_pass,
    .pass_end = device_host_pass,
    .alloc_marks = device_host_alloc_marks,
    .release_marks = device_host_release_marks,
    .mark = device_host_mark,
    .marked_seconds = device_host_marked_seconds,
    .linear_forward = cpu_linear_forward,
    .linear_forward_float = cpu_linear_forward_float,
    .linear_backward = cpu_linear_backward,
    .grouped_linear_forward = cpu_grouped_linear_forward,
    .grouped_linear_forward_float = cpu_grouped_linear_forward_float,
    .grouped_linear_backward = cpu_grouped_linear_backward,
    .embedding_forward = cpu_embedding_forward,
    .embedding_backward = cpu_embedding_backward,
    .norm_forward = cpu_norm_forward,
    .norm_backward = cpu_norm_backward,
    .attention_forward = cpu_attention_forward,
    .attention_backward = cpu_attention_backward,
    .attention_decode = cpu_attention_decode,
    .rope = cpu_rope,
    .activation_forward = cpu_activation_forward,
    .activation_backward = cpu_activation_backward,
    .to_act = cpu_to_act,
    .dropout = cpu_dropout,
    .residual_dropout = cpu_residual_dropout,
    .add_scaled = cpu_add_scaled,
    .head_loss = cpu_head_loss,
    .sum = cpu_sum,
    .find_nonfinite = cpu_find_nonfinite,
    .router_forward = cpu_router_forward,
    .router_backward = cpu_router_backward,
    .balance_gradient = cpu_balance_gradient,
    .route = cpu_route,
    .gather = cpu_gather,
    .gather_backward = cpu_gather_backward,
    .combine = cpu_combine,
    .combine_backward = cpu_combine_backward,
    .sequence_histogram = cpu_sequence_histogram,
    .gate_forward = cpu_gate_forward,
    .gate_backward = cpu_gate_backward,
    .gate_balance = cpu_gate_balance,
    .gate_balance_joint = cpu_gate_balance_joint,
    .mixture_forward = cpu_mixture_forward,
    .mixture_backward = cpu_mixture_backward,
    .mixture_loss = cpu_mixture_loss,
    .sum_squares = cpu_sum_squares,
    .clip_scale = device_host_clip_scale,
    .adamw = cpu_adamw,
};

/* Takes every buffer of the device from the arena: once to measure, once over the block. */
static void plan_scratch(struct cpu_device *cpu, struct arena *arena) {
    const struct device_options *options = &cpu->base.options;
    cpu->scratch_bytes = 2 * CPU_PARTIALS * (size_t)options->max_width * sizeof(double) +
                         16 * (size_t)options->max_rows + 8 * ((size_t)options->max_vocab + 1) + 4096;
    cpu->scratch = arena_take(arena, cpu->scratch_bytes, 1);
    cpu->attention_floats = cpu_attention_floats(options->max_seq);
    cpu->attention = arena_array(arena, float, cpu->attention_floats * options->threads);
    cpu->logits_floats = cpu_logits_floats(options->max_rows, options->max_vocab);
    cpu->logits = arena_array(arena, float, cpu->logits_floats);
}

moe_status device_open_cpu(const struct device_options *options, struct device **out_device, moe_err *err) {
    moe_status status = MOE_OK;
    struct cpu_device *cpu = calloc(1, sizeof *cpu);
    moe_check(cpu != NULL, err, MOE_ENOMEM, "cpu backend: no memory for the device");
    moe_check(options->max_rows >= 0 && options->max_vocab >= 0 && options->max_seq >= 0 &&
                  options->max_width >= 0 && options->threads >= 0,
              err, MOE_EARG, "cpu backend: negative size or thread count");
    cpu->base = (struct device){.ops = &cpu_backend, .options = *options};
    cpu->base.options.threads = options->threads > 0 ? options->threads : parallel_default_threads();
    struct arena arena = arena_measure();
    plan_scratch(cpu, &arena);
    moe_try(arena_block(arena.peak, &cpu->block, err));
    arena = arena_over(cpu->block, arena.peak);
    plan_scratch(cpu, &arena);
    openblas_set_num_threads(1); /* the partition is ours: its own would change bits with the thread count */
    *out_device = &cpu->base;
    cpu = NULL;
out:
    free(cpu);
    return status;
}

void device_close_cpu(struct device *dev) {
    if (dev == NULL) return;
    free(cpu_device_of(dev)->block);
    free(dev);
}
