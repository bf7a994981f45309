/* classifier_internal.h - the classifier's parts, shared by its own files. */
#ifndef MODEL_CLASSIFIER_INTERNAL_H
#define MODEL_CLASSIFIER_INTERNAL_H

#include "model/classifier.h"
#include "nn/perceptron.h"
#include "nn/report.h"

/* Everything that declaring needs and counting looks at. One of gate and hierarchy is used, or neither. */
struct classifier_parts {
    struct params params;
    struct gating gate;
    struct hierarchy hierarchy;
    struct mixture experts;
    struct perceptron dense;
};

/* What a pass leaves for the host beside the gates' statistics, on either side. */
struct classifier_report {
    double *ce;       /* [1] sum of nll */
    float *nll;       /* [B] */
    int32_t *correct; /* [B] */
};

/* What reading a slot takes from its batch. */
struct classifier_pending {
    int64_t batch, images;            /* images: labels >= 0 */
    struct gate_loss_settings weight; /* of the balance losses */
};

struct classifier {
    struct classifier_config config;
    struct classifier_controls controls;
    struct classifier_limits limits;
    struct classifier_counts counts;
    struct classifier_parts parts;
    struct device *dev;
    struct routing routing;           /* host statistics of all levels */
    int64_t last_batch;               /* images of the last batch */
    void *kept_block, *scratch_block; /* device memory */
    float *pixels;                    /* [B, D] as uploaded: images, or scratch until they are rounded */
    act_t *images;                    /* [B, D] */
    int32_t *labels;                  /* [B] */
    float *mixed, *d_mixed;           /* [B, C] */
    struct classifier_report out;     /* begins the report that `report` fetches; the gates' end it */
    struct classifier_report seen;    /* on the host, of the slot read last */
    struct report report;
    struct classifier_pending *pending; /* [slots] */
};

static inline bool classifier_is_hierarchical(const struct classifier_config *config) {
    return config->kind == CLASSIFIER_HIERARCHICAL || config->kind == CLASSIFIER_HIERARCHICAL_GSHARD;
}

moe_status classifier_declare(struct classifier_parts *parts, const struct classifier_config *config,
                              moe_err *err);
void classifier_parts_free(struct classifier_parts *parts);

/* Takes all of the classifier's step memory from `memory` (measuring or real). */
void classifier_plan(struct classifier *c, struct nn_memory *memory);

#endif
