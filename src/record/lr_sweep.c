#include "record/lr_sweep.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "core/text.h"

#define KEY "train.lr="

moe_status lr_sweep_format_name(const char *experiment, double rate, char out[LR_SWEEP_NAME_MAX],
                                moe_err *err) {
    moe_status status = MOE_OK;
    char number[TEXT_NUMBER_MAX];
    text_number(rate, number);
    const int length = snprintf(out, LR_SWEEP_NAME_MAX, LR_SWEEP_PREFIX "%s%c" KEY "%s", experiment,
                                strchr(experiment, '@') != NULL ? ',' : '@', number);
    moe_check(length > 0 && length < LR_SWEEP_NAME_MAX, err, MOE_ECONFIG,
              "%s: the name of a run of its sweep would have %d letters, more than %d", experiment, length,
              LR_SWEEP_NAME_MAX - 1);
out:
    return status;
}

bool lr_sweep_parse_name(const char *name, char out_experiment[LR_SWEEP_NAME_MAX], double *out_rate) {
    const size_t prefix = strlen(LR_SWEEP_PREFIX);
    if (strncmp(name, LR_SWEEP_PREFIX, prefix) != 0) return false;
    const char *begin = name + prefix, *value = NULL;
    for (const char *at = strstr(begin, KEY); at != NULL; at = strstr(at + 1, KEY))
        if (at > begin && (at[-1] == '@' || at[-1] == ',')) value = at;
    if (value == NULL) return false;
    const size_t length = (size_t)(value - 1 - begin);
    if (length == 0 || length >= LR_SWEEP_NAME_MAX) return false;
    const char *number = value + strlen(KEY);
    char *end = NULL;
    *out_rate = strtod(number, &end);
    if (strspn(number, "0123456789.eE+-") != strlen(number)) return false; /* no "nan", no "0x1p-3" */
    if (end == number || *end != '\0' || !isfinite(*out_rate) || *out_rate <= 0) return false;
    memcpy(out_experiment, begin, length);
    out_experiment[length] = '\0';
    return true;
}

static int64_t config_integer(const json_t *config, const char *name) {
    return (int64_t)json_integer_value(json_object_get(json_object_get(config, "train"), name));
}

/* A dataset with one value a row. */
static moe_status read_rows(struct run_reader *reader, const char *name, double **out_values,
                            int64_t *out_rows, moe_err *err) {
    int64_t dims[4] = {0};
    int32_t rank = 0;
    const moe_status status = run_reader_array(reader, name, out_values, dims, &rank, err);
    *out_rows = dims[0];
    return status;
}

/* The last evaluation of all domains together. */
static moe_status read_validation(struct run_reader *reader, double *out_loss, moe_err *err) {
    moe_status status = MOE_OK;
    double *loss = NULL, *domain = NULL;
    int64_t rows = 0, domain_rows = 0;
    *out_loss = NAN;
    moe_try(read_rows(reader, "/eval/loss", &loss, &rows, err));
    moe_try(read_rows(reader, "/eval/domain", &domain, &domain_rows, err));
    for (int64_t i = 0; i < rows && i < domain_rows; i++)
        if (domain[i] == 0) *out_loss = loss[i];
out:
    free(loss);
    free(domain);
    return status;
}

moe_status lr_sweep_run_of(struct run_reader *reader, struct lr_sweep_run *out_run, moe_err *err) {
    moe_status status = MOE_OK;
    const struct run_info *info = run_reader_info(reader);
    struct lr_sweep_run run = {.seed = info->seed};
    double *loss = NULL;
    char experiment[LR_SWEEP_NAME_MAX];
    json_t *config = json_loads(run_reader_config_json(reader), 0, NULL);
    moe_check(config != NULL && lr_sweep_parse_name(info->experiment, experiment, &run.rate), err,
              MOE_EFORMAT, "%s: %s is no run of a learning-rate sweep", run_reader_path(reader),
              info->experiment);
    run.max_steps = config_integer(config, "max_steps");
    run.warmup_steps = config_integer(config, "warmup_steps");
    moe_try(read_rows(reader, "/train/loss", &loss, &run.steps, err));
    moe_check(run.steps > 0, err, MOE_EFORMAT, "%s: the run has no step", run_reader_path(reader));
    moe_try(read_validation(reader, &run.validation_loss, err));
    const int64_t last = run.steps < LR_SWEEP_LAST_STEPS ? run.steps : LR_SWEEP_LAST_STEPS;
    for (int64_t i = run.steps - last; i < run.steps; i++)
        run.train_loss += loss[i] / (double)last;
    run.first_loss = loss[0];
    run.finite = strcmp(info->outcome, LR_SWEEP_DIVERGED) != 0 && isfinite(run.train_loss);
    run.diverged = !run.finite || run.train_loss > run.first_loss;
    *out_run = run;
out:
    json_decref(config);
    free(loss);
    return status;
}

