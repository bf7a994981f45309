#include "analysis/figures/source_d.h"

#include "analysis/style.h"

#define A2 "a2_moedl_lb_biasing"
#define C3 "c3_moedl_e32_k4"

const char *const source_d_experiments[D_EXPERIMENTS] = {
    [D_LLAMA] = "00_llama2_ref",
    [D_DENSE] = "01_moedl_dense",
    [D_A0] = "a0_moedl_no_lb",
    [D_A1] = "a1_moedl_lb_penalty",
    [D_A2] = A2,
    [D_B1] = "b1_moedl_e2_k1",
    [D_B2] = "b2_moedl_e4_k1",
    [D_B4] = "b4_moedl_e16_k1",
    [D_B20] = "b20_moedl_e4_k1_4ep",
    [D_C2] = "c2_moedl_e16_k2",
    [D_C3] = C3,
    [D_C4] = "c4_moedl_e64_k8",
    [D_D2] = "d2_moedl_s1_k3_e31",
    [D_D3] = "d3_moedl_s2_k2_e30",
    [D_D4] = "d4_moedl_s3_k1_e29",
    [D_E1] = "e1_moedl_cf_1_0",
    [D_E2] = "e2_moedl_cf_1_5",
    [D_E3] = "e3_moedl_cf_2_0",
    [D_E4] = "e4_moedl_cf_2_5",
    [D_A2_TEXT] = "a2_bias_text",
    [D_A2_SIGN] = "a2_bias_sign",
    [D_A1_LAYERS] = "a1_per_layer",
    [D_A2_SCALED] = "a2_scaled",
    [D_B1_SCALED] = "b1_scaled",
    [D_B4_SCALED] = "b4_scaled",
};
const char *const source_d_titles[D_EXPERIMENTS] = {
    [D_LLAMA] = "00: Llama, dense",
    [D_DENSE] = "01: dense",
    [D_A0] = "a0: no balancing",
    [D_A1] = "a1: penalty",
    [D_A2] = "a2: bias, 1 of 8",
    [D_B1] = "b1: 1 of 2",
    [D_B2] = "b2: 1 of 4",
    [D_B4] = "b4: 1 of 16",
    [D_B20] = "b20: 1 of 4, twice the epochs",
    [D_C2] = "c2: 2 of 16",
    [D_C3] = "c3: 4 of 32",
    [D_C4] = "c4: 8 of 64",
    [D_D2] = "d2: 1 shared, 3 of 31",
    [D_D3] = "d3: 2 shared, 2 of 30",
    [D_D4] = "d4: 3 shared, 1 of 29",
    [D_E1] = "e1: capacity 1.0",
    [D_E2] = "e2: capacity 1.5",
    [D_E3] = "e3: capacity 2.0",
    [D_E4] = "e4: capacity 2.5",
    [D_A2_TEXT] = "bias as in the text",
    [D_A2_SIGN] = "bias by sign",
    [D_A1_LAYERS] = "a1: penalty per layer",
    [D_A2_SCALED] = "a2: weight doubled",
    [D_B1_SCALED] = "b1: weight doubled",
    [D_B4_SCALED] = "b4: weight doubled",
};
const enum source_d_experiment source_d_ways[D_WAYS] = {D_A0, D_A1, D_A2};
const char *const source_d_way_titles[D_WAYS] = {"a0: no balancing", "a1: penalty", "a2: bias"};
const char *const source_d_protocols[D_PROTOCOLS] = {"as-published", "corrected"};
const char *const source_d_protocol_titles[D_PROTOCOLS] = {"as published", "corrected"};

const struct source_d_family source_d_families[D_FAMILIES] = {
    [D_BALANCING] = {"load balancing",
                     "how load is balanced",
                     3,
                     {D_A0, D_A1, D_A2},
                     {"none", "penalty", "bias"},
                     {"a0_moedl_no_lb", "a1_moedl_lb_penalty", A2}},
    [D_SCALING] = {"number of experts",
                   "experts, one active",
                   4,
                   {D_B1, D_B2, D_A2, D_B4},
                   {"2", "4", "8", "16"},
                   {"b1_moedl_e2_k1", "b2_moedl_e4_k1", "b3_moedl_e8_k1", "b4_moedl_e16_k1"}},
    [D_GRANULARITY] = {"granularity",
                       "active of all experts",
                       4,
                       {D_A2, D_C2, D_C3, D_C4},
                       {"1 of 8", "2 of 16", "4 of 32", "8 of 64"},
                       {"c1_moedl_e8_k1", "c2_moedl_e16_k2", C3, "c4_moedl_e64_k8"}},
    [D_SHARED] = {"shared experts",
                  "shared + routed active experts",
                  4,
                  {D_C3, D_D2, D_D3, D_D4},
                  {"0 + 4", "1 + 3", "2 + 2", "3 + 1"},
                  {"d1_moedl_s0_k4_e32", "d2_moedl_s1_k3_e31", "d3_moedl_s2_k2_e30", "d4_moedl_s3_k1_e29"}},
    [D_CAPACITY] = {"capacity",
                    "capacity factor",
                    5,
                    {D_E1, D_E2, D_E3, D_E4, D_A2},
                    {"1.0", "1.5", "2.0", "2.5", "none"},
                    {"e1_moedl_cf_1_0", "e2_moedl_cf_1_5", "e3_moedl_cf_2_0", "e4_moedl_cf_2_5", A2}},
};

