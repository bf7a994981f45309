/* backend.h - the one interface to compute.
 *
 * A backend is a const table of operations; a device is one opened instance of it. Layers (src/nn) call
 * nothing else.
 *
 * Conventions
 * - Arrays are row-major and dense unless a row stride is given. `rows` counts tokens (or sequences *
 * positions).
 * - act_t is the compute type of activations and of the weights' compute copy: float on the CPU and the
 * reference backend; float or bf16 on CUDA. `float` means fp32 on every backend (gradients of parameters,
 * statistics, router).
 * - Pointers are device memory unless a comment says host. int32_t token ids and expert ids are validated by
 * callers.
 * - Unless stated, an output may not overlap an input. "dx +=" accumulates, "dx =" overwrites.
 * - Order of summation is a function of the shapes alone (core/parallel.h): equal inputs give equal bits for
 * any number of threads. Gradients of parameters always accumulate (+=), so micro-batches add up.
 * - Operations return nothing: shapes are checked when the model is built. A device failure is sticky and is
 * returned by synchronize(). A backend that lacks an operation leaves it NULL and the model is refused when
 * it is built.
 */
#ifndef DEVICE_BACKEND_H
#define DEVICE_BACKEND_H

#include "core/rng_key.h"
#include "core/status.h"

typedef void act_t;

struct device;
struct device_marks; /* of a backend's own kind */

/* Inverted dropout. Element i is kept if the 16-bit word number i of the key (word i % 8 of block i / 8, low
 * half of each 32-bit word first) is >= threshold, and is then scaled by 65536 / (65536 - threshold): exactly
 * unbiased. threshold = round(p * 65536), below 65536; 0 means no dropout and draws nothing. The mask is
 * recomputed in backward. */
struct dropout {
    struct rng_key key;
    uint32_t threshold;
};

enum norm_kind { NORM_LAYER = 0, NORM_RMS = 1 };

/* Element-wise nonlinearities of an FFN. Gated kinds read rows of 2F (gate first, then up) and write rows of
 * F. */
enum activation_kind {
    ACTIVATION_GELU = 0, /* exact: x/2 (1 + erf(x / sqrt 2)) (Hendrycks and Gimpel 2016) */
    ACTIVATION_RELU = 1,
    ACTIVATION_SILU = 2,
    ACTIVATION_SWIGLU = 3 /* silu(gate) * up (Shazeer 2020) */
};

/* Where q, k, v (and their gradients) stand: row r = b * T + t of a tensor begins at base + r * stride; head
 * h at h * head_dim within the row. A packed [q|k|v] row is three pointers into one buffer with one stride.
 */
struct attention_shape {
    int64_t batch, seq; /* B, T */
    int32_t heads, kv_heads, head_dim;
    int64_t q_stride, kv_stride; /* elements between rows */
    float scale;                 /* multiplies q.k; 1 / sqrt(head_dim) */
};

/* Keys and values of earlier positions: two arrays [B, capacity, kv_heads * head_dim]. */
struct cache_shape {
    int64_t capacity; /* positions that a sequence can have */
    int64_t first;    /* positions that the cache holds; the new rows begin there, first + T <= capacity */
};

/* Fused head and cross-entropy: logits = x w^T are made chunk by chunk and never all at once. */
struct head_shape {
    int64_t rows;
    int32_t hidden, vocab; /* D, V */
    float label_smoothing; /* eps: target distribution (1 - eps) one-hot + eps / V uniform */
    float z_coeff;         /* adds z_coeff * lse^2 to each row's loss (PaLM) */
    float grad_scale;      /* d(total loss)/d(row loss): 1 / tokens of the whole batch */
};

enum router_kind { ROUTER_SOFTMAX = 0, ROUTER_SIGMOID = 1 };

struct router_shape {
    int64_t rows;
    int32_t hidden, experts, top_k; /* D, E, K <= E */
    enum router_kind kind;
    float temperature; /* logits are divided by it before softmax or sigmoid */
    bool renormalize;  /* weights divided by (their sum over the K chosen + renormalize_eps) */
    float renormalize_eps;
    float weight_scale; /* multiplies the weights in the end (DeepSeek-V3's routed scaling factor) */
};

