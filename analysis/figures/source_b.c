#include "analysis/figures/source_b.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/expert_shares.h"
#include "analysis/measures.h"
#include "analysis/series_steps.h"
#include "analysis/style.h"
#include "record/routing_stats.h"

const char *const source_b_experiments[B_EXPERIMENTS] = {
    [B_FLAT] = "flat",
    [B_HIERARCHICAL] = "hierarchical",
    [B_GSHARD] = "hierarchical_gshard",
    [B_DENSE_ACTIVE] = "dense_active",
    [B_DENSE_TOTAL] = "dense_total",
    [B_FLAT_10EP] = "flat_10ep",
    [B_HIERARCHICAL_10EP] = "hierarchical_10ep",
    [B_FLAT_X0] = "flat_aux_x0",
    [B_FLAT_X10] = "flat_aux_x10",
    [B_FLAT_X100] = "flat_aux_x100",
    [B_HIERARCHICAL_X10] = "hierarchical_aux_x10",
    [B_HIERARCHICAL_X100] = "hierarchical_aux_x100",
    [B_FLAT_GLOROT] = "flat_init_glorot",
    [B_FLAT_HE] = "flat_init_he",
    [B_FLAT_IDENTICAL] = "flat_init_identical",
    [B_FLAT_GATE_NORMAL] = "flat_gate_normal",
    [B_FLAT_E20] = "flat_e20",
    [B_FLAT_E40] = "flat_e40",
    [B_HIERARCHICAL_E20] = "hierarchical_e20",
    [B_HIERARCHICAL_E40] = "hierarchical_e40",
    [B_FLAT_NOISE_FADES] = "flat_noise_fades",
    [B_FLAT_TARGET] = "flat_balance_target",
    [B_HIERARCHICAL_TARGET] = "hierarchical_balance_target",
    [B_FLAT_30EP] = "flat_30ep",
    [B_HIERARCHICAL_30EP] = "hierarchical_30ep",
};
const char *const source_b_titles[B_MODELS] = {[B_FLAT] = "flat",
                                               [B_HIERARCHICAL] = "hierarchical",
                                               [B_GSHARD] = "GShard",
                                               [B_DENSE_ACTIVE] = "dense, active",
                                               [B_DENSE_TOTAL] = "dense, total"};
const char *const source_b_protocols[B_PROTOCOLS] = {"as-published", "corrected"};
const char *const source_b_protocol_titles[B_PROTOCOLS] = {"as published", "corrected"};

const struct run_need source_b_need = {
    SOURCE_B_SUITE, source_b_experiments, B_MODELS, source_b_protocols, B_PROTOCOLS, NULL, NULL};
const struct run_need source_b_routed_need = {
    SOURCE_B_SUITE, source_b_experiments, B_ROUTED, source_b_protocols, B_PROTOCOLS, NULL, NULL};

const struct figure source_b_figures[] = {
    {"b-usage", "B", "Expert usage, published and measured",
     "Share of all assignments of an image to an expert, experts ordered by their share. The published list "
     "adds up as if an image went to one expert; where an image goes to several, no share can lie above the "
     "dashed line. What a chosen expert says is weighed by its gate: dots are shares of the gates.",
     &source_b_routed_need, draw_b_usage, NULL},
    {"b-balance", "B", "Balance of experts and groups during training",
     "Squared coefficient of variation and Gini coefficient of the usage of experts and of groups in single "
     "training batches. The dotted line is what a batch shows whose images choose by pure chance.",
     &source_b_routed_need, draw_b_balance, NULL},
    {"b-training", "B", "Loss and accuracy during training",
     "Loss and accuracy of training batches and accuracy on test images, with the published log. Loss "
     "against accuracy: below the line no loss of two softmaxes can lie at that accuracy.",
     &source_b_need, draw_b_training, NULL},
    {"b-usage-evolution", "B", "Usage of each expert during training",
     "Shares of the experts in training batches, stacked, in the runs of the smallest seed; and how far the "
     "order of the experts early in a run is that of its end, over all seeds.",
     &source_b_routed_need, draw_b_usage_evolution, NULL},
    {"b-flat-hierarchical", "B", "Flat against hierarchical",
     "Accuracy, balance and time of a batch of every model at the end of training.", &source_b_need,
     draw_b_flat_hierarchical, NULL},
    {"b-followups", "B", "What the document recommends",
     "Test accuracy and balance with other weights of the balance losses, other initial values, more "
     "experts, routing that adapts, and longer training.",
     &source_b_routed_need, draw_b_followups, NULL},
    {"b-usage-gif", "B", "Expert usage over training",
     "Share of the assignments in training batches that each expert got, in the runs of the smallest seed; "
     "the steps of the animation grow.",
     &source_b_routed_need, draw_b_usage_gif, motion_b_usage_gif},
};
const int32_t source_b_figure_count = (int32_t)(sizeof source_b_figures / sizeof source_b_figures[0]);

