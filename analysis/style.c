#include "analysis/style.h"

#include <math.h>
#include <string.h>

struct experiment_style {
    const char *suite, *experiment;
    struct plot_colour colour;
    enum plot_marker marker;
};

/* Wide enough for a suite's main experiments; a new one takes a row here. */
static const struct experiment_style table[] = {
    {"moe-vs-dense", "dense", {0.0, 0.0, 0.0}, MARKER_CIRCLE},
    {"moe-vs-dense", "baseline", {0x00 / 255.0, 0x72 / 255.0, 0xb2 / 255.0}, MARKER_SQUARE},
    {"moe-vs-dense", "top2", {0xd5 / 255.0, 0x5e / 255.0, 0x00 / 255.0}, MARKER_TRIANGLE},
    {"moe-vs-dense", "strong_reg", {0x00 / 255.0, 0x9e / 255.0, 0x73 / 255.0}, MARKER_DIAMOND},
    {"moe-vs-dense", "throughput_opt", {0xcc / 255.0, 0x79 / 255.0, 0xa7 / 255.0}, MARKER_TRIANGLE_DOWN},
    {"cifar-hierarchy", "flat", {0x00 / 255.0, 0x72 / 255.0, 0xb2 / 255.0}, MARKER_SQUARE},
    {"cifar-hierarchy", "hierarchical", {0xd5 / 255.0, 0x5e / 255.0, 0x00 / 255.0}, MARKER_TRIANGLE},
    {"cifar-hierarchy", "hierarchical_gshard", {0x00 / 255.0, 0x9e / 255.0, 0x73 / 255.0}, MARKER_DIAMOND},
    {"cifar-hierarchy", "dense_active", {0x00 / 255.0, 0x00 / 255.0, 0x00 / 255.0}, MARKER_CIRCLE},
    {"cifar-hierarchy", "dense_total", {0x80 / 255.0, 0x80 / 255.0, 0x80 / 255.0}, MARKER_TRIANGLE_DOWN},
    /* A family has one hue and grows darker; a2 stands in families b, c and e too, c3 in d. What
     * is scaled has the colour of what it scales. */
    {"moedl", "00_llama2_ref", {0x80 / 255.0, 0x80 / 255.0, 0x80 / 255.0}, MARKER_SQUARE},
    {"moedl", "01_moedl_dense", {0x00 / 255.0, 0x00 / 255.0, 0x00 / 255.0}, MARKER_CIRCLE},
    {"moedl", "a0_moedl_no_lb", {0xe6 / 255.0, 0x9f / 255.0, 0x00 / 255.0}, MARKER_CIRCLE},
    {"moedl", "a1_moedl_lb_penalty", {0x00 / 255.0, 0x9e / 255.0, 0x73 / 255.0}, MARKER_SQUARE},
    {"moedl", "a1_per_layer", {0x88 / 255.0, 0x22 / 255.0, 0x55 / 255.0}, MARKER_TRIANGLE_DOWN},
    {"moedl", "a2_moedl_lb_biasing", {0x00 / 255.0, 0x72 / 255.0, 0xb2 / 255.0}, MARKER_TRIANGLE},
    {"moedl", "a2_bias_text", {0xcc / 255.0, 0x66 / 255.0, 0x77 / 255.0}, MARKER_DIAMOND},
    {"moedl", "a2_bias_sign", {0x44 / 255.0, 0xaa / 255.0, 0x99 / 255.0}, MARKER_TRIANGLE_DOWN},
    {"moedl", "a2_scaled", {0x00 / 255.0, 0x72 / 255.0, 0xb2 / 255.0}, MARKER_TRIANGLE_DOWN},
    {"moedl", "b1_scaled", {0x9e / 255.0, 0xca / 255.0, 0xe1 / 255.0}, MARKER_TRIANGLE_DOWN},
    {"moedl", "b4_scaled", {0x08 / 255.0, 0x30 / 255.0, 0x6b / 255.0}, MARKER_TRIANGLE_DOWN},
    {"moedl", "b1_moedl_e2_k1", {0x9e / 255.0, 0xca / 255.0, 0xe1 / 255.0}, MARKER_CIRCLE},
    {"moedl", "b2_moedl_e4_k1", {0x56 / 255.0, 0xb4 / 255.0, 0xe9 / 255.0}, MARKER_SQUARE},
    {"moedl", "b4_moedl_e16_k1", {0x08 / 255.0, 0x30 / 255.0, 0x6b / 255.0}, MARKER_DIAMOND},
    {"moedl", "b20_moedl_e4_k1_4ep", {0x99 / 255.0, 0x99 / 255.0, 0x33 / 255.0}, MARKER_TRIANGLE_DOWN},
    {"moedl", "c2_moedl_e16_k2", {0xf4 / 255.0, 0xa2 / 255.0, 0x61 / 255.0}, MARKER_SQUARE},
    {"moedl", "c3_moedl_e32_k4", {0xd5 / 255.0, 0x5e / 255.0, 0x00 / 255.0}, MARKER_CIRCLE},
    {"moedl", "c4_moedl_e64_k8", {0x7f / 255.0, 0x27 / 255.0, 0x04 / 255.0}, MARKER_DIAMOND},
    {"moedl", "d2_moedl_s1_k3_e31", {0xe3 / 255.0, 0xa8 / 255.0, 0xc8 / 255.0}, MARKER_SQUARE},
    {"moedl", "d3_moedl_s2_k2_e30", {0xb5 / 255.0, 0x58 / 255.0, 0x9a / 255.0}, MARKER_TRIANGLE},
    {"moedl", "d4_moedl_s3_k1_e29", {0x5c / 255.0, 0x10 / 255.0, 0x49 / 255.0}, MARKER_DIAMOND},
    {"moedl", "e1_moedl_cf_1_0", {0xb7 / 255.0, 0xd9 / 255.0, 0x8b / 255.0}, MARKER_CIRCLE},
    {"moedl", "e2_moedl_cf_1_5", {0x6f / 255.0, 0xb2 / 255.0, 0x55 / 255.0}, MARKER_SQUARE},
    {"moedl", "e3_moedl_cf_2_0", {0x2f / 255.0, 0x85 / 255.0, 0x40 / 255.0}, MARKER_TRIANGLE_DOWN},
    {"moedl", "e4_moedl_cf_2_5", {0x0b / 255.0, 0x4a / 255.0, 0x24 / 255.0}, MARKER_DIAMOND},
};

