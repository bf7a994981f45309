/* model_file.h - a trained model on its own: the weights, and the configuration that says what they are.
 *
 * A model file is a safetensors file with a checksum. Tensors: every parameter under its name
 * (token_embedding.weight, blocks.0.attention.qkv.weight, ...) and "routing.bias" [L, E], the selection bias
 * that loss-free balancing has learned (models with MoE layers only). Metadata: "config" (the experiment as
 * canonical JSON), "config_sha256", "step", "temperature" (of the router, a hexadecimal float) and "dense"
 * ("1": every token still uses every expert).
 *
 * A training checkpoint (X.h5.ckpt, checkpoint.h) holds the same and more, and is read as a model file too,
 * of a live run as well: checkpoints are replaced as a whole.
 */
#ifndef TRAIN_MODEL_FILE_H
#define TRAIN_MODEL_FILE_H

#include "model/decoder.h"
#include "train/experiment.h"

/* What the weights of a file belong to; free with experiment_free(). *out_step (may be NULL): optimizer steps
 * done. MOE_ENOTFOUND: no such file. MOE_EFORMAT: damaged, or safetensors of another kind (a Hugging Face
 * folder is read by `moe import`). MOE_ENOTSUP: a run file, which has no weights. */
moe_status model_file_config(const char *path, struct experiment **out_experiment, int64_t *out_step,
                             moe_err *err);

/* Puts a file's parameters into a decoder created from e->model and e->moe (training or not), and sets
 * decoder_routing(d) to what the model's next evaluation would use: temperature, dense, bias and with_select.
 * MOE_EMISMATCH or MOE_ENOTFOUND names the tensor that does not fit. */
moe_status model_file_load(const char *path, const struct experiment *e, struct decoder *d, moe_err *err);

/* Device, decoder for inference on up to [max_batch, max_seq] tokens, and model_file_load(), in one call. The
 * caller destroys the decoder, then closes the device. threads 0 = all cores. */
moe_status model_file_open(const char *path, const struct experiment *e, const char *device, int threads,
                           int64_t max_batch, int64_t max_seq, struct device **out_dev,
                           struct decoder **out_decoder, moe_err *err);

/* Writes the decoder's parameters and its routing's bias, temperature and dense: all or nothing
 * (safetensors_write()). */
moe_status model_file_save(const char *path, const struct experiment *e, struct decoder *d, int64_t step,
                           moe_err *err);

/* Sets a decoder's routing controls to those of the step before (epoch, epoch_step) of struct train_progress.
 */
void model_file_set_routing(const struct experiment *e, int64_t epoch, int64_t epoch_step, struct decoder *d);

/* X.safetensors for the run file X.h5: where --keep-model puts its weights. malloc'ed; NULL when memory is
 * out.
 */
char *model_file_of_run(const char *run_path);

/* Where the SentencePiece model of e lies: the first of these that exists,
 *   1. STEM.tokenizer.model beside the model file (STEM: `path` without .safetensors, .h5.ckpt),
 *   2. data.tokenizer_file beside the model file,
 *   3. data.tokenizer_file in data_dir (may be NULL),
 *   4. data.tokenizer_file in SUITES_DIR/SUITE.
 * *out_path is malloc'ed; NULL if the model's ids are no SentencePiece pieces: data.tokenizer is another one,
 * or data.source is stories, which have their own words. MOE_ENOTFOUND lists the places. */
moe_status model_file_tokenizer(const char *path, const struct experiment *e, const char *data_dir,
                                const char *suites_dir, char **out_path, moe_err *err);

#endif