/* In which order the slots of an over-full expert lose their place. */
enum drop_policy {
    DROP_BY_POSITION = 0, /* the last tokens of the batch are dropped (GShard) */
    DROP_BY_WEIGHT = 1,   /* the smallest combine weights are dropped */
    DROP_PUBLISHED_SLOT =
        2 /* source D's index error: ranked by prob[row, slot number k], not prob[row, expert] */
};

struct route_shape {
    int64_t rows;
    int32_t experts, top_k;
    int64_t capacity; /* most slots an expert takes; 0 = dropless */
    enum drop_policy policy;
};

/* A balance loss of the routers of several layers: coeff * E * sum_e f_e P_e with f_e the share of slots that
 * chose e and P_e the mean probability (Fedus et al. 2021), over the rows of each layer, or pooled over those
 * of all layers. */
struct balance_shape {
    int32_t layers, experts, top_k; /* L, E, K */
    int32_t stride;                 /* elements between the layers' rows of [L, E] */
    int64_t rows;                   /* of tokens, of each layer */
    bool pooled;
    double scale; /* coeff times the loss's weight */
};

/* How a gate turns the scores H of its experts into combine weights. */
enum gate_kind {
    GATE_TOP_K_SOFTMAX = 0, /* softmax over the K largest of H (Shazeer et al. 2017) */
    GATE_SOFTMAX_TOP_K =
        1,             /* source B's code: the K largest of softmax(H), over their sum + renormalize_eps */
    GATE_BY_CHANCE = 2 /* as SOFTMAX_TOP_K; choices after the best are used with probability min(1, K gate)
                          (Lepikhin et al. 2021, K = 2) */
};

/* Row r belongs to gate r % gates: statistics are kept apart for every gate. */
struct gate_shape {
    int64_t rows;
    int32_t experts, top_k, gates; /* E, K <= E, A */
    enum gate_kind kind;
    bool noisy;            /* noise, or chance, acts */
    float noise_scale;     /* > 0; multiplies the standard deviation */
    float noise_epsilon;   /* added to softplus(spread) */
    float renormalize_eps; /* of kinds other than TOP_K_SOFTMAX */
    struct rng_key key;    /* noise of (r, e): normal number first + r E + e of the key (core/normal.h); */
    uint64_t first;        /* chance of choice (r, k): uniform number first + r K + k (rng_uniform()) */
};

/* What a gate counts, [A, E] each. */
enum gate_count {
    GATE_CHOSEN = 0, /* rows that use e */
    GATE_FIRST = 1,  /* rows whose best choice is e */
    GATE_COUNTS
};

/* What a gate adds up over its rows, [A, E] each. */
enum gate_sum {
    GATE_IMPORTANCE = 0, /* gates, before the row's scale */
    GATE_MASS = 1,       /* gates times scale */
    GATE_LOAD = 2,       /* differentiable load; see gate_forward */
    GATE_SUMS
};

/* Balance losses of gates: CV^2 is the squared coefficient of variation, variance over mean^2 + eps; 0 for
 * fewer than two values, or where mean^2 + eps is 0. */
struct gate_balance {
    int32_t gates, experts; /* A, E */
    enum gate_kind kind;
    double importance, load; /* weights of the two losses in the gradient */
    int32_t top_k;           /* of gate_balance_joint */
};

enum mixture_loss_kind {
    MIXTURE_LOG = 0,    /* -ln y[target]: y are probabilities */
    MIXTURE_SOFTMAX = 1 /* cross-entropy of softmax(y): source B's, in which y are probabilities already */
};

struct mixture_shape {
    int64_t rows;
    int32_t classes;
    enum mixture_loss_kind kind;
    float grad_scale; /* d(total loss)/d(row loss) */
};

/* A contiguous run of parameters that share optimizer settings. */
struct adamw_segment {
    int64_t offset, count; /* elements, into params/grads/moments */
    float lr, weight_decay;
};

struct adamw_step {
    float beta1, beta2, eps;
    float bias_correction1, bias_correction2; /* 1 - beta^t */
};

struct span {
    int64_t offset, count; /* elements */
};

struct backend {
    const char *name;     /* "cpu", "reference", "cuda" (bf16), "cuda:fp32" */
    size_t act_size;      /* bytes of one act_t element */
    bool host_memory;     /* device pointers may be read by the host after synchronize() */
    int32_t max_head_dim; /* widest head of attention; 0 = any */
    bool grouped_source;  /* grouped_linear_* take rows of x where they stand */

