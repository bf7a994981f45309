#include "analysis/figures/source_c.h"

/* ---- needs */

static const char *const any[] = {"*"};
const struct run_need source_c_need = {SLICING_SUITE,     any,  1,   slicing_protocols,
                                       SLICING_PROTOCOLS, NULL, NULL};

/* ---- charts */

#define COUNT(array) ((int32_t)(sizeof(array) / sizeof((array)[0])))

static const struct c_chart total_parameters[] = {
    {.title = "number of experts fixed",
     .x = AXIS_GRANULARITY,
     .line = AXIS_EXPERTS,
     .split = C_NONE,
     .varied = C_NONE},
    {.title = "size of experts fixed",
     .x = AXIS_EXPERTS,
     .line = AXIS_GRANULARITY,
     .split = C_NONE,
     .varied = C_NONE},
    {.title = "total size fixed",
     .x = AXIS_GRANULARITY,
     .line = AXIS_SPARSITY,
     .split = C_NONE,
     .varied = C_NONE},
};
static const struct c_chart heterogeneity[] = {
    {.title = "one and two sizes of experts",
     .x = AXIS_SPARSITY,
     .line = AXIS_GRANULARITY,
     .split = AXIS_SECOND,
     .varied = C_NONE},
    {.title = "minus dense",
     .x = AXIS_SPARSITY,
     .line = AXIS_GRANULARITY,
     .split = AXIS_SECOND,
     .varied = C_NONE,
     .minus_dense = true},
};
static const struct c_chart generalist[] = {
    {.title = "generalist",
     .x = AXIS_SPARSITY,
     .line = AXIS_GENERALIST,
     .split = C_NONE,
     .varied = AXIS_GENERALIST},
};
static const struct c_chart dropless[] = {
    {.title = "validation loss",
     .x = AXIS_GRANULARITY,
     .line = AXIS_SPARSITY,
     .split = AXIS_CAPACITY,
     .varied = AXIS_CAPACITY},
    {.title = "minus dense",
     .x = AXIS_GRANULARITY,
     .line = AXIS_SPARSITY,
     .split = AXIS_CAPACITY,
     .varied = AXIS_CAPACITY,
     .minus_dense = true},
};
static const struct c_chart balance[] = {
    {.title = "balance settings",
     .x = AXIS_GRANULARITY,
     .line = AXIS_ALPHA,
     .split = AXIS_GAMMA,
     .varied = AXIS_GAMMA},
};
static const struct c_chart train_ce[] = {
    {.title = "training loss",
     .x = AXIS_GRANULARITY,
     .line = AXIS_SPARSITY,
     .split = C_NONE,
     .varied = C_NONE,
     .number = NUMBER_TRAIN_CE},
};
static const struct c_chart lb_loss[] = {
    {.title = "balance loss",
     .x = AXIS_GRANULARITY,
     .line = AXIS_SPARSITY,
     .split = C_NONE,
     .varied = C_NONE,
     .number = NUMBER_BALANCE},
};
static const struct c_chart imbalance[] = {
    {.title = "imbalance",
     .x = AXIS_GRANULARITY,
     .line = AXIS_SPARSITY,
     .split = C_NONE,
     .varied = C_NONE,
     .number = NUMBER_IMBALANCE},
};
static const struct c_chart more_data[] = {
    {.title = "tokens", .x = AXIS_GRANULARITY, .line = AXIS_SPARSITY, .split = C_NONE, .varied = C_NONE},
};

#define FIGURE_OF(name, plot_charts, count, plot_title, first, second, plot_note)                            \
    moe_status draw_c_##name(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err) {   \
        static const struct c_figure figure = {.title = plot_title,                                          \
                                               .note = plot_note,                                            \
                                               .charts = plot_charts,                                        \
                                               .num_charts = count,                                          \
                                               .column = first,                                              \
                                               .column_split = second,                                       \
                                               .panel_height = 150.0};                                       \
        (void)frame;                                                                                         \
        return c_draw(report, &figure, out_plot, err);                                                       \
    }

FIGURE_OF(total_parameters, total_parameters, COUNT(total_parameters),
          "Loss against total parameters, three ways", C_NONE, C_NONE,
          "Active parameters are the same everywhere; total ones grow with s = n g.")
FIGURE_OF(heterogeneity, heterogeneity, COUNT(heterogeneity), "Experts of one and of two sizes", C_NONE,
          C_NONE,
          "Two sizes: two groups of experts with a router each, half of the active width from either.")
FIGURE_OF(generalist, generalist, COUNT(generalist), "An expert that every token uses", AXIS_GRANULARITY,
          C_NONE,
          "Active width is the same with a generalist and without: the routed experts have what is left.")
FIGURE_OF(dropless, dropless, COUNT(dropless), "Routing with and without a limit of capacity", C_NONE, C_NONE,
          "With a limit an expert takes a factor times its even share of the slots and drops the later ones.")
FIGURE_OF(balance, balance, COUNT(balance), "Loss under four settings of load balancing", AXIS_SPARSITY,
          C_NONE,
          "\xce\xb1: weight of the balance loss; \xce\xb3: step of the bias on the selection, 0 = none.")
