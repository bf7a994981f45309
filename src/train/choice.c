#include "train/choice.h"

#include <math.h>
#include <stdlib.h>

struct choice_score choice_score_of(const struct choice_set *set, const double *nll) {
    struct choice_score score = {0};
    int32_t right = 0;
    for (int32_t q = 0; q < set->questions; q++) {
        const size_t row = (size_t)q * STORY_ENDINGS, asked = row + set->right[q];
        int best = 0;
        double least = INFINITY;
        for (int c = 0; c < STORY_ENDINGS; c++) {
            const double per_token =
                nll[row + (size_t)c] / (set->end[row + (size_t)c] - set->first[row + (size_t)c]);
            if (per_token < least) {
                least = per_token;
                best = c;
            }
        }
        right += best == set->right[q];
        score.nll += nll[asked];
        score.tokens += set->end[asked] - set->first[asked];
    }
    score.accuracy = (double)right / set->questions;
    return score;
}

/* Rows first .. first + count - 1 as a batch; targets are the tokens of the endings. */
static void read_rows(const struct choice_set *set, int64_t first, int64_t count, struct corpus_batch *b) {
    for (int64_t i = 0; i < count; i++) {
        const int64_t row = first + i;
        const int32_t *tokens = set->tokens + row * (set->length + 1);
        for (int32_t t = 0; t < set->length; t++) {
            const bool asked = t + 1 >= set->first[row] && t + 1 < set->end[row];
            b->tokens[i * set->length + t] = tokens[t];
            b->targets[i * set->length + t] = asked ? tokens[t + 1] : -1;
        }
    }
}

moe_status choice_evaluate(struct learner *l, const struct choice_set *set, int64_t step,
                           struct corpus_batch *buffer, struct run_eval_row *out_row, moe_err *err) {
    moe_status status = MOE_OK;
    const int64_t rows = (int64_t)set->questions * STORY_ENDINGS, per_batch = l->e->train.micro_batch_size;
    double *nll = calloc((size_t)rows, sizeof *nll);
    int64_t *correct = calloc((size_t)per_batch, sizeof *correct);
    moe_check(nll != NULL && correct != NULL, err, MOE_ENOMEM, "no memory for the scores of %d questions",
              set->questions);
    for (int64_t first = 0; first < rows; first += per_batch) {
        const int64_t count = rows - first < per_batch ? rows - first : per_batch;
        read_rows(set, first, count, buffer);
        const struct learner_batch batch = {
            .data = buffer,
            .batch = count,
            .seq = set->length,
            .step = (uint32_t)step,
            .micro = (uint32_t)(first / per_batch),
            .step_rows = count * set->length,
        };
        struct learner_loss loss;
        moe_try(learner_eval_batch(l, &batch, &loss, nll + first, correct, err));
    }
    const struct choice_score score = choice_score_of(set, nll);
    out_row->accuracy = score.accuracy;
    out_row->tokens = score.tokens;
    out_row->loss_ce = score.nll / (double)score.tokens;
    out_row->loss = out_row->loss_ce;
    out_row->loss_aux = 0;
    out_row->perplexity = exp(out_row->loss_ce);
out:
    free(nll);
    free(correct);
    return status;
}
