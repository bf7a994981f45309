#include "analysis/figures/source_a.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/style.h"

const char *const source_a_experiments[SOURCE_A_EXPERIMENTS] = {"dense", "baseline", "top2", "strong_reg",
                                                                "throughput_opt"};
const char *const source_a_protocols[SOURCE_A_PROTOCOLS] = {"as-published", "corrected"};
const char *const source_a_protocol_titles[SOURCE_A_PROTOCOLS] = {"as published", "corrected"};

const struct run_need source_a_need = {SOURCE_A_SUITE,
                                       source_a_experiments,
                                       SOURCE_A_EXPERIMENTS,
                                       source_a_protocols,
                                       SOURCE_A_PROTOCOLS,
                                       NULL,
                                       NULL};
const struct run_need source_a_moe_need = {SOURCE_A_SUITE,
                                           source_a_experiments + 1,
                                           SOURCE_A_EXPERIMENTS - 1,
                                           source_a_protocols,
                                           SOURCE_A_PROTOCOLS,
                                           NULL,
                                           NULL};

const struct figure source_a_figures[] = {
    {"a-training-loss", "A", "Training loss by epoch",
     "Training loss as minimised (left) and its cross-entropy alone (right). Bands are 95 % intervals over "
     "seeds, drawn "
     "as far as every seed trained; thin lines are the seeds that trained longer.",
     &source_a_need, draw_a_training_loss, NULL},
    {"a-validation-loss", "A", "Validation loss by epoch",
     "Validation loss as each protocol reports it (left) and cross-entropy alone (right). The middle row "
     "repeats the "
     "first, down to the entropy of the data: all models lie far above it.",
     &source_a_need, draw_a_validation_loss, NULL},
    {"a-timing", "A", "Time of an epoch by part",
     "Forward, backward and optimizer seconds of an epoch, and backward over forward. The published clocks "
     "did not wait "
     "for the device; ours do.",
     &source_a_need, draw_a_timing, NULL},
    {"a-throughput", "A", "Training throughput",
     "Training tokens per second, and relative to the dense model; the median of the epochs of each run.",
     &source_a_need, draw_a_throughput, NULL},
    {"a-entropy", "A", "Entropy of routing by epoch",
     "Entropy of the experts' shares of all validation tokens (left, middle), and mean entropy of the "
     "router's "
     "distribution for one token (right): a balanced router can still be sure of each token.",
     &source_a_moe_need, draw_a_entropy, NULL},
    {"a-usage", "A", "Expert usage at the end of training",
     "Share of the validation slots that each expert got after the last epoch, experts ordered by their "
     "share within "
     "each run, mean over seeds. Numbers of experts mean nothing across seeds; ranks do.",
     &source_a_moe_need, draw_a_usage, NULL},
    {"a-summary", "A", "Source A at a glance",
     "Differences from the dense model over the same seeds, relative speed, and balance: published, as "
     "published and "
     "corrected.",
     &source_a_need, draw_a_summary, NULL},
    {"a-usage-evolution", "A", "Expert usage over the epochs of one seed",
     "Share of the validation slots that each expert got, epoch by epoch, in the runs of the smallest seed.",
     &source_a_moe_need, draw_a_usage_evolution, motion_a_usage_evolution},
};
const int32_t source_a_figure_count = sizeof source_a_figures / sizeof source_a_figures[0];

moe_status source_a_layers(struct report *report, int32_t out_layers[SOURCE_A_LAYERS], moe_err *err) {
    moe_status status = MOE_OK;
    struct published *p = NULL;
    double *layers = NULL;
    int32_t count = 0;
    moe_try(report_published(report, "A", &p, err));
    moe_try(published_array(p, "setup.moe_layers", &layers, &count, err));
    moe_check(count == SOURCE_A_LAYERS, err, MOE_ECONFIG, "%s: setup.moe_layers has %d entries, expected %d",
              published_path(p), count, SOURCE_A_LAYERS);
    for (int32_t i = 0; i < SOURCE_A_LAYERS; i++)
        out_layers[i] = (int32_t)layers[i];
out:
    free(layers);
    return status;
}

struct run_group source_a_group(const struct report *report, int32_t experiment, int32_t protocol) {
    return run_list_group(report->runs, SOURCE_A_SUITE, source_a_experiments[experiment],
                          source_a_protocols[protocol]);
}

moe_status source_a_pen(int32_t experiment, struct plot_pen *out_pen, moe_err *err) {
    return style_of_experiment(SOURCE_A_SUITE, source_a_experiments[experiment], out_pen, err);
}

moe_status source_a_published(struct report *report, const char *before, int32_t experiment,
                              const char *after, double *out_value, moe_err *err) {
    return source_published(report, "A", before, source_a_experiments[experiment], after, out_value, err);
}

moe_status source_a_legend(struct plot *plot, int32_t from, enum plot_geom geom, moe_err *err) {
    moe_status status = MOE_OK;
    for (int32_t e = from; e < SOURCE_A_EXPERIMENTS; e++) {
        struct plot_pen pen;
        moe_try(source_a_pen(e, &pen, err));
        plot_add_legend(plot, source_a_experiments[e], geom, &pen);
    }
out:
    return status;
}

moe_status source_a_curves(struct report *report, struct plot *plot, int32_t panel, int32_t protocol,
                           int32_t from, const char *series, enum plot_dash dash, double ceiling,
                           moe_err *err) {
    moe_status status = MOE_OK;
    for (int32_t e = from; e < SOURCE_A_EXPERIMENTS; e++) {
        const struct run_group group = source_a_group(report, e, protocol);
        struct source_curve curve = {.series = series, .floor = NAN, .ceiling = ceiling};
        moe_try(source_a_pen(e, &curve.pen, err));
        curve.pen.dash = dash;
        moe_try(source_draw_curve(report, plot, panel, &group, &curve, err));
    }
out:
    return status;
}

static void count_seeds(const struct report *report, char *out, size_t size) {
    struct run_group groups[SOURCE_A_EXPERIMENTS * SOURCE_A_PROTOCOLS];
    for (int32_t e = 0; e < SOURCE_A_EXPERIMENTS; e++)
        for (int32_t p = 0; p < SOURCE_A_PROTOCOLS; p++)
            groups[e * SOURCE_A_PROTOCOLS + p] = source_a_group(report, e, p);
    source_seeds(groups, SOURCE_A_EXPERIMENTS * SOURCE_A_PROTOCOLS, out, size);
}

moe_status source_a_plot(const struct report *report, struct plot_layout layout, struct plot **out_plot,
                         moe_err *err) {
    static const char mark[] = "{seeds}";
    char seeds[32], note[512];
    const char *at = strstr(layout.note, mark);
    if (at != NULL) {
        count_seeds(report, seeds, sizeof seeds);
        snprintf(note, sizeof note, "%.*s%s%s", (int)(at - layout.note), layout.note, seeds,
                 at + sizeof mark - 1);
        layout.note = note;
    }
    layout.width = STYLE_PAGE_WIDTH;
    return plot_new(&layout, out_plot, err);
}
