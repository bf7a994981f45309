/* stories_questions.h - which of four endings belongs to a story?
 *
 * A question is a story without its last line, and four such lines: of the kind to which the story led (good
 * or bad) or of the other one, and about this story's hero, place, thing and friend or about those of
 * another. One is both and right. The four differ in nothing else: the two of a kind are the same line with
 * the same draws, the two about the same story are about the same. So
 *
 *     who has not read the story picks the right one in 1/4 of all cases, who knows only its kind or only
 * whom it is about in 1/2, and who knows the grammar always: the three others have probability zero there.
 *
 * Half of the questions are about stories that end well. Words are ids of stories.h.
 */
#ifndef DATA_STORIES_QUESTIONS_H
#define DATA_STORIES_QUESTIONS_H

#include "data/stories.h"

#define STORY_ENDINGS 4

struct story_question {
    struct token_buffer story;                  /* up to its last line */
    struct token_buffer endings[STORY_ENDINGS]; /* without <eos> */
    int32_t right;                              /* number of the right one, each equally often */
    double surprisal;                           /* of the right one, nats, for who knows the grammar */
};

void story_question_free(struct story_question *q); /* also of one that is all zeros */

/* The next question of a stream about a story that ends well, or badly; what `q` held is overwritten. */
moe_status stories_ask(const struct stories *s, struct story_stream *stream, bool ends_well,
                       struct story_question *q, moe_err *err);

#endif
