#include "analysis/slicing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

const char *const slicing_protocols[SLICING_PROTOCOLS] = {"as-published", "corrected"};
const char *const slicing_protocol_titles[SLICING_PROTOCOLS] = {"as published", "corrected"};
const char *const slicing_axis_titles[SLICING_AXES] = {"width",
                                                       "experts",
                                                       "granularity g",
                                                       "granularity of the second group",
                                                       "experts n",
                                                       "sparsity s",
                                                       "generalist",
                                                       "capacity factor",
                                                       "dropped by weight",
                                                       "balance loss",
                                                       "bias step",
                                                       "fault",
                                                       "learning rate",
                                                       "warm-up",
                                                       "tokens"};

/* ---- what a run is */

static double number(const json_t *section, const char *key, double otherwise) {
    const json_t *value = json_object_get(section, key);
    return json_is_number(value) ? json_number_value(value) : otherwise;
}

static bool is_true(const json_t *section, const char *key) {
    return json_is_true(json_object_get(section, key));
}

static bool is_word(const json_t *section, const char *key, const char *word) {
    const char *text = json_string_value(json_object_get(section, key));
    return text != NULL && strcmp(text, word) == 0;
}

static void place_experts(const json_t *moe, double dense_width, double *at) {
    const double n = number(moe, "num_experts", 1), second = number(moe, "num_experts_2", 0);
    const double width = number(moe, "intermediate_size", dense_width);
    const double g = number(moe, "granularity", 0), g2 = number(moe, "granularity_2", 0);
    at[AXIS_GRANULARITY] = g > 0 ? g : width / dense_width;
    if (second > 0) at[AXIS_SECOND] = g2 > 0 ? g2 : number(moe, "intermediate_size_2", width) / dense_width;
    at[AXIS_EXPERTS] = n + second;
    at[AXIS_SPARSITY] = n * at[AXIS_GRANULARITY] + second * at[AXIS_SECOND];
    at[AXIS_GENERALIST] = number(moe, "generalist_granularity", 0);
    if (at[AXIS_GENERALIST] == 0) at[AXIS_GENERALIST] = number(moe, "generalist_size", 0) / dense_width;
    at[AXIS_CAPACITY] = number(moe, "capacity_factor", 0);
    at[AXIS_BY_WEIGHT] = at[AXIS_CAPACITY] > 0 && is_word(moe, "drop_policy", "weight");
    at[AXIS_ALPHA] = number(moe, "lb_coeff", 0);
    at[AXIS_GAMMA] = number(moe, "lb_gamma", 0);
    /* a fault is one only where it acts */
    if (second > 0 && at[AXIS_GAMMA] > 0 && is_true(moe, "published_bias_first_group_only"))
        at[AXIS_FAULT] = 1;
    if (at[AXIS_GENERALIST] > 0 && is_true(moe, "published_generalist_input")) at[AXIS_FAULT] = 2;
}

static double warmup(const json_t *train) {
    const double steps = number(train, "warmup_steps", 0);
    return steps > 0 ? steps : number(train, "warmup_ratio", 0);
}

