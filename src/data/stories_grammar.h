/* stories_grammar.h - the grammar of the embedded stories, as tables.
 *
 * A story is a walk through states. Each state offers lines; one is chosen by its weight, written, and leads
 * to the next state, until STORY_END. The words of a line are separated by spaces:
 *
 *     word        itself
 *     +list       draws a row of the list, remembers it, writes its first column
 *     $list       the remembered row's first column again; $list.1, $list.2 ... its other columns
 *     ~list       draws a row and writes its first column, without remembering it
 *
 * A list is rows separated by '/', columns by spaces. Row i (from 0) is drawn with weight floor(840 / (i +
 * 2)). Lines of one state must differ so that a reader who knows what was remembered can always tell which
 * one was chosen: at the first place where two of them differ, the words possible there have nothing in
 * common (stories_open() checks this). That makes each story's derivation unique, hence its probability and
 * the entropy exact.
 */
#ifndef DATA_STORIES_GRAMMAR_H
#define DATA_STORIES_GRAMMAR_H

enum story_state {
    STORY_OPENING,
    STORY_WISH,    /* the thing that the story is about */
    STORY_MEETING, /* the friend */
    STORY_EVENTS,  /* repeats; its last line turns to good or to trouble */
    STORY_TROUBLE, /* repeats; its last line turns to the good or the bad ending */
    STORY_GOOD_ENDING,
    STORY_BAD_ENDING,
    STORY_END,
    STORY_STATES = STORY_END
};

struct story_list {
    const char *name, *rows;
};

struct story_line {
    enum story_state state;
    int weight;
    const char *text;
    enum story_state next;
};

/* What every domain has, or what one domain adds to it. */
struct story_rules {
    const char *name;
    const struct story_list *lists;
    int num_lists;
    const struct story_line *lines;
    int num_lines;
};

#define STORY_DOMAINS 6

extern const struct story_rules story_shared_rules;
extern const struct story_rules story_domain_rules[STORY_DOMAINS];

#endif
