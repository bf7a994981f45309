/* test: rooms=analysis label=fast */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/stat.h>
#include <unistd.h>

#include "analysis/measures.h"
#include "analysis/report.h"
#include "analysis/run_check.h"
#include "analysis/run_need.h"
#include "analysis/run_paths.h"
#include "analysis/select.h"
#include "analysis/series.h"
#include "fixture_runs.h"
#include "record/routing_stats.h"

#define ok(call) assert_int_equal((call), MOE_OK)

/* A folder of runs shared by the tests: top2 of three seeds with 4, 5 and 6 epochs, dense of seeds 1 to 3,
 * both as published, and one run of another tier. */
static char root[] = "/tmp/moe-select-XXXXXX";

static int write_runs(void **state) {
    (void)state;
    moe_err err = {0};
    if (mkdtemp(root) == NULL) return -1;
    for (uint64_t seed = 0; seed < 3; seed++) {
        if (fixture_write(&(struct fixture_run){root, "desk", 2, "as-published", seed, 4 + (int32_t)seed},
                          &err) != MOE_OK ||
            fixture_write(&(struct fixture_run){root, "desk", 0, "as-published", seed + 1, 4}, &err) !=
                MOE_OK)
            return fixture_result(err.status, &err);
    }
    char smoke[64];
    snprintf(smoke, sizeof smoke, "%s/smoke", root);
    return fixture_result(fixture_write(&(struct fixture_run){smoke, "smoke", 1, "corrected", 0, 2}, &err),
                          &err);
}

static int remove_runs(void **state) {
    (void)state;
    return fixture_remove(root);
}

static struct run_list *open_list(const char *tier) {
    const char *const roots[] = {root};
    struct run_list *list = NULL;
    moe_err err = {0};
    if (run_list_open(&(struct run_selection){roots, 1, tier}, &list, &err) != MOE_OK)
        fail_msg("%s", err.message);
    return list;
}

static void near(double got, double want, double tolerance) {
    if (!(fabs(got - want) <= tolerance)) fail_msg("got %.17g, want %.17g", got, want);
}

static void test_order_and_tier(void **state) {
    (void)state;
    struct run_list *list = open_list(NULL);
    assert_string_equal(run_list_tier(list), "desk"); /* larger than smoke */
    assert_int_equal(run_list_count(list), 6);
    for (int32_t i = 0; i < 6; i++) {
        const struct run_file *f = run_list_at(list, i);
        assert_string_equal(f->info.experiment, i < 3 ? "dense" : "top2");
        assert_int_equal(f->info.seed, i < 3 ? i + 1 : i - 3);
        assert_int_equal(f->index, i);
    }
    assert_null(run_list_at(list, 6));
    assert_null(run_list_at(list, -1));
    run_list_close(list);

    list = open_list("smoke");
    assert_int_equal(run_list_count(list), 1);
    assert_string_equal(run_list_at(list, 0)->info.experiment, "baseline");
    run_list_close(list);
    list = open_list("gpu");
    assert_int_equal(run_list_count(list), 0);
    run_list_close(list);
}

static void test_bad_selections(void **state) {
    (void)state;
    struct run_list *list = NULL;
    moe_err err = {0};
    const char *const nowhere[] = {"/nonexistent/runs"};
    assert_int_equal(run_list_open(&(struct run_selection){nowhere, 1, NULL}, &list, &err), MOE_ENOTFOUND);
    assert_non_null(strstr(err.message, "/nonexistent/runs"));
    const char *const roots[] = {root};
    assert_int_equal(run_list_open(&(struct run_selection){roots, 1, "huge"}, &list, &err), MOE_EUSAGE);
    assert_null(list);
}

/* Reached twice is once; a copy is a second run of the same identity, and both are named. */
static void test_duplicates(void **state) {
    (void)state;
    struct run_list *list = NULL;
    moe_err err = {0};
    char folder[64];
    char original[256];
    char copy[256];
    fixture_path(&(struct fixture_run){root, "desk", 2, "as-published", 1, 0}, original, sizeof original);
    const char *const twice[] = {root, original};
    ok(run_list_open(&(struct run_selection){twice, 2, NULL}, &list, &err));
    assert_int_equal(run_list_count(list), 6);
    run_list_close(list);
    list = NULL;

    snprintf(folder, sizeof folder, "%s/copies", root);
    snprintf(copy, sizeof copy, "%s/other-name.h5", folder);
    unsigned char *data = NULL;
    size_t size = 0;
    ok(file_read_all(original, 1 << 24, &data, &size, NULL));
    ok(file_make_folders(folder, NULL));
    ok(file_write_atomic(copy, data, size, NULL));
    const char *const roots[] = {root};
    assert_int_equal(run_list_open(&(struct run_selection){roots, 1, NULL}, &list, &err), MOE_EEXIST);
    assert_non_null(strstr(err.message, original));
    assert_non_null(strstr(err.message, copy));

    free(data);
    unlink(copy);
    rmdir(folder);
}

