#include "analysis/claims_functions.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/chance_balance.h"
#include "analysis/optimum.h"
#include "analysis/stats.h"
#include "record/routing_stats.h"

void expr_vector_free(struct expr_vector *x) {
    free(x->v);
    *x = (struct expr_vector){0};
}

moe_status expr_vector_new(struct expr_vector *x, int32_t n, moe_err *err) {
    *x = (struct expr_vector){.v = calloc((size_t)n + 1, sizeof *x->v), .n = n};
    if (x->v == NULL) return moe_fail(err, MOE_ENOMEM, "cannot allocate a vector of %d values", n);
    return MOE_OK;
}

moe_status expr_vector_number(struct expr_vector *x, double value, moe_err *err) {
    const moe_status status = expr_vector_new(x, 1, err);
    if (status == MOE_OK) x->v[0] = value;
    return status;
}

/* ---------------------------------------------------------------- functions */

/* All elements of all arguments, end to end. */
static moe_status flatten(const struct expr_vector *args, int32_t count, struct expr_vector *out,
                          moe_err *err) {
    moe_status status = MOE_OK;
    int32_t n = 0;
    for (int32_t i = 0; i < count; i++)
        n += args[i].n;
    moe_try(expr_vector_new(out, n, err));
    n = 0;
    for (int32_t i = 0; i < count; i++) {
        if (args[i].n > 0) memcpy(out->v + n, args[i].v, (size_t)args[i].n * sizeof *out->v);
        n += args[i].n;
    }
out:
    return status;
}

static double smallest(const double *v, int32_t n) {
    double best = n > 0 ? v[0] : NAN;
    for (int32_t i = 1; i < n; i++)
        if (v[i] < best) best = v[i];
    return best;
}

static double largest(const double *v, int32_t n) {
    double best = n > 0 ? v[0] : NAN;
    for (int32_t i = 1; i < n; i++)
        if (v[i] > best) best = v[i];
    return best;
}

static double sum(const double *v, int32_t n) {
    double total = 0.0;
    for (int32_t i = 0; i < n; i++)
        total += v[i];
    return total;
}

static double count(const double *v, int32_t n) {
    (void)v;
    return (double)n;
}

static double first(const double *v, int32_t n) {
    return n > 0 ? v[0] : NAN;
}

static double last(const double *v, int32_t n) {
    return n > 0 ? v[n - 1] : NAN;
}

static double argmin(const double *v, int32_t n) {
    for (int32_t i = 0; i < n; i++)
        if (v[i] == smallest(v, n)) return i + 1.0;
    return NAN;
}

/* Least squares of v over 0, 1, ...: sum (i - mean i)(v_i - mean v) / sum (i - mean i)^2. */
static double slope(const double *v, int32_t n) {
    const double middle = (n - 1) / 2.0;
    const double mean = stats_mean(v, n);
    double above = 0.0, below = 0.0;
    for (int32_t i = 0; i < n; i++) {
        above += (i - middle) * (v[i] - mean);
        below += (i - middle) * (i - middle);
    }
    return n > 1 ? above / below : NAN;
}

/* Where a parabola fitted to v over 1, 2, ... has its minimum, within 1 and n. */
static double valley(const double *v, int32_t n) {
    enum { MOST = 64 };
    double x[MOST];
    struct optimum o;
    for (int32_t i = 0; i < n && i < MOST; i++)
        x[i] = i + 1.0;
    return n <= MOST && optimum_fit(x, v, n, 0, 0, 0.0, &o, NULL) == MOE_OK ? o.at : NAN;
}

/* Pearson's correlation of the first half of v with the second. */
static double correlation(const double *v, int32_t n) {
    const int32_t half = n / 2;
    const double mean_x = stats_mean(v, half);
    const double mean_y = stats_mean(v + half, half);
    double xx = 0.0, yy = 0.0, xy = 0.0;
    for (int32_t i = 0; i < half; i++) {
        const double x = v[i] - mean_x;
        const double y = v[half + i] - mean_y;
        xx += x * x;
        yy += y * y;
        xy += x * y;
    }
    return n % 2 == 0 && xx > 0.0 && yy > 0.0 ? xy / sqrt(xx * yy) : NAN;
}

