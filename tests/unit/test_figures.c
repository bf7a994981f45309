/* test: rooms=analysis label=fast */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/wait.h>
#include <unistd.h>

#include "analysis/figure.h"
#include "analysis/tables.h"
#include "figure_checks.h"
#include "fixture_runs.h"

#define ok(call) assert_int_equal((call), MOE_OK)

/* Two seeds of everything. */
static char root[] = "/tmp/moe-figures-XXXXXX";

static int write_runs(void **state) {
    (void)state;
    moe_err err = {0};
    if (mkdtemp(root) == NULL) return -1;
    return fixture_result(fixture_write_suite(root, "desk", 2, &err), &err);
}

static int remove_runs(void **state) {
    (void)state;
    return fixture_remove(root);
}

/* Figures of suites that have runs here. */
static bool is_drawn(const struct report *report, const struct figure *figure) {
    return run_list_concerns(report->runs, figure->need);
}

static void test_every_figure(void **state) {
    (void)state;
    struct report *report = open_report(root);
    int32_t count = 0;
    for (int32_t i = 0; figure_at(i) != NULL; i++) {
        if (!is_drawn(report, figure_at(i))) continue;
        check_figure(report, figure_at(i), true);
        count++;
    }
    assert_int_equal(count, 8);
    report_close(report);
}

/* A figure shows its data: one changed value in one run changes it. */
static void test_figure_depends_on_runs(void **state) {
    (void)state;
    char other[64];
    moe_err err = {0};
    snprintf(other, sizeof other, "%s-other", root);
    static const char *const protocols[] = {"as-published", "corrected"};
    for (int32_t e = 0; e < FIXTURE_EXPERIMENTS; e++)
        for (int32_t p = 0; p < 2; p++)
            ok(fixture_write(&(struct fixture_run){other, "desk", e, protocols[p], e == 3 ? 5 : 0, 4}, &err));
    struct report *report = open_report(root);
    struct report *changed = open_report(other);
    for (int32_t i = 0; figure_at(i) != NULL; i++) {
        const struct figure *figure = figure_at(i);
        if (!is_drawn(report, figure)) continue;
        struct plot *plots[2] = {NULL, NULL};
        struct plot_image images[2];
        ok(figure->draw(report, 0, &plots[0], &err));
        ok(plot_render(plots[0], 1.0, &images[0], &err));
        const moe_status status = figure->draw(changed, 0, &plots[1], &err);
        if (status == MOE_ENOTFOUND) { /* differences from dense need a seed in common, and say so */
            assert_non_null(strstr(err.message, "no seed in common"));
        } else {
            ok(status);
            ok(plot_render(plots[1], 1.0, &images[1], &err));
            const bool same_size = images[0].height == images[1].height;
            assert_false(same_size && memcmp(images[0].rgb, images[1].rgb,
                                             3 * (size_t)images[0].width * (size_t)images[0].height) == 0);
            plot_image_free(&images[1]);
        }
        plot_image_free(&images[0]);
        plot_free(plots[0]);
        plot_free(plots[1]);
    }
    report_close(report);
    report_close(changed);
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", other);
    assert_int_equal(system(command), 0);
}

/* The animation has as many frames as the longest run has evaluations. */
static void test_animation(void **state) {
    (void)state;
    struct report *report = open_report(root);
    const struct figure *figure = NULL;
    struct figure_motion motion;
    ok(figure_find("a-usage-evolution", &figure, NULL));
    ok(figure->motion(report, &motion, NULL));
    assert_int_equal(motion.frames, 4); /* seed 0 trains 4 epochs */
    report_close(report);
}

/* Without its runs a figure or a table is an error that names them, not an empty picture. */
static void test_missing_runs(void **state) {
    (void)state;
    char path[256];
    moe_err err = {0};
    fixture_path(&(struct fixture_run){root, "desk", 0, "corrected", 1, 0}, path, sizeof path);
    struct report *report = open_report(path);
    for (int32_t i = 0; figure_at(i) != NULL; i++) {
        unsigned char *data = NULL;
        size_t size = 0;
        assert_int_equal(figure_encode(report, figure_at(i), &data, &size, &err), MOE_ENOTFOUND);
        assert_non_null(strstr(err.message, figure_at(i)->id));
        if (!is_drawn(report, figure_at(i))) continue;
        assert_non_null(strstr(err.message, "throughput_opt corrected"));
        assert_null(strstr(err.message, "dense corrected"));
        assert_null(data);
    }
    for (int32_t i = 0; table_at(i) != NULL; i++) {
        char *text = NULL;
        assert_int_equal(table_print(report, table_at(i), TABLE_TEXT, &text, &err), MOE_ENOTFOUND);
        assert_non_null(strstr(err.message, table_at(i)->id));
        assert_null(text);
    }
    report_close(report);
}