    /* ---- memory and order
     * ------------------------------------------------------------------------------------ */
    moe_status (*alloc)(struct device *dev, size_t bytes, void **out_ptr,
                        moe_err *err);              /* zeroed, 64-byte aligned */
    void (*release)(struct device *dev, void *ptr); /* NULL is allowed */
    /* Zeroed host memory that the device can reach, for fetch(). */
    moe_status (*alloc_host)(struct device *dev, size_t bytes, void **out_ptr, moe_err *err);
    void (*release_host)(struct device *dev, void *ptr); /* NULL is allowed */
    void (*upload)(struct device *dev, void *dst, const void *host_src, size_t bytes);
    void (*download)(struct device *dev, void *host_dst, const void *src, size_t bytes); /* synchronizes */
    /* As download(), without a wait: host_dst, within memory of alloc_host(), has the bytes after the next
     * synchronize(). src may be given other work at once. */
    void (*fetch)(struct device *dev, void *host_dst, const void *src, size_t bytes);
    void (*copy)(struct device *dev, void *dst, const void *src, size_t bytes);
    void (*zero)(struct device *dev, void *dst, size_t bytes);
    moe_status (*synchronize)(struct device *dev,
                              moe_err *err); /* waits; reports any failure since the last call */

    /* ---- a pass: work of one step that is given without a wait
     * ------------------------------------------------------ */
    /* Between the two calls the caller gives work and asks for nothing: no alloc, release, upload, download,
     * fetch, synchronize, or operation that returns a value. So a backend may keep the work and start it
     * whole. */
    void (*pass_begin)(struct device *dev);
    void (*pass_end)(struct device *dev);

    /* ---- times of work, by a clock of the processor that does it
     * ---------------------------------------------------- */
    /* `count` marks, none of them placed. */
    moe_status (*alloc_marks)(struct device *dev, int32_t count, struct device_marks **out_marks,
                              moe_err *err);
    void (*release_marks)(struct device *dev, struct device_marks *marks); /* NULL is allowed */
    /* Places mark number `at` where all work given so far is done, within a pass or not. A mark that was
     * placed before is moved there. */
    void (*mark)(struct device *dev, struct device_marks *marks, int32_t at);
    /* Seconds from one mark to another; host, after a synchronize() that followed both and before either is
     * moved. Asking for a mark that is not placed or not reached is a failure where the device can tell. */
    double (*marked_seconds)(struct device *dev, const struct device_marks *marks, int32_t from, int32_t to);

    /* ---- linear: y = x w^T + b, w [out, in] as in PyTorch and safetensors
     * --------------------------------------- */
    /* y [rows, out] = x [rows, in] w^T + bias [out] (bias may be NULL) */
    void (*linear_forward)(struct device *dev, act_t *y, const act_t *x, const act_t *w, const act_t *bias,
                           int64_t rows, int32_t in, int32_t out);
    /* The same with y in fp32 whatever act_t is: for scores that a gate, a softmax or a loss reads. */
    void (*linear_forward_float)(struct device *dev, float *y, const act_t *x, const act_t *w,
                                 const act_t *bias, int64_t rows, int32_t in, int32_t out);
    /* dx [rows, in] = dy w (dx may be NULL; += if accumulate_dx); dw [out, in] += dy^T x; dbias [out] += sum
     * dy (dw and dbias may be NULL) */
    void (*linear_backward)(struct device *dev, act_t *dx, float *dw, float *dbias, const act_t *dy,
                            const act_t *x, const act_t *w, int64_t rows, int32_t in, int32_t out,
                            bool accumulate_dx);

