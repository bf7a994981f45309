/* tile.cuh - products of small matrices that stand in shared memory, a warp at a time.
 *
 * The unit is c [16, 8] += a [16, 16] b [16, 8], as tensor cores take it for bf16 (PTX: mma.m16n8k16). Every
 * lane holds a piece of each matrix; with g = lane / 4 and t = lane % 4: a  word i of 4: rows g + 8 (i % 2),
 * columns 2t + 8 (i / 2) and the next one b  word i of 2: rows 2t + 8 i and the next one, column g c  float i
 * of 4: row g + 8 (i / 2), column 2t + i % 2 In float a word is two floats, and the product is made of
 * shuffles and multiply-adds in ascending order of the inner index: for comparisons, not for speed. So a
 * kernel is written once for both types.
 */
#ifndef CUDA_TILE_CUH
#define CUDA_TILE_CUH

#include "cuda/types.cuh"

#define TILE_PAD                                                                                             \
    8 /* elements between rows in shared memory: rows stay 16-byte aligned, columns fall into all banks */

struct tile_c {
    float v[4];
};

template <typename T> struct tile_a;
template <> struct tile_a<bf16> { uint32_t v[4]; };
template <> struct tile_a<float> { float v[8]; };

template <typename T> struct tile_b;
template <> struct tile_b<bf16> { uint32_t v[2]; };
template <> struct tile_b<float> { float v[4]; };

static __device__ inline int tile_lane(void) {
    return static_cast<int>(threadIdx.x) % CUDA_WARP;
}

/* Row of float i of c, and its column, within the unit. */
static __device__ inline int tile_row(int i) {
    return tile_lane() / 4 + 8 * (i / 2);
}

static __device__ inline int tile_column(int i) {
    return 2 * (tile_lane() % 4) + i % 2;
}

/* ---- what only a GPU has
 * ------------------------------------------------------------------------------------------ */

#ifdef MOE_CUDA_EMULATION
#include "tests/cuda_emulation/emulation_tile.h"
#else
/* Four 8 x 8 matrices of bf16; lane l names row l % 8 (16-byte aligned) of matrix l / 8. Word j of lane l is
 * row l / 4, columns 2 (l % 4) and the next one, of matrix j; of its transpose, if asked. (PTX: ldmatrix) */
template <bool TRANSPOSED> static __device__ inline void tile_load_4(uint32_t v[4], const bf16 *row) {
    const unsigned at = static_cast<unsigned>(__cvta_generic_to_shared(row));
    if (TRANSPOSED)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(v[0]), "=r"(v[1]), "=r"(v[2]), "=r"(v[3])
                     : "r"(at)
                     : "memory");
    else
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(v[0]), "=r"(v[1]), "=r"(v[2]), "=r"(v[3])
                     : "r"(at)
                     : "memory");
}

/* Starts to copy 16 bytes into shared memory, 16-byte aligned both: `bytes` of x, zeros behind them. (PTX:
 * cp.async) */
static __device__ inline void tile_copy_16(void *shared, const void *x, int bytes) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"(static_cast<unsigned>(__cvta_generic_to_shared(shared))),
                   "l"(__cvta_generic_to_global(x)), "r"(bytes)
                 : "memory");
}

/* The copies that this thread has started since the last call are a batch. */
static __device__ inline void tile_copies_given(void) {
    asm volatile("cp.async.commit_group;" : : : "memory");
}

/* All of this thread's batches but the last LEFT have arrived; of other threads' only a barrier after this
 * says so. */
template <int LEFT> static __device__ inline void tile_copies_wait(void) {
    asm volatile("cp.async.wait_group %0;" : : "n"(LEFT) : "memory");
}

static __device__ inline void tile_multiply(struct tile_c &c, const struct tile_a<bf16> &a,
                                            const struct tile_b<bf16> &b) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
                 "{%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c.v[0]), "+f"(c.v[1]), "+f"(c.v[2]), "+f"(c.v[3])
                 : "r"(a.v[0]), "r"(a.v[1]), "r"(a.v[2]), "r"(a.v[3]), "r"(b.v[0]), "r"(b.v[1]));
}

