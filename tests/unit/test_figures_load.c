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

#include <gif_lib.h>

#include "analysis/figure.h"
#include "analysis/load_course.h"
#include "analysis/style.h"
#include "core/file.h"
#include "fixture_record.h"
#include "record/writer.h"

#define ok(call) assert_int_equal((call), MOE_OK)

#define LAYERS  2
#define EXPERTS 4
#define CELLS   (LAYERS * EXPERTS)

/* Slots of 16 that the experts of layer 0 get at the end of a run; layer 1 has them in reverse. At its start,
 * and throughout under the corrected protocol, each gets 4. */
static const int32_t final_load[EXPERTS] = {11, 3, 1, 1};

struct load_run {
    const char *root, *experiment, *protocol;
    uint64_t seed;
    int32_t records, layers;
    int64_t interval; /* steps from one record to the next */
    bool absent;      /* the last layer lacks its last expert */
    bool even;        /* equal loads throughout */
};

static int32_t load_at(const struct load_run *run, int32_t record, int32_t layer, int32_t expert) {
    if (run->absent && layer == run->layers - 1 && expert == EXPERTS - 1) return -1;
    if (run->even || 2 * record < run->records - 1) return 4;
    return final_load[layer == 0 ? expert : EXPERTS - 1 - expert];
}

static moe_status write_record(struct run_writer *w, const struct load_run *run, int32_t record,
                               moe_err *err) {
    moe_status status = MOE_OK;
    const int64_t step = 1 + record * run->interval;
    int32_t load[CELLS];
    for (int32_t c = 0; c < run->layers * EXPERTS; c++)
        load[c] = load_at(run, record, c / EXPERTS, c % EXPERTS);
    moe_try(run_writer_train(w,
                             &(struct run_train_row){.step = step,
                                                     .tokens = 16 * step,
                                                     .loss = 2.0,
                                                     .loss_ce = 2.0,
                                                     .lr = 1e-3,
                                                     .grad_norm = 1.0,
                                                     .temperature = 1.0},
                             err));
    moe_try(fixture_routing_row(w, RUN_ROUTING, step, run->layers, EXPERTS, load, NULL, err));
out:
    return status;
}

static moe_status write_rows(struct run_writer *w, const void *user, moe_err *err) {
    moe_status status = MOE_OK;
    const struct load_run *run = user;
    for (int32_t r = 0; r < run->records; r++)
        moe_try(write_record(w, run, r, err));
out:
    return status;
}

static moe_status write_run(const struct load_run *run, moe_err *err) {
    static const char *const domains[] = {"all"};
    static const int32_t layers[] = {3, 5};
    char path[512];
    snprintf(path, sizeof path, "%s/moedl/%s.%s.s%llu.h5", run->root, run->experiment, run->protocol,
             (unsigned long long)run->seed);
    const struct run_fact facts[] = {{"host", "test"}};
    const struct run_begin begin = {
        .path = path,
        .identity = {"moedl", "D", run->experiment, run->protocol, "desk", run->seed},
        .axes = {run->layers, EXPERTS, 1, 1},
        .domain_names = domains,
        .moe_layer_numbers = layers,
        .config_json = "{}",
        .config_toml = "",
        .counts_json = "{}",
        .facts = facts,
        .fact_count = 1};
    return fixture_seal_run(&begin, write_rows, run, "completed", err);
}

/* a0 to a2 under both protocols. */
static void write_runs(const char *root, int32_t records, int32_t layers, int64_t interval) {
    static const char *const experiments[] = {"a0_moedl_no_lb", "a1_moedl_lb_penalty", "a2_moedl_lb_biasing"};
    for (int32_t e = 0; e < 3; e++) {
        for (int32_t p = 0; p < 2; p++) {
            const struct load_run run = {.root = root,
                                         .experiment = experiments[e],
                                         .protocol = p == 0 ? "as-published" : "corrected",
                                         .seed = 7,
                                         .records = records,
                                         .layers = layers,
                                         .interval = interval,
                                         .even = p == 1};
            moe_err err = {0};
            if (write_run(&run, &err) != MOE_OK) fail_msg("%s", err.message);
        }
    }
}