    /* ---- grouped linear: rows offsets[e] .. offsets[e+1] use expert e
     * ------------------------------------------- */
    /* offsets [E+1] ascending, offsets[0] = 0, offsets[E] <= max_rows (shape of x and y); rows past
     * offsets[E] are not touched. w [E, out, in], bias [E, out] or NULL. An empty group costs nothing. Row i
     * of x is x[source[i]], source as route() makes it; NULL: x[i]. Backends without grouped_source want
     * NULL, and rows that gather() has moved. dx is in expert order in any case. */
    void (*grouped_linear_forward)(struct device *dev, act_t *y, const act_t *x, const int32_t *source,
                                   const act_t *w, const act_t *bias, const int32_t *offsets, int32_t experts,
                                   int64_t max_rows, int32_t in, int32_t out);
    /* The same with y in fp32 whatever act_t is. */
    void (*grouped_linear_forward_float)(struct device *dev, float *y, const act_t *x, const int32_t *source,
                                         const act_t *w, const act_t *bias, const int32_t *offsets,
                                         int32_t experts, int64_t max_rows, int32_t in, int32_t out);
    void (*grouped_linear_backward)(struct device *dev, act_t *dx, float *dw, float *dbias, const act_t *dy,
                                    const act_t *x, const int32_t *source, const act_t *w,
                                    const int32_t *offsets, int32_t experts, int64_t max_rows, int32_t in,
                                    int32_t out);

    /* ---- embedding: y[r] = table[tokens[r]] + positions[r % T]
     * -------------------------------------------------- */
    /* table [V, D], positions [>= T, D] or NULL, tokens [rows] */
    void (*embedding_forward)(struct device *dev, act_t *y, const int32_t *tokens, const act_t *table,
                              const act_t *positions, int64_t rows, int64_t seq, int32_t hidden);
    /* dtable [V, D] +=, dpositions [>= T, D] += (may be NULL); each sum runs over ascending r */
    void (*embedding_backward)(struct device *dev, float *dtable, float *dpositions, const act_t *dy,
                               const int32_t *tokens, int64_t rows, int64_t seq, int32_t hidden,
                               int32_t vocab);

    /* ---- normalisation
     * ------------------------------------------------------------------------------------------ */
    /* layer: y = (x - mean) rstd gamma + beta, population variance; rms: y = x rstd gamma, rstd = 1/sqrt(mean
     * x^2 + eps). mean [rows] (NORM_LAYER only, else NULL), rstd [rows] are kept for backward; beta NULL for
     * rms. x and y rows begin x_stride and y_stride elements apart (>= width). */
    void (*norm_forward)(struct device *dev, enum norm_kind kind, act_t *y, float *mean, float *rstd,
                         const act_t *x, const act_t *gamma, const act_t *beta, int64_t rows, int32_t width,
                         int64_t x_stride, int64_t y_stride, float eps);
    /* dx = or += (accumulate_dx); dgamma [width] +=, dbeta [width] += (NULL for rms). dx rows are x_stride
     * apart, dy rows y_stride apart. */
    void (*norm_backward)(struct device *dev, enum norm_kind kind, act_t *dx, float *dgamma, float *dbeta,
                          const act_t *dy, const act_t *x, const float *mean, const float *rstd,
                          const act_t *gamma, int64_t rows, int32_t width, int64_t x_stride, int64_t y_stride,
                          bool accumulate_dx);

    /* ---- attention
     * ---------------------------------------------------------------------------------------------- */
    /* Causal scaled-dot-product attention with dropout on the probabilities (mask index: ((b H + h) T +
     * query) T + key); query head h reads kv head h / (heads / kv_heads). out [B*T, heads * head_dim] dense;
     * lse [B, heads, T] = log sum exp of the scaled scores, kept for backward. No buffer of B * heads * T *
     * T. */
    void (*attention_forward)(struct device *dev, act_t *out, float *lse, const act_t *q, const act_t *k,
                              const act_t *v, const struct attention_shape *shape, struct dropout drop);
    /* dq, dk, dv = (strides as q, k, v; every element of their heads is written); delta [B, heads, T] is
     * scratch, for what a row of out and dout says once for all */
    void (*attention_backward)(struct device *dev, act_t *dq, act_t *dk, act_t *dv, float *delta,
                               const act_t *dout, const act_t *out, const float *lse, const act_t *q,
                               const act_t *k, const act_t *v, const struct attention_shape *shape,
                               struct dropout drop);
    /* Attention of rows that go on where a cache ends: row b * T + t stands at position first + t. Their k
     * and v are put into the caches; then each query attends to the cached positions up to its own. out
     * [B*T, heads * head_dim] dense. No dropout, no gradient. */
    void (*attention_decode)(struct device *dev, act_t *out, act_t *k_cache, act_t *v_cache, const act_t *q,
                             const act_t *k, const act_t *v, const struct attention_shape *shape,
                             const struct cache_shape *cache);
    /* Rotary positions in place on `heads` heads per row (Su et al. 2021); row r stands at position first + r
     * % T. interleaved: pairs (2i, 2i+1) as in Llama's original code; else pairs (i, i + head_dim/2) as in
     * Hugging Face. inverse = true rotates back (the gradient). */
    void (*rope)(struct device *dev, act_t *x, int64_t rows, int64_t seq, int64_t first, int32_t heads,
                 int32_t head_dim, int64_t stride, float theta, bool interleaved, bool inverse);

