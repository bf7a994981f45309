/* test: rooms=analysis label=fast */
/* Source C over synthetic runs whose numbers are known: where runs are placed, what they give, the fitted
 * optimum, and every figure, with all runs and with few of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <unistd.h>

#include "analysis/domain_losses.h"
#include "analysis/figures/source_c.h"
#include "analysis/measures.h"
#include "analysis/optimum.h"
#include "analysis/tables_source_c.h"
#include "figure_checks.h"
#include "fixture_runs_c.h"

#define ok(call)              assert_int_equal((call), MOE_OK)
#define near(a, b, tolerance) assert_true(fabs((a) - (b)) <= (tolerance))

static char root[] = "/tmp/moe-figures-c-XXXXXX";
static char few[64];
static struct report *report, *report_of_few;

static int write_runs(void **state) {
    (void)state;
    moe_err err = {0};
    if (mkdtemp(root) == NULL) return -1;
    snprintf(few, sizeof few, "%s-few", root);
    const struct fixture_c_run one = {.root = few,
                                      .width = 48,
                                      .g = 0.25,
                                      .s = 4,
                                      .capacity = 1.2,
                                      .alpha = 0.01,
                                      .tokens_per_step = 1000,
                                      .seed = 1};
    if (fixture_c_write_suite(root, 2, &err) != MOE_OK || fixture_c_write(&one, &err) != MOE_OK)
        return fixture_result(err.status, &err);
    report = open_report(root);
    report_of_few = open_report(few);
    return 0;
}

static int remove_runs(void **state) {
    (void)state;
    report_close(report);
    report_close(report_of_few);
    return fixture_remove(root);
}

static void test_runs_are_placed_by_configuration(void **state) {
    (void)state;
    struct slicing_grid grid;
    double *values = NULL;
    int32_t count = 0;
    ok(slicing_open(report, &grid, NULL));
    assert_int_equal(grid.n, 4 * (2 + 2 + 15 + 18 + 2));
    const struct slicing_choice usual = slicing_usual(&grid, 1, 48);
    ok(slicing_values(&grid, &usual, AXIS_GRANULARITY, &values, &count, NULL));
    assert_int_equal(count, 5);
    near(values[0], 1.0 / 16, 1e-15);
    free(values);
    ok(slicing_values(&grid, &usual, AXIS_EXPERTS, &values, &count, NULL));
    near(values[count - 1], 256, 0); /* 16 / (1 / 16) */
    free(values);
    near(usual.at[AXIS_CAPACITY], 1.2, 0);
    near(usual.at[AXIS_ALPHA], 0.01, 0);
    near(usual.at[AXIS_TOKENS], 60000, 0);
    struct slicing_choice pair = usual;
    pair.free |= 1u << AXIS_SECOND;
    int32_t pairs = 0;
    for (int32_t i = 0; i < grid.n; i++) {
        if (!slicing_fits(&pair, &grid.runs[i]) || grid.runs[i].at[AXIS_SECOND] == 0) continue;
        pairs++;
        near(grid.runs[i].at[AXIS_SPARSITY], grid.runs[i].at[AXIS_EXPERTS] == 20 ? 4 : 16, 1e-12);
    }
    assert_int_equal(pairs, 2 * 2);
    slicing_close(&grid);
}

static void test_numbers(void **state) {
    (void)state;
    struct slicing_grid grid;
    ok(slicing_open(report, &grid, NULL));
    struct slicing_choice c = slicing_usual(&grid, 0, 48);
    struct stats_estimate e;
    c.at[AXIS_GRANULARITY] = 0.25;
    c.at[AXIS_SPARSITY] = 4;
    c.free = 1u << AXIS_EXPERTS;
    const struct fixture_c_run same = {
        .width = 48, .g = 0.25, .s = 4, .capacity = 1.2, .tokens_per_step = 1000};
    struct fixture_c_run r = same;
    r.seed = 1;
    double mean = fixture_c_loss(&r) / 2;
    r.seed = 2;
    mean += fixture_c_loss(&r) / 2;
    ok(slicing_estimate(&grid, &c, NUMBER_EVAL_CE, NULL, &e, NULL));
    assert_int_equal(e.n, 2);
    near(e.value, mean, 1e-12);
    ok(slicing_estimate(&grid, &c, NUMBER_EVAL_CE, "sea", &e, NULL));
    near(e.value, mean + 0.5, 1e-12);
    ok(slicing_estimate(&grid, &c, NUMBER_TRAIN_CE, NULL, &e, NULL));
    near(e.value, mean + 0.1, 1e-9);
    ok(slicing_estimate(&grid, &c, NUMBER_BALANCE, NULL, &e, NULL));
    near(e.value, 1.5, 1e-9);
    ok(slicing_estimate(&grid, &c, NUMBER_IMBALANCE, NULL, &e, NULL));
    near(e.value, 1.5, 1e-9);
    moe_err err = {0};
    double answers = 0;
    ok(measure_of_run(report->runs, grid.runs[0].file, "last_answers", &answers, NULL));
    ok(slicing_number_of(&grid, &grid.runs[0], NUMBER_ACCURACY, "endings", &mean, NULL));
    near(answers, mean, 0);
    assert_int_equal(slicing_estimate(&grid, &c, NUMBER_EVAL_CE, "land", &e, &err), MOE_ENOTFOUND);
    assert_non_null(strstr(err.message, "land"));
    /* less dense, seed by seed: the noise of the seed is gone */
    const struct c_chart chart = {.number = NUMBER_EVAL_CE, .minus_dense = true};
    ok(c_estimate(&grid, &c, &chart, &e, NULL));
    assert_int_equal(e.n, 2);
    near(e.value, -0.02 - 0.06 + 0.01 * 0.25, 1e-12);
    near(e.sd, 0, 1e-12);
    slicing_close(&grid);
}

