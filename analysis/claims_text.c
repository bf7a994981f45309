#include "analysis/claims_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/plot_axis.h"

void claim_append_number(struct text *t, double value, int32_t digits) {
    char number[64];
    if (!isfinite(value)) {
        text_append(t, "%s", isnan(value) ? "-" : value > 0.0 ? "infinity" : "\xe2\x88\x92infinity");
        return;
    }
    axis_format(number, sizeof number, value, digits);
    text_append(t, "%s", number);
}

void claim_append_p(struct text *t, double p) {
    if (isnan(p)) return;
    if (p < 0.001) {
        text_append(t, "p < 0.001");
    } else {
        text_append(t, "p = ");
        claim_append_number(t, p, p < 0.1 ? 3 : 2);
    }
}

static void append_unit(struct text *t, const struct claim_test *test) {
    if (test->unit[0] != '\0') text_append(t, " %s", test->unit);
}

/* An end of a region: with the digits of the test, but plain when it is a whole number. */
static void append_end(struct text *t, double value, int32_t digits) {
    claim_append_number(t, value, value == floor(value) ? 0 : digits);
}

static void append_region(struct text *t, const struct claim_result *r) {
    const struct verdict_region *region = &r->part.region;
    const int32_t digits = r->test->digits;
    if (region->low == region->high) {
        text_append(t, "exactly ");
        append_end(t, region->low, digits);
    } else if (isfinite(region->low) && isfinite(region->high)) {
        text_append(t, "between ");
        append_end(t, region->low, digits);
        text_append(t, " and ");
        append_end(t, region->high, digits);
    } else {
        text_append(t, isfinite(region->low) ? "more than " : "less than ");
        append_end(t, isfinite(region->low) ? region->low : region->high, digits);
    }
}

static void append_interval(struct text *t, const struct claim_result *r, const char *between) {
    claim_append_number(t, r->part.estimate.low, r->test->digits);
    text_append(t, "%s", between);
    claim_append_number(t, r->part.estimate.high, r->test->digits);
}

/* What makes the verdict, in words. */
static const char *consequence(const struct claim_result *r) {
    const struct verdict_part *part = &r->part;
    if (r->verdict == VERDICT_REPRODUCED)
        return r->parts > 1    ? "all comparisons hold, this one by the least"
               : part->certain ? "it is"
                               : "all of it is";
    if (r->verdict == VERDICT_IMPOSSIBLE) return "the printed numbers exclude it";
    if (r->verdict == VERDICT_CONTRADICTED) return part->certain ? "it is not" : "none of it is";
    if (part->estimate.n < VERDICT_MIN_SEEDS) return "too few seeds for a verdict";
    if (isnan(part->estimate.value)) return "it is not defined for every seed";
    if (part->verdict == VERDICT_CONTRADICTED)
        return "none of it is, but some of it would be at the level that the number of comparisons asks for";
    return "the interval reaches across";
}

moe_status claim_reason(const struct claim_result *r, char **out_text, moe_err *err) {
    struct text t = {0};
    const struct verdict_part *part = &r->part;
    text_append(&t, "%s: ", r->says);
    if (part->certain && part->estimate.low < part->estimate.high) {
        append_interval(&t, r, " to ");
    } else {
        claim_append_number(&t, part->estimate.value, r->test->digits);
    }
    append_unit(&t, r->test);
    if (!part->certain) {
        text_append(&t, " (");
        if (isfinite(part->estimate.low)) {
            text_append(&t, "95 %% interval ");
            append_interval(&t, r, " to ");
            text_append(&t, ", ");
        }
        text_append(&t, "%d seed%s", r->seeds, r->seeds == 1 ? "" : "s");
        if (!isnan(part->p)) text_append(&t, ", ");
        claim_append_p(&t, part->p);
        text_append(&t, ")");
    }
    text_append(&t, "; the claim needs ");
    append_region(&t, r);
    text_append(&t, ": %s.", consequence(r));
    if (r->parts > 1)
        text_append(&t, " %d of %d comparisons hold by themselves.", r->parts_that_hold, r->parts);
    return text_take(&t, out_text, err);
}

moe_status claim_effect(const struct claim_result *r, char **out_text, moe_err *err) {
    struct text t = {0};
    if (r->test != NULL) {
        claim_append_number(&t, r->part.estimate.value, r->test->digits);
        if (!r->part.certain && isfinite(r->part.estimate.low)) {
            text_append(&t, " [");
            append_interval(&t, r, ", ");
            text_append(&t, "]");
        }
    }
    return text_take(&t, out_text, err);
}

/* ---------------------------------------------------------------- listings */

static bool wanted(const struct claim_result *r, const char *protocol) {
    return protocol == NULL || strcmp(r->setting, protocol) == 0 || strcmp(r->setting, "printed") == 0;
}

