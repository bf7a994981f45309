/* Source B at the end of training: flat against hierarchical, and what came of the recommendations. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "analysis/figures/source_b.h"
#include "analysis/measures.h"
#include "analysis/style.h"
#include "core/text.h"

/* One point with its interval in a horizontal panel. */
static void add_point(struct plot *plot, int32_t panel, double position, const struct stats_estimate *e,
                      struct plot_pen pen) {
    plot_add_series(plot, panel,
                    &(struct plot_series){.geom = GEOM_POINTS,
                                          .n = 1,
                                          .position = &position,
                                          .value = &e->value,
                                          .low = &e->low,
                                          .high = &e->high,
                                          .pen = pen});
}

/* Cuts an interval at what a number can be. */
static struct stats_estimate within(struct stats_estimate e, double floor, double ceiling) {
    if (e.low < floor) e.low = floor;
    if (e.high > ceiling) e.high = ceiling;
    return e;
}

/* ---- flat against hierarchical */

#define COLUMNS 3

struct comparison {
    const char *title, *label;
    enum source_b_number number;
    int32_t first, models; /* main experiments [first, models) have it */
    double floor, ceiling; /* the least and the most that it can be */
    double reference;      /* a line; NaN = what chance gives a batch, or none */
    const char *published; /* of the flat model; NULL = none */
};

static const struct comparison comparisons[2 * COLUMNS] = {
    {"test accuracy", "%", B_TEST_ACCURACY, 0, B_MODELS, 0.0, 100.0, NAN, NULL},
    {"training less test accuracy", "percentage points", B_GAP, 0, B_MODELS, -100.0, 100.0, 0.0, NULL},
    {"time of a batch", "relative to flat", B_BATCH_MS, 0, B_MODELS, 0.0, INFINITY, 1.0, NULL},
    {"CV\xc2\xb2 of choices", NULL, B_CV2, 0, B_ROUTED, 0.0, INFINITY, NAN, NULL},
    {"CV\xc2\xb2 of gates", NULL, B_GATE_CV2, 0, B_ROUTED, 0.0, INFINITY, NAN, NULL},
    {"CV\xc2\xb2, a training batch", NULL, B_BATCH_CV2, 0, B_ROUTED, 1e-9, INFINITY, NAN, "balance.cv2"},
};

/* The kinds of points: published, as published, the same for ten epochs, corrected. */
enum point { POINT_PUBLISHED = 0, POINT_AS_PUBLISHED, POINT_LONGER, POINT_CORRECTED, POINTS };
static const char *const point_titles[POINTS] = {
    "published", "ours, as published", "ours, as published, as many epochs as corrected", "ours, corrected"};

static struct plot_pen point_pen(enum point point, struct plot_colour colour) {
    static const enum source_kind kinds[POINTS] = {OF_PUBLISHED, OF_AS_PUBLISHED, OF_AS_PUBLISHED,
                                                   OF_CORRECTED};
    struct plot_pen pen = source_kind_pen(kinds[point], colour);
    if (point == POINT_LONGER) pen.hollow = true;
    return pen;
}

/* The runs behind a point of a model; none for what is not trained. */
static struct run_group point_group(const struct report *report, int32_t model, enum point point) {
    if (point == POINT_LONGER && model <= B_HIERARCHICAL)
        return source_b_group(report, (enum source_b_experiment)(B_FLAT_10EP + model), B_AS_PUBLISHED);
    if (point == POINT_PUBLISHED || point == POINT_LONGER) return (struct run_group){0};
    return source_b_group(report, (enum source_b_experiment)model,
                          point == POINT_CORRECTED ? B_CORRECTED : B_AS_PUBLISHED);
}

static bool share_seed(const struct run_group *a, const struct run_group *b) {
    for (int32_t i = 0; i < a->n; i++)
        for (int32_t j = 0; j < b->n; j++)
            if (a->files[i].info.seed == b->files[j].info.seed) return true;
    return false;
}

/* A number of a model at a kind of point; *out_there = false where there are no runs for it. Times are ratios
 * to those of the flat model of the same kind, seed by seed. */
static moe_status number_at(struct report *report, int32_t model, enum point point,
                            enum source_b_number number, struct stats_estimate *out, bool *out_there,
                            moe_err *err) {
    moe_status status = MOE_OK;
    const struct run_group group = point_group(report, model, point);
    const struct run_group flat = point_group(report, B_FLAT, point);
    *out_there = group.n > 0 && (number != B_BATCH_MS || share_seed(&group, &flat));
    if (!*out_there) goto out;
    if (number == B_BATCH_MS) {
        moe_try(measure_ratio(report->runs, &group, &flat, "step_seconds", out, err));
    } else {
        moe_try(source_b_estimate(report, &group, number, out, err));
    }
out:
    return status;
}