/* ---- needs: names of experiments, under both protocols or one */

static const char *const llama[] = {"00_llama2_ref"};
static const char *const dense[] = {"01_moedl_dense"};
static const char *const balancing[] = {"a0_moedl_no_lb", "a1_moedl_lb_penalty", A2};
static const char *const scaling[] = {"01_moedl_dense", A2, "b1_moedl_e2_k1", "b2_moedl_e4_k1",
                                      "b4_moedl_e16_k1"};
static const char *const granularity[] = {"01_moedl_dense", A2, "c2_moedl_e16_k2", C3, "c4_moedl_e64_k8"};
static const char *const shared[] = {"01_moedl_dense", C3, "d2_moedl_s1_k3_e31", "d3_moedl_s2_k2_e30",
                                     "d4_moedl_s3_k1_e29"};
static const char *const capacity[] = {
    "01_moedl_dense", A2, "e1_moedl_cf_1_0", "e2_moedl_cf_1_5", "e3_moedl_cf_2_0", "e4_moedl_cf_2_5"};
static const char *const question[] = {
    "01_moedl_dense",    A2, "b1_moedl_e2_k1",  "b2_moedl_e4_k1",     "b4_moedl_e16_k1",
    "c2_moedl_e16_k2",   C3, "c4_moedl_e64_k8", "d2_moedl_s1_k3_e31", "d3_moedl_s2_k2_e30",
    "d4_moedl_s3_k1_e29"};
static const char *const router[] = {A2, "c2_moedl_e16_k2", C3, "d4_moedl_s3_k1_e29"};
static const char *const bias_rules[] = {A2, "a2_bias_text", "a2_bias_sign"};

#define COUNT(array) ((int32_t)(sizeof(array) / sizeof((array)[0])))
#define BOTH(names, more)                                                                                    \
    { SOURCE_D_SUITE, names, COUNT(names), source_d_protocols, D_PROTOCOLS, more, NULL }

static const char *const added[] = {"a2_bias_text", "a2_bias_sign", "a1_per_layer",
                                    "a2_scaled",    "b1_scaled",    "b4_scaled"};
static const char *const scaled[] = {"a2_scaled", "b1_scaled", "b4_scaled"};
static const char *const without_bias[] = {"a0_moedl_no_lb", "a1_moedl_lb_penalty"};
/* The dense model first, b20 last: what routes and trains for two epochs lies between. */
static const char *const all[] = {"01_moedl_dense",
                                  "a0_moedl_no_lb",
                                  "a1_moedl_lb_penalty",
                                  A2,
                                  "b1_moedl_e2_k1",
                                  "b2_moedl_e4_k1",
                                  "b4_moedl_e16_k1",
                                  "c2_moedl_e16_k2",
                                  C3,
                                  "c4_moedl_e64_k8",
                                  "d2_moedl_s1_k3_e31",
                                  "d3_moedl_s2_k2_e30",
                                  "d4_moedl_s3_k1_e29",
                                  "e1_moedl_cf_1_0",
                                  "e2_moedl_cf_1_5",
                                  "e3_moedl_cf_2_0",
                                  "e4_moedl_cf_2_5",
                                  "b20_moedl_e4_k1_4ep"};

static const struct run_need need_llama = {SOURCE_D_SUITE, llama, COUNT(llama), source_d_protocols, 1,
                                           NULL,           NULL};
static const struct run_need need_scaled = {
    SOURCE_D_SUITE, scaled, COUNT(scaled), source_d_protocols + D_CORRECTED, 1, NULL, NULL};
static const struct run_need need_without_bias = BOTH(without_bias, NULL);
static const struct run_need need_added = {
    SOURCE_D_SUITE, added, COUNT(added), source_d_protocols + D_CORRECTED, 1, NULL, NULL};
