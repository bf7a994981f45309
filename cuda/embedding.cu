/* Embedding: rows of a table looked up, and their gradients. Rows are sorted by token, so that each sum of
 * the table's gradient runs over a contiguous, ascending list of rows and needs no atomic. */
#include <algorithm>

#include "cuda/cuda_operations.cuh"
#include "cuda/pack.cuh"
#include "cuda/sort.cuh"

enum {
    ROW_WARPS = 8,  /* rows that a block looks up side by side, one a warp */
    DIGIT_BITS = 8, /* of a token that one pass of the sort looks at */
    DIGITS = 1 << DIGIT_BITS,
    LEAST_CHUNK = 32,   /* sorted rows that a block adds up */
    MOST_CHUNKS = 1024, /* longer lists have longer chunks */
    COLUMN_THREADS = 96 /* packs of columns of a block */
};

/* Sorted rows of a chunk: a function of the rows alone. */
static int64_t chunk_rows(int64_t rows) {
    return std::max<int64_t>(cuda_pieces(rows, MOST_CHUNKS), LEAST_CHUNK);
}

/* How the scratch of the backward pass is laid out. */
struct table_scratch {
    int32_t *order[2], *rank; /* [rows] */
    int32_t *counts, *starts; /* [pieces, DIGITS], [DIGITS + 1] */
    float *edge;              /* [chunks, 2, D] sums of the tokens that a chunk shares with its neighbours */
};

static size_t lay_out(struct table_scratch *s, void *base, int64_t rows, int64_t hidden) {
    const size_t rows_bytes = (size_t)rows * sizeof(int32_t), counts_bytes = sort_counts_bytes(DIGITS);
    s->counts = static_cast<int32_t *>(base);
    s->starts = reinterpret_cast<int32_t *>(cuda_at(base, counts_bytes));
    const size_t at = counts_bytes + 2 * DIGITS * sizeof(int32_t);
    const size_t edges = (size_t)cuda_pieces(rows, chunk_rows(rows)) * 2 * (size_t)hidden * sizeof(float);
    s->edge = reinterpret_cast<float *>(cuda_at(base, at));
    s->order[0] = reinterpret_cast<int32_t *>(cuda_at(base, at + edges));
    s->order[1] = s->order[0] + rows;
    s->rank = s->order[1] + rows;
    return at + edges + 3 * rows_bytes;
}

/* The largest need of all rows up to max_rows lies at max_rows, or below it where chunks are still of
 * LEAST_CHUNK: there are never more than MOST_CHUNKS. */
size_t cuda_embedding_scratch(const struct device_options *options) {
    struct table_scratch s;
    const int64_t most = MOST_CHUNKS * LEAST_CHUNK, rows = options->max_rows;
    return lay_out(&s, nullptr, rows, options->max_width) +
           (rows > most ? (size_t)MOST_CHUNKS * 2 * (size_t)options->max_width * sizeof(float) : 0);
}

/* ---- forward
 * ---------------------------------------------------------------------------------------------- */

template <typename T>
__global__ void embedding_forward_kernel(T *y, const int32_t *tokens, const T *table, const T *positions,
                                         int64_t rows, int64_t seq, int32_t hidden) {
    const int64_t r = (int64_t)blockIdx.x * ROW_WARPS + threadIdx.x / CUDA_WARP;
    if (r >= rows) return;
    const T *from = table + (int64_t)tokens[r] * hidden;
    for (int32_t d = (int32_t)threadIdx.x % CUDA_WARP * PACK; d < hidden; d += CUDA_WARP * PACK) {
        struct pack out = pack_load(from + d, hidden - d);
        if (positions != nullptr) {
            const struct pack add = pack_load(positions + r % seq * hidden + d, hidden - d);
#pragma unroll
            for (int j = 0; j < PACK; j++)
                out.v[j] += add.v[j];
        }
        pack_store(y + r * hidden + d, out, hidden - d);
    }
}

