#include "analysis/expert_shares.h"

#include <math.h>
#include <stdlib.h>

#include "analysis/series.h"

/* The tensors of one group, /routing or /routing_eval. */
struct records {
    double *step, *load, *mass; /* [rows], [rows, layers, experts] */
    int64_t rows, layers, experts;
};

static void records_free(struct records *r) {
    free(r->step);
    free(r->load);
    free(r->mass);
}

static moe_status read_tensor(struct run_list *list, const struct run_file *file, const char *name,
                              struct records *r, double **out, moe_err *err) {
    moe_status status = MOE_OK;
    int64_t dims[4];
    int32_t rank = 0;
    moe_try(run_list_array(list, file, name, out, dims, &rank, err));
    moe_check(rank == 3 && dims[0] == r->rows && dims[1] == file->info.axes.moe_layers, err, MOE_EFORMAT,
              "%s: %s does not have a row for each of %lld steps", file->path, name, (long long)r->rows);
    r->layers = dims[1];
    r->experts = dims[2];
out:
    return status;
}

static moe_status read_records(struct run_list *list, const struct run_file *file, bool trained,
                               struct records *r, moe_err *err) {
    moe_status status = MOE_OK;
    int64_t dims[4];
    int32_t rank = 0;
    *r = (struct records){0};
    moe_try(run_list_array(list, file, trained ? "/routing/step" : "/routing_eval/step", &r->step, dims,
                           &rank, err));
    r->rows = dims[0];
    moe_check(r->rows > 0, err, MOE_ENOTFOUND, "%s: no %s recorded its routing", file->path,
              trained ? "training step" : "evaluation");
    moe_try(read_tensor(list, file, trained ? "/routing/load" : "/routing_eval/load", r, &r->load, err));
    moe_try(read_tensor(list, file, trained ? "/routing/prob_mass" : "/routing_eval/prob_mass", r, &r->mass,
                        err));
out:
    return status;
}

/* Shares over the rows [begin, end) together; a load of -1 stands for an expert that the layer lacks. */
static moe_status share_out(const struct records *r, enum share_of what, int32_t layer, int64_t begin,
                            int64_t end, double **out_shares, int32_t *out_count, moe_err *err) {
    const double *values = what == SHARE_OF_SLOTS ? r->load : r->mass;
    const double *first = r->load + (begin * r->layers + layer) * r->experts;
    double sum = 0.0;
    int32_t n = 0;
    while (n < r->experts && first[n] >= 0.0)
        n++;
    double *shares = calloc((size_t)n + 1, sizeof *shares);
    if (shares == NULL) return moe_fail(err, MOE_ENOMEM, "cannot allocate the shares of %d experts", n);
    for (int64_t i = begin; i < end; i++)
        for (int32_t e = 0; e < n; e++)
            shares[e] += values[(i * r->layers + layer) * r->experts + e];
    for (int32_t e = 0; e < n; e++)
        sum += shares[e];
    for (int32_t e = 0; e < n; e++)
        shares[e] = sum > 0.0 ? shares[e] / sum : NAN;
    *out_shares = shares;
    *out_count = n;
    return MOE_OK;
}

moe_status expert_shares_at(struct run_list *list, const struct run_file *file, enum share_of what,
                            int32_t layer, int64_t step, double **out_shares, int32_t *out_count,
                            moe_err *err) {
    moe_status status = MOE_OK;
    struct records r = {0};
    int32_t row = 0;
    moe_try(series_layer_row(list, file, layer, &row, err));
    moe_try(read_records(list, file, false, &r, err));
    int64_t at = r.rows - 1;
    while (step >= 0 && at > 0 && r.step[at] != (double)step)
        at--;
    moe_check(step < 0 || r.step[at] == (double)step, err, MOE_ENOTFOUND, "%s: no evaluation after step %lld",
              file->path, (long long)step);
    moe_try(share_out(&r, what, row, at, at + 1, out_shares, out_count, err));
out:
    records_free(&r);
    return status;
}

moe_status expert_shares_trained(struct run_list *list, const struct run_file *file, enum share_of what,
                                 int32_t layer, double from, double to, double **out_shares,
                                 int32_t *out_count, moe_err *err) {
    moe_status status = MOE_OK;
    struct records r = {0};
    int32_t row = 0;
    moe_try(series_layer_row(list, file, layer, &row, err));
    moe_try(read_records(list, file, true, &r, err));
    int64_t begin = (int64_t)floor(from * (double)r.rows);
    if (begin > r.rows - 1) begin = r.rows - 1;
    int64_t end = (int64_t)ceil(to * (double)r.rows);
    if (end <= begin) end = begin + 1;
    moe_try(share_out(&r, what, row, begin, end, out_shares, out_count, err));
out:
    records_free(&r);
    return status;
}
