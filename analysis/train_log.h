/* train_log.h - a run told as a trainer prints it: means over the batches since the last line.
 *
 * Only runs of image classifiers have it: their evaluations record the training batches since the evaluation
 * before them as a domain of its own.
 */
#ifndef ANALYSIS_TRAIN_LOG_H
#define ANALYSIS_TRAIN_LOG_H

#include "analysis/select.h"

enum train_log_column {
    LOG_LOSS = 0, /* cross-entropy, nats per image */
    LOG_MOE_LOSS, /* weighted balance losses */
    LOG_ACCURACY, /* share of the images */
    LOG_SECONDS,  /* wall clock of a step, the median of the batches */
    LOG_COLUMNS
};

/* "loss", "moe_loss", "accuracy", "seconds" */
extern const char *const train_log_names[LOG_COLUMNS];

/* The line at optimizer step `step`, or (-1) the last. MOE_ENOTFOUND: no evaluation there, or a run that does
 * not record its training batches. */
moe_status train_log_at(struct run_list *list, const struct run_file *file, int64_t step,
                        double out[LOG_COLUMNS], moe_err *err);

#endif
