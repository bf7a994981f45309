/* test: rooms=analysis,record,core label=fast */
/* The ledger: what it may hold, and how mistakes in it are named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "analysis/claims.h"
#include "fixture_paper.h"

static char root[] = "/tmp/moe-ledger-XXXXXX";

#define HEAD "source = \"A\"\nsuite = \"moe-vs-dense\"\ndocument = \"D\"\n" /* 3 lines */
#define CLAIM                                                                                                \
    "[[claim]]\nid = \"A-01-x\"\nplace = \"p\"\nstatement = \"s\"\nkind = \"measured\"\n" /* 5 lines */
#define RUNS "[claim.runs]\nquantity = [\"a@b\"]\nsays = \"q\"\n"                         /* 3 lines */

static moe_status open_text(const char *text, struct ledger **out, moe_err *err) {
    *out = NULL;
    if (fixture_file(root, "claims/A.toml", text) != 0) return MOE_EIO;
    return ledger_open(root, "A", out, err);
}

/* The file and the line, and what is wrong. */
static void refuse(const char *text, int line, const char *part) {
    struct ledger *ledger = NULL;
    moe_err err = {0};
    char place[64];
    assert_int_equal(open_text(text, &ledger, &err), MOE_ECONFIG);
    assert_null(ledger);
    snprintf(place, sizeof place, "claims/A.toml:%d:", line);
    if (strstr(err.message, place) == NULL || strstr(err.message, part) == NULL)
        fail_msg("\"%s\" lacks \"%s\" or \"%s\"", err.message, place, part);
}

static void test_mistakes(void **state) {
    (void)state;
    refuse("source = \"A\"\nsuite = \n", 2, "");
    refuse(HEAD "x = 1\n" CLAIM RUNS "above = \"0\"\n", 1, "no such key: x");
    refuse(HEAD, 1, "no [[claim]]");
    refuse(HEAD "[[claim]]\nplace = \"p\"\n", 4, "id is missing");
    refuse(HEAD CLAIM, 5, "none of `printed`, `runs`, `untested`");
    refuse(HEAD CLAIM "untested = \"why\"\n" RUNS "above = \"0\"\n", 5, "both `runs` and `untested`");
    refuse(HEAD CLAIM RUNS, 5, "no region");
    refuse(HEAD CLAIM RUNS "above = \"0\"\nnear = \"0\"\n", 5, "a region is");
    refuse(HEAD CLAIM RUNS "abov = \"0\"\n", 5, "no such key: abov; did you mean above?");
    refuse(HEAD CLAIM RUNS "above = 0\n", 5, "above: expected a string");
    refuse(HEAD CLAIM RUNS "above = \"0 +\"\n", 5, "ends early");
    refuse(HEAD CLAIM "[claim.runs]\nquantity = [\"a@\"]\nsays = \"q\"\nabove = \"0\"\n", 5,
           "expected an experiment");
    refuse(HEAD CLAIM "[claim.runs]\nquantity = \"a@b\"\nsays = \"q\"\nabove = \"0\"\n", 5,
           "quantity: expected a list");
    refuse(HEAD CLAIM "[claim.runs]\nquantity = []\nsays = \"q\"\nabove = \"0\"\n", 5,
           "quantity: expected a list");
    refuse(HEAD CLAIM RUNS "above = \"0\"\nevery = [1]\n", 5, "every: expected strings");
    refuse(HEAD CLAIM RUNS "above = \"0\"\ndigits = 12\n", 5, "digits: expected 0 to 9");
    refuse(HEAD CLAIM RUNS "above = \"0\"\nexact = 1\n", 5, "exact: expected true or false");
    refuse(HEAD CLAIM "runs = 1\n", 5, "expected a table");
    refuse(HEAD CLAIM "protocols = [\"x\"]\n" RUNS "above = \"0\"\n", 5, "there is no \"x\"");
    refuse(HEAD CLAIM "tiers = []\n" RUNS "above = \"0\"\n", 5, "tiers: expected a list");
    refuse(HEAD "[[claim]]\nid = \"A-01-x\"\nplace = \"p\"\nstatement = \"s\"\nkind = \"felt\"\n", 5,
           "kind: expected");
    refuse(HEAD CLAIM RUNS "above = \"0\"\n" CLAIM RUNS "above = \"0\"\n", 14, "is there already, at line 5");
    refuse(HEAD CLAIM
           "untested = \"w\"\n[claim.printed]\nquantity = [\"1\"]\nsays = \"q\"\nabove = \"0\"\nfailed = "
           "\"maybe\"\n",
           5, "failed: expected");
}

