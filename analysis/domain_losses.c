#include "analysis/domain_losses.h"

#include <stdlib.h>
#include <string.h>

/* The last value of a column in the rows of a domain. */
static bool last_of(const double *domains, const double *values, int64_t rows, int32_t domain, double *out) {
    while (rows > 0 && (int32_t)domains[rows - 1] != domain)
        rows--;
    if (rows > 0) *out = values[rows - 1];
    return rows > 0;
}

moe_status domain_losses(struct run_list *list, const struct run_file *file, double **out_values,
                         int32_t *out_count, moe_err *err) {
    moe_status status = MOE_OK;
    struct run_reader *reader = NULL;
    double *ce = NULL, *domains = NULL, *found = NULL;
    int64_t dims[4] = {0}, rows[4] = {0};
    int32_t rank = 0, n = 0;
    moe_try(run_list_reader(list, file, &reader, err));
    moe_try(run_list_array(list, file, "/eval/loss_ce", &ce, rows, &rank, err));
    moe_try(run_list_array(list, file, "/eval/domain", &domains, dims, &rank, err));
    moe_check(rows[0] == dims[0], err, MOE_EFORMAT, "%s: /eval/loss_ce has %lld rows, /eval/domain has %lld",
              file->path, (long long)rows[0], (long long)dims[0]);
    found = malloc(((size_t)file->info.axes.domains + 1) * sizeof *found);
    moe_check(found != NULL, err, MOE_ENOMEM, "cannot allocate %d values", file->info.axes.domains);
    for (int32_t d = 1; d < file->info.axes.domains; d++) {
        if (strcmp(run_reader_domain(reader, d), "endings") == 0) continue;
        if (last_of(domains, ce, rows[0], d, &found[n])) n++;
    }
    moe_check(n > 0, err, MOE_ENOTFOUND, "%s: the run was evaluated on no domains", file->path);
    *out_values = found;
    *out_count = n;
    found = NULL;
out:
    free(found);
    free(domains);
    free(ce);
    return status;
}
