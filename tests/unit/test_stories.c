/* test: rooms=data label=fast */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "data/dataset.h"
#include "data/stories.h"
#include "data/stories_tables.h"

static struct stories *open_stories(void) {
    struct stories *s = NULL;
    moe_err err = {0};
    if (stories_open(&s, &err) != MOE_OK) fail_msg("%s", err.message);
    return s;
}

static struct rng_key key_of(uint64_t seed) {
    return (struct rng_key){.seed = seed, .stream = RNG_TEST, .step = 0};
}

struct mean {
    double sum, squares;
    int count;
};

static void mean_add(struct mean *m, double x) {
    m->sum += x;
    m->squares += x * x;
    m->count++;
}

/* Distance of the mean from `expected` in standard errors. */
static double mean_z(const struct mean *m, double expected) {
    const double mean = m->sum / m->count, variance = m->squares / m->count - mean * mean;
    return (mean - expected) / sqrt(variance / m->count);
}

/* The closed form against the surprisal of 40,000 stories a domain; the ratio through surprisal - H * length,
 * whose mean is zero exactly when H is the quotient of the expectations. */
static void exact_entropy_agrees_with_monte_carlo(void **state) {
    (void)state;
    struct stories *s = open_stories();
    for (int32_t domain = 0; domain < stories_domains(s); domain++) {
        struct stories_entropy exact;
        assert_int_equal(stories_entropy(s, domain, &exact, NULL), MOE_OK);
        assert_true(exact.nats_per_token > 0.3 && exact.nats_per_token < 1.0);
        assert_true(exact.tokens_per_story > 40 && exact.tokens_per_story < 100);
        struct story_stream stream = story_stream_at(key_of(11), domain);
        struct token_buffer story = {0};
        struct mean ratio = {0}, nats = {0}, tokens = {0};
        for (int i = 0; i < 40000; i++) {
            double surprisal = 0;
            story.count = 0;
            assert_int_equal(stories_write(s, &stream, &story, &surprisal, NULL), MOE_OK);
            mean_add(&ratio, surprisal - exact.nats_per_token * (double)story.count);
            mean_add(&nats, surprisal);
            mean_add(&tokens, (double)story.count);
        }
        const double z[3] = {mean_z(&ratio, 0), mean_z(&nats, exact.nats_per_story),
                             mean_z(&tokens, exact.tokens_per_story)};
        print_message("%-8s %.5f nats/token, %.3f nats and %.3f tokens a story; z %.2f %.2f %.2f\n",
                      stories_domain_name(s, domain), exact.nats_per_token, exact.nats_per_story,
                      exact.tokens_per_story, z[0], z[1], z[2]);
        for (int i = 0; i < 3; i++) {
            assert_true(fabs(z[i]) < 3);
        }
        token_buffer_free(&story);
    }
    stories_close(s);
}

/* stories_parse() tries every line at every step and fails if two fit. */
static void every_story_has_one_derivation_of_the_same_surprisal(void **state) {
    (void)state;
    struct stories *s = open_stories();
    struct token_buffer story = {0};
    for (int32_t domain = 0; domain < stories_domains(s); domain++) {
        struct story_stream stream = story_stream_at(key_of(12), domain);
        for (int i = 0; i < 3000; i++) {
            double written = 0, parsed = 0;
            int64_t length = 0;
            moe_err err = {0};
            story.count = 0;
            assert_int_equal(stories_write(s, &stream, &story, &written, NULL), MOE_OK);
            if (stories_parse(s, domain, story.ids, story.count, &length, &parsed, &err) != MOE_OK) {
                fail_msg("domain %d story %d: %s", domain, i, err.message);
            }
            assert_int_equal(length, story.count);
            assert_true(fabs(written - parsed) < 1e-9);
        }
    }
    token_buffer_free(&story);
    stories_close(s);
}

static int32_t id_of(const struct stories *s, const char *word) {
    const int32_t number = word_table_find(&s->words, word, (int64_t)strlen(word));
    assert_true(number >= 0);
    return TOKENIZER_FIRST_WORD + number;
}

