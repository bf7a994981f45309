#include "analysis/claims.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/claims_expr.h"
#include "analysis/claims_members.h"
#include "core/text.h"
#include "core/toml_shim.h"

static const char *const kind_words[CLAIM_KIND_COUNT] = {"measured", "arithmetic", "judgement",
                                                         "recommendation"};

const char *claim_kind_word(enum claim_kind kind) {
    return kind_words[kind];
}

/* A table of the ledger while it is read: what it is called in messages, and where it stands. */
struct table {
    const struct ledger *ledger;
    const json_t *object;
    const char *what; /* "claim A-07" */
    int line;
};

static moe_status complain(const struct table *t, const char *fmt, moe_err *err, ...)
    __attribute__((format(printf, 2, 4)));

static moe_status complain(const struct table *t, const char *fmt, moe_err *err, ...) {
    char text[512];
    va_list args;
    va_start(args, err);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return moe_fail(err, MOE_ECONFIG, "%s:%d: %s: %s", t->ledger->path, t->line, t->what, text);
}

/* Refuses keys that nobody reads: a mistyped `above` would otherwise leave a claim untested. */
static moe_status known_keys(const struct table *t, const char *const *known, size_t count, moe_err *err) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)t->object, key, value) {
        bool found = false;
        for (size_t i = 0; i < count; i++)
            found = found || strcmp(known[i], key) == 0;
        if (found) continue;
        const char *nearest = text_nearest(key, known, count);
        if (nearest == NULL) return complain(t, "no such key: %s", err, key);
        return complain(t, "no such key: %s; did you mean %s?", err, key, nearest);
    }
    return MOE_OK;
}

/* A string; `fallback` if it is missing, an error if fallback is NULL and the key is required. */
static moe_status read_string(const struct table *t, const char *key, bool required, const char *fallback,
                              const char **out, moe_err *err) {
    const json_t *value = json_object_get(t->object, key);
    if (value == NULL && required) return complain(t, "%s is missing", err, key);
    if (value != NULL && !json_is_string(value)) return complain(t, "%s: expected a string", err, key);
    *out = value != NULL ? json_string_value(value) : fallback;
    return MOE_OK;
}

static moe_status string_array(const struct table *t, const char *key, const json_t *value, moe_err *err) {
    for (size_t i = 0; i < json_array_size(value); i++)
        if (!json_is_string(json_array_get(value, i))) return complain(t, "%s: expected strings", err, key);
    if (!json_is_array(value) || json_array_size(value) == 0)
        return complain(t, "%s: expected a list of strings", err, key);
    return MOE_OK;
}

/* A list of words into a fixed array. */
static moe_status read_words(const struct table *t, const char *key, const char *const *known,
                             size_t known_count, const char **out, int32_t capacity, int32_t *out_count,
                             moe_err *err) {
    moe_status status = MOE_OK;
    const json_t *value = json_object_get(t->object, key);
    if (value == NULL) {
        for (size_t i = 0; i < known_count; i++)
            out[i] = known[i];
        *out_count = (int32_t)known_count;
        return MOE_OK;
    }
    moe_try(string_array(t, key, value, err));
    if (json_array_size(value) > (size_t)capacity)
        return complain(t, "%s: more than %d words", err, key, capacity);
    for (size_t i = 0; i < json_array_size(value); i++) {
        const char *word = json_string_value(json_array_get(value, i));
        bool found = false;
        for (size_t k = 0; k < known_count; k++)
            found = found || strcmp(known[k], word) == 0;
        if (!found) return complain(t, "%s: there is no \"%s\"", err, key, word);
        out[(*out_count)++] = word;
    }
out:
    return status;
}

static moe_status read_digits(const struct table *t, int32_t *out, moe_err *err) {
    const json_t *value = json_object_get(t->object, "digits");
    *out = 4;
    if (value == NULL) return MOE_OK;
    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > 9)
        return complain(t, "digits: expected 0 to 9", err);
    *out = (int32_t)json_integer_value(value);
    return MOE_OK;
}

/* ---------------------------------------------------------------- tests */

int32_t claim_test_parts(const struct claim_test *test) {
    const int32_t members = test->every != NULL ? (int32_t)json_array_size(test->every) : 1;
    return members * (int32_t)json_array_size(test->quantity);
}