    /* ---- element-wise
     * ------------------------------------------------------------------------------------------- */
    /* y [rows, F] = dropout(f(x)); x [rows, F] or [rows, 2F] for gated kinds; mask index = row * F + column
     */
    void (*activation_forward)(struct device *dev, enum activation_kind kind, act_t *y, const act_t *x,
                               int64_t rows, int32_t width, struct dropout drop);
    /* dx (shape of x) = f'(x) dropout(dy); dx may alias dy for ungated kinds */
    void (*activation_backward)(struct device *dev, enum activation_kind kind, act_t *dx, const act_t *dy,
                                const act_t *x, int64_t rows, int32_t width, struct dropout drop);
    /* y [n] = x rounded to the type of activations; y may be x where that is float */
    void (*to_act)(struct device *dev, act_t *y, const float *x, int64_t n);
    /* y = dropout(x), n elements; y may alias x. The same call is its own gradient. */
    void (*dropout)(struct device *dev, act_t *y, const act_t *x, int64_t n, struct dropout drop);
    /* y = residual + dropout(x); y may alias residual */
    void (*residual_dropout)(struct device *dev, act_t *y, const act_t *residual, const act_t *x, int64_t n,
                             struct dropout drop);
    /* y += alpha x */
    void (*add_scaled)(struct device *dev, act_t *y, const act_t *x, float alpha, int64_t n);

    /* ---- head and loss
     * ------------------------------------------------------------------------------------------ */
    /* Per row (targets[r] < 0: ignored, all three outputs 0): nll = lse - logit[target]; lse; mean_logit =
     * mean over V. The row's loss is (1 - eps) nll + eps (lse - mean_logit) + z_coeff lse^2. If dx is not
     * NULL also the gradient of grad_scale * sum of row losses: dx [rows, D] =, dw [V, D] +=. correct [rows]
     * (may be NULL): 1 if the largest logit is the target's (first of equals), else 0. backward_seconds
     * (host, may be NULL): += time spent on gradients, so that forward and backward can be told apart. */
    void (*head_loss)(struct device *dev, float *nll, float *lse, float *mean_logit, int32_t *correct,
                      act_t *dx, float *dw, const act_t *x, const act_t *w, const int32_t *targets,
                      const struct head_shape *shape, double *backward_seconds);
    /* *out = sum of n floats, added in double in fixed blocks */
    void (*sum)(struct device *dev, double *out, const float *x, int64_t n);
    /* index of the first element that is NaN or Inf, or -1; synchronizes */
    int64_t (*find_nonfinite)(struct device *dev, const float *x, int64_t n);

