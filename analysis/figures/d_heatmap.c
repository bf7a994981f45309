/* Heatmaps of source D: how far each expert of each layer is from an equal share, step by step. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "analysis/figures/source_d.h"
#include "analysis/load_course.h"
#include "analysis/style.h"

/* At ten frames a second with a last one of two seconds, the animation stays below the source's 15 s. */
#define FRAME_DELAY      10
#define LAST_FRAME_DELAY 200
#define MAX_FRAMES       130

#define MAX_NAMES 64

/* The source's scale reaches to 50 points; less where no deviation comes near. */
#define LARGEST_SCALE 50.0

/* The ways of balancing of one figure: [first, first + n). */
struct selection {
    int32_t first, n;
};

static const struct selection only_a0 = {0, 1};
static const struct selection only_a1 = {1, 1};
static const struct selection only_a2 = {2, 1};
static const struct selection compared = {0, D_WAYS};

/* Every recorded step of the run of the smallest seed. */
static moe_status course_of(struct report *report, enum source_d_experiment experiment, int32_t protocol,
                            struct load_course *out, moe_err *err) {
    const struct run_group group = source_d_group(report, experiment, (enum source_d_protocol)protocol);
    return load_course_of_run(report->runs, &group.files[0], INT32_MAX, out, err);
}

/* The first record, every stride-th behind it, and the last. */
static int32_t frames_of(int32_t records, int32_t stride) {
    return 1 + (records - 2 + stride) / stride;
}

/* Records from one frame to the next: 1, 2, 5, 10, ... so that there are not too many frames. */
static int32_t stride_of(int32_t records) {
    static const int32_t nice[] = {1, 2, 5};
    int32_t power = 1;
    for (int32_t i = 0;; i++) {
        const int32_t stride = nice[i % 3] * power;
        if (frames_of(records, stride) <= MAX_FRAMES) return stride;
        if (i % 3 == 2) power *= 10;
    }
}

static int32_t record_of(int32_t records, int32_t frame) {
    const int64_t record = (int64_t)frame * stride_of(records);
    return record < records ? (int32_t)record : records - 1;
}

/* Courses of a selection under both protocols, and what all frames share. */
struct maps {
    struct load_course courses[D_WAYS][D_PROTOCOLS];
    int32_t records; /* of the longest run */
    double largest;  /* percentage points */
    double scale;    /* where the colours end */
};

static void maps_free(struct maps *m) {
    for (int32_t e = 0; e < D_WAYS; e++)
        for (int32_t p = 0; p < D_PROTOCOLS; p++)
            load_course_free(&m->courses[e][p]);
}

static moe_status largest_deviation(const struct load_course *c, double *largest, moe_err *err) {
    moe_status status = MOE_OK;
    const int64_t cells = (int64_t)c->layers * c->experts;
    double *deviation = calloc((size_t)cells, sizeof *deviation);
    moe_check(deviation != NULL, err, MOE_ENOMEM, "cannot allocate a map of %lld cells", (long long)cells);
    for (int32_t i = 0; i < c->n; i++) {
        load_course_deviation(c, i, deviation);
        for (int64_t k = 0; k < cells; k++)
            *largest = fmax(*largest, deviation[k]);
    }
out:
    free(deviation);
    return status;
}

static double scale_for(double largest) {
    static const double nice[] = {5.0, 10.0, 20.0};
    for (size_t i = 0; i < sizeof nice / sizeof nice[0]; i++)
        if (largest <= nice[i]) return nice[i];
    return LARGEST_SCALE;
}

static moe_status maps_read(struct report *report, const struct selection *s, struct maps *out,
                            moe_err *err) {
    moe_status status = MOE_OK;
    *out = (struct maps){0};
    for (int32_t e = 0; e < s->n; e++) {
        for (int32_t p = 0; p < D_PROTOCOLS; p++) {
            struct load_course *c = &out->courses[e][p];
            moe_try(course_of(report, source_d_ways[s->first + e], p, c, err));
            moe_check(c->experts <= MAX_NAMES && c->layers <= MAX_NAMES, err, MOE_EMISMATCH,
                      "%s has %d layers of %d experts; a map has room for %d",
                      source_d_experiments[source_d_ways[s->first + e]], c->layers, c->experts, MAX_NAMES);
            moe_try(largest_deviation(c, &out->largest, err));
            if (c->n > out->records) out->records = c->n;
        }
    }
    out->scale = scale_for(out->largest);
out:
    if (status != MOE_OK) maps_free(out);
    return status;
}

static moe_status motion_of(struct report *report, const struct selection *s, struct figure_motion *out,
                            moe_err *err) {
    moe_status status = MOE_OK;
    struct maps maps = {0};
    moe_try(maps_read(report, s, &maps, err));
    *out = (struct figure_motion){.frames = frames_of(maps.records, stride_of(maps.records)),
                                  .delay = FRAME_DELAY,
                                  .last_delay = LAST_FRAME_DELAY};
out:
    maps_free(&maps);
    return status;
}

/* Names of one axis: numbers. */
struct numbers {
    char text[MAX_NAMES][12];
    const char *names[MAX_NAMES];
};

static void set_number(struct numbers *n, int32_t i, int32_t number) {
    snprintf(n->text[i], sizeof n->text[i], "%d", (int)number);
    n->names[i] = n->text[i];
}

/* One map of a figure: a run's cells at one record. */
struct map {
    const struct run_file *file;
    const struct load_course *course;
    int32_t record;
    double scale;
    const char *title;
    bool first, last; /* in its row: the first has the axis, the last the bar of colours */
    bool lowest;      /* has the label of the axis below */
};

