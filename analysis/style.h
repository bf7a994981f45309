/* style.h - one look for all figures: which experiment has which colour and mark, and the sizes of things.
 *
 * Colours: Okabe and Ito 2008, chosen to be told apart with any kind of colour vision. Experiments also
 * differ in their markers, so that a grey print can be read.
 */
#ifndef ANALYSIS_STYLE_H
#define ANALYSIS_STYLE_H

#include "analysis/plot.h"

/* Okabe-Ito */
#define STYLE_BLACK      ((struct plot_colour){0x00 / 255.0, 0x00 / 255.0, 0x00 / 255.0})
#define STYLE_ORANGE     ((struct plot_colour){0xe6 / 255.0, 0x9f / 255.0, 0x00 / 255.0})
#define STYLE_SKY        ((struct plot_colour){0x56 / 255.0, 0xb4 / 255.0, 0xe9 / 255.0})
#define STYLE_GREEN      ((struct plot_colour){0x00 / 255.0, 0x9e / 255.0, 0x73 / 255.0})
#define STYLE_YELLOW     ((struct plot_colour){0xf0 / 255.0, 0xe4 / 255.0, 0x42 / 255.0})
#define STYLE_BLUE       ((struct plot_colour){0x00 / 255.0, 0x72 / 255.0, 0xb2 / 255.0})
#define STYLE_VERMILLION ((struct plot_colour){0xd5 / 255.0, 0x5e / 255.0, 0x00 / 255.0})
#define STYLE_PURPLE     ((struct plot_colour){0xcc / 255.0, 0x79 / 255.0, 0xa7 / 255.0})

/* Paper and ink */
#define STYLE_INK   ((struct plot_colour){0.13, 0.13, 0.13}) /* text and axes */
#define STYLE_MUTED ((struct plot_colour){0.35, 0.35, 0.35}) /* notes, reference lines */
#define STYLE_GRID  ((struct plot_colour){0.87, 0.87, 0.87})
#define STYLE_SHADE ((struct plot_colour){0.90, 0.90, 0.90}) /* stripes: a published range */

/* Points of the page; at half width (800 pixels) the smallest text has 10 pixels an em. */
#define STYLE_PAGE_WIDTH  800.0
#define STYLE_SCALE       2.0
#define STYLE_TITLE_SIZE  16.0
#define STYLE_HEAD_SIZE   13.5 /* of a row of panels */
#define STYLE_PANEL_SIZE  12.5
#define STYLE_LABEL_SIZE  12.0
#define STYLE_TICK_SIZE   11.5
#define STYLE_NOTE_SIZE   10.5
#define STYLE_LINE_WIDTH  1.8
#define STYLE_MARKER_SIZE 6.0

/* The pen of an experiment: line, marker and colour. MOE_ENOTFOUND if the table (style.c) lacks it. */
moe_status style_of_experiment(const char *suite, const char *experiment, struct plot_pen *out_pen,
                               moe_err *err);

/* Colour of the parts of a step, the same in every figure. */
struct plot_colour style_forward(void);
struct plot_colour style_backward(void);
struct plot_colour style_optimizer(void);

/* Colour of expert `expert` of `experts`: up to eight differ for any kind of colour vision; more follow the
 * sequential map. */
struct plot_colour style_expert(int32_t expert, int32_t experts);

/* Sequential colour map from dark blue over green to yellow (viridis), at 0..1. */
struct plot_colour style_sequential(double at);

#endif
