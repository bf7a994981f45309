/* test: rooms=analysis label=fast */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/plot.h"
#include "analysis/plot_text.h"
#include "analysis/style.h"
#include "core/hash.h"

#define COUNT(array) ((int32_t)(sizeof(array) / sizeof((array)[0])))

/* ---- text */

static void test_text(void **state) {
    (void)state;
    struct plot_fonts *fonts = NULL;
    assert_int_equal(plot_fonts_open(&fonts, NULL), MOE_OK);
    const double one = plot_text_width(fonts, FONT_REGULAR, 10.0, "H");
    assert_true(one > 5.0 && one < 10.0);
    assert_true(fabs(plot_text_width(fonts, FONT_REGULAR, 20.0, "H") - 2.0 * one) < 1e-9);
    assert_true(fabs(plot_text_width(fonts, FONT_REGULAR, 10.0, "HHH") - 3.0 * one) < 1e-9);
    assert_true(plot_text_width(fonts, FONT_BOLD, 10.0, "H") > one);
    const double av = plot_text_width(fonts, FONT_REGULAR, 10.0, "AV");
    assert_true(av < plot_text_width(fonts, FONT_REGULAR, 10.0, "A") +
                         plot_text_width(fonts, FONT_REGULAR, 10.0, "V"));
    /* two bytes, one glyph; broken UTF-8 ends, and takes at most one replacement glyph a byte */
    const double umlaut = plot_text_width(fonts, FONT_REGULAR, 10.0, "\xc3\xa4");
    assert_true(fabs(umlaut - plot_text_width(fonts, FONT_REGULAR, 10.0, "a")) < 1e-9);
    const char *const broken[] = {"\xff", "\xc3", "\xe2\x88", "\xf0\x9f\x98", "\x80\x80", "a\xc3z"};
    for (int32_t i = 0; i < COUNT(broken); i++)
        assert_true(plot_text_width(fonts, FONT_REGULAR, 10.0, broken[i]) > 0.0);

    const char *words = "the quick brown fox";
    const double room = plot_text_width(fonts, FONT_REGULAR, 10.0, "the quick b");
    assert_int_equal(plot_text_fit(fonts, FONT_REGULAR, 10.0, words, room), strlen("the quick"));
    assert_int_equal(plot_text_fit(fonts, FONT_REGULAR, 10.0, words, 1.0),
                     strlen("the")); /* at least one word */
    assert_int_equal(plot_text_fit(fonts, FONT_REGULAR, 10.0, words, 1e9), strlen(words));
    plot_fonts_close(fonts);
}

/* ---- rendering */

static const uint8_t *pixel(const struct plot_image *image, int32_t x, int32_t y) {
    return image->rgb + 3 * ((size_t)y * (size_t)image->width + (size_t)x);
}

/* A page with everything on it. */
static struct plot *everything(void) {
    static const char *const names[] = {"one", "two\nlines", "three"};
    static const char *const labels[] = {"10", NULL, "30"};
    const double position[] = {0.0, 1.0, 2.0};
    const double value[] = {1.0, NAN, 3.0};
    const double low[] = {0.5, NAN, 2.0};
    const double high[] = {1.5, 2.5, 3.5};
    const double base[] = {0.0, 1.0, 1.0};
    const double cells[] = {0.0, 0.5, NAN, 1.0, 0.25, 0.75};
    struct plot *plot = NULL;
    const struct plot_layout layout = {
        .title = "Everything",
        .note = "A note that is long enough to be wrapped at the end of the line, since the "
                "page is not as wide as the note is long, however it is set.",
        .width = 640.0,
        .panel_height = 120.0,
        .rows = 2,
        .columns = 2};
    assert_int_equal(plot_new(&layout, &plot, NULL), MOE_OK);
    struct plot_panel_spec spec = {.title = "panel", .position = plot_axis_auto(), .value = plot_axis_auto()};
    spec.position.label = "position";
    spec.value.label = "value (units)";
    struct plot_pen pen = {
        .colour = STYLE_VERMILLION, .width = 2.0, .marker = MARKER_SQUARE, .dash = DASH_DASHED};
    struct plot_series series = {.n = 3,
                                 .position = position,
                                 .value = value,
                                 .low = low,
                                 .high = high,
                                 .labels = labels,
                                 .bar_width = 0.6,
                                 .pen = pen};
    plot_set_panel(plot, 0, &spec);
    series.geom = GEOM_LINE;
    plot_add_series(plot, 0, &series);
    series.geom = GEOM_AREA;
    series.base = base;
    series.value = high;
    series.pen.opacity = 0.5;
    plot_add_series(plot, 0, &series);
    series.base = NULL;
    series.value = value;
    series.pen = pen;
    plot_add_reference(plot, 0, 2.0, &pen);
    plot_add_span(plot, 0, 1.0, 1.2, STYLE_SHADE);
    spec.position.names = names;
    spec.position.num_names = 3;
    spec.horizontal = true;
    plot_set_panel(plot, 1, &spec);
    series.geom = GEOM_BARS;
    series.base = base;
    plot_add_series(plot, 1, &series);
    plot_head_row(plot, 1, "A row");
    spec.horizontal = false;
    spec.value.log = true;
    plot_set_panel(plot, 2, &spec);
    series.geom = GEOM_POINTS;
    series.pen.hollow = true;
    plot_add_series(plot, 2, &series);
    spec = (struct plot_panel_spec){.position = plot_axis_auto(), .value = plot_axis_auto()};
    spec.position.names = names;
    spec.position.num_names = 3;
    spec.value.names = names;
    spec.value.num_names = 2;
    plot_set_panel(plot, 3, &spec);
    plot_add_heatmap(plot, 3, 2, 3, cells, 0.0, 1.0, "share");
    plot_add_legend(plot, "a line", GEOM_LINE, &pen);
    plot_break_legend(plot);
    plot_add_legend(plot, "bars", GEOM_BARS, &pen);
    plot_add_legend_span(plot, "a stripe", STYLE_SHADE);
    return plot;
}

