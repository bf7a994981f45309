/* test: rooms=core,train label=fast */
/* Named axes of a suite: which runs they give, under which names, with which values; and conditions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/text.h"
#include "train/experiment_internal.h"
#include "train/experiment_where.h"

#define HEAD "[protocol.p]\n[protocol.q]\n[tier.t]\n[tier.u]\n" /* four lines */

static struct suite_file *parse(const char *text, moe_err *err) {
    struct suite_file *suite = NULL;
    return suite_file_parse(text, strlen(text), "f", &suite, err) == MOE_OK ? suite : NULL;
}

static struct suite_file *read_suite(const char *text) {
    moe_err err = {0};
    struct suite_file *suite = parse(text, &err);
    if (suite == NULL) fail_msg("%s", err.message);
    return suite;
}

/* Names of all runs and their seeds: "a b*5", which the caller frees. */
static char *list(const struct suite_file *suite, const char *protocol, const char *tier) {
    moe_err err = {0};
    struct text t = {0};
    struct suite_file_run *runs = NULL;
    int32_t count = 0;
    char *names = NULL;
    if (suite_file_runs(suite, protocol, tier, &runs, &count, &err) != MOE_OK) fail_msg("%s", err.message);
    for (int32_t i = 0; i < count; i++) {
        text_append(&t, "%s%s", i > 0 ? " " : "", runs[i].name);
        if (runs[i].seeds != SUITE_SEEDS_UNSAID) text_append(&t, "*%d", runs[i].seeds);
    }
    suite_file_runs_free(runs, count);
    assert_int_equal(text_take(&t, &names, &err), MOE_OK);
    return names;
}

static void expect_list(const char *text, const char *protocol, const char *tier, const char *expected) {
    struct suite_file *suite = read_suite(text);
    char *names = list(suite, protocol, tier);
    assert_string_equal(names, expected);
    free(names);
    suite_file_free(suite);
}

static struct experiment *load(const struct suite_file *suite, const char *name, const char *protocol,
                               const char *tier) {
    moe_err err = {0};
    struct experiment *e = NULL;
    const struct experiment_choice choice = {
        .experiment = name, .protocol = protocol, .tier = tier, .seed = 1};
    if (experiment_from_suite(suite, &choice, &e, &err) != MOE_OK) fail_msg("%s: %s", name, err.message);
    return e;
}

#define AXES                                                                                                 \
    HEAD "[axis.lr]\ndoc = \"Rates.\"\nkey = \"train.lr\"\n"                                                 \
         "[axis.k]\nkey = \"moe.num_active_experts\"\n"                                                      \
         "[axis.size.value.small.model]\nhidden_size = 64\n"                                                 \
         "[axis.size.value.small.tier.u.model]\nhidden_size = 32\n"                                          \
         "[axis.size.value.small.protocol.q.train]\nmax_epochs = 7\n"                                        \
         "[axis.size.value.large.model]\nhidden_size = 128\n"

/* One key, or a table of values that varies with tier and protocol as an experiment's does. */
static void a_value_means_a_key_or_a_table(void **state) {
    (void)state;
    struct suite_file *suite = read_suite(AXES "[experiment.x.model]\nhidden_size = 8\n"
                                               "[experiment.x.axes]\nsize = [\"small\", \"large\"]\n"
                                               "lr = [\"1/8\", 0.5]\n\"train.batch_size\" = [4]\n");
    char *names = list(suite, "p", "t");
    assert_string_equal(names,
                        "x@size=small,lr=1_8,train.batch_size=4 x@size=small,lr=0.5,train.batch_size=4 "
                        "x@size=large,lr=1_8,train.batch_size=4 x@size=large,lr=0.5,train.batch_size=4");
    free(names);
    struct experiment *e = load(suite, "x@size=small,lr=1_8,train.batch_size=4", "p", "t");
    assert_true(e->model.hidden_size == 64 && e->train.lr == 0.125 && e->train.batch_size == 4);
    experiment_free(e);
    e = load(suite, "x@size=small,lr=1_8,train.batch_size=4", "q", "u");
    assert_true(e->model.hidden_size == 32 && e->train.max_epochs == 7);
    experiment_free(e);
    e = load(suite, "x@size=large,lr=0.5,train.batch_size=4", "q", "u");
    assert_true(e->model.hidden_size == 128 && e->train.lr == 0.5 && e->train.max_epochs != 7);
    experiment_free(e);
    suite_file_free(suite);
}

