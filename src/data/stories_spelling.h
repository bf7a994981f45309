/* stories_spelling.h - stories in the tokens of any tokenizer, word by word, so that their entropy stays
 * exact.
 *
 * The text of a story is its words with single spaces between them. A word tokenizer that knows all its words
 * spells each with one id and ends it with <eos>; SentencePiece puts BOS in front and, as no piece reaches
 * over a space, gives each word the same pieces wherever it stands; bytes are those of the text, and id 0
 * ends it (tokenizer.h).
 */
#ifndef DATA_STORIES_SPELLING_H
#define DATA_STORIES_SPELLING_H

#include "data/dataset.h"
#include "data/stories.h"

struct story_spelling {
    const struct stories *stories;
    enum tokenizer_kind kind;
    int32_t *ids;     /* spellings of all words, one after the other */
    int32_t *start;   /* [words + 1] word w has ids[start[w] .. start[w + 1]) */
    int32_t *lengths; /* [words] how many these are */
    int32_t boundary; /* id between two stories */
};

/* Spells every word. MOE_ECONFIG when the tokenizer does not know one; MOE_ENOTSUP when a story as a whole
 * would have other tokens. stories must outlive it. */
moe_status story_spelling_create(struct story_spelling *out_spelling, const struct stories *stories,
                                 const struct tokenizer *tokenizer, enum tokenizer_kind kind, moe_err *err);
void story_spelling_free(struct story_spelling *s); /* also of one that is all zeros */

/* Appends the spelling of words [count], which begin a story or go on with one; no boundary. */
moe_status story_spelling_append(const struct story_spelling *s, const int32_t *words, int64_t count,
                                 bool begins, struct token_buffer *out, moe_err *err);

/* Appends the story at words [count], <eos> included, with its boundary. */
moe_status story_spelling_append_story(const struct story_spelling *s, const int32_t *words, int64_t count,
                                       struct token_buffer *out, moe_err *err);

/* Exact entropy of a domain in these tokens. */
moe_status story_spelling_entropy(const struct story_spelling *s, int32_t domain, struct stories_entropy *out,
                                  moe_err *err);

#endif
