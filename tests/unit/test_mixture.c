/* test: rooms=data label=fast */
/* Stories in other tokenizers' tokens, and mixtures of stories and text files. */
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

#include "core/file.h"
#include "data/dataset.h"
#include "data/stories_spelling.h"

#define PIECES MOE_SOURCE_DIR "/runs/suites/moedl/tinystories-2048.model"

struct rig {
    char folder[64];
    struct stories *stories;
    struct tokenizer *tokenizers[3]; /* by enum tokenizer_kind */
};

static int set_up(void **state) {
    struct rig *rig = calloc(1, sizeof *rig);
    if (rig == NULL) return -1;
    snprintf(rig->folder, sizeof rig->folder, "/tmp/moe-mixture-XXXXXX");
    *state = rig;
    return mkdtemp(rig->folder) != NULL && stories_open(&rig->stories, NULL) == MOE_OK &&
                   stories_tokenizer(rig->stories, &rig->tokenizers[TOKENIZE_WORD], NULL) == MOE_OK &&
                   tokenizer_bytes(&rig->tokenizers[TOKENIZE_BYTE], NULL) == MOE_OK &&
                   tokenizer_sentencepiece(PIECES, &rig->tokenizers[TOKENIZE_SENTENCEPIECE], NULL) == MOE_OK
               ? 0
               : -1;
}

static int tear_down(void **state) {
    struct rig *rig = *state;
    char command[128];
    for (int i = 0; i < 3; i++)
        tokenizer_free(rig->tokenizers[i]);
    stories_close(rig->stories);
    snprintf(command, sizeof command, "rm -rf '%s'", rig->folder);
    const int failed = system(command);
    free(rig);
    return failed;
}

static void put_text(const struct rig *rig, const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", rig->folder, name);
    assert_int_equal(file_make_parents(path, NULL), MOE_OK);
    assert_int_equal(file_write_atomic(path, text, strlen(text), NULL), MOE_OK);
}

/* `count` times the same line of other words than the stories'. */
static void put_lines(const struct rig *rig, const char *name, const char *line, int count) {
    char *text = calloc((size_t)count, strlen(line) + 1);
    assert_non_null(text);
    for (int i = 0; i < count; i++)
        strcat(text + (size_t)i * strlen(line), line);
    put_text(rig, name, text);
    free(text);
}

/* Bytes, pieces and words: surprisal less H times tokens has mean zero exactly when H is the floor. */
static void floors_are_exact_in_every_tokenizer(void **state) {
    const struct rig *rig = *state;
    for (int kind = 0; kind < 3; kind++) {
        struct story_spelling spelling;
        moe_err err = {0};
        if (story_spelling_create(&spelling, rig->stories, rig->tokenizers[kind], (enum tokenizer_kind)kind,
                                  &err) != MOE_OK)
            fail_msg("%s", err.message);
        for (int32_t domain = 0; domain < stories_domains(rig->stories); domain++) {
            struct stories_entropy exact;
            struct token_buffer story = {0}, spelled = {0};
            struct story_stream stream =
                story_stream_at((struct rng_key){.seed = 3, .stream = RNG_TEST}, domain);
            double sum = 0, squares = 0;
            const int count = 4000;
            assert_int_equal(story_spelling_entropy(&spelling, domain, &exact, NULL), MOE_OK);
            for (int i = 0; i < count; i++) {
                double surprisal = 0;
                story.count = spelled.count = 0;
                assert_int_equal(stories_write(rig->stories, &stream, &story, &surprisal, NULL), MOE_OK);
                assert_int_equal(
                    story_spelling_append_story(&spelling, story.ids, story.count, &spelled, NULL), MOE_OK);
                const double x = surprisal - exact.nats_per_token * (double)spelled.count;
                sum += x;
                squares += x * x;
            }
            const double z = sum / sqrt(squares - sum * sum / count);
            print_message("tokenizer %d, domain %d: %.5f nats/token, z %.2f\n", kind, domain,
                          exact.nats_per_token, z);
            assert_true(fabs(z) < 3.5);
            token_buffer_free(&story);
            token_buffer_free(&spelled);
        }
        story_spelling_free(&spelling);
    }
}