static void conditions_leave_runs_out(void **state) {
    (void)state;
    static const char grid[] =
        AXES "[experiment.x]\nwhere = [\"integer(1 / lr / k)\", \"k < 3 or lr < 0.3\"]\n"
             "[experiment.x.axes]\nlr = [\"1/4\", \"1/3\", 1]\nk = [1, 2, 3, 4]\n"
             "[experiment.x.tier.u]\nwhere = \"tier == 'u' and k == 1\"\n"
             "[experiment.x.protocol.q]\nwhere = \"not lr == 1\"\n";
    expect_list(grid, "p", "t", "x@lr=1_4,k=1 x@lr=1_4,k=2 x@lr=1_4,k=4 x@lr=1_3,k=1 x@lr=1,k=1");
    expect_list(grid, "p", "u", "x@lr=1_4,k=1 x@lr=1_3,k=1 x@lr=1,k=1");
    expect_list(grid, "q", "u", "x@lr=1_4,k=1 x@lr=1_3,k=1");
}

/* A tier's list stands in the place of the experiment's: the same names, fewer of them. */
static void tiers_and_protocols_choose_values(void **state) {
    (void)state;
    static const char grid[] = AXES "[experiment.x.axes]\nsize = [\"small\", \"large\"]\nk = [1, 2]\n"
                                    "[experiment.x.tier.t.axes]\nk = [2]\n"
                                    "[experiment.x.tier.t.protocol.q.axes]\nsize = [\"large\"]\nlr = [1]\n"
                                    "[experiment.y]\ninherit = \"x\"\n";
    expect_list(grid, "p", "u", "x@size=small,k=1 x@size=small,k=2 x@size=large,k=1 x@size=large,k=2 y");
    expect_list(grid, "p", "t", "x@size=small,k=2 x@size=large,k=2 y");
    expect_list(grid, "q", "t", "x@size=large,k=2,lr=1 y");
}

static void seeds_are_a_number_or_an_expression(void **state) {
    (void)state;
    static const char grid[] =
        AXES "[tier.v]\nseeds = 1\n[experiment.plain]\n"
             "[experiment.x]\nseeds = \"1 + 4 * (k == 2)\"\n[experiment.x.axes]\nk = [1, 2]\n"
             "[experiment.x.tier.u]\nseeds = 2\n"
             "[experiment.heir]\ninherit = \"plain\"\n[experiment.plain.tier.t]\nseeds = 9\n";
    expect_list(grid, "p", "t", "plain*9 x@k=1*1 x@k=2*5 heir*9");
    expect_list(grid, "p", "u", "plain x@k=1*2 x@k=2*2 heir");
    expect_list(grid, "p", "v", "plain*1 x@k=1*1 x@k=2*5 heir*1");
}

static void expressions_mean_what_they_say(void **state) {
    (void)state;
    static const struct {
        const char *text;
        double value;
    } cases[] = {
        {"1 + 2 * 3 - 4 / 8", 6.5},
        {"-2 * -(3 - 1)", 4},
        {"7 % 4 + 2e1", 23},
        {"g == 1 / 8 and s > 4", 1},
        {"g == 0.125 or nonsense_is_not_reached == 1", -1},
        {"not g == 1 / 8", 0},
        {"not not s", 1},
        {"name == 'a b' and name != \"ab\"", 1},
        {"name == 1", 0},
        {"integer(1 / g) and not integer(3 / s)", 1},
        {"integer(1 / third)", 1},
        {"integer(1 / 0)", 0},
        {"protocol == 'p' and tier == 't'", 1},
        {"s >= 8 and s <= 8 and not s < 8 and not s > 8 and s != 9", 1},
        {"1 or 1 and 0", 1},
        {"(1 or 1) and 0", 0},
    };
    json_t *axes = json_pack("{s:[s,s], s:[s,i], s:[s,s], s:[s,s]}", "g", "f:1", "1/8", "s", "f:2", 8, "name",
                             "f:3", "a b", "third", "f:4", "1/3");
    const struct where_scope scope = {axes, "p", "t"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        moe_err err = {0};
        double value = -1;
        const moe_status status = where_number(cases[i].text, "f:9", &scope, &value, &err);
        if (cases[i].value < 0) {
            assert_int_equal(status, MOE_ECONFIG);
        } else if (status != MOE_OK || value != cases[i].value) {
            fail_msg("%s: %g, expected %g; %s", cases[i].text, value, cases[i].value, err.message);
        }
    }
    char deep[2000];
    memset(deep, '(', sizeof deep - 1);
    deep[sizeof deep - 1] = 0;
    double value;
    assert_int_equal(where_number(deep, "f:9", &scope, &value, NULL), MOE_ECONFIG);
    json_decref(axes);
}

