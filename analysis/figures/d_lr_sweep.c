/* Source D's search for a learning rate: loss after a few steps against the rate. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/figures/source_d.h"
#include "analysis/lr_sweeps.h"
#include "analysis/style.h"
#include "core/text.h"

static const char *const sweeps[] = {LR_SWEEP_PREFIX "*"};
const struct run_need source_d_need_lr_sweep = {SOURCE_D_SUITE, sweeps, 1,   source_d_protocols,
                                                D_PROTOCOLS,    NULL,   NULL};

/* Heights in shares of the losses' range: the stripe of what diverged, and a line of crosses in it. */
#define STRIPE_GAP  0.04
#define STRIPE_LINE 0.06

/* The losses of all panels, and the experiments in the order of their first sweep. */
struct extent {
    double low, high;
    bool diverged;
    const char *experiments[D_EXPERIMENTS];
    int32_t count;
};

static int32_t number_of(const struct extent *x, const char *experiment) {
    for (int32_t i = 0; i < x->count; i++)
        if (strcmp(x->experiments[i], experiment) == 0) return i;
    return -1;
}

static struct extent measure(const struct lr_sweeps *s) {
    struct extent x = {.low = INFINITY, .high = -INFINITY};
    for (int32_t i = 0; i < s->count; i++) {
        const struct lr_sweep_set *set = &s->sets[i];
        if (number_of(&x, set->experiment) < 0 && x.count < D_EXPERIMENTS)
            x.experiments[x.count++] = set->experiment;
        for (int32_t r = 0; r < set->summary.count; r++) {
            const struct stats_estimate e = lr_sweep_estimate(set, r, false);
            if (set->summary.rates[r].diverged > 0) {
                x.diverged = true;
                continue;
            }
            x.low = fmin(x.low, fmin(e.value, isnan(e.low) ? e.value : e.low));
            x.high = fmax(x.high, fmax(e.value, isnan(e.high) ? e.value : e.high));
        }
    }
    if (!(x.low < x.high)) { /* one loss, or none */
        x.low = isfinite(x.low) ? x.low - 0.5 : 0;
        x.high = x.low + 1;
    }
    return x;
}

/* Where the stripe begins, and where the crosses of an experiment stand in it. */
static double stripe(const struct extent *x) {
    return x->high + STRIPE_GAP * (x->high - x->low);
}

static double cross_line(const struct extent *x, int32_t number) {
    return stripe(x) + (number + 0.7) * STRIPE_LINE * (x->high - x->low);
}

static double bottom(const struct extent *x) {
    return x->low - STRIPE_GAP * (x->high - x->low);
}

static double top(const struct extent *x) {
    return x->diverged ? cross_line(x, x->count - 1) + 0.7 * STRIPE_LINE * (x->high - x->low) : stripe(x);
}

/* The colour of an experiment; axes of one experiment share it. */
static moe_status pen_of(const char *experiment, struct plot_pen *out_pen, moe_err *err) {
    char name[LR_SWEEP_NAME_MAX];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(experiment, "@"), experiment);
    return style_of_experiment(SOURCE_D_SUITE, name, out_pen, err);
}

static const char *title_of(const char *experiment) {
    for (int32_t i = 0; i < D_EXPERIMENTS; i++)
        if (strcmp(source_d_experiments[i], experiment) == 0) return source_d_titles[i];
    return experiment;
}

static struct plot_pen ring_pen(struct plot_colour colour) {
    return (struct plot_pen){
        .colour = colour, .width = 1.6, .marker = MARKER_CIRCLE, .marker_size = 16, .hollow = true};
}

/* A ring around the smallest loss, and a line from it to the axis; what is drawn later lies over both. */
static void add_suggestion(struct plot *plot, int32_t panel, double rate, double loss, const struct extent *x,
                           struct plot_colour colour) {
    const double at[2] = {rate, rate}, drop[2] = {loss, bottom(x)};
    const struct plot_pen line = {.colour = colour, .width = 1.2, .dash = DASH_DOTTED};
    plot_add_series(
        plot, panel,
        &(struct plot_series){.geom = GEOM_LINE, .n = 2, .position = at, .value = drop, .pen = line});
    plot_add_series(plot, panel,
                    &(struct plot_series){
                        .geom = GEOM_POINTS, .n = 1, .position = at, .value = drop, .pen = ring_pen(colour)});
}

/* One sweep: its curve, crosses where a seed diverged, and the suggested rate with a line down to the axis.
 */
static moe_status add_sweep(struct plot *plot, int32_t panel, const struct lr_sweep_set *set,
                            const struct extent *x, moe_err *err) {
    moe_status status = MOE_OK;
    const struct lr_sweep_summary *s = &set->summary;
    double rate[LR_SWEEP_RATES_MAX], value[LR_SWEEP_RATES_MAX], low[LR_SWEEP_RATES_MAX];
    double high[LR_SWEEP_RATES_MAX], crosses[LR_SWEEP_RATES_MAX];
    bool band = false;
    struct plot_pen pen;
    moe_try(pen_of(set->experiment, &pen, err));
    for (int32_t r = 0; r < s->count; r++) {
        const struct stats_estimate e = lr_sweep_estimate(set, r, false);
        const bool diverged = s->rates[r].diverged > 0;
        rate[r] = s->rates[r].rate;
        value[r] = diverged ? NAN : e.value;
        low[r] = diverged ? NAN : e.low;
        high[r] = diverged ? NAN : e.high;
        crosses[r] = diverged ? cross_line(x, number_of(x, set->experiment)) : NAN;
        band = band || !isnan(low[r]);
    }
    if (s->suggested >= 0)
        add_suggestion(plot, panel, rate[s->suggested], value[s->suggested], x, pen.colour);
    plot_add_series(plot, panel,
                    &(struct plot_series){.geom = GEOM_LINE,
                                          .n = s->count,
                                          .position = rate,
                                          .value = value,
                                          .low = band ? low : NULL,
                                          .high = band ? high : NULL,
                                          .pen = pen});
    const struct plot_pen cross = {
        .colour = pen.colour, .width = 1.6, .marker = MARKER_CROSS, .marker_size = 7};
    plot_add_series(
        plot, panel,
        &(struct plot_series){
            .geom = GEOM_POINTS, .n = s->count, .position = rate, .value = crosses, .pen = cross});
out:
    return status;
}

