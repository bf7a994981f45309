#include "data/stories_questions.h"

#include <math.h>
#include <string.h>

#include "data/stories_tables.h"

/* Number of each list's row: those remembered, or those drawn for an element of a line. */
struct line_rows {
    int of_list[STORY_MAX_LISTS];
    int of_element[STORY_MAX_ELEMENTS];
};

void story_question_free(struct story_question *q) {
    token_buffer_free(&q->story);
    for (int i = 0; i < STORY_ENDINGS; i++) {
        token_buffer_free(&q->endings[i]);
    }
    memset(q, 0, sizeof *q);
}

static int pick(struct story_stream *stream, const int *weights, int total) {
    int left = (int)rng_below(stream->key, stream->choice++, (uint64_t)total);
    int i = 0;
    for (; left >= weights[i]; i++) {
        left -= weights[i];
    }
    return i;
}

static int pick_row(struct story_stream *stream, const struct story_rows *list) {
    return pick(stream, list->weights, list->total_weight);
}

static const struct story_choice *pick_line(struct story_stream *stream, const struct story_table *t,
                                            enum story_state state) {
    int weights[STORY_MAX_LINES];
    for (int i = 0; i < t->num_lines[state]; i++) {
        weights[i] = t->lines[state][i].weight;
    }
    return &t->lines[state][pick(stream, weights, t->total_weight[state])];
}

/* Draws the rows of a line's elements; what it remembers goes to rows->of_list. */
static void draw_rows(struct story_stream *stream, const struct story_table *t,
                      const struct story_choice *line, struct line_rows *rows) {
    for (int i = 0; i < line->count; i++) {
        const struct story_element *e = &line->elements[i];
        if (e->kind != STORY_DRAW && e->kind != STORY_REMEMBER) continue;
        rows->of_element[i] = pick_row(stream, &t->lists[e->list]);
        if (e->kind == STORY_REMEMBER) rows->of_list[e->list] = rows->of_element[i];
    }
}

static moe_status write_line(const struct story_table *t, const struct story_choice *line,
                             const struct line_rows *rows, struct token_buffer *out, moe_err *err) {
    moe_status status = MOE_OK;
    moe_try(token_buffer_reserve(out, line->count, err));
    for (int i = 0; i < line->count; i++) {
        const struct story_element *e = &line->elements[i];
        const int row = e->kind == STORY_REFER ? rows->of_list[e->list] : rows->of_element[i];
        out->ids[out->count++] = e->kind == STORY_WORD ? e->word : t->lists[e->list].words[row][e->column];
    }
out:
    return status;
}

/* Writes a story up to its ending, whose kind is returned. */
static moe_status write_story(const struct story_table *t, struct story_stream *stream,
                              struct token_buffer *out, struct line_rows *rows, enum story_state *ending,
                              moe_err *err) {
    moe_status status = MOE_OK;
    enum story_state state = STORY_OPENING;
    out->count = 0;
    memset(rows, 0, sizeof *rows);
    while (state != STORY_GOOD_ENDING && state != STORY_BAD_ENDING) {
        const struct story_choice *line = pick_line(stream, t, state);
        draw_rows(stream, t, line, rows);
        moe_try(write_line(t, line, rows, out, err));
        state = line->next;
    }
    *ending = state;
out:
    return status;
}

/* Rows of another story: every list that has more than one row gets another one. */
static void draw_other_rows(const struct story_table *t, struct story_stream *stream,
                            const struct line_rows *rows, struct line_rows *others) {
    for (int list = 0; list < t->num_lists; list++) {
        do {
            others->of_list[list] = pick_row(stream, &t->lists[list]);
        } while (t->lists[list].rows > 1 && others->of_list[list] == rows->of_list[list]);
    }
}

static bool may_be(const struct story_table *t, const struct story_element *e, const struct line_rows *rows,
                   int32_t word) {
    const struct story_rows *list = &t->lists[e->list];
    if (e->kind == STORY_WORD) return e->word == word;
    if (e->kind == STORY_REFER) return list->words[rows->of_list[e->list]][e->column] == word;
    for (int row = 0; row < list->rows; row++) {
        if (list->words[row][0] == word) return true;
    }
    return false;
}

/* Whether the grammar can write these words in a state, given what is remembered. */
static bool is_possible(const struct story_table *t, enum story_state state, const struct line_rows *rows,
                        const struct token_buffer *words) {
    for (int i = 0; i < t->num_lines[state]; i++) {
        const struct story_choice *line = &t->lines[state][i];
        bool fits = line->count == words->count;
        for (int j = 0; fits && j < line->count; j++) {
            fits = may_be(t, &line->elements[j], rows, words->ids[j]);
        }
        if (fits) return true;
    }
    return false;
}

static double line_surprisal(const struct story_table *t, enum story_state state,
                             const struct story_choice *line, const struct line_rows *rows) {
    double nats = -log((double)line->weight / t->total_weight[state]);
    for (int i = 0; i < line->count; i++) {
        const struct story_element *e = &line->elements[i];
        const struct story_rows *list = &t->lists[e->list];
        if (e->kind == STORY_DRAW || e->kind == STORY_REMEMBER)
            nats -= log((double)list->weights[rows->of_element[i]] / list->total_weight);
    }
    return nats;
}

/* Writes the four endings of a story that led to `kind`: number q->right is the right one, the next of a
 * different kind, the one after that about another story, and the fourth both. */
static moe_status write_endings(const struct story_table *t, struct story_stream *stream,
                                enum story_state kind, const struct line_rows *rows, struct story_question *q,
                                moe_err *err) {
    moe_status status = MOE_OK;
    const enum story_state kinds[2] = {kind,
                                       kind == STORY_GOOD_ENDING ? STORY_BAD_ENDING : STORY_GOOD_ENDING};
    struct line_rows others = {{0}, {0}};
    draw_other_rows(t, stream, rows, &others);
    q->right = (int32_t)rng_below(stream->key, stream->choice++, STORY_ENDINGS);
    for (int other_kind = 0; other_kind < 2; other_kind++) {
        const struct story_choice *line = pick_line(stream, t, kinds[other_kind]);
        struct line_rows drawn = *rows;
        draw_rows(stream, t, line, &drawn);
        if (other_kind == 0) q->surprisal = line_surprisal(t, kind, line, &drawn);
        for (int other_story = 0; other_story < 2; other_story++) {
            struct token_buffer *ending =
                &q->endings[(q->right + other_kind + 2 * other_story) % STORY_ENDINGS];
            if (other_story) memcpy(drawn.of_list, others.of_list, sizeof drawn.of_list);
            ending->count = 0;
            moe_try(write_line(t, line, &drawn, ending, err));
        }
    }
out:
    return status;
}

moe_status stories_ask(const struct stories *s, struct story_stream *stream, bool ends_well,
                       struct story_question *q, moe_err *err) {
    moe_status status = MOE_OK;
    const struct story_table *t = &s->domains[stream->domain];
    const enum story_state wanted = ends_well ? STORY_GOOD_ENDING : STORY_BAD_ENDING;
    for (;;) {
        enum story_state kind = STORY_END;
        struct line_rows rows;
        int possible = 0;
        moe_try(write_story(t, stream, &q->story, &rows, &kind, err));
        if (kind != wanted) continue;
        moe_try(write_endings(t, stream, kind, &rows, q, err));
        for (int i = 0; i < STORY_ENDINGS; i++) {
            possible += is_possible(t, kind, &rows, &q->endings[i]);
        }
        if (possible == 1) break;
    }
out:
    return status;
}