static void set_comparison(struct plot *plot, int32_t panel, const struct source_b_shape *flat) {
    const struct comparison *c = &comparisons[panel];
    const struct plot_pen line = source_reference_pen();
    struct plot_panel_spec spec = {
        .title = c->title, .position = plot_axis_auto(), .value = plot_axis_auto(), .horizontal = true};
    spec.position.names = source_b_titles;
    spec.position.num_names = panel < COLUMNS ? B_MODELS : B_ROUTED;
    spec.position.hidden = panel % COLUMNS > 0;
    spec.value.label = c->label;
    spec.value.log = c->number == B_BATCH_CV2; /* GShard and the others lie a power of ten apart */
    spec.value.zero = c->number != B_TEST_ACCURACY && c->number != B_BATCH_MS && !spec.value.log;
    spec.value.room = true;
    plot_set_panel(plot, panel, &spec);
    const struct chance_balance chance = chance_balance_of(flat->images, flat->top_k, flat->experts);
    double reference = c->reference;
    if (c->number == B_BATCH_CV2) reference = chance.cv2;
    if (!isnan(reference)) plot_add_reference(plot, panel, reference, &line);
}

static moe_status add_comparison(struct report *report, struct plot *plot, int32_t panel,
                                 const struct source_b_shape *flat, moe_err *err) {
    moe_status status = MOE_OK;
    const struct comparison *c = &comparisons[panel];
    struct published *p = NULL;
    struct stats_estimate e = {.low = NAN, .high = NAN};
    struct plot_pen pen;
    set_comparison(plot, panel, flat);
    if (c->published != NULL) {
        moe_try(report_published(report, "B", &p, err));
        moe_try(published_number(p, c->published, &e.value, err));
        moe_try(source_b_pen(B_FLAT, &pen, err));
        add_point(plot, panel, B_FLAT + plot_dodge(POINT_PUBLISHED, POINTS, 0.66), &e,
                  point_pen(POINT_PUBLISHED, pen.colour));
    }
    for (int32_t m = c->first; m < c->models; m++) {
        moe_try(source_b_pen((enum source_b_experiment)m, &pen, err));
        for (int32_t k = POINT_AS_PUBLISHED; k < POINTS; k++) {
            bool there = false;
            moe_try(number_at(report, m, (enum point)k, c->number, &e, &there, err));
            if (!there) continue;
            e = within(e, c->floor, c->ceiling);
            add_point(plot, panel, m + plot_dodge(k, POINTS, 0.66), &e, point_pen((enum point)k, pen.colour));
        }
    }
out:
    return status;
}

moe_status draw_b_flat_hierarchical(struct report *report, int32_t frame, struct plot **out_plot,
                                    moe_err *err) {
    moe_status status = MOE_OK;
    struct plot *plot = NULL;
    const bool longer = source_b_trained_longer(report);
    const struct run_group flat = source_b_group(report, B_FLAT, B_AS_PUBLISHED);
    struct source_b_shape shape;
    char seeds[32];
    char note[768];
    (void)frame;
    moe_try(source_b_shape_of(report, &flat.files[0], &shape, err));
    source_b_seeds(report, B_MODELS, true, seeds, sizeof seeds);
    snprintf(note, sizeof note,
             "At the end of training; mean and 95 %% interval over %s. Dense networks have as many "
             "parameters as the "
             "flat model uses for an image, or as it has in all. Times are compared seed by seed. "
             "CV\xc2\xb2: of how "
             "often experts are chosen for test images, of the gates that weigh them, and of choices in a "
             "training "
             "batch, late; dotted: batches of %d images that choose %d of %d experts by chance.%s",
             seeds, (int)shape.images, (int)shape.top_k, (int)shape.experts,
             longer ? "" : SOURCE_B_NOT_LONGER);
    moe_try(plot_new(&(struct plot_layout){.title = "Flat against hierarchical",
                                           .note = note,
                                           .width = STYLE_PAGE_WIDTH,
                                           .panel_height = 170.0,
                                           .rows = 2,
                                           .columns = COLUMNS},
                     &plot, err));
    for (int32_t k = 0; k < POINTS; k++) {
        const struct plot_pen pen = point_pen((enum point)k, STYLE_MUTED);
        if (k != POINT_LONGER || longer) plot_add_legend(plot, point_titles[k], GEOM_POINTS, &pen);
    }
    for (int32_t i = 0; i < 2 * COLUMNS; i++)
        moe_try(add_comparison(report, plot, i, &shape, err));
    *out_plot = plot;
    plot = NULL;
out:
    plot_free(plot);
    return status;
}

