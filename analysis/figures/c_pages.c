/* Pages of source C, one for each domain of the evaluation: the patterns of figures 2 and 4 to 7. */
#include <stdio.h>

#include "analysis/figures/source_c.h"

const struct c_chart c_patterns[C_PATTERNS] = {
    {.title = "size and number",
     .x = AXIS_GRANULARITY,
     .line = AXIS_SPARSITY,
     .split = C_NONE,
     .varied = C_NONE,
     .minus_dense = true},
    {.title = "two sizes",
     .x = AXIS_SPARSITY,
     .line = AXIS_GRANULARITY,
     .split = AXIS_SECOND,
     .varied = C_NONE,
     .minus_dense = true},
    {.title = "generalist",
     .x = AXIS_SPARSITY,
     .line = AXIS_GENERALIST,
     .split = C_NONE,
     .varied = AXIS_GENERALIST,
     .minus_dense = true,
     .at_usual_g = true},
    {.title = "capacity",
     .x = AXIS_SPARSITY,
     .line = AXIS_CAPACITY,
     .split = C_NONE,
     .varied = AXIS_CAPACITY,
     .minus_dense = true,
     .at_usual_g = true},
    {.title = "balance",
     .x = AXIS_SPARSITY,
     .line = AXIS_ALPHA,
     .split = AXIS_GAMMA,
     .varied = AXIS_GAMMA,
     .minus_dense = true,
     .at_usual_g = true},
};

static const char *const any[] = {"*"};

static moe_status draw_page(struct report *report, const char *domain, struct plot **out_plot, moe_err *err) {
    char title[96];
    const struct c_figure page = {.title = title,
                                  .note =
                                      "Validation loss in the domain less that of the dense model with as "
                                      "many active parameters, seed by seed.",
                                  .charts = c_patterns,
                                  .num_charts = C_PATTERNS,
                                  .column = C_NONE,
                                  .column_split = C_NONE,
                                  .panel_height = 150.0,
                                  .domain = domain};
    snprintf(title, sizeof title, "All patterns in one domain: %s", domain);
    return c_draw(report, &page, out_plot, err);
}

#define PAGE_OF(name)                                                                                        \
    const struct run_need source_c_need_##name = {SLICING_SUITE,     any,  1,    slicing_protocols,          \
                                                  SLICING_PROTOCOLS, NULL, #name};                           \
    moe_status draw_c_##name(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err) {   \
        (void)frame;                                                                                         \
        return draw_page(report, #name, out_plot, err);                                                      \
    }
C_EACH_DOMAIN(PAGE_OF)
