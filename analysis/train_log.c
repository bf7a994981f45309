#include "analysis/train_log.h"

#include "analysis/series_steps.h"
#include "analysis/stats.h"

const char *const train_log_names[LOG_COLUMNS] = {"loss", "moe_loss", "accuracy", "seconds"};

/* By step; the seconds are those of every step, the others means up to an evaluation. */
static const char *const series[LOG_COLUMNS] = {"step_course_ce", "step_course_aux", "step_course_accuracy",
                                                "step_wall_seconds"};

/* Median over the steps (from, to]; NaN where none is recorded. */
static double median_between(struct series *s, double from, double to) {
    int32_t n = 0;
    for (int32_t i = 0; i < s->n; i++)
        if (s->x[i] > from && s->x[i] <= to) s->y[n++] = s->y[i];
    stats_sort(s->y, n);
    return stats_quantile_sorted(s->y, n, 0.5);
}

moe_status train_log_at(struct run_list *list, const struct run_file *file, int64_t step,
                        double out[LOG_COLUMNS], moe_err *err) {
    moe_status status = MOE_OK;
    struct series s = {0};
    double from = 0.0, to = 0.0;
    for (int column = 0; column < LOG_SECONDS; column++) {
        moe_try(series_steps_of_run(list, file, series[column], -1, 0, &s, err));
        int32_t at = s.n - 1;
        while (at > 0 && step >= 0 && s.x[at] > (double)step)
            at--;
        moe_check(at >= 0 && (step < 0 || s.x[at] == (double)step), err, MOE_ENOTFOUND,
                  "%s: no evaluation after step %lld", file->path, (long long)step);
        out[column] = s.y[at];
        from = at > 0 ? s.x[at - 1] : 0.0;
        to = s.x[at];
        series_free(&s);
    }
    moe_try(series_steps_of_run(list, file, series[LOG_SECONDS], -1, 0, &s, err));
    out[LOG_SECONDS] = median_between(&s, from, to);
out:
    series_free(&s);
    return status;
}
