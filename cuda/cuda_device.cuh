/* cuda_device.cuh - an opened CUDA device, and how operations launch kernels on it.
 *
 * Every operation is a function cuda_<name> (cuda_operations.cuh) with the signature and the contract that
 * device/backend.h gives its table entry. All work goes to one stream, so operations follow each other; none
 * waits for the GPU except where its contract returns a value to the host. The first failure sticks and is
 * told by synchronize(); what is launched after it is skipped.
 */
#ifndef CUDA_DEVICE_CUH
#define CUDA_DEVICE_CUH

#include "cuda/platform.cuh"
#include "cuda/types.cuh"

struct cuda_staging; /* memory.cu: page-locked memory that uploads go through */
struct cuda_pass;    /* pass.cuh: the graphs of passes */
struct cuda_blas;    /* blas.cuh */

struct cuda_device {
    struct device base; /* first: a struct device * of this backend is a struct cuda_device * */
    bool is_bf16;       /* type of activations; else float */
    int processors;     /* streaming multiprocessors */
    cudaStream_t stream;

    /* Device memory for one operation at a time, 256-byte aligned, contents undefined on entry: the largest
     * of what the operations ask for with cuda_<name>_scratch(). */
    void *scratch;
    size_t scratch_bytes;

    struct cuda_staging *staging;
    struct cuda_pass *pass;
    struct cuda_blas *blas;

    cudaError_t failure; /* the first one; sticky until synchronize() has told it */
    const char *failed_at;
};

static inline struct cuda_device *cuda_device_of(struct device *dev) {
    return reinterpret_cast<struct cuda_device *>(dev);
}

/* Keeps the first failure. True if all is well so far. `where` is a static string: the operation. The runtime
 * forgets a failure that it can go on after, so that no later launch answers for it. */
static inline bool cuda_note(struct cuda_device *dev, cudaError_t result, const char *where) {
    if (result != cudaSuccess) (void)cudaGetLastError();
    if (result != cudaSuccess && dev->failure == cudaSuccess) {
        dev->failure = result;
        dev->failed_at = where;
    }
    return dev->failure == cudaSuccess;
}

/* A block has 48 KiB of shared memory unless more is asked for. What a kernel declares itself counts too: no
 * more than 16 KiB in one that also has dynamic shared memory. */
#define CUDA_SHARED_UNASKED ((size_t)32 << 10)

/* Launches kernel(args...) over `grid` blocks of `threads` threads with `shared` bytes of dynamic shared
 * memory (much of it is asked for here too). An empty grid launches nothing. */
template <typename... P, typename... A>
static inline void cuda_launch(struct device *base, const char *where, void (*kernel)(P...), dim3 grid,
                               int threads, size_t shared, A... args) {
    struct cuda_device *dev = cuda_device_of(base);
    if (dev->failure != cudaSuccess || grid.x == 0 || grid.y == 0 || grid.z == 0) return;
#ifdef MOE_CUDA_EMULATION
    emulation_launch(reinterpret_cast<const void *>(kernel), grid, threads, shared,
                     [=] { kernel(static_cast<P>(args)...); });
#else
    if (shared > CUDA_SHARED_UNASKED &&
        !cuda_note(dev,
                   cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                        static_cast<int>(shared)),
                   where))
        return;
    kernel<<<grid, static_cast<unsigned>(threads), shared, dev->stream>>>(static_cast<P>(args)...);
#endif
    cuda_note(dev, cudaGetLastError(), where);
}

/* Calls body(T()) with T the device's type of activations:
 *     cuda_for_act(dev, [&](auto act) { using T = decltype(act); cuda_launch(dev, ..., kernel<T>, ...); });
 */
template <typename Body> static inline void cuda_for_act(struct device *dev, Body body) {
    if (cuda_device_of(dev)->is_bf16)
        body(bf16());
    else
        body(float());
}

/* Pieces of at most `grain` that n falls into, as a size of a grid. */
static inline unsigned cuda_pieces(int64_t n, int64_t grain) {
    return static_cast<unsigned>((n + grain - 1) / grain);
}

static inline char *cuda_at(void *base, size_t bytes) {
    return static_cast<char *>(base) + bytes;
}

#endif
