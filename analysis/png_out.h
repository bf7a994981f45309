/* png_out.h - pixels to the bytes of a PNG file that says where it comes from.
 *
 * The compressor's settings are fixed and no time is stored: the same pixels and texts give the same bytes.
 * Pixels are indices into a palette (palette.h), which halves a figure: exact where they have at most 256
 * colours; of more, the frequent ones stay, and no shade of an edge is off by more than 24 levels of 255. A
 * picture that would be is written in full.
 */
#ifndef ANALYSIS_PNG_OUT_H
#define ANALYSIS_PNG_OUT_H

#include "analysis/plot.h"

/* A tEXt chunk. Keyword: 1 to 79 printable ASCII characters; text: printable ASCII and newlines. */
struct png_text {
    const char *keyword, *text;
};

/* Encodes into memory; *out_data is malloc'ed. MOE_EARG: no pixels, or a text that is not ASCII; MOE_ENOMEM.
 */
moe_status png_encode(const struct plot_image *image, const struct png_text *texts, int32_t num_texts,
                      unsigned char **out_data, size_t *out_size, moe_err *err);

#endif
