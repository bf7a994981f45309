/* test: rooms=core,record,train label=fast */
#include <math.h>
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
#include "train/lr_sweep.h"
#include "train/trainer.h"

/* ---- names */

static void names_read_back(void **state) {
    (void)state;
    static const struct {
        const char *experiment, *name;
        double rate;
    } cases[] = {
        {"top2", "lr_sweep.top2@train.lr=0.001", 1e-3},
        {"c3_moedl_e32_k4", "lr_sweep.c3_moedl_e32_k4@train.lr=8e-05", 8e-5},
        {"x@moe.lb_coeff=0.05", "lr_sweep.x@moe.lb_coeff=0.05,train.lr=0.003", 3e-3},
        {"x@train.lr=0.5", "lr_sweep.x@train.lr=0.5,train.lr=0.25", 0.25},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        moe_err err = {0};
        char name[LR_SWEEP_NAME_MAX], experiment[LR_SWEEP_NAME_MAX];
        double rate = 0;
        assert_int_equal(lr_sweep_format_name(cases[i].experiment, cases[i].rate, name, &err), MOE_OK);
        assert_string_equal(name, cases[i].name);
        assert_true(lr_sweep_parse_name(name, experiment, &rate));
        assert_string_equal(experiment, cases[i].experiment);
        assert_true(rate == cases[i].rate);
    }
}

static void other_names_are_not_taken(void **state) {
    (void)state;
    static const char *const names[] = {"top2",
                                        "top2@train.lr=0.001",
                                        "lr_sweep@train.lr=0.001",
                                        "lr_sweep.top2",
                                        "lr_sweep.top2@train.lr=",
                                        "lr_sweep.top2@train.lr=fast",
                                        "lr_sweep.top2@train.lr=0",
                                        "lr_sweep.top2@train.lr=-1",
                                        "lr_sweep.top2@train.lr=nan",
                                        "lr_sweep.top2@train.lr=inf",
                                        "lr_sweep.top2@train.lr=1e999",
                                        "lr_sweep.top2@train.lr=0x1p-3",
                                        "lr_sweep.top2@train.lr=1e-3 ",
                                        "lr_sweep.@train.lr=1e-3",
                                        "lr_sweep.top2@xtrain.lr=1e-3",
                                        ""};
    char experiment[LR_SWEEP_NAME_MAX];
    double rate;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (lr_sweep_parse_name(names[i], experiment, &rate)) fail_msg("'%s' was taken", names[i]);
}

static void a_name_too_long_is_refused(void **state) {
    (void)state;
    moe_err err = {0};
    char name[LR_SWEEP_NAME_MAX], experiment[LR_SWEEP_NAME_MAX];
    memset(experiment, 'x', sizeof experiment - 1);
    experiment[sizeof experiment - 1] = 0;
    assert_int_equal(lr_sweep_format_name(experiment, 1e-3, name, &err), MOE_ECONFIG);
    assert_non_null(strstr(err.message, "letters"));
}

/* ---- the rule */

static struct lr_sweep_run trained(double rate, uint64_t seed, double loss) {
    return (struct lr_sweep_run){.rate = rate,
                                 .seed = seed,
                                 .max_steps = 150,
                                 .steps = 150,
                                 .first_loss = 10,
                                 .train_loss = loss,
                                 .validation_loss = loss + 0.5,
                                 .finite = true};
}

static struct lr_sweep_run diverged(double rate, uint64_t seed) {
    struct lr_sweep_run run = trained(rate, seed, 99);
    run.diverged = true;
    return run;
}

static struct lr_sweep_summary summarize(struct lr_sweep_run *runs, int32_t count) {
    moe_err err = {0};
    struct lr_sweep_summary s;
    if (lr_sweep_summarize(runs, count, &s, &err) != MOE_OK) fail_msg("%s", err.message);
    return s;
}

#define SUMMARIZE(runs) summarize(runs, (int32_t)(sizeof(runs) / sizeof *(runs)))

static void one_seed_gives_the_smallest_loss_alone(void **state) {
    (void)state;
    struct lr_sweep_run runs[] = {trained(1e-2, 1, 4.0), diverged(1e3, 1), trained(1e-4, 1, 5.0),
                                  trained(1e-3, 1, 3.0)};
    const struct lr_sweep_summary s = SUMMARIZE(runs);
    assert_int_equal(s.count, 4);
    for (int32_t i = 1; i < s.count; i++)
        assert_true(s.rates[i - 1].rate < s.rates[i].rate);
    assert_int_equal(s.suggested, 1);
    assert_true(s.rates[s.suggested].rate == 1e-3);
    assert_int_equal(s.largest, -1);
    assert_int_equal(s.rates[3].diverged, 1);
    assert_true(isnan(s.rates[3].train_loss));
    assert_true(s.rates[2].excess == 1.0 && isnan(s.rates[2].excess_error));
}