struct run_group source_b_group(const struct report *report, enum source_b_experiment experiment,
                                enum source_b_protocol protocol) {
    return run_list_group(report->runs, SOURCE_B_SUITE, source_b_experiments[experiment],
                          source_b_protocols[protocol]);
}

moe_status source_b_pen(enum source_b_experiment experiment, struct plot_pen *out_pen, moe_err *err) {
    return style_of_experiment(SOURCE_B_SUITE, source_b_experiments[experiment], out_pen, err);
}

moe_status source_b_legend(struct plot *plot, int32_t count, enum plot_geom geom, moe_err *err) {
    moe_status status = MOE_OK;
    for (int32_t e = 0; e < count; e++) {
        struct plot_pen pen;
        moe_try(source_b_pen((enum source_b_experiment)e, &pen, err));
        plot_add_legend(plot, source_b_titles[e], geom, &pen);
    }
out:
    return status;
}

void source_b_seeds(const struct report *report, int32_t count, bool longer, char *out, size_t size) {
    struct run_group groups[B_MODELS * B_PROTOCOLS + 2];
    int32_t n = 0;
    for (int32_t i = 0; i < count * B_PROTOCOLS; i++)
        groups[n++] = source_b_group(report, (enum source_b_experiment)(i / B_PROTOCOLS),
                                     (enum source_b_protocol)(i % B_PROTOCOLS));
    for (int32_t i = 0; longer && i < 2; i++)
        groups[n++] = source_b_group(report, (enum source_b_experiment)(B_FLAT_10EP + i), B_AS_PUBLISHED);
    source_seeds(groups, n, out, size);
}

/* The last value of a series by step in percent, or the median of all in milliseconds. */
static moe_status of_steps(struct report *report, const struct run_file *file, const char *series,
                           bool median, double *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct series s = {0};
    moe_try(series_steps_of_run(report->runs, file, series, -1, 0, &s, err));
    moe_check(s.n > 0, err, MOE_ENOTFOUND, "%s: no values of %s", file->path, series);
    if (median) {
        stats_sort(s.y, s.n);
        *out = 1000.0 * stats_quantile_sorted(s.y, s.n, 0.5);
    } else {
        *out = 100.0 * s.y[s.n - 1];
    }
out:
    series_free(&s);
    return status;
}

/* Mean of the last quarter of the recorded training batches. */
static moe_status late_mean(struct report *report, const struct run_file *file, const char *series,
                            double *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct series s = {0};
    int32_t row = 0;
    moe_try(series_layer_row(report->runs, file, B_OF_EXPERTS, &row, err));
    moe_try(series_steps_of_run(report->runs, file, series, row, 0, &s, err));
    moe_check(s.n > 0, err, MOE_ENOTFOUND, "%s: no values of %s", file->path, series);
    const int32_t taken = (s.n + 3) / 4;
    *out = stats_mean(s.y + s.n - taken, taken);
out:
    series_free(&s);
    return status;
}

/* Of the shares that experts have of the gates on test images. */
static moe_status of_gates(struct report *report, const struct run_file *file, enum source_b_number number,
                           double *out, moe_err *err) {
    moe_status status = MOE_OK;
    double *shares = NULL;
    int32_t n = 0;
    moe_try(expert_shares_at(report->runs, file, SHARE_OF_MASS, B_OF_EXPERTS, -1, &shares, &n, err));
    moe_check(n >= 2, err, MOE_ENOTFOUND, "%s: %d experts", file->path, n);
    stats_sort(shares, n);
    const struct routing_stats stats = routing_stats_of_shares(shares, n);
    *out = number == B_TWO_GATES   ? 100.0 * (shares[n - 1] + shares[n - 2])
           : number == B_GATE_GINI ? stats.gini
                                   : stats.cv2;
out:
    free(shares);
    return status;
}

