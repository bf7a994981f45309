#include "record/columns.h"
#include "record/routing_stats.h"

#include <stdio.h>
#include <string.h>

const struct run_series_info run_series_infos[RUN_SERIES_COUNT] = {
    [RUN_TRAIN] = {"/train", "step", "one row per optimizer step, or per train.record_steps", true, false},
    [RUN_TIMING] = {"/timing", "step",
                    "seconds of each optimizer step; the device is synchronised at each border", false,
                    false},
    [RUN_EPOCH] = {"/timing/epoch", "epoch", "one row per epoch", false, false},
    [RUN_EVAL] = {"/eval", "step", "one row per evaluation and domain", true, false},
    [RUN_ROUTING] = {"/routing", "step", "routing of the training batch, one row per recorded step", true,
                     true},
    [RUN_ROUTING_EVAL] = {"/routing_eval", "step", "routing of the validation split, one row per evaluation",
                          true, true},
};

#define FIELD(row, series, field, type, units, text)                                                         \
    { series, #field, type, RUN_SCALAR, RUN_FROM_FIELD, offsetof(struct row, field), units, text }
#define TRAIN(field, type, units, text)  FIELD(run_train_row, RUN_TRAIN, field, type, units, text)
#define TIMING(field, type, units, text) FIELD(run_timing_row, RUN_TIMING, field, type, units, text)
#define EPOCH(field, type, units, text)  FIELD(run_epoch_row, RUN_EPOCH, field, type, units, text)
#define EVAL(field, type, units, text)   FIELD(run_eval_row, RUN_EVAL, field, type, units, text)
#define TENSOR(series, field, type, shape, units, text)                                                      \
    { series, #field, type, shape, RUN_FROM_POINTER, offsetof(struct run_routing_row, field), units, text }
#define MEASURE(series, name, field, units, text)                                                            \
    { series, name, RUN_F64, RUN_LAYER, RUN_FROM_LOAD, offsetof(struct routing_stats, field), units, text }
#define ROUTING(series)                                                                                      \
    FIELD(run_routing_row, series, step, RUN_I64, "steps", "optimizer step, counted from 1"),                \
        TENSOR(series, load, RUN_I32, RUN_LAYER_EXPERT, "slots",                                             \
               "token slots whose router chose the expert, before any is dropped"),                          \
        TENSOR(series, dropped_load, RUN_I32, RUN_LAYER_EXPERT, "slots",                                     \
               "chosen slots that the expert dropped for lack of capacity"),                                 \
        TENSOR(series, prob_mass, RUN_F32, RUN_LAYER_EXPERT, "1", "mean router probability of the expert"),  \
        TENSOR(series, bias, RUN_F32, RUN_LAYER_EXPERT, "1",                                                 \
               "bias added to the expert's score for selection"),                                            \
        TENSOR(series, expert_grad_norm, RUN_F32, RUN_LAYER_EXPERT, "1",                                     \
               "L2 norm of the gradients of the expert's parameters before clipping"),                       \
        TENSOR(series, expert_updates, RUN_I64, RUN_LAYER_EXPERT, "steps",                                   \
               "optimizer steps so far in which the expert had at least one token"),                         \
        TENSOR(series, batch_hist, RUN_U16, RUN_LAYER_EXPERT_SHARE, "sequences",                             \
               "sequences of the batch by the share of their slots that the expert was given"),              \
        TENSOR(series, entropy_token, RUN_F32, RUN_LAYER, "nats",                                            \
               "entropy of the router's distribution of one token, mean over tokens"),                       \
        MEASURE(series, "entropy_usage", entropy, "nats", "entropy of the experts' shares of load"),         \
        MEASURE(series, "gini", gini, "1", "Gini coefficient of load over experts; 0 is balanced"),          \
        MEASURE(series, "cv2", cv2, "1", "population variance of load over squared mean; 0 is balanced"),    \
        MEASURE(series, "max_over_mean", max_over_mean, "1", "largest load over mean load; 1 is balanced"),  \
    {                                                                                                        \
        series, "dropped", RUN_I64, RUN_LAYER, RUN_FROM_DROPPED, 0, "slots", "dropped slots of the layer"    \
    }

const struct run_column run_columns[RUN_COLUMN_COUNT] = {
    TRAIN(step, RUN_I64, "steps", "optimizer step, counted from 1"),
    TRAIN(epoch, RUN_I64, "epochs", "epoch of the step, counted from 0"),
    TRAIN(tokens, RUN_I64, "tokens", "training tokens seen so far, those of this step included"),
    TRAIN(loss, RUN_F64, "nats/token",
          "loss that is minimised: smoothed cross-entropy, auxiliary and z terms"),
    TRAIN(loss_ce, RUN_F64, "nats/token", "cross-entropy without label smoothing"),
    TRAIN(loss_aux, RUN_F64, "nats/token", "load-balancing term as added to the loss, weight included"),
    TRAIN(loss_z, RUN_F64, "nats/token", "z terms as added to the loss, weights included"),
    TRAIN(lr, RUN_F64, "1", "learning rate of the step"),
    TRAIN(grad_norm, RUN_F64, "1", "L2 norm of all gradients before clipping"),
    TRAIN(temperature, RUN_F64, "1", "temperature that divides the router's logits"),
    TRAIN(router_grad_norm, RUN_F64, "1", "L2 norm of the gradients of all routers before clipping"),
    TRAIN(dropped, RUN_I64, "slots", "token slots dropped for lack of capacity, all layers"),
    EVAL(step, RUN_I64, "steps", "optimizer step after which the evaluation was made"),
    EVAL(epoch, RUN_I64, "epochs", "epoch of the step, counted from 0"),
    EVAL(domain, RUN_I64, "1", "index into /axes/domain"),
    EVAL(loss, RUN_F64, "nats/token", "criterion that early stopping uses under this protocol"),
    EVAL(loss_ce, RUN_F64, "nats/token", "cross-entropy without label smoothing"),
    EVAL(loss_aux, RUN_F64, "nats/token", "load-balancing term as added to the loss, weight included"),
    EVAL(accuracy, RUN_F64, "1",
         "share of tokens whose largest logit is the target; in domain endings, of questions answered "
         "rightly"),
    EVAL(perplexity, RUN_F64, "1", "exp of the cross-entropy"),
    EVAL(tokens, RUN_I64, "tokens", "tokens evaluated"),
    ROUTING(RUN_ROUTING),
    ROUTING(RUN_ROUTING_EVAL),
    TIMING(step, RUN_I64, "steps", "optimizer step, counted from 1"),
    TIMING(forward, RUN_F64, "s", "forward pass"),
    TIMING(backward, RUN_F64, "s", "backward pass"),
    TIMING(optimizer, RUN_F64, "s", "clipping and parameter update"),
    TIMING(data, RUN_F64, "s", "making the batch"),
    TIMING(statistics, RUN_F64, "s", "routing statistics and recording"),
    TIMING(step_seconds, RUN_F64, "s", "wall clock of the step, without evaluation and checkpoint"),
    TIMING(tokens_per_second, RUN_F64, "tokens/s", "tokens of the step over step_seconds"),
    EPOCH(epoch, RUN_I64, "epochs", "epoch, counted from 0"),
    EPOCH(step, RUN_I64, "steps", "last optimizer step of the epoch"),
    EPOCH(tokens, RUN_I64, "tokens", "training tokens of the epoch"),
    EPOCH(train_seconds, RUN_F64, "s", "wall clock of the epoch's training steps"),
    EPOCH(eval_seconds, RUN_F64, "s", "wall clock of the epoch's evaluations"),
    EPOCH(checkpoint_seconds, RUN_F64, "s", "wall clock of the epoch's checkpoints"),
    EPOCH(peak_memory, RUN_I64, "bytes", "largest memory in use so far, of the process or the device"),
};

/* The table's initialiser would leave zeros silently if it were shorter than its length. */
_Static_assert(RUN_COLUMN_COUNT == 64, "the table and the sum of its parts agree");

size_t run_type_size(enum run_type type) {
    static const size_t sizes[RUN_TYPE_COUNT] = {
        [RUN_I64] = 8, [RUN_I32] = 4, [RUN_U16] = 2, [RUN_F64] = 8, [RUN_F32] = 4};
    return sizes[type];
}

bool run_has_series(const struct run_axes *axes, enum run_series series) {
    return axes->moe_layers > 0 || !run_series_infos[series].routing;
}

int32_t run_row_dims(const struct run_column *column, const struct run_axes *axes, int64_t dims[3]) {
    dims[0] = axes->moe_layers;
    dims[1] = axes->experts;
    dims[2] = axes->hist_bins;
    return (int32_t)column->shape;
}

int64_t run_row_values(const struct run_column *column, const struct run_axes *axes) {
    int64_t dims[3], values = 1;
    const int32_t rank = run_row_dims(column, axes, dims);
    for (int32_t i = 0; i < rank; i++)
        values *= dims[i];
    return values;
}

size_t run_row_bytes(const struct run_column *column, const struct run_axes *axes) {
    return (size_t)run_row_values(column, axes) * run_type_size(column->type);
}

void run_column_path(const struct run_column *column, char path[RUN_MAX_PATH]) {
    snprintf(path, RUN_MAX_PATH, "%s/%s", run_series_infos[column->series].group, column->name);
}

int32_t run_step_column(enum run_series series) {
    for (int32_t i = 0; i < RUN_COLUMN_COUNT; i++)
        if (run_columns[i].series == series && strcmp(run_columns[i].name, "step") == 0) return i;
    return -1;
}

static moe_status check_text(const char *text, const char *what, size_t limit, moe_err *err) {
    moe_status status = MOE_OK;
    moe_check(text != NULL, err, MOE_EARG, "run: %s is missing", what);
    moe_check(strlen(text) < limit, err, MOE_EARG, "run: %s has %zu bytes, at most %zu are allowed", what,
              strlen(text), limit - 1);
out:
    return status;
}

moe_status run_axes_check(const struct run_axes *axes, moe_err *err) {
    moe_status status = MOE_OK;
    moe_check(axes->moe_layers >= 0 && axes->moe_layers <= RUN_MAX_LAYERS, err, MOE_EARG,
              "run: %d MoE layers, expected 0 to %d", axes->moe_layers, RUN_MAX_LAYERS);
    moe_check(axes->domains >= 1 && axes->domains <= RUN_MAX_DOMAINS, err, MOE_EARG,
              "run: %d evaluation domains, expected 1 to %d", axes->domains, RUN_MAX_DOMAINS);
    moe_check(axes->experts >= 0 && axes->hist_bins >= 0, err, MOE_EARG,
              "run: negative number of experts (%d) or histogram bins (%d)", axes->experts, axes->hist_bins);
    if (axes->moe_layers > 0) {
        moe_check(axes->experts >= 1 && axes->experts <= RUN_MAX_EXPERTS, err, MOE_EARG,
                  "run: %d experts, expected 1 to %d", axes->experts, RUN_MAX_EXPERTS);
        moe_check(axes->hist_bins >= 1 && axes->hist_bins <= RUN_MAX_BINS, err, MOE_EARG,
                  "run: %d histogram bins, expected 1 to %d", axes->hist_bins, RUN_MAX_BINS);
        for (int32_t i = 0; i < RUN_COLUMN_COUNT; i++)
            moe_check(run_row_bytes(&run_columns[i], axes) <= RUN_MAX_ROW_BYTES, err, MOE_EARG,
                      "run: a row of %s/%s has %zu bytes, at most %zu are allowed",
                      run_series_infos[run_columns[i].series].group, run_columns[i].name,
                      run_row_bytes(&run_columns[i], axes), RUN_MAX_ROW_BYTES);
    }
out:
    return status;
}

moe_status run_begin_check(const struct run_begin *begin, moe_err *err) {
    moe_status status = MOE_OK;
    const struct run_identity *id = &begin->identity;
    const struct run_info *limits = NULL;
    moe_try(check_text(id->suite, "suite", sizeof limits->suite, err));
    moe_try(check_text(id->source, "source", sizeof limits->source, err));
    moe_try(check_text(id->experiment, "experiment", sizeof limits->experiment, err));
    moe_try(check_text(id->protocol, "protocol", sizeof limits->protocol, err));
    moe_try(check_text(id->tier, "tier", sizeof limits->tier, err));
    moe_try(check_text(begin->config_json, "configuration (JSON)", RUN_MAX_TEXT, err));
    moe_try(check_text(begin->config_toml, "configuration (TOML)", RUN_MAX_TEXT, err));
    moe_try(check_text(begin->counts_json, "parameter counts (JSON)", RUN_MAX_TEXT, err));
    moe_try(run_axes_check(&begin->axes, err));
    for (int32_t i = 0; i < begin->axes.domains; i++)
        moe_try(check_text(begin->domain_names[i], "name of a domain", RUN_MAX_NAME, err));
    moe_check(begin->fact_count >= 0 && begin->fact_count <= RUN_MAX_FACTS, err, MOE_EARG,
              "run: %d provenance facts, at most %d are allowed", begin->fact_count, RUN_MAX_FACTS);
    for (int32_t i = 0; i < begin->fact_count; i++) {
        moe_try(check_text(begin->facts[i].name, "name of a provenance fact", RUN_MAX_NAME, err));
        moe_check(begin->facts[i].name[0] != 0, err, MOE_EARG, "run: a provenance fact has no name");
        moe_try(check_text(begin->facts[i].value, begin->facts[i].name, RUN_MAX_FACT, err));
    }
out:
    return status;
}
