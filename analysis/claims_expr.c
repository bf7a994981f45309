#include "analysis/claims_expr.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/stats.h"
#include "core/text.h"

#define MAX_DEPTH     64 /* parentheses and signs inside each other */
#define MAX_ARGUMENTS 32

struct vector {
    double *v;
    int32_t n;
};

struct parser {
    const char *text, *at, *place;
    const struct expr_scope *scope; /* NULL: the grammar alone */
    expr_visit visit;
    void *context;
    int depth;
};

static moe_status parse_comparison(struct parser *p, struct vector *out, moe_err *err);

static moe_status mistake(const struct parser *p, const char *what, moe_err *err) {
    if (*p->at == '\0')
        return moe_fail(err, MOE_ECONFIG, "%s: \"%s\" ends early: %s", p->place, p->text, what);
    return moe_fail(err, MOE_ECONFIG, "%s: \"%s\", at \"%.24s\": %s", p->place, p->text, p->at, what);
}

static void skip_space(struct parser *p) {
    while (*p->at == ' ' || *p->at == '\n' || *p->at == '\t')
        p->at++;
}

static bool accept(struct parser *p, const char *token) {
    skip_space(p);
    const size_t length = strlen(token);
    if (strncmp(p->at, token, length) != 0) return false;
    p->at += length;
    return true;
}

static void vector_free(struct vector *x) {
    free(x->v);
    *x = (struct vector){0};
}

static moe_status vector_new(struct vector *x, int32_t n, moe_err *err) {
    *x = (struct vector){.v = calloc((size_t)n + 1, sizeof *x->v), .n = n};
    if (x->v == NULL) return moe_fail(err, MOE_ENOMEM, "cannot allocate a vector of %d values", n);
    return MOE_OK;
}

static moe_status vector_number(struct vector *x, double value, moe_err *err) {
    const moe_status status = vector_new(x, 1, err);
    if (status == MOE_OK) x->v[0] = value;
    return status;
}

/* ---------------------------------------------------------------- functions */

/* All elements of all arguments, end to end. */
static moe_status flatten(const struct vector *args, int32_t count, struct vector *out, moe_err *err) {
    moe_status status = MOE_OK;
    int32_t n = 0;
    for (int32_t i = 0; i < count; i++)
        n += args[i].n;
    moe_try(vector_new(out, n, err));
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
};

/* Functions of each element. */
static const struct {
    const char *name;
    double (*of)(double x);
} mappings[] = {{"ln", log}, {"exp", exp}, {"sqrt", sqrt}, {"abs", fabs}};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static moe_status wants(const struct parser *p, const char *name, bool met, const char *what, moe_err *err) {
    if (met) return MOE_OK;
    return moe_fail(err, MOE_ECONFIG, "%s: \"%s\": %s() takes %s", p->place, p->text, name, what);
}

/* from(v, k): the elements from the k-th on. */
static moe_status tail(const struct vector *args, struct vector *out, moe_err *err) {
    moe_status status = MOE_OK;
    const double k = args[1].v[0];
    const int32_t start = k >= 1.0 && k <= args[0].n ? (int32_t)k - 1 : args[0].n;
    moe_try(vector_new(out, args[0].n - start, err));
    if (out->n > 0) memcpy(out->v, args[0].v + start, (size_t)out->n * sizeof *out->v);
out:
    return status;
}

/* part(v, a, b): the elements from a share a of the length to a share b. */
static moe_status part(const struct vector *args, struct vector *out, moe_err *err) {
    moe_status status = MOE_OK;
    const double low = fmin(fmax(args[1].v[0], 0.0), 1.0);
    const double high = fmin(fmax(args[2].v[0], low), 1.0);
    const int32_t start = (int32_t)floor(low * args[0].n + 0.5);
    const int32_t end = (int32_t)floor(high * args[0].n + 0.5);
    moe_try(vector_new(out, end - start, err));
    if (out->n > 0) memcpy(out->v, args[0].v + start, (size_t)out->n * sizeof *out->v);
out:
    return status;
}

