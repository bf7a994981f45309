/* load_course.h - the load of every expert over training, from the recorded training steps of a run.
 */
#ifndef ANALYSIS_LOAD_COURSE_H
#define ANALYSIS_LOAD_COURSE_H

#include "analysis/select.h"

/* Of one run. A point is the mean over `bin` neighbouring records (the last one of what is left). */
struct load_course {
    int32_t n, layers, experts;
    int32_t bin;      /* records a point */
    int64_t interval; /* optimizer steps from one record to the next */
    double *step;     /* [n] mean over the point's records */
    double *shares; /* [n, layers, experts] share of the layer's slots that chose the expert, before any drop;
                       sums to 1 over the experts, or is 0 where no slot was routed. NaN: the layer has no
                       such expert */
};

/* At most max_points points (> 0), of as few records each as that allows. MOE_ENOTFOUND: the run records no
 * routing. MOE_EFORMAT. Free with load_course_free(). */
moe_status load_course_of_run(struct run_list *list, const struct run_file *file, int32_t max_points,
                              struct load_course *out, moe_err *err);
void load_course_free(struct load_course *course);

/* Keeps one row of the layer axis, and of it the experts that it has. */
void load_course_keep(struct load_course *course, int32_t row);

/* Makes points of several again: point i the mean of those from the end of the last on up to, and without,
 * ends[i], which rise from above 0 to course->n. [count] */
void load_course_merge(struct load_course *course, const int32_t *ends, int32_t count);

/* Mean over the layers of an expert's share at a point. */
double load_course_mean(const struct load_course *course, int32_t point, int32_t expert);

/* Mean over the layers of the largest share in a layer: what averaging over layers hides, because an expert's
 * number means nothing in another layer. */
double load_course_largest(const struct load_course *course, int32_t point);

/* |share - 1 / experts of the layer| in percentage points, [layers, experts] (Moedl's heatmap); NaN where the
 * layer has no such expert. */
void load_course_deviation(const struct load_course *course, int32_t point, double *out);

#endif
