#include "analysis/load_change.h"

#include <math.h>
#include <stdlib.h>

/* Share of each expert in one row, averaged over the layers; -1 stands for an expert that a layer lacks. */
static void shares_of_row(const double *load, int64_t layers, int64_t experts, double *out_shares) {
    for (int64_t e = 0; e < experts; e++)
        out_shares[e] = 0.0;
    for (int64_t l = 0; l < layers; l++) {
        double sum = 0.0;
        for (int64_t e = 0; e < experts; e++)
            sum += fmax(load[l * experts + e], 0.0);
        for (int64_t e = 0; e < experts && sum > 0.0; e++)
            out_shares[e] += fmax(load[l * experts + e], 0.0) / sum / (double)layers;
    }
}

moe_status load_change_of_run(struct run_list *list, const struct run_file *file, struct series *out,
                              moe_err *err) {
    moe_status status = MOE_OK;
    double *load = NULL;
    double *shares = NULL;
    int64_t dims[4];
    int32_t rank = 0;
    *out = (struct series){0};
    moe_check(file->info.axes.moe_layers > 0, err, MOE_ENOTFOUND, "%s: load_change: the model has no router",
              file->path);
    moe_try(run_list_array(list, file, "/routing/step", &out->x, dims, &rank, err));
    const int64_t rows = dims[0];
    moe_try(run_list_array(list, file, "/routing/load", &load, dims, &rank, err));
    moe_check(rank == 3 && dims[0] == rows && rows <= INT32_MAX, err, MOE_EFORMAT,
              "%s: /routing/load has %lld rows, expected %lld", file->path, (long long)dims[0],
              (long long)rows);
    const int64_t experts = dims[2];
    shares = calloc(2 * (size_t)experts + 1, sizeof *shares);
    out->y = calloc((size_t)rows + 1, sizeof *out->y);
    moe_check(shares != NULL && out->y != NULL, err, MOE_ENOMEM, "cannot allocate %lld values",
              (long long)rows);
    for (int64_t i = 0; i < rows; i++) {
        double *now = shares + (i % 2) * experts;
        const double *before = shares + (1 - i % 2) * experts;
        shares_of_row(load + i * dims[1] * experts, dims[1], experts, now);
        if (i == 0) continue;
        for (int64_t e = 0; e < experts; e++)
            out->y[i - 1] += 0.5 * fabs(now[e] - before[e]);
        out->x[i - 1] = out->x[i];
    }
    out->n = rows > 0 ? (int32_t)rows - 1 : 0;
out:
    free(load);
    free(shares);
    if (status != MOE_OK) series_free(out);
    return status;
}