/* The share of the elements that pass before one is at most the limit; 1 if none is. */
static double reach(const struct vector *x, double limit) {
    int32_t passed = 0;
    while (passed < x->n && !(x->v[passed] <= limit))
        passed++;
    return x->n > 0 ? (double)passed / x->n : NAN;
}

/* steps(v): the change from each element to the next. */
static moe_status steps(const struct vector *x, struct vector *out, moe_err *err) {
    const moe_status status = vector_new(out, x->n > 0 ? x->n - 1 : 0, err);
    for (int32_t i = 0; status == MOE_OK && i < out->n; i++)
        out->v[i] = x->v[i + 1] - x->v[i];
    return status;
}

static double share_inside(const struct vector *x, double low, double high) {
    int32_t inside = 0;
    for (int32_t i = 0; i < x->n; i++)
        inside += x->v[i] >= low && x->v[i] <= high;
    return x->n > 0 ? (double)inside / x->n : NAN;
}

static moe_status call(const struct parser *p, const char *name, const struct vector *args, int32_t n,
                       struct vector *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct vector all = {0};
    const bool scan = p->scope == NULL;
    for (size_t i = 0; i < COUNT(summaries); i++) {
        if (strcmp(summaries[i].name, name) != 0) continue;
        moe_try(wants(p, name, !summaries[i].one_argument || n == 1, "one argument", err));
        moe_try(flatten(args, n, &all, err));
        status = vector_number(out, summaries[i].of(all.v, all.n), err);
        goto out;
    }
    for (size_t i = 0; i < COUNT(mappings); i++) {
        if (strcmp(mappings[i].name, name) != 0) continue;
        moe_try(wants(p, name, n == 1, "one argument", err));
        moe_try(vector_new(out, args[0].n, err));
        for (int32_t k = 0; k < out->n; k++)
            out->v[k] = mappings[i].of(args[0].v[k]);
        goto out;
    }
    if (strcmp(name, "from") == 0) {
        moe_try(wants(p, name, n == 2 && (scan || args[1].n == 1), "a vector and a number", err));
        status = tail(args, out, err);
        goto out;
    }
    if (strcmp(name, "part") == 0) {
        moe_try(wants(p, name, n == 3 && (scan || (args[1].n == 1 && args[2].n == 1)),
                      "a vector and two shares", err));
        status = part(args, out, err);
        goto out;
    }
    if (strcmp(name, "reach") == 0) {
        moe_try(wants(p, name, n == 2 && (scan || args[1].n == 1), "a vector and a number", err));
        status = vector_number(out, reach(&args[0], args[1].v[0]), err);
        goto out;
    }
    if (strcmp(name, "steps") == 0) {
        moe_try(wants(p, name, n == 1, "one argument", err));
        status = steps(&args[0], out, err);
        goto out;
    }
    if (strcmp(name, "inside") == 0) {
        moe_try(wants(p, name, n == 3 && (scan || (args[1].n == 1 && args[2].n == 1)),
                      "a vector and two numbers", err));
        status = vector_number(out, share_inside(&args[0], args[1].v[0], args[2].v[0]), err);
        goto out;
    }
    status = moe_fail(err, MOE_ECONFIG, "%s: \"%s\": there is no function %s()", p->place, p->text, name);
out:
    vector_free(&all);
    return status;
}

/* ---------------------------------------------------------------- grammar */

static moe_status parse_call(struct parser *p, const char *name, struct vector *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct vector args[MAX_ARGUMENTS] = {{0}};
    int32_t n = 0;
    do {
        if (n == MAX_ARGUMENTS) moe_try(mistake(p, "too many arguments", err));
        moe_try(parse_comparison(p, &args[n], err));
        n++;
    } while (accept(p, ","));
    if (!accept(p, ")")) moe_try(mistake(p, "expected ')' or ','", err));
    moe_try(call(p, name, args, n, out, err));
out:
    for (int32_t i = 0; i < n; i++)
        vector_free(&args[i]);
    return status;
}

