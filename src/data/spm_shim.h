/* spm_shim.h - the SentencePiece library behind a C interface; no exception leaves it. */
#ifndef DATA_SPM_SHIM_H
#define DATA_SPM_SHIM_H

#include "core/status.h"
#include "data/token_buffer.h"

#ifdef __cplusplus
extern "C" {
#endif

struct spm;

/* Loads a model from its bytes; `name` stands in messages. MOE_EFORMAT when they are not a model. */
moe_status spm_load(const void *bytes, size_t size, const char *name, struct spm **out_spm, moe_err *err);
void spm_free(struct spm *spm); /* NULL is allowed */

int32_t spm_size(const struct spm *spm); /* number of pieces */
int32_t spm_bos(const struct spm *spm);  /* -1 when the model has none */
int32_t spm_eos(const struct spm *spm);  /* -1 when the model has none */
int32_t spm_unk(const struct spm *spm);

/* Appends the ids of text [size] (no BOS, no EOS). */
moe_status spm_encode(const struct spm *spm, const char *text, size_t size, struct token_buffer *out,
                      moe_err *err);

/* Text of ids [count], malloc'ed, NUL-terminated. Ids must lie in [0, spm_size). */
moe_status spm_decode(const struct spm *spm, const int32_t *ids, int64_t count, char **out_text,
                      moe_err *err);

/* A sentence to learn from: UTF-8 without NUL, not NUL-terminated. */
struct spm_sentence {
    const char *text;
    size_t size;
};

/* Learns a model of exactly vocab_size pieces from sentences [count] in the order given, all of them, in one
 * thread, so that equal input gives equal bytes: BPE, or a unigram model. Set up as Llama 2's is: ids <unk>
 * 0, <s> 1, </s> 2, then the 256 bytes, which spell what has no piece; digits stand alone; text is not
 * normalised but for a space put in front. *out_model is malloc'ed. MOE_ECONFIG: the text cannot give that
 * many pieces, or they do not hold its characters. */
moe_status spm_train(const struct spm_sentence *sentences, size_t count, int32_t vocab_size, bool unigram,
                     unsigned char **out_model, size_t *out_size, moe_err *err);

#ifdef __cplusplus
}
#endif

#endif