static void assert_parse(const struct stories *s, const char *text, moe_status want, int64_t offset) {
    struct tokenizer *t = NULL;
    struct token_buffer ids = {0};
    double surprisal = 0;
    int64_t length = 0;
    moe_err err = {0};
    char place[32];
    assert_int_equal(stories_tokenizer(s, &t, NULL), MOE_OK);
    assert_int_equal(tokenizer_encode(t, text, (int64_t)strlen(text), 0, &ids, NULL), MOE_OK);
    assert_int_equal(stories_parse(s, 0, ids.ids, ids.count, &length, &surprisal, &err), want);
    snprintf(place, sizeof place, "token %lld:", (long long)offset);
    if (want != MOE_OK && strstr(err.message, place) == NULL)
        fail_msg("%s instead of %s", err.message, place);
    if (want == MOE_OK) assert_int_equal(length, ids.count);
    token_buffer_free(&ids);
    tokenizer_free(t);
}

static void what_is_remembered_must_come_back(void **state) {
    (void)state;
    struct stories *s = open_stories();
    assert_string_equal(stories_domain_name(s, 0), "animals");
    assert_true(id_of(s, "mira") != id_of(s, "otto"));
#define START "otto lived near the farm . otto had a rabbit at home . he asked the farmer for help . "
    assert_parse(s, START "at last the rabbit ate the hay . in the end otto was happy .", MOE_OK, 0);
    assert_parse(s, START "at last the fox ate the hay . in the end otto was happy .", MOE_EFORMAT, 20);
    assert_parse(s, START "at last the rabbit ate the hay . in the end mira was happy .", MOE_EFORMAT, 28);
    assert_parse(s, START "at last the rabbit ate the hay . in the end otto was sad .", MOE_EFORMAT, 28);
    assert_parse(s, START "at last the rabbit ate the hay .", MOE_EFORMAT, 28);
    assert_parse(s, "otto lived near the farm . she saw a big fox there .", MOE_EFORMAT, 6);
    assert_parse(s, "otto lived near the kitchen .", MOE_EFORMAT, 0);
    assert_parse(s, START "at last the rabbit ate the hay . in the end otto was happy . otto", MOE_EFORMAT,
                 35);
#undef START
    stories_close(s);
}

static void faulty_grammars_are_found(void **state) {
    (void)state;
    struct stories *s = open_stories();
    struct story_table *t = malloc(sizeof *t);
    assert_non_null(t);
    moe_err err = {0};

    *t = s->domains[0];
    assert_int_equal(stories_check(t, &err), MOE_OK);
    t->lines[STORY_WISH][1] = t->lines[STORY_WISH][0];
    assert_int_equal(stories_check(t, &err), MOE_EARG);
    assert_non_null(strstr(err.message, "cannot be told apart"));

    *t = s->domains[0]; /* "+name lived ..." against "one ...": make a name of "one" */
    const int32_t one = t->lines[STORY_OPENING][0].elements[0].word;
    assert_int_equal(t->lines[STORY_OPENING][1].elements[0].kind, STORY_REMEMBER);
    t->lists[t->lines[STORY_OPENING][1].elements[0].list].words[3][0] = one;
    assert_int_equal(stories_check(t, &err), MOE_EARG);

    *t = s->domains[0];
    t->lists[0].words[4][0] = t->lists[0].words[2][0];
    assert_int_equal(stories_check(t, &err), MOE_EARG);
    assert_non_null(strstr(err.message, "begin alike"));

    *t = s->domains[0];
    t->lines[STORY_MEETING][0].next = STORY_GOOD_ENDING; /* still fine: the friend is known */
    assert_int_equal(stories_check(t, &err), MOE_OK);
    t->lines[STORY_WISH][0].next = STORY_GOOD_ENDING; /* the friend is not */
    assert_int_equal(stories_check(t, &err), MOE_EARG);
    assert_non_null(strstr(err.message, "not drawn"));
    free(t);
    stories_close(s);
}

static const struct dataset_request request = {.kind = DATASET_STORIES,
                                               .vocab_size = 512,
                                               .train_tokens = 20 * 64 + 1,
                                               .validation_tokens = 14 * 64 + 1,
                                               .sequence_length = 64,
                                               .seed = 3};

