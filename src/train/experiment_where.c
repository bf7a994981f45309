#include "train/experiment_where.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config_internal.h"
#include "train/experiment_grammar.h"

#define DEPTH_MAX 64 /* parentheses and signs inside each other */
#define WORD_MAX  128
#define NAMES_MAX 64
#define TOLERANCE 1e-9

/* A value: text, or a number if text is NULL. */
struct value {
    const char *text;
    size_t length;
    double number;
};

struct parser {
    const char *all, *at, *place;
    const struct where_scope *scope;
    int depth;
};

bool where_value_number(const json_t *value, double *out) {
    if (json_is_boolean(value)) {
        *out = json_is_true(value);
        return true;
    }
    if (json_is_number(value)) {
        *out = json_number_value(value);
        return true;
    }
    const char *text = json_string_value(value);
    if (text == NULL || !isdigit((unsigned char)text[0])) return false;
    char *end = NULL;
    const unsigned long above = strtoul(text, &end, 10);
    if (*end != '/' || !isdigit((unsigned char)end[1])) return false;
    const unsigned long below = strtoul(end + 1, &end, 10);
    if (*end != 0 || below == 0) return false;
    *out = (double)above / (double)below;
    return true;
}

static moe_status mistake(const struct parser *p, const char *what, moe_err *err) {
    if (*p->at == 0)
        return moe_fail(err, MOE_ECONFIG, "%s: \"%.200s\" ends early: %s", p->place, p->all, what);
    return moe_fail(err, MOE_ECONFIG, "%s: \"%.200s\", at \"%.24s\": %s", p->place, p->all, p->at, what);
}

static void skip_space(struct parser *p) {
    while (*p->at == ' ' || *p->at == '\t' || *p->at == '\n')
        p->at++;
}

static bool accept(struct parser *p, const char *sign) {
    skip_space(p);
    const size_t length = strlen(sign);
    if (strncmp(p->at, sign, length) != 0) return false;
    p->at += length;
    return true;
}

static size_t word_length(const char *at) {
    size_t n = 0;
    if (!isalpha((unsigned char)at[0]) && at[0] != '_') return 0;
    while (isalnum((unsigned char)at[n]) || at[n] == '_' || at[n] == '.')
        n++;
    return n;
}

static bool accept_word(struct parser *p, const char *word) {
    skip_space(p);
    const size_t length = word_length(p->at);
    if (length != strlen(word) || strncmp(p->at, word, length) != 0) return false;
    p->at += length;
    return true;
}

static struct value number(double x) {
    return (struct value){NULL, 0, x};
}

static moe_status need_number(const struct parser *p, const struct value *v, moe_err *err) {
    if (v->text == NULL) return MOE_OK;
    return moe_fail(err, MOE_ECONFIG, "%s: \"%.200s\": '%.*s' is text, where a number is needed", p->place,
                    p->all, (int)v->length, v->text);
}

static bool near(double a, double b) {
    return a == b || fabs(a - b) <= TOLERANCE * fmax(fabs(a), fabs(b));
}

static moe_status unknown_name(const struct parser *p, const char *name, moe_err *err) {
    const char *known[NAMES_MAX], *key;
    size_t count = 0;
    json_t *leaf;
    char place[1024];
    known[count++] = "protocol";
    known[count++] = "tier";
    json_object_foreach((json_t *)p->scope->axes, key, leaf) {
        if (count < NAMES_MAX) known[count++] = key;
    }
    snprintf(place, sizeof place, "%.700s: \"%.200s\"", p->place, p->all);
    return config_unknown(MOE_ECONFIG, "axis", name, known, count, place, err);
}

static moe_status read_name(struct parser *p, struct value *out, moe_err *err) {
    moe_status status = MOE_OK;
    char name[WORD_MAX];
    const size_t length = word_length(p->at);
    moe_check(length < sizeof name, err, MOE_ECONFIG, "%s: \"%.200s\": a name is too long", p->place, p->all);
    snprintf(name, sizeof name, "%.*s", (int)length, p->at);
    const json_t *leaf = json_object_get(p->scope->axes, name);
    const char *text = strcmp(name, "protocol") == 0 ? p->scope->protocol
                       : strcmp(name, "tier") == 0   ? p->scope->tier
                                                     : json_string_value(leaf_value(leaf));
    *out = number(0);
    if (!where_value_number(leaf_value(leaf), &out->number)) {
        if (text == NULL) return unknown_name(p, name, err);
        *out = (struct value){text, strlen(text), 0};
    }
    p->at += length;
out:
    return status;
}

static moe_status read_or(struct parser *p, struct value *out, moe_err *err);

/* What stands in parentheses, the first of which is read. */
static moe_status read_inside(struct parser *p, struct value *out, moe_err *err) {
    moe_status status = MOE_OK;
    moe_try(read_or(p, out, err));
    if (!accept(p, ")")) status = mistake(p, "expected ')'", err);
out:
    return status;
}

static moe_status read_text(struct parser *p, struct value *out, moe_err *err) {
    const char quote[] = {*p->at, 0};
    const char *first = p->at + 1, *end = strchr(first, quote[0]);
    if (end == NULL) return mistake(p, "the text has no end", err);
    *out = (struct value){first, (size_t)(end - first), 0};
    p->at = end + 1;
    return MOE_OK;
}