void cuda_embedding_forward(struct device *dev, act_t *y, const int32_t *tokens, const act_t *table,
                            const act_t *positions, int64_t rows, int64_t seq, int32_t hidden) {
    cuda_for_act(dev, [&](auto act) {
        using T = decltype(act);
        cuda_launch(dev, "embedding_forward", embedding_forward_kernel<T>, cuda_pieces(rows, ROW_WARPS),
                    CUDA_WARP * ROW_WARPS, 0, y, tokens, table, positions, rows, seq, hidden);
    });
}

/* ---- backward: order of the rows
 * -------------------------------------------------------------------------- */

/* totals [DIGITS] to their exclusive sums. One block. */
__global__ void digit_starts_kernel(int32_t *starts) {
    __shared__ int32_t sum[SORT_BLOCK];
    int32_t total;
    static_assert((int)DIGITS == (int)SORT_BLOCK, "a thread a digit");
    starts[threadIdx.x] = block_rank(sum, starts[threadIdx.x], &total);
}

__global__ void digit_place_kernel(int32_t *order, const int32_t *rank, const int32_t *counts,
                                   const int32_t *starts, struct sort_keys keys, int64_t rows,
                                   int64_t grain) {
    const int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= rows) return;
    const int32_t digit = sort_bin(keys, i);
    const int32_t at = starts[digit] + counts[i / grain * DIGITS + digit] + rank[i];
    order[at] = keys.order != nullptr ? keys.order[i] : (int32_t)i;
}

/* Rows by token, equal ones in their order: digit by digit from the lowest. */
static const int32_t *sort_by_token(struct device *dev, const struct table_scratch *s, const int32_t *tokens,
                                    int64_t rows, int32_t vocab) {
    const char *where = "embedding_backward";
    const int32_t *order = nullptr;
    int side = 0;
    for (int32_t shift = 0; order == nullptr || (shift < 31 && vocab - 1 >= 1 << shift);
         shift += DIGIT_BITS) {
        const struct sort_keys keys = {.key = tokens, .order = order, .shift = shift, .mask = DIGITS - 1};
        sort_count(dev, where, s->counts, s->starts, s->rank, keys, rows, DIGITS);
        cuda_launch(dev, where, digit_starts_kernel, 1, SORT_BLOCK, 0, s->starts);
        cuda_launch(dev, where, digit_place_kernel, cuda_pieces(rows, 256), 256, 0, s->order[side], s->rank,
                    s->counts, s->starts, keys, rows, sort_grain(rows));
        order = s->order[side];
        side = 1 - side;
    }
    return order;
}

/* ---- backward: sums
 * --------------------------------------------------------------------------------------- */

/* to += sum */
static __device__ inline void add_to(float *to, struct pack sum, int64_t n) {
    const struct pack old = pack_load(to, n);
#pragma unroll
    for (int j = 0; j < PACK; j++)
        sum.v[j] += old.v[j];
    pack_store(to, sum, n);
}

/* One block a chunk of sorted rows and a range of columns. Sums of tokens that begin and end here go to
 * dtable, that of a token begun in an earlier chunk to edge[chunk][0], that of one that goes on to
 * edge[chunk][1]. */
template <typename T>
__global__ void table_sums_kernel(float *dtable, float *edge, const T *dy, const int32_t *tokens,
                                  const int32_t *order, int64_t rows, int64_t length, int32_t hidden) {
    const int32_t d = ((int32_t)blockIdx.y * COLUMN_THREADS + (int32_t)threadIdx.x) * PACK;
    const int64_t begin = blockIdx.x * length, end = begin + length < rows ? begin + length : rows;
    const struct pack zero = {{0}};
    if (d >= hidden) return;
    edge += (int64_t)blockIdx.x * 2 * hidden + d;
    struct pack sum = zero;
    int32_t token = tokens[order[begin]];
    bool earlier = begin > 0 && tokens[order[begin - 1]] == token;
    for (int64_t i = begin; i < end; i++) {
        const int64_t row = order[i];
        const int32_t next = i + 1 < rows ? tokens[order[i + 1]] : -1;
        const struct pack in = pack_load(dy + row * hidden + d, hidden - d);
#pragma unroll
        for (int j = 0; j < PACK; j++)
            sum.v[j] += in.v[j];
        if (next == token && i + 1 < end) continue;
        if (earlier)
            pack_store(edge, sum, hidden - d);
        else if (next == token)
            pack_store(edge + hidden, sum, hidden - d);
        else
            add_to(dtable + (int64_t)token * hidden + d, sum, hidden - d);
        sum = zero;
        token = next;
        earlier = false;
    }
}

