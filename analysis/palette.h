/* palette.h - few colours for pictures that have many.
 *
 * A drawing has flat areas, lines and texts in few colours, and thousands of shades where their edges blend.
 * The colours that are most frequent stay as they are; the others of the palette are chosen so that the
 * shade that is worst off is as near to one of them as can be (farthest point first, Gonzalez 1985).
 */
#ifndef ANALYSIS_PALETTE_H
#define ANALYSIS_PALETTE_H

#include "analysis/plot.h"

#define PALETTE_MAX 256

struct palette_entry; /* what colour stands for a colour */

struct palette {
    uint32_t colours[PALETTE_MAX]; /* [size] 0xrrggbb */
    int32_t size;
    int32_t error; /* by how much a channel of a pixel differs at most; 0: every colour has its place */
    struct palette_entry *table;
    size_t capacity, used; /* of the table */
};

/* A palette of at most `room` colours for all of these pictures; free with palette_free(). MOE_ENOMEM. */
moe_status palette_make(const struct plot_image *images, int32_t count, int32_t room, struct palette *out,
                        moe_err *err);
void palette_free(struct palette *palette);

/* Indices of the pixels [height, width] of one of the pictures that the palette was made for. */
void palette_index(const struct palette *palette, const struct plot_image *image, uint8_t *out);

#endif