static void words_are_spelled_as_the_stories_number_them(void **state) {
    const struct rig *rig = *state;
    struct story_spelling spelling;
    struct stories_entropy own, spelled;
    assert_int_equal(
        story_spelling_create(&spelling, rig->stories, rig->tokenizers[TOKENIZE_WORD], TOKENIZE_WORD, NULL),
        MOE_OK);
    for (int32_t id = TOKENIZER_FIRST_WORD; id < stories_vocab_size(rig->stories); id++) {
        assert_int_equal(spelling.lengths[id], 1);
        assert_int_equal(spelling.ids[spelling.start[id]], id);
    }
    for (int32_t domain = 0; domain < stories_domains(rig->stories); domain++) {
        assert_int_equal(stories_entropy(rig->stories, domain, &own, NULL), MOE_OK);
        assert_int_equal(story_spelling_entropy(&spelling, domain, &spelled, NULL), MOE_OK);
        assert_true(fabs(own.nats_per_token - spelled.nats_per_token) < 1e-14);
    }
    story_spelling_free(&spelling);
}

/* What is spelled word by word reads as the text. */
static void spelled_stories_can_be_read(void **state) {
    const struct rig *rig = *state;
    struct token_buffer story = {0};
    char *words = NULL, *got = NULL;
    struct story_stream stream = story_stream_at((struct rng_key){.seed = 5, .stream = RNG_TEST}, 2);
    assert_int_equal(stories_write(rig->stories, &stream, &story, NULL, NULL), MOE_OK);
    assert_int_equal(
        tokenizer_decode(rig->tokenizers[TOKENIZE_WORD], story.ids, story.count - 1, &words, NULL), MOE_OK);
    for (int kind = TOKENIZE_BYTE; kind <= TOKENIZE_SENTENCEPIECE; kind++) {
        struct story_spelling spelling;
        struct token_buffer ids = {0};
        assert_int_equal(story_spelling_create(&spelling, rig->stories, rig->tokenizers[kind],
                                               (enum tokenizer_kind)kind, NULL),
                         MOE_OK);
        assert_int_equal(story_spelling_append(&spelling, story.ids, story.count - 1, true, &ids, NULL),
                         MOE_OK);
        assert_int_equal(tokenizer_decode(rig->tokenizers[kind], ids.ids, ids.count, &got, NULL), MOE_OK);
        assert_string_equal(got, words);
        free(got);
        token_buffer_free(&ids);
        story_spelling_free(&spelling);
    }
    free(words);
    token_buffer_free(&story);
}

static struct dataset_request mixture_of(const struct rig *rig) {
    return (struct dataset_request){
        .kind = DATASET_MIXTURE,
        .data_dir = rig->folder,
        .train_files = {"wiki/train.txt", "notes.txt"},
        .num_train_files = 2,
        .tokenizer = TOKENIZE_WORD,
        .vocab_size = 500,
        .train_tokens = 4001,
        .validation_tokens = 801,
        .sequence_length = 20,
        .seed = 4,
        .story_weights = {1, 0, 1, 1, 1, 1},
        .file_weights = {3, 2},
    };
}

static void put_texts(const struct rig *rig) {
    put_lines(rig, "wiki/train.txt", "one xylophone plays\n", 600);
    put_lines(rig, "wiki/valid.txt", "two xylophones play\n", 600);
    put_lines(rig, "notes.txt", "three violins play softly\n", 600);
}

static int64_t sequences_of(const struct dataset_split *split, int32_t domain) {
    int64_t count = 0;
    for (int64_t i = 0; i < split->sequences; i++)
        count += split->domain[i] == domain;
    return count;
}

static struct dataset *open_mixture(const struct dataset_request *request) {
    struct dataset *d = NULL;
    moe_err err = {0};
    if (dataset_open(request, &d, &err) != MOE_OK) fail_msg("%s", err.message);
    return d;
}