static void datasets_have_domains_and_floors(void **state) {
    (void)state;
    struct stories *s = open_stories();
    struct dataset *d = NULL;
    assert_int_equal(dataset_open(&request, &d, NULL), MOE_OK);
    assert_int_equal(d->domains, 7);
    assert_string_equal(d->domain_names[0], "all");
    assert_int_equal(d->train.sequences, 20);
    assert_int_equal(d->validation.sequences, 14);
    const uint8_t domains[14] = {1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6};
    assert_memory_equal(d->validation.domain, domains, sizeof domains);
    double mixture = 0;
    for (int i = 0; i < 14; i++) {
        mixture += d->entropy_floor[domains[i]] / 14;
    }
    assert_true(fabs(mixture - d->entropy_floor[0]) < 1e-12);
    for (int32_t i = 0; i < 20 * 64 + 1; i++) {
        assert_in_range(d->train.tokens[i], 1, stories_vocab_size(s) - 1);
    }
    /* A block is its domain's stream from the beginning, and stories run on over the cut between sequences.
     */
    int32_t first = 0;
    for (int32_t domain = 0; domain < 6; domain++) {
        struct token_buffer stream_ids = {0};
        struct story_stream stream =
            story_stream_at((struct rng_key){.seed = 3, .stream = RNG_DATA, .step = 1}, domain);
        int32_t sequences = 0;
        for (int i = 0; i < 14; i++) {
            sequences += domains[i] == domain + 1;
        }
        while (stream_ids.count < sequences * 64) {
            assert_int_equal(stories_write(s, &stream, &stream_ids, NULL, NULL), MOE_OK);
        }
        assert_memory_equal(d->validation.tokens + first * 64, stream_ids.ids,
                            (size_t)sequences * 64 * sizeof(int32_t));
        first += sequences;
        token_buffer_free(&stream_ids);
    }
    dataset_close(d);
    stories_close(s);
}

/* Runs are compared across versions of the program, so a seed's text must never change unnoticed. */
static void a_seed_always_gives_the_same_text(void **state) {
    (void)state;
    struct dataset *a = NULL, *b = NULL;
    assert_int_equal(dataset_open(&request, &a, NULL), MOE_OK);
    struct dataset_request other = request;
    other.seed = 4;
    assert_int_equal(dataset_open(&other, &b, NULL), MOE_OK);
    assert_string_equal(a->origins[0].name, "stories train, seed 3");
    assert_string_equal(a->origins[0].sha256,
                        "5e49dbca803a6934ffa03233878741142ea1d196ae1759a10f4e0f21be8ce853");
    assert_string_not_equal(a->origins[0].sha256, b->origins[0].sha256);
    assert_memory_not_equal(a->train.tokens, a->validation.tokens, 64 * sizeof(int32_t));
    char *text = NULL;
    assert_int_equal(tokenizer_decode(a->tokenizer, a->train.tokens, 13, &text, NULL), MOE_OK);
    assert_non_null(strstr(text, " ."));
    free(text);
    dataset_close(a);
    dataset_close(b);
}

static void a_vocabulary_that_is_too_small_is_refused(void **state) {
    (void)state;
    struct stories *s = open_stories();
    struct dataset_request small = request;
    struct dataset *d = NULL;
    moe_err err = {0};
    assert_true(stories_vocab_size(s) <= 512);
    small.vocab_size = stories_vocab_size(s);
    assert_int_equal(dataset_open(&small, &d, NULL), MOE_OK);
    dataset_close(d);
    small.vocab_size--;
    assert_int_equal(dataset_open(&small, &d, &err), MOE_ECONFIG);
    assert_non_null(strstr(err.message, "model.vocab_size"));
    stories_close(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_entropy_agrees_with_monte_carlo),
        cmocka_unit_test(every_story_has_one_derivation_of_the_same_surprisal),
        cmocka_unit_test(what_is_remembered_must_come_back),
        cmocka_unit_test(faulty_grammars_are_found),
        cmocka_unit_test(datasets_have_domains_and_floors),
        cmocka_unit_test(a_seed_always_gives_the_same_text),
        cmocka_unit_test(a_vocabulary_that_is_too_small_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
