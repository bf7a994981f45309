/* choice_set.h - multiple-choice questions as token sequences: stories whose right ending is one of four
 * (stories_questions.h).
 */
#ifndef DATA_CHOICE_SET_H
#define DATA_CHOICE_SET_H

#include "data/stories_questions.h"
#include "data/stories_spelling.h"

/* Candidate c of question q is row 4 q + c of `tokens`: the boundary between stories, the story, the ending,
 * then zeros. */
struct choice_set {
    int32_t questions, length; /* tokens that the longest candidate is predicted from, at most T */
    int32_t *tokens;           /* [questions, 4, length + 1] */
    int32_t *first, *end;      /* [questions, 4] the ending is tokens first .. end - 1 of its row */
    uint8_t *right;            /* [questions] 0 .. 3 */
    double surprisal;          /* of all right endings together, nats: what they cost who knows the grammar */
};

/* Questions i = 0, 1, ... about domain i mod 6, every other one of a domain about a story that ends well; a
 * pure function of the seed. Stories that do not fit into sequence_length are passed over; MOE_ECONFIG when
 * none fits. */
moe_status choice_set_create(const struct story_spelling *spelling, uint64_t seed, int32_t questions,
                             int32_t sequence_length, struct choice_set **out_set, moe_err *err);
void choice_set_free(struct choice_set *set); /* NULL is allowed */

#endif