    /* ---- router and routing
     * ------------------------------------------------------------------------------------- */
    /* logits = x w^T / temperature in fp32 (w [E, D] act), prob [rows, E] = softmax or sigmoid of them;
     * index [rows, K] = the K largest of prob + select_bias [E] (NULL = 0; ties: lowest expert first), in
     * descending order; weight [rows, K] = prob at index, renormalised if asked, times weight_scale. logits
     * is kept for z-loss and backward. Statistics: load [E] = slots that chose e (before any drop); prob_mass
     * [E] = sum over rows of prob / sum_e prob; entropy [1] = sum over rows of -sum_e p ln p of the same
     * normalised p; z [1] = sum over rows of (log sum_e exp logits)^2. Statistics are overwritten. */
    void (*router_forward)(struct device *dev, float *logits, float *prob, int32_t *index, float *weight,
                           int32_t *load, float *prob_mass, float *entropy, float *z, const act_t *x,
                           const act_t *w, const float *select_bias, const struct router_shape *shape);
    /* Gradient of  sum weight . dweight + sum_{r,e} prob[r,e] prob_grad[e] + z_grad sum_r lse_r^2
     * with respect to x and w: dx [rows, D] += , dw [E, D] +=. dweight [rows, K]; prob_grad [E] (NULL = 0) is
     * the balance loss's derivative, the same for every row, with respect to prob normalised over e. dlogits
     * [rows, E] is scratch. dx may be NULL. select_bias gets no gradient. */
    void (*router_backward)(struct device *dev, act_t *dx, float *dw, float *dlogits, const float *dweight,
                            const float *prob_grad, float z_grad, const float *logits, const float *prob,
                            const int32_t *index, const act_t *x, const act_t *w,
                            const struct router_shape *shape);
    /* prob_grad [L, E] = derivative of the balance losses that shape says with respect to one row's prob,
     * normalised over e: scale E f_e / rows, from load [L, E]. Computed in double. */
    void (*balance_gradient)(struct device *dev, float *prob_grad, const int32_t *load,
                             const struct balance_shape *shape);
    /* Sorts the rows * K slots by expert, stable in row order (row-major slot order); a slot of index -1
     * takes no expert. offsets [E+1]; position [rows, K] = row of the slot in the sorted order, -1 if dropped
     * or of no expert; source [rows * K] = token row of each sorted row; dropped [E] = slots that found their
     * expert full. */
    void (*route)(struct device *dev, int32_t *offsets, int32_t *position, int32_t *source, int32_t *dropped,
                  const int32_t *index, const float *weight, const float *prob,
                  const struct route_shape *shape);
    /* y [offsets[E], D]: y[i] = x[source[i]] */
    void (*gather)(struct device *dev, act_t *y, const act_t *x, const int32_t *source,
                   const int32_t *offsets, int32_t experts, int64_t max_rows, int32_t hidden);
    /* dx [rows, D] = or += (accumulate): sum over k, ascending, of dy[position[r, k]] (dropped slots add 0)
     */
    void (*gather_backward)(struct device *dev, act_t *dx, const act_t *dy, const int32_t *position,
                            int64_t rows, int32_t top_k, int32_t hidden, bool accumulate);
    /* out [rows, D] = or += (accumulate): sum over k, ascending, of weight[r, k] y[position[r, k]] */
    void (*combine)(struct device *dev, act_t *out, const act_t *y, const float *weight,
                    const int32_t *position, int64_t rows, int32_t top_k, int32_t hidden, bool accumulate);
    /* dy [.., D]: dy[position[r, k]] = weight[r, k] dout[r]; dweight[r, k] = y[position[r, k]] . dout[r], 0
     * if dropped */
    void (*combine_backward)(struct device *dev, act_t *dy, float *dweight, const act_t *dout, const act_t *y,
                             const float *weight, const int32_t *position, int64_t rows, int32_t top_k,
                             int32_t hidden);
    /* hist [E, bins] of uint16: for every sequence of `seq` rows, the share s of its rows * K slots that
     * chose e falls in bin min(floor(s * bins), bins - 1); counts sequences. Overwritten. */
    void (*sequence_histogram)(struct device *dev, uint16_t *hist, const int32_t *index, int64_t rows,
                               int64_t seq, int32_t top_k, int32_t experts, int32_t bins);

