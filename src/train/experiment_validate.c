/* experiment_validate.c - combinations of keys that no run can have, each with what to do about it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config_internal.h"
#include "data/images.h"
#include "train/experiment_internal.h"

#define DESCRIPTION_MAX 320
#define EXPERTS_MAX     4096 /* of moe.num_experts */

/* The experiment under test and where its values were written. */
struct subject {
    const struct experiment *e;
    const struct config *config; /* NULL: places are not known */
    moe_err *err;
};

/* "KEY = VALUE (FILE:LINE)" in the caller's buffer. */
static const char *say(const struct subject *s, const char *key, char out[DESCRIPTION_MAX]) {
    config_describe(s->config, &EXPERIMENT_KEYS, s->e, key, out, DESCRIPTION_MAX);
    return out;
}

/* Fails with: A <relation> B: <advice>. `b` may be NULL. */
static moe_status clash(const struct subject *s, const char *a, const char *relation, const char *b,
                        const char *advice) {
    char first[DESCRIPTION_MAX], second[DESCRIPTION_MAX];
    return moe_fail(s->err, MOE_ECONFIG, "%s %s%s%s: %s", say(s, a, first), relation, b != NULL ? " " : "",
                    b != NULL ? say(s, b, second) : "", advice);
}

#define refuse_if(condition, a, relation, b, advice)                                                         \
    do {                                                                                                     \
        if (condition) return clash(s, (a), (relation), (b), (advice));                                      \
    } while (0)

static bool is_of(const char *key, const char *section) {
    const size_t length = strlen(section);
    return strncmp(key, section, length) == 0 && key[length] == '.';
}

/* Values that nothing reads, and that are not what they would be anyway. */
static moe_status check_unread(const struct subject *s) {
    const bool classifier = experiment_is_classifier(s->e);
    for (size_t i = 0; s->config != NULL && i < EXPERIMENT_KEYS.count; i++) {
        const char *key = EXPERIMENT_KEYS.keys[i].name;
        if (config_value(s->config, key) == NULL || strcmp(key, "classifier.kind") == 0 ||
            config_has_default(&EXPERIMENT_KEYS.keys[i], s->e))
            continue;
        refuse_if(classifier && (is_of(key, "model") || is_of(key, "moe")), key, "has no meaning with",
                  "classifier.kind", "an image classifier is described in [classifier]; remove it");
        refuse_if(!classifier && is_of(key, "classifier"), key, "has no meaning with", "classifier.kind",
                  "name the kind of an image classifier, or remove it");
        refuse_if(classifier &&
                      (strcmp(key, "data.train_tokens") == 0 || strcmp(key, "data.validation_tokens") == 0 ||
                       strcmp(key, "data.sequence_length") == 0),
                  key, "has no meaning with", "classifier.kind",
                  "images are counted by data.train_images and data.test_images; remove it");
        refuse_if(!classifier &&
                      (strcmp(key, "data.train_images") == 0 || strcmp(key, "data.test_images") == 0),
                  key, "has no meaning with", "classifier.kind",
                  "text is counted by data.train_tokens and data.validation_tokens; remove it");
        refuse_if(s->e->data.source != DATA_MIXTURE &&
                      (strcmp(key, "data.story_weights") == 0 || strcmp(key, "data.file_weights") == 0),
                  key, "has no meaning with", "data.source", "only a mixture has weights; remove it");
        refuse_if(s->e->data.source != DATA_MIXTURE && s->e->data.source != DATA_STORIES &&
                      strcmp(key, "data.choice_questions") == 0,
                  key, "has no meaning with", "data.source",
                  "questions are about generated stories: use stories or mixture, or remove it");
    }
    return MOE_OK;
}

