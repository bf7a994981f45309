/* Datasets that mix the story generator's domains and text files.
 *
 * A domain of the evaluation is one of the six of the stories, or a text file: each of the validation files,
 * or, without these, the part of each training file that follows what is trained on. The validation split
 * gives each domain equally many sequences, the first ones one more when the number does not divide, whatever
 * the weights: a domain of weight 0 is one that training never saw. The training split divides its sequences
 * by the weights (largest remainders, the first of equals).
 *
 * Splits are blocks of sequences as those of stories (dataset_stories.c), stories first, then files in order.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/choice_set.h"
#include "data/dataset_build.h"

enum { PARTS = DATASET_STORY_DOMAINS + DATASET_MAX_FILES };

struct mixture {
    const struct dataset_request *request;
    struct stories *stories;
    struct story_spelling spelling;
    struct text_set train, validation;
    int64_t train_sequences[PARTS]; /* of each domain of stories, then of each training file */
    int64_t sequences[PARTS];       /* of validation: the same, then of each domain's file */
};

static void mixture_close(struct mixture *m) {
    story_spelling_free(&m->spelling);
    stories_close(m->stories);
    text_set_free(&m->train);
    text_set_free(&m->validation);
}

/* The files that are domains, and the split that they belong to. */
static const struct text_set *domain_files(const struct mixture *m) {
    return m->validation.count > 0 ? &m->validation : &m->train;
}

/* shares [parts] = sequences in proportion to weights [parts], by largest remainders. */
static moe_status divide(int64_t sequences, const int32_t *weights, int32_t parts, int64_t *shares,
                         moe_err *err) {
    moe_status status = MOE_OK;
    int64_t total = 0, given = 0;
    bool rounded_up[PARTS] = {false};
    for (int32_t i = 0; i < parts; i++) {
        moe_check(weights[i] >= 0 && weights[i] <= 1000, err, MOE_ECONFIG,
                  "weight %d of a mixture is %d; weights lie in [0, 1000]", i + 1, weights[i]);
        total += weights[i];
    }
    moe_check(total > 0, err, MOE_ECONFIG,
              "all weights of the mixture are 0: data.story_weights or data.file_weights must name something "
              "to train on");
    for (int32_t i = 0; i < parts; i++) {
        shares[i] = sequences * weights[i] / total;
        given += shares[i];
    }
    for (; given < sequences; given++) {
        int32_t largest = -1;
        for (int32_t i = 0; i < parts; i++) {
            if (rounded_up[i]) continue;
            if (largest < 0 || sequences * weights[i] % total > sequences * weights[largest] % total)
                largest = i;
        }
        rounded_up[largest] = true;
        shares[largest]++;
    }
out:
    return status;
}

static moe_status plan(struct mixture *m, moe_err *err) {
    moe_status status = MOE_OK;
    const struct dataset_request *r = m->request;
    int32_t weights[PARTS];
    int64_t sequences = 0;
    const int32_t domains = DATASET_STORY_DOMAINS + domain_files(m)->count;
    memcpy(weights, r->story_weights, sizeof r->story_weights);
    memcpy(weights + DATASET_STORY_DOMAINS, r->file_weights, sizeof r->file_weights);
    moe_try(dataset_sequences("train", r->train_tokens, r->sequence_length, &sequences, err));
    moe_try(divide(sequences, weights, DATASET_STORY_DOMAINS + m->train.count, m->train_sequences, err));
    moe_try(dataset_sequences("validation", r->validation_tokens, r->sequence_length, &sequences, err));
    moe_check(sequences >= domains, err, MOE_ECONFIG,
              "data.validation_tokens = %lld gives %lld sequences of %d tokens, but there are %d domains to "
              "evaluate; raise it, or shorten data.sequence_length",
              (long long)r->validation_tokens, (long long)sequences, r->sequence_length, domains);
    for (int32_t i = 0; i < domains; i++) {
        m->sequences[i] = sequences / domains + (i < sequences % domains);
    }
out:
    return status;
}

/* Reads what is mixed and decides how much of each. */
static moe_status mixture_open(struct mixture *m, const struct dataset_request *request, moe_err *err) {
    moe_status status = MOE_OK;
    m->request = request;
    moe_try(stories_open(&m->stories, err));
    moe_try(dataset_read_texts(request, SPLIT_TRAIN, &m->train, err));
    moe_try(dataset_read_texts(request, SPLIT_VALIDATION, &m->validation, err));
    moe_try(dataset_check_disjoint(&m->train, &m->validation, err));
    moe_try(plan(m, err));
out:
    return status;
}

