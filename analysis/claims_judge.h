/* claims_judge.h - claims meet runs: a verdict, its numbers, and a sentence made from them. */
#ifndef ANALYSIS_CLAIMS_JUDGE_H
#define ANALYSIS_CLAIMS_JUDGE_H

#include "analysis/claims.h"
#include "analysis/claims_names.h"

/* One way of judging a claim. */
struct claim_result {
    const struct claim *claim;
    const char *setting; /* "printed", or a protocol */
    enum verdict verdict;
    int32_t seeds;            /* of the decisive part; 0 for printed numbers and where nothing was tested */
    struct verdict_part part; /* the decisive part */
    int32_t parts, parts_that_hold;
    const struct claim_test *test; /* NULL if nothing was tested */
    char *says;                    /* what the decisive quantity is */
    char *effect;                  /* "-0.0103 [-0.0151, -0.0055]"; "" if nothing was tested */
    char *reason;                  /* one sentence */
};

struct claim_results {
    struct ledger *ledger;
    struct claim_names names;
    struct claim_result *results; /* [count]: claim by claim: printed, then the protocols */
    int32_t count;
    int32_t interval_tests; /* how many results rest on an interval over seeds */
};

/* Judges every claim of a source over the runs of a report: its printed numbers, and the runs of each of its
 * protocols. An experiment without runs gives "not tested", with a reason that names it; so does a tier at
 * which the claim means nothing. A claim that presumes another is inconclusive where that one does not hold.
 * Errors of ledger_open() and of expressions (file, line). */
moe_status claims_judge(struct report *report, const char *source, struct claim_results **out_results,
                        moe_err *err);
void claims_free(struct claim_results *results); /* NULL is allowed */

/* The result of a claim in a setting ("printed", "as-published", "corrected"), or NULL if it has none. */
const struct claim_result *claims_result(const struct claim_results *results, const struct claim *claim,
                                         const char *setting);

/* Number of results with this verdict in this setting (NULL: in all). */
int32_t claims_count(const struct claim_results *results, const char *setting, enum verdict verdict);

#endif