static moe_status place(struct report *report, const struct run_file *file, struct slicing_run *out,
                        moe_err *err) {
    moe_status status = MOE_OK;
    const json_t *config, *counts;
    struct run_reader *reader = NULL;
    double *tokens = NULL, *steps = NULL;
    int64_t dims[4], last = 0;
    int32_t rank = 0;
    moe_try(run_list_json(report->runs, file, &config, &counts, err));
    const json_t *model = json_object_get(config, "model"), *moe = json_object_get(config, "moe");
    const json_t *train = json_object_get(config, "train"), *layers = json_object_get(moe, "layers");
    moe_check(json_is_object(model) && json_is_object(train), err, MOE_EFORMAT,
              "%s: the configuration has no model or no training", file->path);
    moe_try(run_list_array(report->runs, file, "/train/tokens", &tokens, dims, &rank, err));
    moe_try(run_list_array(report->runs, file, "/train/step", &steps, dims, &rank, err));
    moe_try(run_list_reader(report->runs, file, &reader, err));
    moe_try(run_reader_last_step(reader, &last, err));
    out->steps = (double)last;
    out->at[AXIS_WIDTH] = number(model, "hidden_size", 0);
    out->at[AXIS_RATE] = number(train, "lr", 0);
    out->at[AXIS_TOKENS] = dims[0] > 0 ? tokens[dims[0] - 1] / steps[dims[0] - 1] * out->steps : 0;
    out->at[AXIS_WARMUP] = warmup(train);
    out->at[AXIS_GRANULARITY] = out->at[AXIS_SPARSITY] = 1;
    out->at[AXIS_ROUTED] = json_array_size(layers) > 0 || is_word(moe, "layers", "all");
    if (out->at[AXIS_ROUTED] > 0) place_experts(moe, number(model, "intermediate_size", 1), out->at);
    out->parameters = number(counts, "total", NAN);
    out->active = number(counts, "active", NAN);
out:
    free(tokens);
    free(steps);
    return status;
}

/* ---- which runs */

/* Settings, whose usual values are asked for. */
static const enum slicing_axis settings[] = {AXIS_CAPACITY, AXIS_BY_WEIGHT, AXIS_ALPHA, AXIS_GAMMA,
                                             AXIS_RATE,     AXIS_WARMUP,    AXIS_TOKENS};
#define SETTINGS (sizeof settings / sizeof settings[0])

/* The same up to rounding: widths in whole units make granularities of small models inexact. */
static bool same(double a, double b) {
    return fabs(a - b) <= 1e-9 * fmax(fabs(a), fabs(b));
}

static double most_frequent(const struct slicing_grid *grid, int32_t protocol, double width,
                            enum slicing_axis axis) {
    double best = NAN;
    int32_t most = 0;
    for (int32_t i = 0; i < grid->n; i++) {
        const struct slicing_run *run = &grid->runs[i];
        int32_t count = 0;
        if (run->protocol != protocol || run->at[AXIS_WIDTH] != width || run->at[AXIS_ROUTED] == 0) continue;
        for (int32_t j = 0; j < grid->n; j++) {
            const struct slicing_run *other = &grid->runs[j];
            count += other->protocol == protocol && other->at[AXIS_WIDTH] == width &&
                     other->at[AXIS_ROUTED] != 0 && same(other->at[axis], run->at[axis]);
        }
        if (count <= most) continue;
        most = count;
        best = run->at[axis];
    }
    return best;
}

static const struct slicing_size *find_size(const struct slicing_grid *grid, int32_t protocol, double width) {
    for (int32_t i = 0; i < grid->num_sizes; i++)
        if (grid->sizes[i].protocol == protocol && grid->sizes[i].width == width) return &grid->sizes[i];
    return NULL;
}

/* What is asked for again and again. */
static void find_usual_values(struct slicing_grid *grid) {
    for (int32_t i = 0; i < grid->n && grid->num_sizes < SLICING_SIZES; i++) {
        const struct slicing_run *run = &grid->runs[i];
        if (find_size(grid, run->protocol, run->at[AXIS_WIDTH]) != NULL) continue;
        struct slicing_size *size = &grid->sizes[grid->num_sizes++];
        size->protocol = run->protocol;
        size->width = run->at[AXIS_WIDTH];
        for (int32_t axis = 0; axis < SLICING_AXES; axis++)
            size->usual[axis] = most_frequent(grid, size->protocol, size->width, (enum slicing_axis)axis);
    }
}

double slicing_usual_value(const struct slicing_grid *grid, int32_t protocol, double width,
                           enum slicing_axis axis) {
    const struct slicing_size *size = find_size(grid, protocol, width);
    return size != NULL ? size->usual[axis] : most_frequent(grid, protocol, width, axis);
}