/* One block a chunk: the token that begins here and goes on in later chunks, if there is one. */
__global__ void table_edges_kernel(float *dtable, const float *edge, const int32_t *tokens,
                                   const int32_t *order, int64_t rows, int64_t length, int32_t hidden) {
    const int32_t d = ((int32_t)blockIdx.y * COLUMN_THREADS + (int32_t)threadIdx.x) * PACK;
    const int64_t begin = blockIdx.x * length, end = begin + length;
    if (d >= hidden || end >= rows) return;
    const int32_t token = tokens[order[end - 1]];
    const bool whole = tokens[order[begin]] == token;
    const bool earlier = whole && begin > 0 && tokens[order[begin - 1]] == token;
    if (tokens[order[end]] != token || earlier) return;
    struct pack sum = pack_load(edge + (int64_t)blockIdx.x * 2 * hidden + hidden + d, hidden - d);
    int64_t chunk = blockIdx.x + 1;
    for (; chunk * length < rows && tokens[order[chunk * length]] == token; chunk++) {
        const struct pack more = pack_load(edge + chunk * 2 * hidden + d, hidden - d);
#pragma unroll
        for (int j = 0; j < PACK; j++)
            sum.v[j] += more.v[j];
    }
    add_to(dtable + (int64_t)token * hidden + d, sum, hidden - d);
}

/* One block a position and a range of columns. */
template <typename T>
__global__ void position_sums_kernel(float *dpositions, const T *dy, int64_t rows, int64_t seq,
                                     int32_t hidden) {
    const int32_t d = ((int32_t)blockIdx.y * COLUMN_THREADS + (int32_t)threadIdx.x) * PACK;
    if (d >= hidden) return;
    struct pack sum = {{0}};
    for (int64_t r = blockIdx.x; r < rows; r += seq) {
        const struct pack in = pack_load(dy + r * hidden + d, hidden - d);
#pragma unroll
        for (int j = 0; j < PACK; j++)
            sum.v[j] += in.v[j];
    }
    add_to(dpositions + (int64_t)blockIdx.x * hidden + d, sum, hidden - d);
}

void cuda_embedding_backward(struct device *dev, float *dtable, float *dpositions, const act_t *dy,
                             const int32_t *tokens, int64_t rows, int64_t seq, int32_t hidden,
                             int32_t vocab) {
    const char *where = "embedding_backward";
    struct table_scratch s;
    if (rows == 0) return;
    lay_out(&s, cuda_device_of(dev)->scratch, rows, hidden);
    const int32_t *order = sort_by_token(dev, &s, tokens, rows, vocab);
    const int64_t length = chunk_rows(rows);
    const unsigned columns = cuda_pieces(hidden, (int64_t)COLUMN_THREADS * PACK);
    const dim3 grid(cuda_pieces(rows, length), columns);
    cuda_for_act(dev, [&](auto act) {
        using T = decltype(act);
        cuda_launch(dev, where, table_sums_kernel<T>, grid, COLUMN_THREADS, 0, dtable, s.edge, dy, tokens,
                    order, rows, length, hidden);
        if (dpositions == NULL) return;
        cuda_launch(dev, where, position_sums_kernel<T>, dim3((unsigned)(seq < rows ? seq : rows), columns),
                    COLUMN_THREADS, 0, dpositions, dy, rows, seq, hidden);
    });
    cuda_launch(dev, where, table_edges_kernel, grid, COLUMN_THREADS, 0, dtable, s.edge, tokens, order, rows,
                length, hidden);
}