char *claim_test_text(const struct claim_test *test, const char *text, int32_t part) {
    if (text == NULL) text = "";
    if (test->every == NULL) return strdup(text);
    const size_t member = (size_t)part % json_array_size(test->every);
    return member_fill(text, "{}", json_string_value(json_array_get(test->every, member)));
}

char *claim_test_says(const struct claim_test *test, int32_t part) {
    const char *text = test->says != NULL ? test->says : "";
    if (test->every == NULL) return strdup(text);
    const size_t member = (size_t)part % json_array_size(test->every);
    char *spelled = member_spelled(json_string_value(json_array_get(test->every, member)));
    char *result = spelled != NULL ? member_fill(text, "{}", spelled) : NULL;
    free(spelled);
    return result;
}

char *claim_test_quantity(const struct claim_test *test, int32_t part) {
    const size_t members = test->every != NULL ? json_array_size(test->every) : 1;
    return claim_test_text(test, json_string_value(json_array_get(test->quantity, (size_t)part / members)),
                           part);
}

static moe_status check_expression(const struct table *t, const struct claim_test *test, const char *text,
                                   moe_err *err) {
    moe_status status = MOE_OK;
    char place[512];
    char *filled = NULL;
    if (text == NULL) return MOE_OK;
    snprintf(place, sizeof place, "%s:%d: %s", t->ledger->path, t->line, t->what);
    filled = claim_test_text(test, text, 0);
    moe_check(filled != NULL, err, MOE_ENOMEM, "%s: no memory", place);
    moe_try(expr_scan(filled, place, NULL, NULL, err));
out:
    free(filled);
    return status;
}

static moe_status check_region(const struct table *t, const struct claim_test *test, moe_err *err) {
    moe_status status = MOE_OK;
    const bool middle = test->near != NULL || test->within != NULL;
    if (middle && (test->near == NULL || test->within == NULL || test->above != NULL || test->below != NULL))
        return complain(t, "a region is `above` and/or `below`, or `near` and `within`", err);
    if (!middle && test->above == NULL && test->below == NULL)
        return complain(t, "no region: give `above` and/or `below`, or `near` and `within`", err);
    moe_try(check_expression(t, test, test->above, err));
    moe_try(check_expression(t, test, test->below, err));
    moe_try(check_expression(t, test, test->near, err));
    moe_try(check_expression(t, test, test->within, err));
    for (int32_t part = 0; part < claim_test_parts(test); part++)
        if (test->every == NULL || part % (int32_t)json_array_size(test->every) == 0)
            moe_try(check_expression(
                t, test,
                json_string_value(json_array_get(
                    test->quantity, (size_t)part / (test->every != NULL ? json_array_size(test->every) : 1))),
                err));
out:
    return status;
}

static moe_status read_flag(const struct table *t, const char *key, bool *out, moe_err *err) {
    const json_t *value = json_object_get(t->object, key);
    if (value != NULL && !json_is_boolean(value)) return complain(t, "%s: expected true or false", err, key);
    *out = json_is_true(value);
    return MOE_OK;
}

static moe_status read_test(const struct table *t, bool printed, struct claim_test *test, moe_err *err) {
    moe_status status = MOE_OK;
    static const char *const keys[] = {"quantity", "every", "above", "below", "near",   "within",
                                       "relative", "exact", "says",  "unit",  "digits", "failed"};
    const char *failed = NULL;
    *test = (struct claim_test){.present = true, .line = t->line, .failed = VERDICT_CONTRADICTED};
    if (!json_is_object(t->object)) return complain(t, "expected a table", err);
    moe_try(known_keys(t, keys, sizeof keys / sizeof keys[0], err));
    test->quantity = json_object_get(t->object, "quantity");
    test->every = json_object_get(t->object, "every");
    moe_try(string_array(t, "quantity", test->quantity, err));
    if (test->every != NULL) moe_try(string_array(t, "every", test->every, err));
    moe_try(read_string(t, "above", false, NULL, &test->above, err));
    moe_try(read_string(t, "below", false, NULL, &test->below, err));
    moe_try(read_string(t, "near", false, NULL, &test->near, err));
    moe_try(read_string(t, "within", false, NULL, &test->within, err));
    moe_try(read_string(t, "says", true, NULL, &test->says, err));
    moe_try(read_string(t, "unit", false, "", &test->unit, err));
    moe_try(read_string(t, "failed", false, "impossible", &failed, err));
    moe_try(read_flag(t, "relative", &test->relative, err));
    moe_try(read_flag(t, "exact", &test->exact, err));
    moe_try(read_digits(t, &test->digits, err));
    if (printed) {
        const bool impossible = strcmp(failed, "impossible") == 0;
        if (!impossible && strcmp(failed, "contradicted") != 0)
            return complain(t, "failed: expected \"impossible\" or \"contradicted\"", err);
        test->failed = impossible ? VERDICT_IMPOSSIBLE : VERDICT_CONTRADICTED;
    }
    moe_try(check_region(t, test, err));
out:
    return status;
}