/* Equal pixels from two renderings, and from any machine: text is drawn as outlines, and every shape by calls
 * that cairo 1.16 (Debian 12) and 1.18 (Ubuntu 24.04) fill alike. A deliberate change of the look changes
 * this hash. */
static void test_same_pixels(void **state) {
    (void)state;
    struct plot_image first;
    struct plot_image again;
    struct plot *plot = everything();
    assert_int_equal(plot_render(plot, 2.0, &first, NULL), MOE_OK);
    assert_int_equal(plot_render(plot, 2.0, &again, NULL), MOE_OK);
    assert_int_equal(first.width, 1280);
    assert_int_equal(first.height, again.height);
    const size_t size = 3 * (size_t)first.width * (size_t)first.height;
    assert_memory_equal(first.rgb, again.rgb, size);
    char hex[HASH_SHA256_HEX];
    assert_int_equal(hash_sha256(first.rgb, size, hex, NULL), MOE_OK);
    assert_string_equal(hex, "e6db597c5c91c7035e58e17e88a6a4c485e4180ee33efbfa1f342d7625f316eb");
    plot_image_free(&first);
    plot_image_free(&again);
    plot_free(plot);
}

/* The first column from the left whose pixels have a colour; the image's width if none has. */
static int32_t first_column_of(const struct plot_image *image, struct plot_colour colour) {
    const uint8_t rgb[3] = {(uint8_t)lround(255.0 * colour.red), (uint8_t)lround(255.0 * colour.green),
                            (uint8_t)lround(255.0 * colour.blue)};
    for (int32_t x = 0; x < image->width; x++)
        for (int32_t y = 0; y < image->height; y++)
            if (memcmp(pixel(image, x, y), rgb, 3) == 0) return x;
    return image->width;
}

/* Headings stand at the margin, each on a line of its own, and all samples behind the longest. */
static void test_legends_have_headings(void **state) {
    (void)state;
    const struct plot_colour colours[] = {STYLE_GREEN, STYLE_BLUE};
    int32_t height[2], from[2][2];
    for (int32_t headed = 0; headed < 2; headed++) {
        struct plot *plot = NULL;
        struct plot_image image;
        assert_int_equal(
            plot_new(&(struct plot_layout){.width = 400.0, .panel_height = 50.0, .rows = 1, .columns = 1},
                     &plot, NULL),
            MOE_OK);
        for (int32_t i = 0; i < 2; i++) {
            const struct plot_pen pen = {.colour = colours[i]};
            if (headed) plot_head_legend(plot, i == 0 ? "one" : "another chart");
            plot_add_legend(plot, "bars", GEOM_BARS, &pen);
        }
        assert_int_equal(plot_render(plot, 1.0, &image, NULL), MOE_OK);
        height[headed] = image.height;
        for (int32_t i = 0; i < 2; i++)
            from[headed][i] = first_column_of(&image, colours[i]);
        plot_image_free(&image);
        plot_free(plot);
    }
    assert_int_equal(height[1] - height[0], 19);       /* a line */
    assert_true(from[0][0] < from[0][1]);              /* beside each other */
    assert_int_equal(from[1][0], from[1][1]);          /* below each other */
    assert_in_range(from[1][0] - from[0][0], 60, 140); /* behind "another chart" */
}