static void set_panel(struct plot *plot, int32_t panel, const char *title, const struct extent *x,
                      bool first) {
    struct plot_panel_spec spec = {.title = title, .position = plot_axis_auto(), .value = plot_axis_auto()};
    spec.position.label = "learning rate";
    spec.position.log = true;
    spec.value.label = first ? "training loss (nats/token)" : NULL;
    spec.value.hidden = !first;
    spec.value.min = bottom(x);
    spec.value.max = top(x);
    plot_set_panel(plot, panel, &spec);
    if (x->diverged) plot_add_span(plot, panel, stripe(x), top(x), STYLE_SHADE);
}

/* "After 150 steps, 30 of them warm-up, ... 3 seeds" */
static moe_status write_note(const struct lr_sweeps *s, char **out_note, moe_err *err) {
    struct text t = {0};
    int32_t least = INT32_MAX, most = 0;
    int64_t shortest = INT64_MAX, longest = 0;
    for (int32_t i = 0; i < s->count; i++) {
        const struct lr_sweep_set *set = &s->sets[i];
        for (int32_t r = 0; r < set->summary.count; r++) {
            const int32_t seeds = set->summary.rates[r].seeds;
            least = seeds < least ? seeds : least;
            most = seeds > most ? seeds : most;
        }
        shortest = set->runs[0].max_steps < shortest ? set->runs[0].max_steps : shortest;
        longest = set->runs[0].max_steps > longest ? set->runs[0].max_steps : longest;
    }
    text_append(&t, "Mean loss of the last %d of ", LR_SWEEP_LAST_STEPS);
    if (shortest != longest) text_append(&t, "%lld to ", (long long)shortest);
    text_append(&t, "%lld steps, ", (long long)longest);
    if (least != most) text_append(&t, "%d to ", least);
    text_append(&t, most == 1 ? "%d seed (no interval)." : "%d seeds; bands are 95 %% intervals.", most);
    const moe_status status = text_take(&t, out_note, err);
    text_free(&t);
    return status;
}

/* Panels are the protocols that have a sweep. */
static int32_t list_panels(const struct lr_sweeps *s, int32_t panels[D_PROTOCOLS]) {
    int32_t count = 0;
    for (int32_t p = 0; p < D_PROTOCOLS; p++) {
        bool there = false;
        for (int32_t i = 0; i < s->count; i++)
            there = there || strcmp(s->sets[i].protocol, source_d_protocols[p]) == 0;
        panels[p] = there ? count++ : -1;
    }
    return count;
}

moe_status draw_d_lr_sweep(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err) {
    moe_status status = MOE_OK;
    (void)frame;
    struct lr_sweeps s = {0};
    struct plot *plot = NULL;
    char *note = NULL;
    int32_t panels[D_PROTOCOLS];
    moe_try(lr_sweeps_of(report->runs, SOURCE_D_SUITE, &s, err));
    const struct extent x = measure(&s);
    const int32_t count = list_panels(&s, panels);
    moe_try(write_note(&s, &note, err));
    moe_try(plot_new(&(struct plot_layout){.title = "Loss after a few steps against the learning rate",
                                           .note = note,
                                           .width = STYLE_PAGE_WIDTH,
                                           .panel_height = 300,
                                           .rows = 1,
                                           .columns = count},
                     &plot, err));
    for (int32_t p = 0; p < D_PROTOCOLS; p++)
        if (panels[p] >= 0) set_panel(plot, panels[p], source_d_protocol_titles[p], &x, panels[p] == 0);
    for (int32_t p = 0; p < D_PROTOCOLS; p++)
        for (int32_t i = 0; i < s.count; i++)
            if (strcmp(s.sets[i].protocol, source_d_protocols[p]) == 0)
                moe_try(add_sweep(plot, panels[p], &s.sets[i], &x, err));
    if (count == 2) plot_link(plot, 0, 1);
    for (int32_t e = 0; e < x.count; e++) {
        struct plot_pen pen;
        moe_try(pen_of(x.experiments[e], &pen, err));
        plot_add_legend(plot, title_of(x.experiments[e]), GEOM_LINE, &pen);
    }
    const struct plot_pen ring = ring_pen(STYLE_MUTED);
    plot_add_legend(plot, "smallest loss", GEOM_POINTS, &ring);
    if (x.diverged) plot_add_legend_span(plot, "diverged", STYLE_SHADE);
    *out_plot = plot;
    plot = NULL;
out:
    plot_free(plot);
    lr_sweeps_free(&s);
    free(note);
    return status;
}
