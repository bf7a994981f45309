/* emulation.h - the part of CUDA that cuda/ uses, on the host: kernels are compiled as C++ and every thread
 * of a block is a fiber. It stands in for a GPU in tests of results; it says nothing about speed.
 *
 * Blocks run one after the other. A thread runs until it waits for others (a barrier, a shuffle) or ends.
 * From launch to launch the order of blocks and threads turns round, warps go side by side or one ahead of
 * the others, and copies beside the work arrive at once or when they are waited for, so that a result which
 * hangs on it, for want of a barrier, differs from call to call. What breaks a rule of the GPU (a barrier
 * that not all threads reach, too many threads) ends the program with a message or fails the launch.
 */
#ifndef CUDA_EMULATION_H
#define CUDA_EMULATION_H

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __shared__   static /* one block at a time */

/* ---- indices
 * ------------------------------------------------------------------------------------------------------ */

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {
    }
};

extern dim3 threadIdx, blockIdx, blockDim, gridDim;

/* ---- threads
 * ------------------------------------------------------------------------------------------------------ */

#define EMULATION_SLOT 64 /* bytes that a lane can show the others */

struct emulation_slots {
    alignas(16) unsigned char of_lane[32][EMULATION_SLOT];
};

void emulation_launch(const void *kernel, dim3 grid, int threads, size_t shared,
                      const std::function<void()> &thread);
void emulation_record(const void *kind); /* a node of the graph that is being recorded, if one is */
void emulation_fail(const char *what);   /* says so and ends the program */
void *emulation_shared(void);            /* the block's dynamic shared memory; 0xff on entry */
size_t emulation_most_shared(void);      /* bytes of it; $MOE_EMULATION_SHARED for another GPU's */
/* Shows `value` to the warp and waits for its other lanes; what they showed stays until the next but one
 * call. */
const struct emulation_slots *emulation_exchange(const void *value, size_t bytes);
int emulation_lane(void);
int emulation_lanes(void); /* of this warp: the last one of a block may have fewer than 32 */

void __syncthreads(void);

/* A thread's copies to shared memory that go on beside its work: they happen, batch by batch, when the thread
 * waits for them, so that what is read too early is not there yet; in other launches at once, so that what is
 * overwritten too early is gone. */
void emulation_copy(void *to, const void *from, int bytes, int room);
void emulation_copies_given(void);
void emulation_copies_wait(unsigned left); /* all batches but the last `left` have arrived */

static inline void __syncwarp(unsigned = 0xffffffffu) {
    const char nothing = 0;
    emulation_exchange(&nothing, 1);
}

#define CUDA_SHARED(T, name) T *name = static_cast<T *>(emulation_shared())

/* ---- warp
 * ---------------------------------------------------------------------------------------------------------
 */

template <typename V> static inline V emulation_from(V value, int lane) {
    static_assert(sizeof(V) <= EMULATION_SLOT, "a lane shows no more than a slot");
    const struct emulation_slots *slots = emulation_exchange(&value, sizeof value);
    if (lane < 0 || lane >= emulation_lanes()) return value;
    memcpy(&value, slots->of_lane[lane], sizeof value);
    return value;
}

template <typename V> static inline V __shfl_sync(unsigned, V value, int lane) {
    return emulation_from(value, lane % 32);
}

template <typename V> static inline V __shfl_xor_sync(unsigned, V value, int mask) {
    return emulation_from(value, emulation_lane() ^ mask);
}

template <typename V> static inline V __shfl_up_sync(unsigned, V value, unsigned delta) {
    return emulation_from(value, emulation_lane() - static_cast<int>(delta));
}

template <typename V> static inline V __shfl_down_sync(unsigned, V value, unsigned delta) {
    return emulation_from(value, emulation_lane() + static_cast<int>(delta));
}

static inline unsigned __ballot_sync(unsigned, int predicate) {
    const unsigned char bit = predicate != 0;
    const struct emulation_slots *slots = emulation_exchange(&bit, 1);
    unsigned votes = 0;
    for (int lane = 0; lane < emulation_lanes(); lane++)
        votes |= static_cast<unsigned>(slots->of_lane[lane][0]) << lane;
    return votes;
}

static inline int __any_sync(unsigned mask, int predicate) {
    return __ballot_sync(mask, predicate) != 0;
}

static inline int __all_sync(unsigned mask, int predicate) {
    return __ballot_sync(mask, predicate == 0) == 0;
}

/* ---- integers and floats
 * ------------------------------------------------------------------------------------------ */

template <typename V> static inline V atomicAdd(V *at, V value) {
    static_assert(static_cast<V>(0.5) == static_cast<V>(0),
                  "sums of floats have no fixed order with atomics");
    const V old = *at;
    *at = old + value;
    return old;
}

template <typename V> static inline V atomicMin(V *at, V value) {
    const V old = *at;
    if (value < old) *at = value;
    return old;
}

template <typename V> static inline V atomicMax(V *at, V value) {
    const V old = *at;
    if (value > old) *at = value;
    return old;
}

template <typename V> static inline V atomicOr(V *at, V value) {
    const V old = *at;
    *at = old | value;
    return old;
}

template <typename V> static inline V atomicExch(V *at, V value) {
    const V old = *at;
    *at = value;
    return old;
}

