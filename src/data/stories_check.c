/* Proofs about a compiled grammar: nothing is referred to before it is remembered, and derivations are
 * unique. */
#include "data/stories_tables.h"

/* Words that an element may write: one, or a list's column. */
static int element_words(const struct story_table *t, const struct story_element *e) {
    return e->kind == STORY_WORD ? 1 : t->lists[e->list].rows;
}

static int32_t element_word(const struct story_table *t, const struct story_element *e, int i) {
    return e->kind == STORY_WORD ? e->word : t->lists[e->list].words[i][e->column];
}

static bool disjoint(const struct story_table *t, const struct story_element *a,
                     const struct story_element *b) {
    for (int i = 0; i < element_words(t, a); i++) {
        for (int j = 0; j < element_words(t, b); j++) {
            if (element_word(t, a, i) == element_word(t, b, j)) return false;
        }
    }
    return true;
}

static bool same_element(const struct story_element *a, const struct story_element *b) {
    if (a->kind != b->kind) return false;
    return a->kind == STORY_WORD ? a->word == b->word : a->list == b->list && a->column == b->column;
}

/* True when the lines' texts differ whatever is drawn: where they first differ, no word is possible in both.
 */
static bool distinguishable(const struct story_table *t, const struct story_choice *a,
                            const struct story_choice *b) {
    const int shorter = a->count < b->count ? a->count : b->count;
    for (int i = 0; i < shorter; i++) {
        if (!same_element(&a->elements[i], &b->elements[i])) {
            return disjoint(t, &a->elements[i], &b->elements[i]);
        }
    }
    return false;
}

/* A list whose first column repeats a word would hide which row was drawn. */
static moe_status check_lists(const struct story_table *t, moe_err *err) {
    moe_status status = MOE_OK;
    for (int list = 0; list < t->num_lists; list++) {
        const struct story_rows *l = &t->lists[list];
        for (int i = 0; i < l->rows; i++) {
            for (int j = 0; j < i; j++) {
                moe_check(l->words[i][0] != l->words[j][0], err, MOE_EARG,
                          "domain %s: rows %d and %d of list \"%s\" begin alike", t->name, j, i, l->name);
            }
        }
    }
out:
    return status;
}

static moe_status check_distinguishable(const struct story_table *t, moe_err *err) {
    moe_status status = MOE_OK;
    for (int state = 0; state < STORY_STATES; state++) {
        moe_check(t->num_lines[state] > 0, err, MOE_EARG, "domain %s: state %d has no line", t->name, state);
        for (int i = 0; i < t->num_lines[state]; i++) {
            for (int j = 0; j < i; j++) {
                moe_check(distinguishable(t, &t->lines[state][i], &t->lines[state][j]), err, MOE_EARG,
                          "domain %s: lines %d and %d of state %d cannot be told apart", t->name, j, i,
                          state);
            }
        }
    }
out:
    return status;
}

/* Lists remembered after a line, given those remembered before; unset `ok` when it refers to another. */
static unsigned remembered_after(const struct story_choice *line, unsigned before, bool *ok) {
    for (int i = 0; i < line->count; i++) {
        const unsigned bit = 1u << line->elements[i].list;
        if (line->elements[i].kind == STORY_REFER && (before & bit) == 0) *ok = false;
        if (line->elements[i].kind == STORY_REMEMBER) before |= bit;
    }
    return before;
}

/* Greatest fixed point of: what is remembered on arrival is what every way there remembers. */
static moe_status check_remembered(const struct story_table *t, moe_err *err) {
    moe_status status = MOE_OK;
    unsigned arrival[STORY_STATES + 1];
    for (int state = 0; state <= STORY_STATES; state++) {
        arrival[state] = state == STORY_OPENING ? 0 : ~0u;
    }
    for (bool changed = true; changed;) {
        changed = false;
        for (int state = 0; state < STORY_STATES; state++) {
            for (int i = 0; i < t->num_lines[state]; i++) {
                const struct story_choice *line = &t->lines[state][i];
                bool ok = true;
                const unsigned after = remembered_after(line, arrival[state], &ok) & arrival[line->next];
                changed |= after != arrival[line->next];
                arrival[line->next] = after;
            }
        }
    }
    for (int state = 0; state < STORY_STATES; state++) {
        for (int i = 0; i < t->num_lines[state]; i++) {
            bool ok = true;
            remembered_after(&t->lines[state][i], arrival[state], &ok);
            moe_check(ok, err, MOE_EARG, "domain %s: line %d of state %d refers to what was not drawn",
                      t->name, i, state);
        }
    }
out:
    return status;
}

moe_status stories_check(const struct story_table *table, moe_err *err) {
    moe_status status = MOE_OK;
    moe_try(check_lists(table, err));
    moe_try(check_distinguishable(table, err));
    moe_try(check_remembered(table, err));
out:
    return status;
}
