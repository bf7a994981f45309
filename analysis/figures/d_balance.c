/* How fast and how well the ways of balancing of source D balance, and whether it lasts. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "analysis/figures/source_d.h"
#include "analysis/style.h"

/* Measures by step, of one layer with its number behind the name. */
enum balance { MAX_OVER_MEAN = 0, CV2, ENTROPY, MEASURES };
static const char *const titles[MEASURES] = {"max / mean", "CV\xc2\xb2", "entropy (nats)"};
static const char *const stems[MEASURES] = {"step_max_over_mean", "step_cv2", "step_usage_entropy"};

/* The least and the most that a measure is drawn as, and the line beside the curves: equal load, and where a
 * logarithmic axis has no place for that, what slots come to that choose by chance. */
struct limits {
    double low, high, reference;
};

/* slots: N of a layer in a batch. Chance: for a multinomial n of N slots the mean of sum_e (n_e - N/E)^2 / E
 * / (N/E)^2 is (E - 1) / N. */
static struct limits limits_of(enum balance measure, int32_t experts, double slots) {
    const double chance = (experts - 1.0) / slots;
    switch (measure) {
    case MAX_OVER_MEAN:
        return (struct limits){1.0, experts, 1.0};
    case CV2:
        return (struct limits){0.5 * chance, experts - 1.0, chance};
    default:
        return (struct limits){0.0, log(experts), log(experts)};
    }
}

/* The lower half of the layers that route, and the upper. */
enum layer_group { LOWER = 0, UPPER, LAYER_GROUPS };

struct layer_range {
    int32_t first, end; /* rows of the layer axis */
};

static struct layer_range range_of(const struct run_file *file, enum layer_group group) {
    const int32_t layers = file->info.axes.moe_layers;
    const int32_t half = (layers + 1) / 2;
    return group == LOWER ? (struct layer_range){0, half} : (struct layer_range){half, layers};
}

/* Adds the values of one layer to those of out, which are of the same runs. */
static void add_layer(struct series_group *out, const struct series_group *layer) {
    for (int32_t s = 0; s < out->seeds; s++)
        for (int32_t i = 0; i < out->runs[s].n && i < layer->runs[s].n; i++)
            out->runs[s].y[i] += layer->runs[s].y[i];
}

/* A measure of a group of runs, mean over a range of layers that is not empty. */
static moe_status mean_over_layers(struct report *report, const struct run_group *group, const char *stem,
                                   struct layer_range range, struct series_group *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct run_reader *reader = NULL;
    struct series_group layer = {0};
    char name[64];
    *out = (struct series_group){0};
    for (int32_t l = range.first; l < range.end; l++) {
        moe_try(run_list_reader(report->runs, &group->files[0], &reader, err));
        snprintf(name, sizeof name, "%s.%d", stem, (int)run_reader_layer_number(reader, l));
        moe_try(series_of_group(report->runs, group, name, l == range.first ? out : &layer, err));
        if (l > range.first) add_layer(out, &layer);
        series_group_free(&layer);
    }
    for (int32_t s = 0; s < out->seeds; s++)
        for (int32_t i = 0; i < out->runs[s].n; i++)
            out->runs[s].y[i] /= range.end - range.first;
    moe_try(source_merge_for_log(out, err));
out:
    series_group_free(&layer);
    if (status != MOE_OK) series_group_free(out);
    return status;
}

/* The curves of one experiment: the lower layers with a band, the upper dashed. */
static moe_status add_curves(struct report *report, struct plot *plot, int32_t panel, enum balance measure,
                             enum source_d_experiment experiment, const struct run_group *group,
                             const struct limits *limits, moe_err *err) {
    moe_status status = MOE_OK;
    struct series_group g = {0};
    for (int32_t l = 0; l < LAYER_GROUPS; l++) {
        struct source_curve curve = {
            .floor = limits->low, .ceiling = limits->high, .log = measure != ENTROPY};
        const struct layer_range range = range_of(&group->files[0], (enum layer_group)l);
        if (range.first == range.end) continue; /* a single layer is the lower half */
        moe_try(source_d_pen(experiment, &curve.pen, err));
        curve.pen.marker = MARKER_NONE;
        curve.pen.dash = l == LOWER ? DASH_SOLID : DASH_DASHED;
        moe_try(mean_over_layers(report, group, stems[measure], range, &g, err));
        moe_try(source_draw_group(plot, panel, &g, &curve, err));
        series_group_free(&g);
    }
out:
    series_group_free(&g);
    return status;
}

