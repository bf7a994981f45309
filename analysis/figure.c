#include "analysis/figure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/figures/source_a.h"
#include "analysis/figures/source_b.h"
#include "analysis/figures/source_c.h"
#include "analysis/figures/source_d.h"
#include "analysis/gif_out.h"
#include "analysis/png_out.h"
#include "analysis/style.h"
#include "core/file.h"
#include "core/text.h"

#define MAX_FIGURES 256

const struct figure *figure_at(int32_t index) {
    const struct {
        const struct figure *figures;
        int32_t count;
    } sources[] = {{source_a_figures, source_a_figure_count},
                   {source_b_figures, source_b_figure_count},
                   {source_c_figures, source_c_figure_count},
                   {source_d_figures, source_d_figure_count}};
    int32_t rest = index;
    for (size_t s = 0; rest >= 0 && s < sizeof sources / sizeof sources[0]; s++) {
        if (rest < sources[s].count) return &sources[s].figures[rest];
        rest -= sources[s].count;
    }
    return NULL;
}

moe_status figure_find(const char *id, const struct figure **out_figure, moe_err *err) {
    const char *ids[MAX_FIGURES];
    size_t count = 0;
    const struct figure *figure;
    for (int32_t i = 0; (figure = figure_at(i)) != NULL && count < MAX_FIGURES; i++) {
        if (strcmp(figure->id, id) == 0) {
            *out_figure = figure;
            return MOE_OK;
        }
        ids[count++] = figure->id;
    }
    const char *nearest = text_nearest(id, ids, count);
    return nearest != NULL
               ? moe_fail(err, MOE_ENOTFOUND, "no figure \"%s\"; did you mean \"%s\"?", id, nearest)
               : moe_fail(err, MOE_ENOTFOUND, "no figure \"%s\"; `moe-report figure --list` lists them", id);
}

void figure_file_name(const struct figure *figure, char out[FIGURE_NAME_MAX]) {
    snprintf(out, FIGURE_NAME_MAX, "%s.%s", figure->id, figure->motion == NULL ? "png" : "gif");
}

static moe_status draw_frame(struct report *report, const struct figure *figure, int32_t frame, double scale,
                             struct plot_image *out_image, moe_err *err) {
    moe_status status = MOE_OK;
    struct plot *plot = NULL;
    moe_try(figure->draw(report, frame, &plot, err));
    moe_try(plot_render(plot, scale, out_image, err));
out:
    plot_free(plot);
    return status;
}

static moe_status encode_still(struct report *report, const struct figure *figure, const char *command,
                               unsigned char **out_data, size_t *out_size, moe_err *err) {
    moe_status status = MOE_OK;
    struct plot_image image = {0};
    char *runs = NULL;
    moe_try(draw_frame(report, figure, 0, STYLE_SCALE, &image, err));
    moe_try(run_list_used(report->runs, &runs, err));
    const struct png_text texts[] = {{"Title", figure->title},
                                     {"Software", "moe-report " MOE_VERSION},
                                     {"Command", command},
                                     {"Runs", runs}};
    moe_try(png_encode(&image, texts, 4, out_data, out_size, err));
out:
    plot_image_free(&image);
    free(runs);
    return status;
}

static moe_status encode_animation(struct report *report, const struct figure *figure, const char *command,
                                   unsigned char **out_data, size_t *out_size, moe_err *err) {
    moe_status status = MOE_OK;
    struct plot_image *images = NULL;
    char *runs = NULL;
    char *comment = NULL;
    struct text t = {0};
    struct figure_motion motion = {0};
    moe_try(figure->motion(report, &motion, err));
    images = calloc((size_t)motion.frames + 1, sizeof *images);
    moe_check(images != NULL, err, MOE_ENOMEM, "figure %s: cannot allocate %d frames", figure->id,
              motion.frames);
    for (int32_t f = 0; f < motion.frames; f++)
        moe_try(draw_frame(report, figure, f, 1.0, &images[f], err));
    moe_try(run_list_used(report->runs, &runs, err));
    text_append(&t, "Title: %s\nSoftware: moe-report %s\nCommand: %s\nRuns:\n%s", figure->title, MOE_VERSION,
                command, runs);
    moe_try(text_take(&t, &comment, err));
    const struct gif_animation animation = {.frames = images,
                                            .num_frames = motion.frames,
                                            .delay = motion.delay,
                                            .last_delay = motion.last_delay,
                                            .comment = comment};
    moe_try(gif_encode(&animation, out_data, out_size, err));
out:
    for (int32_t f = 0; images != NULL && f < motion.frames; f++)
        plot_image_free(&images[f]);
    free(images);
    free(runs);
    free(comment);
    text_free(&t);
    return status;
}

moe_status figure_encode(struct report *report, const struct figure *figure, unsigned char **out_data,
                         size_t *out_size, moe_err *err) {
    moe_status status = MOE_OK;
    char what[FIGURE_NAME_MAX + 16];
    char command[FIGURE_NAME_MAX + 64];
    snprintf(what, sizeof what, "figure %s", figure->id);
    snprintf(command, sizeof command, "moe-report figure %s --tier %s", figure->id,
             run_list_tier(report->runs));
    moe_try(run_list_require(report->runs, figure->need, what, err));
    run_list_forget_used(report->runs);
    if (figure->motion == NULL) {
        moe_try(encode_still(report, figure, command, out_data, out_size, err));
    } else {
        moe_try(encode_animation(report, figure, command, out_data, out_size, err));
    }
out:
    return status;
}

moe_status figure_write(struct report *report, const struct figure *figure, const char *folder,
                        char **out_path, moe_err *err) {
    moe_status status = MOE_OK;
    unsigned char *data = NULL;
    size_t size = 0;
    char *path = NULL;
    char name[FIGURE_NAME_MAX];
    figure_file_name(figure, name);
    moe_try(figure_encode(report, figure, &data, &size, err));
    path = path_join(folder, name);
    moe_check(path != NULL, err, MOE_ENOMEM, "%s: no memory for a path", name);
    moe_try(file_make_parents(path, err));
    moe_try(file_write_atomic(path, data, size, err));
    if (out_path != NULL) {
        *out_path = path;
        path = NULL;
    }
out:
    free(path);
    free(data);
    return status;
}