/* Seeds differ by 0.5 from each other and hardly between rates: only the paired difference shows it. */
static void noise_is_measured_seed_by_seed(void **state) {
    (void)state;
    struct lr_sweep_run runs[] = {
        trained(1e-3, 1, 3.00), trained(1e-3, 2, 3.50), trained(1e-3, 3, 4.00), /* the smallest mean */
        trained(2e-3, 1, 3.10), trained(2e-3, 2, 3.60), trained(2e-3, 3, 4.10), /* clearly above */
        trained(4e-3, 3, 4.02), trained(4e-3, 1, 2.99), trained(4e-3, 2, 3.52), /* the same, but for noise */
        trained(8e-3, 1, 5.00), trained(8e-3, 2, 5.50), trained(8e-3, 3, 6.00),
    };
    const struct lr_sweep_summary s = SUMMARIZE(runs);
    assert_int_equal(s.seeds, 3);
    assert_int_equal(s.suggested, 0);
    assert_true(s.rates[0].train_loss == 3.5 && s.rates[0].validation_loss == 4.0);
    assert_int_equal(s.largest, 2);
    assert_true(fabs(s.rates[2].excess - 0.01) < 1e-12);
    assert_true(fabs(s.rates[2].excess_error - 0.01) < 1e-12); /* of -0.01, 0.02, 0.02: sd 0.01 sqrt 3 */
    assert_true(fabs(s.rates[1].excess - 0.1) < 1e-12 && s.rates[1].excess_error < 1e-12);
}

static void a_rate_without_all_seeds_is_no_candidate(void **state) {
    (void)state;
    struct lr_sweep_run runs[] = {trained(1e-3, 1, 3.0), trained(1e-3, 2, 3.2), /* all there */
                                  trained(2e-3, 1, 1.0), diverged(2e-3, 2),     /* one diverged */
                                  trained(3e-3, 2, 1.0)};                       /* one missing */
    const struct lr_sweep_summary s = SUMMARIZE(runs);
    assert_int_equal(s.suggested, 0);
    assert_int_equal(s.largest, 0);
    assert_true(s.rates[1].train_loss == 1.0 && s.rates[1].seeds == 2 && s.rates[1].diverged == 1);
    assert_true(s.rates[2].excess == 1.0 - 3.2);
}

static void nothing_to_suggest(void **state) {
    (void)state;
    struct lr_sweep_run runs[] = {diverged(1, 1), diverged(2, 1)};
    assert_int_equal(SUMMARIZE(runs).suggested, -1);
    assert_int_equal(summarize(NULL, 0).suggested, -1);
    assert_int_equal(summarize(NULL, 0).count, 0);
}

static void too_many_rates_are_refused(void **state) {
    (void)state;
    moe_err err = {0};
    struct lr_sweep_run runs[LR_SWEEP_RATES_MAX + 1];
    struct lr_sweep_summary s;
    for (int32_t i = 0; i <= LR_SWEEP_RATES_MAX; i++)
        runs[i] = trained(i + 1, 1, 3);
    assert_int_equal(lr_sweep_summarize(runs, LR_SWEEP_RATES_MAX, &s, &err), MOE_OK);
    assert_int_equal(lr_sweep_summarize(runs, LR_SWEEP_RATES_MAX + 1, &s, &err), MOE_EARG);
}

/* ---- settings */

static const char head[] =
    "[protocol.p]\n[tier.smoke]\n[tier.desk]\n[base.data]\ntrain_tokens = 100000\n"
    "[experiment.x.train]\nlr = 7e-4\nmax_epochs = 2\nwarmup_ratio = 0.1\npatience = 3\n"
    "[experiment.y]\nalias = \"x\"\n"
    "[experiment.z]\ninherit = \"x\"\n[experiment.z.axes]\n\"train.lr\" = [1e-3, 1e-2]\n";

static moe_status read_settings(const char *text, const char *tier, struct lr_sweep_settings *out,
                                moe_err *err) {
    moe_status status = MOE_OK;
    struct suite_file *suite = NULL;
    char whole[2000];
    snprintf(whole, sizeof whole, "%s%s", head, text);
    moe_try(suite_file_parse(whole, strlen(whole), "test", &suite, err));
    moe_try(lr_sweep_settings_of(suite, tier, out, err));
out:
    suite_file_free(suite);
    return status;
}