/* ---------------------------------------------------------------- claims */

static moe_status read_kind(const struct table *t, enum claim_kind *out, moe_err *err) {
    const char *word = NULL;
    const moe_status status = read_string(t, "kind", true, NULL, &word, err);
    if (status != MOE_OK) return status;
    for (int i = 0; i < CLAIM_KIND_COUNT; i++) {
        *out = (enum claim_kind)i;
        if (strcmp(kind_words[i], word) == 0) return MOE_OK;
    }
    return complain(t, "kind: expected measured, arithmetic, judgement or recommendation", err);
}

static moe_status read_claim(struct table *t, struct claim *claim, moe_err *err) {
    moe_status status = MOE_OK;
    static const char *const keys[] = {"id",   "place",    "statement", "kind",  "note",    "printed",
                                       "runs", "untested", "protocols", "tiers", "presumes"};
    static const char *const protocols[] = {"as-published", "corrected"};
    static const char *const tiers[] = {"smoke", "desk", "gpu", "full"};
    char what[160];
    *claim = (struct claim){.line = t->line};
    moe_try(read_string(t, "id", true, NULL, &claim->id, err));
    snprintf(what, sizeof what, "claim %s", claim->id);
    t->what = what;
    moe_try(known_keys(t, keys, sizeof keys / sizeof keys[0], err));
    moe_try(read_string(t, "place", true, NULL, &claim->place, err));
    moe_try(read_string(t, "statement", true, NULL, &claim->statement, err));
    moe_try(read_string(t, "note", false, "", &claim->note, err));
    moe_try(read_string(t, "untested", false, NULL, &claim->untested, err));
    moe_try(read_kind(t, &claim->kind, err));
    moe_try(read_words(t, "protocols", protocols, 2, claim->protocols, CLAIM_MAX_PROTOCOLS,
                       &claim->protocol_count, err));
    moe_try(read_words(t, "tiers", tiers, 4, claim->tiers, CLAIM_MAX_TIERS, &claim->tier_count, err));
    claim->presumes = json_object_get(t->object, "presumes");
    if (claim->presumes != NULL) moe_try(string_array(t, "presumes", claim->presumes, err));
    const json_t *claim_table = t->object;
    t->object = json_object_get(claim_table, "printed");
    if (t->object != NULL) moe_try(read_test(t, true, &claim->printed, err));
    t->object = json_object_get(claim_table, "runs");
    if (t->object != NULL) moe_try(read_test(t, false, &claim->runs, err));
    if (!claim->runs.present && claim->untested == NULL) {
        if (!claim->printed.present)
            moe_try(complain(
                t, "none of `printed`, `runs`, `untested`: say what decides it, or why nothing can", err));
        claim->protocol_count = 0;
    }
    if (claim->runs.present && claim->untested != NULL)
        moe_try(complain(t, "both `runs` and `untested`", err));
out:
    t->what = "claim";
    return status;
}

/* ---------------------------------------------------------------- presumptions */

static bool is_judged_in(const struct claim *claim, const char *setting) {
    bool judged = claim->printed.present && strcmp(setting, "printed") == 0;
    for (int32_t i = 0; i < claim->protocol_count; i++)
        judged = judged || strcmp(claim->protocols[i], setting) == 0;
    return judged;
}

