/* model_file_weights.h - model files from and to weights on the host: what import and export work with. */
#ifndef TRAIN_MODEL_FILE_WEIGHTS_H
#define TRAIN_MODEL_FILE_WEIGHTS_H

#include "model/weights.h"
#include "train/experiment.h"

/* model_file_load() into weights made by weights_create(&e->model, &e->moe); allocates them. */
moe_status model_file_read(const char *path, const struct experiment *e, struct weights *w, moe_err *err);

/* Writes a model file; makes the folders above it. */
moe_status model_file_write(const char *path, const struct experiment *e, const struct weights *w,
                            int64_t step, moe_err *err);

/* STEM.tokenizer.model beside a model file; malloc'ed, NULL when memory is out. */
char *model_file_tokenizer_beside(const char *path);

/* An experiment around a model that was trained elsewhere: suite, protocol and tier are "imported", the data
 * are none (uniform tokens). tokenizer_file (may be NULL): its SentencePiece model. model.expected_parameters
 * and what else a file cannot say stay at their defaults. Free with experiment_free(). MOE_ECONFIG if no
 * experiment can have these options. */
moe_status experiment_imported(const char *name, const struct model_config *model,
                               const struct moe_config *moe, const char *tokenizer_file,
                               struct experiment **out_experiment, moe_err *err);

#endif
