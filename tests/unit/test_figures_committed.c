/* test: rooms=analysis label=fast */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/figure.h"
#include "analysis/run_check.h"
#include "analysis/slicing.h"
#include "core/file.h"

#define RUNS    MOE_SOURCE_DIR "/runs/reference"
#define FIGURES MOE_SOURCE_DIR "/figures"

static struct report *report;

/* Digest and measures of balance of every committed run, computed again from its data. */
static void test_runs_are_what_they_say(void **state) {
    (void)state;
    for (int32_t i = 0; i < run_list_count(report->runs); i++) {
        struct run_reader *reader = NULL;
        moe_err err = {0};
        if (run_list_reader(report->runs, run_list_at(report->runs, i), &reader, &err) != MOE_OK ||
            run_verify(reader, &err) != MOE_OK)
            fail_msg("%s", err.message);
    }
}

/* Every figure of a suite with committed runs is, byte for byte, what they give now. */
static void test_figures_are_current(void **state) {
    (void)state;
    for (int32_t i = 0; figure_at(i) != NULL; i++) {
        unsigned char *drawn = NULL;
        unsigned char *committed = NULL;
        size_t drawn_size = 0;
        size_t committed_size = 0;
        char name[FIGURE_NAME_MAX];
        moe_err err = {0};
        if (!run_list_concerns(report->runs, figure_at(i)->need)) continue;
        figure_file_name(figure_at(i), name);
        char *path = path_join(FIGURES, name);
        assert_non_null(path);
        if (figure_encode(report, figure_at(i), &drawn, &drawn_size, &err) != MOE_OK ||
            file_read_all(path, (size_t)64 << 20, &committed, &committed_size, &err) != MOE_OK)
            fail_msg("%s", err.message);
        if (drawn_size != committed_size || memcmp(drawn, committed, drawn_size) != 0)
            fail_msg("%s is stale: draw it again with `moe-report figure %s`", path, figure_at(i)->id);
        free(drawn);
        free(committed);
        free(path);
    }
}

/* Source C has a page for each domain of text that its runs were evaluated on. */
static void test_domains_have_pages(void **state) {
    (void)state;
    struct run_reader *reader = NULL;
    moe_err err = {0};
    int32_t i = 0;
    while (i < run_list_count(report->runs) &&
           strcmp(run_list_at(report->runs, i)->info.suite, SLICING_SUITE) != 0)
        i++;
    if (i == run_list_count(report->runs)) skip();
    assert_int_equal(run_list_reader(report->runs, run_list_at(report->runs, i), &reader, &err), MOE_OK);
    assert_string_equal(run_reader_domain(reader, 0), "all");
    for (int32_t d = 1; d < run_reader_info(reader)->axes.domains; d++) {
        const char *name = run_reader_domain(reader, d);
        const struct figure *page;
        char id[FIGURE_NAME_MAX];
        if (strcmp(name, DOMAIN_QUESTIONS) == 0) continue;
        snprintf(id, sizeof id, "c-domain-%s", name);
        if (figure_find(id, &page, &err) != MOE_OK) fail_msg("%s", err.message);
        assert_string_equal(page->need->domain, name);
    }
}

int main(void) {
    const char *const roots[] = {RUNS};
    moe_err err = {0};
    if (!file_is_folder(RUNS)) return 77;
    if (report_open(&(struct run_selection){roots, 1, NULL}, MOE_SOURCE_DIR "/paper", &report, &err) !=
        MOE_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    if (run_list_count(report->runs) == 0) {
        fprintf(stderr, "no committed runs below " RUNS ": skipped\n");
        report_close(report);
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_runs_are_what_they_say),
                                       cmocka_unit_test(test_domains_have_pages),
                                       cmocka_unit_test(test_figures_are_current)};
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    report_close(report);
    return failed;
}