/* Words are those of the stories, then the most frequent ones of the training texts. */
static moe_status open_tokenizer(const struct mixture *m, struct tokenizer **out, moe_err *err) {
    moe_status status = MOE_OK;
    const struct dataset_request *r = m->request;
    struct tokenizer *t = NULL;
    int64_t learned[DATASET_MAX_FILES];
    for (int32_t i = 0; i < m->train.count; i++) {
        learned[i] = m->train_sequences[DATASET_STORY_DOMAINS + i] * r->sequence_length;
    }
    if (r->tokenizer == TOKENIZE_WORD)
        moe_try(stories_extend_tokenizer(m->stories, m->train.files, learned, m->train.count, r->vocab_size,
                                         &t, err));
    else
        moe_try(dataset_open_fixed_tokenizer(r, &t, err));
    moe_check(tokenizer_size(t) <= r->vocab_size, err, MOE_ECONFIG,
              "the tokenizer has %d ids, but vocab_size is %d; set model.vocab_size to at least %d",
              tokenizer_size(t), r->vocab_size, tokenizer_size(t));
    *out = t;
    t = NULL;
out:
    tokenizer_free(t);
    return status;
}

/* The folder that a file lies in ("wikitext2" of wikitext2/wiki.valid.tokens), or its name without what
 * follows the last dot. */
static void name_file(const char *path, bool by_folder, char *out, size_t size) {
    const char *file = strrchr(path, '/');
    const char *end = file != NULL ? file : path + strlen(path), *begin = end;
    if (!by_folder || file == NULL || file == path) {
        begin = file != NULL ? file + 1 : path;
        end = strrchr(begin, '.');
        if (end == NULL || end == begin) end = begin + strlen(begin);
    } else {
        while (begin > path && begin[-1] != '/') {
            begin--;
        }
    }
    snprintf(out, size, "%.*s", (int)(end - begin), begin);
}

static bool is_taken(const struct dataset *d, const char *name) {
    for (int32_t i = 0; i < d->domains; i++) {
        if (strcmp(d->domain_names[i], name) == 0) return true;
    }
    return strcmp(name, DATASET_CHOICE_DOMAIN) == 0;
}

/* Domains of files, behind those of the stories. */
static moe_status describe_files(const struct mixture *m, struct dataset *d, moe_err *err) {
    moe_status status = MOE_OK;
    const struct text_set *files = domain_files(m);
    for (int32_t i = 0; i < files->count; i++) {
        char *name = d->domain_names[d->domains];
        name_file(files->files[i].name, true, name, sizeof d->domain_names[0]);
        if (is_taken(d, name)) name_file(files->files[i].name, false, name, sizeof d->domain_names[0]);
        moe_check(!is_taken(d, name), err, MOE_ECONFIG,
                  "%s: there is already a domain \"%s\"; rename the file or its folder", files->files[i].path,
                  name);
        d->domains++;
    }
out:
    return status;
}

/* A split under construction. */
struct blocks {
    struct mixture *m;
    struct dataset *d;
    struct dataset_split *split;
    int64_t filled; /* sequences */
};

/* Appends a block: `sequences` sequences of ids, which has one id more than that. */
static void put_block(struct blocks *b, const int32_t *ids, int64_t sequences, int32_t domain) {
    const int64_t T = b->d->sequence_length;
    if (sequences == 0) return;
    memcpy(b->split->tokens + b->filled * T, ids, (size_t)(sequences * T + 1) * sizeof *ids);
    memset(b->split->domain + b->filled, domain, (size_t)sequences);
    b->filled += sequences;
}

static moe_status put_stories(struct blocks *b, enum split_number number, const int64_t *sequences,
                              moe_err *err) {
    moe_status status = MOE_OK;
    const int64_t T = b->d->sequence_length;
    const struct rng_key key = {.seed = b->m->request->seed, .stream = RNG_DATA, .step = number};
    for (int32_t i = 0; i < DATASET_STORY_DOMAINS; i++) {
        if (sequences[i] == 0) continue;
        /* the next block writes over the last id, which is this block's last target */
        moe_try(dataset_story_block(&b->m->spelling, key, i, sequences[i] * T + 1,
                                    b->split->tokens + b->filled * T, err));
        memset(b->split->domain + b->filled, i + 1, (size_t)sequences[i]);
        b->filled += sequences[i];
    }
out:
    return status;
}

static moe_status encode_enough(const struct mixture *m, const struct text_file *text, int64_t wanted,
                                struct dataset *d, struct token_buffer *ids, moe_err *err) {
    moe_status status = MOE_OK;
    ids->count = 0;
    moe_try(dataset_encode_text(m->request, text, wanted, d, ids, err));
    moe_check(ids->count >= wanted, err, MOE_ECONFIG,
              "%s: the mixture takes %lld tokens of it, but it has %lld with this tokenizer; lower its "
              "weight, data.train_tokens or data.validation_tokens",
              text->path, (long long)wanted, (long long)ids->count);
out:
    return status;
}