/* Files that lack their ends are put there, or taken away again. */
static void damaged_files(const char *folder, int count, bool there) {
    unsigned char *data = NULL;
    size_t size = 0;
    char path[300];
    fixture_path(&(struct fixture_run){root, "desk", 2, "as-published", 1, 0}, path, sizeof path);
    ok(file_read_all(path, 1 << 24, &data, &size, NULL));
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/damaged-%02d.h5", folder, i);
        if (there) {
            ok(file_write_atomic(path, data, size - 1 - (size_t)i, NULL));
        } else {
            unlink(path);
        }
    }
    free(data);
}

static void refused_as_damaged(const char *folder, moe_err *err) {
    struct run_list *list = NULL;
    const char *const roots[] = {root, folder};
    *err = (moe_err){0};
    assert_int_equal(run_list_open(&(struct run_selection){roots, 2, NULL}, &list, err), MOE_EFORMAT);
    assert_null(list);
}

/* Damaged files are no runs: one is named with its defect, of several each is named or else counted. */
static void test_damaged(void **state) {
    (void)state;
    moe_err err;
    char folder[64];
    int named = 0;
    snprintf(folder, sizeof folder, "%s/damaged", root);
    ok(file_make_folders(folder, NULL));
    damaged_files(folder, 1, true);
    refused_as_damaged(folder, &err);
    assert_non_null(strstr(err.message, "/damaged-00.h5: has "));
    assert_non_null(strstr(err.message, "restore it, or delete it"));

    damaged_files(folder, 3, true);
    refused_as_damaged(folder, &err);
    assert_non_null(strstr(err.message, "3 of 10 run files are damaged"));
    assert_non_null(strstr(err.message, "/damaged-00.h5"));
    assert_non_null(strstr(err.message, "/damaged-01.h5"));
    assert_non_null(strstr(err.message, "/damaged-02.h5"));

    damaged_files(folder, 40, true);
    refused_as_damaged(folder, &err);
    assert_non_null(strstr(err.message, "40 of 47 run files are damaged"));
    const char *left = strstr(err.message, "\n  and ");
    assert_non_null(left);
    for (const char *c = err.message; c < left; c++)
        named += *c == '\n';
    assert_int_equal(named + atoi(left + strlen("\n  and ")), 40);
    assert_non_null(strstr(left, "`moe-report runs ls`"));
    damaged_files(folder, 40, false);
    rmdir(folder);
}

static void test_groups_and_needs(void **state) {
    (void)state;
    struct run_list *list = open_list(NULL);
    const struct run_group group = run_list_group(list, "moe-vs-dense", "top2", "as-published");
    assert_int_equal(group.n, 3);
    assert_int_equal(group.files[2].info.seed, 2);
    assert_int_equal(run_list_group(list, "moe-vs-dense", "top2", "corrected").n, 0);

    static const char *const experiments[] = {"dense", "top2", "strong_reg"};
    static const char *const protocols[] = {"as-published", "corrected"};
    const struct run_need need = {"moe-vs-dense", experiments, 3, protocols, 2, NULL, NULL};
    moe_err err = {0};
    assert_int_equal(run_list_require(list, &need, "figure x", &err), MOE_ENOTFOUND);
    assert_non_null(strstr(err.message, "figure x"));
    assert_non_null(strstr(err.message,
                           "dense corrected, top2 corrected, strong_reg as-published, strong_reg corrected"));
    assert_null(strstr(err.message, "dense as-published"));
    const struct run_need there = {"moe-vs-dense", experiments, 2, protocols, 1, NULL, NULL};
    ok(run_list_require(list, &there, "figure x", &err));
    run_list_close(list);
}