/* 200 sequences by weights 1 0 1 1 1 1 3 2: 20 each, 60 and 40; 40 evaluated over eight domains: 5 each. */
static void tokens_are_divided_by_the_weights(void **state) {
    const struct rig *rig = *state;
    put_texts(rig);
    const struct dataset_request request = mixture_of(rig);
    struct dataset *d = open_mixture(&request);
    static const int64_t want[] = {0, 20, 0, 20, 20, 20, 20, 60, 40};
    static const char *const names[] = {"all", "animals", "kitchen", "weather", "school",
                                        "sea", "market",  "wiki",    "notes"};
    assert_int_equal(d->domains, 9);
    assert_int_equal(d->train.sequences, 200);
    assert_int_equal(d->validation.sequences, 40);
    for (int32_t i = 0; i < 9; i++) {
        assert_string_equal(d->domain_names[i], names[i]);
        assert_int_equal(sequences_of(&d->train, i), want[i]);
        assert_int_equal(sequences_of(&d->validation, i), i == 0 ? 0 : 5);
        assert_true(isnan(d->entropy_floor[i]) == (i == 0 || i > 6));
    }
    for (int64_t i = 0; i <= 200 * 20; i++)
        assert_in_range(d->train.tokens[i], 0, request.vocab_size - 1);
    dataset_close(d);
}

/* The texts' blocks hold their words in order; what is held out follows what is trained on. */
static void texts_are_read_in_order_and_held_out_behind(void **state) {
    const struct rig *rig = *state;
    put_texts(rig);
    const struct dataset_request request = mixture_of(rig);
    struct dataset *d = open_mixture(&request);
    struct token_buffer ids = {0};
    char *text = NULL;
    size_t size = 0;
    char path[256];
    snprintf(path, sizeof path, "%s/wiki/train.txt", rig->folder);
    assert_int_equal(file_read_all(path, 1 << 20, (unsigned char **)&text, &size, NULL), MOE_OK);
    assert_int_equal(tokenizer_encode(d->tokenizer, text, (int64_t)size, 0, &ids, NULL), MOE_OK);
    assert_memory_equal(d->train.tokens + 100 * 20, ids.ids, 60 * 20 * sizeof(int32_t));
    assert_memory_equal(d->validation.tokens + 30 * 20, ids.ids + 60 * 20 + 1, 5 * 20 * sizeof(int32_t));
    for (int64_t i = 0; i < 60 * 20; i++)
        assert_int_not_equal(ids.ids[i], TOKENIZER_UNK);
    free(text);
    token_buffer_free(&ids);
    dataset_close(d);
}

static void validation_files_are_domains_of_their_own(void **state) {
    const struct rig *rig = *state;
    put_texts(rig);
    struct dataset_request request = mixture_of(rig);
    request.validation_files[0] = "wiki/valid.txt";
    request.num_validation_files = 1;
    struct dataset *d = open_mixture(&request);
    assert_int_equal(d->domains, 8);
    assert_string_equal(d->domain_names[7], "wiki");
    assert_int_equal(sequences_of(&d->validation, 7), 5);
    /* "xylophones" stands in no training text */
    assert_int_equal(d->validation.tokens[35 * 20 + 1], TOKENIZER_UNK);
    assert_true(d->validation.unk_share > 0 && d->train.unk_share == 0);
    dataset_close(d);
}

static void a_mixture_is_a_function_of_its_seed(void **state) {
    const struct rig *rig = *state;
    put_texts(rig);
    struct dataset_request request = mixture_of(rig), other = request;
    request.choice_questions = other.choice_questions = 12;
    request.sequence_length = other.sequence_length = 100;
    other.seed = 5;
    struct dataset *a = open_mixture(&request), *b = open_mixture(&request), *c = open_mixture(&other);
    const size_t bytes = (size_t)(a->train.sequences * 100 + 1) * sizeof(int32_t);
    assert_memory_equal(a->train.tokens, b->train.tokens, bytes);
    assert_memory_not_equal(a->train.tokens, c->train.tokens, bytes);
    assert_string_equal(a->domain_names[a->domains - 1], "endings");
    for (int32_t i = 0; i < a->num_origins; i++)
        assert_string_equal(a->origins[i].sha256, b->origins[i].sha256);
    dataset_close(a);
    dataset_close(b);
    dataset_close(c);
}

