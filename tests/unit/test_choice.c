/* test: rooms=train label=fast */
/* Multiple-choice questions about the ends of stories: what they are, and what a model makes of them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "record/reader.h"
#include "train/choice.h"
#include "train/trainer.h"

#define SUITE "moe-vs-dense"
#include "fixture_suite.h"

struct rig {
    char folder[64], run[96];
    struct stories *stories;
    struct tokenizer *words;
    struct story_spelling spelling;
};

static int set_up(void **state) {
    struct rig *rig = calloc(1, sizeof *rig);
    if (rig == NULL) return -1;
    snprintf(rig->folder, sizeof rig->folder, "/tmp/moe-choice-XXXXXX");
    *state = rig;
    if (mkdtemp(rig->folder) == NULL) return -1;
    snprintf(rig->run, sizeof rig->run, "%s/x.h5", rig->folder);
    return stories_open(&rig->stories, NULL) == MOE_OK &&
                   stories_tokenizer(rig->stories, &rig->words, NULL) == MOE_OK &&
                   story_spelling_create(&rig->spelling, rig->stories, rig->words, TOKENIZE_WORD, NULL) ==
                       MOE_OK
               ? 0
               : -1;
}

static int tear_down(void **state) {
    struct rig *rig = *state;
    char command[128];
    story_spelling_free(&rig->spelling);
    tokenizer_free(rig->words);
    stories_close(rig->stories);
    snprintf(command, sizeof command, "rm -rf '%s'", rig->folder);
    const int failed = system(command);
    free(rig);
    return failed;
}

static struct choice_set *questions(const struct rig *rig, uint64_t seed, int32_t count, int32_t length) {
    struct choice_set *set = NULL;
    moe_err err = {0};
    if (choice_set_create(&rig->spelling, seed, count, length, &set, &err) != MOE_OK)
        fail_msg("%s", err.message);
    return set;
}

/* The candidate as a story: its words behind the boundary, then <eos>. */
static moe_status parse(const struct rig *rig, const struct choice_set *set, int64_t row, int32_t domain,
                        double *surprisal) {
    int32_t words[256];
    int64_t length = 0;
    const int32_t count = set->end[row] - 1;
    memcpy(words, set->tokens + row * (set->length + 1) + 1, (size_t)count * sizeof *words);
    words[count] = TOKENIZER_EOS;
    return stories_parse(rig->stories, domain, words, count + 1, &length, surprisal, NULL);
}

/* The reader of stories, which shares nothing with the writer of questions, finds exactly one candidate
 * possible; and who scores by the grammar's probabilities answers everything. */
static void one_ending_is_possible(void **state) {
    const struct rig *rig = *state;
    enum { COUNT = 1200 };
    struct choice_set *set = questions(rig, 6, COUNT, 128);
    double nll[COUNT * STORY_ENDINGS];
    for (int64_t row = 0; row < COUNT * STORY_ENDINGS; row++) {
        double surprisal = 0;
        const int32_t question = (int32_t)(row / STORY_ENDINGS), domain = question % 6;
        const bool possible = parse(rig, set, row, domain, &surprisal) == MOE_OK;
        assert_int_equal(possible, row % STORY_ENDINGS == set->right[question]);
        nll[row] = possible ? surprisal : INFINITY;
    }
    assert_true(choice_score_of(set, nll).accuracy == 1);
    choice_set_free(set);
}

/* Two kinds times two stories: of the four, the next but one to the right one differs from it in the rows
 * alone, so both are equally long; and so do the other two. */
