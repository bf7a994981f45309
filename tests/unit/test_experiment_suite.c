/* test: rooms=core,train label=fast */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/file.h"
#include "train/experiment.h"

static char folder[64];

static int make_folder(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/moe_suites_XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static void write_suite(const char *name, const char *text) {
    moe_err err = {0};
    char inner[128];
    snprintf(inner, sizeof inner, "%s/suite.toml", name);
    char *path = path_join(folder, inner);
    assert_int_equal(file_make_parents(path, &err), MOE_OK);
    assert_int_equal(file_write_atomic(path, text, strlen(text), &err), MOE_OK);
    free(path);
}

static struct experiment_choice choose(const char *suite, const char *experiment, const char *protocol,
                                       const char *tier) {
    return (struct experiment_choice){.suites_dir = folder,
                                      .suite = suite,
                                      .experiment = experiment,
                                      .protocol = protocol,
                                      .tier = tier,
                                      .seed = 1};
}

static struct experiment *load(const char *suite, const char *experiment, const char *protocol,
                               const char *tier) {
    moe_err err = {0};
    struct experiment *e = NULL;
    const struct experiment_choice choice = choose(suite, experiment, protocol, tier);
    if (experiment_load(&choice, &e, &err) != MOE_OK) fail_msg("%s/%s: %s", suite, experiment, err.message);
    return e;
}

/* The names of a suite's runs, separated by spaces. */
static const char *list(const char *suite, const char *protocol, const char *tier) {
    static char line[2000];
    moe_err err = {0};
    char **names = NULL;
    int32_t count = 0;
    const struct experiment_choice choice = choose(suite, NULL, protocol, tier);
    if (experiment_list(&choice, &names, &count, &err) != MOE_OK) fail_msg("%s: %s", suite, err.message);
    line[0] = 0;
    for (int32_t i = 0; i < count; i++)
        snprintf(line + strlen(line), sizeof line - strlen(line), "%s%s", i > 0 ? " " : "", names[i]);
    experiment_list_free(names, count);
    return line;
}

/* The message with which listing or loading fails, without the folder of this test. */
static const char *failure(const char *suite, const char *experiment, moe_status expected) {
    static moe_err err;
    err = (moe_err){0};
    char **names = NULL;
    int32_t count = 0;
    struct experiment *e = NULL;
    const struct experiment_choice choice = choose(suite, experiment, NULL, NULL);
    const moe_status status = experiment == NULL ? experiment_list(&choice, &names, &count, &err)
                                                 : experiment_load(&choice, &e, &err);
    experiment_list_free(names, count);
    experiment_free(e);
    if (status != expected) fail_msg("%s: %s", moe_status_name(status), err.message);
    const size_t prefix = strlen(folder) + 1;
    return strncmp(err.message, folder, strlen(folder)) == 0 ? err.message + prefix : err.message;
}

#define HEAD "[protocol.p]\n[protocol.q]\n[tier.t]\n[tier.u]\n"

static void later_layers_win(void **state) {
    (void)state;
    /* Each layer raises max_epochs; what is left out of the stack of tables lets the one before show through.
     */
    write_suite("layers", HEAD "[base.train]\nmax_epochs = 2\n"
                               "[protocol.p.train]\nmax_epochs = 3\n"
                               "[tier.t.train]\nmax_epochs = 4\n"
                               "[tier.u.protocol.p.train]\nmax_epochs = 5\n"
                               "[experiment.plain]\n"
                               "[experiment.a]\ntrain.max_epochs = 6\n"
                               "[experiment.a.protocol.p.train]\nmax_epochs = 7\n"
                               "[experiment.a.tier.t.train]\nmax_epochs = 8\n"
                               "[experiment.a.tier.t.protocol.p.train]\nmax_epochs = 9\n"
                               "[experiment.b]\ninherit = \"a\"\n"
                               "[experiment.c]\ninherit = \"b\"\ntrain.max_epochs = 10\n"
                               "[experiment.c.axes]\ntrain.max_epochs = [11, 12]\n");
    static const struct {
        const char *name, *protocol, *tier;
        int32_t epochs;
    } cases[] = {
        {"plain", "q", "u", 2},
        {"plain", "p", "u", 5},
        {"plain", "q", "t", 4},
        {"plain", "p", "t", 4},
        {"a", "q", "u", 6},
        {"a", "p", "u", 7},
        {"a", "q", "t", 8},
        {"a", "p", "t", 9},
        {"b", "p", "t", 9},
        {"b", "q", "u", 6},
        {"c@train.max_epochs=12", "p", "t", 12},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct experiment *e = load("layers", cases[i].name, cases[i].protocol, cases[i].tier);
        assert_int_equal(e->train.max_epochs, cases[i].epochs);
        experiment_free(e);
    }
    static const char *const set[] = {"train.max_epochs=13"};
    struct experiment_choice choice = choose("layers", "c@train.max_epochs=12", "p", "t");
    struct experiment *e = NULL;
    choice.sets = set;
    choice.set_count = 1;
    assert_int_equal(experiment_load(&choice, &e, NULL), MOE_OK);
    assert_int_equal(e->train.max_epochs, 13);
    experiment_free(e);
    e = load("layers", "plain", NULL, NULL); /* the first protocol and tier of the file */
    assert_string_equal(e->protocol, "p");
    assert_string_equal(e->tier, "t");
    experiment_free(e);
}

static void axes_expand_in_order(void **state) {
    (void)state;
    write_suite("axes", HEAD "[experiment.z]\n"
                             "[experiment.grid]\n"
                             "[experiment.grid.axes]\n"
                             "\"train.lr\" = [1e-3, 1, 0.0003]\n"
                             "moe.renormalize = [true, false]\n"
                             "[experiment.child]\ninherit = \"grid\"\n"
                             "[experiment.sched.axes]\ntrain.schedule = [\"cosine\", \"linear\"]\n");
    assert_string_equal(list("axes", "p", "t"),
                        "z "
                        "grid@train.lr=0.001,moe.renormalize=true "
                        "grid@train.lr=0.001,moe.renormalize=false "
                        "grid@train.lr=1,moe.renormalize=true "
                        "grid@train.lr=1,moe.renormalize=false "
                        "grid@train.lr=0.0003,moe.renormalize=true "
                        "grid@train.lr=0.0003,moe.renormalize=false "
                        "child sched@train.schedule=cosine sched@train.schedule=linear");
    struct experiment *e = load("axes", "grid@train.lr=0.0003,moe.renormalize=true", "p", "t");
    assert_true(e->train.lr == 3e-4 && e->moe.renormalize);
    assert_string_equal(e->name, "grid@train.lr=0.0003,moe.renormalize=true");
    experiment_free(e);
    assert_non_null(strstr(failure("axes", "grid@train.lr=0.0001,moe.renormalize=true", MOE_ENOTFOUND),
                           "did you mean grid@train.lr=0.001,moe.renormalize=true?"));
}

static void experiments_restrict_themselves(void **state) {
    (void)state;
    write_suite("restricted", HEAD "[experiment.all]\n"
                                   "[experiment.p_only]\nprotocols = [\"p\"]\n"
                                   "[experiment.child]\ninherit = \"p_only\"\ntiers = \"u\"\n"
                                   "[experiment.free]\ninherit = \"p_only\"\nprotocols = [\"p\", \"q\"]\n"
                                   "[experiment.ghost]\nabstract = true\n");
    assert_string_equal(list("restricted", "p", "t"), "all p_only free");
    assert_string_equal(list("restricted", "p", "u"), "all p_only child free");
    assert_string_equal(list("restricted", "q", "u"), "all free");
    assert_string_equal(failure("restricted", "child", MOE_ENOTFOUND),
                        "restricted/suite.toml:10: experiment child does not run in tier t");
    assert_string_equal(failure("restricted", "ghost", MOE_ENOTFOUND),
                        "restricted/suite.toml: no such experiment: ghost; there are: all, p_only, free");
}

static void an_alias_is_another_name_of_one_run(void **state) {
    (void)state;
    write_suite("aliased", HEAD "[experiment.one.moe]\nlb_coeff = 0.125\n"
                                "[experiment.also_one]\nalias = \"one\"\ndoc = \"the same\"\n");
    assert_string_equal(list("aliased", "p", "t"), "one");
    struct experiment *e = load("aliased", "also_one", "p", "t");
    assert_string_equal(e->name, "one");
    assert_true(e->moe.lb_coeff == 0.125);
    experiment_free(e);
    assert_string_equal(failure("aliased", "also_on", MOE_ENOTFOUND),
                        "aliased/suite.toml: no such experiment: also_on; did you mean also_one?");
    write_suite("heir", "inherit = \"aliased\"\ninclude = [\"also*\"]\n"
                        "[experiment.child]\ninherit = \"also_one\"\n[experiment.child.train]\nlr = 0.5\n");
    assert_string_equal(list("heir", "p", "t"), "one child");
    e = load("heir", "child", "p", "t");
    assert_true(e->moe.lb_coeff == 0.125 && e->train.lr == 0.5);
    experiment_free(e);
    write_suite("astray", HEAD "[experiment.one]\n[experiment.x]\nalias = \"on\"\n");
    assert_string_equal(
        failure("astray", NULL, MOE_ECONFIG),
        "astray/suite.toml:7: no such experiment to be another name of: on; did you mean one?");
    write_suite("twofold",
                HEAD "[experiment.one]\n[experiment.x]\nalias = \"y\"\n[experiment.y]\nalias = \"one\"\n");
    assert_string_equal(failure("twofold", NULL, MOE_ECONFIG),
                        "twofold/suite.toml:7: alias: y is not trained itself; name an experiment that is");
    write_suite("altered", HEAD "[experiment.one]\n[experiment.x]\nalias = \"one\"\nmoe.lb_coeff = 1.0\n");
    assert_string_equal(
        failure("altered", NULL, MOE_ECONFIG),
        "altered/suite.toml:7: alias: x is the same run as one and cannot have 'moe' of its own; "
        "use inherit for another run");
}

static void suites_inherit_from_each_other(void **state) {
    (void)state;
    write_suite("parent", "source = \"A\"\n" HEAD "[base.train]\nmax_epochs = 2\nlr = 0.5\n"
                          "[tier.t.train]\nlr = 0.25\n"
                          "[experiment.one]\n[experiment.two.moe]\nlb_coeff = 0.125\n[experiment.twelve]\n");
    write_suite("child", "inherit = \"parent\"\ninclude = [\"tw*\", \"one\"]\n"
                         "[base.train]\nlr = 0.75\n"
                         "[tier.v]\n"
                         "[experiment.two.moe]\nnum_active_experts = 2\n"
                         "[experiment.mine]\ninherit = \"two\"\n");
    write_suite("grandchild", "inherit = [\"../child/suite.toml\"]\nsource = \"Z\"\n"
                              "[experiment.last]\ninherit = \"mine\"\n");
    assert_string_equal(list("child", "p", "t"), "two twelve one mine");
    assert_string_equal(list("grandchild", "p", "v"), "last");
    struct experiment *e = load("child", "mine", "p", "t");
    assert_true(e->train.lr == 0.25); /* the parent's tier over the child's base */
    assert_true(e->moe.lb_coeff == 0.125 && e->moe.num_active_experts == 2); /* two was amended */
    assert_string_equal(e->source, "A");
    assert_string_equal(e->suite, "child");
    experiment_free(e);
    e = load("grandchild", "last", "q", "v");
    assert_true(e->train.lr == 0.75 && e->train.max_epochs == 2 && e->moe.num_active_experts == 2);
    assert_string_equal(e->source, "Z");
    experiment_free(e);
}

static void circles_and_missing_parents_are_errors(void **state) {
    (void)state;
    write_suite("ouroboros", "inherit = \"ouroboros\"\n" HEAD);
    write_suite("left", "inherit = \"right\"\n" HEAD);
    write_suite("right", "\ninherit = \"left\"\n" HEAD);
    write_suite("orphan", "inherit = \"nobody\"\n" HEAD);
    write_suite("odd", "inherit = \"../parent\"\n" HEAD);
    write_suite("ring", HEAD "[experiment.a]\ninherit = \"b\"\n[experiment.b]\ninherit = \"c\"\n"
                             "[experiment.c]\ninherit = \"a\"\n");
    write_suite("self", HEAD "[experiment.a]\ninherit = \"a\"\n");
    write_suite("typo", HEAD "[experiment.basis]\n[experiment.b]\ninherit = \"bassis\"\n");
    assert_non_null(strstr(failure("ouroboros", NULL, MOE_ECONFIG), "ouroboros/suite.toml:1: inherit: "));
    assert_non_null(strstr(failure("left", NULL, MOE_ECONFIG), "right/suite.toml:2: inherit: "));
    assert_non_null(strstr(failure("left", NULL, MOE_ECONFIG), "inherits from itself"));
    assert_non_null(strstr(failure("orphan", NULL, MOE_ECONFIG), "there is no such file"));
    assert_non_null(strstr(failure("odd", NULL, MOE_ECONFIG), "neither the name of a suite nor a path"));
    assert_string_equal(failure("ring", NULL, MOE_ECONFIG),
                        "ring/suite.toml:10: inherit: experiment a inherits from itself through c");
    assert_string_equal(failure("self", NULL, MOE_ECONFIG),
                        "self/suite.toml:6: inherit: experiment a inherits from itself through a");
    assert_string_equal(failure("typo", NULL, MOE_ECONFIG),
                        "typo/suite.toml:7: no such experiment to inherit from: bassis; did you mean basis?");
}

static void mistakes_in_a_file_name_its_line(void **state) {
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"[tier.t]\n", "f/suite.toml: no protocol is declared; add a table such as [protocol.corrected]"},
        {"[protocol.p]\n", "f/suite.toml: no tier is declared; add a table such as [tier.desk]"},
        {HEAD "[base.model]\nhiden_size = 3\n",
         "f/suite.toml:6: no such key: model.hiden_size; did you mean model.hidden_size?"},
        {HEAD "[base.modle]\nhidden_size = 3\n",
         "f/suite.toml:5: no such key or table of a layer: modle; did you mean model?"},
        {HEAD "[bass.model]\n", "f/suite.toml:5: no such key or table of a file: bass; did you mean base?"},
        {HEAD "[base]\nmodel = 3\n", "f/suite.toml:6: model: a table is expected: [base.model]"},
        {HEAD "[experiment.x]\ntrian.lr = 3\n",
         "f/suite.toml:6: no such key or table of an experiment: trian; did you mean train?"},
        {HEAD "[experiment.x]\nmoe.num_experts = 0\n",
         "f/suite.toml:6: moe.num_experts: 0 is out of range; expected an integer in [1, 4096] experts"},
        {HEAD "[experiment.x]\nprotocols = [\"r\", \"p\"]\n",
         "f/suite.toml:6: no such protocol: r; there are: p, q"},
        {HEAD "[experiment.x]\ntiers = [\"huge_tier\"]\n",
         "f/suite.toml:6: no such tier: huge_tier; there are: t, u"},
        {HEAD "[experiment.x]\nprotocols = 3\n",
         "f/suite.toml:6: protocols: a string or a list of strings is expected"},
        {HEAD "[experiment.x]\nabstract = \"yes\"\n", "f/suite.toml:6: abstract: true or false is expected"},
        {HEAD "[experiment.\"x/y\"]\n",
         "f/suite.toml:5: 'x/y' is no name: 1 to 64 letters, digits, '_' and '-'"},
        {HEAD "[experiment.x.tier.unknown_tier.train]\nlr = 1\n",
         "f/suite.toml: x: no such tier: unknown_tier; there are: t, u"},
        {HEAD "[experiment.x.axes]\ntrain.lr = 3\n",
         "f/suite.toml:6: axis train.lr: this is no list of values, such as [1, 2, 4]"},
        {HEAD "[experiment.x.axes]\ntrain.lr = []\n",
         "f/suite.toml:6: axis train.lr: this is no list of values, such as [1, 2, 4]"},
        {HEAD "[experiment.x.axes]\ntrain.lr = [1, 1]\n",
         "f/suite.toml:6: axis train.lr: 1 stands there twice"},
        {HEAD "[experiment.x.axes]\ntrain.lrr = [1]\n",
         "f/suite.toml:6: no such key: train.lrr; did you mean train.lr?"},
        {HEAD "[experiment.x.axes]\nmoe.layers = [[1]]\n",
         "f/suite.toml:6: axis moe.layers: each value must be one short scalar"},
        {HEAD "[experiment.x.axes]\ndata.tokenizer_file = [\"a/b\"]\n",
         "f/suite.toml:6: axis data.tokenizer_file: \"a/b\" cannot stand in the name of a run (no ',', '=', "
         "'/', "
         "'@' or space)"},
        {"include = \"x*\"\n" HEAD, "f/suite.toml:1: include: no inherited experiment is called 'x*'"},
        {"source = \"much too long\"\n" HEAD, "f/suite.toml:1: source: at most 7 letters"},
        {HEAD "x = \n", "f/suite.toml:5: "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_suite("f", cases[i].text);
        const char *message = failure("f", NULL, MOE_ECONFIG);
        if (i + 1 == sizeof cases / sizeof *cases)
            assert_int_equal(strncmp(message, cases[i].message, strlen(cases[i].message)), 0);
        else
            assert_string_equal(message, cases[i].message);
    }
}