/* What a claim presumes is there, stands before it, and is judged where it must hold. */
static void test_presumptions(void **state) {
    (void)state;
#define FIRST  HEAD CLAIM "protocols = [\"corrected\"]\n" RUNS "above = \"0\"\n" /* 13 lines */
#define SECOND "[[claim]]\nid = \"A-02-y\"\nplace = \"p\"\nstatement = \"s\"\nkind = \"measured\"\n"
    struct ledger *ledger = NULL;
    const struct claim *presumed = NULL;
    const char *setting = NULL;
    moe_err err = {0};
    refuse(FIRST SECOND "presumes = [\"A-03\"]\n" RUNS "above = \"0\"\n", 15, "no claim A-03");
    refuse(FIRST SECOND "presumes = [\"A-02\"]\n" RUNS "above = \"0\"\n", 15,
           "A-02-y does not stand before it");
    refuse(FIRST SECOND "presumes = [\"A-01\"]\n" RUNS "above = \"0\"\n", 15,
           "A-01-x is not judged under \"as-published\"");
    refuse(FIRST SECOND "presumes = [\"A-01:printed\"]\n" RUNS "above = \"0\"\n", 15, "under \"printed\"");
    refuse(FIRST SECOND "presumes = \"A-01\"\n" RUNS "above = \"0\"\n", 15, "expected a list of strings");
    refuse(FIRST SECOND "presumes = [\"A-01\"]\nuntested = \"w\"\n", 15,
           "only of use to a claim with `runs`");
    assert_int_equal(
        open_text(FIRST SECOND "presumes = [\"A-01:corrected\"]\n" RUNS "above = \"0\"\n", &ledger, &err),
        MOE_OK);
    assert_int_equal(claim_presumed(ledger, &ledger->claims[1], 0, "as-published", &presumed, &setting, &err),
                     MOE_OK);
    assert_ptr_equal(presumed, &ledger->claims[0]);
    assert_string_equal(setting, "corrected");
    assert_int_equal(claim_presumed(ledger, &ledger->claims[1], 1, "as-published", &presumed, &setting, &err),
                     MOE_OK);
    assert_null(presumed);
    ledger_close(ledger);
}

static void test_no_ledger(void **state) {
    (void)state;
    struct ledger *ledger = NULL;
    moe_err err = {0};
    assert_int_equal(ledger_open(root, "Z", &ledger, &err), MOE_ENOTFOUND);
}