/* Eleven records, one every ten steps, in two layers. */
static char root[] = "/tmp/moe-load-XXXXXX";

static int set_up(void **state) {
    (void)state;
    if (mkdtemp(root) == NULL) return -1;
    write_runs(root, 11, LAYERS, 10);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    return fixture_remove(root);
}

static struct report *open_report(const char *folder) {
    const char *const roots[] = {folder};
    struct report *report = NULL;
    moe_err err = {0};
    if (report_open(&(struct run_selection){roots, 1, NULL}, MOE_SOURCE_DIR "/paper", &report, &err) !=
        MOE_OK)
        fail_msg("%s", err.message);
    return report;
}

/* ---- load_course.h */

/* Points are means of neighbours, the last one of what is left; a layer may lack an expert. */
static void test_course(void **state) {
    (void)state;
    char folder[256];
    struct load_course all;
    struct load_course few;
    moe_err err = {0};
    snprintf(folder, sizeof folder, "%s-course", root);
    ok(write_run(&(struct load_run){.root = folder,
                                    .experiment = "a0_moedl_no_lb",
                                    .protocol = "corrected",
                                    .records = 7,
                                    .layers = LAYERS,
                                    .interval = 2,
                                    .absent = true},
                 &err));
    struct report *report = open_report(folder);
    const struct run_file *file = run_list_at(report->runs, 0);
    ok(load_course_of_run(report->runs, file, INT32_MAX, &all, &err));
    ok(load_course_of_run(report->runs, file, 3, &few, &err));
    assert_int_equal(all.n, 7);
    assert_int_equal(all.interval, 2);
    assert_int_equal(all.bin, 1);
    assert_int_equal(few.n, 3);
    assert_int_equal(few.bin, 3);
    assert_true(all.step[6] == 13.0 && few.step[0] == 3.0 && few.step[1] == 9.0 && few.step[2] == 13.0);
    /* records 0 to 2 are even, 3 to 6 are not: layer 0 is 11 3 1 1, layer 1 is 1 1 3 - of five */
    assert_true(fabs(few.shares[0] - 0.25) < 1e-12);
    assert_true(fabs(few.shares[CELLS + 0] - 11.0 / 16.0) < 1e-12);
    assert_true(fabs(few.shares[2 * CELLS + EXPERTS + 2] - 3.0 / 5.0) < 1e-12);
    assert_true(isnan(few.shares[2 * CELLS + EXPERTS + 3]));
    assert_true(fabs(load_course_mean(&all, 0, 0) - 0.5 * (1.0 / 4.0 + 1.0 / 3.0)) < 1e-12);
    assert_true(fabs(load_course_mean(&all, 6, 3) - 1.0 / 16.0) < 1e-12); /* only layer 0 has it */
    assert_true(fabs(load_course_largest(&all, 6) - 0.5 * (11.0 / 16.0 + 3.0 / 5.0)) < 1e-12);
    double deviation[CELLS];
    load_course_deviation(&all, 6, deviation);
    const double want[CELLS] = {43.75, 6.25, 18.75, 18.75, 40.0 / 3.0, 40.0 / 3.0, 80.0 / 3.0, NAN};
    for (int32_t c = 0; c < CELLS; c++)
        assert_true(isnan(want[c]) ? isnan(deviation[c]) : fabs(deviation[c] - want[c]) < 1e-9);
    load_course_free(&all);
    load_course_free(&few);
    report_close(report);
    assert_int_equal(fixture_remove(folder), 0);
}

/* ---- pictures */

