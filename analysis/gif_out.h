/* gif_out.h - frames to the bytes of an animated GIF with one palette for all of them. */
#ifndef ANALYSIS_GIF_OUT_H
#define ANALYSIS_GIF_OUT_H

#include "analysis/plot.h"

struct gif_animation {
    const struct plot_image *frames; /* [num_frames], all of one size, at most 65535 pixels a side */
    int32_t num_frames;              /* >= 1 */
    int32_t delay;                   /* hundredths of a second that each frame stays */
    int32_t last_delay;              /* the same for the last frame; 0 = delay */
    const char *comment;             /* comment extension (where the pictures come from); NULL = none */
};

/* Encodes into memory; *out_data is malloc'ed. The animation repeats without end. The palette
 * (palette.h) has 255 colours (256 of a single frame) for all frames. Of each frame after the first only the
 * rectangle that changed is stored, and in it only the pixels that changed: the others are transparent, which
 * compresses well. The same frames give the same bytes. MOE_EARG, MOE_ENOMEM. */
moe_status gif_encode(const struct gif_animation *animation, unsigned char **out_data, size_t *out_size,
                      moe_err *err);

#endif