/* Parsed once for all who ask, and each who asks has used the run. */
static void test_json(void **state) {
    (void)state;
    struct run_list *list = open_list(NULL);
    const struct run_group group = run_list_group(list, "moe-vs-dense", "top2", "as-published");
    const json_t *config = NULL, *counts = NULL, *again = NULL;
    struct run_reader *reader = NULL;
    char *used = NULL;
    ok(run_list_json(list, &group.files[1], &config, &counts, NULL));
    run_list_forget_used(list);
    ok(run_list_json(list, &group.files[1], &again, &counts, NULL));
    assert_ptr_equal(again, config);
    ok(run_list_used(list, &used, NULL));
    assert_non_null(strstr(used, "top2 as-published desk s1"));
    ok(run_list_reader(list, &group.files[1], &reader, NULL));
    json_t *fresh = json_loads(run_reader_counts_json(reader), 0, NULL);
    assert_true(json_is_object(counts) && json_equal(counts, fresh));
    json_decref(fresh);
    free(used);
    run_list_close(list);
}

static void test_used_runs(void **state) {
    (void)state;
    struct run_list *list = open_list(NULL);
    const struct run_group group = run_list_group(list, "moe-vs-dense", "top2", "as-published");
    double *values = NULL;
    int64_t dims[4];
    int32_t rank = 0;
    char *used = NULL;
    char line[128];
    ok(run_list_array(list, &group.files[0], "/train/loss", &values, dims, &rank, NULL));
    free(values);
    run_list_forget_used(list);
    ok(run_list_array(list, &group.files[1], "/train/loss", &values, dims, &rank, NULL));
    assert_int_equal(rank, 1);
    assert_int_equal(dims[0], 5 * FIXTURE_STEPS_PER_EPOCH);
    free(values);
    ok(run_list_used(list, &used, NULL));
    snprintf(line, sizeof line, "moe-vs-dense/top2 as-published desk s1 %s", group.files[1].info.digest);
    assert_string_equal(used, line);
    free(used);
    moe_err err = {0};
    assert_int_equal(run_list_array(list, &group.files[0], "/train/nothing", &values, dims, &rank, &err),
                     MOE_ENOTFOUND);
    assert_non_null(strstr(err.message, group.files[0].path));
    run_list_close(list);
}

/* Series give back what the fixture's formulas put in. */
static void test_series(void **state) {
    (void)state;
    struct run_list *list = open_list(NULL);
    const struct run_group group = run_list_group(list, "moe-vs-dense", "top2", "as-published");
    const struct fixture_run run = {root, "desk", 2, "as-published", 2, 6};
    const struct run_file *file = &group.files[2];
    struct series s;
    ok(series_of_run(list, file, "eval_ce", &s, NULL));
    assert_int_equal(s.n, 6);
    for (int32_t e = 0; e < 6; e++) {
        near(s.x[e], e + 1.0, 1e-12);
        near(s.y[e], fixture_eval_ce(&run, e), 1e-12);
    }
    series_free(&s);

    /* all steps have the same number of tokens: the plain mean of the epoch's steps */
    double *loss = NULL;
    int64_t dims[4];
    int32_t rank = 0;
    ok(run_list_array(list, file, "/train/loss_ce", &loss, dims, &rank, NULL));
    ok(series_of_run(list, file, "train_ce", &s, NULL));
    assert_int_equal(s.n, 6);
    for (int32_t e = 0; e < 6; e++)
        near(s.y[e], (loss[4 * e] + loss[4 * e + 1] + loss[4 * e + 2] + loss[4 * e + 3]) / 4.0, 1e-12);
    series_free(&s);
    free(loss);

    double *seconds = NULL;
    ok(run_list_array(list, file, "/timing/step_seconds", &seconds, dims, &rank, NULL));
    ok(series_of_run(list, file, "tokens_per_second", &s, NULL));
    near(s.y[1], 4.0 * 4096.0 / (seconds[4] + seconds[5] + seconds[6] + seconds[7]), 1e-9);
    series_free(&s);
    double median = 0.0;
    ok(measure_of_run(list, file, "median_step_seconds", &median, NULL));
    stats_sort(seconds, 24);
    near(median, (seconds[11] + seconds[12]) / 2.0, 1e-12);
    free(seconds);

    int32_t load[FIXTURE_EXPERTS];
    for (int32_t x = 0; x < FIXTURE_EXPERTS; x++)
        load[x] = fixture_load(&run, 5, 1, x);
    ok(series_of_run(list, file, "usage_entropy.4", &s, NULL));
    near(s.y[5], routing_stats_of_load(load, FIXTURE_EXPERTS).entropy, 1e-12);
    series_free(&s);

    struct usage usage;
    ok(usage_of_run(list, file, 4, &usage, NULL));
    assert_int_equal(usage.n, 6);
    assert_int_equal(usage.experts, FIXTURE_EXPERTS);
    double sum = 0.0;
    for (int32_t x = 0; x < FIXTURE_EXPERTS; x++)
        sum += usage.shares[5 * FIXTURE_EXPERTS + x];
    near(sum, 1.0, 1e-12);
    near(usage.shares[5 * FIXTURE_EXPERTS + 3] / usage.shares[5 * FIXTURE_EXPERTS], (double)load[3] / load[0],
         1e-12);
    usage_free(&usage);

    moe_err err = {0};
    static const char *const unknown[] = {"no_such",   "usage_entropy.",  "usage_entropy.x",
                                          "eval_ce.2", "step_train_ce.2", "step_gini.9"};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
        assert_int_equal(series_of_run(list, file, unknown[i], &s, &err), MOE_ENOTFOUND);
    assert_int_equal(series_of_run(list, file, "usage_entropy.3", &s, &err), MOE_ENOTFOUND);
    assert_non_null(strstr(err.message, "2 4")); /* the layers that there are */
    run_list_close(list);
}

