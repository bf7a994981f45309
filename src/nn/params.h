/* params.h - the registry of parameters: names, shapes, places, initial values, and their memory.
 *
 * Layers declare their parameters in model order; declaring allocates no tensor, so counting a model costs
 * nothing. All parameters are one array, all gradients another, and so are both moments: offsets are shared.
 */
#ifndef NN_PARAMS_H
#define NN_PARAMS_H

#include "device/backend.h"

enum param_init {
    PARAM_UNIFORM = 0, /* uniform in +-scale */
    PARAM_NORMAL = 1,  /* N(0, scale^2) */
    PARAM_CONSTANT = 2 /* scale */
};

/* What a parameter belongs to; decides learning-rate scale and what is counted as active. */
enum param_role { PARAM_SHARED = 0, PARAM_ROUTER = 1, PARAM_EXPERT = 2, PARAM_EMBEDDING = 3 };

#define PARAM_NAME_MAX 80

struct param {
    char name[PARAM_NAME_MAX];
    int32_t rank;
    int64_t shape[3];      /* row-major; experts lead: [E, out, in] */
    int64_t offset, count; /* elements */
    enum param_init init;
    float init_scale;
    enum param_role role;
    int32_t moe_layer; /* row of the layer axis for PARAM_ROUTER and PARAM_EXPERT, else -1 */
};

struct params {
    struct param *items;
    int32_t count, room;
    int64_t total; /* elements */
    /* device memory, NULL until params_allocate() */
    struct device *dev;
    float *values;  /* fp32 master values */
    act_t *compute; /* compute copy; the same memory as values where act_t is float */
    float *grads;   /* NULL when not training */
    float *m, *v;   /* AdamW moments; NULL when not training */
};

/* What a layer says about one parameter. */
struct param_declaration {
    int32_t rank;
    int64_t shape[3];
    enum param_init init;
    float init_scale;
    enum param_role role;
    int32_t moe_layer;
};

/* Adds a parameter; *out_index names it from then on. name is "prefix.suffix". */
moe_status params_declare(struct params *p, const char *prefix, const char *suffix,
                          const struct param_declaration *declaration, int32_t *out_index, moe_err *err);

/* Allocates device memory for everything declared; gradients and moments only if training. */
moe_status params_allocate(struct params *p, struct device *dev, bool training, moe_err *err);
void params_free(struct params *p);

/* Initial values: a pure function of (seed, index of the parameter, index of the element). */
moe_status params_initialize(struct params *p, uint64_t seed, moe_err *err);

/* Host copies in and out: count elements of one parameter. set also refreshes the compute copy. */
void params_get(const struct params *p, int32_t index, float *host_values);
void params_set(struct params *p, int32_t index, const float *host_values);
/* Makes the compute copy of one parameter of its values, after these were written by other means. */
void params_refresh(const struct params *p, int32_t index);

/* Index by name, or -1. */
int32_t params_find(const struct params *p, const char *name);

/* Device pointers of one parameter; index -1 (a bias that does not exist) gives NULL. */
const act_t *params_weight(const struct params *p, int32_t index);
float *params_grad(const struct params *p, int32_t index);

#endif