/* "28 reproduced, 9 contradicted, ..." over the results that are wanted. */
static void append_counts(struct text *t, const struct claim_results *all, const char *setting) {
    const char *between = "";
    for (int v = 0; v < VERDICT_COUNT; v++) {
        const int32_t n = claims_count(all, setting, (enum verdict)v);
        if (n == 0) continue;
        text_append(t, "%s%d %s", between, n, verdict_word((enum verdict)v));
        between = ", ";
    }
    text_append(t, "\n");
}

moe_status claims_print(const struct claim_results *all, const char *protocol, struct text *out,
                        moe_err *err) {
    static const char *const settings[] = {"printed", "as-published", "corrected"};
    const struct run_list *runs = all->names.report->runs;
    (void)err;
    text_append(out, "Source %s: %s\n%d claims; %d runs, tier %s, below %s\n\n", all->ledger->source,
                all->ledger->document, all->ledger->count, run_list_count(runs), run_list_tier(runs),
                run_list_roots(runs));
    for (size_t i = 0; i < 3; i++) {
        if (i > 0 && protocol != NULL && strcmp(protocol, settings[i]) != 0) continue;
        text_append(out, "  %-13s ", settings[i]);
        append_counts(out, all, settings[i]);
    }
    text_append(out, "\n");
    const struct claim *claim = NULL;
    for (int32_t i = 0; i < all->count; i++) {
        const struct claim_result *r = &all->results[i];
        if (!wanted(r, protocol)) continue;
        if (r->claim != claim) {
            claim = r->claim;
            text_append(out, "%s  [%s; %s]\n    %s\n", claim->id, claim_kind_word(claim->kind), claim->place,
                        claim->statement);
        }
        text_append(out, "    %-12s %s. %s\n", r->setting, verdict_word(r->verdict), r->reason);
    }
    return MOE_OK;
}

static json_t *number_or_null(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *result_json(const struct claim_result *r) {
    json_t *o = json_pack("{s:s, s:s, s:s}", "setting", r->setting, "verdict", verdict_word(r->verdict),
                          "reason", r->reason);
    if (o == NULL || r->test == NULL) return o;
    json_object_set_new(o, "quantity", json_string(r->says));
    json_object_set_new(o, "unit", json_string(r->test->unit));
    json_object_set_new(o, "effect", number_or_null(r->part.estimate.value));
    json_object_set_new(
        o, "interval",
        json_pack("[o, o]", number_or_null(r->part.estimate.low), number_or_null(r->part.estimate.high)));
    json_object_set_new(
        o, "region",
        json_pack("[o, o]", number_or_null(r->part.region.low), number_or_null(r->part.region.high)));
    json_object_set_new(o, "p", number_or_null(r->part.p));
    json_object_set_new(o, "seeds", json_integer(r->seeds));
    json_object_set_new(o, "parts", json_integer(r->parts));
    json_object_set_new(o, "parts_that_hold", json_integer(r->parts_that_hold));
    return o;
}

moe_status claims_print_json(const struct claim_results *all, const char *protocol, struct text *out,
                             moe_err *err) {
    moe_status status = MOE_OK;
    char *dump = NULL;
    json_t *claims = json_array();
    json_t *root =
        json_pack("{s:s, s:s, s:s, s:O}", "source", all->ledger->source, "document", all->ledger->document,
                  "tier", run_list_tier(all->names.report->runs), "claims", claims);
    json_t *results = NULL;
    const struct claim *claim = NULL;
    moe_check(root != NULL, err, MOE_ENOMEM, "claims: no memory");
    for (int32_t i = 0; i < all->count; i++) {
        const struct claim_result *r = &all->results[i];
        if (!wanted(r, protocol)) continue;
        if (r->claim != claim) {
            claim = r->claim;
            json_t *o =
                json_pack("{s:s, s:s, s:s, s:s, s:[]}", "id", claim->id, "kind", claim_kind_word(claim->kind),
                          "place", claim->place, "statement", claim->statement, "results");
            moe_check(o != NULL, err, MOE_ENOMEM, "claims: no memory");
            if (claim->presumes != NULL) json_object_set(o, "presumes", (json_t *)claim->presumes);
            results = json_object_get(o, "results");
            moe_check(json_array_append_new(claims, o) == 0, err, MOE_ENOMEM, "claims: no memory");
        }
        moe_check(json_array_append_new(results, result_json(r)) == 0, err, MOE_ENOMEM, "claims: no memory");
    }
    dump = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
    moe_check(dump != NULL, err, MOE_ENOMEM, "claims: no memory");
    text_append(out, "%s\n", dump);
out:
    free(dump);
    json_decref(claims);
    json_decref(root);
    return status;
}
