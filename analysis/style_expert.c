#include "analysis/style.h"

/* Okabe and Ito 2008, with the sand of Tol's muted scheme (technical note SRON/EPS/TN/09-002) for their
 * yellow, which is too light for a line on paper. Neighbours contrast: they touch in stacked areas. */
static const struct plot_colour experts_of_few[] = {
    {0x00 / 255.0, 0x72 / 255.0, 0xb2 / 255.0}, {0xe6 / 255.0, 0x9f / 255.0, 0x00 / 255.0},
    {0x56 / 255.0, 0xb4 / 255.0, 0xe9 / 255.0}, {0xd5 / 255.0, 0x5e / 255.0, 0x00 / 255.0},
    {0x00 / 255.0, 0x9e / 255.0, 0x73 / 255.0}, {0xdd / 255.0, 0xcc / 255.0, 0x77 / 255.0},
    {0x00 / 255.0, 0x00 / 255.0, 0x00 / 255.0}, {0xcc / 255.0, 0x79 / 255.0, 0xa7 / 255.0},
};

struct plot_colour style_expert(int32_t expert, int32_t experts) {
    const int32_t few = sizeof experts_of_few / sizeof experts_of_few[0];
    return experts <= few ? experts_of_few[expert] : style_sequential((expert + 0.5) / experts);
}