static moe_status number_of_run(struct report *report, const struct run_file *file,
                                enum source_b_number number, double *out, moe_err *err) {
    moe_status status = MOE_OK;
    double test = 0.0;
    switch (number) {
    case B_TEST_ACCURACY:
        return of_steps(report, file, "step_eval_accuracy", false, out, err);
    case B_TRAIN_ACCURACY:
        return of_steps(report, file, "step_course_accuracy", false, out, err);
    case B_GAP:
        moe_try(of_steps(report, file, "step_eval_accuracy", false, &test, err));
        moe_try(of_steps(report, file, "step_course_accuracy", false, out, err));
        *out -= test;
        break;
    case B_CV2:
        return measure_of_run(report->runs, file, "cv2.0", out, err);
    case B_GINI:
        return measure_of_run(report->runs, file, "gini.0", out, err);
    case B_GROUP_CV2:
        return measure_of_run(report->runs, file, "cv2.1", out, err);
    case B_GATE_CV2:
    case B_GATE_GINI:
    case B_TWO_GATES:
        return of_gates(report, file, number, out, err);
    case B_BATCH_CV2:
        return late_mean(report, file, "step_cv2", out, err);
    case B_BATCH_GINI:
        return late_mean(report, file, "step_gini", out, err);
    case B_BATCH_MS:
        return of_steps(report, file, "step_wall_seconds", true, out, err);
    }
out:
    return status;
}

moe_status source_b_estimate(struct report *report, const struct run_group *group,
                             enum source_b_number number, struct stats_estimate *out, moe_err *err) {
    moe_status status = MOE_OK;
    double *values = calloc((size_t)group->n + 1, sizeof *values);
    moe_check(values != NULL, err, MOE_ENOMEM, "cannot allocate %d values", group->n);
    moe_check(group->n > 0, err, MOE_ENOTFOUND, "no runs of %s/%s %s, tier %s, below %s", group->suite,
              group->experiment, group->protocol, run_list_tier(report->runs), run_list_roots(report->runs));
    for (int32_t s = 0; s < group->n; s++)
        moe_try(number_of_run(report, &group->files[s], number, &values[s], err));
    *out = stats_mean_interval(values, group->n, 0.95);
out:
    free(values);
    return status;
}

static moe_status whole(struct report *report, const struct run_file *file, const char *name, int32_t *out,
                        moe_err *err) {
    moe_status status = MOE_OK;
    double value = 0.0;
    moe_try(report_config_number(report, file, name, &value, err));
    moe_check(value >= 1.0 && value <= 1e6 && value == floor(value), err, MOE_EFORMAT,
              "%s: %s = %g, expected a whole number from 1 to 1000000", file->path, name, value);
    *out = (int32_t)value;
out:
    return status;
}

moe_status source_b_shape_of(struct report *report, const struct run_file *file, struct source_b_shape *out,
                             moe_err *err) {
    moe_status status = MOE_OK;
    *out = (struct source_b_shape){.groups = 1, .top_k_groups = 1};
    if (file->info.axes.moe_layers == 0) goto out;
    moe_try(whole(report, file, "train.batch_size", &out->images, err));
    moe_try(whole(report, file, "classifier.experts", &out->experts, err));
    moe_try(whole(report, file, "classifier.top_k", &out->top_k, err));
    if (file->info.axes.moe_layers < 2) goto out;
    moe_try(whole(report, file, "classifier.groups", &out->groups, err));
    moe_try(whole(report, file, "classifier.top_k_groups", &out->top_k_groups, err));
out:
    return status;
}

bool source_b_trained_longer(const struct report *report) {
    return source_b_group(report, B_FLAT_10EP, B_AS_PUBLISHED).n > 0 ||
           source_b_group(report, B_HIERARCHICAL_10EP, B_AS_PUBLISHED).n > 0;
}

double source_b_largest_share(const struct source_b_shape *shape) {
    return 1.0 / ((double)shape->top_k_groups * shape->top_k);
}

double source_b_least_loss(double accuracy, double classes) {
    const double right = log(exp(1.0) + classes - 1.0) - 1.0;
    const double wrong = log(2.0 * exp(0.5) + classes - 2.0) - 0.5;
    return accuracy * right + (1.0 - accuracy) * wrong;
}