static const struct run_need need_added_and_llama = {
    SOURCE_D_SUITE, added, COUNT(added), source_d_protocols + D_CORRECTED, 1, &need_llama, NULL};

const struct run_need source_d_need_parity = {SOURCE_D_SUITE, dense, COUNT(dense), source_d_protocols, 1,
                                              &need_llama,    NULL};
const struct run_need source_d_need_balancing = BOTH(balancing, NULL);
const struct run_need source_d_need_scaling = BOTH(scaling, NULL);
const struct run_need source_d_need_granularity = BOTH(granularity, NULL);
const struct run_need source_d_need_shared = BOTH(shared, NULL);
const struct run_need source_d_need_capacity = BOTH(capacity, NULL);
const struct run_need source_d_need_shapes = BOTH(question, NULL);
const struct run_need source_d_need_question = BOTH(question, &need_scaled);
const struct run_need source_d_need_training = BOTH(question, &need_without_bias);
const struct run_need source_d_need_router = BOTH(router, NULL);
const struct run_need source_d_need_bias_rules = {
    SOURCE_D_SUITE, bias_rules, COUNT(bias_rules), source_d_protocols + D_CORRECTED, 1, NULL, NULL};
const struct run_need source_d_need_routing = {
    SOURCE_D_SUITE, all + 1, COUNT(all) - 2, source_d_protocols, D_PROTOCOLS, &need_added, NULL};
const struct run_need source_d_need_all = BOTH(all, &need_added_and_llama);

/* ---- the figures */

#define LOAD_CAPTION                                                                                         \
    "Share of the slots that each expert was given in a training batch, averaged over the layers: stacked, " \
    "and as lines. The number of an expert means nothing in another layer, so that the average hides what "  \
    "happens within one; the dashed line shows it."
#define HEATMAP_CAPTION                                                                                      \
    "How far the share of each expert of each layer is from an equal one, in percentage points, while the "  \
    "model trains."

const struct figure source_d_figures[] = {
    {"d-dense-parity", "D", "Two dense models of the same architecture",
     "Validation loss of the reference implementation and of the document's own model without experts, which "
     "are one architecture trained from different random numbers, and the difference of the two.",
     &source_d_need_parity, draw_d_dense_parity, NULL},
    {"d-scaling", "D", "Loss against the number of experts",
     "Validation loss of models with one active expert among more and more, under both protocols; less that "
     "of the dense model, whose active size is the same; and the published differences.",
     &source_d_need_scaling, draw_d_scaling, NULL},
    {"d-granularity", "D", "Loss against the granularity of experts",
     "Experts are divided and their number multiplied, so that total and active size stay the same. Only "
     "the first row has one active expert.",
     &source_d_need_granularity, draw_d_granularity, NULL},
    {"d-shared", "D", "Loss against the number of shared experts",
     "Four active experts, of which more and more are shared by all tokens. Only the last row has one routed "
     "expert that is active.",
     &source_d_need_shared, draw_d_shared, NULL},
    {"d-capacity", "D", "Loss and dropped slots against the capacity factor",
     "Validation loss of models whose experts drop what exceeds their capacity in training, the difference "
     "from the same model without a limit, and the share of slots that were dropped.",
     &source_d_need_capacity, draw_d_capacity, NULL},
    {"d-k1-fix", "D", "One active expert: combine weight divided by itself, or not",
     "Validation loss less that of the dense model along three axes of the design: as the document reports "
     "it, and in our runs under both protocols. Where a single expert is active the published combine weight "
     "is its score divided by itself; the corrected one is the score. The score also makes the expert's "
     "output smaller: doubled, it begins near one.",
     &source_d_need_question, draw_d_k1_fix, NULL},
    {"d-router-gradient", "D", "Gradient of the routers during training",
     "Norm of the gradients of all routers, and its share of the norm of all gradients, on logarithmic axes. "
     "Two of the models route each token to one expert, two to several.",
     &source_d_need_router, draw_d_router_gradient, NULL},
    {"d-bias-rules", "D", "Three rules for the bias of the selection",
     "How evenly experts are loaded in training when the bias moves as in the document's code, as in its "
     "text, and by a constant step; and the loss that comes of it.",
     &source_d_need_bias_rules, draw_d_bias_rules, NULL},
    {"d-lr-sweep", "D", "Loss after a few steps against the learning rate",
     "Training loss at the end of short runs at many learning rates, and the rate with the smallest. Runs "
     "that "
     "ended with a number that is not finite, or above the loss they began with, stand in the stripe at the "
     "top. Bands are 95 % intervals over seeds.",
     &source_d_need_lr_sweep, draw_d_lr_sweep, NULL},
    {"d-training", "D", "Validation loss during training",
     "One panel for each family of experiments and protocol; the dense model is in every panel. Bands are "
     "95 % intervals over seeds.",
     &source_d_need_training, draw_d_training, NULL},
    {"d-load-balance", "D", "Balance of the load during training",
     "Largest share over the mean share, squared coefficient of variation and entropy of the load of the "
     "experts, batch by batch, on a logarithmic axis of steps: how fast each way of balancing works, how "
     "well, and whether it lasts. The lower and the upper half of the layers apart.",
     &source_d_need_balancing, draw_d_load_balance, NULL},
    {"d-load-a0", "D", "Expert load during training, a0: no balancing", LOAD_CAPTION,
     &source_d_need_balancing, draw_d_load_a0, NULL},
    {"d-load-a1", "D", "Expert load during training, a1: penalty", LOAD_CAPTION, &source_d_need_balancing,
     draw_d_load_a1, NULL},
    {"d-load-a2", "D", "Expert load during training, a2: bias", LOAD_CAPTION, &source_d_need_balancing,
     draw_d_load_a2, NULL},
    {"d-heatmap-a0", "D", "Distance from equal load during training, a0: no balancing", HEATMAP_CAPTION,
     &source_d_need_balancing, draw_d_heatmap_a0, motion_d_heatmap_a0},
    {"d-heatmap-a1", "D", "Distance from equal load during training, a1: penalty", HEATMAP_CAPTION,
     &source_d_need_balancing, draw_d_heatmap_a1, motion_d_heatmap_a1},
    {"d-heatmap-a2", "D", "Distance from equal load during training, a2: bias", HEATMAP_CAPTION,
     &source_d_need_balancing, draw_d_heatmap_a2, motion_d_heatmap_a2},
    {"d-heatmap-compare", "D", "Distance from equal load during training, three ways of balancing",
     HEATMAP_CAPTION " One scale of colours for all.", &source_d_need_balancing, draw_d_heatmap_compare,
     motion_d_heatmap_compare},
};
const int32_t source_d_figure_count = COUNT(source_d_figures);

