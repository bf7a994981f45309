/* session.h - a run's parts while it is being trained; shared by the trainer's own files. */
#ifndef TRAIN_SESSION_H
#define TRAIN_SESSION_H

#include "record/writer.h"
#include "train/checkpoint.h"
#include "train/evaluate.h"
#include "train/optimizer.h"
#include "train/run_facts.h"
#include "train/trainer.h"

struct session {
    const struct experiment *e;
    const struct trainer_options *options;
    struct corpus corpus;
    struct device *dev;
    struct learner learner;
    struct optimizer optimizer;
    struct run_writer *writer;
    struct run_facts facts;
    char *counts_json, *checkpoint_path;
    struct train_progress progress;
    int64_t resumed_at;
    int64_t steps_per_epoch, total_steps;
    int64_t epoch_tokens;      /* tokens of one epoch */
    int64_t shuffled_epoch;    /* epoch that `order` belongs to, -1 = none */
    int64_t *order;            /* [train.sequences] */
    struct corpus_batch batch; /* of micro_batch_size sequences */
    struct routing_sums step_sums, eval_sums;
    int64_t *expert_updates; /* [L, E] */
    int64_t *metered_load;   /* [L, E] load since the selection bias last moved */
    float *expert_grad_norm; /* [L, E] */
    /* one routing row in the record's types */
    int32_t *row_load, *row_dropped;
    float *row_prob_mass, *row_entropy;
    uint16_t *row_hist;
    double last_loss;    /* of the latest step, as minimised */
    double validation;   /* latest criterion */
    double speed;        /* smoothed tokens per second */
    double eval_seconds; /* of the latest evaluation */
};

/* Opens data, device, model and run file; restores a checkpoint where there is one. */
moe_status session_open(struct session *s, const struct experiment *e, const struct trainer_options *options,
                        moe_err *err);
void session_close(struct session *s);

/* One optimizer step (progress.step + 1), recorded and committed. */
moe_status session_step(struct session *s, moe_err *err);

/* Evaluates, records, and updates the best criterion; *out_stop: patience is at its end. */
moe_status session_evaluate(struct session *s, bool *out_stop, moe_err *err);

#endif
