#include <string.h>

#include "core/parallel.h"
#include "device/cpu/cpu_device.h"
#include "device/cpu/lanes.h"

enum {
    PIECE = 16384,    /* elements */
    VOCAB_PIECES = 32 /* a power of two: a token's low bits say whose it is */
};

static int64_t rows_per_piece(int32_t hidden) {
    return hidden >= PIECE ? 1 : PIECE / hidden;
}

void cpu_embedding_forward(struct device *dev, act_t *y, const int32_t *tokens, const act_t *table,
                           const act_t *positions, int64_t rows, int64_t seq, int32_t hidden) {
    float *out = y;
    const float *words = table, *places = positions;
    const int64_t grain = rows_per_piece(hidden), pieces = piece_count(rows, grain);
#pragma omp parallel for num_threads(dev->options.threads) schedule(static) if (pieces > 1)
    for (int64_t p = 0; p < pieces; p++) {
        for (int64_t r = piece_begin(p, rows, grain); r < piece_begin(p + 1, rows, grain); r++) {
            float *restrict row = out + r * hidden;
            const float *restrict word = words + (int64_t)tokens[r] * hidden;
            if (places == NULL) {
                memcpy(row, word, (size_t)hidden * sizeof(float));
                continue;
            }
            const float *restrict place = places + r % seq * hidden;
#pragma omp simd
            for (int32_t i = 0; i < hidden; i++)
                row[i] = word[i] + place[i];
        }
    }
}

void cpu_embedding_backward(struct device *dev, float *dtable, float *dpositions, const act_t *dy,
                            const int32_t *tokens, int64_t rows, int64_t seq, int32_t hidden, int32_t vocab) {
    const float *grad = dy;
    (void)vocab;
    /* Every piece owns the words with its residue and passes over all tokens: no two write one word. */
#pragma omp parallel for num_threads(dev->options.threads) schedule(dynamic, 1)
    for (int32_t p = 0; p < VOCAB_PIECES; p++) {
        for (int64_t r = 0; r < rows; r++) {
            if ((tokens[r] & (VOCAB_PIECES - 1)) != p) continue;
            lanes_add_scaled(dtable + (int64_t)tokens[r] * hidden, grad + r * hidden, 1.0f, hidden);
        }
    }
    if (dpositions == NULL) return;
    const int64_t places = seq < rows ? seq : rows;
#pragma omp parallel for num_threads(dev->options.threads) schedule(static) if (places > 1)
    for (int64_t t = 0; t < places; t++) {
        for (int64_t r = t; r < rows; r += seq) {
            lanes_add_scaled(dpositions + t * hidden, grad + r * hidden, 1.0f, hidden);
        }
    }
}