moe_status slicing_open(struct report *report, struct slicing_grid *out_grid, moe_err *err) {
    moe_status status = MOE_OK;
    struct slicing_grid grid = {.report = report};
    const int32_t count = run_list_count(report->runs);
    grid.runs = calloc((size_t)count + 1, sizeof *grid.runs);
    moe_check(grid.runs != NULL, err, MOE_ENOMEM, "cannot allocate %d runs", count);
    for (int32_t i = 0; i < count; i++) {
        const struct run_file *file = run_list_at(report->runs, i);
        if (strcmp(file->info.suite, SLICING_SUITE) != 0 || run_is_of_sweep(file->info.experiment)) continue;
        struct slicing_run *run = &grid.runs[grid.n];
        run->file = file;
        run->protocol = strcmp(file->info.protocol, slicing_protocols[1]) == 0;
        moe_try(place(report, file, run, err));
        grid.n++;
    }
    run_list_forget_used(report->runs);
    find_usual_values(&grid);
    *out_grid = grid;
    grid = (struct slicing_grid){0};
out:
    slicing_close(&grid);
    return status;
}

void slicing_close(struct slicing_grid *grid) {
    free(grid->runs);
    memset(grid, 0, sizeof *grid);
}

struct slicing_choice slicing_usual(const struct slicing_grid *grid, int32_t protocol, double width) {
    struct slicing_choice c = {.protocol = protocol};
    for (size_t i = 0; i < SETTINGS; i++)
        c.at[settings[i]] = slicing_usual_value(grid, protocol, width, settings[i]);
    c.at[AXIS_WIDTH] = width;
    c.at[AXIS_ROUTED] = 1;
    c.free = 1u << AXIS_GRANULARITY | 1u << AXIS_EXPERTS | 1u << AXIS_SPARSITY;
    if (protocol == 0) c.free |= 1u << AXIS_FAULT; /* as published, with whatever fault there is */
    return c;
}

struct slicing_choice slicing_dense(const struct slicing_grid *grid, int32_t protocol, double width) {
    struct slicing_choice c = slicing_usual(grid, protocol, width);
    c.at[AXIS_ROUTED] = 0;
    c.free |= 1u << AXIS_CAPACITY | 1u << AXIS_BY_WEIGHT | 1u << AXIS_ALPHA | 1u << AXIS_GAMMA;
    return c;
}

bool slicing_fits(const struct slicing_choice *choice, const struct slicing_run *run) {
    if (run->protocol != choice->protocol) return false;
    for (int32_t axis = 0; axis < SLICING_AXES; axis++) {
        const bool free = (choice->free >> axis & 1) != 0;
        if (!free && !same(run->at[axis], choice->at[axis])) return false;
    }
    return true;
}

moe_status slicing_values(const struct slicing_grid *grid, const struct slicing_choice *choice,
                          enum slicing_axis axis, double **out_values, int32_t *out_count, moe_err *err) {
    moe_status status = MOE_OK;
    double *values = malloc(((size_t)grid->n + 1) * sizeof *values);
    int32_t count = 0;
    moe_check(values != NULL, err, MOE_ENOMEM, "cannot allocate %d values", grid->n);
    for (int32_t i = 0; i < grid->n; i++) {
        const double value = grid->runs[i].at[axis];
        bool known = false;
        if (!slicing_fits(choice, &grid->runs[i])) continue;
        for (int32_t j = 0; j < count && !known; j++)
            known = same(values[j], value);
        if (!known) values[count++] = value;
    }
    stats_sort(values, count);
    *out_values = values;
    *out_count = count;
out:
    return status;
}

void slicing_fraction(double value, char *out, size_t size) {
    const double inverse = value > 0 ? 1.0 / value : 0.0;
    if (value >= 1.0 || value == 0.0) {
        snprintf(out, size, fabs(value - round(value)) < 1e-9 ? "%.0f" : "%.3g", value);
    } else if (fabs(inverse - round(inverse)) < 1e-6 * inverse) {
        snprintf(out, size, "1/%.0f", inverse);
    } else {
        snprintf(out, size, "%.3g", value);
    }
}
