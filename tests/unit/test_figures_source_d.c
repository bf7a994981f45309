/* test: rooms=analysis label=fast */
/* Series, measures, figures and tables of source D over synthetic runs whose numbers are known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <unistd.h>

#include "analysis/measures.h"
#include "analysis/series_steps.h"
#include "analysis/tables.h"
#include "figure_checks.h"
#include "fixture_runs_d.h"

#define ok(call)              assert_int_equal((call), MOE_OK)
#define near(a, b, tolerance) assert_true(fabs((a) - (b)) <= (tolerance))
#define FIGURES               9
#define SEEDS                 2

static char root[] = "/tmp/moe-figures-d-XXXXXX";

/* All runs as they are written first: opening so many takes longer than most tests. */
static struct report *report;

/* Those of this file's subject; the load plots have a test of their own. */
static const char *const figures[FIGURES] = {"d-dense-parity",    "d-scaling",    "d-granularity",
                                             "d-shared",          "d-capacity",   "d-k1-fix",
                                             "d-router-gradient", "d-bias-rules", "d-training"};

static int write_runs(void **state) {
    (void)state;
    moe_err err = {0};
    if (mkdtemp(root) == NULL) return -1;
    if (fixture_d_write_suite(root, SEEDS, 0.0, &err) != MOE_OK) return fixture_result(err.status, &err);
    report = open_report(root);
    return 0;
}

static int remove_runs(void **state) {
    (void)state;
    report_close(report);
    return fixture_remove(root);
}

static void test_series_by_step(void **state) {
    (void)state;
    const struct run_group e1 = source_d_group(report, D_E1, D_AS_PUBLISHED);
    const struct fixture_d_run run = {root, D_E1, D_AS_PUBLISHED, 1, 0.0};
    struct series s;
    ok(series_of_run(report->runs, &e1.files[1], "step_eval_ce", &s, NULL));
    assert_int_equal(s.n, 4);
    for (int32_t i = 0; i < 4; i++) {
        near(s.x[i], 2.0 * (i + 1), 0.0);
        near(s.y[i], fixture_d_eval_ce(&run, 2 * (i + 1)), 1e-12);
    }
    series_free(&s);
    ok(series_of_run(report->runs, &e1.files[1], "step_router_grad_share", &s, NULL));
    assert_int_equal(s.n, FIXTURE_D_STEPS);
    near(s.y[4], fixture_d_router_gradient(&run, 5) / 2.0, 1e-18);
    series_free(&s);
    ok(series_of_run(report->runs, &e1.files[1], "step_max_over_mean.1", &s, NULL));
    near(s.y[0], 37.0 / 10.0, 1e-12);
    series_free(&s);
    ok(series_of_run(report->runs, &e1.files[1], "step_token_entropy", &s, NULL)); /* layers: 1 and 0.5 */
    near(s.y[7], 0.75, 1e-7);
    series_free(&s);
    ok(series_of_run(report->runs, &e1.files[1], "step_dropped_share", &s, NULL));
    near(s.y[3], 2.0 / 80.0, 1e-12);
    series_free(&s);
    /* fewer values than rows: means of neighbours, of positions too */
    ok(series_steps_of_run(report->runs, &e1.files[1], "step_train_ce", -1, 3, &s, NULL));
    assert_int_equal(s.n, 3); /* rows 1 2, 3 4 5, 6 7 8 */
    near(s.x[0], 1.5, 1e-12);
    near(s.x[1], 4.0, 1e-12);
    near(s.x[2], 7.0, 1e-12);
    near(s.y[2], fixture_d_eval_ce(&run, 7) - 0.05, 1e-12);
    series_free(&s);
}

static void test_differences_of_series(void **state) {
    (void)state;
    const struct run_group a = source_d_group(report, D_B4, D_AS_PUBLISHED);
    const struct run_group b = source_d_group(report, D_B1, D_AS_PUBLISHED);
    struct run_group one = b;
    struct series_group g;
    moe_err err = {0};
    ok(series_of_difference(report->runs, &a, &b, "step_eval_ce", &g, NULL));
    assert_int_equal(g.seeds, 2);
    assert_int_equal(g.common, 4);
    near(g.runs[1].y[3], (D_B4 - D_B1) * 0.011, 1e-12);
    near(g.mean[0], (D_B4 - D_B1) * 0.0105, 1e-12);
    assert_true(g.low[0] < g.mean[0] && g.high[0] > g.mean[0]);
    series_group_free(&g);
    one.files = &b.files[1]; /* seed 1 only */
    one.n = 1;
    ok(series_of_difference(report->runs, &a, &one, "step_eval_ce", &g, NULL));
    assert_int_equal(g.seeds, 1);
    near(g.mean[3], (D_B4 - D_B1) * 0.011, 1e-12);
    series_group_free(&g);
    struct run_group other = a;
    other.n = 1; /* seed 0 only */
    assert_int_equal(series_of_difference(report->runs, &other, &one, "step_eval_ce", &g, &err),
                     MOE_ENOTFOUND);
    assert_non_null(strstr(err.message, "no seed in common"));
}