FIGURE_OF(train_ce, train_ce, COUNT(train_ce), "Training loss under four settings of load balancing",
          AXIS_ALPHA, AXIS_GAMMA, "Mean of the last fifty steps, of long runs of the last tenth.")
FIGURE_OF(lb_loss, lb_loss, COUNT(lb_loss), "Balance loss under four settings of load balancing", AXIS_ALPHA,
          AXIS_GAMMA,
          "Without its weight, so that 1 is an even load; mean of the layers and of the last fifty steps, of "
          "long runs of the last tenth.")
FIGURE_OF(imbalance, imbalance, COUNT(imbalance), "Load of the busiest expert under four settings",
          AXIS_ALPHA, AXIS_GAMMA,
          "Largest over mean load of a training batch; mean of the layers and of the last fifty steps, of "
          "long runs of the last tenth.")
FIGURE_OF(small_scales, c_patterns, C_PATTERNS, "The smallest scales against the dense model", C_NONE, C_NONE,
          "Validation loss less that of the dense model with as many active parameters, seed by seed.")
FIGURE_OF(more_data, more_data, COUNT(more_data), "The smallest scales with more data", AXIS_TOKENS, C_NONE,
          "The dotted line is the dense model that saw as many tokens.")

/* ---- registry */

#define PAGE(domain)                                                                                         \
    {"c-domain-" #domain,                                                                                    \
     "C",                                                                                                    \
     "All patterns in one domain: " #domain,                                                                 \
     "Size and number of experts, two sizes, a generalist, no limit of capacity, balance settings: each "    \
     "against the dense model.",                                                                             \
     &source_c_need_##domain,                                                                                \
     draw_c_##domain,                                                                                        \
     NULL},

const struct figure source_c_figures[] = {
    {"c-schematic", "C", "Layers of experts with the same active width",
     "Each row is a feed-forward layer; its experts stand side by side, as wide as they are. Filled ones are "
     "active for one token.",
     &source_c_need, draw_c_schematic, NULL},
    {"c-total-parameters", "C", "Loss against total parameters, three ways",
     "Validation loss when the number of experts is fixed and they grow, when their size is fixed and they "
     "become more, and when the total is fixed and divided.",
     &source_c_need, draw_c_total_parameters, NULL},
    {"c-optimum", "C", "The best size of experts",
     "Loss against the size of experts at a fixed total, with a parabola in the logarithm of the size fitted "
     "to each total; and where its minimum lies, with a bootstrap interval.",
     &source_c_need, draw_c_optimum, NULL},
    {"c-heterogeneity", "C", "Experts of one and of two sizes",
     "Layers with two groups of experts of different size between those with one size, at the same total.",
     &source_c_need, draw_c_heterogeneity, NULL},
    {"c-generalist", "C", "An expert that every token uses",
     "A part of the active width is given to one expert that all tokens share.", &source_c_need,
     draw_c_generalist, NULL},
    {"c-dropless", "C", "Routing with and without a limit of capacity",
     "Solid and dashed lines differ in whether full experts drop tokens in training.", &source_c_need,
     draw_c_dropless, NULL},
    {"c-balance", "C", "Loss under four settings of load balancing",
     "The weight of the balance loss and the step of the bias, combined.", &source_c_need, draw_c_balance,
     NULL},
    {"c-grid", "C", "Configurations that were trained",
     "Number of runs for each size of experts and total, of the usual settings.", &source_c_need, draw_c_grid,
     NULL},
    {"c-train-ce", "C", "Training loss under four settings of load balancing",
     "As the validation loss, over the grid, one column for each setting.", &source_c_need, draw_c_train_ce,
     NULL},
    {"c-lb-loss", "C", "Balance loss under four settings of load balancing",
     "How unevenly load and probability are spread over the experts in training.", &source_c_need,
     draw_c_lb_loss, NULL},
    {"c-imbalance", "C", "Load of the busiest expert under four settings",
     "How much more the busiest expert has to do than the mean of them.", &source_c_need, draw_c_imbalance,
     NULL},
    {"c-small-scales", "C", "The smallest scales against the dense model",
     "Below the dotted line a model with experts is better than the dense one.", &source_c_need,
     draw_c_small_scales, NULL},
    {"c-more-data", "C", "The smallest scales with more data",
     "The same models trained for longer, one column for each number of tokens.", &source_c_need,
     draw_c_more_data, NULL},
    {"c-rates", "C", "Validation loss against the learning rate",
     "The peak of the learning rate, varied for the dense model and for one configuration of experts.",
     &source_c_need, draw_c_rates, NULL},
    {"c-domains", "C", "Validation loss by domain",
     "One panel for each domain of the evaluation, stories and real text.", &source_c_need, draw_c_domains,
     NULL},
    {"c-accuracy", "C", "Right endings against validation loss",
     "Each point is a run: its share of stories whose right ending it picked among four, and its loss.",
     &source_c_need, draw_c_accuracy, NULL},
    C_EACH_DOMAIN(PAGE)};
const int32_t source_c_figure_count = COUNT(source_c_figures);
