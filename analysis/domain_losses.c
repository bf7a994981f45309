#include "analysis/domain_losses.h"

#include <stdlib.h>

moe_status domain_last(struct run_list *list, const struct run_file *file, const char *column, int32_t domain,
                       double *out, moe_err *err) {
    moe_status status = MOE_OK;
    double *values = NULL, *domains = NULL;
    int64_t rows[4] = {0}, dims[4] = {0};
    int32_t rank = 0;
    moe_try(run_list_array(list, file, column, &values, rows, &rank, err));
    moe_try(run_list_array(list, file, "/eval/domain", &domains, dims, &rank, err));
    moe_check(rows[0] == dims[0], err, MOE_EFORMAT, "%s: %s has %lld rows, /eval/domain has %lld", file->path,
              column, (long long)rows[0], (long long)dims[0]);
    int64_t row = dims[0] - 1;
    while (row >= 0 && (int32_t)domains[row] != domain)
        row--;
    moe_check(row >= 0, err, MOE_ENOTFOUND, "%s: the run was never evaluated", file->path);
    *out = values[row];
out:
    free(values);
    free(domains);
    return status;
}

moe_status domain_losses(struct run_list *list, const struct run_file *file, double **out_values,
                         int32_t *out_count, moe_err *err) {
    moe_status status = MOE_OK;
    const int32_t domains = file->info.axes.domains,
                  questions = run_list_domain(list, file, DOMAIN_QUESTIONS);
    double *found = malloc(((size_t)domains + 1) * sizeof *found);
    int32_t n = 0;
    moe_check(found != NULL, err, MOE_ENOMEM, "cannot allocate %d values", domains);
    for (int32_t d = 1; d < domains; d++)
        if (d != questions) moe_try(domain_last(list, file, "/eval/loss_ce", d, &found[n++], err));
    moe_check(n > 0, err, MOE_ENOTFOUND, "%s: the run was evaluated on no domains", file->path);
    *out_values = found;
    *out_count = n;
    found = NULL;
out:
    free(found);
    return status;
}
