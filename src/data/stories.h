/* stories.h - small stories from a seeded probabilistic grammar whose entropy is known exactly.
 *
 * A story is words and full stops, all lower case, ended by <eos>; ids are those of a word tokenizer
 * (tokenizer.h). Its hero, place, thing and friend are drawn once and come back, with the pronouns and
 * properties that belong to them.
 *
 * What is exact: a story is a sequence of independent choices, each with a known distribution, and its text
 * determines the choices (stories_grammar.h). So the surprisal of a story is the sum of -ln p over its
 * choices, and
 *
 *     entropy per token = E[surprisal of a story] / E[tokens of a story, <eos> included].
 *
 * Both expectations are sums over states of (expected visits) x (mean per visit); the visits solve a linear
 * system of 7 equations (an absorbing Markov chain; Kemeny and Snell 1960, ch. 3). By the renewal theorem the
 * quotient is the entropy rate of an endless stream of stories of one domain, read by somebody who knows the
 * domain and all that came before. Nobody does better on average on text not seen before.
 *
 * What is not: sequences of T tokens cut stories. A model that sees only its sequence does not know the
 * domain, the place in the grammar and the four things remembered where it begins, so it pays for learning
 * them: at most their entropy, below ln 6 + ln 300 + ln 12 + ln 5 + ln 6 + ln 4 < 15 nats a sequence, 0.06
 * nats per token at T = 256. The floor is a lower bound for every T and the limit for large T.
 */
#ifndef DATA_STORIES_H
#define DATA_STORIES_H

#include "core/rng.h"
#include "core/status.h"
#include "data/token_buffer.h"
#include "data/tokenizer.h"

struct stories;

/* Compiles and checks the built-in grammar. */
moe_status stories_open(struct stories **out_stories, moe_err *err);
void stories_close(struct stories *s); /* NULL is allowed */

/* Domains are numbered from 0. */
int32_t stories_domains(const struct stories *s);
const char *stories_domain_name(const struct stories *s, int32_t domain);

/* Number of ids, <unk> (never written) and <eos> among them. */
int32_t stories_vocab_size(const struct stories *s);

/* A word tokenizer with the same ids. */
moe_status stories_tokenizer(const struct stories *s, struct tokenizer **out_tokenizer, moe_err *err);

/* The same, with words of texts behind those of the stories: tokenizer_extend_words(). */
moe_status stories_extend_tokenizer(const struct stories *s, const struct text_file *texts,
                                    const int64_t *max_tokens, int32_t count, int32_t vocab_size,
                                    struct tokenizer **out_tokenizer, moe_err *err);

struct stories_entropy {
    double nats_per_token, nats_per_story, tokens_per_story;
};

/* Exact figures of one domain. MOE_ENUMERIC if the grammar's walk does not end with probability one. */
moe_status stories_entropy(const struct stories *s, int32_t domain, struct stories_entropy *out,
                           moe_err *err);

/* The same where the word with id w counts as lengths[w] tokens and the end of a story as `end`: the entropy
 * of the stories in another tokenizer's tokens. Exact if each word has its own spelling there. */
moe_status stories_entropy_spelled(const struct stories *s, int32_t domain, const int32_t *lengths,
                                   int32_t end, struct stories_entropy *out, moe_err *err);

/* An endless stream of stories: a pure function of (key, domain, number of the choice). */
struct story_stream {
    struct rng_key key;
    int32_t domain;
    uint64_t choice;
};

struct story_stream story_stream_at(struct rng_key key, int32_t domain);

/* Appends the stream's next story; out_surprisal (NULL is allowed) is its surprisal in nats. */
moe_status stories_write(const struct stories *s, struct story_stream *stream, struct token_buffer *out,
                         double *out_surprisal, moe_err *err);

/* Recovers the derivation of the story at the start of tokens [count]: its length with <eos>, and its
 * surprisal in nats. MOE_EFORMAT with the offset when the tokens are no story of the domain or end early;
 * MOE_EMISMATCH when a second derivation fits. */
moe_status stories_parse(const struct stories *s, int32_t domain, const int32_t *tokens, int64_t count,
                         int64_t *out_length, double *out_surprisal, moe_err *err);

#endif