    /* ---- gates with noise, and mixtures of class probabilities
     * --------------------------------------------------- */
    /* H = clean + noise_scale N(0, 1) (softplus(spread) + noise_epsilon), clean and spread [rows, E]; just
     * clean if not noisy or GATE_BY_CHANCE (spread may be NULL then). The K largest of H (ties: lowest
     * expert first) get the gates g that shape->kind says, the others 0. scale [rows] (NULL = 1) multiplies
     * the row's gates; a row of scale 0 chooses nothing, counts nowhere. Outputs: scores [rows, E] = H, kept
     * for backward; gates [rows, E] = scale g; index [rows, K], best first, = (r % A) E + e, -1 if not used;
     * weight [rows, K] = gates at index, 0 if not used. Statistics, overwritten, over the rows that choose:
     * counts [2, A, E] and sums [3, A, E] as enumerated above; entropy [2, A] = sum of -sum_k g ln g (before
     * chance), sum of -sum_e p ln p with p = softmax(clean).
     * GATE_LOAD is, if noisy and K < E, the sum of P(r, e) = Phi((clean_e - t_e) / (noise_scale
     * (softplus(spread_e) + noise_epsilon))), the probability that another draw of e's noise chooses e: t_e
     * is the K-th largest of H without e. GATE_SOFTMAX_TOP_K takes t_e from q = softmax(H) instead, q ordered
     * downwards: q[K] (from 0) where H_e > q[K], else q[K - 1]. GATE_BY_CHANCE: the sum of softmax(clean).
     * Else: the rows whose K largest hold e. */
    void (*gate_forward)(struct device *dev, float *scores, float *gates, int32_t *index, float *weight,
                         int32_t *counts, float *sums, float *entropy, const float *clean,
                         const float *spread, const float *scale, const struct gate_shape *shape);
    /* Gradient of  sum weight . dweight + sum gates . dgates + sum sums . dsums  (each may be NULL = 0):
     * dclean, dspread [rows, E] = (dspread NULL where there is no spread), rounded to act_t for the products
     * that they go into; dscale [rows] = (may be NULL). Which experts are chosen, and the noise, are
     * constants; thresholds t are not. dclean is 0 in rows of scale 0, and so is dscale. */
    void (*gate_backward)(struct device *dev, act_t *dclean, act_t *dspread, float *dscale,
                          const float *dweight, const float *dgates, const float *dsums, const float *scores,
                          const float *clean, const float *spread, const float *scale,
                          const struct gate_shape *shape);
    /* loss [2] = importance and load before their weights, summed over gates, and dsums [3, A, E] = the
     * gradient of their weighted sum with respect to sums. All in double. GATE_TOP_K_SOFTMAX  CV^2 of
     * importance and of load, population variance (Shazeer et al. 2017) GATE_SOFTMAX_TOP_K  the same with
     * unbiased variance and eps 1e-10 (source B's code) GATE_BY_CHANCE      importance = E sum_e f_e P_e, f
     * from first choices, P the mean probability (Lepikhin et al. 2021, times E^2), gates weighing as many
     * rows as they have; load = 0 */
    void (*gate_balance)(struct device *dev, float *dsums, double *loss, const float *sums,
                         const int32_t *counts, const struct gate_balance *balance);
    /* The losses of two levels as one (Shazeer et al. 2017, appendix B): A gates over E experts under one
     * gate over the A groups. CV^2 of importance[i, j] = GATE_MASS of the inner gates, and of load[i, j] =
     * load_i load_ij / rows of group i, those whose first choice is in it; a group without rows divides its
     * load evenly, K / E. group_sums [3, A] and sums [3, A, E]; both dsums are overwritten. */
    void (*gate_balance_joint)(struct device *dev, float *group_dsums, float *dsums, double *loss,
                               const float *group_sums, const float *sums, const int32_t *counts,
                               const struct gate_balance *balance);
    /* Experts' class probabilities and their mixture: prob[i] = softmax of logits[i], for rows i =
     * position[r, k] of [.., C]; y [rows, C] = sum over k, ascending, of weight[r, k] prob[position[r, k]]
     * (slots of position -1 add 0). Rows that no slot holds are not touched. prob may alias logits. weight
     * and position NULL: K = 1, and row r's slot is row r, of weight 1; y may alias prob then. */
    void (*mixture_forward)(struct device *dev, float *y, float *prob, const float *logits,
                            const float *weight, const int32_t *position, int64_t rows, int32_t top_k,
                            int32_t classes);
    /* dlogits [.., C] = gradient of sum y . dy, rounded to act_t for the products that it goes into;
     * dweight[r, k] = prob[position[r, k]] . dy[r], 0 at position -1 (NULL where weight is) */
    void (*mixture_backward)(struct device *dev, act_t *dlogits, float *dweight, const float *dy,
                             const float *prob, const float *weight, const int32_t *position, int64_t rows,
                             int32_t top_k, int32_t classes);
    /* Per row of y [rows, C] (targets[r] < 0: ignored, all outputs 0): nll = the loss that shape->kind says,
     * -ln of at least 2^-126; correct [rows]: 1 if the largest y is the target's (first of equals), else 0.
     * dy [rows, C] = gradient of grad_scale * sum of nll (may be NULL). */
    void (*mixture_loss)(struct device *dev, float *nll, int32_t *correct, float *dy, const float *y,
                         const int32_t *targets, const struct mixture_shape *shape);

