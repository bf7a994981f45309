/* evaluate.h - a pass over the validation split: losses, accuracy, per domain, and the routing of that pass.
 */
#ifndef TRAIN_EVALUATE_H
#define TRAIN_EVALUATE_H

#include "record/schema.h"
#include "train/learner.h"

/* Sums over an evaluation's batches, [layers, experts] or [layers]. */
struct routing_sums {
    int32_t layers, experts;
    int64_t rows;
    int64_t *load, *dropped;
    double *prob_mass, *entropy;
    int64_t *hist; /* [layers, experts, ROUTING_HIST_BINS] */
};

moe_status routing_sums_create(struct routing_sums *s, int32_t layers, int32_t experts, moe_err *err);
void routing_sums_free(struct routing_sums *s);
void routing_sums_clear(struct routing_sums *s);
/* Adds the statistics that the last batch left in r->host. */
void routing_sums_add(struct routing_sums *s, const struct routing *r, int64_t rows);

struct evaluation {
    struct run_eval_row rows[DATASET_MAX_DOMAINS]; /* [domains]; step and epoch are filled in too */
    int32_t domains;
    double criterion; /* what early stopping compares */
    double seconds;
};

/* buffer: room for a batch of train.micro_batch_size sequences. Uses the routing controls as they stand. */
moe_status evaluate(struct learner *l, const struct corpus *corpus, int64_t step, int64_t epoch,
                    struct corpus_batch *buffer, struct routing_sums *routing,
                    struct evaluation *out_evaluation, moe_err *err);

#endif
