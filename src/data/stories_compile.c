/* From the grammar's text to its tables. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/stories_tables.h"
#include "data/tokenizer.h"

/* Cuts the next field off a text: bytes up to any of `stops`. False at the end. */
static bool next_field(const char **at, const char *stops, const char **out_field, int64_t *out_length) {
    *at += strspn(*at, stops);
    *out_field = *at;
    *out_length = (int64_t)strcspn(*at, stops);
    *at += *out_length;
    return *out_length > 0;
}

static moe_status add_word(struct stories *s, const char *word, int64_t length, int32_t *out_id,
                           moe_err *err) {
    moe_status status = MOE_OK;
    int32_t number = 0;
    moe_try(word_table_add(&s->words, word, length, &number, err));
    *out_id = TOKENIZER_FIRST_WORD + number;
out:
    return status;
}

static moe_status compile_row(struct stories *s, const char *row, int64_t length, struct story_rows *list,
                              moe_err *err) {
    moe_status status = MOE_OK;
    char text[256];
    moe_check(list->rows < STORY_MAX_ROWS && length < (int64_t)sizeof text, err, MOE_EARG,
              "list \"%s\": too many or too long rows", list->name);
    memcpy(text, row, (size_t)length);
    text[length] = '\0';
    const char *at = text, *word = NULL;
    int64_t word_length = 0;
    int columns = 0;
    for (; next_field(&at, " ", &word, &word_length); columns++) {
        moe_check(columns < STORY_MAX_COLUMNS, err, MOE_EARG, "list \"%s\": too many columns", list->name);
        moe_try(add_word(s, word, word_length, &list->words[list->rows][columns], err));
    }
    moe_check(list->rows == 0 || columns == list->columns, err, MOE_EARG,
              "list \"%s\": rows differ in columns", list->name);
    list->columns = columns;
    list->rows++;
out:
    return status;
}

static moe_status compile_list(struct stories *s, const struct story_list *source, struct story_table *table,
                               moe_err *err) {
    moe_status status = MOE_OK;
    moe_check(table->num_lists < STORY_MAX_LISTS, err, MOE_EARG, "domain %s: too many lists", table->name);
    struct story_rows *list = &table->lists[table->num_lists++];
    list->name = source->name;
    const char *at = source->rows, *row = NULL;
    int64_t length = 0;
    while (next_field(&at, "/", &row, &length)) {
        moe_try(compile_row(s, row, length, list, err));
    }
    for (int i = 0; i < list->rows; i++) {
        list->weights[i] = 840 / (i + 2);
        list->total_weight += list->weights[i];
    }
    for (int i = 0; i < list->rows; i++) {
        const double p = (double)list->weights[i] / list->total_weight;
        list->entropy -= p * log(p);
    }
out:
    return status;
}

static moe_status compile_element(struct stories *s, const struct story_table *table, const char *field,
                                  int64_t length, struct story_element *element, moe_err *err) {
    static const char marks[] = "~+$";
    static const enum story_element_kind kinds[] = {STORY_DRAW, STORY_REMEMBER, STORY_REFER};
    moe_status status = MOE_OK;
    const char *mark = strchr(marks, field[0]);
    if (mark == NULL) {
        element->kind = STORY_WORD;
        moe_try(add_word(s, field, length, &element->word, err));
        goto out;
    }
    element->kind = kinds[mark - marks];
    const char *dot = memchr(field, '.', (size_t)length);
    const int64_t name_length = (dot != NULL ? dot - field : length) - 1;
    element->column = dot != NULL ? dot[1] - '0' : 0;
    for (element->list = 0; element->list < table->num_lists; element->list++) {
        const char *name = table->lists[element->list].name;
        if ((int64_t)strlen(name) == name_length && memcmp(name, field + 1, (size_t)name_length) == 0) break;
    }
    moe_check(element->list < table->num_lists && element->column >= 0 &&
                  element->column < table->lists[element->list].columns,
              err, MOE_EARG, "domain %s: \"%.*s\" names no list or column", table->name, (int)length, field);
out:
    return status;
}

static moe_status compile_line(struct stories *s, const struct story_line *source, struct story_table *table,
                               moe_err *err) {
    moe_status status = MOE_OK;
    int *count = &table->num_lines[source->state];
    moe_check(*count < STORY_MAX_LINES && source->weight > 0, err, MOE_EARG,
              "domain %s: too many lines in one state, or no weight: \"%s\"", table->name, source->text);
    struct story_choice *line = &table->lines[source->state][(*count)++];
    line->weight = source->weight;
    line->next = source->next;
    table->total_weight[source->state] += source->weight;
    const char *at = source->text, *field = NULL;
    int64_t length = 0;
    while (next_field(&at, " ", &field, &length)) {
        moe_check(line->count < STORY_MAX_ELEMENTS, err, MOE_EARG, "domain %s: line too long: \"%s\"",
                  table->name, source->text);
        moe_try(compile_element(s, table, field, length, &line->elements[line->count++], err));
    }
out:
    return status;
}

static moe_status compile_rules(struct stories *s, const struct story_rules *rules, struct story_table *table,
                                bool lists, moe_err *err) {
    moe_status status = MOE_OK;
    for (int i = 0; lists && i < rules->num_lists; i++) {
        moe_try(compile_list(s, &rules->lists[i], table, err));
    }
    for (int i = 0; !lists && i < rules->num_lines; i++) {
        moe_try(compile_line(s, &rules->lines[i], table, err));
    }
out:
    return status;
}

moe_status stories_compile(struct stories *s, moe_err *err) {
    moe_status status = MOE_OK;
    for (int i = 0; i < STORY_DOMAINS; i++) {
        const struct story_rules *own = &story_domain_rules[i];
        struct story_table *table = &s->domains[i];
        table->name = own->name;
        moe_try(compile_rules(s, &story_shared_rules, table, true, err));
        moe_try(compile_rules(s, own, table, true, err));
        moe_try(compile_rules(s, &story_shared_rules, table, false, err));
        moe_try(compile_rules(s, own, table, false, err));
        moe_try(stories_check(table, err));
    }
out:
    return status;
}
