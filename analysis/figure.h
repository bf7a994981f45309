/* figure.h - the registry of figures, and drawing one of them to its file. */
#ifndef ANALYSIS_FIGURE_H
#define ANALYSIS_FIGURE_H

#include "analysis/plot.h"
#include "analysis/report.h"
#include "analysis/run_need.h"

/* An animation: how many frames, and for how many hundredths of a second each and the last of them stay. */
struct figure_motion {
    int32_t frames, delay, last_delay;
};

struct figure {
    const char *id;      /* "a-entropy": the file is ID.png or ID.gif */
    const char *source;  /* "A" */
    const char *title;   /* ASCII */
    const char *caption; /* for the report: one or two sentences on how to read it; no numbers */
    const struct run_need *need;
    /* Builds the figure, or frame `frame` of an animation. Only for a report that has the runs of `need`. */
    moe_status (*draw)(struct report *report, int32_t frame, struct plot **out_plot, moe_err *err);
    /* Of an animation. NULL for a still figure. */
    moe_status (*motion)(struct report *report, struct figure_motion *out_motion, moe_err *err);
};

/* The index-th figure, or NULL behind the last. */
const struct figure *figure_at(int32_t index);

/* MOE_ENOTFOUND names the nearest. */
moe_status figure_find(const char *id, const struct figure **out_figure, moe_err *err);

/* "a-entropy.png"; out has room for FIGURE_NAME_MAX. */
#define FIGURE_NAME_MAX 128
void figure_file_name(const struct figure *figure, char out[FIGURE_NAME_MAX]);

/* The file's bytes, malloc'ed. MOE_ENOTFOUND says which runs are missing. */
moe_status figure_encode(struct report *report, const struct figure *figure, unsigned char **out_data,
                         size_t *out_size, moe_err *err);

/* Draws the figure into its file below folder, which is replaced at once; *out_path (may be NULL) is
 * malloc'ed. */
moe_status figure_write(struct report *report, const struct figure *figure, const char *folder,
                        char **out_path, moe_err *err);

#endif
