/* parity_harness.h - runs one operation on two backends and compares everything it wrote.
 *
 * A case declares its buffers (slots) in the order in which its call uses them, then runs. Every slot lives
 * between two guards, outputs are poisoned with NaN before the call, gaps between strided rows too. After the
 * call
 * - guards and inputs are as they were;
 * - what the reference did not write, the tested backend did not write;
 * - what the reference wrote is finite and agrees within the operation's limit (integers: exactly);
 * - the tested backend gives the same bits with another number of threads and scratch planned for just this
 * case's sizes, and again on a second call.
 */
#ifndef PARITY_HARNESS_H
#define PARITY_HARNESS_H

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <math.h>

#include <cmocka.h>

#include "core/rng.h"
#include "device/backend.h"

#define PARITY_SLOTS        16
#define PARITY_HOST         8    /* doubles that an operation may return to the host */
#define PARITY_GUARD        256  /* bytes before and after each buffer; keeps its alignment */
#define PARITY_FENCE        0x5a /* what guards hold */
#define PARITY_POISON       0xff /* bytes of an unwritten float: a NaN */
#define PARITY_UNSET        0xa5 /* bytes of an unwritten integer */
#define PARITY_BF16         1e-2 /* limit where activations have 8 bits of mantissa */
#define PARITY_GPU          1e-5 /* least limit of a GPU in float: its sums have other orders */
#define PARITY_SIDES        4    /* reference; tested with one thread; with three; with three again */
#define PARITY_COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

enum parity_role {
    PARITY_IN,     /* unchanged by the call */
    PARITY_OUT,    /* poisoned, then compared */
    PARITY_INOUT,  /* random, then compared */
    PARITY_PREFIX, /* poisoned; compared where the reference wrote, free elsewhere */
    PARITY_SCRATCH /* poisoned; only its guards are checked */
};

enum parity_type { PARITY_F32, PARITY_ACT, PARITY_I32, PARITY_U16 };

struct parity_slot {
    const char *name;
    enum parity_role role;
    enum parity_type type;
    int64_t count;
    double floor;               /* natural size of the values; errors are relative to at least this */
    void *initial;              /* host image: float for F32 and ACT, int32_t, uint16_t */
    void *result[PARITY_SIDES]; /* host image after the call */
};

struct parity {
    const char *op;
    double limit;
    bool in_float; /* float results come from no rounded activation: their limit is that of fp32 on any device
                    */
    const char *backend;            /* name of the tested one */
    struct device *reference, *one; /* one: the tested backend with one thread and room for every case */
    struct device *three;           /* the tested backend with three threads, opened for just this case */
    struct device_options needs;    /* the sizes of this case */
    uint64_t seed;
    uint32_t cases, most_cases; /* most: of an operation that are run; 0 = all */
    int failures;
    bool quiet;            /* failures are counted, not printed */
    double worst, loosest; /* error of the results so far, limit that they were held to */
    char label[256];
    uint64_t drawn;
    int slots;
    struct parity_slot slot[PARITY_SLOTS];
    double host[PARITY_SIDES][PARITY_HOST]; /* what the call returned to the host; compared like a slot */
};

/* Calls the operation on device memory p[slot]; args is the case's own struct. */
typedef void (*parity_call)(struct device *dev, void *const *p, const void *args, double *host);

/* ---- random inputs
 * ---------------------------------------------------------------------------------------------- */

static inline uint32_t parity_bits(struct parity *t) {
    const struct rng_key key = {.seed = t->seed, .stream = RNG_TEST, .step = t->cases};
    return rng_u32(key, t->drawn++);
}

static inline int64_t parity_below(struct parity *t, int64_t n) {
    return (int64_t)(((uint64_t)parity_bits(t) * (uint64_t)n) >> 32);
}

/* Standard normal, by Box and Muller. */
static inline float parity_normal(struct parity *t) {
    const double u = ((double)parity_bits(t) + 1.0) * 0x1p-32, v = (double)parity_bits(t) * 0x1p-32;
    return (float)(sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v));
}