/* Puts the resolved part of a classifier's configuration in. */
static moe_status resolve_classifier(struct experiment *e, moe_err *err) {
    moe_status status = MOE_OK;
    static const enum classifier_kind kinds[] = {
        [CONFIG_CLASSIFIER_FLAT] = CLASSIFIER_FLAT,
        [CONFIG_CLASSIFIER_HIERARCHICAL] = CLASSIFIER_HIERARCHICAL,
        [CONFIG_CLASSIFIER_HIERARCHICAL_GSHARD] = CLASSIFIER_HIERARCHICAL_GSHARD,
        [CONFIG_CLASSIFIER_DENSE] = CLASSIFIER_DENSE,
    };
    struct classifier_section *c = &e->classifier;
    struct classifier_config mixture;
    struct classifier_counts counts;
    c->net.kind = kinds[c->kind];
    c->net.input = IMAGE_VALUES;
    c->net.classes = IMAGE_CLASSES;
    c->net.hidden = c->hidden;
    e->data.sequence_length = 1;
    if (c->kind != CONFIG_CLASSIFIER_DENSE || c->match == CONFIG_MATCH_NONE) goto out;
    mixture = c->net;
    mixture.kind = CLASSIFIER_FLAT;
    moe_try(classifier_count(&mixture, 1, &counts, err));
    c->net.hidden = classifier_dense_width(c->net.input, c->net.classes,
                                           c->match == CONFIG_MATCH_ACTIVE ? counts.active : counts.total);
out:
    return status;
}

/* A share of the dense width as a whole number of experts, or 0. */
static int32_t whole(double count) {
    const double nearest = round(count);
    return nearest >= 1 && nearest <= 65536 && fabs(count - nearest) < 1e-9 * nearest ? (int32_t)nearest : 0;
}

/* The keys that a granularity determines, and their values. */
struct by_size {
    const char *granularity, *experts_key, *active_key, *width_key;
    double g;
    int32_t *experts, *active, *width;
};

/* Puts a value in that a granularity determines; it may be written beside it only if it is the same. */
static moe_status determine(const struct subject *s, const char *key, const char *granularity, int32_t *field,
                            int32_t value) {
    const json_t *written = s->config != NULL ? config_value(s->config, key) : NULL;
    const bool differs = written != NULL && json_integer_value(written) != value && *field != 0;
    refuse_if(differs, key, "is not what follows from", granularity, "remove one of the two");
    *field = value;
    return MOE_OK;
}

/* k = budget / g active experts of n = sparsity / g, each g times as wide as the dense layer; of two groups
 * each has half of both. */
static moe_status resolve_group(const struct subject *s, const struct by_size *group, int32_t groups) {
    moe_status status = MOE_OK;
    const struct moe_config *moe = &s->e->moe;
    const int32_t active = whole((1 - moe->generalist_granularity) / group->g / groups);
    const int32_t experts = whole((moe->sparsity > 0 ? moe->sparsity : 1) / group->g / groups);
    const double width = group->g * s->e->model.intermediate_size;
    refuse_if(active == 0, group->granularity, "leaves no whole number of active experts with",
              "moe.generalist_granularity", "no such layer exists: choose another size");
    refuse_if(experts == 0, group->granularity, "gives no whole number of experts with", "moe.sparsity",
              "no such layer exists: choose another size");
    refuse_if(experts > EXPERTS_MAX, group->granularity, "gives more than 4096 experts with", "moe.sparsity",
              "choose larger experts, or lower the sparsity");
    refuse_if(width < 1, group->granularity, "gives no hidden unit with", "model.intermediate_size",
              "choose larger experts");
    moe_try(determine(s, group->experts_key, group->granularity, group->experts, experts));
    moe_try(determine(s, group->active_key, group->granularity, group->active, active));
    moe_try(determine(s, group->width_key, group->granularity, group->width, (int32_t)width));
out:
    return status;
}

