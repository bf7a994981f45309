#include "data/stories.h"

#include <math.h>
#include <stdlib.h>

#include "data/stories_tables.h"

_Static_assert(STORY_MAX_LISTS <= 32, "stories_check.c keeps a set of lists in 32 bits");

moe_status stories_open(struct stories **out_stories, moe_err *err) {
    moe_status status = MOE_OK;
    struct stories *s = calloc(1, sizeof *s);
    moe_check(s != NULL, err, MOE_ENOMEM, "no memory for the story grammar");
    moe_try(stories_compile(s, err));
    *out_stories = s;
    s = NULL;
out:
    stories_close(s);
    return status;
}

void stories_close(struct stories *s) {
    if (s == NULL) return;
    word_table_free(&s->words);
    free(s);
}

int32_t stories_domains(const struct stories *s) {
    (void)s;
    return STORY_DOMAINS;
}

const char *stories_domain_name(const struct stories *s, int32_t domain) {
    return s->domains[domain].name;
}

int32_t stories_vocab_size(const struct stories *s) {
    return TOKENIZER_FIRST_WORD + s->words.size;
}

moe_status stories_tokenizer(const struct stories *s, struct tokenizer **out_tokenizer, moe_err *err) {
    return tokenizer_from_words(&s->words, out_tokenizer, err);
}

moe_status stories_extend_tokenizer(const struct stories *s, const struct text_file *texts,
                                    const int64_t *max_tokens, int32_t count, int32_t vocab_size,
                                    struct tokenizer **out_tokenizer, moe_err *err) {
    return tokenizer_extend_words(&s->words, texts, max_tokens, count, vocab_size, out_tokenizer, err);
}

/* Solves a x = b in place (Gauss with partial pivoting); false when a is singular. */
static bool solve(double a[STORY_STATES][STORY_STATES], double b[STORY_STATES]) {
    enum { N = STORY_STATES };
    for (int k = 0; k < N; k++) {
        int pivot = k;
        for (int i = k + 1; i < N; i++) {
            if (fabs(a[i][k]) > fabs(a[pivot][k])) pivot = i;
        }
        if (fabs(a[pivot][k]) < 1e-12) return false;
        for (int j = 0; j < N; j++) {
            const double kept = a[k][j];
            a[k][j] = a[pivot][j];
            a[pivot][j] = kept;
        }
        const double kept = b[k];
        b[k] = b[pivot];
        b[pivot] = kept;
        for (int i = 0; i < N; i++) {
            const double factor = i == k ? 0 : a[i][k] / a[k][k];
            for (int j = k; j < N; j++) {
                a[i][j] -= factor * a[k][j];
            }
            b[i] -= factor * b[k];
        }
    }
    for (int k = 0; k < N; k++) {
        b[k] /= a[k][k];
    }
    return true;
}

/* Expected visits: v = e_opening + P^T v. */
static bool expected_visits(const struct story_table *t, double visits[STORY_STATES]) {
    double a[STORY_STATES][STORY_STATES] = {{0}};
    for (int state = 0; state < STORY_STATES; state++) {
        visits[state] = state == STORY_OPENING ? 1 : 0;
        a[state][state] += 1;
        for (int i = 0; i < t->num_lines[state]; i++) {
            const struct story_choice *line = &t->lines[state][i];
            if (line->next != STORY_END)
                a[line->next][state] -= (double)line->weight / t->total_weight[state];
        }
    }
    return solve(a, visits);
}

/* Mean surprisal of one visit: the choice of the line and the draws in it. */
static double state_entropy(const struct story_table *t, int state) {
    double nats = 0;
    for (int i = 0; i < t->num_lines[state]; i++) {
        const struct story_choice *line = &t->lines[state][i];
        const double p = (double)line->weight / t->total_weight[state];
        nats -= p * log(p);
        for (int j = 0; j < line->count; j++) {
            const struct story_element *e = &line->elements[j];
            if (e->kind == STORY_DRAW || e->kind == STORY_REMEMBER) nats += p * t->lists[e->list].entropy;
        }
    }
    return nats;
}

/* Mean tokens of an element; lengths by word id, NULL = 1 each. A remembered row has the weights of the draw
 * that it comes from, for no choice of a line depends on it. */
static double element_tokens(const struct story_table *t, const struct story_element *e,
                             const int32_t *lengths) {
    if (lengths == NULL) return 1;
    if (e->kind == STORY_WORD) return lengths[e->word];
    const struct story_rows *list = &t->lists[e->list];
    double tokens = 0;
    for (int row = 0; row < list->rows; row++) {
        tokens += (double)list->weights[row] / list->total_weight * lengths[list->words[row][e->column]];
    }
    return tokens;
}

static double state_tokens(const struct story_table *t, int state, const int32_t *lengths) {
    double tokens = 0;
    for (int i = 0; i < t->num_lines[state]; i++) {
        const struct story_choice *line = &t->lines[state][i];
        double of_line = 0;
        for (int j = 0; j < line->count; j++) {
            of_line += element_tokens(t, &line->elements[j], lengths);
        }
        tokens += (double)line->weight / t->total_weight[state] * of_line;
    }
    return tokens;
}

moe_status stories_entropy_spelled(const struct stories *s, int32_t domain, const int32_t *lengths,
                                   int32_t end, struct stories_entropy *out, moe_err *err) {
    moe_status status = MOE_OK;
    const struct story_table *t = &s->domains[domain];
    double visits[STORY_STATES];
    moe_check(expected_visits(t, visits), err, MOE_ENUMERIC, "domain %s: its stories need not end", t->name);
    *out = (struct stories_entropy){.tokens_per_story = end};
    for (int state = 0; state < STORY_STATES; state++) {
        out->nats_per_story += visits[state] * state_entropy(t, state);
        out->tokens_per_story += visits[state] * state_tokens(t, state, lengths);
    }
    out->nats_per_token = out->nats_per_story / out->tokens_per_story;
out:
    return status;
}