static void endings_differ_in_kind_and_story(void **state) {
    const struct rig *rig = *state;
    struct choice_set *set = questions(rig, 7, 600, 128);
    int places[STORY_ENDINGS] = {0};
    for (int64_t q = 0; q < set->questions; q++) {
        const int32_t *end = set->end + q * STORY_ENDINGS;
        places[set->right[q]]++;
        for (int c = 0; c < STORY_ENDINGS; c++) {
            assert_int_equal(end[c], end[(c + 2) % STORY_ENDINGS]);
            assert_int_equal(set->first[q * STORY_ENDINGS + c], set->first[q * STORY_ENDINGS]);
            assert_memory_equal(set->tokens + (q * STORY_ENDINGS + c) * (set->length + 1),
                                set->tokens + q * STORY_ENDINGS * (set->length + 1),
                                (size_t)set->first[q * STORY_ENDINGS] * sizeof(int32_t));
        }
    }
    for (int c = 0; c < STORY_ENDINGS; c++)
        assert_in_range(places[c], 150 - 45, 150 + 45); /* 4.2 standard deviations */
    choice_set_free(set);
}

static void questions_are_a_function_of_the_seed(void **state) {
    const struct rig *rig = *state;
    struct choice_set *a = questions(rig, 8, 30, 100), *b = questions(rig, 8, 30, 100),
                      *longer = questions(rig, 8, 60, 100), *c = questions(rig, 9, 30, 100);
    const size_t bytes = (size_t)(a->length + 1) * 30 * STORY_ENDINGS * sizeof(int32_t);
    assert_int_equal(a->length, b->length);
    assert_true(a->length <= 100);
    assert_memory_equal(a->tokens, b->tokens, bytes);
    assert_memory_equal(a->right, longer->right, 30); /* the first ones of more */
    assert_memory_not_equal(a->right, c->right, 30);
    choice_set_free(a);
    choice_set_free(b);
    choice_set_free(longer);
    choice_set_free(c);
}

/* Who finds every token equally likely meets ties alone; who answers at random, none. Both are at 1/4. */
static void ignorance_is_at_chance(void **state) {
    const struct rig *rig = *state;
    enum { COUNT = 2000 };
    struct choice_set *set = questions(rig, 10, COUNT, 128);
    double uniform[COUNT * STORY_ENDINGS], random[COUNT * STORY_ENDINGS];
    for (int64_t row = 0; row < COUNT * STORY_ENDINGS; row++) {
        const int32_t tokens = set->end[row] - set->first[row];
        uniform[row] = 6.0 * tokens;
        random[row] =
            tokens * rng_uniform_double((struct rng_key){.seed = 1, .stream = RNG_TEST}, (uint64_t)row);
    }
    const double error = sqrt(0.25 * 0.75 / COUNT);
    assert_true(fabs(choice_score_of(set, uniform).accuracy - 0.25) < 4 * error);
    assert_true(fabs(choice_score_of(set, random).accuracy - 0.25) < 4 * error);
    choice_set_free(set);
}

#define SMALL                                                                                                \
    "model.hidden_size=16", "model.intermediate_size=16", "model.num_attention_heads=2",                     \
        "model.num_key_value_heads=2", "model.head_dim=8", "model.num_hidden_layers=2", "moe.layers=[1]",    \
        "moe.intermediate_size=16", "data.source=mixture", "data.story_weights=[1, 1, 1, 1, 1, 0]",          \
        "data.train_tokens=3073", "data.sequence_length=96", "model.max_position_embeddings=96",             \
        "data.validation_tokens=1153", "train.batch_size=8", "train.max_epochs=1", "train.max_steps=2",      \
        "train.eval_steps=0", "train.patience=0", "train.eval_batch_mean=false"

static void train(struct rig *rig, const char *const *sets, int32_t count, struct trainer_result *result) {
    struct experiment *e = load_with("top2", "corrected", "smoke", sets, count);
    moe_err err = {0};
    volatile sig_atomic_t stop = 0;
    const struct trainer_options options = {.path = rig->run, .device = "cpu", .threads = 1, .stop = &stop};
    unlink(rig->run);
    if (trainer_run(e, &options, result, &err) != MOE_OK) fail_msg("%s", err.message);
    experiment_free(e);
}

static double *read_column(struct run_reader *r, const char *name, int64_t *rows) {
    double *values = NULL;
    int64_t dims[4];
    int32_t rank;
    assert_int_equal(run_reader_array(r, name, &values, dims, &rank, NULL), MOE_OK);
    *rows = dims[0];
    return values;
}