/* ---- the recommendations */

#define NONE B_EXPERIMENTS

/* A line of the figure: a change, made to the flat and to the hierarchical model, or to one of them. An empty
 * name keeps families apart. */
struct change {
    const char *name;
    enum source_b_experiment of[2];
};

static const struct change changes[] = {
    {"unchanged", {B_FLAT, B_HIERARCHICAL}},
    {"", {NONE, NONE}},
    {"balance losses \xc3\x97 0", {B_FLAT_X0, NONE}},
    {"balance losses \xc3\x97 10", {B_FLAT_X10, B_HIERARCHICAL_X10}},
    {"balance losses \xc3\x97 100", {B_FLAT_X100, B_HIERARCHICAL_X100}},
    {"", {NONE, NONE}},
    {"experts as Glorot", {B_FLAT_GLOROT, NONE}},
    {"experts as He", {B_FLAT_HE, NONE}},
    {"experts all alike", {B_FLAT_IDENTICAL, NONE}},
    {"gates at random", {B_FLAT_GATE_NORMAL, NONE}},
    {"", {NONE, NONE}},
    {"20 experts", {B_FLAT_E20, B_HIERARCHICAL_E20}},
    {"40 experts", {B_FLAT_E40, B_HIERARCHICAL_E40}},
    {"", {NONE, NONE}},
    {"noise fades", {B_FLAT_NOISE_FADES, NONE}},
    {"balance losses adapt", {B_FLAT_TARGET, B_HIERARCHICAL_TARGET}},
    {"", {NONE, NONE}},
    {"30 epochs", {B_FLAT_30EP, B_HIERARCHICAL_30EP}},
};
#define CHANGES ((int32_t)(sizeof changes / sizeof changes[0]))

struct outcome {
    const char *title, *label;
    enum source_b_number number;
    bool log;
    double ceiling;
};

/* Intervals are cut at 0 and the ceiling; on a logarithmic axis at half of the least value. */
static const struct outcome outcomes[COLUMNS] = {
    {"test accuracy", "%", B_TEST_ACCURACY, false, 100.0},
    {"CV\xc2\xb2 of choices", NULL, B_CV2, true, INFINITY},
    {"CV\xc2\xb2 of gates", NULL, B_GATE_CV2, true, INFINITY},
};

static bool has_runs(const struct report *report, enum source_b_experiment experiment) {
    return experiment != NONE && source_b_group(report, experiment, B_CORRECTED).n > 0;
}

static struct plot_pen change_pen(const struct plot_pen *of_model) {
    struct plot_pen pen = *of_model;
    pen.width = 0.0;
    pen.marker_size = 7.0;
    return pen;
}

/* What became of all changes to both models. */
struct outcomes {
    struct stats_estimate of[CHANGES][2]; /* [change, model]; value NaN: no runs */
    double least;                         /* of all values */
};

static moe_status read_outcomes(struct report *report, enum source_b_number number, struct outcomes *out,
                                moe_err *err) {
    moe_status status = MOE_OK;
    out->least = INFINITY;
    for (int32_t i = 0; i < 2 * CHANGES; i++) {
        const enum source_b_experiment experiment = changes[i / 2].of[i % 2];
        struct stats_estimate *e = &out->of[i / 2][i % 2];
        *e = (struct stats_estimate){.value = NAN, .low = NAN, .high = NAN};
        if (!has_runs(report, experiment)) continue;
        const struct run_group group = source_b_group(report, experiment, B_CORRECTED);
        moe_try(source_b_estimate(report, &group, number, e, err));
        out->least = fmin(out->least, e->value);
    }
out:
    return status;
}

