/* stories_tables.h - the compiled grammar; private to stories*.c. */
#ifndef DATA_STORIES_TABLES_H
#define DATA_STORIES_TABLES_H

#include "core/status.h"
#include "data/stories_grammar.h"
#include "data/word_table.h"

#define STORY_MAX_LISTS    16
#define STORY_MAX_ROWS     16
#define STORY_MAX_COLUMNS  4
#define STORY_MAX_LINES    16 /* of one state in one domain */
#define STORY_MAX_ELEMENTS 24 /* tokens of a line */

struct story_rows {
    const char *name;
    int rows, columns;
    int32_t words[STORY_MAX_ROWS][STORY_MAX_COLUMNS]; /* token ids */
    int weights[STORY_MAX_ROWS], total_weight;
    double entropy; /* nats of one draw */
};

enum story_element_kind { STORY_WORD, STORY_DRAW, STORY_REMEMBER, STORY_REFER };

/* One token of a line. */
struct story_element {
    enum story_element_kind kind;
    int32_t word;     /* STORY_WORD: token id */
    int list, column; /* the others */
};

struct story_choice {
    int weight;
    enum story_state next;
    int count;
    struct story_element elements[STORY_MAX_ELEMENTS];
};

struct story_table {
    const char *name;
    struct story_rows lists[STORY_MAX_LISTS];
    int num_lists;
    struct story_choice lines[STORY_STATES][STORY_MAX_LINES];
    int num_lines[STORY_STATES], total_weight[STORY_STATES];
};

struct stories {
    struct word_table words; /* word i has id TOKENIZER_FIRST_WORD + i */
    struct story_table domains[STORY_DOMAINS];
};

/* Fills a zeroed `s` from the rules and checks them: everything referred to is remembered before on every way
 * there, and the lines of a state can be told apart. MOE_EARG names domain, state and line. */
moe_status stories_compile(struct stories *s, moe_err *err);

/* The checks alone, for one domain. */
moe_status stories_check(const struct story_table *table, moe_err *err);

#endif
