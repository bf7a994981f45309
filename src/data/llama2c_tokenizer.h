/* llama2c_tokenizer.h - tokenizer files of llama2.c, made into SentencePiece models.
 *
 * Such a file is an int32 (the longest piece, in bytes) and then for each id a float score, an int32 length
 * and so many bytes: a SentencePiece BPE model with its spaces written out, "<0x00>".."<0xFF>" for the bytes
 * and line breaks around "<s>" and "</s>" (ids 1 and 2).
 */
#ifndef DATA_LLAMA2C_TOKENIZER_H
#define DATA_LLAMA2C_TOKENIZER_H

#include "core/status.h"

/* The file as a serialised SentencePiece model with the same ids and scores: malloc'ed. Encoding puts a space
 * in front of a text and changes nothing else, as llama2.c does. MOE_ENOTFOUND; MOE_EFORMAT: not such a file.
 */
moe_status llama2c_tokenizer_read(const char *path, unsigned char **out_model, size_t *out_size,
                                  moe_err *err);

#endif