template <typename V> static inline V atomicCAS(V *at, V expected, V value) {
    const V old = *at;
    if (old == expected) *at = value;
    return old;
}

static inline void __threadfence(void) {
}

template <typename V> static inline V __ldg(const V *at) {
    return *at;
}

template <typename V> static inline V min(V a, V b) {
    return b < a ? b : a;
}

template <typename V> static inline V max(V a, V b) {
    return a < b ? b : a;
}

static inline unsigned __umulhi(unsigned a, unsigned b) {
    return static_cast<unsigned>((static_cast<uint64_t>(a) * b) >> 32);
}

static inline int __popc(unsigned x) {
    return __builtin_popcount(x);
}

static inline int __ffs(int x) {
    return __builtin_ffs(x);
}

static inline int __clz(int x) {
    return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x));
}

static inline unsigned __float_as_uint(float x) {
    unsigned bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float __uint_as_float(unsigned bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline int __float_as_int(float x) {
    return static_cast<int>(__float_as_uint(x));
}

static inline float __int_as_float(int bits) {
    return __uint_as_float(static_cast<unsigned>(bits));
}

static inline float rsqrtf(float x) {
    return 1.0f / sqrtf(x);
}

/* ---- vectors and bf16
 * --------------------------------------------------------------------------------------------- */

struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) int2 {
    int x, y;
};
struct alignas(16) int4 {
    int x, y, z, w;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};

static inline float2 make_float2(float x, float y) {
    return {x, y};
}
static inline float4 make_float4(float x, float y, float z, float w) {
    return {x, y, z, w};
}
static inline int2 make_int2(int x, int y) {
    return {x, y};
}
static inline uint2 make_uint2(unsigned x, unsigned y) {
    return {x, y};
}
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) {
    return {x, y, z, w};
}

struct __nv_bfloat16 {
    uint16_t bits;
};
struct alignas(4) __nv_bfloat162 {
    __nv_bfloat16 x, y;
};

static inline float __bfloat162float(__nv_bfloat16 x) {
    return __uint_as_float(static_cast<unsigned>(x.bits) << 16);
}

/* to nearest, ties to even; NaN stays NaN */
static inline __nv_bfloat16 __float2bfloat16(float x) {
    const unsigned bits = __float_as_uint(x);
    if (x != x) return {0x7fff};
    return {static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

static inline __nv_bfloat16 __float2bfloat16_rn(float x) {
    return __float2bfloat16(x);
}

static inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) {
    return {__float2bfloat16(x), __float2bfloat16(y)};
}

static inline float2 __bfloat1622float2(__nv_bfloat162 x) {
    return {__bfloat162float(x.x), __bfloat162float(x.y)};
}

/* ---- runtime: one stream, and everything is done when a call returns
 * ---------------------------------------------------- */

/* Copies to the host arrive when it waits, so that a number read too early shows. */
enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInvalidConfiguration = 9,
    cudaErrorInvalidResourceHandle = 400,
    cudaErrorNotReady = 600,
    cudaErrorNotSupported = 801,
    cudaErrorStreamCaptureUnsupported = 900,
    cudaErrorGraphExecUpdateFailure = 910,
    cudaErrorUnknown = 999
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2, cudaMemcpyDeviceToDevice = 3 };
enum cudaDeviceAttr {
    cudaDevAttrMultiProcessorCount = 16,
    cudaDevAttrComputeCapabilityMajor = 75,
    cudaDevAttrMaxSharedMemoryPerBlockOptin = 97
};
enum cudaStreamCaptureMode { cudaStreamCaptureModeRelaxed = 2 };

typedef struct emulation_stream *cudaStream_t;
typedef struct emulation_event *cudaEvent_t;
typedef struct emulation_graph *cudaGraph_t;
typedef struct emulation_graph *cudaGraphExec_t;
typedef struct emulation_node *cudaGraphNode_t;

struct cudaDeviceProp {
    char name[256];
    size_t totalGlobalMem;
    int major, minor;
};

#define cudaStreamNonBlocking   1u
#define cudaEventDefault        0u
#define cudaEventDisableTiming  2u
#define cudaEventRecordExternal 1u

struct cudaGraphExecUpdateResultInfo {
    int result;
};

cudaError_t cudaMalloc(void **out, size_t bytes); /* filled with 0xff */
cudaError_t cudaFree(void *block);
cudaError_t cudaMallocHost(void **out, size_t bytes);
cudaError_t cudaFreeHost(void *block);
cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemsetAsync(void *dst, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
/* An event has its time when it is recorded, or the graph that records it is launched, and is reached when
 * the host waits for it or the stream. */
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t start, cudaEvent_t end);
/* What is recorded is done at once; while it is, calls that would wait or reach into the host's memory fail.
 * A graph is the sequence of its kernels, copies and events, and is updated by one of the same. */
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out);
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *count);
cudaError_t cudaGraphExecUpdate(cudaGraphExec_t last, cudaGraph_t graph, cudaGraphExecUpdateResultInfo *info);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph);
cudaError_t cudaGetLastError(void);
const char *cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int device);
cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device);
cudaError_t cudaDriverGetVersion(int *version);
cudaError_t cudaRuntimeGetVersion(int *version);

#endif
