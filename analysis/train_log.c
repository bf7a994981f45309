#include "analysis/train_log.h"

#include <stdlib.h>
#include <string.h>

#include "analysis/stats.h"

#define TRAINING_DOMAIN "training batches"

const char *const train_log_names[LOG_COLUMNS] = {"loss", "moe_loss", "accuracy", "seconds"};

/* /eval, column by column. */
struct evaluations {
    double *step, *domain, *column[LOG_SECONDS]; /* [rows] */
    int64_t rows;
};

static void evaluations_free(struct evaluations *e) {
    free(e->step);
    free(e->domain);
    for (int i = 0; i < LOG_SECONDS; i++)
        free(e->column[i]);
}

static moe_status read_column(struct run_list *list, const struct run_file *file, const char *name,
                              int64_t *rows, double **out, moe_err *err) {
    moe_status status = MOE_OK;
    int64_t dims[4];
    int32_t rank = 0;
    moe_try(run_list_array(list, file, name, out, dims, &rank, err));
    moe_check(rank == 1 && (*rows < 0 || dims[0] == *rows), err, MOE_EFORMAT,
              "%s: %s has %lld rows, expected %lld", file->path, name, (long long)dims[0], (long long)*rows);
    *rows = dims[0];
out:
    return status;
}

static moe_status read_evaluations(struct run_list *list, const struct run_file *file, struct evaluations *e,
                                   moe_err *err) {
    moe_status status = MOE_OK;
    static const char *const columns[LOG_SECONDS] = {"/eval/loss_ce", "/eval/loss_aux", "/eval/accuracy"};
    e->rows = -1;
    moe_try(read_column(list, file, "/eval/step", &e->rows, &e->step, err));
    moe_try(read_column(list, file, "/eval/domain", &e->rows, &e->domain, err));
    for (int i = 0; i < LOG_SECONDS; i++)
        moe_try(read_column(list, file, columns[i], &e->rows, &e->column[i], err));
out:
    return status;
}

/* The number of the domain that training batches are recorded as. */
static moe_status training_domain(struct run_list *list, const struct run_file *file, int32_t *out,
                                  moe_err *err) {
    moe_status status = MOE_OK;
    struct run_reader *reader = NULL;
    moe_try(run_list_reader(list, file, &reader, err));
    for (int32_t d = file->info.axes.domains - 1; d >= 0; d--) {
        *out = d;
        if (strcmp(run_reader_domain(reader, d), TRAINING_DOMAIN) == 0) goto out;
    }
    status = moe_fail(err, MOE_ENOTFOUND, "%s: the run does not record its training batches", file->path);
out:
    return status;
}

/* Median over the steps (from, to]. */
static moe_status median_seconds(struct run_list *list, const struct run_file *file, double from, double to,
                                 double *out, moe_err *err) {
    moe_status status = MOE_OK;
    double *step = NULL;
    double *seconds = NULL;
    int64_t rows = -1, n = 0;
    moe_try(read_column(list, file, "/timing/step", &rows, &step, err));
    moe_try(read_column(list, file, "/timing/step_seconds", &rows, &seconds, err));
    for (int64_t i = 0; i < rows; i++)
        if (step[i] > from && step[i] <= to) seconds[n++] = seconds[i];
    stats_sort(seconds, (int32_t)n);
    *out = stats_quantile_sorted(seconds, (int32_t)n, 0.5);
out:
    free(step);
    free(seconds);
    return status;
}

moe_status train_log_at(struct run_list *list, const struct run_file *file, int64_t step,
                        double out[LOG_COLUMNS], moe_err *err) {
    moe_status status = MOE_OK;
    struct evaluations e = {0};
    int32_t domain = 0;
    int64_t at = -1;
    double last = 0.0, before = 0.0;
    moe_try(training_domain(list, file, &domain, err));
    moe_try(read_evaluations(list, file, &e, err));
    for (int64_t i = 0; i < e.rows; i++) {
        if (e.domain[i] != domain) continue;
        if (step < 0 || e.step[i] == (double)step) {
            before = last;
            at = i;
        }
        last = e.step[i];
    }
    moe_check(at >= 0 && e.step[at] > before, err, MOE_ENOTFOUND,
              "%s: no training up to an evaluation at step %lld", file->path, (long long)step);
    for (int i = 0; i < LOG_SECONDS; i++)
        out[i] = e.column[i][at];
    moe_try(median_seconds(list, file, before, e.step[at], &out[LOG_SECONDS], err));
out:
    evaluations_free(&e);
    return status;
}
