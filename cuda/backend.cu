/* backend.cu - the table, opening and closing, and the one function that the module exports. */
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "cuda/blas.cuh"
#include "cuda/cuda_operations.cuh"
#include "cuda/memory.cuh"
#include "cuda/pass.cuh"

/* Both backends are the same functions: they look at the device's type of activations. */
static constexpr struct backend make_table(const char *name, size_t act_size, int32_t max_head_dim) {
    return {
        .name = name,
        .act_size = act_size,
        .host_memory = false,
        .max_head_dim = max_head_dim,
        .grouped_source = true,
        .alloc = cuda_alloc,
        .release = cuda_release,
        .alloc_host = cuda_alloc_host,
        .release_host = cuda_release_host,
        .upload = cuda_upload,
        .download = cuda_download,
        .fetch = cuda_fetch,
        .copy = cuda_copy,
        .zero = cuda_zero,
        .synchronize = cuda_synchronize,
        .pass_begin = cuda_pass_begin,
        .pass_end = cuda_pass_end,
        .alloc_marks = cuda_alloc_marks,
        .release_marks = cuda_release_marks,
        .mark = cuda_mark,
        .marked_seconds = cuda_marked_seconds,
        .linear_forward = cuda_linear_forward,
        .linear_forward_float = cuda_linear_forward_float,
        .linear_backward = cuda_linear_backward,
        .grouped_linear_forward = cuda_grouped_linear_forward,
        .grouped_linear_forward_float = cuda_grouped_linear_forward_float,
        .grouped_linear_backward = cuda_grouped_linear_backward,
        .embedding_forward = cuda_embedding_forward,
        .embedding_backward = cuda_embedding_backward,
        .norm_forward = cuda_norm_forward,
        .norm_backward = cuda_norm_backward,
        .attention_forward = cuda_attention_forward,
        .attention_backward = cuda_attention_backward,
        .attention_decode = cuda_attention_decode,
        .rope = cuda_rope,
        .activation_forward = cuda_activation_forward,
        .activation_backward = cuda_activation_backward,
        .to_act = cuda_to_act,
        .dropout = cuda_dropout,
        .residual_dropout = cuda_residual_dropout,
        .add_scaled = cuda_add_scaled,
        .head_loss = cuda_head_loss,
        .sum = cuda_sum,
        .find_nonfinite = cuda_find_nonfinite,
        .router_forward = cuda_router_forward,
        .router_backward = cuda_router_backward,
        .balance_gradient = cuda_balance_gradient,
        .route = cuda_route,
        .gather = cuda_gather,
        .gather_backward = cuda_gather_backward,
        .combine = cuda_combine,
        .combine_backward = cuda_combine_backward,
        .sequence_histogram = cuda_sequence_histogram,
        .gate_forward = cuda_gate_forward,
        .gate_backward = cuda_gate_backward,
        .gate_balance = cuda_gate_balance,
        .gate_balance_joint = cuda_gate_balance_joint,
        .mixture_forward = cuda_mixture_forward,
        .mixture_backward = cuda_mixture_backward,
        .mixture_loss = cuda_mixture_loss,
        .sum_squares = cuda_sum_squares,
        .clip_scale = cuda_clip_scale,
        .adamw = cuda_adamw,
    };
}

static constexpr struct backend bf16_backend = make_table("cuda", sizeof(bf16), 128);
static constexpr struct backend fp32_backend = make_table("cuda:fp32", sizeof(float), 128);
/* Where the shared memory of a block has no room for tiles of 128 floats. */
static constexpr struct backend fp32_narrow_backend = make_table("cuda:fp32", sizeof(float), 64);

/* What the operations ask for, one entry an operation that needs scratch. */
static size_t (*const scratch_needs[])(const struct device_options *options) = {
    cuda_linear_scratch,      cuda_embedding_scratch,
    cuda_norm_scratch,        cuda_head_loss_scratch,
    cuda_router_scratch,      cuda_route_scratch,
    cuda_gate_scratch,        cuda_gate_balance_scratch,
    cuda_sum_squares_scratch, NULL,
};

static size_t largest_scratch(const struct device_options *options) {
    size_t bytes = 256;
    for (int i = 0; scratch_needs[i] != NULL; i++) {
        const size_t need = scratch_needs[i](options);
        if (need > bytes) bytes = need;
    }
    return bytes;
}

static void close_device(struct device *base) {
    struct cuda_device *dev = cuda_device_of(base);
    if (dev == NULL) return;
    if (dev->stream != NULL) cudaStreamSynchronize(dev->stream);
    blas_close(dev->blas);
    pass_close(dev->pass);
    staging_close(dev->staging);
    cudaFree(dev->scratch);
    if (dev->stream != NULL) cudaStreamDestroy(dev->stream);
    free(dev);
}