static void test_measures_by_step(void **state) {
    (void)state;
    const struct run_group e1 = source_d_group(report, D_E1, D_CORRECTED);
    const struct fixture_d_run run = {root, D_E1, D_CORRECTED, 0, 0.0};
    static const struct {
        const char *name;
        double value;
    } known[] = {
        {"late_router_grad_norm", 0.085}, /* steps 7 and 8: 0.08, 0.09 */
        {"mean_router_grad_norm", 0.055},
        {"late_router_grad_share", 0.0425},
        {"late_grad_norm", 2.0},
        {"late_imbalance", 1.75}, /* 19 and 16 of 40 slots over 10 */
        {"late_imbalance.1", 1.75},
        {"late_token_entropy", 0.75},
        {"late_token_entropy.0", 1.0},
        {"dropped_share", 0.025},
        {"late_dropped_share.1", 0.025},
        {"max_over_mean", 1.6},
        {"max_share", 0.4},
        {"min_share.0", 0.2},
    };
    double value = 0.0;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        ok(measure_of_run(report->runs, &e1.files[0], known[i].name, &value, NULL));
        near(value, known[i].value, 1e-7);
    }
    ok(measure_of_run(report->runs, &e1.files[0], "final_train_ce", &value, NULL)); /* the last step */
    near(value, fixture_d_eval_ce(&run, FIXTURE_D_STEPS) - 0.05, 1e-12);
    ok(measure_of_run(report->runs, &e1.files[0], "final_train_loss", &value, NULL));
    near(value, fixture_d_eval_ce(&run, FIXTURE_D_STEPS) - 0.04, 1e-12);
}

/* Values over the seeds that all groups have, and an error where one group is empty. */
static void test_shared_seeds(void **state) {
    (void)state;
    struct run_group groups[3] = {source_d_group(report, D_B1, D_AS_PUBLISHED),
                                  source_d_group(report, D_B4, D_AS_PUBLISHED),
                                  source_d_group(report, D_A2, D_CORRECTED)};
    double *values = NULL;
    int32_t seeds = 0;
    moe_err err = {0};
    groups[1].files++;
    groups[1].n--;
    ok(measure_shared(report->runs, groups, 3, "last_ce", &values, &seeds, NULL));
    assert_int_equal(seeds, 1);
    near(values[0], 2.1 + 0.011 * D_B1, 1e-12);
    near(values[1], 2.1 + 0.011 * D_B4, 1e-12);
    near(values[2], 2.1 + 0.003 * D_A2, 1e-12);
    free(values);
    groups[2].n = 0;
    assert_int_equal(measure_shared(report->runs, groups, 3, "last_ce", &values, &seeds, &err),
                     MOE_ENOTFOUND);
    assert_non_null(strstr(err.message, "no runs of moedl/a2_moedl_lb_biasing corrected"));
}

static void test_every_figure(void **state) {
    (void)state;
    for (int32_t i = 0; i < FIGURES; i++)
        check_figure(report, figure_named(figures[i]), i == 0);
}

static void write_a2(double shift) {
    moe_err err = {0};
    for (int32_t p = 0; p < D_PROTOCOLS; p++) {
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            const struct fixture_d_run run = {root, D_A2, (enum source_d_protocol)p, seed, shift};
            char path[1024];
            fixture_d_path(&run, path, sizeof path);
            assert_int_equal(unlink(path), 0);
            ok(fixture_d_write(&run, &err));
        }
    }
}

/* Other losses of a2, which is also b3 and c1: the figures of its families change, the others do not. */
static void test_figures_depend_on_runs(void **state) {
    (void)state;
    static const bool changes[FIGURES] = {false, true, true, false, true, true, false, true, true};
    write_a2(0.05);
    struct report *changed = open_report(root);
    for (int32_t i = 0; i < FIGURES; i++) {
        const bool same = looks_same(report, changed, figure_named(figures[i]));
        if (same == changes[i]) fail_msg("%s %s", figures[i], same ? "does not change" : "changes");
    }
    report_close(changed);
    write_a2(0.0);
}