static void mistakes_name_line_and_nearest(void **state) {
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {HEAD "[axis.a]\nkey = \"train.lrr\"\n", "f:6: no such key: train.lrr; did you mean train.lr?"},
        {HEAD "[axis.a]\nkee = 1\n", "f:6: no such key or table of an axis: kee; did you mean key?"},
        {HEAD "[axis.a]\ndoc = \"\"\n", "f: axis a has no meaning: it wants key = \"SECTION.KEY\", or a "
                                        "table [axis.a.value.NAME] for each value"},
        {HEAD "[axis.tier]\nkey = \"train.lr\"\n",
         "f: axis tier: this name means something else in a condition"},
        {HEAD "[axis.a]\nkey = \"train.lr\"\n[axis.a.value.x]\n",
         "f:6: axis a: a key and tables of values exclude each other"},
        {HEAD "[axis.a.value.x.modle]\n",
         "f:5: no such key or table of a value of an axis: modle; did you mean model?"},
        {HEAD "[axis.a.value.x.tier.w]\n", "f: x: no such tier: w; there are: t, u"},
        {AXES "[experiment.x.axes]\nsiz = [\"small\"]\n", "f:19: no such axis: siz; did you mean size?"},
        {AXES "[experiment.x.axes]\nsize = [\"smal\"]\n",
         "f:19: no such value of axis size: smal; did you mean small?"},
        {AXES "[experiment.x.axes]\nk = [\"1/2\"]\n",
         "f:19: moe.num_active_experts: this is a string; expected an integer in [1, 65536] experts"},
        {AXES "[experiment.x.axes]\nlr = [0.5, 1, 1.0]\n", "f:19: axis lr: 1 stands there twice"},
        {AXES "[experiment.x.axes]\nlr = [\"a/b\"]\n",
         "f:19: axis lr: \"a/b\" cannot stand in the name of a run (no ',', '=', '/', '@' or space)"},
        {AXES "[experiment.x]\nwhere = \"sise == 3\"\n[experiment.x.axes]\nsize = [\"small\"]\n",
         "f:19: \"sise == 3\": no such axis: sise; did you mean size?"},
        {AXES "[experiment.x]\nwhere = [\"k <\"]\n[experiment.x.axes]\nk = [1]\n",
         "f:19: \"k <\" ends early: expected a number, a text, an axis, integer(...) or '('"},
        {AXES "[experiment.x]\nwhere = \"size < 3\"\n[experiment.x.axes]\nsize = [\"small\"]\n",
         "f:19: \"size < 3\": 'small' is text, where a number is needed"},
        {AXES "[experiment.x.tier.u]\nwhere = \"k = 3\"\n[experiment.x.axes]\nk = [1]\n",
         "f:19: \"k = 3\", at \"= 3\": expected an operator or the end"},
        {AXES "[experiment.x]\nwhere = 3\n", "f:19: where: a string or a list of strings is expected"},
        {AXES "[experiment.x]\nseeds = -1\n",
         "f:19: seeds: a number from 0 to 10000 is expected, or an expression such as \"1 + 4 * (s == 8)\""},
        {AXES "[experiment.x]\nseeds = \"1 / 2\"\n",
         "f:19: seeds: \"1 / 2\" gives 0.5: a whole number from 0 to 10000 is expected"},
        {HEAD "[tier.v]\ngflops = 0\n", "f:6: gflops: a number above 0 is expected"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        moe_err err = {0};
        struct suite_file *suite = parse(cases[i].text, &err);
        if (suite != NULL) fail_msg("no error: %s", cases[i].text);
        assert_string_equal(err.message, cases[i].message);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_means_a_key_or_a_table),
        cmocka_unit_test(conditions_leave_runs_out),
        cmocka_unit_test(tiers_and_protocols_choose_values),
        cmocka_unit_test(seeds_are_a_number_or_an_expression),
        cmocka_unit_test(expressions_mean_what_they_say),
        cmocka_unit_test(mistakes_name_line_and_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
