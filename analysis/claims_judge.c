#include "analysis/claims_judge.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/claims_text.h"
#include "core/text.h"

#define MAX_PARTS 64

/* ---------------------------------------------------------------- regions */

static moe_status number_of(const struct claim_names *names, const struct claim_test *test, const char *text,
                            int32_t part, const char *place, double *out, moe_err *err) {
    moe_status status = MOE_OK;
    char *filled = claim_test_text(test, text, part);
    moe_check(filled != NULL, err, MOE_ENOMEM, "%s: no memory", place);
    moe_try(claim_number(names, filled, place, out, err));
    moe_check(isfinite(*out), err, MOE_ENUMERIC, "%s: \"%s\" is not a finite number", place, filled);
out:
    free(filled);
    return status;
}

static moe_status region_of(const struct claim_names *names, const struct claim_test *test, int32_t part,
                            const char *place, struct verdict_region *out, moe_err *err) {
    moe_status status = MOE_OK;
    double middle = 0.0, width = 0.0;
    *out = (struct verdict_region){.low = -INFINITY, .high = INFINITY};
    if (test->near != NULL) {
        moe_try(number_of(names, test, test->near, part, place, &middle, err));
        moe_try(number_of(names, test, test->within, part, place, &width, err));
        if (test->relative) width *= fabs(middle);
        /* the rounding of the sum must not exclude a printed number that lies just on the end */
        const double slack = width > 0.0 ? 1e-12 * (fabs(middle) + width) : 0.0;
        *out = (struct verdict_region){middle - width - slack, middle + width + slack, true};
    }
    if (test->above != NULL) moe_try(number_of(names, test, test->above, part, place, &out->low, err));
    if (test->below != NULL) moe_try(number_of(names, test, test->below, part, place, &out->high, err));
out:
    return status;
}

/* ---------------------------------------------------------------- parts */

/* Judges one part; MOE_ENOTFOUND when runs are missing. */
static moe_status judge_part(const struct claim_names *names, const struct claim_test *test, int32_t part,
                             const char *protocol, const char *place, struct verdict_part *out,
                             moe_err *err) {
    moe_status status = MOE_OK;
    struct claim_sample sample = {0};
    struct verdict_region region;
    double value = 0.0;
    char *quantity = claim_test_quantity(test, part);
    moe_check(quantity != NULL, err, MOE_ENOMEM, "%s: no memory", place);
    moe_try(region_of(names, test, part, place, &region, err));
    if (protocol == NULL) {
        moe_try(claim_number(names, quantity, place, &value, err));
        moe_check(isfinite(value), err, MOE_ENUMERIC, "%s: \"%s\" is not a finite number", place, quantity);
        *out = verdict_of_printed(value, region, test->failed);
    } else {
        moe_try(claim_sample(names, quantity, place, protocol, &sample, err));
        *out = test->exact ? verdict_of_exact(sample.values, sample.n, region)
                           : verdict_of_runs(sample.values, sample.n, claim_test_parts(test), region);
    }
out:
    claim_sample_free(&sample);
    free(quantity);
    return status;
}

static moe_status judge_test(const struct claim_names *names, const struct claim_test *test,
                             const char *protocol, const char *place, struct claim_result *result,
                             moe_err *err) {
    moe_status status = MOE_OK;
    struct verdict_part parts[MAX_PARTS];
    int32_t decisive = 0;
    const int32_t n = claim_test_parts(test);
    moe_check(n <= MAX_PARTS, err, MOE_ECONFIG, "%s: %d parts, at most %d are allowed", place, n, MAX_PARTS);
    for (int32_t i = 0; i < n; i++)
        moe_try(judge_part(names, test, i, protocol, place, &parts[i], err));
    result->test = test;
    result->parts = n;
    result->verdict = verdict_combine(parts, n, &decisive);
    result->part = parts[decisive];
    result->seeds = protocol != NULL ? parts[decisive].estimate.n : 0;
    for (int32_t i = 0; i < n; i++)
        result->parts_that_hold += parts[i].verdict == VERDICT_REPRODUCED;
    result->says = claim_test_says(test, decisive);
    moe_check(result->says != NULL, err, MOE_ENOMEM, "%s: no memory", place);
out:
    return status;
}

/* ---------------------------------------------------------------- claims */

static bool tier_allows(const struct claim *claim, const char *tier) {
    for (int32_t i = 0; i < claim->tier_count; i++)
        if (strcmp(claim->tiers[i], tier) == 0) return true;
    return false;
}

/* The sentence begins with a capital and ends with a full stop. */
static moe_status not_tested(struct claim_result *result, const char *why, moe_err *err) {
    struct text t = {0};
    const size_t length = strlen(why);
    result->verdict = VERDICT_NOT_TESTED;
    text_append(&t, "%s%s", why, length > 0 && why[length - 1] == '.' ? "" : ".");
    if (t.data != NULL && t.data[0] >= 'a' && t.data[0] <= 'z') t.data[0] = (char)(t.data[0] - 'a' + 'A');
    return text_take(&t, &result->reason, err);
}