/* A mean over seeds reaches as far as the shortest run, and no further. */
static void test_series_over_seeds(void **state) {
    (void)state;
    struct run_list *list = open_list(NULL);
    const struct run_group group = run_list_group(list, "moe-vs-dense", "top2", "as-published");
    struct series_group g;
    ok(series_of_group(list, &group, "eval_ce", &g, NULL));
    assert_int_equal(g.seeds, 3);
    assert_int_equal(g.common, 4);
    assert_int_equal(g.runs[2].n, 6);
    double at_two[3];
    for (uint64_t seed = 0; seed < 3; seed++)
        at_two[seed] = fixture_eval_ce(
            &(struct fixture_run){root, "desk", 2, "as-published", seed, 4 + (int32_t)seed}, 1);
    const struct stats_estimate want = stats_mean_interval(at_two, 3, 0.95);
    near(g.mean[1], want.value, 1e-12);
    near(g.low[1], want.low, 1e-12);
    near(g.high[1], want.high, 1e-12);
    series_group_free(&g);
    const struct run_group none = run_list_group(list, "moe-vs-dense", "top2", "corrected");
    moe_err err = {0};
    assert_int_equal(series_of_group(list, &none, "eval_ce", &g, &err), MOE_ENOTFOUND);
    assert_non_null(strstr(err.message, "top2 corrected"));
    run_list_close(list);
}

static void test_measures(void **state) {
    (void)state;
    struct run_list *list = open_list(NULL);
    const struct run_group top2 = run_list_group(list, "moe-vs-dense", "top2", "as-published");
    const struct run_group dense = run_list_group(list, "moe-vs-dense", "dense", "as-published");
    const struct fixture_run run = {root, "desk", 2, "as-published", 1, 5};
    double value = 0.0;
    ok(measure_of_run(list, &top2.files[1], "best_ce", &value, NULL));
    double best = INFINITY;
    int32_t best_epoch = 0;
    for (int32_t e = 0; e < 5; e++) {
        if (fixture_eval_ce(&run, e) < best) best_epoch = e + 1;
        best = fmin(best, fixture_eval_ce(&run, e));
    }
    near(value, best, 1e-12);
    ok(measure_of_run(list, &top2.files[1], "best_loss", &value, NULL));
    near(value, best + 0.0201, 1e-12); /* the auxiliary loss counted in */
    ok(measure_of_run(list, &top2.files[1], "ce_at_best_loss", &value, NULL));
    near(value, best, 1e-12);
    ok(measure_of_run(list, &top2.files[1], "best_epoch", &value, NULL));
    near(value, best_epoch, 1e-12);
    ok(measure_of_run(list, &top2.files[1], "epochs", &value, NULL));
    near(value, 5.0, 0.0);
    ok(measure_of_run(list, &top2.files[1], "parameters", &value, NULL));
    near(value, 17286656.0, 0.0);
    ok(measure_of_run(list, &dense.files[0], "backward_over_forward", &value, NULL));
    near(value, 2.0, 1e-12);
    ok(measure_of_run(list, &dense.files[0], "peak_memory", &value, NULL));
    near(value, 123456789.0, 0.0);

    double shares[2];
    ok(measure_of_run(list, &top2.files[0], "min_share.2", &shares[0], NULL));
    ok(measure_of_run(list, &top2.files[0], "max_share.2", &shares[1], NULL));
    double mean_ratio = 0.0;
    ok(measure_of_run(list, &top2.files[0], "max_over_mean.2", &mean_ratio, NULL));
    assert_true(shares[0] < 0.125 && shares[1] > 0.125);
    near(shares[1] * FIXTURE_EXPERTS, mean_ratio, 1e-12);

    /* every measure of the table is computed for a run with experts; nobody asked this one questions */
    for (int32_t i = 0; i < measure_count; i++) {
        char name[64];
        const bool asked = strcmp(measure_infos[i].name, "last_answers") != 0;
        snprintf(name, sizeof name, "%s%s", measure_infos[i].name, measure_infos[i].layered ? ".4" : "");
        assert_int_equal(measure_of_run(list, &top2.files[0], name, &value, NULL),
                         asked ? MOE_OK : MOE_ENOTFOUND);
    }

    /* seeds 0 1 2 against 1 2 3: two in common */
    struct stats_difference d;
    ok(measure_paired(list, &top2, &dense, "best_ce", &d, NULL));
    assert_int_equal(d.na, 2);
    double by_seed[2];
    for (uint64_t seed = 1; seed <= 2; seed++) {
        double a = 0.0;
        double b = 0.0;
        ok(measure_of_run(list, &top2.files[seed], "best_ce", &a, NULL));
        ok(measure_of_run(list, &dense.files[seed - 1], "best_ce", &b, NULL));
        by_seed[seed - 1] = a - b;
    }
    near(d.value, 0.5 * (by_seed[0] + by_seed[1]), 1e-12);
    struct stats_estimate ratio;
    ok(measure_ratio(list, &dense, &dense, "tokens_per_second", &ratio, NULL));
    near(ratio.value, 1.0, 1e-15);
    run_list_close(list);
}