/* Experts by size (source C). */
static moe_status resolve_sizes(const struct subject *s, struct moe_config *moe) {
    moe_status status = MOE_OK;
    const int32_t groups = moe->granularity_2 > 0 ? 2 : 1;
    const struct by_size first = {
        .granularity = "moe.granularity",
        .experts_key = "moe.num_experts",
        .active_key = "moe.num_active_experts",
        .width_key = "moe.intermediate_size",
        .g = moe->granularity,
        .experts = &moe->num_experts,
        .active = &moe->num_active_experts,
        .width = &moe->intermediate_size,
    };
    const struct by_size second = {
        .granularity = "moe.granularity_2",
        .experts_key = "moe.num_experts_2",
        .active_key = "moe.num_active_experts_2",
        .width_key = "moe.intermediate_size_2",
        .g = moe->granularity_2,
        .experts = &moe->num_experts_2,
        .active = &moe->num_active_experts_2,
        .width = &moe->intermediate_size_2,
    };
    refuse_if(moe->granularity == 0 && moe->granularity_2 > 0, "moe.granularity_2", "has no meaning with",
              "moe.granularity", "set both, or remove it");
    refuse_if(moe->granularity == 0 && moe->sparsity > 0, "moe.sparsity", "has no meaning with",
              "moe.granularity", "set both, or remove it");
    if (moe->granularity > 0) moe_try(resolve_group(s, &first, groups));
    if (moe->granularity_2 > 0) moe_try(resolve_group(s, &second, groups));
    if (moe->generalist_granularity > 0) {
        const double width = moe->generalist_granularity * s->e->model.intermediate_size;
        refuse_if(width < 1, "moe.generalist_granularity", "gives no hidden unit with",
                  "model.intermediate_size", "choose a larger generalist");
        moe_try(determine(s, "moe.generalist_size", "moe.generalist_granularity", &moe->generalist_size,
                          (int32_t)width));
    }
out:
    return status;
}

