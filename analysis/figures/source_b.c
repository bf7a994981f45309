#include "analysis/figures/source_b.h"

#include "analysis/style.h"

const char *const source_b_models[B_MODELS] = {[B_FLAT] = "flat",
                                               [B_HIERARCHICAL] = "hierarchical",
                                               [B_GSHARD] = "hierarchical_gshard",
                                               [B_DENSE_ACTIVE] = "dense_active",
                                               [B_DENSE_TOTAL] = "dense_total"};
const char *const source_b_protocols[SOURCE_B_PROTOCOLS] = {"as-published", "corrected"};
const char *const source_b_protocol_titles[SOURCE_B_PROTOCOLS] = {"as published", "corrected"};

const struct run_need source_b_need = {SOURCE_B_SUITE,     source_b_models,    B_MODELS,
                                       source_b_protocols, SOURCE_B_PROTOCOLS, NULL};
const struct run_need source_b_routed_need = {SOURCE_B_SUITE,     source_b_models,    B_ROUTED,
                                              source_b_protocols, SOURCE_B_PROTOCOLS, NULL};

const struct figure source_b_figures[] = {
    {"b-usage", "B", "Expert usage, published and measured",
     "Share of the assignments of an image to an expert, experts ordered by their share. The published list "
     "adds up as if an image went to one expert; with several of them active no share can exceed the line.",
     &source_b_routed_need, draw_b_usage, NULL},
    {"b-balance", "B", "Balance of experts and groups during training",
     "Squared coefficient of variation and Gini coefficient of usage, of the experts and of the groups. "
     "Bands are 95 % intervals over seeds.",
     &source_b_routed_need, draw_b_balance, NULL},
    {"b-training", "B", "Loss and accuracy during training",
     "Loss and accuracy of the training batches and of the test images, with the published log. Bands are "
     "95 % intervals over seeds.",
     &source_b_need, draw_b_training, NULL},
    {"b-usage-evolution", "B", "Usage of each expert during training",
     "Shares of the experts, stacked, in the runs of the smallest seed: whether a preference is there early "
     "and stays.",
     &source_b_routed_need, draw_b_usage_evolution, NULL},
    {"b-flat-hierarchical", "B", "Flat against hierarchical",
     "Test accuracy, balance and time of a batch of every model, with 95 % intervals over seeds.",
     &source_b_need, draw_b_flat_hierarchical, NULL},
    {"b-followups", "B", "What the document recommends",
     "Test accuracy and balance with other balance weights, initial values, numbers of experts, routing that "
     "adapts, and longer training; 95 % intervals over seeds. What has no runs yet is named.",
     &source_b_routed_need, draw_b_followups, NULL},
    {"b-usage-gif", "B", "Expert usage over training",
     "Share of the test images' assignments that each expert got, evaluation by evaluation, in the runs of "
     "the smallest seed.",
     &source_b_routed_need, draw_b_usage_gif, motion_b_usage_gif},
};
const int32_t source_b_figure_count = (int32_t)(sizeof source_b_figures / sizeof source_b_figures[0]);

/* A page that says that it is not drawn yet. */
static moe_status draw_later(const char *title, struct plot **out_plot, moe_err *err) {
    moe_status status = MOE_OK;
    const struct plot_layout layout = {.title = title,
                                       .note = "Not drawn yet.",
                                       .width = STYLE_PAGE_WIDTH,
                                       .panel_height = 60.0,
                                       .rows = 1,
                                       .columns = 1};
    moe_try(plot_new(&layout, out_plot, err));
    const struct plot_panel_spec spec = {.position = plot_axis_auto(), .value = plot_axis_auto()};
    plot_set_panel(*out_plot, 0, &spec);
out:
    return status;
}

#define LATER(name, index)                                                                                   \
    moe_status name(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err) {            \
        (void)report;                                                                                        \
        (void)frame;                                                                                         \
        return draw_later(source_b_figures[index].title, out_plot, err);                                     \
    }
LATER(draw_b_usage, 0)
LATER(draw_b_balance, 1)
LATER(draw_b_training, 2)
LATER(draw_b_usage_evolution, 3)
LATER(draw_b_flat_hierarchical, 4)
LATER(draw_b_followups, 5)
LATER(draw_b_usage_gif, 6)

moe_status motion_b_usage_gif(struct report *report, struct figure_motion *out_motion, moe_err *err) {
    (void)report;
    (void)err;
    *out_motion = (struct figure_motion){.frames = 1, .delay = 50, .last_delay = 200};
    return MOE_OK;
}