/* A run of which nothing is learned (rate 1e-12): its answers are at chance, its losses near ln V in every
 * domain, and the balance loss of all domains is the mean of those of the domains. */
static void a_run_records_domains_and_answers(void **state) {
    struct rig *rig = *state;
    const char *const sets[] = {SMALL, "data.choice_questions=600", "train.lr=1e-12"};
    struct trainer_result result;
    struct run_reader *r = NULL;
    int64_t rows = 0;
    train(rig, sets, sizeof sets / sizeof *sets, &result);
    assert_int_equal(run_reader_open(rig->run, &r, NULL), MOE_OK);
    assert_int_equal(run_reader_info(r)->axes.domains, 8);
    assert_string_equal(run_reader_domain(r, 7), "endings");
    double *accuracy = read_column(r, "/eval/accuracy", &rows),
           *aux = read_column(r, "/eval/loss_aux", &rows), *ce = read_column(r, "/eval/loss_ce", &rows),
           *tokens = read_column(r, "/eval/tokens", &rows);
    assert_int_equal(rows, 8);
    assert_true(fabs(accuracy[7] - 0.25) < 4.5 * sqrt(0.25 * 0.75 / 600));
    double mean = 0;
    for (int i = 1; i < 7; i++) {
        assert_int_equal(tokens[i], 192);
        assert_true(fabs(ce[i] - ce[0]) < 0.1);
        mean += aux[i] / 6;
    }
    assert_true(aux[0] > 0 && fabs(aux[1] - aux[6]) > 0);
    assert_true(fabs(mean - aux[0]) < 0.2 * aux[0]);
    assert_true(fabs(ce[7] - ce[0]) < 0.2 && tokens[7] > 600 * 5 && aux[7] == 0);
    run_reader_close(r);
    free(accuracy);
    free(aux);
    free(ce);
    free(tokens);
}

/* Asking changes nothing in what is trained, and answers are the same in every run. */
static void asking_changes_nothing(void **state) {
    struct rig *rig = *state;
    const char *const with[] = {SMALL, "data.choice_questions=20"}, *const without[] = {SMALL};
    struct trainer_result asked, again, unasked;
    train(rig, with, sizeof with / sizeof *with, &asked);
    train(rig, with, sizeof with / sizeof *with, &again);
    assert_string_equal(asked.digest, again.digest);
    train(rig, without, sizeof without / sizeof *without, &unasked);
    assert_string_not_equal(asked.digest, unasked.digest);
    assert_true(asked.best == unasked.best);
}

static void keys_are_checked(void **state) {
    (void)state;
    static const char *const cases[][3] = {
        {"data.source=mixture", "data.story_weights=[1, 2]", "six numbers"},
        {"data.source=mixture", "data.file_weights=[1]", "data.train_files"},
        {"data.source=mixture", "data.story_weights=[0, 0, 0, 0, 0, 0]", "nothing to train on"},
        {"data.source=stories", "data.story_weights=[1, 1, 1, 1, 1, 1]", "only a mixture has weights"},
        {"data.source=uniform", "data.choice_questions=5", "about generated stories"},
        {"data.source=stories", "data.choice_questions=-1", "out of range"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct experiment *e = NULL;
        moe_err err = {0};
        struct experiment_choice choice = choose("top2", "corrected", "smoke");
        choice.sets = cases[i];
        choice.set_count = 2;
        assert_int_equal(experiment_load(&choice, &e, &err), MOE_ECONFIG);
        if (strstr(err.message, cases[i][2]) == NULL) fail_msg("'%s' lacks %s", err.message, cases[i][2]);
        assert_null(e);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_ending_is_possible),
        cmocka_unit_test(endings_differ_in_kind_and_story),
        cmocka_unit_test(questions_are_a_function_of_the_seed),
        cmocka_unit_test(ignorance_is_at_chance),
        cmocka_unit_test(a_run_records_domains_and_answers),
        cmocka_unit_test(asking_changes_nothing),
        cmocka_unit_test(keys_are_checked),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