static double entropy(const double *v, int32_t n) {
    const double total = sum(v, n);
    double h = 0.0;
    for (int32_t i = 0; i < n; i++)
        if (v[i] > 0.0) h -= v[i] / total * log(v[i] / total);
    return total > 0.0 ? h : NAN;
}

static bool are_loads(const double *v, int32_t n) {
    return sum(v, n) > 0.0 && n <= ROUTING_STATS_MAX_EXPERTS;
}

static double gini(const double *v, int32_t n) {
    return are_loads(v, n) ? routing_stats_of_shares(v, n).gini : NAN;
}

static double cv2(const double *v, int32_t n) {
    return are_loads(v, n) ? routing_stats_of_shares(v, n).cv2 : NAN;
}

/* Functions of all elements together. */
static const struct {
    const char *name;
    double (*of)(const double *v, int32_t n);
    bool one_argument;
} summaries[] = {
    {"min", smallest, false},    {"max", largest, false}, {"sum", sum, false},
    {"mean", stats_mean, false}, {"sd", stats_sd, false}, {"corr", correlation, false},
    {"count", count, true},      {"first", first, true},  {"last", last, true},
    {"argmin", argmin, true},    {"slope", slope, false}, {"entropy", entropy, true},
    {"gini", gini, true},        {"cv2", cv2, true},      {"valley", valley, false},
};

/* Functions of each element. */
static const struct {
    const char *name;
    double (*of)(double x);
} mappings[] = {{"ln", log}, {"exp", exp}, {"sqrt", sqrt}, {"abs", fabs}, {"round", round}, {"ceil", ceil}};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static moe_status wants(const char *name, bool met, const char *what, moe_err *err) {
    return met ? MOE_OK : moe_fail(err, MOE_ECONFIG, "%s() takes %s", name, what);
}

/* from(v, k): the elements from the k-th on. */
static moe_status tail(const struct expr_vector *args, struct expr_vector *out, moe_err *err) {
    moe_status status = MOE_OK;
    const double k = args[1].v[0];
    const int32_t start = k >= 1.0 && k <= args[0].n ? (int32_t)k - 1 : args[0].n;
    moe_try(expr_vector_new(out, args[0].n - start, err));
    if (out->n > 0) memcpy(out->v, args[0].v + start, (size_t)out->n * sizeof *out->v);
out:
    return status;
}

/* part(v, a, b): the elements from a share a of the length to a share b. */
static moe_status part(const struct expr_vector *args, struct expr_vector *out, moe_err *err) {
    moe_status status = MOE_OK;
    const double low = fmin(fmax(args[1].v[0], 0.0), 1.0);
    const double high = fmin(fmax(args[2].v[0], low), 1.0);
    const int32_t start = (int32_t)floor(low * args[0].n + 0.5);
    const int32_t end = (int32_t)floor(high * args[0].n + 0.5);
    moe_try(expr_vector_new(out, end - start, err));
    if (out->n > 0) memcpy(out->v, args[0].v + start, (size_t)out->n * sizeof *out->v);
out:
    return status;
}

/* The share of the elements that pass before one is at most the limit; 1 if none is. */
static double reach(const struct expr_vector *x, double limit) {
    int32_t passed = 0;
    while (passed < x->n && !(x->v[passed] <= limit))
        passed++;
    return x->n > 0 ? (double)passed / x->n : NAN;
}

/* steps(v): the change from each element to the next. */
static moe_status steps(const struct expr_vector *x, struct expr_vector *out, moe_err *err) {
    const moe_status status = expr_vector_new(out, x->n > 0 ? x->n - 1 : 0, err);
    for (int32_t i = 0; status == MOE_OK && i < out->n; i++)
        out->v[i] = x->v[i + 1] - x->v[i];
    return status;
}

static int descending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* sort(v): from the largest to the smallest. */
static moe_status sort(const struct expr_vector *x, struct expr_vector *out, moe_err *err) {
    const moe_status status = expr_vector_new(out, x->n, err);
    if (status != MOE_OK) return status;
    if (x->n > 0) memcpy(out->v, x->v, (size_t)x->n * sizeof *out->v);
    qsort(out->v, (size_t)out->n, sizeof *out->v, descending);
    return MOE_OK;
}

