/* Datasets from the story generator.
 *
 * A split is one block of sequences per domain, domains in order, the first ones getting one sequence more
 * when the number does not divide; a block is the domain's stream cut into sequences. Where two blocks meet,
 * the last target of the first one belongs to the next domain: one target in a whole block that the floor
 * does not describe.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/choice_set.h"
#include "data/dataset_build.h"

moe_status dataset_story_block(const struct story_spelling *spelling, struct rng_key key, int32_t domain,
                               int64_t count, int32_t *tokens, moe_err *err) {
    moe_status status = MOE_OK;
    struct token_buffer story = {0}, spelled = {0};
    struct story_stream stream = story_stream_at(key, domain);
    for (int64_t filled = 0; filled < count;) {
        story.count = 0;
        spelled.count = 0;
        moe_try(stories_write(spelling->stories, &stream, &story, NULL, err));
        moe_try(story_spelling_append_story(spelling, story.ids, story.count, &spelled, err));
        const int64_t n = spelled.count < count - filled ? spelled.count : count - filled;
        memcpy(tokens + filled, spelled.ids, (size_t)n * sizeof *tokens);
        filled += n;
    }
out:
    token_buffer_free(&story);
    token_buffer_free(&spelled);
    return status;
}

static moe_status fill_story_split(const struct dataset_request *request,
                                   const struct story_spelling *spelling, enum split_number number,
                                   struct dataset_split *split, struct dataset *d, moe_err *err) {
    moe_status status = MOE_OK;
    const int64_t wanted = number == SPLIT_TRAIN ? request->train_tokens : request->validation_tokens;
    const int32_t T = request->sequence_length, domains = stories_domains(spelling->stories);
    const struct rng_key key = {.seed = request->seed, .stream = RNG_DATA, .step = number};
    moe_try(dataset_sequences(split_name(number), wanted, T, &split->sequences, err));
    const int64_t count = split->sequences * T + 1;
    split->tokens = malloc((size_t)count * sizeof *split->tokens);
    split->domain = malloc((size_t)split->sequences);
    moe_check(split->tokens != NULL && split->domain != NULL, err, MOE_ENOMEM, "no memory for %lld tokens",
              (long long)count);
    int64_t first = 0; /* sequence */
    for (int32_t i = 0; i < domains; i++) {
        const int64_t sequences = split->sequences / domains + (i < split->sequences % domains);
        const bool last = first + sequences == split->sequences;
        if (sequences > 0)
            moe_try(
                dataset_story_block(spelling, key, i, sequences * T + last, split->tokens + first * T, err));
        memset(split->domain + first, i + 1, (size_t)sequences);
        first += sequences;
    }
    split->unk_share = 0;
    moe_try(dataset_add_generated(d, "stories", number, request->seed, split->tokens, count, err));
out:
    return status;
}

moe_status dataset_describe_stories(const struct story_spelling *spelling, struct dataset *d, moe_err *err) {
    moe_status status = MOE_OK;
    d->domains = 1 + stories_domains(spelling->stories);
    for (int32_t i = 0; i + 1 < d->domains; i++) {
        struct stories_entropy entropy;
        moe_try(story_spelling_entropy(spelling, i, &entropy, err));
        snprintf(d->domain_names[i + 1], sizeof d->domain_names[i + 1], "%s",
                 stories_domain_name(spelling->stories, i));
        d->entropy_floor[i + 1] = entropy.nats_per_token;
    }
out:
    return status;
}

moe_status dataset_add_choice(const struct dataset_request *request, const struct story_spelling *spelling,
                              struct dataset *d, moe_err *err) {
    moe_status status = MOE_OK;
    if (request->choice_questions == 0) goto out;
    moe_check(d->domains < DATASET_MAX_DOMAINS, err, MOE_ECONFIG,
              "%d domains leave no room for that of data.choice_questions; name fewer files", d->domains);
    moe_try(choice_set_create(spelling, request->seed, request->choice_questions, request->sequence_length,
                              &d->choice, err));
    snprintf(d->domain_names[d->domains++], sizeof d->domain_names[0], DATASET_CHOICE_DOMAIN);
out:
    return status;
}

moe_status dataset_fill_stories(const struct dataset_request *request, struct dataset *d, moe_err *err) {
    moe_status status = MOE_OK;
    struct stories *s = NULL;
    struct story_spelling spelling = {0};
    moe_try(stories_open(&s, err));
    moe_check(request->vocab_size >= stories_vocab_size(s), err, MOE_ECONFIG,
              "the stories have %d ids, but vocab_size is %d; set model.vocab_size to at least %d",
              stories_vocab_size(s), request->vocab_size, stories_vocab_size(s));
    moe_try(stories_tokenizer(s, &d->tokenizer, err));
    moe_try(story_spelling_create(&spelling, s, d->tokenizer, TOKENIZE_WORD, err));
    moe_try(fill_story_split(request, &spelling, SPLIT_TRAIN, &d->train, d, err));
    moe_try(fill_story_split(request, &spelling, SPLIT_VALIDATION, &d->validation, d, err));
    moe_try(dataset_describe_stories(&spelling, d, err));
    moe_try(dataset_add_choice(request, &spelling, d, err));
    d->entropy_floor[0] = 0;
    for (int64_t i = 0; i < d->validation.sequences; i++) {
        d->entropy_floor[0] += d->entropy_floor[d->validation.domain[i]] / (double)d->validation.sequences;
    }
out:
    story_spelling_free(&spelling);
    stories_close(s);
    return status;
}
