/* weights.h - a decoder's parameters on the host, without a device: what files of models are made of. */
#ifndef MODEL_WEIGHTS_H
#define MODEL_WEIGHTS_H

#include "model/decoder.h"

struct weights {
    struct model_config model;
    struct moe_config moe;
    struct params params; /* names, shapes and offsets; no device memory */
    float *values;        /* [params.total]; NULL before weights_allocate() */
    float *bias;          /* [routers, most experts] selection bias; NULL if there are no MoE layers */
    float temperature;    /* of the router, 1 unless it was annealed */
    bool dense;           /* every token uses every expert: the model is in its dense epochs */
};

/* Declares the parameters of a model; allocates no tensor. MOE_ENOTSUP names an option that decoders lack. */
moe_status weights_create(const struct model_config *model, const struct moe_config *moe,
                          struct weights **out_weights, moe_err *err);

/* Memory for values and bias, zeroed. */
moe_status weights_allocate(struct weights *w, moe_err *err);
void weights_free(struct weights *w); /* NULL is allowed */

/* Copies parameters, bias and routing controls out of a decoder of the same configuration. Allocates. */
moe_status weights_from_decoder(struct weights *w, struct decoder *d, moe_err *err);

/* Copies them into a decoder of the same configuration. */
moe_status weights_to_decoder(const struct weights *w, struct decoder *d, moe_err *err);

/* Sets a decoder's routing for inference: temperature, dense, and routing->host.bias as selection bias, used
 * (with_select) only where it is not all 0. */
void weights_set_routing(struct decoder *d, float temperature, bool dense);

/* Divides the routers' weights by the temperature, which becomes 1: the logits stay what they were (up to
 * rounding unless the temperature is a power of two). */
void weights_fold_temperature(struct weights *w);

#endif
