/* plot_text.h - text as outlines of the shipped font: the same path on every machine.
 *
 * Glyphs are read unscaled and unhinted, and scaled in double precision here; neither fontconfig nor cairo's
 * text calls take part. Text is UTF-8; sizes and coordinates are in the units of the cairo context, y
 * downwards.
 */
#ifndef ANALYSIS_PLOT_TEXT_H
#define ANALYSIS_PLOT_TEXT_H

#include <cairo.h>

#include "analysis/assets/fonts.h"
#include "core/status.h"

struct plot_fonts;

enum text_align { ALIGN_START = 0, ALIGN_MIDDLE = 1, ALIGN_END = 2 }; /* left, centre, right of the anchor */
enum text_level {
    LEVEL_BASELINE = 0,
    LEVEL_MIDDLE = 1,
    LEVEL_TOP = 2
}; /* what of the text lies at the anchor's y */

struct text_style {
    enum font_face face;
    double size; /* em */
    enum text_align align;
    enum text_level level;
    bool upwards; /* turned by 90 degrees, reading upwards; align and level turn with it */
};

/* Opens the shipped faces. MOE_ENOMEM, MOE_EFORMAT. */
moe_status plot_fonts_open(struct plot_fonts **out_fonts, moe_err *err);
void plot_fonts_close(struct plot_fonts *fonts); /* NULL is allowed */

/* Advance width of a text, kerning included. */
double plot_text_width(const struct plot_fonts *fonts, enum font_face face, double size, const char *text);

/* Height of a capital letter: what looks like the height of a line of text. */
double plot_text_cap_height(const struct plot_fonts *fonts, enum font_face face, double size);

/* Makes the text at anchor (x, y) the context's path. */
void plot_text_path(cairo_t *cr, const struct plot_fonts *fonts, const struct text_style *style, double x,
                    double y, const char *text);

/* Fills the text with the context's source at anchor (x, y). */
void plot_text_draw(cairo_t *cr, const struct plot_fonts *fonts, const struct text_style *style, double x,
                    double y, const char *text);

/* Length in bytes of the first line of text that fits into width, broken at a space; at least one word. */
size_t plot_text_fit(const struct plot_fonts *fonts, enum font_face face, double size, const char *text,
                     double width);

/* Copies the first line of a text of several lines into line (cut to its size); returns the rest behind the
 * '\n'. */
const char *plot_text_line(const char *text, char *line, size_t size);

#endif