static struct lr_sweep_settings settings(const char *text, const char *tier) {
    moe_err err = {0};
    struct lr_sweep_settings s;
    if (read_settings(text, tier, &s, &err) != MOE_OK) fail_msg("%s", err.message);
    return s;
}

static void settings_come_from_the_suite(void **state) {
    (void)state;
    static const char text[] = "[lr_sweep]\nlr = [1, 2e-3]\nsteps = 40\nwarmup_steps = 8\n"
                               "[tier.desk.lr_sweep]\nsteps = 80\n";
    const struct lr_sweep_settings none = settings("", "smoke");
    assert_int_equal(none.count, 12); /* source D's list */
    assert_true(none.rates[0] == 1e-5 && none.rates[11] == 8e-3);
    assert_int_equal(none.steps, 150);
    assert_int_equal(none.warmup_steps, 30);
    const struct lr_sweep_settings smoke = settings(text, "smoke"), desk = settings(text, "desk");
    assert_int_equal(smoke.count, 2);
    assert_true(smoke.rates[0] == 1.0 && smoke.rates[1] == 2e-3);
    assert_int_equal(smoke.steps, 40);
    assert_int_equal(desk.steps, 80);
    assert_int_equal(desk.warmup_steps, 8);
    assert_int_equal(desk.count, 2);
}

static void mistakes_in_the_suite_are_named(void **state) {
    (void)state;
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"[lr_sweep]\nrate = 1\n", "no such key of an lr_sweep: rate"},
        {"[lr_sweep]\nwarm_steps = 1\n", "warmup_steps"},
        {"[lr_sweep]\nlr = 1e-3\n", "no list"},
        {"[lr_sweep]\nlr = []\n", "no list"},
        {"[lr_sweep]\nlr = [\"fast\"]\n", "train.lr"},
        {"[lr_sweep]\nlr = [0.0]\n", "train.lr"},
        {"[lr_sweep]\nlr = [1e-3, 0.001]\n", "twice"},
        {"[lr_sweep]\nsteps = 0\n", "from 1"},
        {"[lr_sweep]\nsteps = 2.5\n", "train.max_steps"},
        {"[lr_sweep]\nsteps = 2000000\n", "from 1"},
        {"[lr_sweep]\nwarmup_steps = -1\n", "train.warmup_steps"},
        {"[tier.smoke.lr_sweep]\nsteps = true\n", "train.max_steps"},
        {"[experiment.x.lr_sweep]\nsteps = 3\n", "lr_sweep"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        moe_err err = {0};
        struct lr_sweep_settings s;
        assert_int_equal(read_settings(cases[i].text, "smoke", &s, &err), MOE_ECONFIG);
        if (strstr(err.message, cases[i].expected) == NULL || strstr(err.message, "test:") == NULL)
            fail_msg("%s: '%s'", cases[i].text, err.message);
    }
}

static void rates_of_a_command_line(void **state) {
    (void)state;
    static const char *const wrong[] = {"", "1e-3;2", "1e-3,,2", "0", "-1", "nan", "inf", "1e-3,0.001", "x"};
    struct lr_sweep_settings s = {0};
    moe_err err = {0};
    assert_int_equal(lr_sweep_parse_rates("1e-3,3E-4,2", &s, &err), MOE_OK);
    assert_int_equal(s.count, 3);
    assert_true(s.rates[0] == 1e-3 && s.rates[1] == 3e-4 && s.rates[2] == 2);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        err = (moe_err){0};
        if (lr_sweep_parse_rates(wrong[i], &s, &err) != MOE_EUSAGE) fail_msg("'%s' was taken", wrong[i]);
    }
}

/* ---- runs of a suite */

static char folder[64];

static int make_suite(void **state) {
    (void)state;
    moe_err err = {0};
    char path[128], text[2000];
    snprintf(folder, sizeof folder, "/tmp/moe_sweep_XXXXXX");
    if (mkdtemp(folder) == NULL) return 1;
    snprintf(path, sizeof path, "%s/s/suite.toml", folder);
    snprintf(text, sizeof text, "%s[tier.desk.lr_sweep]\nsteps = 20\nwarmup_steps = 0\n", head);
    return file_make_parents(path, &err) != MOE_OK ||
           file_write_atomic(path, text, strlen(text), &err) != MOE_OK;
}