/* ---- bfloat16
 * ---------------------------------------------------------------------------------------------------- */

static inline uint16_t parity_to_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (x != x) return (uint16_t)(bits >> 16);
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

static inline float parity_from_bf16(uint16_t x) {
    const uint32_t bits = (uint32_t)x << 16;
    float y;
    memcpy(&y, &bits, sizeof y);
    return y;
}

/* ---- declaring a case
 * --------------------------------------------------------------------------------------------- */

static inline size_t parity_host_size(enum parity_type type) {
    return type == PARITY_U16 ? sizeof(uint16_t) : sizeof(float);
}

static inline void *parity_need(size_t bytes) {
    void *block = malloc(bytes > 0 ? bytes : 1);
    if (block == NULL) abort();
    return block;
}

static inline void parity_drop_case(struct parity *t) {
    for (int i = 0; i < t->slots; i++) {
        free(t->slot[i].initial);
        for (int side = 0; side < PARITY_SIDES; side++)
            free(t->slot[i].result[side]);
    }
    memset(t->slot, 0, sizeof t->slot);
    memset(t->host, 0, sizeof t->host);
    t->needs = (struct device_options){.threads = 3};
    t->slots = 0;
    t->drawn = 0;
}

static inline void parity_case(struct parity *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static inline void parity_case(struct parity *t, const char *fmt, ...) {
    parity_drop_case(t);
    t->cases++;
    va_list args;
    va_start(args, fmt);
    vsnprintf(t->label, sizeof t->label, fmt, args);
    va_end(args);
}

/* The sizes that the case's device is opened for; what is not said is 0. */
static inline void parity_needs(struct parity *t, int64_t rows, int32_t vocab, int64_t seq, int64_t width) {
    t->needs = (struct device_options){.threads = 3,
                                       .max_rows = rows,
                                       .max_vocab = vocab,
                                       .max_seq = (int32_t)seq,
                                       .max_width = (int32_t)width};
}

static inline void *parity_slot_add(struct parity *t, const char *name, enum parity_role role,
                                    enum parity_type type, int64_t count) {
    if (t->slots == PARITY_SLOTS) abort();
    struct parity_slot *s = &t->slot[t->slots++];
    const size_t bytes = (size_t)count * parity_host_size(type);
    *s = (struct parity_slot){.name = name, .role = role, .type = type, .count = count};
    s->initial = parity_need(bytes);
    memset(s->initial, type == PARITY_F32 || type == PARITY_ACT ? PARITY_POISON : PARITY_UNSET, bytes);
    return s->initial;
}

static inline int32_t *parity_ints(struct parity *t, const char *name, enum parity_role role, int64_t count) {
    return parity_slot_add(t, name, role, PARITY_I32, count);
}

/* Rows of `width` elements, `stride` apart; the gaps hold NaN. Returns the host image. */
static inline float *parity_rows(struct parity *t, const char *name, enum parity_role role,
                                 enum parity_type type, int64_t rows, int64_t width, int64_t stride,
                                 float scale) {
    float *x = parity_slot_add(t, name, role, type, rows * stride);
    const bool filled = role == PARITY_IN || role == PARITY_INOUT;
    for (int64_t r = 0; filled && r < rows; r++)
        for (int64_t i = 0; i < width; i++)
            x[r * stride + i] = scale * parity_normal(t);
    return x;
}

static inline float *parity_acts(struct parity *t, const char *name, enum parity_role role, int64_t count,
                                 float scale) {
    return parity_rows(t, name, role, PARITY_ACT, 1, count, count, scale);
}

static inline float *parity_floats(struct parity *t, const char *name, enum parity_role role, int64_t count,
                                   float scale) {
    return parity_rows(t, name, role, PARITY_F32, 1, count, count, scale);
}

/* Gives the slot added last its natural size, where a result may be small because larger numbers cancel. */
static inline void parity_floor(struct parity *t, double floor) {
    t->slot[t->slots - 1].floor = floor;
}

/* Rounds activations to what the tested backend can hold, so that both sides read the same values. Called by
 * parity_run(); a case calls it itself before it derives one input from another. */
static inline void parity_round(struct parity *t) {
    for (int i = 0; i < t->slots && t->one->ops->act_size == 2; i++) {
        float *x = t->slot[i].initial;
        for (int64_t j = 0; t->slot[i].type == PARITY_ACT && j < t->slot[i].count; j++)
            if (x[j] == x[j]) x[j] = parity_from_bf16(parity_to_bf16(x[j]));
    }
}

/* ---- running one side
 * --------------------------------------------------------------------------------------------- */

static inline struct device *parity_device(struct parity *t, int side) {
    return side == 0 ? t->reference : side == 1 ? t->one : t->three;
}

static inline size_t parity_device_size(const struct device *dev, enum parity_type type) {
    return type == PARITY_ACT ? dev->ops->act_size : parity_host_size(type);
}

static inline void parity_fail(struct parity *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static inline void parity_fail(struct parity *t, const char *fmt, ...) {
    char text[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (t->failures++ < 20 && !t->quiet)
        print_error("%s, case %u (%s), MOE_TEST_SEED=%llu: %s\n", t->op, t->cases, t->label,
                    (unsigned long long)t->seed, text);
}

/* The guarded image of a slot as the device stores it. */
static inline unsigned char *parity_pack(const struct parity_slot *s, const struct device *dev,
                                         size_t *out_bytes) {
    const size_t bytes = (size_t)s->count * parity_device_size(dev, s->type);
    unsigned char *image = parity_need(bytes + 2 * PARITY_GUARD);
    memset(image, PARITY_FENCE, bytes + 2 * PARITY_GUARD);
    unsigned char *body = image + PARITY_GUARD;
    if (s->type == PARITY_ACT && dev->ops->act_size == 2) {
        for (int64_t i = 0; i < s->count; i++) {
            const uint16_t x = parity_to_bf16(((const float *)s->initial)[i]);
            memcpy(body + 2 * i, &x, 2);
        }
    } else {
        memcpy(body, s->initial, bytes);
    }
    *out_bytes = bytes + 2 * PARITY_GUARD;
    return image;
}

/* The body of a downloaded image as a host image. */
static inline void *parity_unpack(const struct parity_slot *s, const struct device *dev,
                                  const unsigned char *image) {
    void *host = parity_need((size_t)s->count * parity_host_size(s->type));
    const unsigned char *body = image + PARITY_GUARD;
    if (s->type == PARITY_ACT && dev->ops->act_size == 2) {
        for (int64_t i = 0; i < s->count; i++) {
            uint16_t x;
            memcpy(&x, body + 2 * i, 2);
            ((float *)host)[i] = x == 0xffff ? (float)NAN : parity_from_bf16(x);
            if (x == 0xffff) memset((float *)host + i, PARITY_POISON, sizeof(float));
        }
    } else {
        memcpy(host, body, (size_t)s->count * parity_host_size(s->type));
    }
    return host;
}

static inline void parity_check_guards(struct parity *t, const struct parity_slot *s,
                                       const struct device *dev, const unsigned char *image, size_t bytes) {
    for (size_t i = 0; i < PARITY_GUARD; i++) {
        if (image[i] != PARITY_FENCE) {
            parity_fail(t, "%s wrote %zu bytes before %s", dev->ops->name, PARITY_GUARD - i, s->name);
            return;
        }
        if (image[bytes - PARITY_GUARD + i] != PARITY_FENCE) {
            parity_fail(t, "%s wrote %zu bytes past %s", dev->ops->name, i, s->name);
            return;
        }
    }
}

/* Runs the call on one side and brings everything back. */
static inline void parity_execute(struct parity *t, int side, parity_call call, const void *args) {
    struct device *dev = parity_device(t, side);
    void *base[PARITY_SLOTS] = {NULL}, *p[PARITY_SLOTS] = {NULL};
    unsigned char *image[PARITY_SLOTS] = {NULL};
    size_t bytes[PARITY_SLOTS] = {0};
    moe_err err = {0};
    for (int i = 0; i < t->slots; i++) {
        image[i] = parity_pack(&t->slot[i], dev, &bytes[i]);
        if (dev->ops->alloc(dev, bytes[i], &base[i], &err) != MOE_OK) fail_msg("%s", err.message);
        dev->ops->upload(dev, base[i], image[i], bytes[i]);
        p[i] = (unsigned char *)base[i] + PARITY_GUARD;
    }
    call(dev, p, args, t->host[side]);
    if (dev->ops->synchronize(dev, &err) != MOE_OK) fail_msg("%s: %s", t->op, err.message);
    for (int i = 0; i < t->slots; i++) {
        struct parity_slot *s = &t->slot[i];
        const size_t size = bytes[i] - 2 * PARITY_GUARD;
        unsigned char *back = parity_need(bytes[i]);
        dev->ops->download(dev, back, base[i], bytes[i]);
        dev->ops->release(dev, base[i]);
        parity_check_guards(t, s, dev, back, bytes[i]);
        if (s->role == PARITY_IN && memcmp(back + PARITY_GUARD, image[i] + PARITY_GUARD, size) != 0)
            parity_fail(t, "%s changed its input %s", dev->ops->name, s->name);
        free(s->result[side]);
        s->result[side] = parity_unpack(s, dev, back);
        free(back);
        free(image[i]);
    }
}

/* ---- comparing
 * ---------------------------------------------------------------------------------------------------- */

static inline bool parity_poisoned(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits == 0xffffffffu;
}

static inline double parity_limit(const struct parity *t, enum parity_type type) {
    if (t->one->ops->act_size == 2 && !(t->in_float && type == PARITY_F32))
        return fmax(t->limit, PARITY_BF16);
    return !t->one->ops->host_memory && t->limit > 0 ? fmax(t->limit, PARITY_GPU) : t->limit;
}

/* Largest difference over largest reference value (or the slot's floor). */
static inline void parity_compare_floats(struct parity *t, const struct parity_slot *s) {
    const float *want = s->result[0], *got = s->result[1];
    double difference = 0.0, scale = s->floor;
    int64_t at = 0;
    for (int64_t i = 0; i < s->count; i++) {
        if (parity_poisoned(want[i])) {
            if (s->role != PARITY_PREFIX && !parity_poisoned(got[i])) {
                parity_fail(t, "%s[%lld] must not be written", s->name, (long long)i);
                return;
            }
            continue;
        }
        if (!isfinite(want[i]) || !isfinite(got[i])) {
            parity_fail(t, "%s[%lld] is %g, reference %g", s->name, (long long)i, (double)got[i],
                        (double)want[i]);
            return;
        }
        const double d = fabs((double)got[i] - (double)want[i]);
        scale = fmax(scale, fabs((double)want[i]));
        if (d > difference) {
            difference = d;
            at = i;
        }
    }
    const double error = difference == 0.0 ? 0.0 : scale > 0.0 ? difference / scale : INFINITY;
    t->worst = fmax(t->worst, error);
    const double limit = parity_limit(t, s->type);
    t->loosest = fmax(t->loosest, limit);
    if (!(error <= limit))
        parity_fail(t, "%s[%lld] is %.9g, reference %.9g: error %.3g of the largest, limit %.3g", s->name,
                    (long long)at, (double)got[at], (double)want[at], error, limit);
}

static inline bool parity_unset(const struct parity_slot *s, const void *image, int64_t i) {
    return s->type == PARITY_I32 ? ((const uint32_t *)image)[i] == 0xa5a5a5a5u
                                 : ((const uint16_t *)image)[i] == 0xa5a5u;
}

static inline void parity_compare_integers(struct parity *t, const struct parity_slot *s) {
    for (int64_t i = 0; i < s->count; i++) {
        if (s->role == PARITY_PREFIX && parity_unset(s, s->result[0], i)) continue;
        const long got =
            s->type == PARITY_I32 ? ((const int32_t *)s->result[1])[i] : ((const uint16_t *)s->result[1])[i];
        const long want =
            s->type == PARITY_I32 ? ((const int32_t *)s->result[0])[i] : ((const uint16_t *)s->result[0])[i];
        if (got == want) continue;
        parity_fail(t, "%s[%lld] is %ld, reference %ld", s->name, (long long)i, got, want);
        t->worst = INFINITY;
        return;
    }
}

static inline void parity_compare_host(struct parity *t) {
    for (int i = 0; i < PARITY_HOST; i++) {
        const double want = t->host[0][i], got = t->host[1][i];
        const double error = got == want ? 0.0 : fabs(got - want) / fabs(want);
        t->worst = fmax(t->worst, error);
        if (!(error <= t->limit))
            parity_fail(t, "host result %d is %.17g, reference %.17g: error %.3g, limit %.3g", i, got, want,
                        error, t->limit);
    }
}

/* Threads and repetition change no bit. */
static inline void parity_compare_bits(struct parity *t, const struct parity_slot *s) {
    if (s->role == PARITY_SCRATCH || s->role == PARITY_PREFIX) return;
    const size_t bytes = (size_t)s->count * parity_host_size(s->type);
    if (memcmp(s->result[1], s->result[2], bytes) != 0)
        parity_fail(t, "%s differs between one thread and three", s->name);
    if (memcmp(s->result[2], s->result[3], bytes) != 0)
        parity_fail(t, "%s differs from call to call", s->name);
}

static inline void parity_compare(struct parity *t) {
    for (int i = 0; i < t->slots; i++) {
        const struct parity_slot *s = &t->slot[i];
        parity_compare_bits(t, s);
        if (s->role == PARITY_IN || s->role == PARITY_SCRATCH) continue;
        if (s->type == PARITY_F32 || s->type == PARITY_ACT)
            parity_compare_floats(t, s);
        else
            parity_compare_integers(t, s);
    }
    parity_compare_host(t);
    if (memcmp(t->host[1], t->host[2], sizeof t->host[1]) != 0 ||
        memcmp(t->host[2], t->host[3], sizeof t->host[1]) != 0)
        parity_fail(t, "host results differ with threads or from call to call");
}

static inline void parity_run(struct parity *t, parity_call call, const void *args) {
    moe_err err = {0};
    if (t->most_cases > 0 && t->cases > t->most_cases) return;
    if (device_open(t->backend, &t->needs, &t->three, &err) != MOE_OK) fail_msg("%s", err.message);
    parity_round(t);
    for (int side = 0; side < PARITY_SIDES; side++)
        parity_execute(t, side, call, args);
    parity_compare(t);
    device_close(t->three);
    t->three = NULL;
}

/* ---- one operation
 * ------------------------------------------------------------------------------------------------ */

static inline void parity_begin(struct parity *t, const char *op, double limit) {
    t->op = op;
    t->limit = limit;
    t->cases = 0;
    t->failures = 0;
    t->loosest = limit;
    t->worst = 0.0;
    t->in_float = false;
}

static inline void parity_end(struct parity *t) {
    parity_drop_case(t);
    print_message("%-28s %4u cases  worst %.2e  limit %.0e  %s\n", t->op, t->cases, t->worst, t->loosest,
                  t->failures == 0 ? "agrees" : "DISAGREES");
    assert_int_equal(t->failures, 0);
}

/* Starts the test of an operation, or leaves the test where the tested backend lacks it. */
#define PARITY_BEGIN(t, operation, limit)                                                                    \
    do {                                                                                                     \
        if ((t)->one->ops->operation == NULL) {                                                              \
            print_message("%-28s not offered by %s\n", #operation, (t)->one->ops->name);                     \
            skip();                                                                                          \
        }                                                                                                    \
        parity_begin((t), #operation, (limit));                                                              \
    } while (0)

#endif