    /* ---- optimizer
     * ---------------------------------------------------------------------------------------------- */
    /* out [n] = sum of squares of each span, in double, in fixed blocks. spans is host memory. */
    void (*sum_squares)(struct device *dev, double *out, const float *x, const struct span *spans, int32_t n);
    /* *scale = what gradients are multiplied by so that their norm, the root of the sum of squares [n], is
     * clipped, as torch.nn.utils.clip_grad_norm_ does: clip / (norm + 1e-6) if clip > 0 and the norm exceeds
     * it, else 1. NaN if the norm is not finite. In double, in fixed blocks. */
    void (*clip_scale)(struct device *dev, float *scale, const double *squares, int32_t n, double clip);
    /* AdamW (Loshchilov and Hutter 2019) on every segment with gradient *grad_scale * grads, which it clears:
     *   p -= lr wd p;  m = b1 m + (1-b1) g;  v = b2 v + (1-b2) g^2;  p -= lr (m / bc1) / (sqrt(v / bc2) +
     * eps) and writes the compute copy `compute` (may equal params on fp32 backends). Writes nothing if
     * *grad_scale is NaN. segments is host memory. */
    void (*adamw)(struct device *dev, float *params, act_t *compute, float *grads, float *m, float *v,
                  const struct adamw_segment *segments, int32_t count, const struct adamw_step *step,
                  const float *grad_scale);
};

struct device_options {
    int threads;       /* CPU threads; 0 = parallel_default_threads() */
    int64_t max_rows;  /* largest rows, for scratch that is planned at open */
    int32_t max_vocab; /* largest vocab of head_loss */
    int32_t max_seq;   /* largest sequence of attention, or capacity of its cache */
    int32_t max_width; /* largest `in` or `out` of any operation */
};

/* What a device has done since it was opened, for measurements; stays 0 where work is done when a call
 * returns. */
struct device_counts {
    int64_t waits;  /* of the host for the device */
    int64_t passes; /* that were kept and started whole */
    int64_t plans;  /* made for them; a pass like an earlier one uses that one's */
};

/* A device is a backend's state: every backend's own struct begins with this one. */
struct device {
    const struct backend *ops;
    struct device_options options;
    struct device_counts counts;
};

/* Opens a device by the name of its backend. MOE_ENOTFOUND for an unknown name, MOE_ENOTSUP if this
 * build or machine has none. Close with device_close(NULL is allowed). */
moe_status device_open(const char *name, const struct device_options *options, struct device **out_device,
                       moe_err *err);
void device_close(struct device *dev);

/* Of backends whose memory is the host's and whose work is done when a call returns. */
void device_host_pass(struct device *dev); /* pass_begin and pass_end */
moe_status device_host_alloc_marks(struct device *dev, int32_t count, struct device_marks **out_marks,
                                   moe_err *err);
void device_host_release_marks(struct device *dev, struct device_marks *marks);
void device_host_mark(struct device *dev, struct device_marks *marks, int32_t at);
double device_host_marked_seconds(struct device *dev, const struct device_marks *marks, int32_t from,
                                  int32_t to);
void device_host_clip_scale(struct device *dev, float *scale, const double *squares, int32_t n, double clip);

/* Each backend's own constructor, called by device_open(). */
moe_status device_open_cpu(const struct device_options *options, struct device **out_device, moe_err *err);
moe_status device_open_reference(const struct device_options *options, struct device **out_device,
                                 moe_err *err);
void device_close_cpu(struct device *dev);
void device_close_reference(struct device *dev);

/* Name, version and kernel of the BLAS behind the "cpu" backend, e.g. "OpenBLAS 0.3.21 SkylakeX"; static
 * string. */
const char *device_cpu_blas(void);

/* Makes dropout parameters from a probability in [0, 1). */
static inline struct dropout dropout_make(float p, uint64_t seed, uint32_t site, uint32_t step) {
    return (struct dropout){
        .key = {.seed = seed, .stream = (uint32_t)RNG_DROPOUT + site, .step = step},
        .threshold = (uint32_t)(p * 65536.0f + 0.5f),
    };
}

static inline float dropout_scale(struct dropout drop) {
    return 65536.0f / (65536.0f - (float)drop.threshold);
}

#endif
