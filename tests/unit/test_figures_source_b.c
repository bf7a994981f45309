/* test: rooms=analysis label=fast */
/* Series, numbers, figures and tables of source B over synthetic runs whose numbers are known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <unistd.h>

#include "analysis/figure_all.h"
#include "analysis/measures.h"
#include "analysis/series_steps.h"
#include "analysis/tables.h"
#include "figure_checks.h"
#include "fixture_runs_b.h"
#include "record/routing_stats.h"

#define ok(call)              assert_int_equal((call), MOE_OK)
#define near(a, b, tolerance) assert_true(fabs((a) - (b)) <= (tolerance))
#define SEEDS                 2
#define LAST                  FIXTURE_B_RECORDS

static char root[] = "/tmp/moe-figures-b-XXXXXX";

/* Of the main experiments alone, as they are written first. */
static struct report *report;

static int write_runs(void **state) {
    (void)state;
    moe_err err = {0};
    if (mkdtemp(root) == NULL) return -1;
    if (fixture_b_write_suite(root, 0, B_MODELS, SEEDS, 0.0, &err) != MOE_OK)
        return fixture_result(err.status, &err);
    report = open_report(root);
    return 0;
}

static int remove_runs(void **state) {
    (void)state;
    report_close(report);
    return fixture_remove(root);
}

/* ---- what chance gives */

/* Mean CV^2 and Gini over all ways in which the images can choose: each is a number of `sets` sets. */
static struct chance_balance count_all(int32_t images, int32_t chosen, int32_t experts) {
    int32_t sets[64];
    int32_t num_sets = 0;
    for (int32_t set = 0; set < 1 << experts; set++)
        if (__builtin_popcount((unsigned)set) == chosen) sets[num_sets++] = set;
    struct chance_balance sum = {0};
    int64_t ways = 1;
    for (int32_t i = 0; i < images; i++)
        ways *= num_sets;
    for (int64_t way = 0; way < ways; way++) {
        int32_t load[8] = {0};
        int64_t rest = way;
        for (int32_t i = 0; i < images; i++, rest /= num_sets)
            for (int32_t e = 0; e < experts; e++)
                load[e] += sets[rest % num_sets] >> e & 1;
        const struct routing_stats stats = routing_stats_of_load(load, experts);
        sum.cv2 += stats.cv2 / (double)ways;
        sum.gini += stats.gini / (double)ways;
    }
    return sum;
}

static void test_chance(void **state) {
    (void)state;
    static const int32_t shapes[][3] = {{2, 1, 2}, {3, 1, 4}, {4, 2, 4}, {5, 2, 5}, {4, 3, 5}, {2, 4, 4}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const struct chance_balance want = count_all(shapes[i][0], shapes[i][1], shapes[i][2]);
        const struct chance_balance got = chance_balance_of(shapes[i][0], shapes[i][1], shapes[i][2]);
        near(got.cv2, want.cv2, 1e-12);
        near(got.gini, want.gini, 1e-12);
    }
    near(chance_balance_of(32, 4, 10).cv2, 0.6 / (32 * 0.4), 1e-15);
    const struct chance_balance many =
        chance_balance_of(1000000, 4, 10); /* no weight underflows to nothing */
    near(many.gini, 0.9 * sqrt(0.6 / 0.9 / 0.4 / 1e6 / M_PI), 1e-6);
}

/* No probabilities come below, and the best ones that there are come to it. */
static void test_least_loss(void **state) {
    (void)state;
    enum { CLASSES = 10 };
    double p[CLASSES];
    double lowest[2] = {INFINITY, INFINITY};
    for (int32_t draw = 0; draw < 4096; draw++) {
        double sum = 0.0;
        for (int32_t c = 0; c < CLASSES; c++)
            sum += p[c] = draw == 0   ? c == 0
                          : draw == 1 ? c < 2 ? 0.5 : 0.0
                                      : pow(sin(draw * (c + 1.37)) + 1.001, draw % 13);
        double log_sum = 0.0;
        double largest = 0.0;
        for (int32_t c = 0; c < CLASSES; c++) {
            log_sum += exp(p[c] / sum);
            if (c > 0) largest = fmax(largest, p[c]);
        }
        const double loss = log(log_sum) - p[0] / sum;
        const bool right = p[0] > largest;
        assert_true(loss >= source_b_least_loss(right, CLASSES) - 1e-12);
        lowest[right] = fmin(lowest[right], loss);
    }
    near(lowest[1], source_b_least_loss(1.0, CLASSES), 1e-12);
    near(lowest[0], source_b_least_loss(0.0, CLASSES), 1e-12);
    near(source_b_least_loss(0.25, CLASSES), 0.25 * lowest[1] + 0.75 * lowest[0], 1e-12);
}