/* A figure or table whose run is missing names it with its protocol; those that do without it are drawn. */
static void test_missing_runs(void **state) {
    (void)state;
    char path[1024];
    unsigned char *data = NULL;
    char *text = NULL;
    size_t size = 0;
    moe_err err = {0};
    const struct table *table = NULL;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        fixture_d_path(&(struct fixture_d_run){root, D_B1, D_CORRECTED, seed, 0.0}, path, sizeof path);
        assert_int_equal(unlink(path), 0);
    }
    struct report *fewer = open_report(root);
    assert_int_equal(figure_encode(fewer, figure_named("d-scaling"), &data, &size, &err), MOE_ENOTFOUND);
    assert_non_null(strstr(err.message, "for: b1_moedl_e2_k1 corrected; train them with `moe suite moedl"));
    ok(figure_encode(fewer, figure_named("d-shared"), &data, &size, &err));
    free(data);
    ok(table_find("d-results", &table, NULL));
    assert_int_equal(table_print(fewer, table, TABLE_TEXT, &text, &err), MOE_ENOTFOUND);
    assert_non_null(strstr(err.message, "b1_moedl_e2_k1 corrected"));
    report_close(fewer);
    for (uint64_t seed = 0; seed < SEEDS; seed++)
        ok(fixture_d_write(&(struct fixture_d_run){root, D_B1, D_CORRECTED, seed, 0.0}, &err));
}

/* Everything is needed once: the reference as published only, what was added to the source corrected only. */
static void test_needs(void **state) {
    (void)state;
    int32_t times[D_EXPERIMENTS][D_PROTOCOLS] = {{0}};
    for (const struct run_need *need = &source_d_need_all; need != NULL; need = need->also)
        for (int32_t i = 0; i < need->num_experiments; i++)
            for (int32_t k = 0; k < need->num_protocols; k++)
                for (int32_t e = 0; e < D_EXPERIMENTS; e++)
                    for (int32_t p = 0; p < D_PROTOCOLS; p++)
                        times[e][p] += strcmp(need->experiments[i], source_d_experiments[e]) == 0 &&
                                       strcmp(need->protocols[k], source_d_protocols[p]) == 0;
    for (int32_t e = 0; e < D_EXPERIMENTS; e++)
        for (int32_t p = 0; p < D_PROTOCOLS; p++)
            assert_int_equal(times[e][p],
                             fixture_d_exists((enum source_d_experiment)e, (enum source_d_protocol)p));
}

/* Where nearly all is missing, the error still ends with what to do. */
static void test_all_missing(void **state) {
    (void)state;
    char path[1024];
    moe_err err = {0};
    fixture_d_path(&(struct fixture_d_run){root, D_E4, D_CORRECTED, 1, 0.0}, path, sizeof path);
    struct report *one = open_report(path);
    assert_int_equal(run_list_require(one->runs, &source_d_need_all, "table x", &err), MOE_ENOTFOUND);
    assert_non_null(strstr(err.message, "01_moedl_dense as-published, 01_moedl_dense corrected"));
    assert_non_null(strstr(err.message, " and 30 more; train them with `moe suite moedl --tier desk`"));
    report_close(one);
}

/* ---- tables */

static int count_lines(const char *text) {
    int lines = 0;
    for (; *text != '\0'; text++)
        lines += *text == '\n';
    return lines;
}

/* Columns of CSV after the name: published validation, training, then four estimates of three columns. */
static void test_results(void **state) {
    (void)state;
    char *csv = print_csv(report, "d-results");
    assert_int_equal(count_lines(csv), 1 + 28);
    near(csv_value(csv, "\r\nb4_moedl_e16_k1,", 0), 1.13773, 0.0);
    near(csv_value(csv, "\r\nb4_moedl_e16_k1,", 1), 1.1016, 0.0);
    near(csv_value(csv, "\r\nb4_moedl_e16_k1,", 2), 2.05 + 0.0105 * D_B4, 1e-9);
    near(csv_value(csv, "\r\nb4_moedl_e16_k1,", 5), 2.05 + 0.0025 * D_B4, 1e-9);
    near(csv_value(csv, "\r\nb4_moedl_e16_k1,", 8), 2.0 + 0.0105 * D_B4, 1e-9);
    near(csv_value(csv, "\r\nb4_moedl_e16_k1,", 14), SEEDS, 0.0);
    near(csv_value(csv, "\r\nb4_moedl_e16_k1,", 15), 2000.0 + D_B4, 0.0);
    near(csv_value(csv, "\r\nb4_moedl_e16_k1,", 16), 1000.0 + D_B4, 0.0);
    /* another name of a2 */
    near(csv_value(csv, "\r\nb3_moedl_e8_k1 (= a2),", 2), 2.05 + 0.0105 * D_A2, 1e-9);
    near(csv_value(csv, "\r\nc1_moedl_e8_k1 (= a2),", 0), 1.12960, 0.0);
    /* no corrected run of the reference, no published number of a follow-up */
    assert_non_null(strstr(csv, "\r\na2_bias_text,,,,,,"));
    const char *llama = strstr(csv, "\r\n00_llama2_ref,1.11134,1.0844,");
    assert_non_null(llama);
    assert_non_null(strstr(llama, ",,,,"));
    free(csv);
}