/* Everything that lasts as long as the device. */
static moe_status open_parts(struct cuda_device *dev, moe_err *err) {
    moe_status status = MOE_OK;
    cudaError_t result = cudaStreamCreateWithFlags(&dev->stream, cudaStreamNonBlocking);
    moe_check(result == cudaSuccess, err, MOE_ENOTSUP, "cuda: no stream: %s", cudaGetErrorString(result));
    result = cudaDeviceGetAttribute(&dev->processors, cudaDevAttrMultiProcessorCount, 0);
    moe_check(result == cudaSuccess, err, MOE_ENOTSUP, "cuda: no attributes: %s", cudaGetErrorString(result));
    dev->scratch_bytes = largest_scratch(&dev->base.options);
    result = cudaMalloc(&dev->scratch, dev->scratch_bytes);
    moe_check(result == cudaSuccess, err, MOE_ENOMEM, "cuda: no %zu bytes of GPU memory for scratch: %s",
              dev->scratch_bytes, cudaGetErrorString(result));
    moe_try(staging_open(&dev->staging, err));
    moe_try(pass_open(&dev->pass, err));
    moe_try(blas_open(&dev->blas, dev->stream, err));
out:
    return status;
}

/* First compute capability with bf16 on tensor cores, and kernels in the module. */
#define LEAST_CAPABILITY 8

static moe_status find_gpu(moe_err *err) {
    moe_status status = MOE_OK;
    int count = 0, driver = 0, capability = 0;
    (void)cudaGetLastError(); /* of a device before this one */
    cudaDriverGetVersion(&driver);
    moe_check(driver > 0, err, MOE_ENOTSUP,
              "cuda: no NVIDIA driver answers on this machine; use --device cpu");
    {
        const cudaError_t result = cudaGetDeviceCount(&count);
        moe_check(result == cudaSuccess && count > 0, err, MOE_ENOTSUP, "cuda: no GPU: %s; use --device cpu",
                  result == cudaSuccess ? "the driver knows none" : cudaGetErrorString(result));
    }
    cudaDeviceGetAttribute(&capability, cudaDevAttrComputeCapabilityMajor, 0);
    moe_check(capability >= LEAST_CAPABILITY, err, MOE_ENOTSUP,
              "cuda: the GPU is of compute capability %d, the kernels need %d.0; use --device cpu",
              capability, LEAST_CAPABILITY);
out:
    return status;
}

static const struct backend *choose_table(bool is_bf16) {
    int shared = 0;
    if (is_bf16) return &bf16_backend;
    cudaDeviceGetAttribute(&shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0);
    return static_cast<size_t>(shared) >= cuda_attention_shared() ? &fp32_backend : &fp32_narrow_backend;
}

static moe_status open_device(const char *name, const struct device_options *options,
                              struct device **out_device, moe_err *err) {
    moe_status status = MOE_OK;
    struct cuda_device *dev = NULL;
    moe_try(find_gpu(err));
    moe_check(options->max_rows >= 0 && options->max_vocab >= 0 && options->max_seq >= 0 &&
                  options->max_width >= 0 && options->threads >= 0,
              err, MOE_EARG, "cuda: negative size or thread count");
    dev = static_cast<struct cuda_device *>(calloc(1, sizeof *dev));
    moe_check(dev != NULL, err, MOE_ENOMEM, "cuda: no memory for the device");
    dev->is_bf16 = strcmp(name, bf16_backend.name) == 0;
    dev->base.ops = choose_table(dev->is_bf16);
    dev->base.options = *options;
    if (dev->base.options.threads == 0) dev->base.options.threads = 1;
    moe_try(open_parts(dev, err));
    *out_device = &dev->base;
    dev = NULL;
out:
    if (dev != NULL) close_device(&dev->base);
    return status;
}

static moe_status describe(char text[DEVICE_MODULE_TEXT], moe_err *err) {
    moe_status status = MOE_OK;
    int driver = 0, runtime = 0;
    cudaDeviceProp gpu;
    moe_try(find_gpu(err));
    moe_check(cudaGetDeviceProperties(&gpu, 0) == cudaSuccess, err, MOE_ENOTSUP,
              "cuda: the GPU does not answer");
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    snprintf(text, DEVICE_MODULE_TEXT, "%.200s, %.1f GiB, compute capability %d.%d, driver %d.%d, CUDA %d.%d",
             gpu.name, static_cast<double>(gpu.totalGlobalMem) * 0x1p-30, gpu.major, gpu.minor, driver / 1000,
             driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
out:
    return status;
}

static const struct device_module cuda_module = {
    .version = DEVICE_MODULE_VERSION,
    .table_bytes = sizeof(struct backend),
    .open = open_device,
    .close = close_device,
    .describe = describe,
};

extern "C" __attribute__((visibility("default"))) const struct device_module *moe_device_module(void) {
    return &cuda_module;
}
