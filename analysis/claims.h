/* claims.h - the ledger: every claim of a document, with the test that decides it.
 *
 * paper/claims/SOURCE.toml; paper/README.md describes its keys. A claim says where it stands, what it says in
 * our words, and up to two tests: `printed` judges the document's own numbers, `runs` the run files, under
 * each protocol.
 */
#ifndef ANALYSIS_CLAIMS_H
#define ANALYSIS_CLAIMS_H

#include <jansson.h>

#include "analysis/verdict.h"

#define CLAIM_MAX_PROTOCOLS 4
#define CLAIM_MAX_TIERS     8

enum claim_kind {
    CLAIM_MEASURED = 0,
    CLAIM_ARITHMETIC,
    CLAIM_JUDGEMENT,
    CLAIM_RECOMMENDATION,
    CLAIM_KIND_COUNT
};

/* "measured", "arithmetic", "judgement", "recommendation" */
const char *claim_kind_word(enum claim_kind kind);

/* The quantities that must all lie in a region. Strings are the ledger's; "{}" in them stands for the member
 * of `every`. */
struct claim_test {
    bool present;
    const json_t *quantity;    /* array of expressions, one per part and member */
    const json_t *every;       /* array of names, or NULL */
    const char *above, *below; /* expressions for the ends of the region; NULL = open */
    const char *near, *within; /* or its middle and half-width */
    bool relative;             /* `within` is a share of the middle */
    bool exact;                /* no chance in it: every run decides */
    const char *says;          /* what the quantity is, for the reason */
    const char *unit;          /* "" if none */
    int32_t digits;            /* after the decimal point, in reasons */
    enum verdict failed;       /* printed tests: what a failure means */
    int line;
};

struct claim {
    const char *id;         /* "A-20-parameters.dense" */
    const char *place;      /* in the document */
    const char *statement;  /* in our words */
    const char *note;       /* why the test is what it is; "" if there is nothing to say */
    const json_t *presumes; /* array of "ID" or "ID:SETTING": claims without which this one, judged by runs,
                               says nothing; or NULL */
    const char *untested;   /* why no run can decide it; NULL if one can, or if printed numbers do alone */
    enum claim_kind kind;
    struct claim_test printed, runs;
    const char *protocols[CLAIM_MAX_PROTOCOLS];
    int32_t protocol_count;
    const char *tiers[CLAIM_MAX_TIERS]; /* where `runs` means something */
    int32_t tier_count;
    int line;
};

struct ledger {
    char *path;
    const char *source, *suite, *document;
    struct claim *claims; /* [count], in the order of the file */
    int32_t count;
    json_t *root, *expanded;
};

/* Reads and checks PAPER/claims/SOURCE.toml: grammar of every expression, keys, duplicates. MOE_ENOTFOUND,
 * MOE_ECONFIG (file, line, key). */
moe_status ledger_open(const char *paper_dir, const char *source, struct ledger **out_ledger, moe_err *err);
void ledger_close(struct ledger *ledger); /* NULL is allowed */

/* A claim by its id, or by the start of it up to a '-' or '.', if only one claim starts so ("A-07").
 * MOE_ENOTFOUND names the nearest; MOE_EARG: the start fits several. */
moe_status ledger_find(const struct ledger *ledger, const char *id, const struct claim **out_claim,
                       moe_err *err);

/* What the index-th entry of claim->presumes (NULL behind the last) stands for when the claim is judged in a
 * setting: another claim, and the setting in which that one must hold. MOE_ECONFIG (file, line): no such
 * claim before this one, or it is not judged in that setting. */
moe_status claim_presumed(const struct ledger *ledger, const struct claim *claim, int32_t index,
                          const char *setting, const struct claim **out_presumed, const char **out_setting,
                          moe_err *err);

/* Number of parts of a test: quantities times members. */
int32_t claim_test_parts(const struct claim_test *test);

/* A string of a test with "{}" replaced by the member of `every` that belongs to the part; malloc'ed, NULL
 * when memory is out. text may be NULL. */
char *claim_test_text(const struct claim_test *test, const char *text, int32_t part);

/* What the quantity of a part is, with the member as people write it; malloc'ed, NULL when memory is out. */
char *claim_test_says(const struct claim_test *test, int32_t part);

/* The expression of a part, filled in; malloc'ed, NULL when memory is out. */
char *claim_test_quantity(const struct claim_test *test, int32_t part);

#endif
