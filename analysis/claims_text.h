/* claims_text.h - verdicts in words: the reason of one, and all of them as a listing for people or as JSON.
 */
#ifndef ANALYSIS_CLAIMS_TEXT_H
#define ANALYSIS_CLAIMS_TEXT_H

#include "analysis/claims_judge.h"
#include "core/text.h"

/* A number with `digits` after the point, a real minus sign (U+2212), thousands set apart by commas from
 * 10,000 on; "-" for NaN. */
void claim_append_number(struct text *t, double value, int32_t digits);

/* p as "p = 0.031" or "p < 0.001". Nothing for NaN. */
void claim_append_p(struct text *t, double p);

/* One sentence from the numbers of a result: what was measured, its interval, what the claim needs, what
 * follows. malloc'ed. */
moe_status claim_reason(const struct claim_result *result, char **out_text, moe_err *err);

/* The decisive number with its interval, "" if nothing was tested; malloc'ed. */
moe_status claim_effect(const struct claim_result *result, char **out_text, moe_err *err);

/* What runs entered, counts of verdicts, then claim by claim. protocol NULL: all. */
moe_status claims_print(const struct claim_results *results, const char *protocol, struct text *out,
                        moe_err *err);

/* The same, as one JSON object. */
moe_status claims_print_json(const struct claim_results *results, const char *protocol, struct text *out,
                             moe_err *err);

#endif
