#include "data/stories_spelling.h"

#include <stdlib.h>
#include <string.h>

#include "data/stories_tables.h"

static const struct word *word_of(const struct stories *s, int32_t id) {
    return &s->words.words[id - TOKENIZER_FIRST_WORD];
}

/* Appends what a tokenizer makes of one word that stands after another one. */
static moe_status spell_word(const struct story_spelling *s, const struct tokenizer *t, const char *text,
                             int32_t length, struct token_buffer *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct token_buffer ids = {0};
    if (s->kind == TOKENIZE_BYTE) moe_try(token_buffer_add(out, ' ', err));
    moe_try(tokenizer_encode(t, text, length, 0, &ids, err));
    /* a word is ended by <eos> as a line of its own, pieces are begun by BOS */
    const int64_t first = s->kind == TOKENIZE_SENTENCEPIECE && ids.count > 0 && ids.ids[0] == s->boundary;
    const int64_t last = s->kind == TOKENIZE_WORD ? 1 : ids.count;
    for (int64_t i = first; i < last; i++) {
        moe_check(ids.ids[i] != tokenizer_unk(t), err, MOE_ECONFIG,
                  "the tokenizer does not know \"%.*s\", a word of the stories; choose another "
                  "data.tokenizer_file or a larger vocabulary",
                  (int)length, text);
        moe_try(token_buffer_add(out, ids.ids[i], err));
    }
out:
    token_buffer_free(&ids);
    return status;
}

static moe_status spell_words(struct story_spelling *s, const struct tokenizer *t, moe_err *err) {
    moe_status status = MOE_OK;
    struct token_buffer ids = {0};
    const int32_t words = stories_vocab_size(s->stories);
    s->start = calloc((size_t)words + 1, sizeof *s->start);
    s->lengths = calloc((size_t)words, sizeof *s->lengths);
    moe_check(s->start != NULL && s->lengths != NULL, err, MOE_ENOMEM, "no memory for %d words", words);
    for (int32_t id = TOKENIZER_FIRST_WORD; id < words; id++) {
        const struct word *w = word_of(s->stories, id);
        s->start[id] = (int32_t)ids.count;
        moe_try(spell_word(s, t, s->stories->words.bytes + w->offset, w->length, &ids, err));
        s->lengths[id] = (int32_t)ids.count - s->start[id];
    }
    s->start[words] = (int32_t)ids.count;
    s->ids = ids.ids;
    ids = (struct token_buffer){0};
out:
    token_buffer_free(&ids);
    return status;
}

/* The text of words [count], with a newline behind it: malloc'ed. */
static char *text_of(const struct stories *s, const int32_t *words, int64_t count, size_t *out_size) {
    size_t size = 0;
    for (int64_t i = 0; i < count; i++) {
        size += (size_t)word_of(s, words[i])->length + 1;
    }
    char *text = malloc(size + 1), *at = text;
    for (int64_t i = 0; text != NULL && i < count; i++) {
        const struct word *w = word_of(s, words[i]);
        memcpy(at, s->words.bytes + w->offset, (size_t)w->length);
        at += w->length;
        *at++ = i + 1 < count ? ' ' : '\n';
    }
    *out_size = size;
    return text;
}

/* One story of a domain, spelled word by word and tokenized as a whole. */
static moe_status check_story(const struct story_spelling *s, const struct tokenizer *t, int32_t domain,
                              moe_err *err) {
    moe_status status = MOE_OK;
    struct token_buffer story = {0}, spelled = {0}, whole = {0};
    char *text = NULL;
    size_t size = 0;
    struct story_stream stream = story_stream_at((struct rng_key){.stream = RNG_DATA}, domain);
    moe_try(stories_write(s->stories, &stream, &story, NULL, err));
    moe_try(story_spelling_append(s, story.ids, story.count - 1, true, &spelled, err));
    text = text_of(s->stories, story.ids, story.count - 1, &size);
    moe_check(text != NULL, err, MOE_ENOMEM, "no memory for a story");
    moe_try(tokenizer_encode(t, text, (int64_t)size, 0, &whole, err));
    const int64_t first = s->kind == TOKENIZE_SENTENCEPIECE && whole.count > 0 && whole.ids[0] == s->boundary;
    moe_check(whole.count >= first + spelled.count &&
                  memcmp(whole.ids + first, spelled.ids, (size_t)spelled.count * sizeof *spelled.ids) == 0,
              err, MOE_ENOTSUP,
              "the tokenizer's pieces reach over spaces, so that the entropy of stories is not known in its "
              "tokens; choose another data.tokenizer_file");
out:
    free(text);
    token_buffer_free(&story);
    token_buffer_free(&spelled);
    token_buffer_free(&whole);
    return status;
}

moe_status story_spelling_create(struct story_spelling *out_spelling, const struct stories *stories,
                                 const struct tokenizer *tokenizer, enum tokenizer_kind kind, moe_err *err) {
    moe_status status = MOE_OK;
    struct story_spelling s = {.stories = stories, .kind = kind, .boundary = tokenizer_boundary(tokenizer)};
    moe_check(s.boundary >= 0, err, MOE_ENOTSUP,
              "the tokenizer has no id that separates documents, so stories would run together");
    moe_try(spell_words(&s, tokenizer, err));
    for (int32_t domain = 0; domain < stories_domains(stories); domain++) {
        moe_try(check_story(&s, tokenizer, domain, err));
    }
    *out_spelling = s;
    s = (struct story_spelling){0};
out:
    story_spelling_free(&s);
    return status;
}

void story_spelling_free(struct story_spelling *s) {
    free(s->ids);
    free(s->start);
    free(s->lengths);
    memset(s, 0, sizeof *s);
}

moe_status story_spelling_append(const struct story_spelling *s, const int32_t *words, int64_t count,
                                 bool begins, struct token_buffer *out, moe_err *err) {
    moe_status status = MOE_OK;
    for (int64_t i = 0; i < count; i++) {
        const bool unspaced = begins && i == 0 && s->kind == TOKENIZE_BYTE;
        const int32_t first = s->start[words[i]] + unspaced, end = s->start[words[i] + 1];
        moe_try(token_buffer_reserve(out, end - first, err));
        memcpy(out->ids + out->count, s->ids + first, (size_t)(end - first) * sizeof *out->ids);
        out->count += end - first;
    }
out:
    return status;
}

moe_status story_spelling_append_story(const struct story_spelling *s, const int32_t *words, int64_t count,
                                       struct token_buffer *out, moe_err *err) {
    moe_status status = MOE_OK;
    const bool leads = s->kind == TOKENIZE_SENTENCEPIECE;
    if (leads) moe_try(token_buffer_add(out, s->boundary, err));
    moe_try(story_spelling_append(s, words, count - 1, true, out, err));
    if (!leads) moe_try(token_buffer_add(out, s->boundary, err));
out:
    return status;
}

moe_status story_spelling_entropy(const struct story_spelling *s, int32_t domain, struct stories_entropy *out,
                                  moe_err *err) {
    /* of bytes, the boundary takes the place of the space that the first word lacks */
    const int32_t end = s->kind == TOKENIZE_BYTE ? 0 : 1;
    return stories_entropy_spelled(s->stories, domain, s->lengths, end, out, err);
}