static int by_rate_and_seed(const void *a, const void *b) {
    const struct lr_sweep_run *x = a, *y = b;
    if (x->rate != y->rate) return x->rate < y->rate ? -1 : 1;
    return (x->seed > y->seed) - (x->seed < y->seed);
}

static struct lr_sweep_rate sum_up_rate(const struct lr_sweep_run *runs, int32_t first, int32_t count) {
    struct lr_sweep_rate r = {.rate = runs[first].rate,
                              .first = first,
                              .train_loss = NAN,
                              .validation_loss = NAN,
                              .excess = NAN,
                              .excess_error = NAN};
    double train = 0, validation = 0;
    for (int32_t i = first; i < count && runs[i].rate == r.rate; i++, r.seeds++) {
        r.diverged += runs[i].diverged;
        if (runs[i].diverged) continue;
        train += runs[i].train_loss;
        validation += runs[i].validation_loss;
    }
    const int32_t trained = r.seeds - r.diverged;
    if (trained > 0) {
        r.train_loss = train / trained;
        r.validation_loss = validation / trained;
    }
    return r;
}

/* Mean and standard error of a rate's result minus the suggested one's, over the seeds that both have. */
static void compare(const struct lr_sweep_run *runs, struct lr_sweep_rate *rate,
                    const struct lr_sweep_rate *best) {
    double mean = 0, squares = 0; /* Welford 1962: no cancellation between near equal values */
    int32_t n = 0, i = rate->first, j = best->first;
    while (i < rate->first + rate->seeds && j < best->first + best->seeds) {
        const struct lr_sweep_run *a = &runs[i], *b = &runs[j];
        i += a->seed <= b->seed;
        j += b->seed <= a->seed;
        if (a->seed != b->seed || a->diverged || b->diverged) continue;
        const double before = a->train_loss - b->train_loss - mean;
        mean += before / ++n;
        squares += before * (a->train_loss - b->train_loss - mean);
    }
    if (n > 0) rate->excess = mean;
    if (n > 1) rate->excess_error = sqrt(squares / (n - 1) / n);
}

static bool is_candidate(const struct lr_sweep_summary *s, int32_t i) {
    return s->rates[i].diverged == 0 && s->rates[i].seeds == s->seeds;
}

moe_status lr_sweep_summarize(struct lr_sweep_run *runs, int32_t count, struct lr_sweep_summary *out_summary,
                              moe_err *err) {
    moe_status status = MOE_OK;
    struct lr_sweep_summary s = {.suggested = -1, .largest = -1};
    for (int32_t i = 1; i < count; i++)
        moe_check(
            runs[i].max_steps == runs[0].max_steps && runs[i].warmup_steps == runs[0].warmup_steps, err,
            MOE_EMISMATCH,
            "runs of one sweep have %lld steps, %lld of them warm-up, and %lld and %lld: rates are compared "
            "over the same steps",
            (long long)runs[0].max_steps, (long long)runs[0].warmup_steps, (long long)runs[i].max_steps,
            (long long)runs[i].warmup_steps);
    if (count > 0) qsort(runs, (size_t)count, sizeof *runs, by_rate_and_seed);
    for (int32_t first = 0; first < count; first += s.rates[s.count - 1].seeds) {
        moe_check(s.count < LR_SWEEP_RATES_MAX, err, MOE_EARG, "a sweep of more than %d learning rates",
                  LR_SWEEP_RATES_MAX);
        s.rates[s.count] = sum_up_rate(runs, first, count);
        moe_check(s.rates[s.count].seeds <= LR_SWEEP_SEEDS_MAX, err, MOE_EARG,
                  "a sweep of more than %d seeds", LR_SWEEP_SEEDS_MAX);
        if (s.rates[s.count].seeds > s.seeds) s.seeds = s.rates[s.count].seeds;
        s.count++;
    }
    for (int32_t i = 0; i < s.count; i++) {
        if (!is_candidate(&s, i)) continue;
        if (s.suggested < 0 || s.rates[i].train_loss < s.rates[s.suggested].train_loss) s.suggested = i;
    }
    for (int32_t i = 0; i < s.count && s.suggested >= 0; i++) {
        struct lr_sweep_rate *rate = &s.rates[i];
        compare(runs, rate, &s.rates[s.suggested]);
        if (is_candidate(&s, i) && rate->excess <= 2 * rate->excess_error) s.largest = i;
    }
    *out_summary = s;
out:
    return status;
}
