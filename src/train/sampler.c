#include "train/sampler.h"

#include <math.h>
#include <stdlib.h>

#include "core/mathf.h"
#include "core/rng.h"

#define LEAST_EXPONENT (-87.0) /* of e; below, a token's share is below what float can hold */

struct candidate {
    float weight; /* proportional to its probability; the most likely token's is 1 */
    int32_t token;
};

struct sampler {
    struct sampler_settings set;
    int32_t vocab;
    struct candidate *candidates; /* [vocab] */
};

moe_status sampler_create(const struct sampler_settings *settings, int32_t vocab,
                          struct sampler **out_sampler, moe_err *err) {
    moe_status status = MOE_OK;
    struct sampler *s = NULL;
    moe_check(isfinite(settings->temperature) && settings->temperature >= 0, err, MOE_EARG,
              "the temperature is %g; it must be 0 (always the most likely token) or more",
              settings->temperature);
    moe_check(settings->top_k >= 0, err, MOE_EARG, "top-k is %d; it must be 0 (all tokens) or more",
              settings->top_k);
    moe_check(settings->top_p > 0 && settings->top_p <= 1, err, MOE_EARG,
              "top-p is %g; it must be above 0 and at most 1 (all tokens)", settings->top_p);
    moe_check(vocab >= 1, err, MOE_EARG, "a vocabulary of %d tokens has nothing to draw", vocab);
    s = calloc(1, sizeof *s);
    moe_check(s != NULL, err, MOE_ENOMEM, "no memory for a sampler");
    s->set = *settings;
    s->vocab = vocab;
    s->candidates = malloc((size_t)vocab * sizeof *s->candidates);
    moe_check(s->candidates != NULL, err, MOE_ENOMEM, "no memory for %d candidates", vocab);
    *out_sampler = s;
    s = NULL;
out:
    sampler_destroy(s);
    return status;
}

void sampler_destroy(struct sampler *s) {
    if (s == NULL) return;
    free(s->candidates);
    free(s);
}

static moe_status find_largest(const float *logits, int32_t vocab, int32_t *out_token, moe_err *err) {
    moe_status status = MOE_OK;
    int32_t best = 0;
    for (int32_t v = 0; v < vocab; v++) {
        moe_check(!isnan(logits[v]) && logits[v] < INFINITY, err, MOE_ENUMERIC,
                  "the logit of token %d is %g: the model's numbers have overflowed", v, (double)logits[v]);
        if (logits[v] > logits[best]) best = v;
    }
    moe_check(logits[best] > -INFINITY, err, MOE_ENUMERIC, "every logit is -inf");
    *out_token = best;
out:
    return status;
}

/* Tokens that can be drawn at all, in the order of their ids; returns how many. */
static int32_t weigh(struct sampler *s, const float *logits, float largest) {
    int32_t count = 0;
    for (int32_t v = 0; v < s->vocab; v++) {
        const double exponent = ((double)logits[v] - (double)largest) / s->set.temperature;
        if (!(exponent >= LEAST_EXPONENT)) continue;
        s->candidates[count++] = (struct candidate){mathf_exp((float)exponent), v};
    }
    return count;
}

static bool before(const struct candidate *a, const struct candidate *b) {
    return a->weight > b->weight || (a->weight == b->weight && a->token < b->token);
}

/* Puts heap[at] in its place below, where the heap's order holds: every parent stands before its children. */
static void sift_down(struct candidate *heap, int32_t count, int32_t at) {
    const struct candidate moving = heap[at];
    for (int32_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && before(&heap[child + 1], &heap[child])) child++;
        if (!before(&heap[child], &moving)) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moving;
}

/* Moves the first of a heap of `count` to its last place. */
static void pop(struct candidate *heap, int32_t count) {
    const struct candidate first = heap[0];
    heap[0] = heap[count - 1];
    sift_down(heap, count - 1, 0);
    heap[count - 1] = first;
}

static double mass_of(const struct candidate *candidates, int32_t count) {
    double mass = 0;
    for (int32_t i = 0; i < count; i++)
        mass += (double)candidates[i].weight;
    return mass;
}

/* Moves the candidates that are kept to the end of the array: returns how many. No more are sorted than
 * needed; a nucleus is small. */
static int32_t keep(const struct sampler *s, struct candidate *candidates, int32_t count) {
    const bool few = s->set.top_k > 0 && s->set.top_k < count;
    const int32_t most = few ? s->set.top_k : count;
    int32_t kept = 0;
    double mass = 0;
    for (int32_t at = count / 2 - 1; at >= 0; at--)
        sift_down(candidates, count, at);
    for (int32_t i = 0; few && i < most; i++)
        pop(candidates, count - i);
    if (s->set.top_p >= 1) return most;
    const double wanted = s->set.top_p * mass_of(candidates + count - most, most);
    do {
        if (!few) pop(candidates, count - kept);
        kept++;
        mass += (double)candidates[count - kept].weight;
    } while (kept < most && mass < wanted);
    return kept;
}

moe_status sampler_draw(struct sampler *s, const float *logits, uint32_t number, int32_t *out_token,
                        moe_err *err) {
    moe_status status = MOE_OK;
    const struct rng_key key = {.seed = s->set.seed, .stream = RNG_SAMPLE, .step = number};
    struct candidate *candidates = s->candidates;
    moe_try(find_largest(logits, s->vocab, out_token, err));
    if (s->set.temperature == 0 || s->set.top_k == 1) goto out;
    int32_t count = weigh(s, logits, logits[*out_token]);
    if (s->set.top_k > 0 || s->set.top_p < 1) {
        const int32_t kept = keep(s, candidates, count);
        candidates += count - kept;
        count = kept;
    }
    double left = rng_uniform_double(key, 0) * mass_of(candidates, count);
    int32_t drawn = 0;
    while (drawn < count - 1 && left >= (double)candidates[drawn].weight)
        left -= (double)candidates[drawn++].weight;
    *out_token = candidates[drawn].token;
out:
    return status;
}
