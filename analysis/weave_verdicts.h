/* weave_verdicts.h - verdicts, audit and margins as Markdown. */
#ifndef ANALYSIS_WEAVE_VERDICTS_H
#define ANALYSIS_WEAVE_VERDICTS_H

#include "analysis/claims_judge.h"
#include "core/text.h"

/* The verdict's word; for printed numbers "holds as printed" instead of "reproduced". */
const char *verdict_in_setting(const struct claim_result *result);

/* A table with a row per claim: statement, then verdict and effect as printed, as published, corrected. From
 * the claim `first` to `last` ("" for both: all of them). MOE_ENOTFOUND, place first. */
moe_status verdicts_table(const struct claim_results *all, const char *first, const char *last,
                          const char *place, struct text *out, moe_err *err);

/* Every claim under a heading of its own (level 4, to which the table's ids link): statement, kind, place,
 * note, and the reason of each of its verdicts. */
void verdicts_evidence(const struct claim_results *all, struct text *out);

/* A small table: how many claims came to which verdict in which setting. */
void verdicts_counts(const struct claim_results *all, struct text *out);

/* Every number of the audit, and every margin, as tables. */
moe_status verdicts_audit(const struct claim_results *all, struct text *out, moe_err *err);
moe_status verdicts_margins(const struct claim_results *all, struct text *out, moe_err *err);

/* A fact about the runs or the rules by name: tier, runs, seeds, level, min_seeds, claims, interval_tests,
 * expected_by_chance. MOE_ENOTFOUND, place first. */
moe_status verdicts_fact(const struct claim_results *all, const char *name, const char *place,
                         struct text *out, moe_err *err);

#endif
