#include "data/choice_set.h"

#include <stdlib.h>
#include <string.h>

#define CHOICE_STEP  2    /* of RNG_DATA; 0 and 1 are the splits */
#define CHOICE_TRIES 1000 /* stories looked at for one that fits */

void choice_set_free(struct choice_set *set) {
    if (set == NULL) return;
    free(set->tokens);
    free(set->first);
    free(set->end);
    free(set->right);
    free(set);
}

static moe_status set_new(int32_t questions, int32_t sequence_length, struct choice_set **out_set,
                          moe_err *err) {
    moe_status status = MOE_OK;
    const size_t rows = (size_t)questions * STORY_ENDINGS;
    struct choice_set *set = calloc(1, sizeof *set);
    moe_check(set != NULL, err, MOE_ENOMEM, "no memory for %d questions", questions);
    set->tokens = calloc(rows * ((size_t)sequence_length + 1), sizeof *set->tokens);
    set->first = calloc(rows, sizeof *set->first);
    set->end = calloc(rows, sizeof *set->end);
    set->right = calloc((size_t)questions, sizeof *set->right);
    moe_check(set->tokens != NULL && set->first != NULL && set->end != NULL && set->right != NULL, err,
              MOE_ENOMEM, "no memory for %d questions of %d tokens", questions, sequence_length);
    set->questions = questions;
    *out_set = set;
    set = NULL;
out:
    choice_set_free(set);
    return status;
}

/* Spells candidate c into `row`, and tells where its ending begins. */
static moe_status spell(const struct story_spelling *spelling, const struct story_question *q, int c,
                        struct token_buffer *row, int32_t *first, moe_err *err) {
    moe_status status = MOE_OK;
    row->count = 0;
    moe_try(token_buffer_add(row, spelling->boundary, err));
    moe_try(story_spelling_append(spelling, q->story.ids, q->story.count, true, row, err));
    *first = (int32_t)row->count;
    moe_try(story_spelling_append(spelling, q->endings[c].ids, q->endings[c].count, false, row, err));
out:
    return status;
}

/* Puts question number `at` into the set, unless a candidate is too long: then *out_fits is false. */
static moe_status put_question(struct choice_set *set, const struct story_spelling *spelling, int32_t at,
                               int32_t sequence_length, const struct story_question *q, bool *out_fits,
                               moe_err *err) {
    moe_status status = MOE_OK;
    struct token_buffer row = {0};
    *out_fits = true;
    for (int c = 0; c < STORY_ENDINGS && *out_fits; c++) {
        const size_t number = (size_t)at * STORY_ENDINGS + (size_t)c;
        moe_try(spell(spelling, q, c, &row, &set->first[number], err));
        *out_fits = row.count <= sequence_length + 1;
        if (!*out_fits) break;
        int32_t *to = set->tokens + number * ((size_t)sequence_length + 1);
        memset(to, 0, ((size_t)sequence_length + 1) * sizeof *to);
        memcpy(to, row.ids, (size_t)row.count * sizeof *to);
        set->end[number] = (int32_t)row.count;
    }
out:
    token_buffer_free(&row);
    return status;
}

/* Shortens all rows to the longest candidate. */
static void trim(struct choice_set *set, int32_t sequence_length) {
    const size_t rows = (size_t)set->questions * STORY_ENDINGS;
    for (size_t i = 0; i < rows; i++) {
        if (set->end[i] - 1 > set->length) set->length = set->end[i] - 1;
    }
    const size_t from = (size_t)sequence_length + 1, to = (size_t)set->length + 1;
    for (size_t i = 0; i < rows; i++) {
        memmove(set->tokens + i * to, set->tokens + i * from, to * sizeof *set->tokens);
    }
}

moe_status choice_set_create(const struct story_spelling *spelling, uint64_t seed, int32_t questions,
                             int32_t sequence_length, struct choice_set **out_set, moe_err *err) {
    moe_status status = MOE_OK;
    const struct stories *stories = spelling->stories;
    const int32_t domains = stories_domains(stories);
    struct story_stream streams[DATASET_STORY_DOMAINS];
    struct story_question q = {0};
    struct choice_set *set = NULL;
    for (int32_t i = 0; i < domains; i++) {
        const struct rng_key key = {.seed = seed, .stream = RNG_DATA, .step = CHOICE_STEP};
        streams[i] = story_stream_at(key, i);
    }
    moe_try(set_new(questions, sequence_length, &set, err));
    for (int32_t i = 0; i < questions; i++) {
        bool fits = false;
        for (int tries = 0; tries < CHOICE_TRIES && !fits; tries++) {
            moe_try(stories_ask(stories, &streams[i % domains], i / domains % 2 == 0, &q, err));
            moe_try(put_question(set, spelling, i, sequence_length, &q, &fits, err));
        }
        moe_check(
            fits, err, MOE_ECONFIG,
            "no story of domain %s fits into data.sequence_length = %d, as data.choice_questions needs: "
            "lengthen it, or set data.choice_questions = 0",
            stories_domain_name(stories, i % domains), sequence_length);
        set->right[i] = (uint8_t)q.right;
        set->surprisal += q.surprisal;
    }
    trim(set, sequence_length);
    *out_set = set;
    set = NULL;
out:
    story_question_free(&q);
    choice_set_free(set);
    return status;
}