moe_status claim_presumed(const struct ledger *ledger, const struct claim *claim, int32_t index,
                          const char *setting, const struct claim **out_presumed, const char **out_setting,
                          moe_err *err) {
    moe_status status = MOE_OK;
    char id[128];
    moe_err cause = {0};
    const char *entry = json_string_value(json_array_get(claim->presumes, (size_t)index));
    *out_presumed = NULL;
    if (entry == NULL) return MOE_OK;
    const char *colon = strchr(entry, ':');
    snprintf(id, sizeof id, "%.*s", (int)strcspn(entry, ":"), entry);
    *out_setting = colon != NULL ? colon + 1 : setting;
    moe_check(ledger_find(ledger, id, out_presumed, &cause) == MOE_OK, err, MOE_ECONFIG,
              "%s:%d: claim %s: presumes: %s", ledger->path, claim->line, claim->id, cause.message);
    moe_check(*out_presumed < claim, err, MOE_ECONFIG,
              "%s:%d: claim %s: presumes: %s does not stand before it", ledger->path, claim->line, claim->id,
              (*out_presumed)->id);
    moe_check(is_judged_in(*out_presumed, *out_setting), err, MOE_ECONFIG,
              "%s:%d: claim %s: presumes: %s is not judged under \"%s\"", ledger->path, claim->line,
              claim->id, (*out_presumed)->id, *out_setting);
out:
    return status;
}

/* Every presumption of every claim, in every setting that runs judge. */
static moe_status check_presumptions(const struct ledger *ledger, moe_err *err) {
    moe_status status = MOE_OK;
    const struct claim *presumed = NULL;
    const char *setting = NULL;
    for (int32_t i = 0; i < ledger->count; i++) {
        const struct claim *claim = &ledger->claims[i];
        moe_check(claim->presumes == NULL || claim->runs.present, err, MOE_ECONFIG,
                  "%s:%d: claim %s: presumes: only of use to a claim with `runs`", ledger->path, claim->line,
                  claim->id);
        for (int32_t k = 0; k < (int32_t)json_array_size(claim->presumes); k++)
            for (int32_t p = 0; p < claim->protocol_count; p++)
                moe_try(claim_presumed(ledger, claim, k, claim->protocols[p], &presumed, &setting, err));
    }
out:
    return status;
}

/* ---------------------------------------------------------------- expansion of `each` */

/* Appends the claims that an entry of the file stands for. */
static moe_status expand(struct ledger *ledger, const json_t *entry, int line, moe_err *err) {
    moe_status status = MOE_OK;
    const struct table t = {ledger, entry, "claim", line};
    const json_t *each = json_object_get(entry, "each");
    json_t *copy = NULL;
    char id[128];
    if (!json_is_object(entry)) return complain(&t, "expected a table", err);
    if (each != NULL) moe_try(string_array(&t, "each", each, err));
    for (size_t i = 0; i < (each != NULL ? json_array_size(each) : 1); i++) {
        const char *with = each != NULL ? json_string_value(json_array_get(each, i)) : "";
        copy = each != NULL ? member_substitute(entry, with) : json_deep_copy(entry);
        moe_check(copy != NULL, err, MOE_ENOMEM, "%s: no memory", ledger->path);
        if (each != NULL) {
            const char *stem = json_string_value(json_object_get(copy, "id"));
            snprintf(id, sizeof id, "%s.%s", stem != NULL ? stem : "", with);
            json_object_del(copy, "each");
            if (stem != NULL) json_object_set_new(copy, "id", json_string(id));
        }
        json_object_set_new(copy, "line", json_integer(line));
        json_array_append_new(ledger->expanded, copy);
        copy = NULL;
    }
out:
    json_decref(copy);
    return status;
}

