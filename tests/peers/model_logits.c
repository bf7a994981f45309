/* model_logits - logits of a model file, for comparison with other programs.
 *
 *     model_logits MODEL.safetensors TOKENS.safetensors LOGITS.safetensors
 *
 * TOKENS holds "tokens" [B, T] (I32), LOGITS will hold "logits" [B, T, V] (F32).
 */
#include <stdio.h>
#include <stdlib.h>

#include "model/safetensors.h"
#include "train/model_file.h"

static moe_status read_tokens(const char *path, int32_t **out_tokens, int64_t shape[2], moe_err *err) {
    moe_status status = MOE_OK;
    struct safetensors *file = NULL;
    int32_t *tokens = NULL;
    moe_try(safetensors_open(path, 0, &file, err));
    const struct safetensors_tensor *t = safetensors_find(file, "tokens");
    moe_check(t != NULL && t->rank == 2, err, MOE_EFORMAT, "%s: has no tokens [B, T]", path);
    tokens = malloc((size_t)t->bytes + 1);
    moe_check(tokens != NULL, err, MOE_ENOMEM, "no memory for %lld tokens", (long long)t->count);
    moe_try(safetensors_read(file, t, SAFETENSORS_I32, tokens, err));
    shape[0] = t->shape[0];
    shape[1] = t->shape[1];
    *out_tokens = tokens;
    tokens = NULL;
out:
    free(tokens);
    safetensors_close(file);
    return status;
}

static moe_status run(const char *model, const char *in, const char *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct experiment *e = NULL;
    struct device *dev = NULL;
    struct decoder *decoder = NULL;
    int32_t *tokens = NULL;
    float *logits = NULL;
    int64_t shape[2] = {0, 0};
    moe_try(read_tokens(in, &tokens, shape, err));
    moe_try(model_file_config(model, &e, NULL, err));
    moe_try(model_file_open(model, e, "cpu", 0, shape[0], shape[1], &dev, &decoder, err));
    logits = malloc((size_t)(shape[0] * shape[1] * e->model.vocab_size) * sizeof *logits);
    moe_check(logits != NULL, err, MOE_ENOMEM, "no memory for logits");
    moe_try(decoder_logits(decoder, tokens, shape[0], shape[1], logits, err));
    const struct safetensors_source tensor = {.name = "logits",
                                              .dtype = SAFETENSORS_F32,
                                              .rank = 3,
                                              .shape = {shape[0], shape[1], e->model.vocab_size},
                                              .data = logits};
    moe_try(safetensors_write(out, &tensor, 1, NULL, 0, 0, err));
out:
    free(logits);
    free(tokens);
    decoder_destroy(decoder);
    device_close(dev);
    experiment_free(e);
    return status;
}

int main(int argc, char **argv) {
    moe_err err = {0};
    if (argc != 4) {
        fprintf(stderr, "usage: model_logits MODEL.safetensors TOKENS.safetensors LOGITS.safetensors\n");
        return moe_exit_code(MOE_EUSAGE);
    }
    const moe_status status = run(argv[1], argv[2], argv[3], &err);
    if (status != MOE_OK) fprintf(stderr, "model_logits: %s\n", err.message);
    return moe_exit_code(status);
}