/* A bar of known place has its colour, and nothing else has. */
static void test_bar_lies_where_it_should(void **state) {
    (void)state;
    struct plot *plot = NULL;
    struct plot_image image;
    const double position = 1.0;
    const double value = 4.0;
    struct plot_panel_spec spec = {.position = plot_axis_auto(), .value = plot_axis_auto()};
    spec.position.min = 0.0;
    spec.position.max = 2.0;
    spec.position.hidden = spec.value.hidden = true;
    spec.value.min = 0.0;
    spec.value.max = 8.0;
    assert_int_equal(
        plot_new(&(struct plot_layout){.width = 240.0, .panel_height = 100.0, .rows = 1, .columns = 1}, &plot,
                 NULL),
        MOE_OK);
    plot_set_panel(plot, 0, &spec);
    plot_add_series(plot, 0,
                    &(struct plot_series){.geom = GEOM_BARS,
                                          .n = 1,
                                          .position = &position,
                                          .value = &value,
                                          .bar_width = 1.0,
                                          .pen = {.colour = STYLE_GREEN}});
    assert_int_equal(plot_render(plot, 1.0, &image, NULL), MOE_OK);
    int32_t left = image.width;
    int32_t right = -1;
    int32_t top = image.height;
    int32_t bottom = -1;
    for (int32_t y = 0; y < image.height; y++) {
        for (int32_t x = 0; x < image.width; x++) {
            const uint8_t green[3] = {0x00, 0x9e, 0x73};
            if (memcmp(pixel(&image, x, y), green, 3) != 0) continue;
            left = x < left ? x : left;
            right = x > right ? x : right;
            top = y < top ? y : top;
            bottom = y > bottom ? y : bottom;
        }
    }
    /* half of the height of 100, half of the width of the data area */
    assert_in_range(bottom - top + 1, 49, 51);
    const int32_t data_width = 2 * (right - left + 1);
    assert_in_range(data_width, 240 - 14 - 14 - 10 - 16 - 2, 240 - 14 - 14 - 10 - 16 + 2);
    plot_image_free(&image);
    plot_free(plot);
}

/* A panel of one plot whose axes are [0, 2] x [0, 8] without labels, 100 points high. */
static struct plot *bare_panel(double width) {
    struct plot *plot = NULL;
    struct plot_panel_spec spec = {.position = plot_axis_auto(), .value = plot_axis_auto()};
    spec.position.min = spec.value.min = 0.0;
    spec.position.max = 2.0;
    spec.value.max = 8.0;
    spec.position.hidden = spec.value.hidden = true;
    assert_int_equal(
        plot_new(&(struct plot_layout){.width = width, .panel_height = 100.0, .rows = 1, .columns = 1}, &plot,
                 NULL),
        MOE_OK);
    plot_set_panel(plot, 0, &spec);
    return plot;
}

/* Pixels of a colour in column x; a rounding of one step is allowed. */
static int32_t column_count(const struct plot_image *image, int32_t x, struct plot_colour c) {
    const double rgb[3] = {255.0 * c.red, 255.0 * c.green, 255.0 * c.blue};
    int32_t count = 0;
    for (int32_t y = 0; y < image->height; y++) {
        const uint8_t *p = pixel(image, x, y);
        count += fabs(p[0] - rgb[0]) <= 1.0 && fabs(p[1] - rgb[1]) <= 1.0 && fabs(p[2] - rgb[2]) <= 1.0;
    }
    return count;
}

/* One interval between points that have none is an error bar: a band would promise neighbours without spread.
 */