static void test_question(void **state) {
    (void)state;
    char *csv = print_csv(report, "d-question");
    /* label, what, published, as published (value, low, high), p, corrected, p, change, p, seeds */
    const double steps = D_A2 - D_DENSE;
    const char *head = "\r\na2 - 01,one of eight experts against dense,";
    near(csv_value(csv, head, 0), 1.12960 - 1.11119, 1e-12);
    near(csv_value(csv, head, 1), 0.0105 * steps, 1e-9);
    near(csv_value(csv, head, 5), 0.0025 * steps, 1e-9);
    near(csv_value(csv, head, 9), -0.008 * steps, 1e-9); /* the same for both seeds: no spread */
    near(csv_value(csv, head, 10), -0.008 * steps, 1e-9);
    near(csv_value(csv, head, 13), SEEDS, 0.0);
    near(csv_value(csv, "\r\nb4 - b1,one of sixteen against one of two,", 5), 0.0025 * (D_B4 - D_B1), 1e-9);
    /* doubled: the corrected run is another, and the change is from the row above */
    const double doubled = 0.0025 * (D_B4_SCALED - D_B1_SCALED);
    head = "\r\nb4 scaled - b1 scaled,the same with raw weights doubled,,,,,,";
    near(csv_value(csv, head, 0), doubled, 1e-9);
    near(csv_value(csv, head, 4), doubled - 0.0105 * (D_B4 - D_B1), 1e-9);
    near(csv_value(csv, "\r\nc1 - c2,one of eight against two of sixteen,", 5), 0.0025 * (D_A2 - D_C2), 1e-9);
    free(csv);
}

static void test_parameters(void **state) {
    (void)state;
    char *csv = print_csv(report, "d-parameters");
    assert_int_equal(count_lines(csv), 1 + 11);
    /* experts, active, shared, width, published, from the sizes, difference, ours, active */
    const char *head = "\r\nd3_moedl_s2_k2_e30,";
    static const double want[] = {30, 2, 2, 512, 401670912, 401670912, 0, 2000 + D_D3, 1000 + D_D3};
    for (int32_t i = 0; i < 9; i++)
        near(csv_value(csv, head, i), want[i], 0.0);
    free(csv);
}

static void test_routing(void **state) {
    (void)state;
    char *csv = print_csv(report, "d-routing");
    assert_int_equal(count_lines(csv), 1 + 2 * 16 + 6);
    const char *one = "\r\ne1_moedl_cf_1_0,as published,";
    near(csv_value(csv, one, 0), SEEDS, 0.0);
    near(csv_value(csv, one, 1), -7.0 + 0.5 * (log10(8.5) + log10(9.5)), 1e-9);
    near(csv_value(csv, one, 4), -7.0 + 0.5 * (log10(4.25) + log10(4.75)), 1e-9);
    near(csv_value(csv, one, 7), 0.75, 1e-7);
    near(csv_value(csv, one, 13), 1.75, 1e-9);
    near(csv_value(csv, one, 16), 2.5, 1e-9);
    near(csv_value(csv, "\r\ne1_moedl_cf_1_0,corrected,", 1), -2.0 + 0.5 * (log10(8.5) + log10(9.5)), 1e-9);
    near(csv_value(csv, "\r\nc3_moedl_e32_k4,as published,", 1), -2.0 + 0.5 * (log10(8.5) + log10(9.5)),
         1e-9);
    free(csv);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_series_by_step),   cmocka_unit_test(test_differences_of_series),
        cmocka_unit_test(test_measures_by_step), cmocka_unit_test(test_shared_seeds),
        cmocka_unit_test(test_every_figure),     cmocka_unit_test(test_figures_depend_on_runs),
        cmocka_unit_test(test_missing_runs),     cmocka_unit_test(test_needs),
        cmocka_unit_test(test_all_missing),      cmocka_unit_test(test_results),
        cmocka_unit_test(test_question),         cmocka_unit_test(test_parameters),
        cmocka_unit_test(test_routing),
    };
    return cmocka_run_group_tests(tests, write_runs, remove_runs);
}