static int remove_suite(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static moe_status load(const char *name, const char *tier, struct experiment **out, moe_err *err) {
    const struct experiment_choice choice = {
        .suites_dir = folder, .suite = "s", .experiment = name, .protocol = "p", .tier = tier, .seed = 4};
    return experiment_load(&choice, out, err);
}

static void a_run_is_the_experiment_at_another_rate(void **state) {
    (void)state;
    moe_err err = {0};
    struct experiment *plain = NULL, *e = NULL, *again = NULL;
    assert_int_equal(load("x", "smoke", &plain, &err), MOE_OK);
    if (load("lr_sweep.x@train.lr=1e-3", "smoke", &e, &err) != MOE_OK) fail_msg("%s", err.message);
    assert_string_equal(e->name, "lr_sweep.x@train.lr=0.001");
    assert_true(e->train.lr == 1e-3);
    assert_int_equal(e->train.max_steps, 150);
    assert_true(e->train.max_epochs >= 150);
    assert_int_equal(e->train.eval_steps, 150);
    assert_int_equal(e->train.warmup_steps, 30);
    assert_int_equal(e->train.patience, 0);
    assert_int_equal(experiment_planned_steps(e), 150);
    assert_int_equal(e->train.batch_size, plain->train.batch_size);
    assert_int_equal(plain->train.max_steps, 0);
    assert_true(plain->train.lr == 7e-4);
    char *path = trainer_default_path("runs", e);
    assert_string_equal(path, "runs/smoke/s/lr-sweep/lr_sweep.x@train.lr=0.001.p.s4.h5");
    assert_int_equal(experiment_from_json(e->json, &again, &err), MOE_OK);
    assert_string_equal(again->sha256, e->sha256);
    free(path);
    experiment_free(plain);
    experiment_free(e);
    experiment_free(again);
}

static void aliases_axes_and_tiers(void **state) {
    (void)state;
    moe_err err = {0};
    struct experiment *e = NULL;
    assert_int_equal(load("lr_sweep.y@train.lr=2", "desk", &e, &err), MOE_OK);
    assert_string_equal(e->name, "lr_sweep.x@train.lr=2");
    assert_int_equal(e->train.max_steps, 20);
    assert_int_equal(e->train.warmup_steps, 0);
    assert_true(e->train.warmup_ratio == 0);
    experiment_free(e);
    /* an axis of the same key is another run, with another name, and another file */
    assert_int_equal(load("z@train.lr=0.001", "smoke", &e, &err), MOE_OK);
    assert_string_equal(e->name, "z@train.lr=0.001");
    assert_int_equal(e->train.max_steps, 0);
    experiment_free(e);
    assert_int_equal(load("lr_sweep.z@train.lr=0.01,train.lr=3", "smoke", &e, &err), MOE_OK);
    assert_string_equal(e->name, "lr_sweep.z@train.lr=0.01,train.lr=3");
    assert_true(e->train.lr == 3);
    experiment_free(e);
    assert_int_equal(load("lr_sweep.nothing@train.lr=3", "smoke", &e, &err), MOE_ENOTFOUND);
    assert_non_null(strstr(err.message, "nothing"));
}

static void no_experiment_can_have_such_a_name(void **state) {
    (void)state;
    moe_err err = {0};
    struct lr_sweep_settings s;
    assert_int_equal(read_settings("[experiment.\"lr_sweep.x\"]\n", "smoke", &s, &err), MOE_ECONFIG);
    assert_non_null(strstr(err.message, "is no name"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_read_back),
        cmocka_unit_test(other_names_are_not_taken),
        cmocka_unit_test(a_name_too_long_is_refused),
        cmocka_unit_test(one_seed_gives_the_smallest_loss_alone),
        cmocka_unit_test(noise_is_measured_seed_by_seed),
        cmocka_unit_test(a_rate_without_all_seeds_is_no_candidate),
        cmocka_unit_test(nothing_to_suggest),
        cmocka_unit_test(too_many_rates_are_refused),
        cmocka_unit_test(settings_come_from_the_suite),
        cmocka_unit_test(mistakes_in_the_suite_are_named),
        cmocka_unit_test(rates_of_a_command_line),
        cmocka_unit_test(a_run_is_the_experiment_at_another_rate),
        cmocka_unit_test(aliases_axes_and_tiers),
        cmocka_unit_test(no_experiment_can_have_such_a_name),
    };
    return cmocka_run_group_tests(tests, make_suite, remove_suite);
}
