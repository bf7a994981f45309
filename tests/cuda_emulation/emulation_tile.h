/* emulation_tile.h - what cuda/tile.cuh asks of tensor cores: the same words in the same lanes. */
#ifndef CUDA_EMULATION_TILE_H
#define CUDA_EMULATION_TILE_H

template <bool TRANSPOSED> static inline void tile_load_4(uint32_t v[4], const bf16 *row) {
    const struct emulation_slots *slots = emulation_exchange(&row, sizeof row);
    if (reinterpret_cast<uintptr_t>(row) % 16 != 0)
        emulation_fail("a row of ldmatrix is not 16-byte aligned");
    const int lane = emulation_lane(), across = lane / 4, along = 2 * (lane % 4);
    for (int j = 0; j < 4; j++) {
        bf16 pair[2];
        for (int i = 0; i < 2; i++) {
            const bf16 *from;
            memcpy(&from, slots->of_lane[8 * j + (TRANSPOSED ? along + i : across)], sizeof from);
            pair[i] = from[TRANSPOSED ? across : along + i];
        }
        memcpy(&v[j], pair, sizeof v[j]);
    }
}

static inline void tile_copy_16(void *shared, const void *x, int bytes) {
    if (reinterpret_cast<uintptr_t>(shared) % 16 != 0 || reinterpret_cast<uintptr_t>(x) % 16 != 0)
        emulation_fail("a copy of cp.async is not 16-byte aligned");
    emulation_copy(shared, x, bytes, 16);
}

static inline void tile_copies_given(void) {
    emulation_copies_given();
}

template <int LEFT> static inline void tile_copies_wait(void) {
    emulation_copies_wait(LEFT);
}

/* Both matrices of all lanes: floats a [16, 16], b [16, 8] at (row, column) from the words that lanes show.
 */
template <typename T> struct emulation_operands {
    struct tile_a<T> a;
    struct tile_b<T> b;
};

static inline float emulation_word(const struct emulation_operands<float> &o, bool of_b, int word, int half) {
    return of_b ? o.b.v[2 * word + half] : o.a.v[2 * word + half];
}

static inline float emulation_word(const struct emulation_operands<bf16> &o, bool of_b, int word, int half) {
    const uint32_t bits = of_b ? o.b.v[word] : o.a.v[word];
    return __uint_as_float(half == 0 ? bits << 16 : bits & 0xffff0000u);
}

template <typename T>
static inline void tile_multiply(struct tile_c &c, const struct tile_a<T> &a, const struct tile_b<T> &b) {
    const struct emulation_operands<T> mine = { a, b };
    const struct emulation_slots *slots = emulation_exchange(&mine, sizeof mine);
    const int g = emulation_lane() / 4, t = emulation_lane() % 4;
    const auto of = [slots](int lane) -> const struct emulation_operands<T> & {
        return *reinterpret_cast<const struct emulation_operands<T> *>(slots->of_lane[lane]);
    };
    for (int k = 0; k < 16; k++) {
        const int owner = k % 8 / 2, word = k / 8, half = k % 2;
        const struct emulation_operands<T> &row = of(4 * g + owner);
        const float above = emulation_word(row, false, 2 * word, half);
        const float below = emulation_word(row, false, 2 * word + 1, half);
        const float left = emulation_word(of(8 * t + owner), true, word, half);
        const float right = emulation_word(of(8 * t + 4 + owner), true, word, half);
        c.v[0] = fmaf(above, left, c.v[0]);
        c.v[1] = fmaf(above, right, c.v[1]);
        c.v[2] = fmaf(below, left, c.v[2]);
        c.v[3] = fmaf(below, right, c.v[3]);
    }
}

#endif