static void too_many_runs_are_refused(void **state) {
    (void)state;
    char text[8000] = HEAD "[experiment.x.axes]\n";
    static const char *const keys[] = {"train.max_epochs", "train.batch_size", "data.sequence_length"};
    for (int k = 0; k < 3; k++) {
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s = [1", keys[k]);
        for (int i = 2; i <= 40; i++)
            snprintf(text + strlen(text), sizeof text - strlen(text), ", %d", i);
        snprintf(text + strlen(text), sizeof text - strlen(text), "]\n");
    }
    write_suite("many", text);
    assert_string_equal(failure("many", NULL, MOE_ECONFIG),
                        "many/suite.toml:8: the axes of x give more than 4096 runs");
}

/* A message with this test's folder replaced by the one that the documentation shows. */
static const char *as_documented(const char *message) {
    static char out[2000];
    size_t length = 0;
    for (const char *p = message; *p != 0 && length + 16 < sizeof out;) {
        const bool here = strncmp(p, folder, strlen(folder)) == 0;
        length += (size_t)snprintf(out + length, sizeof out - length, "%.*s", here ? 11 : 1,
                                   here ? "runs/suites" : p);
        p += here ? strlen(folder) : 1;
    }
    return out;
}

/* The worked example of runs/suites/README.md does what is said there. */
static void the_documented_example_works(void **state) {
    (void)state;
    moe_err err = {0};
    unsigned char *readme = NULL, *published = NULL;
    assert_int_equal(file_read_all(MOE_SOURCE_DIR "/runs/suites/README.md", 1 << 20, &readme, NULL, &err),
                     MOE_OK);
    assert_int_equal(
        file_read_all(MOE_SOURCE_DIR "/runs/suites/moe-vs-dense/suite.toml", 1 << 20, &published, NULL, &err),
        MOE_OK);
    char *example = strstr((char *)readme, "```toml\n");
    assert_non_null(example);
    example += strlen("```toml\n");
    char *end = strstr(example, "```");
    assert_non_null(end);
    *end = 0;
    write_suite("moe-vs-dense", (char *)published);
    write_suite("sigmoid", example);
    assert_string_equal(list("sigmoid", "corrected", "smoke"),
                        "dense top2 sigmoid@moe.lb_coeff=0 sigmoid@moe.lb_coeff=0.01");
    assert_string_equal(list("sigmoid", "as-published", "smoke"), "dense top2");
    struct experiment *e = load("sigmoid", "sigmoid@moe.lb_coeff=0.01", "corrected", "smoke");
    assert_true(e->moe.router == CONFIG_ROUTER_SIGMOID && e->moe.num_active_experts == 4 &&
                e->moe.renormalize);
    assert_true(e->moe.lb_coeff == 0.01 && e->model.hidden_size == 64);
    experiment_free(e);

    char *key = strstr(example, "num_active_experts = 4");
    assert_non_null(key);
    key[strlen("num_active_experts = ")] = '9';
    write_suite("sigmoid", example);
    assert_string_equal(failure("sigmoid", "sigmoid@moe.lb_coeff=0", MOE_ENOTFOUND),
                        "sigmoid/suite.toml:8: experiment sigmoid does not run under protocol as-published");
    const struct experiment_choice choice = choose("sigmoid", "sigmoid@moe.lb_coeff=0", "corrected", "smoke");
    e = NULL;
    assert_int_equal(experiment_load(&choice, &e, &err), MOE_ECONFIG);
    if (strstr(end + 1, as_documented(err.message)) == NULL) fail_msg("not in README.md: %s", err.message);
    memmove(key + strlen("num_active_expert"), key + strlen("num_active_experts"),
            strlen(key + strlen("num_active_experts")) + 1);
    write_suite("sigmoid", example);
    char **names = NULL;
    int32_t count = 0;
    assert_int_equal(experiment_list(&choice, &names, &count, &err), MOE_ECONFIG);
    if (strstr(end + 1, as_documented(err.message)) == NULL) fail_msg("not in README.md: %s", err.message);
    free(readme);
    free(published);
}

static void suites_and_tables_are_listed(void **state) {
    (void)state;
    write_suite("solo", HEAD);
    assert_non_null(strstr(failure("sole", NULL, MOE_ENOTFOUND), "no such suite: sole; did you mean solo?"));
    assert_non_null(strstr(failure("../solo", NULL, MOE_ENOTFOUND), "is not the name of a suite"));
    const struct experiment_choice choice = choose("solo", NULL, NULL, NULL);
    char **names = NULL;
    int32_t count = 0;
    assert_int_equal(experiment_protocols(&choice, &names, &count, NULL), MOE_OK);
    assert_int_equal(count, 2);
    assert_string_equal(names[1], "q");
    experiment_list_free(names, count);
    assert_int_equal(experiment_tiers(&choice, &names, &count, NULL), MOE_OK);
    assert_int_equal(count, 2);
    assert_string_equal(names[0], "t");
    experiment_list_free(names, count);
    assert_string_equal(list("solo", "p", "t"), "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(later_layers_win),
        cmocka_unit_test(axes_expand_in_order),
        cmocka_unit_test(experiments_restrict_themselves),
        cmocka_unit_test(an_alias_is_another_name_of_one_run),
        cmocka_unit_test(suites_inherit_from_each_other),
        cmocka_unit_test(circles_and_missing_parents_are_errors),
        cmocka_unit_test(mistakes_in_a_file_name_its_line),
        cmocka_unit_test(too_many_runs_are_refused),
        cmocka_unit_test(the_documented_example_works),
        cmocka_unit_test(suites_and_tables_are_listed),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
