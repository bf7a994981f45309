/* choice.h - multiple choice: the candidate that the model finds likeliest per token.
 */
#ifndef TRAIN_CHOICE_H
#define TRAIN_CHOICE_H

#include "data/choice_set.h"
#include "record/schema.h"
#include "train/learner.h"

/* What a model made of the questions: nll [4 questions], sums of -ln p over each candidate's tokens given the
 * story, nats. Answers are compared per token, so that a short ending has no advantage; of equals the first
 * counts, which gives a model that knows nothing 1/4 (the right one stands in each place equally often). */
struct choice_score {
    double accuracy; /* share of questions answered rightly */
    double nll;      /* of the right candidates, sum in nats */
    int64_t tokens;  /* of the right candidates */
};

struct choice_score choice_score_of(const struct choice_set *set, const double *nll);

/* Puts the questions to a model, batches of at most train.micro_batch_size rows in `buffer`, and fills the
 * row but for step, epoch and domain: accuracy is the share of questions, loss_ce and tokens those of the
 * right endings. Uses the routing controls as they stand; the statistics of its batches are nobody's. */
moe_status choice_evaluate(struct learner *l, const struct choice_set *set, int64_t step,
                           struct corpus_batch *buffer, struct run_eval_row *out_row, moe_err *err);

#endif