static void test_a_lone_interval_is_an_error_bar(void **state) {
    (void)state;
    const double position[] = {0.0, 1.0, 2.0}, value[] = {5.0, 5.0, 5.0};
    const double none[] = {NAN, NAN, NAN}, low[] = {NAN, 2.0, NAN}, high[] = {NAN, 8.0, NAN};
    struct plot_image images[2];
    for (int32_t lone = 0; lone < 2; lone++) {
        struct plot *plot = bare_panel(240.0);
        plot_add_series(plot, 0,
                        &(struct plot_series){.geom = GEOM_LINE,
                                              .n = 3,
                                              .position = position,
                                              .value = value,
                                              .low = lone ? low : none,
                                              .high = lone ? high : none,
                                              .pen = {.colour = STYLE_BLUE}});
        assert_int_equal(plot_render(plot, 1.0, &images[lone], NULL), MOE_OK);
        plot_free(plot);
    }
    const int32_t middle = 14 + 10 + (240 - 14 - 14 - 10 - 16) / 2;
    int32_t tallest = 0;
    for (int32_t x = 0; x < images[0].width; x++) {
        int32_t differ = 0;
        for (int32_t y = 0; y < images[0].height; y++)
            differ += memcmp(pixel(&images[0], x, y), pixel(&images[1], x, y), 3) != 0;
        if (x < middle - 4 || x > middle + 4) assert_int_equal(differ, 0);
        if (differ > tallest) tallest = differ;
    }
    assert_in_range(tallest, 70, 80); /* six units of 12.5 pixels */
    plot_image_free(&images[0]);
    plot_image_free(&images[1]);
}

/* Stacked areas: from 0 to 2 below one from 2 to a slope that falls from 8 to 4, and a gap. */
static void test_areas_lie_where_they_should(void **state) {
    (void)state;
    const double position[] = {0.0, 1.0, 1.5, 2.0};
    const double lower[] = {2.0, 2.0, NAN, 2.0};
    const double upper[] = {8.0, 4.0, 4.0, 4.0};
    struct plot *plot = bare_panel(240.0);
    struct plot_image image;
    plot_add_series(
        plot, 0,
        &(struct plot_series){
            .geom = GEOM_AREA, .n = 4, .position = position, .value = lower, .pen = {.colour = STYLE_BLUE}});
    plot_add_series(plot, 0,
                    &(struct plot_series){.geom = GEOM_AREA,
                                          .n = 4,
                                          .position = position,
                                          .value = upper,
                                          .base = lower,
                                          .pen = {.colour = STYLE_ORANGE}});
    assert_int_equal(plot_render(plot, 1.0, &image, NULL), MOE_OK);
    const int32_t left = 14 + 10;
    const int32_t data_width = 240 - 14 - 14 - 10 - 16;
    for (int32_t x = left + 2; x < left + data_width / 2 - 2; x++) {
        const double top = 8.0 - 4.0 * (x + 0.5 - left) / (0.5 * data_width);
        assert_in_range(column_count(&image, x, STYLE_BLUE), 24, 25);
        assert_true(fabs(column_count(&image, x, STYLE_ORANGE) - 12.5 * (top - 2.0)) < 2.0);
    }
    for (int32_t x = left + data_width / 2 + 2; x < left + data_width - 2; x++) {
        assert_int_equal(column_count(&image, x, STYLE_BLUE), 0);
        assert_int_equal(column_count(&image, x, STYLE_ORANGE), 0);
    }
    plot_image_free(&image);
    plot_free(plot);
}

/* A map of five cells with known colours, with and without its bar. */
static void test_heatmap_cells(void **state) {
    (void)state;
    const double cells[] = {0.0, 50.0, 25.0, 80.0, NAN}; /* the fourth lies beyond the scale */
    const double step[] = {0.01, 0.99, 0.51, 0.99};
    for (int32_t bar = 0; bar < 2; bar++) {
        struct plot *plot = bare_panel(240.0);
        struct plot_image image;
        plot_add_heatmap(plot, 0, 1, 5, cells, 0.0, 50.0, bar ? "points" : NULL);
        assert_int_equal(plot_render(plot, 1.0, &image, NULL), MOE_OK);
        const double width = 240.0 - 14.0 - 14.0 - 10.0 - 16.0 - (bar ? 72.0 : 0.0);
        for (int32_t c = 0; c < 4; c++) {
            const int32_t x = (int32_t)(24.0 + width * (c + 0.5) / 5.0);
            assert_in_range(column_count(&image, x, style_sequential(step[c])), 99, 100);
        }
        /* all but the axis at its foot */
        const int32_t empty = (int32_t)(24.0 + width * 4.5 / 5.0);
        assert_in_range(column_count(&image, empty, (struct plot_colour){1.0, 1.0, 1.0}), image.height - 2,
                        image.height);
        const int32_t middle_of_bar = (int32_t)(24.0 + width + 10.0 + 6.0);
        if (bar) assert_true(column_count(&image, middle_of_bar, style_sequential(step[0])) > 0);
        plot_image_free(&image);
        plot_free(plot);
    }
}