/* ---- series and numbers */

static void test_series(void **state) {
    (void)state;
    const struct run_group flat = source_b_group(report, B_FLAT, B_CORRECTED);
    const struct fixture_b_run run = {root, B_FLAT, B_CORRECTED, 2, 0.0};
    static const char *const names[] = {"step_eval_accuracy", "step_course_accuracy", "step_course_ce",
                                        "step_course_aux", "step_wall_seconds"};
    const double want[] = {fixture_b_accuracy(&run, 3), fixture_b_accuracy(&run, 3) + 0.1,
                           fixture_b_ce(&run, 3) - 0.5, 0.037, fixture_b_seconds(&run)};
    struct series s;
    for (int i = 0; i < 5; i++) {
        ok(series_of_run(report->runs, &flat.files[1], names[i], &s, NULL));
        assert_int_equal(s.n, LAST);
        near(s.x[2], 300.0, 0.0);
        near(s.y[2], want[i], 1e-12);
        series_free(&s);
    }
    /* a row of losses is of a hundred steps; an epoch of four hundred */
    ok(series_of_run(report->runs, &flat.files[1], "eval_accuracy", &s, NULL));
    near(s.x[0], 0.25, 1e-12);
    near(s.x[LAST - 1], 2.0, 1e-12);
    series_free(&s);
    struct series_group g;
    ok(series_of_group_binned(report->runs, &flat, "step_course_ce", 4, &g, NULL));
    assert_int_equal(g.common, 4);
    near(g.x[0], 150.0, 1e-12);
    series_group_free(&g);
    ok(series_of_group_binned(report->runs, &flat, "step_course_ce", 0, &g, NULL));
    ok(source_merge_for_log(&g, NULL));
    assert_int_equal(g.common, LAST); /* the first ten stay as they are */
    series_group_free(&g);
}

static void test_load_course(void **state) {
    (void)state;
    const struct run_group group = source_b_group(report, B_HIERARCHICAL, B_CORRECTED);
    static const int32_t ends[] = {1, 2, 5, 8};
    struct load_course c;
    ok(load_course_of_run(report->runs, &group.files[0], 100, &c, NULL));
    assert_int_equal(c.layers, 2);
    load_course_keep(&c, B_OF_GROUPS);
    assert_int_equal(c.layers, 1);
    assert_int_equal(c.experts, FIXTURE_B_GROUPS);
    near(load_course_mean(&c, 2, 0), (24.0 + 3.0) / 120.0, 1e-12);
    near(load_course_mean(&c, 7, 4), (24.0 - 8.0) / 120.0, 1e-12);
    load_course_free(&c);
    ok(load_course_of_run(report->runs, &group.files[0], 100, &c, NULL));
    load_course_keep(&c, B_OF_EXPERTS);
    assert_int_equal(c.experts, FIXTURE_B_EXPERTS);
    load_course_merge(&c, ends, 4);
    assert_int_equal(c.n, 4);
    near(c.step[2], 400.0, 1e-9); /* records 3, 4, 5 */
    near(load_course_mean(&c, 0, 0), 13.0 / 120.0, 1e-12);
    near(load_course_mean(&c, 3, 0), (12.0 + 7.0) / 120.0, 1e-12);
    near(load_course_mean(&c, 3, 9), (12.0 - 7.0) / 120.0, 1e-12);
    load_course_free(&c);
}