static void test_unknown_measures(void **state) {
    (void)state;
    struct run_list *list = open_list(NULL);
    const struct run_group dense = run_list_group(list, "moe-vs-dense", "dense", "as-published");
    double value = 0.0;
    moe_err err = {0};
    assert_int_equal(measure_of_run(list, &dense.files[0], "best_los", &value, &err), MOE_ENOTFOUND);
    assert_non_null(strstr(err.message, "\"best_loss\""));
    assert_int_equal(measure_of_run(list, &dense.files[0], "gini.", &value, &err), MOE_ENOTFOUND);
    assert_non_null(strstr(err.message, "expected a decoder layer"));
    static const char *const of_routers[] = {"gini", "min_share", "late_imbalance", "late_router_grad_norm"};
    for (size_t i = 0; i < sizeof of_routers / sizeof of_routers[0]; i++) {
        assert_int_equal(measure_of_run(list, &dense.files[0], of_routers[i], &value, &err), MOE_ENOTFOUND);
        assert_non_null(strstr(err.message, "no router"));
    }
    assert_int_equal(measure_of_run(list, &dense.files[0], "best_ce.2", &value, &err), MOE_ENOTFOUND);
    assert_non_null(strstr(err.message, "takes no layer"));
    assert_int_equal(measure_of_run(list, &dense.files[0], "gini.2", &value, &err), MOE_ENOTFOUND);
    assert_non_null(strstr(err.message, dense.files[0].path));
    run_list_close(list);
}

static void test_report(void **state) {
    (void)state;
    const char *const roots[] = {root};
    struct report *report = NULL;
    struct published *p = NULL;
    moe_err err = {0};
    double value = 0.0;
    ok(report_open(&(struct run_selection){roots, 1, NULL}, MOE_SOURCE_DIR "/paper", &report, &err));
    const struct run_file *file = run_list_at(report->runs, 0);
    ok(report_config_number(report, file, "model.vocab_size", &value, &err));
    near(value, 10000.0, 0.0);
    assert_int_equal(report_config_number(report, file, "model.nothing", &value, &err), MOE_ENOTFOUND);
    assert_int_equal(report_config_number(report, file, "vocab_size", &value, &err), MOE_EARG);
    ok(report_entropy_floor(report, file, &value, &err));
    near(value, log(10000.0), 1e-12);

    ok(report_published(report, "A", &p, &err));
    ok(published_number(p, "key_numbers.dense.best_validation_loss", &value, &err));
    near(value, 9.3698, 0.0);
    double *curve = NULL;
    int32_t n = 0;
    ok(published_array(p, "curves.validation_ce.throughput_opt", &curve, &n, &err));
    assert_int_equal(n, 6);
    free(curve);
    assert_int_equal(published_number(p, "key_numbers.dense.nothing", &value, &err), MOE_ENOTFOUND);
    assert_non_null(strstr(err.message, "A.toml"));
    assert_non_null(strstr(err.message, "key_numbers.dense.nothing"));
    assert_int_equal(published_number(p, "key_numbers.nobody.x", &value, &err), MOE_ENOTFOUND);
    assert_non_null(strstr(err.message, "no key_numbers.nobody")); /* the first part that is missing */
    assert_int_equal(published_number(p, "curves.validation_ce.dense", &value, &err), MOE_ECONFIG);
    assert_true(published_has(p, "usage.top2.layer4") && !published_has(p, "usage.top2.layer3"));
    assert_int_equal(report_published(report, "Z", &p, &err), MOE_EARG);
    report_close(report);
}