static void test_registry(void **state) {
    (void)state;
    const struct figure *figure = NULL;
    const struct table *table = NULL;
    moe_err err = {0};
    assert_int_equal(figure_find("a-entrpy", &figure, &err), MOE_ENOTFOUND);
    assert_non_null(strstr(err.message, "a-entropy"));
    assert_int_equal(table_find("a-keynumbers", &table, &err), MOE_ENOTFOUND);
    assert_non_null(strstr(err.message, "a-key-numbers"));
    for (int32_t i = 0; figure_at(i) != NULL; i++)
        for (int32_t j = 0; j < i; j++)
            assert_string_not_equal(figure_at(i)->id, figure_at(j)->id);
}

/* ---- tables */

static void test_formats(void **state) {
    (void)state;
    static const struct table_column columns[] = {{"name", CELL_TEXT, 0},
                                                  {"count", CELL_NUMBER, 0},
                                                  {"loss (nats)", CELL_ESTIMATE, 3},
                                                  {"p", CELL_PROBABILITY, 2}};
    struct sheet sheet = {.columns = columns, .num_columns = 4};
    struct table_cell *row = NULL;
    char *text = NULL;
    ok(sheet_add_row(&sheet, &row, NULL));
    row[0] = cell_text("a|b, \"c\"");
    row[1] = cell_number(17286656.0);
    row[2] = cell_estimate(&(struct stats_estimate){.value = -0.125, .low = -0.25, .high = 0.0, .n = 3});
    row[3] = cell_number(1e-9);
    ok(sheet_add_row(&sheet, &row, NULL));
    row[0] = cell_text("\xc2\xb5");
    ok(sheet_print(&sheet, TABLE_TEXT, &text, NULL));
    assert_string_equal(
        text, "name           count     loss (nats)       p\n"
              "--------  ----------  --------------  ------\n"
              "a|b, \"c\"  17,286,656  \xe2\x88\x92"
              "0.125 \xc2\xb1 0.125  < 0.01\n"
              "\xc2\xb5                  \xe2\x80\x93               \xe2\x80\x93       \xe2\x80\x93\n");
    free(text);
    ok(sheet_print(&sheet, TABLE_MARKDOWN, &text, NULL));
    assert_non_null(strstr(text, "| -------- | ---------: | -------------: | -----: |\n"));
    assert_non_null(strstr(text, "| a\\|b, \"c\" |"));
    free(text);
    ok(sheet_print(&sheet, TABLE_CSV, &text, NULL));
    assert_string_equal(text, "name,count,loss (nats),low,high,p\r\n"
                              "\"a|b, \"\"c\"\"\",17286656,-0.125,-0.25,0,1e-09\r\n"
                              "\xc2\xb5,,,,,\r\n");
    free(text);
    sheet_free(&sheet);
}

static void test_table_values(void **state) {
    (void)state;
    struct report *report = open_report(root);
    const struct table *table = NULL;
    char *csv = NULL;
    ok(table_find("a-key-numbers", &table, NULL));
    ok(table_print(report, table, TABLE_CSV, &csv, NULL));
    assert_true(csv_value(csv, "\r\ndense,published,", 0) == 1.0);
    assert_true(csv_value(csv, "\r\ntop2,published,", 2) == 9.3921);
    double best[2];
    for (uint64_t seed = 0; seed < 2; seed++) {
        const struct fixture_run run = {root, "desk", 2, "as-published", seed, 0};
        best[seed] = INFINITY;
        for (int32_t e = 0; e < fixture_epochs(&run); e++)
            best[seed] = fmin(best[seed], fixture_eval_ce(&run, e) + fixture_eval_aux(&run));
    }
    assert_true(fabs(csv_value(csv, "\r\ntop2,\"ours, as published\",", 2) - 0.5 * (best[0] + best[1])) <
                1e-9);
    free(csv);

    ok(table_find("a-ce-only", &table, NULL));
    ok(table_print(report, table, TABLE_CSV, &csv, NULL));
    /* published: reported 9.3809 against 9.3698, cross-entropy 9.3608 against 9.3698 */
    assert_true(fabs(csv_value(csv, "\r\nbaseline,published,", 10) - 0.0111) < 1e-9);
    assert_true(fabs(csv_value(csv, "\r\nbaseline,published,", 13) + 0.0090) < 1e-9);
    free(csv);

    ok(table_find("a-runs", &table, NULL));
    ok(table_print(report, table, TABLE_CSV, &csv, NULL));
    int32_t lines = 0;
    for (const char *c = csv; *c != '\0'; c++)
        lines += *c == '\n';
    assert_int_equal(lines, 1 + 20);
    for (int32_t i = 0; i < run_list_count(report->runs); i++) {
        char digest[17];
        snprintf(digest, sizeof digest, "%.16s", run_list_at(report->runs, i)->info.digest);
        assert_non_null(strstr(csv, digest));
    }
    free(csv);
    report_close(report);
}

