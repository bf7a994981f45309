#include "analysis/claims_expr.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/claims_functions.h"

#define MAX_DEPTH     64 /* parentheses and signs inside each other */
#define MAX_ARGUMENTS 32

struct parser {
    const char *text, *at, *place;
    const struct expr_scope *scope; /* NULL: the grammar alone */
    expr_visit visit;
    void *context;
    int depth;
};

static moe_status parse_comparison(struct parser *p, struct expr_vector *out, moe_err *err);

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

/* ---------------------------------------------------------------- grammar */

static moe_status parse_call(struct parser *p, const char *name, struct expr_vector *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct expr_vector args[MAX_ARGUMENTS] = {{0}};
    int32_t n = 0;
    moe_err cause = {0};
    do {
        if (n == MAX_ARGUMENTS) moe_try(mistake(p, "too many arguments", err));
        moe_try(parse_comparison(p, &args[n], err));
        n++;
    } while (accept(p, ","));
    if (!accept(p, ")")) moe_try(mistake(p, "expected ')' or ','", err));
    status = expr_call(name, args, n, p->scope == NULL, out, &cause);
    moe_check(status == MOE_OK, err, status, "%s: \"%s\": %s", p->place, p->text, cause.message);
out:
    for (int32_t i = 0; i < n; i++)
        expr_vector_free(&args[i]);
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

static moe_status parse_name(struct parser *p, struct expr_vector *out, moe_err *err) {
    moe_status status = MOE_OK;
    char name[EXPR_NAME_MAX];
    moe_err cause = {0};
    moe_try(read_name(p, name, err));
    if (strpbrk(name, "@[") == NULL && accept(p, "(")) {
        status = parse_call(p, name, out, err);
    } else if (p->scope == NULL) {
        if (p->visit != NULL) moe_try(p->visit(p->context, name, err));
        status = expr_vector_number(out, 1.0, err);
    } else {
        status = p->scope->resolve(p->scope->context, name, &out->v, &out->n, &cause);
        moe_check(status == MOE_OK, err, status, "%s: %s", p->place, cause.message);
    }
out:
    return status;
}

static moe_status parse_factor(struct parser *p, struct expr_vector *out, moe_err *err) {
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
        moe_try(expr_vector_number(out, value, err));
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
static moe_status combine(const struct parser *p, char operator, struct expr_vector * left,
                          struct expr_vector *right, moe_err *err) {
    moe_status status = MOE_OK;
    struct expr_vector result = {0};
    moe_check(left->n == right->n || left->n == 1 || right->n == 1, err, MOE_ECONFIG,
              "%s: \"%s\" combines vectors of %d and %d elements", p->place, p->text, left->n, right->n);
    moe_try(expr_vector_new(&result, left->n == 1 ? right->n : left->n, err));
    for (int32_t i = 0; i < result.n; i++)
        result.v[i] = apply(operator, left->v[left->n == 1 ? 0 : i], right->v[right->n == 1 ? 0 : i]);
    expr_vector_free(left);
    *left = result;
out:
    expr_vector_free(right);
    return status;
}

static moe_status parse_term(struct parser *p, struct expr_vector *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct expr_vector right = {0};
    moe_try(parse_factor(p, out, err));
    for (;;) {
        const char operator= accept(p, "*") ? '*' : accept(p, "/") ? '/' : '\0';
        if (operator== '\0') break;
        moe_try(parse_factor(p, &right, err));
        moe_try(combine(p, operator, out, &right, err));
    }
out:
    expr_vector_free(&right);
    return status;
}

static moe_status parse_sum(struct parser *p, struct expr_vector *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct expr_vector right = {0};
    moe_try(parse_term(p, out, err));
    for (;;) {
        const char operator= accept(p, "+") ? '+' : accept(p, "-") ? '-' : '\0';
        if (operator== '\0') break;
        moe_try(parse_term(p, &right, err));
        moe_try(combine(p, operator, out, &right, err));
    }
out:
    expr_vector_free(&right);
    return status;
}

static moe_status parse_comparison(struct parser *p, struct expr_vector *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct expr_vector right = {0};
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
    expr_vector_free(&right);
    return status;
}

static moe_status parse_all(struct parser *p, struct expr_vector *out, moe_err *err) {
    moe_status status = MOE_OK;
    moe_try(parse_comparison(p, out, err));
    skip_space(p);
    if (*p->at != '\0') moe_try(mistake(p, "expected an operator or the end", err));
out:
    if (status != MOE_OK) expr_vector_free(out);
    return status;
}

moe_status expr_evaluate(const char *text, const char *place, const struct expr_scope *scope,
                         double **out_values, int32_t *out_count, moe_err *err) {
    moe_status status = MOE_OK;
    struct parser p = {.text = text, .at = text, .place = place, .scope = scope};
    struct expr_vector value = {0};
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
    struct expr_vector value = {0};
    moe_try(parse_all(&p, &value, err));
out:
    expr_vector_free(&value);
    return status;
}