static moe_status read_sign(struct parser *p, struct value *out, moe_err *err) {
    moe_status status = MOE_OK;
    moe_check(++p->depth <= DEPTH_MAX, err, MOE_ECONFIG, "%s: \"%.200s\": more than %d levels", p->place,
              p->all, DEPTH_MAX);
    if (accept(p, "-")) {
        moe_try(read_sign(p, out, err));
        moe_try(need_number(p, out, err));
        out->number = -out->number;
    } else if (accept(p, "(")) {
        moe_try(read_inside(p, out, err));
    } else if (accept_word(p, "integer")) {
        if (!accept(p, "(")) return mistake(p, "expected '(' behind integer", err);
        moe_try(read_inside(p, out, err));
        moe_try(need_number(p, out, err));
        *out = number(isfinite(out->number) && near(out->number, round(out->number)));
    } else if (isdigit((unsigned char)*p->at)) { /* no sign, and neither Inf nor NaN */
        char *end = NULL;
        *out = number(strtod(p->at, &end));
        p->at = end;
    } else if (*p->at == '\'' || *p->at == '"') {
        moe_try(read_text(p, out, err));
    } else if (word_length(p->at) > 0) {
        moe_try(read_name(p, out, err));
    } else {
        status = mistake(p, "expected a number, a text, an axis, integer(...) or '('", err);
    }
    p->depth--;
out:
    return status;
}

/* sum and product: numbers only, from the left. */
static moe_status read_product(struct parser *p, struct value *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct value right;
    moe_try(read_sign(p, out, err));
    for (;;) {
        const char sign = accept(p, "*") ? '*' : accept(p, "/") ? '/' : accept(p, "%") ? '%' : 0;
        if (sign == 0) break;
        moe_try(read_sign(p, &right, err));
        moe_try(need_number(p, out, err));
        moe_try(need_number(p, &right, err));
        const double a = out->number, b = right.number;
        out->number = sign == '*' ? a * b : sign == '/' ? a / b : fmod(a, b);
    }
out:
    return status;
}

static moe_status read_sum(struct parser *p, struct value *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct value right;
    moe_try(read_product(p, out, err));
    for (;;) {
        const char sign = accept(p, "+") ? '+' : accept(p, "-") ? '-' : 0;
        if (sign == 0) break;
        moe_try(read_product(p, &right, err));
        moe_try(need_number(p, out, err));
        moe_try(need_number(p, &right, err));
        out->number += sign == '+' ? right.number : -right.number;
    }
out:
    return status;
}

static bool same(const struct value *a, const struct value *b) {
    if (a->text == NULL && b->text == NULL) return near(a->number, b->number);
    return a->text != NULL && b->text != NULL && a->length == b->length &&
           memcmp(a->text, b->text, a->length) == 0;
}

static moe_status read_compare(struct parser *p, struct value *out, moe_err *err) {
    moe_status status = MOE_OK;
    static const char *const signs[] = {"==", "!=", "<=", ">=", "<", ">"};
    struct value right;
    size_t sign = 0;
    moe_try(read_sum(p, out, err));
    while (sign < 6 && !accept(p, signs[sign]))
        sign++;
    if (sign == 6) goto out;
    moe_try(read_sum(p, &right, err));
    const bool equal = same(out, &right);
    if (sign < 2) {
        *out = number(equal == (sign == 0));
        goto out;
    }
    moe_try(need_number(p, out, err));
    moe_try(need_number(p, &right, err));
    const bool less = signs[sign][0] == '<';
    const bool beyond = less ? out->number < right.number : out->number > right.number;
    *out = number(signs[sign][1] == '=' ? equal || beyond : !equal && beyond);
out:
    return status;
}

static moe_status read_not(struct parser *p, struct value *out, moe_err *err) {
    moe_status status = MOE_OK;
    int negations = 0;
    while (accept_word(p, "not"))
        negations++;
    moe_try(read_compare(p, out, err));
    if (negations > 0) {
        moe_try(need_number(p, out, err));
        *out = number((out->number != 0) == (negations % 2 == 0));
    }
out:
    return status;
}

static moe_status read_and(struct parser *p, struct value *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct value right;
    moe_try(read_not(p, out, err));
    while (accept_word(p, "and")) {
        moe_try(read_not(p, &right, err));
        moe_try(need_number(p, out, err));
        moe_try(need_number(p, &right, err));
        *out = number(out->number != 0 && right.number != 0);
    }
out:
    return status;
}

static moe_status read_or(struct parser *p, struct value *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct value right;
    moe_try(read_and(p, out, err));
    while (accept_word(p, "or")) {
        moe_try(read_and(p, &right, err));
        moe_try(need_number(p, out, err));
        moe_try(need_number(p, &right, err));
        *out = number(out->number != 0 || right.number != 0);
    }
out:
    return status;
}

moe_status where_number(const char *expression, const char *place, const struct where_scope *scope,
                        double *out_number, moe_err *err) {
    moe_status status = MOE_OK;
    struct parser p = {.all = expression, .at = expression, .place = place, .scope = scope};
    struct value value = number(0);
    moe_try(read_or(&p, &value, err));
    skip_space(&p);
    if (*p.at != 0) return mistake(&p, "expected an operator or the end", err);
    moe_try(need_number(&p, &value, err));
    *out_number = value.number;
out:
    return status;
}