static void draw(struct report *report, const char *id, int32_t frame, struct plot_image *image) {
    const struct figure *figure = NULL;
    struct plot *plot = NULL;
    moe_err err = {0};
    ok(figure_find(id, &figure, NULL));
    if (figure->draw(report, frame, &plot, &err) != MOE_OK) fail_msg("%s: %s", id, err.message);
    ok(plot_render(plot, 1.0, image, &err));
    plot_free(plot);
}

static bool has_colour(const struct plot_image *image, int32_t x, int32_t y, struct plot_colour c) {
    const uint8_t *p = image->rgb + 3 * ((size_t)y * (size_t)image->width + (size_t)x);
    return fabs(p[0] - 255.0 * c.red) <= 1.0 && fabs(p[1] - 255.0 * c.green) <= 1.0 &&
           fabs(p[2] - 255.0 * c.blue) <= 1.0;
}

/* Pixels of a colour in columns [first, end) of the upper `share` of an image; *out_top the highest. */
static int32_t count(const struct plot_image *image, int32_t first, int32_t end, double share,
                     struct plot_colour c, int32_t *out_top) {
    int32_t n = 0;
    *out_top = image->height;
    for (int32_t y = 0; y < share * image->height; y++) {
        for (int32_t x = first; x < end; x++) {
            if (!has_colour(image, x, y, c)) continue;
            n++;
            if (y < *out_top) *out_top = y;
        }
    }
    return n;
}

/* The stack: near the end of the left panel the experts have 6, 2, 2 and 6 of 16 slots (mean of the two
 * layers) of a height of 180, expert 0 at the foot; on the right always a quarter each. */
static void test_stack(void **state) {
    (void)state;
    struct report *report = open_report(root);
    struct plot_image image;
    draw(report, "d-load-a0", 0, &image);
    for (int32_t side = 0; side < 2; side++) {
        const int32_t x = side == 0 ? 370 : 740;
        int32_t above = image.height;
        for (int32_t e = 0; e < EXPERTS; e++) {
            int32_t top;
            const int32_t n = count(&image, x, x + 1, 0.5, style_expert(e, EXPERTS), &top);
            const double share = side == 1 ? 0.25 : e == 0 || e == 3 ? 6.0 / 16.0 : 2.0 / 16.0;
            assert_true(fabs(n - 180.0 * share) <= 2.0);
            assert_true(top < above);
            above = top;
        }
    }
    plot_image_free(&image);
    report_close(report);
}

/* A map in the first frame and the last: all cells at 0; then on the left one cell of a layer at 43.75 of 50
 * points, one at 6.25, two at 18.75, and the right as before. */
static void test_heatmap(void **state) {
    (void)state;
    struct report *report = open_report(root);
    const struct figure *figure = NULL;
    struct figure_motion motion;
    struct plot_image first;
    struct plot_image last;
    int32_t top;
    ok(figure_find("d-heatmap-a1", &figure, NULL));
    ok(figure->motion(report, &motion, NULL));
    assert_int_equal(motion.frames, 11);
    draw(report, "d-heatmap-a1", 0, &first);
    draw(report, "d-heatmap-a1", 10, &last);
    const int32_t end = 505; /* of the cells; behind them is the bar, which has all colours */
    const struct plot_colour none = style_sequential(0.01);
    const double cells = count(&first, 0, end, 1.0, none, &top);
    assert_true(cells > 2.0 * 150.0 * 109.0); /* two panels, 110 high */
    const double at_43 = count(&last, 0, end, 1.0, style_sequential(0.87), &top);
    const double at_6 = count(&last, 0, end, 1.0, style_sequential(0.13), &top);
    const double at_18 = count(&last, 0, end, 1.0, style_sequential(0.37), &top);
    assert_true(fabs(at_43 - cells / 8.0) < 0.03 * cells);
    assert_true(fabs(at_6 - cells / 8.0) < 0.03 * cells);
    assert_true(fabs(at_18 - cells / 4.0) < 0.03 * cells);
    assert_true(fabs(count(&last, 0, end, 1.0, none, &top) - cells / 2.0) < 0.03 * cells);
    plot_image_free(&first);
    plot_image_free(&last);
    report_close(report);
}

