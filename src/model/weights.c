#include "model/weights.h"

#include <stdlib.h>
#include <string.h>

#include "model/decoder_internal.h"

static size_t bias_cells(const struct weights *w) {
    return (size_t)moe_config_routers(&w->moe) * (size_t)moe_config_most_experts(&w->moe);
}

moe_status weights_create(const struct model_config *model, const struct moe_config *moe,
                          struct weights **out_weights, moe_err *err) {
    moe_status status = MOE_OK;
    struct decoder_parts parts = {0};
    struct weights *w = calloc(1, sizeof *w);
    moe_check(w != NULL, err, MOE_ENOMEM, "no memory for a model's list of parameters");
    w->model = *model;
    w->moe = *moe;
    w->temperature = 1.0f;
    moe_try(decoder_declare(&parts, model, moe, err));
    w->params = parts.params;
    memset(&parts.params, 0, sizeof parts.params);
    *out_weights = w;
    w = NULL;
out:
    decoder_parts_free(&parts);
    weights_free(w);
    return status;
}

moe_status weights_allocate(struct weights *w, moe_err *err) {
    moe_status status = MOE_OK;
    if (w->values == NULL) w->values = calloc((size_t)w->params.total, sizeof *w->values);
    if (w->bias == NULL && w->moe.num_layers > 0) w->bias = calloc(bias_cells(w), sizeof *w->bias);
    moe_check(w->values != NULL && (w->bias != NULL || w->moe.num_layers == 0), err, MOE_ENOMEM,
              "no memory for a model of %lld parameters", (long long)w->params.total);
out:
    return status;
}

void weights_free(struct weights *w) {
    if (w == NULL) return;
    params_free(&w->params);
    free(w->values);
    free(w->bias);
    free(w);
}

static moe_status check_same(const struct weights *w, struct decoder *d, moe_err *err) {
    moe_status status = MOE_OK;
    const struct params *params = decoder_params(d);
    const struct routing *routing = decoder_routing(d);
    moe_check(params->count == w->params.count && params->total == w->params.total &&
                  routing->layers == moe_config_routers(&w->moe) &&
                  (routing->layers == 0 || routing->experts == moe_config_most_experts(&w->moe)),
              err, MOE_EMISMATCH, "weights of %lld parameters for a decoder of %lld",
              (long long)w->params.total, (long long)params->total);
out:
    return status;
}

moe_status weights_from_decoder(struct weights *w, struct decoder *d, moe_err *err) {
    moe_status status = MOE_OK;
    const struct params *params = decoder_params(d);
    const struct routing *routing = decoder_routing(d);
    moe_try(check_same(w, d, err));
    moe_try(weights_allocate(w, err));
    for (int32_t i = 0; i < params->count; i++)
        params_get(params, i, w->values + params->items[i].offset);
    moe_try(params->dev->ops->synchronize(params->dev, err));
    if (w->bias != NULL) memcpy(w->bias, routing->host.bias, bias_cells(w) * sizeof *w->bias);
    w->temperature = routing->temperature;
    w->dense = routing->dense;
out:
    return status;
}

moe_status weights_to_decoder(const struct weights *w, struct decoder *d, moe_err *err) {
    moe_status status = MOE_OK;
    struct params *params = decoder_params(d);
    moe_try(check_same(w, d, err));
    for (int32_t i = 0; i < params->count; i++)
        params_set(params, i, w->values + params->items[i].offset);
    if (w->bias != NULL) memcpy(decoder_routing(d)->host.bias, w->bias, bias_cells(w) * sizeof *w->bias);
    weights_set_routing(d, w->temperature, w->dense);
    moe_try(params->dev->ops->synchronize(params->dev, err));
out:
    return status;
}

void weights_set_routing(struct decoder *d, float temperature, bool dense) {
    struct routing *r = decoder_routing(d);
    const size_t cells = (size_t)r->layers * (size_t)r->experts;
    r->temperature = temperature;
    r->dense = dense;
    r->with_select = false;
    for (size_t c = 0; c < cells; c++)
        r->with_select = r->with_select || r->host.bias[c] != 0.0f;
    if (r->with_select) routing_select(r, decoder_params(d)->dev, 0.0f, 0, 0);
}

void weights_fold_temperature(struct weights *w) {
    if (w->temperature == 1.0f) return;
    for (int32_t i = 0; i < w->params.count; i++) {
        const struct param *p = &w->params.items[i];
        for (int64_t k = 0; p->role == PARAM_ROUTER && k < p->count; k++)
            w->values[p->offset + k] /= w->temperature;
    }
    w->temperature = 1.0f;
}
