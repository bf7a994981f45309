/* gemm.h - matrix products of the "cpu" backend, tile by tile.
 *
 * A product is cut into tiles of its result; a tile is one single-threaded BLAS call over the whole inner
 * dimension. The cut is a function of the shape alone, so the bits do not depend on the number of threads.
 */
#ifndef DEVICE_CPU_GEMM_H
#define DEVICE_CPU_GEMM_H

#include <stdbool.h>
#include <stdint.h>

/* Tiles of a [rows, cols] result. Every row (column) piece but the last has row_grain rows (col_grain
 * columns). */
struct gemm_tiling {
    int64_t row_grain, row_pieces;
    int64_t col_grain, col_pieces;
};

/* One tile: rows [row, row + rows) and columns [col, col + cols) of the result. */
struct gemm_tile {
    int64_t row, rows;
    int64_t col, cols;
};

/* Tiles for a result that is computed alone: large enough for the BLAS, and at least GEMM_TILES where the
 * shape permits. */
struct gemm_tiling gemm_tiling_alone(int64_t rows, int64_t cols);

/* Tiles for one of many results of a list. */
struct gemm_tiling gemm_tiling_listed(int64_t rows, int64_t cols);

int64_t gemm_tiles(const struct gemm_tiling *tiling);

/* Tile number i, row piece slowest. */
struct gemm_tile gemm_tile_at(const struct gemm_tiling *tiling, int64_t rows, int64_t cols, int64_t i);

/* Tile of y [rows, out] = x [rows, in] w [out, in]^T + bias [out] (may be NULL). */
void gemm_forward_tile(float *y, const float *x, const float *w, const float *bias, int64_t in, int64_t out,
                       struct gemm_tile tile);

/* Tile of dx [rows, in] = or += dy [rows, out] w [out, in]. */
void gemm_input_tile(float *dx, const float *dy, const float *w, int64_t in, int64_t out, bool accumulate,
                     struct gemm_tile tile);

/* Tile of dw [out, in] += dy [rows, out]^T x [rows, in]. */
void gemm_weight_tile(float *dw, const float *dy, const float *x, int64_t rows, int64_t in, int64_t out,
                      struct gemm_tile tile);

/* sum[c] += sum over rows of a[r, c] for columns [col, col + cols) of a [rows, stride], in fixed blocks of
 * rows. */
void gemm_column_sums(float *sum, const float *a, int64_t rows, int64_t stride, int64_t col, int64_t cols);

#endif