static void test_optimum_of_the_runs(void **state) {
    (void)state;
    struct slicing_grid grid;
    double x[32], y[32];
    int32_t n = 0;
    ok(slicing_open(report, &grid, NULL));
    struct slicing_choice c = slicing_usual(&grid, 1, 48);
    c.at[AXIS_SPARSITY] = 16;
    c.free &= ~(1u << AXIS_SPARSITY);
    for (int32_t i = 0; i < grid.n; i++) {
        if (!slicing_fits(&c, &grid.runs[i])) continue;
        x[n] = log2(grid.runs[i].at[AXIS_GRANULARITY]);
        ok(slicing_number_of(&grid, &grid.runs[i], NUMBER_EVAL_CE, NULL, &y[n++], NULL));
    }
    struct optimum o;
    assert_int_equal(n, 10);
    ok(optimum_fit(x, y, n, 500, 1, 0.95, &o, NULL));
    near(o.at, FIXTURE_C_BEST, 1e-9);
    near(o.c, 0.01, 1e-9);
    assert_true(o.is_inside && o.low < FIXTURE_C_BEST && o.high > FIXTURE_C_BEST && o.high - o.low < 1.5);
    slicing_close(&grid);
}

static void test_fractions(void **state) {
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0.125, "1/8"}, {1, "1"}, {256, "256"}, {0, "0"}, {0.3, "0.3"}, {1.5, "1.5"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[24];
        slicing_fraction(cases[i].value, text, sizeof text);
        assert_string_equal(text, cases[i].text);
    }
}

/* Rows of the tables: 4 of sizes; 15 configurations under both protocols, and 3 of the longer runs; a pair at
 * two totals. */
static void test_tables(void **state) {
    (void)state;
    static const int rows[] = {4, 2 * 15 + 2 * 3, 2 * 2};
    for (int32_t i = 0; i < source_c_table_count; i++) {
        char *text = NULL;
        int lines = 0;
        moe_err err = {0};
        if (table_print(report, &source_c_tables[i], TABLE_CSV, &text, &err) != MOE_OK)
            fail_msg("%s", err.message);
        for (const char *at = text; *at != '\0'; at++)
            lines += *at == '\n';
        assert_int_equal(lines, rows[i] + 1);
        if (i == 2) assert_non_null(strstr(text, "\"1/2, 1/8\",\"4, 16\",\"1, 4\",4,0,"));
        free(text);
        ok(table_print(report_of_few, &source_c_tables[i], TABLE_TEXT, &text, NULL));
        free(text);
    }
}

/* The whole and the questions are left out: one domain of text is there. */
static void test_domain_losses(void **state) {
    (void)state;
    struct slicing_grid grid;
    double *losses = NULL, whole = 0.0;
    int32_t count = 0;
    ok(slicing_open(report, &grid, NULL));
    ok(domain_losses(report->runs, grid.runs[0].file, &losses, &count, NULL));
    ok(slicing_number_of(&grid, &grid.runs[0], NUMBER_EVAL_CE, NULL, &whole, NULL));
    assert_int_equal(count, 1);
    near(losses[0], whole + 0.5, 1e-12);
    free(losses);
    slicing_close(&grid);
}

#define ONE(domain) +1
#define DOMAINS     (C_EACH_DOMAIN(ONE))

/* Pages of domains that no run was evaluated on are left out: seven of the eight. */
static void test_every_figure(void **state) {
    (void)state;
    int32_t left_out = 0;
    for (int32_t i = 0; i < source_c_figure_count; i++) {
        const struct figure *figure = &source_c_figures[i];
        unsigned char *data = NULL;
        size_t size = 0;
        moe_err err = {0};
        if (!run_list_concerns(report->runs, figure->need)) {
            left_out++;
            continue;
        }
        print_message("%s\n", figure->id);
        if (strcmp(figure->id, "c-schematic") != 0 && strcmp(figure->id, "c-grid") != 0)
            check_figure(report, figure, i == 1);
        if (figure_encode(report_of_few, figure, &data, &size, &err) != MOE_OK) fail_msg("%s", err.message);
        assert_true(size > 1000);
        free(data);
    }
    assert_int_equal(left_out, DOMAINS - 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs_are_placed_by_configuration),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_optimum_of_the_runs),
        cmocka_unit_test(test_fractions),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_domain_losses),
        cmocka_unit_test(test_every_figure),
    };
    return cmocka_run_group_tests(tests, write_runs, remove_runs);
}