static void test_numbers(void **state) {
    (void)state;
    const struct run_group group = source_b_group(report, B_HIERARCHICAL, B_CORRECTED);
    const struct fixture_b_run run = {root, B_HIERARCHICAL, B_CORRECTED, 1, 0.0};
    const double accuracy = 100.0 * fixture_b_accuracy(&run, LAST) + 0.25; /* mean of two seeds */
    static const double k = LAST;
    const struct {
        enum source_b_number number;
        double value;
    } known[] = {
        {B_TEST_ACCURACY, accuracy},
        {B_TRAIN_ACCURACY, accuracy + 10.0},
        {B_GAP, 10.0},
        {B_CV2, k * k / 720.0},
        {B_GINI, 0.015 * k},
        {B_GROUP_CV2, k * k / 1440.0},
        {B_BATCH_CV2, 0.5 * (49.0 + 64.0) / 720.0}, /* the last quarter: records 7 and 8 */
        {B_BATCH_GINI, 0.015 * 7.5},
        {B_BATCH_MS, 1000.0 * 3.5 / 64.0},
    };
    struct stats_estimate e;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        ok(source_b_estimate(report, &group, known[i].number, &e, NULL));
        near(e.value, known[i].value, 1e-9);
        assert_int_equal(e.n, SEEDS);
    }
    const struct run_group dense = source_b_group(report, B_DENSE_TOTAL, B_CORRECTED);
    const struct run_group none = source_b_group(report, B_FLAT_E40, B_CORRECTED);
    moe_err err = {0};
    assert_int_equal(source_b_estimate(report, &dense, B_CV2, &e, &err), MOE_ENOTFOUND);
    assert_int_equal(source_b_estimate(report, &none, B_GAP, &e, &err), MOE_ENOTFOUND);
    assert_non_null(strstr(err.message, "no runs of cifar-hierarchy/flat_e40 corrected"));
}

static void test_shapes(void **state) {
    (void)state;
    struct source_b_shape shape;
    ok(source_b_shape_of(report, &source_b_group(report, B_FLAT, B_CORRECTED).files[0], &shape, NULL));
    assert_int_equal(shape.images, 32);
    assert_int_equal(shape.groups, 1);
    near(source_b_largest_share(&shape), 0.25, 0.0);
    ok(source_b_shape_of(report, &source_b_group(report, B_GSHARD, B_CORRECTED).files[0], &shape, NULL));
    assert_int_equal(shape.groups, 5);
    near(source_b_largest_share(&shape), 0.25, 0.0);
    ok(source_b_shape_of(report, &source_b_group(report, B_DENSE_TOTAL, B_CORRECTED).files[0], &shape, NULL));
    assert_int_equal(shape.experts, 0);
}

/* ---- figures */

/* With the main experiments alone, with some of the follow-ups, and of one seed. */
static void test_every_figure(void **state) {
    (void)state;
    moe_err err = {0};
    char other[96];
    snprintf(other, sizeof other, "%s-more", root);
    ok(fixture_b_write_suite(other, 0, B_MODELS, 1, 0.0, &err));
    ok(fixture_b_write_suite(other, B_FLAT_10EP, B_FLAT_X10, 1, 0.0, &err));
    ok(fixture_b_write_suite(other, B_HIERARCHICAL_E40, B_FLAT_TARGET, 2, 0.0, &err));
    struct report *more = open_report(other);
    for (int32_t i = 0; i < source_b_figure_count; i++) {
        check_figure(report, &source_b_figures[i], i < 2);
        check_figure(more, &source_b_figures[i], false);
    }
    report_close(more);
}

/* Other losses, accuracies and loads of the flat model change every figure. */
static void test_figures_depend_on_runs(void **state) {
    (void)state;
    moe_err err = {0};
    char other[96];
    snprintf(other, sizeof other, "%s-other", root);
    ok(fixture_b_write_suite(other, 0, B_MODELS, SEEDS, 1.0, &err));
    struct report *changed = open_report(other);
    for (int32_t i = 0; i < source_b_figure_count; i++) {
        if (looks_same(report, changed, &source_b_figures[i]))
            fail_msg("%s does not change", source_b_figures[i].id);
    }
    report_close(changed);
}