moe_status style_of_experiment(const char *suite, const char *experiment, struct plot_pen *out_pen,
                               moe_err *err) {
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (strcmp(table[i].suite, suite) != 0 || strcmp(table[i].experiment, experiment) != 0) continue;
        *out_pen = (struct plot_pen){.colour = table[i].colour,
                                     .width = STYLE_LINE_WIDTH,
                                     .marker = table[i].marker,
                                     .marker_size = STYLE_MARKER_SIZE};
        return MOE_OK;
    }
    return moe_fail(err, MOE_ENOTFOUND, "%s/%s has no colour: add it to the table in analysis/style.c", suite,
                    experiment);
}

struct plot_colour style_forward(void) {
    return STYLE_SKY;
}

struct plot_colour style_backward(void) {
    return STYLE_ORANGE;
}

struct plot_colour style_optimizer(void) {
    return STYLE_MUTED; /* black is the dense model's */
}

struct plot_colour style_sequential(double at) {
    /* viridis at ninths (Smith and van der Walt 2015, CC0), linear in between */
    static const double anchors[][3] = {
        {0.267, 0.005, 0.329}, {0.282, 0.157, 0.471}, {0.243, 0.290, 0.538}, {0.192, 0.408, 0.557},
        {0.149, 0.510, 0.557}, {0.122, 0.619, 0.537}, {0.208, 0.718, 0.475}, {0.427, 0.804, 0.349},
        {0.706, 0.871, 0.173}, {0.993, 0.906, 0.144},
    };
    const double scaled = fmin(1.0, fmax(0.0, at)) * 9.0;
    const int below = scaled >= 9.0 ? 8 : (int)scaled;
    const double rest = scaled - below;
    const double *a = anchors[below];
    const double *b = anchors[below + 1];
    return (struct plot_colour){a[0] + rest * (b[0] - a[0]), a[1] + rest * (b[1] - a[1]),
                                a[2] + rest * (b[2] - a[2])};
}
