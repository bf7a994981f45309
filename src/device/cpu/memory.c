/* Memory of the "cpu" backend, and the two whole-array reductions. */
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "core/parallel.h"
#include "device/cpu/cpu_device.h"

#define COPY_GRAIN ((int64_t)1 << 20) /* bytes per piece of a copy */
#define SUM_GRAIN  4096               /* least floats per piece of a sum */
#define SUM_LANES  8
#define FIND_GRAIN 65536 /* floats per piece of a search */
#define FIND_BLOCK 1024  /* floats looked at together before a single one is */

moe_status cpu_alloc(struct device *dev, size_t bytes, void **out_ptr, moe_err *err) {
    (void)dev;
    return arena_block(bytes, out_ptr, err);
}

void cpu_release(struct device *dev, void *ptr) {
    (void)dev;
    free(ptr);
}

void cpu_copy(struct device *dev, void *dst, const void *src, size_t bytes) {
    const int64_t n = (int64_t)bytes;
#pragma omp parallel for num_threads(dev->options.threads) if (n > COPY_GRAIN)
    for (int64_t i = 0; i < piece_count(n, COPY_GRAIN); i++) {
        const int64_t begin = piece_begin(i, n, COPY_GRAIN), end = piece_begin(i + 1, n, COPY_GRAIN);
        memcpy((char *)dst + begin, (const char *)src + begin, (size_t)(end - begin));
    }
}

void cpu_upload(struct device *dev, void *dst, const void *host_src, size_t bytes) {
    cpu_copy(dev, dst, host_src, bytes);
}

void cpu_download(struct device *dev, void *host_dst, const void *src, size_t bytes) {
    cpu_copy(dev, host_dst, src, bytes);
}

void cpu_zero(struct device *dev, void *dst, size_t bytes) {
    const int64_t n = (int64_t)bytes;
#pragma omp parallel for num_threads(dev->options.threads) if (n > COPY_GRAIN)
    for (int64_t i = 0; i < piece_count(n, COPY_GRAIN); i++) {
        const int64_t begin = piece_begin(i, n, COPY_GRAIN), end = piece_begin(i + 1, n, COPY_GRAIN);
        memset((char *)dst + begin, 0, (size_t)(end - begin));
    }
}

moe_status cpu_synchronize(struct device *dev, moe_err *err) {
    (void)dev;
    (void)err;
    return MOE_OK;
}

static double sum_piece(const float *x, int64_t n) {
    double lane[SUM_LANES] = {0};
    int64_t i = 0;
    for (; i + SUM_LANES <= n; i += SUM_LANES) {
        for (int l = 0; l < SUM_LANES; l++) {
            lane[l] += (double)x[i + l];
        }
    }
    for (int l = 0; i < n; i++, l++) {
        lane[l] += (double)x[i];
    }
    double total = 0;
    for (int l = 0; l < SUM_LANES; l++) {
        total += lane[l];
    }
    return total;
}

void cpu_sum(struct device *dev, double *out, const float *x, int64_t n) {
    double partial[CPU_PARTIALS];
    int64_t grain = piece_count(n, CPU_PARTIALS);
    if (grain < SUM_GRAIN) grain = SUM_GRAIN;
    const int64_t pieces = piece_count(n, grain);
#pragma omp parallel for num_threads(dev->options.threads) if (pieces > 1)
    for (int64_t i = 0; i < pieces; i++) {
        const int64_t begin = piece_begin(i, n, grain);
        partial[i] = sum_piece(x + begin, piece_begin(i + 1, n, grain) - begin);
    }
    double total = 0;
    for (int64_t i = 0; i < pieces; i++) {
        total += partial[i];
    }
    *out = total;
}

/* All ones in the exponent: NaN or Inf. */
static bool nonfinite(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (bits & 0x7f800000u) == 0x7f800000u;
}

/* First such element of [begin, end), or end. */
static int64_t find_piece(const float *x, int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; at += FIND_BLOCK) {
        const int64_t stop = at + FIND_BLOCK < end ? at + FIND_BLOCK : end;
        int any = 0;
#pragma omp simd reduction(| : any)
        for (int64_t i = at; i < stop; i++) {
            any |= nonfinite(x[i]);
        }
        for (int64_t i = at; any && i < stop; i++) {
            if (nonfinite(x[i])) return i;
        }
    }
    return end;
}

int64_t cpu_find_nonfinite(struct device *dev, const float *x, int64_t n) {
    int64_t first = n;
#pragma omp parallel for num_threads(dev->options.threads) reduction(min : first) if (n > FIND_GRAIN)
    for (int64_t i = 0; i < piece_count(n, FIND_GRAIN); i++) {
        const int64_t end = piece_begin(i + 1, n, FIND_GRAIN);
        const int64_t at = find_piece(x, piece_begin(i, n, FIND_GRAIN), end);
        if (at < end && at < first) first = at;
    }
    return first < n ? first : -1;
}