/* Not inlined: its 128 instructions would fill the kernels, and the compiler's time. */
static inline __device__ __noinline__ struct tile_c
tile_multiply_float(struct tile_c c, struct tile_a<float> a, struct tile_b<float> b) {
    const int quad = tile_lane() / 4 * 4, column = tile_lane() % 4 * 8;
#pragma unroll
    for (int k = 0; k < 16; k++) {
        const int owner = k % 8 / 2, word = k / 8, half = k % 2;
        const float above = __shfl_sync(CUDA_ALL, a.v[4 * word + half], quad + owner);
        const float below = __shfl_sync(CUDA_ALL, a.v[4 * word + 2 + half], quad + owner);
        const float left = __shfl_sync(CUDA_ALL, b.v[2 * word + half], column + owner);
        const float right = __shfl_sync(CUDA_ALL, b.v[2 * word + half], column + 4 + owner);
        c.v[0] = fmaf(above, left, c.v[0]);
        c.v[1] = fmaf(above, right, c.v[1]);
        c.v[2] = fmaf(below, left, c.v[2]);
        c.v[3] = fmaf(below, right, c.v[3]);
    }
    return c;
}

static __device__ inline void tile_multiply(struct tile_c &c, const struct tile_a<float> &a,
                                            const struct tile_b<float> &b) {
    c = tile_multiply_float(c, a, b);
}
#endif

/* ---- from shared memory: rows `stride` elements apart, bf16 rows 16-byte aligned
 * ---------------------------------------- */

/* a [16, 16] that stands as it is, rows of k. */
static __device__ inline struct tile_a<bf16> tile_load_a(const bf16 *x, int stride) {
    struct tile_a<bf16> a;
    const int lane = tile_lane();
    tile_load_4<false>(a.v, x + lane % 16 * stride + lane / 16 * 8);
    return a;
}

static __device__ inline struct tile_a<float>
tile_load_a(const float *x, int stride) {
    struct tile_a<float> a;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        const int row = tile_lane() / 4 + i / 2 % 2 * 8, k = 2 * (tile_lane() % 4) + i % 2 + i / 4 * 8;
        a.v[i] = x[row * stride + k];
    }
    return a;
}

/* a [16, 16] whose transpose stands there: row k holds the 16 rows' element k. */
static __device__ inline struct tile_a<bf16>
tile_load_a_turned(const bf16 *x, int stride) {
    struct tile_a<bf16> a;
    const int lane = tile_lane();
    tile_load_4<true>(a.v, x + (lane % 8 + lane / 16 * 8) * stride + lane / 8 % 2 * 8);
    return a;
}

static __device__ inline struct tile_a<float>
tile_load_a_turned(const float *x, int stride) {
    struct tile_a<float> a;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        const int row = tile_lane() / 4 + i / 2 % 2 * 8, k = 2 * (tile_lane() % 4) + i % 2 + i / 4 * 8;
        a.v[i] = x[k * stride + row];
    }
    return a;
}

/* b [16, 16], two units side by side, that stands as it is: rows of n. */
static __device__ inline void
tile_load_b(struct tile_b<bf16> b[2], const bf16 *x, int stride) {
    uint32_t v[4];
    const int lane = tile_lane();
    tile_load_4<true>(v, x + lane % 16 * stride + lane / 16 * 8);
    b[0] = {{v[0], v[1]}};
    b[1] = {{v[2], v[3]}};
}

static __device__ inline void tile_load_b(struct tile_b<float> b[2], const float *x, int stride) {
#pragma unroll
    for (int i = 0; i < 8; i++) {
        const int k = 2 * (tile_lane() % 4) + i % 2 + i / 2 % 2 * 8, n = tile_lane() / 4 + i / 4 * 8;
        b[i / 4].v[i % 4] = x[k * stride + n];
    }
}

/* b [16, 16] whose transpose stands there: row n holds that column's k. */
static __device__ inline void tile_load_b_turned(struct tile_b<bf16> b[2], const bf16 *x, int stride) {
    uint32_t v[4];
    const int lane = tile_lane();
    tile_load_4<false>(v, x + (lane % 8 + lane / 16 * 8) * stride + lane / 8 % 2 * 8);
    b[0] = {{v[0], v[1]}};
    b[1] = {{v[2], v[3]}};
}