/* ---- the program */

/* Runs moe-report with arguments; returns its exit status, *out_output its stdout and stderr (malloc'ed). */
static int run_program(const char *arguments, char **out_output) {
    char command[1024];
    snprintf(command, sizeof command, MOE_BINARY_DIR "/bin/moe-report %s 2>&1", arguments);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    char *output = calloc(1, 1 << 16);
    assert_non_null(output);
    const size_t read = fread(output, 1, (1 << 16) - 1, pipe);
    output[read] = '\0';
    char rest[4096];
    while (fread(rest, 1, sizeof rest, pipe) > 0) {
    }
    const int status = pclose(pipe);
    *out_output = output;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void expect(const char *arguments, int want_status, const char *want_text) {
    char *output = NULL;
    const int status = run_program(arguments, &output);
    if (status != want_status || strstr(output, want_text) == NULL)
        fail_msg("moe-report %s: exit %d, want %d; output lacks \"%s\":\n%s", arguments, status, want_status,
                 want_text, output);
    free(output);
}

static void test_program(void **state) {
    (void)state;
    char arguments[512];
    expect("--version", 0, "moe-report");
    expect("--help", 0, "runs verify");
    expect("", 2, "which command");
    expect("frobnicate", 2, "frobnicate");
    expect("runs frobnicate", 2, "expected ls, show, diff, digest or verify");
    expect("runs diff one", 2, "two files");
    expect("table", 2, "which");
    expect("table --format pdf", 2, "markdown");
    expect("figure --list", 0, "a-usage-evolution");
    expect("table --list", 0, "a-key-numbers");
    expect("figure a-nothing", 1, "a-nothing");
    expect("runs show /nonexistent.h5", 1, "/nonexistent.h5");
    snprintf(arguments, sizeof arguments, "runs ls '%s'", root);
    expect(arguments, 0, "moe-vs-dense/throughput_opt  corrected");
    snprintf(arguments, sizeof arguments, "runs verify '%s'", root);
    expect(arguments, 0, "top2.corrected.s1.h5: ok");
    snprintf(arguments, sizeof arguments, "runs show '%s/moe-vs-dense/top2.corrected.s1.h5'", root);
    expect(arguments, 0, "routing on the validation split");
    snprintf(arguments, sizeof arguments,
             "runs diff '%s/moe-vs-dense/top2.corrected.s1.h5' '%s/moe-vs-dense/top2.corrected.s0.h5'", root,
             root);
    expect(arguments, 1, "contents differ");
    snprintf(arguments, sizeof arguments, "table a-key-numbers --format markdown --runs-dir '%s'", root);
    expect(arguments, 0, "| top2 ");
    snprintf(arguments, sizeof arguments, "figure a-summary -r '%s' -o '%s/figures'", root, root);
    expect(arguments, 0, "figures/a-summary.png");
}

/* digest prints what the file carries; verify refuses a damaged file and goes on to the next. */
static void test_program_on_damage(void **state) {
    (void)state;
    char good[256];
    char bad[256];
    char arguments[640];
    unsigned char *data = NULL;
    size_t size = 0;
    struct report *report = open_report(root);
    fixture_path(&(struct fixture_run){root, "desk", 2, "corrected", 1, 0}, good, sizeof good);
    snprintf(bad, sizeof bad, "%s/bad.h5", root);
    ok(file_read_all(good, 1 << 24, &data, &size, NULL));
    data[size / 2] ^= 0x10;
    ok(file_write_atomic(bad, data, size, NULL));
    free(data);
    snprintf(arguments, sizeof arguments, "runs verify '%s' '%s'", bad, good);
    expect(arguments, 1, "bad.h5");
    expect(arguments, 1, "top2.corrected.s1.h5: ok");
    unlink(bad);
    for (int32_t i = 0; i < run_list_count(report->runs); i++) {
        const struct run_file *file = run_list_at(report->runs, i);
        if (strcmp(file->path, good) != 0) continue;
        snprintf(arguments, sizeof arguments, "runs digest '%s'", good);
        expect(arguments, 0, file->info.digest);
    }
    report_close(report);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_figure),      cmocka_unit_test(test_figure_depends_on_runs),
        cmocka_unit_test(test_animation),         cmocka_unit_test(test_missing_runs),
        cmocka_unit_test(test_registry),          cmocka_unit_test(test_formats),
        cmocka_unit_test(test_table_values),      cmocka_unit_test(test_program),
        cmocka_unit_test(test_program_on_damage),
    };
    return cmocka_run_group_tests(tests, write_runs, remove_runs);
}