static int compare_layers(const void *a, const void *b) {
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

moe_status experiment_resolve(struct experiment *e, const struct config *config, moe_err *err) {
    const struct subject subject = {e, config, err}, *s = &subject;
    struct model_config *m = &e->model;
    struct moe_config *moe = &e->moe;
    const moe_status unread = check_unread(s);
    if (unread != MOE_OK) return unread;
    if (m->num_key_value_heads == 0) m->num_key_value_heads = m->num_attention_heads;
    if (m->head_dim == 0) {
        refuse_if(m->hidden_size % m->num_attention_heads != 0, "model.hidden_size", "is no multiple of",
                  "model.num_attention_heads", "choose heads that divide the width, or set model.head_dim");
        m->head_dim = m->hidden_size / m->num_attention_heads;
    }
    if (moe->num_layers < 0) { /* "all" */
        moe->num_layers = m->num_hidden_layers;
        for (int32_t i = 0; i < moe->num_layers; i++)
            moe->layers[i] = i;
    }
    qsort(moe->layers, (size_t)moe->num_layers, sizeof moe->layers[0], compare_layers);
    if (moe->num_layers > 0) {
        const moe_status sizes = resolve_sizes(s, moe);
        if (sizes != MOE_OK) return sizes;
    }
    if (moe->intermediate_size == 0) moe->intermediate_size = m->intermediate_size;
    if (moe->num_experts_2 > 0 && moe->intermediate_size_2 == 0)
        moe->intermediate_size_2 = moe->intermediate_size;
    if (e->train.micro_batch_size == 0) e->train.micro_batch_size = e->train.batch_size;
    return experiment_is_classifier(e) ? resolve_classifier(e, err) : MOE_OK;
}

static moe_status check_model(const struct subject *s) {
    const struct model_config *m = &s->e->model;
    refuse_if(m->num_key_value_heads < 1, "model.num_key_value_heads", "is too small", NULL,
              "use at least 1");
    refuse_if(m->head_dim < 1, "model.head_dim", "is too small", NULL, "use at least 1");
    refuse_if(m->num_attention_heads % m->num_key_value_heads != 0, "model.num_attention_heads",
              "is no multiple of", "model.num_key_value_heads",
              "each key-value head serves equally many query heads");
    refuse_if((int64_t)m->num_attention_heads * m->head_dim > 1 << 24, "model.num_attention_heads",
              "is too many for", "model.head_dim", "their product must stay below 2^24");
    refuse_if(m->positions == POSITIONS_ROPE && m->head_dim % 2 != 0, "model.head_dim", "is odd, but with",
              "model.positions", "rotation works on pairs: use an even head_dim");
    return MOE_OK;
}

static moe_status check_moe_layers(const struct subject *s) {
    const struct moe_config *moe = &s->e->moe;
    refuse_if(moe->num_layers < 0 || moe->num_layers > MODEL_MAX_LAYERS, "model.num_hidden_layers",
              "does not fit the number of layers in", "moe.layers", "list each layer once");
    for (int32_t i = 0; i < moe->num_layers; i++) {
        refuse_if(moe->layers[i] < 0 || moe->layers[i] >= s->e->model.num_hidden_layers, "moe.layers",
                  "names a layer that does not exist with", "model.num_hidden_layers",
                  "layers count from 0 to one less than their number");
        refuse_if(i > 0 && moe->layers[i] == moe->layers[i - 1], "moe.layers", "names a layer twice", NULL,
                  "list each layer once");
        refuse_if(i > 0 && moe->layers[i] < moe->layers[i - 1], "moe.layers", "is not in ascending order",
                  NULL, "sort the list");
    }
    return MOE_OK;
}

/* What each router's experts have to fit: tokens of a micro-batch and their capacity. */
static moe_status check_experts(const struct subject *s, const char *experts_key, int32_t experts,
                                int32_t active) {
    const struct moe_config *moe = &s->e->moe;
    const int64_t tokens = (int64_t)s->e->train.micro_batch_size * s->e->data.sequence_length;
    refuse_if(tokens * experts > INT32_MAX, experts_key, "is too many for the tokens of",
              "train.micro_batch_size", "lower train.micro_batch_size or data.sequence_length");
    refuse_if(moe->capacity_factor > 0 &&
                  floor((double)(tokens * active) / experts * moe->capacity_factor) < 1,
              "moe.capacity_factor", "gives each expert less than one slot with", "train.micro_batch_size",
              "raise the factor, or set 0 for dropless routing");
    return MOE_OK;
}

/* Second group and generalist. */
static moe_status check_moe_groups(const struct subject *s) {
    const struct moe_config *moe = &s->e->moe;
    const bool second = moe->num_experts_2 > 0;
    refuse_if(!second && moe->num_active_experts_2 > 0, "moe.num_active_experts_2", "has no meaning with",
              "moe.num_experts_2", "say how many experts the second group has, or remove it");
    refuse_if(!second && moe->intermediate_size_2 > 0, "moe.intermediate_size_2", "has no meaning with",
              "moe.num_experts_2", "say how many experts the second group has, or remove it");
    refuse_if(second && moe->num_active_experts_2 < 1, "moe.num_active_experts_2", "is too small", NULL,
              "use at least 1");
    refuse_if(moe->num_active_experts_2 > moe->num_experts_2, "moe.num_active_experts_2", "is more than",
              "moe.num_experts_2", "a token cannot use more experts than there are");
    refuse_if(second && moe->num_shared_experts > 0, "moe.num_shared_experts", "is not available with",
              "moe.num_experts_2", "use moe.generalist_size for an expert that every token uses");
    refuse_if(moe->generalist_size > 0 && moe->num_shared_experts > 0, "moe.num_shared_experts",
              "is not available with", "moe.generalist_size", "both are used by every token: keep one");
    refuse_if(moe->aux_mean_over_layers && moe->lb_scope == LB_POOLED, "moe.aux_mean_over_layers",
              "has no meaning with", "moe.lb_scope", "a pooled loss is one for all layers: remove it");
    return second ? check_experts(s, "moe.num_experts_2", moe->num_experts_2, moe->num_active_experts_2)
                  : MOE_OK;
}

static moe_status check_moe(const struct subject *s) {
    moe_status status = MOE_OK;
    const struct moe_config *moe = &s->e->moe;
    if (moe->num_layers == 0) return MOE_OK; /* a dense model does not read the other keys */
    refuse_if(moe->num_active_experts > moe->num_experts, "moe.num_active_experts", "is more than",
              "moe.num_experts", "a token cannot use more experts than there are");
    refuse_if(moe->intermediate_size < 1, "moe.intermediate_size", "is too small", NULL, "use at least 1");
    refuse_if((int64_t)moe->num_shared_experts * moe->intermediate_size > 1 << 24, "moe.num_shared_experts",
              "is too many for", "moe.intermediate_size", "their product must stay below 2^24");
    refuse_if(moe->temperature_epochs == 0 && moe->temperature_end != moe->temperature_start,
              "moe.temperature_end", "is never reached with", "moe.temperature_epochs",
              "set the epochs over which it moves, or equal temperatures");
    refuse_if(moe->dense_epochs >= s->e->train.max_epochs, "moe.dense_epochs",
              "leaves no sparse epoch within", "train.max_epochs",
              "lower it; for soft routing throughout set num_active_experts = num_experts");
    refuse_if(moe->capacity_factor < 0, "moe.capacity_factor", "is negative", NULL,
              "use 0 for dropless routing");
    moe_try(check_experts(s, "moe.num_experts", moe->num_experts, moe->num_active_experts));
    moe_try(check_moe_groups(s));
out:
    return status;
}

static moe_status check_classifier(const struct subject *s) {
    const struct classifier_section *c = &s->e->classifier;
    const struct train_config *t = &s->e->train;
    refuse_if(c->match != CONFIG_MATCH_NONE && c->kind != CONFIG_CLASSIFIER_DENSE, "classifier.match",
              "asks for a width of", "classifier.kind", "only kind dense is matched: set none");
    refuse_if(c->noise_epochs > t->max_epochs, "classifier.noise_epochs", "is more than", "train.max_epochs",
              "the noise would never come to noise_end: shorten it");
    refuse_if(c->balance_target > 0 && c->net.w_importance == 0 && c->net.w_load == 0,
              "classifier.balance_target", "moves no weight: both are 0, with", "classifier.w_load",
              "state the weights that the run begins with");
    refuse_if(t->label_smoothing > 0, "train.label_smoothing", "is not available with", "classifier.kind",
              "set 0");
    refuse_if(t->z_coeff > 0, "train.z_coeff", "is not available with", "classifier.kind", "set 0");
    return classifier_check(&c->net, s->err);
}

static moe_status check_images(const struct subject *s) {
    const struct data_config *d = &s->e->data;
    refuse_if(!experiment_is_classifier(s->e), "data.source", "gives images, but with", "classifier.kind",
              "the model is a decoder: name text, or a kind of classifier");
    refuse_if(d->source == DATA_CIFAR10 && d->num_train_files == 0, "data.train_files", "is empty, but with",
              "data.source", "name the files to train on (cifar10/data_batch_1.bin)");
    refuse_if(d->source == DATA_CIFAR10 && d->num_validation_files == 0, "data.validation_files",
              "is empty, but with", "data.source", "name the files to test on (cifar10/test_batch.bin)");
    refuse_if(d->source == DATA_IMAGES && d->train_images == 0, "data.train_images", "means all, but with",
              "data.source", "generated images have no end: give a number");
    refuse_if(d->source == DATA_IMAGES && d->test_images == 0, "data.test_images", "means all, but with",
              "data.source", "generated images have no end: give a number");
    return MOE_OK;
}

static int64_t sum(const int32_t *values, int32_t count) {
    int64_t total = 0;
    for (int32_t i = 0; i < count; i++)
        total += values[i];
    return total;
}

static moe_status check_mixture(const struct subject *s) {
    const struct data_config *d = &s->e->data;
    refuse_if(d->num_story_weights != 0 && d->num_story_weights != DATA_STORY_DOMAINS, "data.story_weights",
              "does not have six numbers, one for each domain of the stories", NULL,
              "give all, or [] for 1 each");
    refuse_if(d->num_file_weights != 0 && d->num_file_weights != d->num_train_files, "data.file_weights",
              "has not one number for each of", "data.train_files", "give all, or [] for 1 each");
    refuse_if(d->num_story_weights != 0 && sum(d->story_weights, d->num_story_weights) == 0 &&
                  sum(d->file_weights, d->num_file_weights) == 0 &&
                  (d->num_file_weights != 0 || d->num_train_files == 0),
              "data.story_weights", "and", "data.file_weights", "leave nothing to train on: raise one");
    return MOE_OK;
}

static moe_status check_tokenizer(const struct subject *s) {
    const struct data_config *d = &s->e->data;
    refuse_if(d->tokenizer == TOKENIZER_BYTE && s->e->model.vocab_size < 256, "model.vocab_size",
              "is too small for", "data.tokenizer", "bytes need at least 256");
    refuse_if(d->tokenizer == TOKENIZER_WORD && s->e->model.vocab_size < 3, "model.vocab_size",
              "is too small for", "data.tokenizer", "two ids are reserved: use at least 3");
    refuse_if(d->tokenizer == TOKENIZER_SENTENCEPIECE && d->tokenizer_file[0] == 0, "data.tokenizer_file",
              "is empty, but with", "data.tokenizer", "name the SentencePiece model");
    return MOE_OK;
}

static moe_status check_data(const struct subject *s) {
    const struct data_config *d = &s->e->data;
    const struct model_config *m = &s->e->model;
    if (experiment_has_images(s->e)) return check_images(s);
    refuse_if(experiment_is_classifier(s->e), "data.source", "has no images, but with", "classifier.kind",
              "use cifar10, or images for generated ones");
    refuse_if(m->positions == POSITIONS_LEARNED && d->sequence_length > m->max_position_embeddings,
              "data.sequence_length", "is longer than", "model.max_position_embeddings",
              "learned positions end there: shorten the sequence or add positions");
    refuse_if(d->source == DATA_TEXT && d->num_train_files == 0, "data.train_files", "is empty, but with",
              "data.source", "name the text files to train on");
    if (d->source == DATA_TEXT || d->source == DATA_MIXTURE) {
        const moe_status status = check_tokenizer(s);
        if (status != MOE_OK) return status;
    }
    if (d->source == DATA_MIXTURE) {
        const moe_status status = check_mixture(s);
        if (status != MOE_OK) return status;
    }
    refuse_if(d->source != DATA_TEXT && d->train_tokens == 0, "data.train_tokens", "means all, but with",
              "data.source", "generated data has no end: give a number");
    refuse_if(d->source != DATA_TEXT && d->validation_tokens == 0, "data.validation_tokens",
              "means all, but with", "data.source", "generated data has no end: give a number");
    refuse_if(d->train_tokens > 0 && d->train_tokens <= d->sequence_length, "data.train_tokens",
              "is not enough for one sequence and its next token of", "data.sequence_length",
              "use more tokens or shorter sequences");
    refuse_if(d->validation_tokens > 0 && d->validation_tokens <= d->sequence_length,
              "data.validation_tokens", "is not enough for one sequence and its next token of",
              "data.sequence_length", "use more tokens or shorter sequences");
    return MOE_OK;
}

int64_t experiment_sequences(const struct experiment *e) {
    const struct data_config *d = &e->data;
    if (experiment_has_images(e)) return d->train_images;
    return d->train_tokens > 0 ? (d->train_tokens - 1) / d->sequence_length : 0;
}

int64_t experiment_planned_steps(const struct experiment *e) {
    const int64_t sequences = experiment_sequences(e);
    if (sequences == 0) return e->train.max_steps;
    const int64_t per_epoch = (sequences + e->train.batch_size - 1) / e->train.batch_size;
    const int64_t by_epochs =
        per_epoch > INT64_MAX / e->train.max_epochs ? INT64_MAX : per_epoch * e->train.max_epochs;
    return e->train.max_steps > 0 && e->train.max_steps < by_epochs ? e->train.max_steps : by_epochs;
}

static moe_status check_train(const struct subject *s) {
    const struct train_config *t = &s->e->train;
    const int64_t steps = experiment_planned_steps(s->e);
    const char *length = t->max_steps > 0 && t->max_steps == steps ? "train.max_steps" : "train.max_epochs";
    refuse_if(t->micro_batch_size < 1 || t->batch_size % t->micro_batch_size != 0, "train.batch_size",
              "is no multiple of", "train.micro_batch_size", "a step is a whole number of micro-batches");
    refuse_if((int64_t)t->micro_batch_size * s->e->data.sequence_length > INT32_MAX / 8,
              "train.micro_batch_size", "is too large for", "data.sequence_length",
              "accumulate gradients over smaller micro-batches");
    refuse_if(steps > 0 && t->patience > 0 && t->eval_steps > steps, "train.patience",
              "waits for an evaluation that never comes with", "train.eval_steps",
              "the run has fewer steps: evaluate more often, or set patience = 0");
    refuse_if(steps > 0 && t->warmup_steps > steps && !t->allow_unfinished_warmup, "train.warmup_steps",
              "is longer than the run of", length, "shorten it, or set train.allow_unfinished_warmup = true");
    return MOE_OK;
}

moe_status experiment_check(const struct experiment *e, const struct config *config, moe_err *err) {
    moe_status status = MOE_OK;
    const struct subject subject = {e, config, err};
    moe_try(check_model(&subject));
    moe_try(check_moe_layers(&subject));
    moe_try(check_data(&subject));
    moe_try(check_train(&subject));
    moe_try(check_moe(&subject));
    if (experiment_is_classifier(e)) moe_try(check_classifier(&subject));
out:
    return status;
}