static moe_status add_panel(struct report *report, struct plot *plot, int32_t protocol, enum balance measure,
                            const struct limits *limits, moe_err *err) {
    moe_status status = MOE_OK;
    const struct plot_pen reference = source_reference_pen();
    const int32_t panel = MEASURES * protocol + (int32_t)measure;
    struct plot_panel_spec spec = {
        .title = titles[measure], .position = plot_axis_auto(), .value = plot_axis_auto()};
    spec.position.label = protocol == D_PROTOCOLS - 1 ? "step" : NULL;
    spec.position.log = true;
    spec.value.log = measure != ENTROPY;
    plot_set_panel(plot, panel, &spec);
    plot_add_reference(plot, panel, limits->reference, &reference);
    for (int32_t e = 0; e < D_WAYS; e++) {
        const struct run_group group =
            source_d_group(report, source_d_ways[e], (enum source_d_protocol)protocol);
        moe_try(add_curves(report, plot, panel, measure, source_d_ways[e], &group, limits, err));
    }
    plot_link(plot, (int32_t)measure, panel);
out:
    return status;
}

/* Slots of a layer in a training batch. */
static moe_status slots_of_batch(struct report *report, const struct run_file *file, double *out,
                                 moe_err *err) {
    moe_status status = MOE_OK;
    double *load = NULL;
    int64_t dims[4];
    int32_t rank = 0;
    moe_try(run_list_array(report->runs, file, "/routing/load", &load, dims, &rank, err));
    moe_check(rank == 3 && dims[0] > 0 && dims[1] > 0, err, MOE_ENOTFOUND,
              "%s: no routing of training steps is recorded", file->path);
    *out = 0.0;
    for (int64_t e = 0; e < dims[2]; e++)
        *out += load[e] > 0.0 ? load[e] : 0.0;
out:
    free(load);
    return status;
}

/* "layers 0 to 3", "layers 4 and 5", "layer 2", or "" for none. */
static moe_status name_layers(struct report *report, const struct run_file *file, struct layer_range range,
                              char *out, size_t size, moe_err *err) {
    moe_status status = MOE_OK;
    struct run_reader *reader = NULL;
    out[0] = '\0';
    if (range.first == range.end) goto out;
    moe_try(run_list_reader(report->runs, file, &reader, err));
    const int32_t first = run_reader_layer_number(reader, range.first);
    const int32_t last = run_reader_layer_number(reader, range.end - 1);
    if (first == last) {
        snprintf(out, size, "layer %d", (int)first);
    } else {
        const char *between = range.end - range.first == 2 ? "and" : "to";
        snprintf(out, size, "layers %d %s %d", (int)first, between, (int)last);
    }
out:
    return status;
}

static moe_status add_legend(struct report *report, struct plot *plot, const struct run_file *file,
                             moe_err *err) {
    moe_status status = MOE_OK;
    const struct plot_pen reference = source_reference_pen();
    for (int32_t e = 0; e < D_WAYS; e++) {
        struct plot_pen pen;
        moe_try(source_d_pen(source_d_ways[e], &pen, err));
        plot_add_legend(plot, source_d_way_titles[e], GEOM_BARS, &pen);
    }
    plot_break_legend(plot);
    for (int32_t l = 0; l < LAYER_GROUPS; l++) {
        const struct plot_pen pen = {
            .colour = STYLE_INK, .width = STYLE_LINE_WIDTH, .dash = l == LOWER ? DASH_SOLID : DASH_DASHED};
        char label[64];
        moe_try(name_layers(report, file, range_of(file, (enum layer_group)l), label, sizeof label, err));
        if (label[0] != '\0') plot_add_legend(plot, label, GEOM_LINE, &pen);
    }
    plot_add_legend(plot, "equal load; for CV\xc2\xb2: choices by chance", GEOM_LINE, &reference);
out:
    return status;
}

moe_status draw_d_load_balance(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err) {
    moe_status status = MOE_OK;
    struct plot *plot = NULL;
    char seeds[32];
    char note[512];
    double slots = 0.0;
    const struct run_file *file = &source_d_group(report, source_d_ways[0], D_AS_PUBLISHED).files[0];
    const int32_t experts = file->info.axes.experts;
    (void)frame;
    moe_try(slots_of_batch(report, file, &slots, err));
    source_d_seeds(report, source_d_ways, D_WAYS, seeds, sizeof seeds);
    snprintf(
        note, sizeof note,
        "Load of %d experts in training batches of %.0f slots a layer, mean over layers and neighbouring "
        "batches; mean and 95 %% interval over %s, of the dashed lines the mean alone.",
        (int)experts, slots, seeds);
    moe_try(plot_new(&(struct plot_layout){.title = "Balance of the load during training",
                                           .note = note,
                                           .width = STYLE_PAGE_WIDTH,
                                           .panel_height = 190.0,
                                           .rows = D_PROTOCOLS,
                                           .columns = MEASURES},
                     &plot, err));
    moe_try(add_legend(report, plot, file, err));
    for (int32_t p = 0; p < D_PROTOCOLS; p++) {
        plot_head_row(plot, p, source_d_protocol_titles[p]);
        for (int32_t m = 0; m < MEASURES; m++) {
            const struct limits limits = limits_of((enum balance)m, experts, slots);
            moe_try(add_panel(report, plot, p, (enum balance)m, &limits, err));
        }
    }
    *out_plot = plot;
    plot = NULL;
out:
    plot_free(plot);
    return status;
}