/* Linked panels get one range: the same value lies at the same height in both. */
static void test_linked_ranges(void **state) {
    (void)state;
    const double position[] = {0.0, 1.0};
    const double small[] = {1.0, 1.0};
    const double large[] = {1.0, 9.0};
    int32_t rows[2] = {-1, -1};
    for (int linked = 0; linked < 2; linked++) {
        struct plot *plot = NULL;
        struct plot_image image;
        const struct plot_panel_spec spec = {.position = plot_axis_auto(), .value = plot_axis_auto()};
        const struct plot_pen pen = {.colour = STYLE_BLUE, .width = 3.0};
        assert_int_equal(
            plot_new(&(struct plot_layout){.width = 400.0, .panel_height = 100.0, .rows = 1, .columns = 2},
                     &plot, NULL),
            MOE_OK);
        for (int32_t p = 0; p < 2; p++) {
            plot_set_panel(plot, p, &spec);
            plot_add_series(plot, p,
                            &(struct plot_series){.geom = GEOM_LINE,
                                                  .n = 2,
                                                  .position = position,
                                                  .value = p == 0 ? small : large,
                                                  .pen = pen});
        }
        if (linked) plot_link(plot, 0, 1);
        assert_int_equal(plot_render(plot, 1.0, &image, NULL), MOE_OK);
        const uint8_t blue[3] = {0x00, 0x72, 0xb2};
        for (int32_t y = 0; y < image.height; y++)
            if (memcmp(pixel(&image, 100, y), blue, 3) == 0)
                rows[linked] = y; /* x = 100 is in the left panel */
        plot_image_free(&image);
        plot_free(plot);
    }
    assert_true(rows[0] > 0 && rows[1] > rows[0] + 20); /* from the middle down to the foot */
}

static void test_refusals(void **state) {
    (void)state;
    struct plot *plot = NULL;
    struct plot_image image = {0};
    moe_err err = {0};
    assert_int_equal(plot_new(&(struct plot_layout){.width = 400.0, .panel_height = 100.0}, &plot, &err),
                     MOE_EARG);
    assert_int_equal(
        plot_new(&(struct plot_layout){.width = 1e9, .panel_height = 100.0, .rows = 1, .columns = 1}, &plot,
                 &err),
        MOE_EARG);
    assert_int_equal(
        plot_new(&(struct plot_layout){.width = 400.0, .panel_height = 100.0, .rows = 1, .columns = 1}, &plot,
                 &err),
        MOE_OK);
    plot_add_reference(plot, 7, 1.0,
                       &(struct plot_pen){.width = 1.0}); /* no such panel: told when rendered */
    assert_int_equal(plot_render(plot, 1.0, &image, &err), MOE_EARG);
    assert_non_null(strstr(err.message, "panel 7"));
    assert_null(image.rgb);
    plot_free(plot);
}

/* Values that cannot be drawn leave a gap and break nothing. */
static void test_odd_values(void **state) {
    (void)state;
    const double position[] = {0.0, 1.0, 2.0, 3.0, 4.0};
    const double value[] = {NAN, INFINITY, -INFINITY, 1e300, 0.0};
    for (int log = 0; log < 2; log++) {
        for (int geom = 0; geom <= GEOM_AREA; geom++) {
            struct plot *plot = NULL;
            struct plot_image image = {0};
            struct plot_panel_spec spec = {.position = plot_axis_auto(), .value = plot_axis_auto()};
            spec.value.log = log == 1;
            assert_int_equal(
                plot_new(&(struct plot_layout){.width = 200.0, .panel_height = 50.0, .rows = 1, .columns = 1},
                         &plot, NULL),
                MOE_OK);
            plot_set_panel(plot, 0, &spec);
            plot_add_series(plot, 0,
                            &(struct plot_series){.geom = (enum plot_geom)geom,
                                                  .n = 5,
                                                  .position = position,
                                                  .value = value,
                                                  .low = value,
                                                  .high = value,
                                                  .bar_width = 0.5,
                                                  .pen = {.colour = STYLE_BLUE, .width = 1.0}});
            assert_int_equal(plot_render(plot, 1.0, &image, NULL), MOE_OK);
            plot_image_free(&image);
            plot_free(plot);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_same_pixels),
        cmocka_unit_test(test_legends_have_headings),
        cmocka_unit_test(test_bar_lies_where_it_should),
        cmocka_unit_test(test_a_lone_interval_is_an_error_bar),
        cmocka_unit_test(test_areas_lie_where_they_should),
        cmocka_unit_test(test_heatmap_cells),
        cmocka_unit_test(test_linked_ranges),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_odd_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