/* Ten frames a second, as many as are told, in at most 15 s, however many steps were recorded; one record is
 * one frame. */
static void test_motion(void **state) {
    (void)state;
    static const int32_t records[] = {1, 2, 130, 131, 400, 1560};
    for (size_t i = 0; i < sizeof records / sizeof records[0]; i++) {
        char folder[256];
        struct figure_motion motion;
        struct plot_image image;
        const struct figure *figure = NULL;
        snprintf(folder, sizeof folder, "%s-%d", root, records[i]);
        write_runs(folder, records[i], 1, 10);
        struct report *report = open_report(folder);
        ok(figure_find("d-heatmap-compare", &figure, NULL));
        ok(figure->motion(report, &motion, NULL));
        assert_true(motion.frames >= 1 && (records[i] == 1 || motion.frames >= 2));
        assert_int_equal(motion.delay, 10);
        assert_true((motion.frames - 1) * motion.delay + motion.last_delay <= 1500);
        draw(report, "d-heatmap-compare", motion.frames - 1, &image);
        plot_image_free(&image);
        draw(report, "d-load-balance", 0, &image); /* one layer: no upper half */
        plot_image_free(&image);
        draw(report, "d-load-a2", 0, &image);
        plot_image_free(&image);
        report_close(report);
        assert_int_equal(fixture_remove(folder), 0);
    }
}

static int read_gif(GifFileType *gif, GifByteType *out, int size) {
    const unsigned char **at = gif->UserData;
    memcpy(out, *at, (size_t)size);
    *at += size;
    return size;
}

static void test_gif(void **state) {
    (void)state;
    struct report *report = open_report(root);
    const struct figure *figure = NULL;
    unsigned char *data = NULL;
    size_t size = 0;
    int code = 0;
    GraphicsControlBlock control;
    ok(figure_find("d-heatmap-compare", &figure, NULL));
    ok(figure_encode(report, figure, &data, &size, NULL));
    const unsigned char *at = data;
    GifFileType *gif = DGifOpen(&at, read_gif, &code);
    assert_non_null(gif);
    assert_int_equal(DGifSlurp(gif), GIF_OK);
    assert_int_equal(gif->ImageCount, 11);
    for (int32_t f = 0; f < 11; f++) {
        ok(DGifSavedExtensionToGCB(gif, f, &control) == GIF_OK ? MOE_OK : MOE_EFORMAT);
        assert_int_equal(control.DelayTime, f < 10 ? 10 : 200);
    }
    DGifCloseFile(gif, NULL);
    free(data);
    report_close(report);
}

/* Runs whose routing was not recorded are an error that names the file. */
static void test_no_routing(void **state) {
    (void)state;
    static const char *const ids[] = {"d-load-a0", "d-heatmap-a0", "d-heatmap-compare", "d-load-balance"};
    char folder[256];
    snprintf(folder, sizeof folder, "%s-none", root);
    write_runs(folder, 0, LAYERS, 10);
    struct report *report = open_report(folder);
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        const struct figure *figure = NULL;
        unsigned char *data = NULL;
        size_t size = 0;
        moe_err err = {0};
        ok(figure_find(ids[i], &figure, NULL));
        assert_int_equal(figure_encode(report, figure, &data, &size, &err), MOE_ENOTFOUND);
        assert_non_null(strstr(err.message, "a0_moedl_no_lb.as-published.s7.h5"));
        assert_null(data);
    }
    report_close(report);
    assert_int_equal(fixture_remove(folder), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_course), cmocka_unit_test(test_stack), cmocka_unit_test(test_heatmap),
        cmocka_unit_test(test_motion), cmocka_unit_test(test_gif),   cmocka_unit_test(test_no_routing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