static bool starts_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool in_name(char c) {
    return starts_name(c) || (c >= '0' && c <= '9') || c == '.';
}

/* NAME, NAME[], NAME@EXPERIMENT, NAME@"EXPERIMENT" (the quotes are not part of the name). */
static moe_status read_name(struct parser *p, char name[EXPR_NAME_MAX], moe_err *err) {
    moe_status status = MOE_OK;
    const char *from = p->at;
    size_t length = 0;
    while (in_name(*p->at))
        p->at++;
    if (p->at[0] == '[' && p->at[1] == ']') p->at += 2;
    if (*p->at == '@') p->at++;
    if (p->at[-1] == '@' && *p->at != '"')
        while (in_name(*p->at))
            p->at++;
    length = (size_t)(p->at - from);
    if (*p->at == '"' && p->at[-1] == '@') {
        const char *close = strchr(p->at + 1, '"');
        if (close == NULL) moe_try(mistake(p, "expected '\"' behind the experiment", err));
        const size_t quoted = (size_t)(close - p->at) - 1;
        if (length + quoted >= EXPR_NAME_MAX) moe_try(mistake(p, "the name is too long", err));
        memcpy(name, from, length);
        memcpy(name + length, p->at + 1, quoted);
        name[length + quoted] = '\0';
        p->at = close + 1;
        goto out;
    }
    if (length >= EXPR_NAME_MAX) moe_try(mistake(p, "the name is too long", err));
    memcpy(name, from, length);
    name[length] = '\0';
    if (name[length - 1] == '@') moe_try(mistake(p, "expected an experiment behind '@'", err));
out:
    return status;
}

static moe_status parse_name(struct parser *p, struct vector *out, moe_err *err) {
    moe_status status = MOE_OK;
    char name[EXPR_NAME_MAX];
    moe_err cause = {0};
    moe_try(read_name(p, name, err));
    if (strpbrk(name, "@[") == NULL && accept(p, "(")) {
        status = parse_call(p, name, out, err);
    } else if (p->scope == NULL) {
        if (p->visit != NULL) moe_try(p->visit(p->context, name, err));
        status = vector_number(out, 1.0, err);
    } else {
        status = p->scope->resolve(p->scope->context, name, &out->v, &out->n, &cause);
        moe_check(status == MOE_OK, err, status, "%s: %s", p->place, cause.message);
    }
out:
    return status;
}

static moe_status parse_factor(struct parser *p, struct vector *out, moe_err *err) {
    moe_status status = MOE_OK;
    p->depth++;
    if (p->depth > MAX_DEPTH) moe_try(mistake(p, "nested too deeply", err));
    if (accept(p, "-")) {
        moe_try(parse_factor(p, out, err));
        for (int32_t i = 0; i < out->n; i++)
            out->v[i] = -out->v[i];
    } else if (accept(p, "(")) {
        moe_try(parse_comparison(p, out, err));
        if (!accept(p, ")")) moe_try(mistake(p, "expected ')'", err));
    } else if (starts_name(*p->at)) {
        moe_try(parse_name(p, out, err));
    } else if ((*p->at >= '0' && *p->at <= '9') || *p->at == '.') {
        char *end = NULL;
        const double value = strtod(p->at, &end);
        if (end == p->at || !isfinite(value)) moe_try(mistake(p, "expected a number", err));
        p->at = end;
        moe_try(vector_number(out, value, err));
    } else {
        moe_try(mistake(p, "expected a number, a name or '('", err));
    }
out:
    p->depth--;
    return status;
}

static double apply(char operator, double a, double b) {
    switch (operator) {
    case '+':
        return a + b;
    case '-':
        return a - b;
    case '*':
        return a * b;
    case '/':
        return a / b;
    case '<':
        return a < b;
    case '>':
        return a > b;
    case 'l':
        return a <= b;
    default:
        return a >= b;
    }
}

