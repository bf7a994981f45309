/* tokenizer.h - text to token ids and back: words, bytes, or a SentencePiece model.
 *
 * Documents: a line that holds only `<|endoftext|>` ends a document in every tokenizer and is no text itself.
 *
 * Words are runs of bytes without ASCII white space (space, \t, \n, \v, \f, \r). Id 0 is <unk>, id 1 is
 * <eos>. A line that has at least one word ends with <eos>; blank lines give nothing, so that a text with and
 * one without blank lines between paragraphs give the same tokens; the end of a text ends its last line. A
 * literal <unk> or <eos> in the text is that id. A document's end is one more <eos>, and so is a marker
 * inside a line.
 *
 * Bytes are their own ids, newlines included; a document's end is id 0, which no text contains.
 *
 * SentencePiece: each document, without the white space around it, is the model's BOS id and the pieces of
 * the text; no EOS follows. That is how source D (its training script, with the tokenizer's defaults) and
 * llama2.c pack stories, so BOS is what separates them. With a model that has no BOS, the marker is its EOS.
 * A document of more than 1 MiB is encoded in parts that end at line ends; a part
 * begins like a text of its own, without BOS.
 */
#ifndef DATA_TOKENIZER_H
#define DATA_TOKENIZER_H

#include "core/status.h"
#include "data/text_file.h"
#include "data/token_buffer.h"
#include "data/word_table.h"

enum { TOKENIZER_UNK = 0, TOKENIZER_EOS = 1, TOKENIZER_FIRST_WORD = 2 }; /* ids of word tokenizers */

struct tokenizer;

moe_status tokenizer_bytes(struct tokenizer **out_tokenizer, moe_err *err);

/* Words learned from the first max_tokens tokens (0: all) of texts [count]: the vocab_size - 2 most frequent
 * ones, by count descending, then by bytes ascending, get ids from 2 up. vocab_size >= 3, or MOE_ECONFIG. */
moe_status tokenizer_learn_words(const struct text_file *texts, int32_t count, int64_t max_tokens,
                                 int32_t vocab_size, struct tokenizer **out_tokenizer, moe_err *err);

/* Words given, with ids 2 up, and behind them words learned in the same way from the first max_tokens[i]
 * tokens (none if that is 0) of text i [count], vocab_size - 2 together. MOE_ECONFIG if the given ones are
 * more. */
moe_status tokenizer_extend_words(const struct word_table *given, const struct text_file *texts,
                                  const int64_t *max_tokens, int32_t count, int32_t vocab_size,
                                  struct tokenizer **out_tokenizer, moe_err *err);

/* Words given: word i of the table gets id 2 + i. They are copied. */
moe_status tokenizer_from_words(const struct word_table *words, struct tokenizer **out_tokenizer,
                                moe_err *err);

/* The first of folders [count] (NULL: the current one) that has the model file `name`: *out_path is its path,
 * malloc'ed. An absolute name is looked for as it is. MOE_ENOTFOUND names every place. */
moe_status tokenizer_find(const char *name, const char *const *folders, int32_t count, char **out_path,
                          moe_err *err);

/* A SentencePiece model file. MOE_ENOTFOUND when missing, MOE_EFORMAT when it is not a model. */
moe_status tokenizer_sentencepiece(const char *path, struct tokenizer **out_tokenizer, moe_err *err);
void tokenizer_free(struct tokenizer *t); /* NULL is allowed */

/* SHA-256 of the model file of a SentencePiece tokenizer; "" for the others. */
const char *tokenizer_sha256(const struct tokenizer *t);

/* Every id lies in [0, tokenizer_size). */
int32_t tokenizer_size(const struct tokenizer *t);

/* Id of unknown text, or -1 when there is none. */
int32_t tokenizer_unk(const struct tokenizer *t);

/* Id that separates documents, or -1 when there is none. */
int32_t tokenizer_boundary(const struct tokenizer *t);

/* Id of a SentencePiece model's EOS, or -1 when there is none. Texts are encoded without it, but a model
 * trained elsewhere may end its texts so. */
int32_t tokenizer_eos(const struct tokenizer *t);

/* Appends the ids of text [size] to `out`, max_tokens of them at most (0: all). */
moe_status tokenizer_encode(const struct tokenizer *t, const char *text, int64_t size, int64_t max_tokens,
                            struct token_buffer *out, moe_err *err);

/* Number of word-level tokens in a text; it does not depend on the vocabulary. */
int64_t tokenizer_count_words(const char *text, int64_t size);

/* Text of ids [count], malloc'ed and NUL-terminated: words with single spaces between them and a newline for
 * <eos>; bytes as they are; pieces joined by the model. An id out of range is MOE_EARG. */
moe_status tokenizer_decode(const struct tokenizer *t, const int32_t *ids, int64_t count, char **out_text,
                            moe_err *err);

#endif