static void test_animation(void **state) {
    (void)state;
    struct figure_motion motion;
    ok(figure_named("b-usage-gif")->motion(report, &motion, NULL));
    assert_int_equal(motion.frames, 6); /* up to records 1 2 3 4 6 8 */
}

/* A main experiment that is missing is named, and what does without it is drawn. */
static void test_missing_runs(void **state) {
    (void)state;
    char path[1024];
    unsigned char *data = NULL;
    size_t size = 0;
    moe_err err = {0};
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        fixture_b_path(&(struct fixture_b_run){root, B_DENSE_TOTAL, B_CORRECTED, seed, 0.0}, path,
                       sizeof path);
        assert_int_equal(unlink(path), 0);
    }
    struct report *fewer = open_report(root);
    assert_int_equal(figure_encode(fewer, figure_named("b-training"), &data, &size, &err), MOE_ENOTFOUND);
    assert_non_null(strstr(err.message, "for: dense_total corrected; train them with `moe suite cifar-"));
    ok(figure_encode(fewer, figure_named("b-followups"), &data, &size, &err));
    free(data);
    report_close(fewer);
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        ok(fixture_b_write(&(struct fixture_b_run){root, B_DENSE_TOTAL, B_CORRECTED, seed, 0.0}, &err));
}

/* Several at a time, each figure is what it is alone; what fails first by the order of the registry is said.
 */
static void test_all_at_once(void **state) {
    (void)state;
    char folder[96];
    char path[256];
    moe_err err = {0};
    snprintf(folder, sizeof folder, "%s-all", root);
    ok(figure_write_all(report, folder, &err));
    for (int32_t i = 0; i < source_b_figure_count; i++) {
        unsigned char *alone = NULL;
        unsigned char *drawn = NULL;
        size_t size = 0;
        size_t drawn_size = 0;
        char name[FIGURE_NAME_MAX];
        figure_file_name(&source_b_figures[i], name);
        snprintf(path, sizeof path, "%s/%s", folder, name);
        ok(file_read_all(path, 1 << 24, &drawn, &drawn_size, &err));
        ok(figure_encode(report, &source_b_figures[i], &alone, &size, &err));
        assert_int_equal(size, drawn_size);
        assert_memory_equal(alone, drawn, size);
        free(alone);
        free(drawn);
    }
    snprintf(path, sizeof path, "%s/a-entropy.png", folder);
    assert_int_equal(access(path, F_OK), -1); /* no runs of source A */
    fixture_b_path(&(struct fixture_b_run){root, B_FLAT, B_CORRECTED, 1, 0.0}, path, sizeof path);
    struct report *one = open_report(path);
    assert_int_equal(figure_write_all(one, folder, &err), MOE_ENOTFOUND);
    assert_non_null(strstr(err.message, "figure b-usage: no runs of cifar-hierarchy"));
    report_close(one);
}

/* ---- tables */

static void test_log(void **state) {
    (void)state;
    char *csv = print_csv(report, "b-log");
    const struct fixture_b_run run = {root, B_HIERARCHICAL, B_AS_PUBLISHED, 1, 0.0};
    /* seeds, then value, low and high of loss, balance loss, accuracy, seconds, least loss */
    const char *head = "\r\n300,flat,published,";
    near(csv_value(csv, head, 1), 1.7982, 0.0);
    near(csv_value(csv, head, 10), 0.0305, 0.0);
    near(csv_value(csv, head, 13), source_b_least_loss(0.3594, 10.0), 1e-12);
    head = "\r\n300,hierarchical,\"ours, as published\",";
    near(csv_value(csv, head, 0), SEEDS, 0.0);
    near(csv_value(csv, head, 1), fixture_b_ce(&run, 3) - 0.5 + 0.015, 1e-12);
    near(csv_value(csv, head, 4), 0.037, 1e-12);
    near(csv_value(csv, head, 7), 100.0 * fixture_b_accuracy(&run, 3) + 10.25, 1e-9);
    near(csv_value(csv, head, 10), 2.5 / 64.0 + 1.0 / 64.0, 1e-9);
    free(csv);
}