/* Blocks of the training files; where they are domains too, what follows goes to the validation split. */
static moe_status put_train_files(struct blocks *train, struct blocks *validation, moe_err *err) {
    moe_status status = MOE_OK;
    struct mixture *m = train->m;
    struct token_buffer ids = {0};
    const int64_t T = train->d->sequence_length;
    const bool held_out = m->validation.count == 0;
    for (int32_t i = 0; i < m->train.count; i++) {
        const int32_t part = DATASET_STORY_DOMAINS + i;
        const int64_t trained = m->train_sequences[part], kept = held_out ? m->sequences[part] : 0;
        const int64_t train_ids = trained > 0 ? trained * T + 1 : 0, kept_ids = kept > 0 ? kept * T + 1 : 0;
        if (train_ids + kept_ids == 0) continue;
        moe_try(encode_enough(m, &m->train.files[i], train_ids + kept_ids, train->d, &ids, err));
        put_block(train, ids.ids, trained, held_out ? part + 1 : 0);
        put_block(validation, ids.ids + train_ids, kept, part + 1);
    }
out:
    token_buffer_free(&ids);
    return status;
}

static moe_status put_validation_files(struct blocks *validation, moe_err *err) {
    moe_status status = MOE_OK;
    struct mixture *m = validation->m;
    struct token_buffer ids = {0};
    for (int32_t i = 0; i < m->validation.count; i++) {
        const int32_t part = DATASET_STORY_DOMAINS + i;
        const int64_t wanted = m->sequences[part] * validation->d->sequence_length + 1;
        moe_try(encode_enough(m, &m->validation.files[i], wanted, validation->d, &ids, err));
        put_block(validation, ids.ids, m->sequences[part], part + 1);
    }
out:
    token_buffer_free(&ids);
    return status;
}

static moe_status open_split(struct mixture *m, enum split_number number, struct dataset *d,
                             struct blocks *out, moe_err *err) {
    moe_status status = MOE_OK;
    const int64_t *sequences = number == SPLIT_TRAIN ? m->train_sequences : m->sequences;
    struct dataset_split *split = number == SPLIT_TRAIN ? &d->train : &d->validation;
    for (int32_t i = 0; i < PARTS; i++) {
        split->sequences += sequences[i];
    }
    const size_t count = (size_t)(split->sequences * d->sequence_length) + 1;
    split->tokens = malloc(count * sizeof *split->tokens);
    split->domain = malloc((size_t)split->sequences);
    moe_check(split->tokens != NULL && split->domain != NULL, err, MOE_ENOMEM, "no memory for %zu tokens",
              count);
    *out = (struct blocks){.m = m, .d = d, .split = split};
    moe_try(put_stories(out, number, sequences, err));
out:
    return status;
}

/* Share of unknown words, and the split's ids as an origin. */
static moe_status close_split(const struct blocks *b, enum split_number number, moe_err *err) {
    const int64_t count = b->split->sequences * b->d->sequence_length + 1;
    const int32_t unk = tokenizer_unk(b->d->tokenizer);
    int64_t unknown = 0;
    for (int64_t i = 0; i < count; i++) {
        unknown += b->split->tokens[i] == unk;
    }
    b->split->unk_share = unk < 0 ? NAN : (double)unknown / (double)count;
    return dataset_add_generated(b->d, "mixture", number, b->m->request->seed, b->split->tokens, count, err);
}

/* The floor of all domains together is known where each one's is. */
static double mixed_floor(const struct dataset *d) {
    double floor = 0;
    for (int64_t i = 0; i < d->validation.sequences; i++) {
        floor += d->entropy_floor[d->validation.domain[i]] / (double)d->validation.sequences;
    }
    return floor;
}

moe_status dataset_fill_mixture(const struct dataset_request *request, struct dataset *d, moe_err *err) {
    moe_status status = MOE_OK;
    struct mixture m = {0};
    struct blocks train, validation;
    moe_try(mixture_open(&m, request, err));
    moe_try(open_tokenizer(&m, &d->tokenizer, err));
    moe_try(story_spelling_create(&m.spelling, m.stories, d->tokenizer, request->tokenizer, err));
    moe_try(dataset_describe_stories(&m.spelling, d, err));
    moe_try(describe_files(&m, d, err));
    moe_try(open_split(&m, SPLIT_TRAIN, d, &train, err));
    moe_try(open_split(&m, SPLIT_VALIDATION, d, &validation, err));
    moe_try(put_train_files(&train, &validation, err));
    moe_try(put_validation_files(&validation, err));
    moe_try(close_split(&train, SPLIT_TRAIN, err));
    moe_try(close_split(&validation, SPLIT_VALIDATION, err));
    dataset_add_tokenizer(request, d);
    d->entropy_floor[0] = mixed_floor(d);
    moe_try(dataset_add_choice(request, &m.spelling, d, err));
out:
    mixture_close(&m);
    return status;
}

moe_status dataset_mixture_tokenizer(const struct dataset_request *request, struct tokenizer **out_tokenizer,
                                     moe_err *err) {
    moe_status status = MOE_OK;
    struct mixture m = {0};
    moe_try(mixture_open(&m, request, err));
    moe_try(open_tokenizer(&m, out_tokenizer, err));
out:
    mixture_close(&m);
    return status;
}