static moe_status add_map(struct report *report, struct plot *plot, int32_t panel, const struct map *m,
                          moe_err *err) {
    moe_status status = MOE_OK;
    const struct load_course *c = m->course;
    struct run_reader *reader = NULL;
    struct numbers layers;
    struct numbers experts;
    double *deviation = calloc((size_t)c->layers * (size_t)c->experts, sizeof *deviation);
    moe_check(deviation != NULL, err, MOE_ENOMEM, "cannot allocate a map of %d x %d cells", c->layers,
              c->experts);
    moe_try(run_list_reader(report->runs, m->file, &reader, err));
    for (int32_t l = 0; l < c->layers; l++)
        set_number(&layers, l, run_reader_layer_number(reader, l));
    for (int32_t e = 0; e < c->experts; e++)
        set_number(&experts, e, e);
    struct plot_panel_spec spec = {
        .title = m->title, .position = plot_axis_auto(), .value = plot_axis_auto()};
    spec.position.names = experts.names;
    spec.position.num_names = c->experts;
    spec.position.label = m->lowest ? "expert" : NULL;
    spec.value.names = layers.names;
    spec.value.num_names = c->layers;
    spec.value.label = "layer";
    spec.value.hidden = !m->first;
    plot_set_panel(plot, panel, &spec);
    load_course_deviation(c, m->record < c->n ? m->record : c->n - 1, deviation);
    plot_add_heatmap(plot, panel, c->layers, c->experts, deviation, 0.0, m->scale,
                     m->last ? "percentage points" : NULL);
out:
    free(deviation);
    return status;
}

/* An empty plot of a frame: its title counts the steps. Maps lie in rows by protocol, except where one
 * experiment is alone: then they lie side by side. */
static moe_status new_plot(struct report *report, const struct selection *s, const struct maps *maps,
                           int32_t record, struct plot **out_plot, moe_err *err) {
    const struct load_course *c = &maps->courses[0][0];
    const bool alone = s->n == 1;
    const struct run_group first = source_d_group(report, source_d_ways[s->first], D_AS_PUBLISHED);
    const int64_t interval = c->interval * stride_of(maps->records);
    char every[64] = "every training batch";
    char title[128];
    char note[512];
    snprintf(title, sizeof title, "Distance from equal load%s%s, step %.0f of %.0f", alone ? ", " : "",
             alone ? source_d_way_titles[s->first] : "", c->step[record < c->n ? record : c->n - 1],
             c->step[c->n - 1]);
    if (interval > 1)
        snprintf(every, sizeof every, "one training batch every %lld steps", (long long)interval);
    snprintf(note, sizeof note,
             "Runs of seed %llu, %s. Colour: how far an expert's share of its layer's "
             "slots is from %.4g %%. %s %.1f points.",
             (unsigned long long)first.files[0].info.seed, every, 100.0 / c->experts,
             maps->largest > maps->scale ? "The scale is cut; the largest distance is"
                                         : "The largest distance is",
             maps->largest);
    return plot_new(&(struct plot_layout){.title = title,
                                          .note = note,
                                          .width = alone ? 600.0 : STYLE_PAGE_WIDTH,
                                          .panel_height = fmax(110.0, 24.0 * c->layers),
                                          .rows = alone ? 1 : D_PROTOCOLS,
                                          .columns = alone ? D_PROTOCOLS : s->n},
                    out_plot, err);
}

static moe_status draw_maps(struct report *report, const struct selection *s, int32_t frame,
                            struct plot **out_plot, moe_err *err) {
    moe_status status = MOE_OK;
    struct plot *plot = NULL;
    struct maps maps = {0};
    const bool alone = s->n == 1;
    moe_try(maps_read(report, s, &maps, err));
    const int32_t record = record_of(maps.records, frame);
    moe_try(new_plot(report, s, &maps, record, &plot, err));
    for (int32_t p = 0; p < D_PROTOCOLS; p++) {
        if (!alone) plot_head_row(plot, p, source_d_protocol_titles[p]);
        for (int32_t e = 0; e < s->n; e++) {
            const enum source_d_experiment experiment = source_d_ways[s->first + e];
            const struct map map = {
                .file = &source_d_group(report, experiment, (enum source_d_protocol)p).files[0],
                .course = &maps.courses[e][p],
                .record = record,
                .scale = maps.scale,
                .title = alone ? source_d_protocol_titles[p] : source_d_way_titles[s->first + e],
                .first = alone ? p == 0 : e == 0,
                .last = alone ? p == D_PROTOCOLS - 1 : e == s->n - 1,
                .lowest = alone || p == D_PROTOCOLS - 1};
            moe_try(add_map(report, plot, p * s->n + e, &map, err));
        }
    }
    *out_plot = plot;
    plot = NULL;
out:
    maps_free(&maps);
    plot_free(plot);
    return status;
}

#define DEFINE_HEATMAP(name, selection)                                                                      \
    moe_status draw_d_heatmap_##name(struct report *report, int32_t frame, struct plot **out_plot,           \
                                     moe_err *err) {                                                         \
        return draw_maps(report, &(selection), frame, out_plot, err);                                        \
    }                                                                                                        \
    moe_status motion_d_heatmap_##name(struct report *report, struct figure_motion *out_motion,              \
                                       moe_err *err) {                                                       \
        return motion_of(report, &(selection), out_motion, err);                                             \
    }

DEFINE_HEATMAP(a0, only_a0)
DEFINE_HEATMAP(a1, only_a1)
DEFINE_HEATMAP(a2, only_a2)
DEFINE_HEATMAP(compare, compared)