/* rank(v): 1 for the smallest; equal elements share the mean of their ranks. */
static moe_status rank(const struct expr_vector *x, struct expr_vector *out, moe_err *err) {
    const moe_status status = expr_vector_new(out, x->n, err);
    for (int32_t i = 0; status == MOE_OK && i < x->n; i++) {
        int32_t below = 0, equal = 0;
        for (int32_t k = 0; k < x->n; k++) {
            below += x->v[k] < x->v[i];
            equal += x->v[k] == x->v[i];
        }
        out->v[i] = equal > 0 ? below + 0.5 * (equal + 1) : NAN;
    }
    return status;
}

static double share_inside(const struct expr_vector *x, double low, double high) {
    int32_t inside = 0;
    for (int32_t i = 0; i < x->n; i++)
        inside += x->v[i] >= low && x->v[i] <= high;
    return x->n > 0 ? (double)inside / x->n : NAN;
}

/* Functions that turn one vector into another. */
static const struct {
    const char *name;
    moe_status (*of)(const struct expr_vector *x, struct expr_vector *out, moe_err *err);
} rearrangements[] = {{"steps", steps}, {"sort", sort}, {"rank", rank}};

/* chance_gini(n, k, e) of whole numbers. */
static double chance_gini(double images, double chosen, double experts) {
    const bool possible =
        images >= 1.0 && images <= 1e6 && chosen >= 1.0 && chosen <= experts && experts <= 1e6;
    return possible ? chance_balance_of((int32_t)images, (int32_t)chosen, (int32_t)experts).gini : NAN;
}

/* Those that take numbers. */
static moe_status call_with_numbers(const char *name, const struct expr_vector *args, int32_t n, bool scan,
                                    struct expr_vector *out, moe_err *err) {
    moe_status status = MOE_OK;
    const bool one = n == 2 && (scan || args[1].n == 1);
    const bool two = n == 3 && (scan || (args[1].n == 1 && args[2].n == 1));
    if (strcmp(name, "from") == 0) {
        moe_try(wants(name, one, "a vector and a number", err));
        status = tail(args, out, err);
    } else if (strcmp(name, "part") == 0) {
        moe_try(wants(name, two, "a vector and two shares", err));
        status = part(args, out, err);
    } else if (strcmp(name, "reach") == 0) {
        moe_try(wants(name, one, "a vector and a number", err));
        status = expr_vector_number(out, reach(&args[0], args[1].v[0]), err);
    } else if (strcmp(name, "inside") == 0) {
        moe_try(wants(name, two, "a vector and two numbers", err));
        status = expr_vector_number(out, share_inside(&args[0], args[1].v[0], args[2].v[0]), err);
    } else if (strcmp(name, "chance_gini") == 0) {
        moe_try(wants(name, two && (scan || args[0].n == 1), "three numbers", err));
        status = expr_vector_number(out, chance_gini(args[0].v[0], args[1].v[0], args[2].v[0]), err);
    } else {
        status = moe_fail(err, MOE_ECONFIG, "there is no function %s()", name);
    }
out:
    return status;
}

moe_status expr_call(const char *name, const struct expr_vector *args, int32_t n, bool scan,
                     struct expr_vector *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct expr_vector all = {0};
    for (size_t i = 0; i < COUNT(summaries); i++) {
        if (strcmp(summaries[i].name, name) != 0) continue;
        moe_try(wants(name, !summaries[i].one_argument || n == 1, "one argument", err));
        moe_try(flatten(args, n, &all, err));
        status = expr_vector_number(out, summaries[i].of(all.v, all.n), err);
        goto out;
    }
    for (size_t i = 0; i < COUNT(mappings); i++) {
        if (strcmp(mappings[i].name, name) != 0) continue;
        moe_try(wants(name, n == 1, "one argument", err));
        moe_try(expr_vector_new(out, args[0].n, err));
        for (int32_t k = 0; k < out->n; k++)
            out->v[k] = mappings[i].of(args[0].v[k]);
        goto out;
    }
    for (size_t i = 0; i < COUNT(rearrangements); i++) {
        if (strcmp(rearrangements[i].name, name) != 0) continue;
        moe_try(wants(name, n == 1, "one argument", err));
        status = rearrangements[i].of(&args[0], out, err);
        goto out;
    }
    status = call_with_numbers(name, args, n, scan, out, err);
out:
    expr_vector_free(&all);
    return status;
}
