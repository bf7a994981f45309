#include "analysis/load_course.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Shares of one layer: [experts] loads, of which those that the layer lacks are -1. */
static void add_shares(const double *load, int32_t experts, double weight, double *shares) {
    double sum = 0.0;
    for (int32_t e = 0; e < experts; e++)
        sum += load[e] > 0.0 ? load[e] : 0.0;
    for (int32_t e = 0; e < experts; e++)
        shares[e] += load[e] < 0.0 ? NAN : sum > 0.0 ? weight * load[e] / sum : 0.0;
}

static moe_status read_loads(struct run_list *list, const struct run_file *file, double **out_step,
                             double **out_load, int64_t dims[4], moe_err *err) {
    moe_status status = MOE_OK;
    int64_t rows[4];
    int32_t rank = 0;
    moe_check(file->info.axes.moe_layers > 0 && file->info.rows[RUN_ROUTING] > 0, err, MOE_ENOTFOUND,
              "%s: no routing of training steps is recorded", file->path);
    moe_try(run_list_array(list, file, "/routing/step", out_step, rows, &rank, err));
    moe_try(run_list_array(list, file, "/routing/load", out_load, dims, &rank, err));
    moe_check(rank == 3 && dims[0] == rows[0] && dims[0] <= INT32_MAX && dims[1] * dims[2] > 0, err,
              MOE_EFORMAT, "%s: /routing/load does not have a row for each of the %lld of /routing/step",
              file->path, (long long)rows[0]);
out:
    return status;
}

moe_status load_course_of_run(struct run_list *list, const struct run_file *file, int32_t max_points,
                              struct load_course *out, moe_err *err) {
    moe_status status = MOE_OK;
    double *step = NULL;
    double *load = NULL;
    int64_t dims[4];
    *out = (struct load_course){0};
    moe_try(read_loads(list, file, &step, &load, dims, err));
    const int32_t records = (int32_t)dims[0];
    const int64_t cells = dims[1] * dims[2];
    out->bin = 1 + (records - 1) / max_points;
    out->n = 1 + (records - 1) / out->bin;
    out->layers = (int32_t)dims[1];
    out->experts = (int32_t)dims[2];
    out->interval = records > 1 ? (int64_t)(step[1] - step[0]) : 1;
    out->step = calloc((size_t)out->n, sizeof *out->step);
    out->shares = calloc((size_t)(out->n * cells), sizeof *out->shares);
    moe_check(out->step != NULL && out->shares != NULL, err, MOE_ENOMEM,
              "%s: cannot allocate the load of %d steps", file->path, records);
    for (int32_t r = 0; r < records; r++) {
        const int32_t point = r / out->bin;
        const int32_t first = point * out->bin;
        const double weight = 1.0 / (records - first < out->bin ? records - first : out->bin);
        out->step[point] += weight * step[r];
        for (int64_t l = 0; l < dims[1]; l++)
            add_shares(load + r * cells + l * dims[2], out->experts, weight,
                       out->shares + point * cells + l * dims[2]);
    }
out:
    free(step);
    free(load);
    if (status != MOE_OK) load_course_free(out);
    return status;
}

void load_course_free(struct load_course *course) {
    free(course->step);
    free(course->shares);
    *course = (struct load_course){0};
}

void load_course_keep(struct load_course *course, int32_t row) {
    const int64_t cells = (int64_t)course->layers * course->experts;
    const int64_t from = (int64_t)row * course->experts;
    int32_t experts = 0;
    while (experts < course->experts && !isnan(course->shares[from + experts]))
        experts++;
    for (int32_t i = 0; i < course->n; i++)
        memmove(course->shares + (int64_t)i * experts, course->shares + i * cells + from,
                (size_t)experts * sizeof *course->shares);
    course->layers = 1;
    course->experts = experts;
}

void load_course_merge(struct load_course *course, const int32_t *ends, int32_t count) {
    const int64_t cells = (int64_t)course->layers * course->experts;
    int32_t begin = 0;
    for (int32_t i = 0; i < count; begin = ends[i++]) {
        const double weight = 1.0 / (ends[i] - begin);
        double step = 0.0;
        for (int32_t from = begin; from < ends[i]; from++)
            step += weight * course->step[from];
        course->step[i] = step;
        for (int64_t c = 0; c < cells; c++) {
            double share = 0.0;
            for (int32_t from = begin; from < ends[i]; from++)
                share += weight * course->shares[from * cells + c];
            course->shares[i * cells + c] = share; /* i <= begin: nothing is read again */
        }
    }
    course->n = count;
}

static const double *layer_shares(const struct load_course *course, int32_t point, int32_t layer) {
    return course->shares + ((int64_t)point * course->layers + layer) * course->experts;
}

double load_course_mean(const struct load_course *course, int32_t point, int32_t expert) {
    double sum = 0.0;
    int32_t layers = 0;
    for (int32_t l = 0; l < course->layers; l++) {
        const double share = layer_shares(course, point, l)[expert];
        if (isnan(share)) continue;
        sum += share;
        layers++;
    }
    return layers > 0 ? sum / layers : NAN;
}

double load_course_largest(const struct load_course *course, int32_t point) {
    double sum = 0.0;
    for (int32_t l = 0; l < course->layers; l++) {
        double largest = 0.0;
        for (int32_t e = 0; e < course->experts; e++)
            largest = fmax(largest, layer_shares(course, point, l)[e]);
        sum += largest;
    }
    return sum / course->layers;
}

void load_course_deviation(const struct load_course *course, int32_t point, double *out) {
    for (int32_t l = 0; l < course->layers; l++) {
        const double *shares = layer_shares(course, point, l);
        int32_t experts = 0;
        for (int32_t e = 0; e < course->experts; e++)
            experts += !isnan(shares[e]);
        for (int32_t e = 0; e < course->experts; e++)
            out[(int64_t)l * course->experts + e] = fabs(100.0 * shares[e] - 100.0 / experts);
    }
}