moe_status stories_entropy(const struct stories *s, int32_t domain, struct stories_entropy *out,
                           moe_err *err) {
    return stories_entropy_spelled(s, domain, NULL, 1, out, err); /* 1: <eos> */
}

struct story_stream story_stream_at(struct rng_key key, int32_t domain) {
    return (struct story_stream){.key = key, .domain = domain, .choice = (uint64_t)domain << 48};
}

static int draw_row(struct story_stream *stream, const struct story_rows *list, double *surprisal) {
    int left = (int)rng_below(stream->key, stream->choice++, (uint64_t)list->total_weight);
    int row = 0;
    for (; left >= list->weights[row]; row++) {
        left -= list->weights[row];
    }
    *surprisal -= log((double)list->weights[row] / list->total_weight);
    return row;
}

static const struct story_choice *draw_line(struct story_stream *stream, const struct story_table *t,
                                            enum story_state state, double *surprisal) {
    int left = (int)rng_below(stream->key, stream->choice++, (uint64_t)t->total_weight[state]);
    const struct story_choice *line = t->lines[state];
    for (; left >= line->weight; line++) {
        left -= line->weight;
    }
    *surprisal -= log((double)line->weight / t->total_weight[state]);
    return line;
}

moe_status stories_write(const struct stories *s, struct story_stream *stream, struct token_buffer *out,
                         double *out_surprisal, moe_err *err) {
    moe_status status = MOE_OK;
    const struct story_table *t = &s->domains[stream->domain];
    int remembered[STORY_MAX_LISTS] = {0};
    double surprisal = 0;
    for (enum story_state state = STORY_OPENING; state != STORY_END;) {
        const struct story_choice *line = draw_line(stream, t, state, &surprisal);
        moe_try(token_buffer_reserve(out, line->count, err));
        for (int i = 0; i < line->count; i++) {
            const struct story_element *e = &line->elements[i];
            const struct story_rows *list = &t->lists[e->list];
            int row = remembered[e->list];
            if (e->kind == STORY_DRAW || e->kind == STORY_REMEMBER) row = draw_row(stream, list, &surprisal);
            if (e->kind == STORY_REMEMBER) remembered[e->list] = row;
            out->ids[out->count++] = e->kind == STORY_WORD ? e->word : list->words[row][e->column];
        }
        state = line->next;
    }
    moe_try(token_buffer_add(out, TOKENIZER_EOS, err));
    if (out_surprisal != NULL) *out_surprisal = surprisal;
out:
    return status;
}

/* True when the tokens begin with this line; then `remembered` and the surprisal of its draws are brought up
 * to date. */
static bool match_line(const struct story_table *t, const struct story_choice *line, const int32_t *tokens,
                       int64_t count, int remembered[STORY_MAX_LISTS], double *surprisal) {
    if (line->count > count) return false;
    for (int i = 0; i < line->count; i++) {
        const struct story_element *e = &line->elements[i];
        const struct story_rows *list = &t->lists[e->list];
        int row = remembered[e->list];
        if (e->kind == STORY_WORD && tokens[i] != e->word) return false;
        if (e->kind == STORY_REFER && tokens[i] != list->words[row][e->column]) return false;
        if (e->kind == STORY_WORD || e->kind == STORY_REFER) continue;
        for (row = 0; row < list->rows && list->words[row][0] != tokens[i]; row++) {
        }
        if (row == list->rows) return false;
        *surprisal -= log((double)list->weights[row] / list->total_weight);
        if (e->kind == STORY_REMEMBER) remembered[e->list] = row;
    }
    return true;
}

struct parse {
    enum story_state state;
    int64_t at;
    int remembered[STORY_MAX_LISTS];
    double surprisal;
};

/* Advances by the one line that fits. */
static moe_status parse_line(const struct story_table *t, const int32_t *tokens, int64_t count,
                             struct parse *p, moe_err *err) {
    moe_status status = MOE_OK;
    struct parse after = *p;
    int fits = 0;
    for (int i = 0; i < t->num_lines[p->state]; i++) {
        const struct story_choice *line = &t->lines[p->state][i];
        struct parse tried = *p;
        if (!match_line(t, line, tokens + p->at, count - p->at, tried.remembered, &tried.surprisal)) continue;
        tried.surprisal -= log((double)line->weight / t->total_weight[p->state]);
        tried.at += line->count;
        tried.state = line->next;
        after = tried;
        fits++;
    }
    moe_check(fits > 0, err, MOE_EFORMAT, "token %lld: no line of domain %s goes on like this",
              (long long)p->at, t->name);
    moe_check(fits == 1, err, MOE_EMISMATCH, "token %lld: %d lines of domain %s go on like this",
              (long long)p->at, fits, t->name);
    *p = after;
out:
    return status;
}

moe_status stories_parse(const struct stories *s, int32_t domain, const int32_t *tokens, int64_t count,
                         int64_t *out_length, double *out_surprisal, moe_err *err) {
    moe_status status = MOE_OK;
    struct parse p = {.state = STORY_OPENING};
    while (p.state != STORY_END) {
        moe_try(parse_line(&s->domains[domain], tokens, count, &p, err));
    }
    moe_check(p.at < count && tokens[p.at] == TOKENIZER_EOS, err, MOE_EFORMAT, "token %lld: <eos> expected",
              (long long)p.at);
    *out_length = p.at + 1;
    *out_surprisal = p.surprisal;
out:
    return status;
}