static void test_expansion(void **state) {
    (void)state;
    struct ledger *ledger = NULL;
    const struct claim *claim = NULL;
    moe_err err = {0};
    assert_int_equal(
        open_text(HEAD "[[claim]]\nid = \"A-01-x\"\neach = [\"p\", \"q\"]\nplace = \"row {each}\"\n"
                       "statement = \"{each} {each}\"\nkind = \"arithmetic\"\n"
                       "[claim.runs]\nquantity = [\"a@{each} - b@{}\", \"c@{}\"]\nevery = [\"u\", \"v\"]\n"
                       "says = \"{} of {each}\"\nabove = \"0\"\n",
                  &ledger, &err),
        MOE_OK);
    assert_int_equal(ledger->count, 2);
    assert_string_equal(ledger->claims[1].id, "A-01-x.q");
    assert_string_equal(ledger->claims[1].place, "row q");
    assert_string_equal(ledger->claims[1].statement, "q q");
    const struct claim_test *test = &ledger->claims[1].runs;
    assert_int_equal(claim_test_parts(test), 4);
    static const char *const expected[] = {"a@q - b@u", "a@q - b@v", "c@u", "c@v"};
    for (int32_t i = 0; i < 4; i++) {
        char *quantity = claim_test_quantity(test, i);
        assert_string_equal(quantity, expected[i]);
        free(quantity);
    }
    assert_int_equal(ledger->claims[0].protocol_count, 2); /* both, when nothing is said */
    assert_int_equal(ledger->claims[0].tier_count, 4);
    /* by the whole id, by a start that fits one, by one that fits two */
    assert_int_equal(ledger_find(ledger, "A-01-x.p", &claim, &err), MOE_OK);
    assert_ptr_equal(claim, &ledger->claims[0]);
    assert_int_equal(ledger_find(ledger, "A-01", &claim, &err), MOE_EARG);
    err = (moe_err){0};
    assert_int_equal(ledger_find(ledger, "A-01-y.p", &claim, &err), MOE_ENOTFOUND);
    assert_non_null(strstr(err.message, "the nearest is A-01-x.p"));
    ledger_close(ledger);
}

/* Names of runs stay as they are in what is computed; people read 1/8. */
static void test_spelling(void **state) {
    (void)state;
    struct ledger *ledger = NULL;
    moe_err err = {0};
    assert_int_equal(
        open_text(HEAD "[[claim]]\nid = \"A-01-x\"\neach = [\"1_8\", \"e1_cf_1_0\"]\nplace = \"p\"\n"
                       "statement = \"g = {each}.\"\nkind = \"arithmetic\"\n"
                       "[claim.runs]\nquantity = [\"a@\\\"g={each},{}\\\"\"]\nevery = [\"s=1_2-1_4,t=3\"]\n"
                       "says = \"{each}: {}\"\nabove = \"0\"\n",
                  &ledger, &err),
        MOE_OK);
    const struct claim *first = &ledger->claims[0];
    char *quantity = claim_test_quantity(&first->runs, 0), *says = claim_test_says(&first->runs, 0);
    assert_string_equal(first->id, "A-01-x.1_8");
    assert_string_equal(first->statement, "g = 1/8.");
    assert_string_equal(quantity, "a@\"g=1_8,s=1_2-1_4,t=3\"");
    assert_string_equal(says, "1/8: s = 1/2-1/4, t = 3");
    assert_string_equal(ledger->claims[1].statement, "g = e1_cf_1_0.");
    free(quantity);
    free(says);
    ledger_close(ledger);
}

/* The project's own ledgers can be read, and say what they must of every claim. */
static void test_committed(void **state) {
    static const char *const sources[] = {"A", "B", "C", "D"};
    (void)state;
    for (size_t s = 0; s < sizeof sources / sizeof sources[0]; s++) {
        struct ledger *ledger = NULL;
        moe_err err = {0};
        char start[8];
        if (ledger_open(MOE_SOURCE_DIR "/paper", sources[s], &ledger, &err) != MOE_OK)
            fail_msg("%s", err.message);
        snprintf(start, sizeof start, "%s-", sources[s]);
        assert_string_equal(ledger->source, sources[s]);
        assert_true(ledger->count > 80);
        for (int32_t i = 0; i < ledger->count; i++) {
            const struct claim *claim = &ledger->claims[i];
            assert_int_equal(strncmp(claim->id, start, 2), 0);
            assert_true(strlen(claim->statement) > 20 && strlen(claim->place) > 3);
            assert_null(strstr(claim->statement, "{"));
        }
        ledger_close(ledger);
    }
}

static int make_root(void **state) {
    (void)state;
    return mkdtemp(root) != NULL ? 0 : -1;
}

static int remove_root(void **state) {
    (void)state;
    return fixture_remove(root);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mistakes),     cmocka_unit_test(test_no_ledger),
        cmocka_unit_test(test_expansion),    cmocka_unit_test(test_spelling),
        cmocka_unit_test(test_presumptions), cmocka_unit_test(test_committed),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