/* left = left OPERATOR right, element by element; right is used up. */
static moe_status combine(const struct parser *p, char operator, struct vector * left, struct vector *right,
                          moe_err *err) {
    moe_status status = MOE_OK;
    struct vector result = {0};
    moe_check(left->n == right->n || left->n == 1 || right->n == 1, err, MOE_ECONFIG,
              "%s: \"%s\" combines vectors of %d and %d elements", p->place, p->text, left->n, right->n);
    moe_try(vector_new(&result, left->n == 1 ? right->n : left->n, err));
    for (int32_t i = 0; i < result.n; i++)
        result.v[i] = apply(operator, left->v[left->n == 1 ? 0 : i], right->v[right->n == 1 ? 0 : i]);
    vector_free(left);
    *left = result;
out:
    vector_free(right);
    return status;
}

static moe_status parse_term(struct parser *p, struct vector *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct vector right = {0};
    moe_try(parse_factor(p, out, err));
    for (;;) {
        const char operator= accept(p, "*") ? '*' : accept(p, "/") ? '/' : '\0';
        if (operator== '\0') break;
        moe_try(parse_factor(p, &right, err));
        moe_try(combine(p, operator, out, &right, err));
    }
out:
    vector_free(&right);
    return status;
}

static moe_status parse_sum(struct parser *p, struct vector *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct vector right = {0};
    moe_try(parse_term(p, out, err));
    for (;;) {
        const char operator= accept(p, "+") ? '+' : accept(p, "-") ? '-' : '\0';
        if (operator== '\0') break;
        moe_try(parse_term(p, &right, err));
        moe_try(combine(p, operator, out, &right, err));
    }
out:
    vector_free(&right);
    return status;
}

static moe_status parse_comparison(struct parser *p, struct vector *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct vector right = {0};
    moe_try(parse_sum(p, out, err));
    const char operator= accept(p, "<=") ? 'l'
    : accept(p, ">=")                    ? 'g'
    : accept(p, "<")                     ? '<'
    : accept(p, ">")                     ? '>'
                                         : '\0';
    if (operator!= '\0') {
        moe_try(parse_sum(p, &right, err));
        moe_try(combine(p, operator, out, &right, err));
    }
out:
    vector_free(&right);
    return status;
}

static moe_status parse_all(struct parser *p, struct vector *out, moe_err *err) {
    moe_status status = MOE_OK;
    moe_try(parse_comparison(p, out, err));
    skip_space(p);
    if (*p->at != '\0') moe_try(mistake(p, "expected an operator or the end", err));
out:
    if (status != MOE_OK) vector_free(out);
    return status;
}

moe_status expr_evaluate(const char *text, const char *place, const struct expr_scope *scope,
                         double **out_values, int32_t *out_count, moe_err *err) {
    moe_status status = MOE_OK;
    struct parser p = {.text = text, .at = text, .place = place, .scope = scope};
    struct vector value = {0};
    moe_try(parse_all(&p, &value, err));
    *out_values = value.v;
    *out_count = value.n;
out:
    return status;
}

moe_status expr_number(const char *text, const char *place, const struct expr_scope *scope, double *out_value,
                       moe_err *err) {
    moe_status status = MOE_OK;
    double *values = NULL;
    int32_t n = 0;
    moe_try(expr_evaluate(text, place, scope, &values, &n, err));
    moe_check(n == 1, err, MOE_ECONFIG, "%s: \"%s\" gives %d numbers, expected one", place, text, n);
    *out_value = values[0];
out:
    free(values);
    return status;
}

moe_status expr_scan(const char *text, const char *place, expr_visit visit, void *context, moe_err *err) {
    moe_status status = MOE_OK;
    struct parser p = {.text = text, .at = text, .place = place, .visit = visit, .context = context};
    struct vector value = {0};
    moe_try(parse_all(&p, &value, err));
out:
    vector_free(&value);
    return status;
}