static void pieces_and_bytes_can_be_mixed_too(void **state) {
    const struct rig *rig = *state;
    put_texts(rig);
    struct dataset_request request = mixture_of(rig);
    request.tokenizer = TOKENIZE_BYTE;
    struct dataset *d = open_mixture(&request);
    assert_true(isnan(d->train.unk_share) && d->entropy_floor[1] > 0.05 && d->entropy_floor[1] < 0.3);
    dataset_close(d);
    request.tokenizer = TOKENIZE_SENTENCEPIECE;
    request.tokenizer_file = PIECES;
    request.vocab_size = 2048;
    d = open_mixture(&request);
    assert_int_equal(d->train.unk_share, 0);
    assert_string_equal(d->origins[d->num_origins - 1].name, PIECES);
    dataset_close(d);
    struct tokenizer *t = NULL;
    assert_int_equal(dataset_open_tokenizer(&request, &t, NULL), MOE_OK);
    assert_int_equal(tokenizer_size(t), 2048);
    tokenizer_free(t);
}

static void refused(const struct dataset_request *request, const char *part, const char *other) {
    moe_err err = {0};
    struct dataset *d = NULL;
    assert_int_equal(dataset_open(request, &d, &err), MOE_ECONFIG);
    if (strstr(err.message, part) == NULL || strstr(err.message, other) == NULL)
        fail_msg("\"%s\" does not contain \"%s\" and \"%s\"", err.message, part, other);
    assert_null(d);
}

static void what_cannot_be_mixed_is_refused(void **state) {
    const struct rig *rig = *state;
    put_texts(rig);
    struct dataset_request request = mixture_of(rig);
    memset(request.story_weights, 0, sizeof request.story_weights);
    memset(request.file_weights, 0, sizeof request.file_weights);
    refused(&request, "all weights", "data.story_weights");
    request = mixture_of(rig);
    request.validation_tokens = 7 * 20 + 1;
    refused(&request, "7 sequences", "8 domains");
    request = mixture_of(rig);
    request.train_tokens = 40001;
    refused(&request, "wiki/train.txt: the mixture takes 12102 tokens", "2400");
    request = mixture_of(rig);
    request.vocab_size = 100;
    refused(&request, "vocab_size 100", "words given");
    request = mixture_of(rig);
    request.validation_files[0] = "wiki/train.txt";
    request.num_validation_files = 1;
    refused(&request, "same content", "wiki/train.txt");
    request = mixture_of(rig);
    put_text(rig, "sea.txt", "x y z\n");
    request.train_files[1] = "sea.txt";
    refused(&request, "sea.txt", "already a domain \"sea\"");
    request = mixture_of(rig);
    request.choice_questions = 6;
    request.sequence_length = 30;
    request.train_tokens = 6001;
    request.validation_tokens = 1201;
    refused(&request, "fits into data.sequence_length = 30", "choice_questions");
    request.kind = DATASET_TEXT;
    refused(&request, "choice_questions", "stories");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(floors_are_exact_in_every_tokenizer),
        cmocka_unit_test(words_are_spelled_as_the_stories_number_them),
        cmocka_unit_test(spelled_stories_can_be_read),
        cmocka_unit_test(tokens_are_divided_by_the_weights),
        cmocka_unit_test(texts_are_read_in_order_and_held_out_behind),
        cmocka_unit_test(validation_files_are_domains_of_their_own),
        cmocka_unit_test(a_mixture_is_a_function_of_its_seed),
        cmocka_unit_test(pieces_and_bytes_can_be_mixed_too),
        cmocka_unit_test(what_cannot_be_mixed_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
