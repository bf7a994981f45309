#include "device/cpu/calibrate.h"

#include <math.h>
#include <stdlib.h>

#include <cblas.h>
#include <omp.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "core/arena.h"
#include "core/clock.h"

enum { CHAINS = 12, INNER = 4096 }; /* enough independent sums to hide the latency of an FMA on two ports */

/* Returns something that depends on every operation, so that none is optimised away; `vec`, `set` and `fma`
 * are one instruction set's vector type and intrinsics. The compiler must not find out that every call
 * returns the same. */
#define FMA_LOOP(vec, set, fma)                                                                              \
    vec sum[CHAINS];                                                                                         \
    for (int c = 0; c < CHAINS; c++)                                                                         \
        sum[c] = set((float)c);                                                                              \
    const vec factor = set(0.999f), term = set(0.001f);                                                      \
    for (int64_t i = 0; i < rounds * INNER; i++) {                                                           \
        for (int c = 0; c < CHAINS; c++)                                                                     \
            sum[c] = fma(sum[c], factor, term);                                                              \
    }                                                                                                        \
    __asm__ volatile("" : "+x"(sum[0]) : : "memory");                                                        \
    float total = 0;                                                                                         \
    for (int c = 0; c < CHAINS; c++)                                                                         \
        total += ((const float *)&sum[c])[0];                                                                \
    return total;

#if defined(__x86_64__)
static float fma_rounds_256(int64_t rounds) {
    FMA_LOOP(__m256, _mm256_set1_ps, _mm256_fmadd_ps)
}

__attribute__((target("avx512f"))) static float fma_rounds_512(int64_t rounds) {
    FMA_LOOP(__m512, _mm512_set1_ps, _mm512_fmadd_ps)
}

static int lanes_of_machine(void) {
    return __builtin_cpu_supports("avx512f") ? 16 : 8;
}

static float fma_rounds(int64_t rounds) {
    return lanes_of_machine() == 16 ? fma_rounds_512(rounds) : fma_rounds_256(rounds);
}
#else
static int lanes_of_machine(void) {
    return 4;
}

static float fma_rounds(int64_t rounds) {
    float sum[CHAINS * 4];
    for (int c = 0; c < CHAINS * 4; c++)
        sum[c] = (float)c;
    for (int64_t i = 0; i < rounds * INNER; i++) {
        for (int c = 0; c < CHAINS * 4; c++)
            sum[c] = fmaf(sum[c], 0.999f, 0.001f);
    }
    return sum[0] + sum[CHAINS * 4 - 1];
}
#endif

double calibrate_fma(int threads, double seconds) {
    const double flops_per_round = 2.0 * INNER * CHAINS * lanes_of_machine();
    double done = 0;
    const double start = clock_seconds();
#pragma omp parallel num_threads(threads) reduction(+ : done)
    {
        while (clock_seconds() - start < seconds) {
            /* never negative: the result is used, so the work is done */
            done += fma_rounds(16) >= 0 ? 16 * flops_per_round : 0;
        }
    }
    return done / (clock_seconds() - start) * 1e-9;
}

/* Thread `who` of `threads` computes its rows (or columns) of C. */
static void share(const struct calibrate_gemm *g, const float *a, const float *b, float *c, int who,
                  int threads) {
    const int by_rows = g->m >= g->n;
    const int64_t whole = by_rows ? g->m : g->n;
    const int64_t begin = whole * who / threads, count = whole * (who + 1) / threads - begin;
    const int64_t m = by_rows ? count : g->m, n = by_rows ? g->n : count;
    const int64_t lda = g->transpose_a ? g->m : g->k, ldb = g->transpose_b ? g->k : g->n;
    if (by_rows) {
        a += g->transpose_a ? begin : begin * lda;
        c += begin * g->n;
    } else {
        b += g->transpose_b ? begin * ldb : begin;
        c += begin;
    }
    cblas_sgemm(CblasRowMajor, g->transpose_a ? CblasTrans : CblasNoTrans,
                g->transpose_b ? CblasTrans : CblasNoTrans, (int)m, (int)n, (int)g->k, 1.0f, a, (int)lda, b,
                (int)ldb, 0.0f, c, (int)g->n);
}

double calibrate_sgemm(const struct calibrate_gemm *gemm, int threads, int repeats) {
    const size_t sizes[3] = {(size_t)(gemm->m * gemm->k), (size_t)(gemm->k * gemm->n),
                             (size_t)(gemm->m * gemm->n)};
    void *block = NULL;
    double best = -1;
    struct arena arena = arena_measure();
    for (int i = 0; i < 3; i++)
        arena_array(&arena, float, sizes[i]);
    if (arena_block(arena.peak, &block, NULL) != MOE_OK) return best;
    arena = arena_over(block, arena.peak);
    float *a = arena_array(&arena, float, sizes[0]), *b = arena_array(&arena, float, sizes[1]);
    float *c = arena_array(&arena, float, sizes[2]);
    for (size_t i = 0; i < sizes[0]; i++)
        a[i] = (float)(i % 7) * 0.1f;
    for (size_t i = 0; i < sizes[1]; i++)
        b[i] = (float)(i % 5) * 0.1f;
    for (int r = 0; r < repeats; r++) {
        const double start = clock_seconds();
#pragma omp parallel num_threads(threads)
        share(gemm, a, b, c, omp_get_thread_num(), omp_get_num_threads());
        const double seconds = clock_seconds() - start;
        if (best < 0 || seconds < best) best = seconds;
    }
    free(block);
    return best;
}
