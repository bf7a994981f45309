/* figure_checks.h - what holds for every figure. */
#ifndef TEST_FIGURE_CHECKS_H
#define TEST_FIGURE_CHECKS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

#include "analysis/figure.h"
#include "analysis/tables.h"
#include "core/file.h"

static inline struct report *open_report(const char *path) {
    const char *const roots[] = {path};
    struct report *report = NULL;
    moe_err err = {0};
    if (report_open(&(struct run_selection){roots, 1, NULL}, MOE_SOURCE_DIR "/paper", &report, &err) !=
        MOE_OK)
        fail_msg("%s", err.message);
    return report;
}

/* The text of a keyword in the uncompressed chunks of a PNG file, or NULL; *out_length its length. */
static inline const char *find_text(const unsigned char *data, size_t size, const char *keyword,
                                    size_t *out_length) {
    for (size_t at = 8; at + 12 <= size;) {
        const size_t length = ((size_t)data[at] << 24) | ((size_t)data[at + 1] << 16) |
                              ((size_t)data[at + 2] << 8) | data[at + 3];
        const size_t key = strlen(keyword) + 1;
        if (memcmp(data + at + 4, "tEXt", 4) == 0 && length > key &&
            memcmp(data + at + 8, keyword, key) == 0) {
            *out_length = length - key;
            return (const char *)data + at + 8 + key;
        }
        at += 12 + length;
    }
    return NULL;
}

/* The text chunks of a still figure: the runs that were read, the command that draws it again. */
static inline void check_texts(const struct figure *figure, const unsigned char *data, size_t size,
                               struct run_list *runs) {
    char *used = NULL;
    char want[160];
    size_t length = 0;
    assert_int_equal(run_list_used(runs, &used, NULL), MOE_OK);
    const char *text = find_text(data, size, "Runs", &length);
    assert_non_null(text);
    assert_int_equal(length, strlen(used));
    assert_memory_equal(text, used, length);
    assert_true(length > 64);
    free(used);
    text = find_text(data, size, "Command", &length);
    snprintf(want, sizeof want, "moe-report figure %s --tier desk", figure->id);
    assert_int_equal(length, strlen(want));
    assert_memory_equal(text, want, length);
    assert_non_null(find_text(data, size, "Software", &length));
    assert_non_null(find_text(data, size, "Title", &length));
}

/* A second drawing gives the same bytes. */
static inline void check_same_again(struct report *report, const struct figure *figure,
                                    const unsigned char *data, size_t size) {
    unsigned char *again = NULL;
    size_t again_size = 0;
    assert_int_equal(figure_encode(report, figure, &again, &again_size, NULL), MOE_OK);
    assert_int_equal(size, again_size);
    assert_memory_equal(data, again, size);
    free(again);
}

/* The figure is drawn, carries its origin, and is of the right kind. */
static inline void check_figure(struct report *report, const struct figure *figure, bool twice) {
    unsigned char *data = NULL;
    size_t size = 0;
    moe_err err = {0};
    char name[FIGURE_NAME_MAX];
    if (figure_encode(report, figure, &data, &size, &err) != MOE_OK)
        fail_msg("%s: %s", figure->id, err.message);
    if (twice) check_same_again(report, figure, data, size);
    figure_file_name(figure, name);
    if (figure->motion == NULL) {
        assert_true(path_ends_with(name, ".png"));
        assert_int_equal(png_sig_cmp(data, 0, 8), 0);
        check_texts(figure, data, size, report->runs);
    } else {
        assert_true(path_ends_with(name, ".gif"));
        assert_memory_equal(data, "GIF89a", 6);
    }
    assert_true(figure->caption[0] != '\0' && figure->title[0] != '\0');
    free(data);
}

static inline const struct figure *figure_named(const char *id) {
    const struct figure *figure = NULL;
    assert_int_equal(figure_find(id, &figure, NULL), MOE_OK);
    return figure;
}

/* The first frame at page size. */
static inline void render_figure(struct report *report, const struct figure *figure, struct plot_image *out) {
    struct plot *plot = NULL;
    assert_int_equal(figure->draw(report, 0, &plot, NULL), MOE_OK);
    assert_int_equal(plot_render(plot, 1.0, out, NULL), MOE_OK);
    plot_free(plot);
}

/* Whether a figure looks the same in two reports. */
static inline bool looks_same(struct report *a, struct report *b, const struct figure *figure) {
    struct plot_image images[2];
    render_figure(a, figure, &images[0]);
    render_figure(b, figure, &images[1]);
    const bool same =
        images[0].width == images[1].width && images[0].height == images[1].height &&
        memcmp(images[0].rgb, images[1].rgb, 3 * (size_t)images[0].width * (size_t)images[0].height) == 0;
    plot_image_free(&images[0]);
    plot_image_free(&images[1]);
    return same;
}

/* A table as CSV, malloc'ed. */
static inline char *print_csv(struct report *report, const char *id) {
    const struct table *table = NULL;
    char *csv = NULL;
    moe_err err = {0};
    assert_int_equal(table_find(id, &table, NULL), MOE_OK);
    if (table_print(report, table, TABLE_CSV, &csv, &err) != MOE_OK) fail_msg("%s: %s", id, err.message);
    return csv;
}

/* Value of a CSV table in a line that starts with `head`, column `column`. */
static inline double csv_value(const char *csv, const char *head, int column) {
    const char *line = strstr(csv, head);
    if (line == NULL) fail_msg("no line %s in:\n%s", head, csv);
    line += strlen(head);
    while (column-- > 0) {
        line = strchr(line, ',');
        assert_non_null(line);
        line++;
    }
    return strtod(line, NULL);
}

#endif