/* One outcome of all changes, and the line of each model unchanged. */
static moe_status add_outcome(struct report *report, struct plot *plot, int32_t panel, moe_err *err) {
    moe_status status = MOE_OK;
    const struct outcome *o = &outcomes[panel];
    struct outcomes results;
    moe_try(read_outcomes(report, o->number, &results, err));
    for (int32_t m = 0; m < 2; m++) {
        struct plot_pen pen;
        struct plot_pen line = source_reference_pen();
        moe_try(source_b_pen((enum source_b_experiment)m, &pen, err));
        line.colour = pen.colour;
        plot_add_reference(plot, panel, results.of[0][m].value, &line);
        for (int32_t i = 0; i < CHANGES; i++) {
            const bool alone = changes[i].of[1] == NONE;
            const struct stats_estimate e =
                within(results.of[i][m], o->log ? 0.5 * results.least : 0.0, o->ceiling);
            if (!isnan(e.value))
                add_point(plot, panel, i + (alone ? 0.0 : plot_dodge(m, 2, 0.5)), &e, change_pen(&pen));
        }
    }
out:
    return status;
}

/* Names of the lines; one that nobody has trained says so. */
struct line_names {
    char text[CHANGES][48];
    const char *names[CHANGES];
};

static void name_lines(const struct report *report, struct line_names *out) {
    for (int32_t i = 0; i < CHANGES; i++) {
        const bool trained = has_runs(report, changes[i].of[0]) || has_runs(report, changes[i].of[1]);
        snprintf(out->text[i], sizeof out->text[i], "%s%s", changes[i].name,
                 trained || changes[i].name[0] == '\0' ? "" : ": no runs yet");
        out->names[i] = out->text[i];
    }
}

/* " No runs yet of a, b." or nothing. */
static moe_status name_missing(const struct report *report, char **out, moe_err *err) {
    moe_status status = MOE_OK;
    struct text t = {0};
    bool any = false;
    for (int32_t i = 0; i < CHANGES; i++) {
        for (int32_t m = 0; m < 2; m++) {
            const enum source_b_experiment experiment = changes[i].of[m];
            if (experiment == NONE || has_runs(report, experiment)) continue;
            text_append(&t, "%s%s", any ? ", " : " No runs yet of ", source_b_experiments[experiment]);
            any = true;
        }
    }
    text_append(&t, any ? "." : "");
    moe_try(text_take(&t, out, err));
out:
    text_free(&t);
    return status;
}

moe_status draw_b_followups(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err) {
    moe_status status = MOE_OK;
    struct plot *plot = NULL;
    char *missing = NULL;
    struct line_names names;
    struct run_group groups[2 * CHANGES];
    char seeds[32];
    char note[1024];
    (void)frame;
    moe_try(name_missing(report, &missing, err));
    name_lines(report, &names);
    for (int32_t i = 0; i < 2 * CHANGES; i++)
        groups[i] = has_runs(report, changes[i / 2].of[i % 2])
                        ? source_b_group(report, changes[i / 2].of[i % 2], B_CORRECTED)
                        : (struct run_group){0};
    source_seeds(groups, 2 * CHANGES, seeds, sizeof seeds);
    snprintf(note, sizeof note,
             "Corrected protocol, at the end of training; mean and 95 %% interval over %s. CV\xc2\xb2 of how "
             "often "
             "experts are chosen for test images, without noise, and of the gates that weigh them; intervals "
             "are cut at half of the least mean. Dotted: the models unchanged.%s",
             seeds, missing);
    moe_try(plot_new(&(struct plot_layout){.title = "What the document recommends",
                                           .note = note,
                                           .width = STYLE_PAGE_WIDTH,
                                           .panel_height = 420.0,
                                           .rows = 1,
                                           .columns = COLUMNS},
                     &plot, err));
    for (int32_t m = 0; m < 2; m++) {
        struct plot_pen pen;
        moe_try(source_b_pen((enum source_b_experiment)m, &pen, err));
        pen = change_pen(&pen);
        plot_add_legend(plot, source_b_titles[m], GEOM_POINTS, &pen);
    }
    for (int32_t c = 0; c < COLUMNS; c++) {
        struct plot_panel_spec spec = {.title = outcomes[c].title,
                                       .position = plot_axis_auto(),
                                       .value = plot_axis_auto(),
                                       .horizontal = true};
        spec.position.names = names.names;
        spec.position.num_names = CHANGES;
        spec.position.hidden = c > 0;
        spec.value.label = outcomes[c].label;
        spec.value.log = outcomes[c].log;
        plot_set_panel(plot, c, &spec);
        moe_try(add_outcome(report, plot, c, err));
    }
    *out_plot = plot;
    plot = NULL;
out:
    free(missing);
    plot_free(plot);
    return status;
}