static __device__ inline void tile_load_b_turned(struct tile_b<float> b[2], const float *x, int stride) {
#pragma unroll
    for (int i = 0; i < 8; i++) {
        const int k = 2 * (tile_lane() % 4) + i % 2 + i / 2 % 2 * 8, n = tile_lane() / 4 + i / 4 * 8;
        b[i / 4].v[i % 4] = x[n * stride + k];
    }
}

/* ---- from a result: c [16, 16], two units side by side, as the a of a next product
 * ---------------------------------------- */

static __device__ inline uint32_t tile_pair(float low, float high) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    uint32_t bits;
    memcpy(&bits, &pair, sizeof bits);
    return bits;
}

static __device__ inline void tile_as_a(struct tile_a<bf16> &a, const struct tile_c &left,
                                        const struct tile_c &right) {
    a.v[0] = tile_pair(left.v[0], left.v[1]);
    a.v[1] = tile_pair(left.v[2], left.v[3]);
    a.v[2] = tile_pair(right.v[0], right.v[1]);
    a.v[3] = tile_pair(right.v[2], right.v[3]);
}

static __device__ inline void tile_as_a(struct tile_a<float> &a, const struct tile_c &left,
                                        const struct tile_c &right) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
        a.v[i] = left.v[i];
        a.v[4 + i] = right.v[i];
    }
}

/* ---- into shared memory
 * ------------------------------------------------------------------------------------------- */

#define TILE_CHUNK 8 /* elements that a thread moves at once: 16 bytes of bf16 */

template <typename T> struct alignas(16) tile_chunk { T v[TILE_CHUNK]; };

/* True if rows of `stride` elements from x on can be read a chunk at a time. */
template <typename T> static inline bool tile_aligned(const T *x, int64_t stride) {
    return reinterpret_cast<uintptr_t>(x) % 16 == 0 && stride % TILE_CHUNK == 0;
}

/* Elements [0, left) of a chunk at x, the others 0. */
template <typename T>
static __device__ inline struct tile_chunk<T> tile_read(const T *x, int64_t left, bool aligned) {
    struct tile_chunk<T> chunk;
    if (aligned && left >= TILE_CHUNK) return *reinterpret_cast<const struct tile_chunk<T> *>(x);
#pragma unroll
    for (int i = 0; i < TILE_CHUNK; i++) {
        if (i < left)
            chunk.v[i] = x[i];
        else
            act_store(chunk.v, i, 0.0f);
    }
    return chunk;
}

/* Elements [0, left) of a chunk at x, the others 0, to shared memory by the time that the batch has arrived
 * and a barrier is passed. */
template <typename T>
static __device__ inline void tile_copy(T *shared, const T *x, int64_t left, bool aligned) {
    constexpr int WORD = 16 / sizeof(T);
    if (!aligned) {
        *reinterpret_cast<struct tile_chunk<T> *>(shared) = tile_read(x, left, false);
        return;
    }
#pragma unroll
    for (int i = 0; i < TILE_CHUNK; i += WORD) {
        const int64_t some = left - i < 0 ? 0 : left - i < WORD ? left - i : WORD;
        tile_copy_16(shared + i, some > 0 ? x + i : x, static_cast<int>(some * sizeof(T)));
    }
}

/* A block starts to copy rows [0, rows) of `wide` elements, `stride` apart, to shared memory of HEIGHT rows
 * of WIDTH (a multiple of TILE_CHUNK) plus TILE_PAD; what lies outside is 0. */
template <int HEIGHT, int WIDTH, typename T>
static __device__ inline void tile_fill(T *shared, const T *x, int64_t stride, int64_t rows, int wide,
                                        bool aligned) {
    for (int i = static_cast<int>(threadIdx.x); i < HEIGHT * (WIDTH / TILE_CHUNK);
         i += static_cast<int>(blockDim.x)) {
        const int row = i / (WIDTH / TILE_CHUNK), column = i % (WIDTH / TILE_CHUNK) * TILE_CHUNK;
        tile_copy(shared + row * (WIDTH + TILE_PAD) + column, row < rows ? x + row * stride + column : x,
                  row < rows ? wide - column : 0, aligned);
    }
}

#endif