static moe_status judge_runs(const struct claim_names *names, const struct claim *claim, const char *place,
                             struct claim_result *result, moe_err *err) {
    moe_status status = MOE_OK;
    char why[256];
    moe_err cause = {0};
    const char *tier = run_list_tier(names->report->runs);
    if (claim->untested != NULL) return not_tested(result, claim->untested, err);
    if (!tier_allows(claim, tier)) {
        snprintf(why, sizeof why,
                 "at the %s tier the model and the data are too different from the document's",
                 tier[0] != '\0' ? tier : "missing");
        return not_tested(result, why, err);
    }
    status = judge_test(names, &claim->runs, result->setting, place, result, &cause);
    if (status == MOE_ENOTFOUND && strstr(cause.message, ": no runs of ") != NULL)
        return not_tested(result, strstr(cause.message, "no runs of "), err);
    moe_check(status == MOE_OK, err, status, "%s", cause.message);
out:
    return status;
}

/* A verdict that says nothing unless another claim holds is none where that one does not. Presumed claims
 * stand before, so they are judged. */
static moe_status apply_presumptions(const struct claim_results *all, struct claim_result *result,
                                     moe_err *err) {
    moe_status status = MOE_OK;
    const struct claim *presumed = NULL;
    const char *setting = NULL;
    struct text reason = {0};
    if (result->verdict == VERDICT_NOT_TESTED || result->verdict == VERDICT_INCONCLUSIVE) goto out;
    for (int32_t i = 0;; i++) {
        moe_try(claim_presumed(all->ledger, result->claim, i, result->setting, &presumed, &setting, err));
        if (presumed == NULL) break;
        const struct claim_result *basis = claims_result(all, presumed, setting);
        if (basis->verdict == VERDICT_REPRODUCED) continue;
        text_append(&reason, "%s This decides nothing, because it presumes %s, which is %s (%s).",
                    result->reason, presumed->id, verdict_word(basis->verdict), setting);
        free(result->reason);
        result->reason = NULL;
        result->verdict = VERDICT_INCONCLUSIVE;
        moe_try(text_take(&reason, &result->reason, err));
        break;
    }
out:
    text_free(&reason);
    return status;
}

static moe_status judge_claim(struct claim_results *all, const struct claim *claim, moe_err *err) {
    moe_status status = MOE_OK;
    char place[512];
    snprintf(place, sizeof place, "%s:%d: claim %s", all->ledger->path, claim->line, claim->id);
    const int32_t first = claim->printed.present ? -1 : 0;
    for (int32_t i = first; i < claim->protocol_count; i++) {
        struct claim_result *result = &all->results[all->count++];
        *result = (struct claim_result){.claim = claim, .setting = i < 0 ? "printed" : claim->protocols[i]};
        if (i < 0) {
            moe_try(judge_test(&all->names, &claim->printed, NULL, place, result, err));
        } else {
            moe_try(judge_runs(&all->names, claim, place, result, err));
        }
        all->interval_tests += i >= 0 && result->test != NULL && !result->test->exact;
        if (result->test != NULL) moe_try(claim_reason(result, &result->reason, err));
        moe_try(claim_effect(result, &result->effect, err));
        if (i >= 0) moe_try(apply_presumptions(all, result, err));
    }
out:
    return status;
}

moe_status claims_judge(struct report *report, const char *source, struct claim_results **out_results,
                        moe_err *err) {
    moe_status status = MOE_OK;
    struct claim_results *all = calloc(1, sizeof *all);
    moe_check(all != NULL, err, MOE_ENOMEM, "cannot allocate results");
    moe_try(ledger_open(report->paper_dir, source, &all->ledger, err));
    moe_try(claim_names_open(report, source, all->ledger->suite, &all->names, err));
    all->results = calloc((size_t)all->ledger->count * (CLAIM_MAX_PROTOCOLS + 1), sizeof *all->results);
    moe_check(all->results != NULL, err, MOE_ENOMEM, "cannot allocate results");
    for (int32_t i = 0; i < all->ledger->count; i++)
        moe_try(judge_claim(all, &all->ledger->claims[i], err));
    *out_results = all;
    all = NULL;
out:
    claims_free(all);
    return status;
}

void claims_free(struct claim_results *results) {
    if (results == NULL) return;
    for (int32_t i = 0; i < results->count; i++) {
        free(results->results[i].says);
        free(results->results[i].effect);
        free(results->results[i].reason);
    }
    free(results->results);
    claim_names_close(&results->names);
    ledger_close(results->ledger);
    free(results);
}

const struct claim_result *claims_result(const struct claim_results *results, const struct claim *claim,
                                         const char *setting) {
    for (int32_t i = 0; i < results->count; i++)
        if (results->results[i].claim == claim && strcmp(results->results[i].setting, setting) == 0)
            return &results->results[i];
    return NULL;
}

int32_t claims_count(const struct claim_results *results, const char *setting, enum verdict verdict) {
    int32_t count = 0;
    for (int32_t i = 0; i < results->count; i++)
        count += results->results[i].verdict == verdict &&
                 (setting == NULL || strcmp(results->results[i].setting, setting) == 0);
    return count;
}
