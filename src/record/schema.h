/* schema.h - what a run file holds: one table of datasets, the rows that fill them, and the identity of a
 * run.
 *
 * A run is in one of three states, told by the files beside each other:
 *   X.h5.live (with X.h5.ckpt)  resumable: HDF5 in SWMR mode, unfiltered, flushed each step; X.h5.saved is a
 * copy of it as of the last checkpoint, for the case of a power cut X.h5                        complete:
 * sealed (canonical order, shuffled, compressed, checksummed) neither                     absent X.h5.lock is
 * held (flock) by the one process that writes the run.
 */
#ifndef RECORD_SCHEMA_H
#define RECORD_SCHEMA_H

#include "core/status.h"

#define RUN_SCHEMA_VERSION 1

/* Groups of datasets that grow together: one row appends to every dataset of its series. */
enum run_series {
    RUN_TRAIN = 0,   /* /train, one row per train.record_steps optimizer steps */
    RUN_TIMING = 1,  /* /timing, likewise */
    RUN_EPOCH = 2,   /* /timing/epoch, one row per epoch */
    RUN_EVAL = 3,    /* /eval, one row per evaluation and domain */
    RUN_ROUTING = 4, /* /routing, one row per recorded training step: tensors [layer, expert] */
    RUN_ROUTING_EVAL =
        5, /* /routing_eval, one row per evaluation: the same datasets, over the validation split */
    RUN_SERIES_COUNT
};

/* Sizes of the fixed axes of a run. */
struct run_axes {
    int32_t moe_layers; /* rows of the layer axis; 0 for a dense run, which then has no routing series */
    int32_t experts;    /* largest number of experts of a layer */
    int32_t domains;    /* evaluation domains, >= 1; domain 0 is "all" */
    int32_t hist_bins;  /* bins of /routing/batch_hist */
};

/* Rows of the layer axis are numbered by their decoder layer; a layer's second router by the layer and this.
 */
#define RUN_SECOND_ROUTER 1000

struct run_train_row {
    int64_t step;            /* 1-based optimizer step */
    int64_t epoch;           /* 0-based */
    int64_t tokens;          /* training tokens seen so far, this step included */
    double loss;             /* what is minimised: smoothed cross-entropy + aux + z, nats per token */
    double loss_ce;          /* cross-entropy without smoothing, nats per token */
    double loss_aux, loss_z; /* weighted, as added to the loss */
    double lr;
    double grad_norm;        /* L2 norm of all gradients before clipping */
    double temperature;      /* router temperature */
    double router_grad_norm; /* L2 norm over all routers' weights before clipping */
    int64_t dropped;         /* slots dropped by capacity, all layers */
};

struct run_timing_row {
    int64_t step;
    double forward, backward, optimizer, data,
        statistics;           /* seconds; the device is synchronised at each border */
    double step_seconds;      /* wall clock of the whole step without evaluation and checkpoint */
    double tokens_per_second; /* tokens of the step / step_seconds */
};

struct run_epoch_row {
    int64_t epoch;
    int64_t step;         /* the last optimizer step of the epoch: what resuming cuts by */
    int64_t tokens;       /* tokens of this epoch */
    double train_seconds; /* wall clock of its training steps */
    double eval_seconds;
    double checkpoint_seconds;
    int64_t peak_memory; /* bytes: VmHWM of the process, or device memory */
};

struct run_eval_row {
    int64_t step, epoch;
    int64_t domain;    /* index into the domain names */
    double loss;       /* the criterion that early stopping uses under this protocol */
    double loss_ce;    /* cross-entropy without smoothing, nats per token */
    double loss_aux;   /* weighted */
    double accuracy;   /* share of tokens whose largest logit is the target */
    double perplexity; /* exp(loss_ce) */
    int64_t tokens;
};

/* Tensors over [moe_layers, experts] or [moe_layers]; the caller owns them, row-major. Where layers differ in
 * their number of experts, the load of an expert that a layer lacks is -1, and the layer's experts come
 * first. */
struct run_routing_row {
    int64_t step;
    const int32_t *load;         /* [layer, expert] slots that chose the expert, before any drop */
    const int32_t *dropped_load; /* [layer, expert] slots that the expert dropped */
    const float *prob_mass;      /* [layer, expert] mean router probability */
    const float *bias;           /* [layer, expert] selection bias */
    const float
        *expert_grad_norm; /* [layer, expert] L2 norm of the expert's gradients before clipping; 0 in eval */
    const int64_t
        *expert_updates; /* [layer, expert] optimizer steps so far in which the expert had a token */
    const uint16_t
        *batch_hist; /* [layer, expert, bins] sequences by the share of their slots given to the expert */
    const float *entropy_token; /* [layer] mean entropy of a token's router distribution, nats */
    /* entropy_usage, gini, cv2, max_over_mean, dropped [layer] are derived from load by the writer
     * (routing_stats.h) */
};

/* Who a run is. Strings are copied. */
struct run_identity {
    const char *suite, *source, *experiment, *protocol, *tier;
    uint64_t seed;
};

/* A string attribute of /provenance. */
struct run_fact {
    const char *name, *value;
};

#endif