static void test_usage(void **state) {
    (void)state;
    char *csv = print_csv(report, "b-usage");
    /* seeds, ten estimates, then CV^2, Gini, and both of a batch */
    const char *head = "\r\nflat,published list,";
    near(csv_value(csv, head, 1), 55.97, 0.0);
    near(csv_value(csv, head, 28), 0.12, 0.0);
    near(csv_value(csv, head, 31), 2.792, 5e-4);
    near(csv_value(csv, head, 34), 0.717, 5e-4);
    head = "\r\nflat,\"the least even, 4 of 10\",";
    near(csv_value(csv, head, 1), 25.0, 1e-12);
    near(csv_value(csv, head, 13), 0.0, 0.0);
    near(csv_value(csv, head, 31), 1.5, 1e-12);
    near(csv_value(csv, head, 34), 0.6, 1e-12);
    near(csv_value(csv, "\r\nflat,\"by chance, 4 of 10\",", 37), 0.6 / 12.8, 1e-12);
    head = "\r\nhierarchical,\"ours, corrected\",";
    near(csv_value(csv, head, 1), 100.0 * 20.0 / 120.0, 1e-9);
    near(csv_value(csv, head, 28), 100.0 * 4.0 / 120.0, 1e-9);
    near(csv_value(csv, head, 31), 64.0 / 720.0, 1e-9);
    near(csv_value(csv, head, 40), 0.015 * 7.5, 1e-9);
    head = "\r\nhierarchical,\"ours, corrected: gates\",";
    near(csv_value(csv, head, 1), 100.0 * 400.0 / 1568.0, 1e-9);
    near(csv_value(csv, head, 4), 100.0 * 144.0 / 1568.0, 1e-9);
    assert_true(csv_value(csv, head, 34) > csv_value(csv, "\r\nhierarchical,\"ours, corrected\",", 34));
    free(csv);
}

static void test_summary(void **state) {
    (void)state;
    char *csv = print_csv(report, "b-summary");
    const struct fixture_b_run run = {root, B_GSHARD, B_CORRECTED, 1, 0.0};
    /* parameters, active, then three each: epochs, test, training accuracy, CV^2, Gini, CV^2 of groups, CV^2
     * of gates, the two largest, time */
    const char *head = "\r\nhierarchical_gshard,corrected,";
    near(csv_value(csv, head, 0), 2000 + B_GSHARD, 0.0);
    near(csv_value(csv, head, 1), 1000 + B_GSHARD, 0.0);
    near(csv_value(csv, head, 2), 2.0, 0.0);
    near(csv_value(csv, head, 5), 100.0 * fixture_b_accuracy(&run, LAST) + 0.25, 1e-9);
    near(csv_value(csv, head, 17), 64.0 / 1440.0, 1e-9);
    /* gates 400, 144 eight times, 16: mean 156.8 */
    near(csv_value(csv, head, 20), (160000.0 + 8.0 * 20736.0 + 256.0) / 10.0 / (156.8 * 156.8) - 1.0, 1e-9);
    near(csv_value(csv, head, 23), 100.0 * (400.0 + 144.0) / (400.0 + 16.0 + 8.0 * 144.0), 1e-9);
    near(csv_value(csv, head, 26), 1000.0 * 4.5 / 64.0, 1e-9);
    near(csv_value(csv, head, 29), SEEDS, 0.0);
    assert_non_null(strstr(csv, "\r\ndense_total,as published,"));
    assert_null(strstr(csv, "flat_e40"));
    free(csv);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chance),       cmocka_unit_test(test_least_loss),
        cmocka_unit_test(test_series),       cmocka_unit_test(test_load_course),
        cmocka_unit_test(test_numbers),      cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_every_figure), cmocka_unit_test(test_figures_depend_on_runs),
        cmocka_unit_test(test_animation),    cmocka_unit_test(test_missing_runs),
        cmocka_unit_test(test_all_at_once),  cmocka_unit_test(test_log),
        cmocka_unit_test(test_usage),        cmocka_unit_test(test_summary),
    };
    return cmocka_run_group_tests(tests, write_runs, remove_runs);
}
