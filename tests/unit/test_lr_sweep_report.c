/* test: rooms=analysis label=fast */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "analysis/figure.h"
#include "analysis/lr_sweeps.h"
#include "analysis/png_out.h"
#include "analysis/tables.h"
#include "core/file.h"
#include "record/writer.h"

#define ok(call)                                                                                             \
    do {                                                                                                     \
        if ((call) != MOE_OK) fail_msg("%s", err.message);                                                   \
    } while (0)

#define STEPS 20

static char root[64];

static int make_root(void **state) {
    (void)state;
    snprintf(root, sizeof root, "/tmp/moe-sweeps-XXXXXX");
    return mkdtemp(root) == NULL;
}

static int remove_root(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

/* A run of a sweep as a trainer leaves it: the loss falls (or rises) in a straight line from 6 at step 1 to
 * `last` at the last step. */
struct sweep_run {
    const char *suite, *experiment, *protocol;
    double rate;
    uint64_t seed;
    double last;
    int64_t steps;     /* made; fewer than STEPS if it ended with a number that is not finite */
    int64_t max_steps; /* as configured */
};

static double loss_at(const struct sweep_run *run, int64_t step) {
    return 6.0 + (run->last - 6.0) * (double)(step - 1) / (double)(run->steps - 1);
}

static void write_run(const struct sweep_run *run) {
    moe_err err = {0};
    struct run_writer *w = NULL;
    char name[LR_SWEEP_NAME_MAX], path[512], config[256];
    static const char *const domains[] = {"all"};
    ok(lr_sweep_format_name(run->experiment, run->rate, name, &err));
    snprintf(path, sizeof path, "%s/%s/lr-sweep/%s.%s.s%d.h5", root, run->suite, name, run->protocol,
             (int)run->seed);
    snprintf(config, sizeof config, "{\"train\":{\"max_steps\":%d,\"warmup_steps\":4}}", (int)run->max_steps);
    const struct run_begin begin = {.path = path,
                                    .identity = {.suite = run->suite,
                                                 .source = "D",
                                                 .experiment = name,
                                                 .protocol = run->protocol,
                                                 .tier = "desk",
                                                 .seed = run->seed},
                                    .axes = {.domains = 1, .hist_bins = 1},
                                    .domain_names = domains,
                                    .config_json = config,
                                    .config_toml = "",
                                    .counts_json = "{}"};
    ok(file_make_parents(path, &err));
    ok(run_writer_begin(&begin, &w, &err));
    for (int64_t step = 1; step <= run->steps; step++) {
        const double loss = loss_at(run, step);
        ok(run_writer_train(
            w, &(struct run_train_row){.step = step, .tokens = step, .loss = loss, .loss_ce = loss}, &err));
    }
    if (run->steps == run->max_steps)
        ok(run_writer_eval(
            w, &(struct run_eval_row){.step = run->steps, .loss = run->last + 0.25, .tokens = 1}, &err));
    ok(run_writer_commit(w, &err));
    ok(run_writer_seal(w, run->steps == run->max_steps ? "max_steps" : LR_SWEEP_DIVERGED, NULL, 0, NULL,
                       &err));
}

/* a2 under both protocols, c3 under one; three seeds where nothing is said. */
static void write_sweeps(void) {
    static const double rates[] = {1e-4, 1e-3, 1e-2}, last[] = {5.0, 3.0, 4.0};
    for (uint64_t seed = 1; seed <= 3; seed++) {
        for (int i = 0; i < 3; i++)
            write_run(&(struct sweep_run){"moedl", "a2_moedl_lb_biasing", "corrected", rates[i], seed,
                                          last[i] + 0.1 * (double)seed, STEPS, STEPS});
        /* not finite at step 13; above its first step */
        write_run(&(struct sweep_run){"moedl", "a2_moedl_lb_biasing", "corrected", 1e2, seed, 7, 12, STEPS});
        write_run(
            &(struct sweep_run){"moedl", "a2_moedl_lb_biasing", "corrected", 1, seed, 6.1, STEPS, STEPS});
    }
    write_run(
        &(struct sweep_run){"moedl", "a2_moedl_lb_biasing", "as-published", 1e-3, 1, 3.5, STEPS, STEPS});
    write_run(&(struct sweep_run){"moedl", "c3_moedl_e32_k4", "corrected", 1e-3, 1, 2.5, STEPS, STEPS});
    write_run(&(struct sweep_run){"other", "c3_moedl_e32_k4", "corrected", 1e-3, 1, 2.5, STEPS, STEPS});
}

static void clear(void) {
    moe_err err = {0};
    assert_int_equal(remove_root(NULL), 0);
    ok(file_make_folders(root, &err));
}

static struct report *open_report(void) {
    moe_err err = {0};
    struct report *report = NULL;
    const char *const roots[] = {root};
    ok(report_open(&(struct run_selection){roots, 1, NULL}, "paper", &report, &err));
    return report;
}

/* The mean of a straight line over its last ten steps. */
static double mean_of_end(double last, int64_t steps) {
    const struct sweep_run run = {.last = last, .steps = steps};
    return (loss_at(&run, steps - LR_SWEEP_LAST_STEPS + 1) + last) / 2;
}

static void runs_are_read_and_grouped(void **state) {
    (void)state;
    moe_err err = {0};
    struct lr_sweeps s = {0};
    clear();
    write_sweeps();
    struct report *report = open_report();
    ok(lr_sweeps_of(report->runs, "moedl", &s, &err));
    assert_int_equal(s.count, 3);
    const struct lr_sweep_set *published = &s.sets[0], *a2 = &s.sets[1], *c3 = &s.sets[2];
    if (strcmp(published->protocol, "as-published") != 0) {
        a2 = &s.sets[0];
        published = &s.sets[1];
    }
    assert_string_equal(a2->experiment, "a2_moedl_lb_biasing");
    assert_string_equal(c3->experiment, "c3_moedl_e32_k4");
    assert_int_equal(a2->count, 15);
    assert_int_equal(published->count, 1);
    const struct lr_sweep_run *first = &a2->runs[0];
    assert_true(first->rate == 1e-4 && first->seed == 1);
    assert_int_equal(first->max_steps, STEPS);
    assert_int_equal(first->warmup_steps, 4);
    assert_true(first->first_loss == 6.0);
    assert_true(fabs(first->train_loss - mean_of_end(5.1, STEPS)) < 1e-12);
    assert_true(fabs(first->validation_loss - 5.35) < 1e-12);
    assert_true(first->finite && !first->diverged);

    assert_true(a2->summary.rates[a2->summary.suggested].rate == 1e-3);
    assert_int_equal(a2->summary.largest, a2->summary.suggested);
    const struct lr_sweep_run *above = &a2->runs[9], *not_finite = &a2->runs[12];
    assert_true(above->diverged && above->finite);
    assert_true(not_finite->diverged && !not_finite->finite);
    assert_int_equal(not_finite->steps, 12);
    assert_true(isnan(not_finite->validation_loss));

    const struct stats_estimate e = lr_sweep_estimate(a2, 1, false);
    assert_int_equal(e.n, 3);
    assert_true(fabs(e.value - mean_of_end(3.2, STEPS)) < 1e-12 && e.low < e.value && e.high > e.value);
    assert_true(fabs(lr_sweep_estimate(a2, 1, true).value - 3.45) < 1e-12);
    assert_int_equal(lr_sweep_estimate(a2, 4, false).n, 0);
    const struct stats_difference d = lr_sweep_excess(a2, 2);
    assert_true(fabs(d.value - (mean_of_end(4.2, STEPS) - mean_of_end(3.2, STEPS))) < 1e-12);
    assert_true(d.high - d.low < 1e-9); /* the same difference in every seed */
    assert_true(isnan(lr_sweep_excess(a2, 1).value));
    lr_sweeps_free(&s);
    report_close(report);
}

/* Fewer than ten steps: the mean of what there is. */
static void short_runs(void **state) {
    (void)state;
    moe_err err = {0};
    struct lr_sweeps s = {0};
    clear();
    write_run(&(struct sweep_run){"moedl", "01_moedl_dense", "corrected", 1e-3, 1, 2.0, 5, 5});
    struct report *report = open_report();
    ok(lr_sweeps_of(report->runs, "moedl", &s, &err));
    assert_true(fabs(s.sets[0].runs[0].train_loss - 4.0) < 1e-12);
    lr_sweeps_free(&s);
    report_close(report);
}

static void other_lengths_are_refused(void **state) {
    (void)state;
    moe_err err = {0};
    struct lr_sweeps s = {0};
    clear();
    write_run(&(struct sweep_run){"moedl", "01_moedl_dense", "corrected", 1e-3, 1, 2.0, 5, 5});
    write_run(&(struct sweep_run){"moedl", "01_moedl_dense", "corrected", 1e-2, 1, 2.0, 6, 6});
    struct report *report = open_report();
    assert_int_equal(lr_sweeps_of(report->runs, "moedl", &s, &err), MOE_EMISMATCH);
    assert_non_null(strstr(err.message, "same steps"));
    report_close(report);
}

/* Sweeps do not make a report speak of the suite's own runs, nor these of sweeps. */
static void what_a_report_speaks_of(void **state) {
    (void)state;
    moe_err err = {0};
    const struct figure *sweep = NULL, *training = NULL;
    clear();
    struct report *report = open_report();
    ok(figure_find("d-lr-sweep", &sweep, &err));
    ok(figure_find("d-training", &training, &err));
    assert_false(run_list_concerns(report->runs, sweep->need));
    assert_int_equal(run_list_require(report->runs, sweep->need, "figure x", &err), MOE_ENOTFOUND);
    assert_non_null(strstr(err.message, "moe lr-sweep moedl/EXPERIMENT --tier desk"));
    report_close(report);
    write_run(&(struct sweep_run){"moedl", "01_moedl_dense", "corrected", 1e-3, 1, 2.0, 5, 5});
    report = open_report();
    assert_true(run_list_concerns(report->runs, sweep->need));
    assert_false(run_list_concerns(report->runs, training->need));
    assert_true(run_is_of_sweep(run_list_at(report->runs, 0)->info.experiment));
    err = (moe_err){0};
    ok(run_list_require(report->runs, sweep->need, "figure x", &err));
    report_close(report);
}

/* The size of the drawn figure. */
static size_t draw(void) {
    moe_err err = {0};
    unsigned char *data = NULL;
    size_t size = 0;
    const struct figure *figure = NULL;
    struct report *report = open_report();
    ok(figure_find("d-lr-sweep", &figure, &err));
    ok(figure_encode(report, figure, &data, &size, &err));
    free(data);
    report_close(report);
    return size;
}

static void the_figure_is_drawn_from_whatever_there_is(void **state) {
    (void)state;
    clear();
    write_sweeps();
    assert_true(draw() > 1000);
    clear(); /* one point */
    write_run(&(struct sweep_run){"moedl", "01_moedl_dense", "corrected", 1e-3, 1, 2.0, 5, 5});
    assert_true(draw() > 1000);
    clear(); /* nothing but divergence */
    write_run(&(struct sweep_run){"moedl", "01_moedl_dense", "as-published", 10, 1, 7.0, 5, 9});
    write_run(&(struct sweep_run){"moedl", "01_moedl_dense", "as-published", 100, 1, 7.0, 5, 9});
    assert_true(draw() > 1000);
}

static void the_table_says_which_and_why(void **state) {
    (void)state;
    moe_err err = {0};
    char *text = NULL;
    const struct table *table = NULL;
    clear();
    write_sweeps();
    struct report *report = open_report();
    ok(table_find("d-lr-sweep", &table, &err));
    ok(table_print(report, table, TABLE_CSV, &text, &err));
    assert_non_null(strstr(text, "a2_moedl_lb_biasing,corrected,0.001,3,"));
    const char *row = strstr(text, "a2_moedl_lb_biasing,corrected,0.001,");
    const char *smallest = strstr(row, "smallest");
    assert_non_null(smallest);
    assert_true(smallest < strchr(row, '\n'));
    row = strstr(text, "a2_moedl_lb_biasing,corrected,100,");
    assert_non_null(row);
    assert_non_null(strstr(row, "\"3 diverged, not finite at step 13\""));
    row = strstr(text, "a2_moedl_lb_biasing,corrected,1,");
    assert_non_null(row);
    assert_memory_equal(strchr(row, '\n') - strlen("3 diverged\r"), "3 diverged\r", strlen("3 diverged\r"));
    free(text);
    report_close(report);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_are_read_and_grouped),
        cmocka_unit_test(short_runs),
        cmocka_unit_test(other_lengths_are_refused),
        cmocka_unit_test(what_a_report_speaks_of),
        cmocka_unit_test(the_figure_is_drawn_from_whatever_there_is),
        cmocka_unit_test(the_table_says_which_and_why),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