bool source_d_runs_under(enum source_d_experiment experiment, enum source_d_protocol protocol) {
    if (experiment == D_LLAMA) return protocol == D_AS_PUBLISHED;
    return experiment < D_A2_TEXT || protocol == D_CORRECTED;
}

enum source_d_experiment source_d_scaled(enum source_d_experiment experiment) {
    switch (experiment) {
    case D_A2:
        return D_A2_SCALED;
    case D_B1:
        return D_B1_SCALED;
    case D_B4:
        return D_B4_SCALED;
    default:
        return D_EXPERIMENTS;
    }
}

struct run_group source_d_group(const struct report *report, enum source_d_experiment experiment,
                                enum source_d_protocol protocol) {
    if (!source_d_runs_under(experiment, protocol))
        protocol = protocol == D_CORRECTED ? D_AS_PUBLISHED : D_CORRECTED;
    return run_list_group(report->runs, SOURCE_D_SUITE, source_d_experiments[experiment],
                          source_d_protocols[protocol]);
}

moe_status source_d_pen(enum source_d_experiment experiment, struct plot_pen *out_pen, moe_err *err) {
    return style_of_experiment(SOURCE_D_SUITE, source_d_experiments[experiment], out_pen, err);
}

moe_status source_d_legend(struct plot *plot, const enum source_d_experiment *experiments, int32_t count,
                           enum plot_geom geom, moe_err *err) {
    moe_status status = MOE_OK;
    for (int32_t i = 0; i < count; i++) {
        struct plot_pen pen;
        moe_try(source_d_pen(experiments[i], &pen, err));
        plot_add_legend(plot, source_d_titles[experiments[i]], geom, &pen);
    }
out:
    return status;
}

void source_d_seeds(const struct report *report, const enum source_d_experiment *experiments, int32_t count,
                    char *out, size_t size) {
    struct run_group groups[D_EXPERIMENTS * D_PROTOCOLS];
    int32_t n = 0;
    for (int32_t i = 0; i < count && i < D_EXPERIMENTS; i++)
        for (int32_t p = 0; p < D_PROTOCOLS; p++)
            groups[n++] = source_d_group(report, experiments[i], (enum source_d_protocol)p);
    source_seeds(groups, n, out, size);
}