static moe_status read_claims(struct ledger *ledger, const json_t *lines, moe_err *err) {
    moe_status status = MOE_OK;
    const json_t *entries = json_object_get(ledger->root, "claim");
    moe_check(json_is_array(entries) && json_array_size(entries) > 0, err, MOE_ECONFIG, "%s:1: no [[claim]]",
              ledger->path);
    ledger->expanded = json_array();
    for (size_t i = 0; i < json_array_size(entries); i++) {
        char name[64];
        snprintf(name, sizeof name, "claim[%zu].id", i);
        int line = toml_line(lines, name);
        snprintf(name, sizeof name, "claim[%zu]", i);
        if (line == 0) line = toml_line(lines, name);
        moe_try(expand(ledger, json_array_get(entries, i), line, err));
    }
    const size_t count = json_array_size(ledger->expanded);
    ledger->claims = calloc(count, sizeof *ledger->claims);
    moe_check(ledger->claims != NULL, err, MOE_ENOMEM, "%s: no memory for %zu claims", ledger->path, count);
    for (size_t i = 0; i < count; i++) {
        json_t *object = json_array_get(ledger->expanded, i);
        struct table t = {ledger, object, "claim", (int)json_integer_value(json_object_get(object, "line"))};
        json_object_del(object, "line");
        moe_try(read_claim(&t, &ledger->claims[i], err));
        for (size_t k = 0; k < i; k++)
            moe_check(strcmp(ledger->claims[k].id, ledger->claims[i].id) != 0, err, MOE_ECONFIG,
                      "%s:%d: claim %s is there already, at line %d", ledger->path, t.line,
                      ledger->claims[i].id, ledger->claims[k].line);
        ledger->count++;
    }
out:
    return status;
}

moe_status ledger_open(const char *paper_dir, const char *source, struct ledger **out_ledger, moe_err *err) {
    moe_status status = MOE_OK;
    json_t *lines = NULL;
    struct text path = {0};
    static const char *const keys[] = {"source", "suite", "document", "claim"};
    struct ledger *ledger = calloc(1, sizeof *ledger);
    moe_check(ledger != NULL, err, MOE_ENOMEM, "cannot allocate a ledger");
    text_append(&path, "%s/claims/%s.toml", paper_dir, source);
    moe_try(text_take(&path, &ledger->path, err));
    moe_try(toml_parse_file(ledger->path, &ledger->root, &lines, err));
    const struct table t = {ledger, ledger->root, "ledger", 1};
    moe_try(known_keys(&t, keys, sizeof keys / sizeof keys[0], err));
    moe_try(read_string(&t, "source", true, NULL, &ledger->source, err));
    moe_try(read_string(&t, "suite", true, NULL, &ledger->suite, err));
    moe_try(read_string(&t, "document", true, NULL, &ledger->document, err));
    moe_try(read_claims(ledger, lines, err));
    moe_try(check_presumptions(ledger, err));
    *out_ledger = ledger;
    ledger = NULL;
out:
    text_free(&path);
    json_decref(lines);
    ledger_close(ledger);
    return status;
}

void ledger_close(struct ledger *ledger) {
    if (ledger == NULL) return;
    free(ledger->claims);
    json_decref(ledger->expanded);
    json_decref(ledger->root);
    free(ledger->path);
    free(ledger);
}

moe_status ledger_find(const struct ledger *ledger, const char *id, const struct claim **out_claim,
                       moe_err *err) {
    const size_t length = strlen(id);
    const struct claim *found = NULL;
    int32_t fitting = 0;
    for (int32_t i = 0; i < ledger->count; i++) {
        const struct claim *claim = &ledger->claims[i];
        if (strncmp(claim->id, id, length) != 0) continue;
        const char next = claim->id[length];
        if (next == '\0') {
            *out_claim = claim;
            return MOE_OK;
        }
        if (next != '-' && next != '.') continue;
        found = claim;
        fitting++;
    }
    *out_claim = found;
    if (fitting == 1) return MOE_OK;
    if (fitting > 1)
        return moe_fail(err, MOE_EARG, "%s: %d claims start with %s; give the whole id", ledger->path,
                        fitting, id);
    const char **names = calloc((size_t)ledger->count + 1, sizeof *names);
    const char *nearest = NULL;
    for (int32_t i = 0; names != NULL && i < ledger->count; i++)
        names[i] = ledger->claims[i].id;
    if (names != NULL) nearest = text_nearest(id, names, (size_t)ledger->count);
    free(names);
    return moe_fail(err, MOE_ENOTFOUND, "%s: no claim %s%s%s", ledger->path, id,
                    nearest != NULL ? "; the nearest is " : "", nearest != NULL ? nearest : "");
}