/* verify finds a measure that does not fit its load only if the file's own checks are satisfied: so the check
 * is made against a reader of a good run, and a good run passes. */
static void test_verify_and_diff(void **state) {
    (void)state;
    struct run_reader *a = NULL;
    struct run_reader *b = NULL;
    struct text text = {0};
    moe_err err = {0};
    char path[256];
    bool same = false;
    fixture_path(&(struct fixture_run){root, "desk", 2, "as-published", 0, 0}, path, sizeof path);
    ok(run_reader_open(path, &a, &err));
    ok(run_verify(a, &err));
    ok(run_diff(a, a, &text, &same, &err));
    assert_true(same);
    assert_non_null(strstr(text.data, "contents are equal"));
    text_free(&text);

    fixture_path(&(struct fixture_run){root, "desk", 2, "as-published", 1, 0}, path, sizeof path);
    ok(run_reader_open(path, &b, &err));
    text = (struct text){0};
    ok(run_diff(a, b, &text, &same, &err));
    assert_false(same);
    assert_non_null(strstr(text.data, "seed: 0 | 1\n"));
    assert_non_null(strstr(text.data, "config train.seed: 0 | 1\n"));
    assert_non_null(strstr(text.data, "/train/step: 16 rows | 20 rows\n"));
    assert_non_null(strstr(text.data, "/eval/loss_ce: "));
    assert_null(strstr(text.data, "/timing"));
    assert_null(strstr(text.data, "/train/lr"));
    text_free(&text);
    run_reader_close(a);
    run_reader_close(b);

    fixture_path(&(struct fixture_run){root, "desk", 0, "as-published", 1, 0}, path, sizeof path);
    ok(run_reader_open(path, &a, &err));
    ok(run_verify(a, &err)); /* dense: no routing to check */
    run_reader_close(a);
}

/* Links in circles are followed once, and what they lead to is listed once. */
static void test_links(void **state) {
    (void)state;
    static const char *const links[] = {"circle", "circle2", "circle3", "desk/up", "smoke/across"};
    const char *const roots[] = {root};
    char **paths = NULL, path[128], folder[128];
    int32_t count = 0, again = 0;
    ok(run_paths_find(roots, 1, false, &paths, &count, NULL));
    run_paths_free(paths, count);
    snprintf(folder, sizeof folder, "%s/desk", root);
    mkdir(folder, 0777);
    for (int i = 0; i < 5; i++) {
        snprintf(path, sizeof path, "%s/%s", root, links[i]);
        assert_int_equal(symlink(i < 4 ? root : folder, path), 0);
    }
    ok(run_paths_find(roots, 1, false, &paths, &again, NULL));
    assert_int_equal(again, count);
    for (int32_t i = 1; i < again; i++)
        assert_string_not_equal(paths[i], paths[i - 1]);
    run_paths_free(paths, again);
    for (int i = 0; i < 5; i++) {
        snprintf(path, sizeof path, "%s/%s", root, links[i]);
        assert_int_equal(unlink(path), 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_and_tier),
        cmocka_unit_test(test_bad_selections),
        cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_groups_and_needs),
        cmocka_unit_test(test_used_runs),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_series),
        cmocka_unit_test(test_series_over_seeds),
        cmocka_unit_test(test_measures),
        cmocka_unit_test(test_unknown_measures),
        cmocka_unit_test(test_report),
        cmocka_unit_test(test_verify_and_diff),
        cmocka_unit_test(test_links),
    };
    return cmocka_run_group_tests(tests, write_runs, remove_runs);
}
