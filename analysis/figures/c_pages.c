/* Pages of source C, one for each domain of the evaluation: the patterns of figures 2 and 4 to 7. */
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
#define NEED(name)                                                                                           \
    { SLICING_SUITE, any, 1, slicing_protocols, SLICING_PROTOCOLS, NULL, name }
const struct run_need source_c_domain_needs[C_DOMAINS] = {
    NEED("animals"), NEED("kitchen"), NEED("weather"),   NEED("school"),
    NEED("sea"),     NEED("market"),  NEED("wikitext2"), NEED("tinystories")};

#define PAGE_OF(name)                                                                                        \
    moe_status draw_c_##name(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err) {   \
        static const struct c_figure page = {.title = "All patterns in one domain: " #name,                  \
                                             .note = "Validation loss in the domain less that of the "       \
                                                     "dense model with as many active "                      \
                                                     "parameters, seed by seed.",                            \
                                             .charts = c_patterns,                                           \
                                             .num_charts = C_PATTERNS,                                       \
                                             .column = C_NONE,                                               \
                                             .column_split = C_NONE,                                         \
                                             .panel_height = 150.0,                                          \
                                             .domain = #name};                                               \
        (void)frame;                                                                                         \
        return c_draw(report, &page, out_plot, err);                                                         \
    }

PAGE_OF(animals)
PAGE_OF(kitchen)
PAGE_OF(weather)
PAGE_OF(school)
PAGE_OF(sea)
PAGE_OF(market)
PAGE_OF(wikitext2)
PAGE_OF(tinystories)
