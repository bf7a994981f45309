#include "device/cpu/gemm.h"

#include <string.h>

#include <cblas.h>

#include "core/parallel.h"

/* Largest tile, smallest tile and the number of tiles wanted: larger tiles pack less, more tiles occupy more
 * threads. */
#define TILE_ROWS     512
#define TILE_COLS     1024
#define TILE_MIN_ROWS 256
#define TILE_MIN_COLS 256
#define TILES_WANTED  8

/* Pieces are multiples of this many rows or columns, a whole number of the BLAS's register tiles. */
#define TILE_UNIT 16

#define SUM_COLS 64 /* columns that gemm_column_sums() holds in registers and cache */
#define SUM_ROWS 64 /* rows per partial sum */

static int64_t even_grain(int64_t n, int64_t largest) {
    const int64_t pieces = piece_count(n, largest);
    if (pieces <= 1) return n > 0 ? n : 1;
    return piece_count(piece_count(n, pieces), TILE_UNIT) * TILE_UNIT;
}

static struct gemm_tiling tiling_of(int64_t rows, int64_t cols, int64_t largest_rows, int64_t largest_cols) {
    struct gemm_tiling tiling = {.row_grain = even_grain(rows, largest_rows),
                                 .col_grain = even_grain(cols, largest_cols)};
    tiling.row_pieces = piece_count(rows, tiling.row_grain);
    tiling.col_pieces = piece_count(cols, tiling.col_grain);
    return tiling;
}

int64_t gemm_tiles(const struct gemm_tiling *tiling) {
    return tiling->row_pieces * tiling->col_pieces;
}

struct gemm_tiling gemm_tiling_alone(int64_t rows, int64_t cols) {
    int64_t largest_rows = TILE_ROWS, largest_cols = TILE_COLS;
    struct gemm_tiling tiling = tiling_of(rows, cols, largest_rows, largest_cols);
    while (gemm_tiles(&tiling) < TILES_WANTED) {
        if (largest_cols > TILE_MIN_COLS && tiling.col_grain > TILE_MIN_COLS) {
            largest_cols /= 2;
        } else if (largest_rows > TILE_MIN_ROWS && tiling.row_grain > TILE_MIN_ROWS) {
            largest_rows /= 2;
        } else {
            break;
        }
        tiling = tiling_of(rows, cols, largest_rows, largest_cols);
    }
    return tiling;
}

struct gemm_tiling gemm_tiling_listed(int64_t rows, int64_t cols) {
    return tiling_of(rows, cols, TILE_ROWS, TILE_COLS);
}

struct gemm_tile gemm_tile_at(const struct gemm_tiling *tiling, int64_t rows, int64_t cols, int64_t i) {
    const int64_t r = i / tiling->col_pieces, c = i % tiling->col_pieces;
    const int64_t row = piece_begin(r, rows, tiling->row_grain);
    const int64_t col = piece_begin(c, cols, tiling->col_grain);
    return (struct gemm_tile){.row = row,
                              .rows = piece_begin(r + 1, rows, tiling->row_grain) - row,
                              .col = col,
                              .cols = piece_begin(c + 1, cols, tiling->col_grain) - col};
}

/* The bias goes in before the product: the BLAS would otherwise spend the same pass on zeroing. */
void gemm_forward_tile(float *y, const float *x, const float *w, const float *bias, int64_t in, int64_t out,
                       struct gemm_tile tile) {
    float *y_tile = y + tile.row * out + tile.col;
    if (bias != NULL) {
        for (int64_t r = 0; r < tile.rows; r++) {
            memcpy(y_tile + r * out, bias + tile.col, (size_t)tile.cols * sizeof(float));
        }
    }
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)tile.rows, (int)tile.cols, (int)in, 1.0f,
                x + tile.row * in, (int)in, w + tile.col * in, (int)in, bias != NULL ? 1.0f : 0.0f, y_tile,
                (int)out);
}

void gemm_input_tile(float *dx, const float *dy, const float *w, int64_t in, int64_t out, bool accumulate,
                     struct gemm_tile tile) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)tile.rows, (int)tile.cols, (int)out, 1.0f,
                dy + tile.row * out, (int)out, w + tile.col, (int)in, accumulate ? 1.0f : 0.0f,
                dx + tile.row * in + tile.col, (int)in);
}

void gemm_weight_tile(float *dw, const float *dy, const float *x, int64_t rows, int64_t in, int64_t out,
                      struct gemm_tile tile) {
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)tile.rows, (int)tile.cols, (int)rows, 1.0f,
                dy + tile.row, (int)out, x + tile.col, (int)in, 1.0f, dw + tile.row * in + tile.col, (int)in);
}

void gemm_column_sums(float *sum, const float *a, int64_t rows, int64_t stride, int64_t col, int64_t cols) {
    for (int64_t c0 = col; c0 < col + cols; c0 += SUM_COLS) {
        const int64_t width = c0 + SUM_COLS < col + cols ? SUM_COLS : col + cols - c0;
        float total[SUM_COLS] = {0};
        for (int64_t r0 = 0; r0 < rows; r0 += SUM_ROWS) {
            const int64_t end = r0 + SUM_ROWS < rows ? r0 + SUM_ROWS : rows;
            float partial[SUM_COLS] = {0};
            for (int64_t r = r0; r < end; r++) {
                const float *line = a + r * stride + c0;
                for (int64_t c = 0; c < width; c++) {
                    partial[c] += line[c];
                }
            }
            for (int64_t c = 0; c < width; c++) {
                total[c] += partial[c];
            }
        }
        for (int64_t c = 0; c < width; c++) {
            sum[c0 + c] += total[c];
        }
    }
}
