/* experiment.h - one run's resolved configuration: typed, validated, with an identity.
 *
 * A suite is runs/suites/SUITE/suite.toml (grammar in runs/suites/README.md). Layers, later wins:
 *   schema defaults < [base] < [protocol.P] < [tier.T] < [tier.T.protocol.P]
 *   < the experiment's ancestors, oldest first < the experiment, each with its own .protocol.P, .tier.T and
 *     .tier.T.protocol.P tables
 *   < the value on each axis < --set
 * A suite that inherits from another is laid over it table by table first: its [base] over the other's
 * [base], and so on. Keys are SECTION.KEY with the sections below; EXPERIMENT_KEYS (experiment_keys.c) is the
 * one table of all keys: name, type, default, range, unit and a sentence of documentation (printed by `moe
 * info --keys`).
 *
 * The model is a decoder ([model], [moe]), or an image classifier where [classifier] names a kind. What only
 * the other one reads is no part of a run's configuration, and setting it is an error.
 */
#ifndef TRAIN_EXPERIMENT_H
#define TRAIN_EXPERIMENT_H

#include "core/config.h"
#include "core/status.h"
#include "model/classifier.h"
#include "model/config.h"

#define EXPERIMENT_NAME_MAX 128
#define DATA_MAX_FILES      8
#define DATA_STORY_DOMAINS  6

enum data_source {
    DATA_UNIFORM = 0,
    DATA_STORIES = 1,
    DATA_TEXT = 2,
    DATA_CIFAR10 = 3, /* images, of files */
    DATA_IMAGES = 4,  /* images, generated */
    DATA_MIXTURE = 5  /* stories and text */
};
enum tokenizer_name { TOKENIZER_WORD = 0, TOKENIZER_BYTE = 1, TOKENIZER_SENTENCEPIECE = 2 };

struct data_config {
    enum data_source source;
    /* text and cifar10: names relative to --data-dir (wikitext2/wiki.train.head1MB.raw), in order */
    char train_files[DATA_MAX_FILES][256];
    int32_t num_train_files;
    char validation_files[DATA_MAX_FILES][256]; /* text: none: what follows the training tokens is held out */
    int32_t num_validation_files;
    enum tokenizer_name tokenizer;
    char tokenizer_file[256]; /* sentencepiece model, relative to --data-dir or to the suite's folder */
    int64_t train_tokens, validation_tokens; /* used, and must be there; 0 = all (text only) */
    int32_t sequence_length;                 /* 1 for images: an image counts as a token */
    int64_t train_images, test_images;       /* used, and must be there; 0 = all (cifar10 only) */
    /* Of a mixture, how many training tokens in proportion; none: 1 each. */
    int32_t story_weights[DATA_STORY_DOMAINS], num_story_weights; /* domains as data/stories.h numbers them */
    int32_t file_weights[DATA_MAX_FILES], num_file_weights;       /* of train_files */
    int32_t choice_questions; /* of each evaluation, about the ends of stories; 0 = none */
    uint64_t seed; /* of generated corpora; runs of one experiment with different train.seed share the data */
};

enum schedule_name { SCHEDULE_CONSTANT = 0, SCHEDULE_LINEAR = 1, SCHEDULE_COSINE = 2 };
enum criterion_name { CRITERION_LOSS = 0, CRITERION_CE = 1 };

/* Whose clock says how long forward and backward of a decoder take. */
enum timer_name {
    CONFIG_TIMERS_DEVICE = 0, /* the device's: events in the course of its work */
    CONFIG_TIMERS_HOST = 1    /* the host's, without a wait for the device (source A as published) */
};

struct train_config {
    uint64_t seed;
    int32_t replica;          /* with seed: experiment_random_seed() */
    int32_t batch_size;       /* sequences per optimizer step; the last batch of an epoch may be smaller */
    int32_t micro_batch_size; /* 0 in TOML = batch_size; resolved here; divides batch_size */
    int32_t max_epochs;
    int64_t max_steps; /* 0 = only max_epochs */
    int32_t patience;  /* evaluations without improvement before the run ends; 0 = never */
    enum criterion_name
        criterion; /* early stopping: loss = as minimised with aux (source A as published), ce = CE only */
    bool eval_label_smoothing; /* smooth the evaluated loss too (source A as published) */
    bool eval_batch_mean; /* evaluation loss = mean of batch means (source A as published), else token mean */
    int64_t eval_steps;   /* evaluate every so many steps; 0 = at the end of each epoch */
    int64_t routing_steps; /* record /routing every so many steps */
    int64_t record_steps;  /* record /train and /timing every so many steps */
    enum timer_name timers;
    int64_t checkpoint_steps; /* checkpoint at least every so many steps (also at each epoch's end) */
    double lr, min_lr_ratio;  /* decay ends at lr * min_lr_ratio */
    enum schedule_name schedule;
    int64_t warmup_steps;
    double warmup_ratio;          /* used when warmup_steps = 0: share of all steps */
    bool allow_unfinished_warmup; /* a warm-up longer than the run is an error unless this is set (source C as
                                     published) */
    double beta1, beta2, eps, weight_decay;
    double clip;                     /* gradient norm; 0 = none */
    double label_smoothing, z_coeff; /* z_coeff: z-loss on the head's logits */
};

enum classifier_name {
    CONFIG_CLASSIFIER_NONE = 0, /* the model is a decoder */
    CONFIG_CLASSIFIER_FLAT = 1,
    CONFIG_CLASSIFIER_HIERARCHICAL = 2,
    CONFIG_CLASSIFIER_HIERARCHICAL_GSHARD = 3,
    CONFIG_CLASSIFIER_DENSE = 4
};
/* Of a dense network: its width gives it as many parameters as the mixture of these keys... */
enum classifier_match {
    CONFIG_MATCH_NONE = 0,   /* (its width is classifier.hidden) */
    CONFIG_MATCH_ACTIVE = 1, /* uses for an image */
    CONFIG_MATCH_TOTAL = 2   /* has */
};

struct classifier_section {
    enum classifier_name kind;
    int32_t hidden; /* of an expert; of a dense network too unless it is matched */
    enum classifier_match match;
    double noise_end;      /* the noise falls or rises to this, linear per epoch... */
    int32_t noise_epochs;  /* ...within these; 0 = it stays */
    double balance_target; /* CV^2 of a batch's load that the balance weights are moved towards; 0 = none */
    struct classifier_config net; /* the other keys; kind, input, hidden and classes are resolved */
};

struct experiment {
    char suite[EXPERIMENT_NAME_MAX], source[8],
        name[EXPERIMENT_NAME_MAX]; /* name includes axis values: lr_sweep@train.lr=0.001 */
    char protocol[32], tier[16];
    struct model_config model;
    struct moe_config moe;
    struct classifier_section classifier;
    struct data_config data;
    struct train_config train;
    char *json; /* canonical: all keys, sorted, compact; the config's identity */
    char *toml; /* the same for people */
    char sha256[65];
};

/* Whether the model is an image classifier: then [model] and [moe] mean nothing. */
static inline bool experiment_is_classifier(const struct experiment *e) {
    return e->classifier.kind != CONFIG_CLASSIFIER_NONE;
}
static inline bool experiment_has_images(const struct experiment *e) {
    return e->data.source == DATA_CIFAR10 || e->data.source == DATA_IMAGES;
}

/* Every key of all sections, at its offset in struct experiment. */
extern const struct config_schema EXPERIMENT_KEYS;

/* What the command line says beside the suite file. */
struct experiment_choice {
    const char *suites_dir;      /* runs/suites */
    const char *suite;           /* "moe-vs-dense" */
    const char *experiment;      /* exact name, axis values included; NULL = all (experiment_list) */
    const char *protocol, *tier; /* NULL = the first that the suite's file declares */
    uint64_t seed;               /* becomes train.seed; a train.seed in `sets` wins */
    const char *const *sets;     /* "SECTION.KEY=VALUE" with a TOML value; bare words are taken as strings */
    int32_t set_count;
};

/* Loads, layers, validates. Errors: MOE_ENOTFOUND (suite, experiment, protocol, tier: lists what exists, and
 * the nearest), MOE_ECONFIG with file, line and the nearest valid key. Free with experiment_free(). */
moe_status experiment_load(const struct experiment_choice *choice, struct experiment **out_experiment,
                           moe_err *err);
void experiment_free(struct experiment *e); /* NULL is allowed */

/* All experiment names of a suite for a protocol and tier, axes expanded, in file order: malloc'ed array of
 * malloc'ed strings. Experiments may restrict themselves: `protocols = [...]`, `tiers = [...]`. */
moe_status experiment_list(const struct experiment_choice *choice, char ***out_names, int32_t *out_count,
                           moe_err *err);
/* The names of [protocol.*] or [tier.*] tables of a suite, in file order; of the choice only the suite is
 * read. */
moe_status experiment_protocols(const struct experiment_choice *choice, char ***out_names, int32_t *out_count,
                                moe_err *err);
moe_status experiment_tiers(const struct experiment_choice *choice, char ***out_names, int32_t *out_count,
                            moe_err *err);
void experiment_list_free(char **names, int32_t count);

/* Checks a struct for impossible combinations (K > E, heads that do not divide, layers out of range, ...),
 * naming the key and what to do. Called by experiment_load(); public for tests. */
moe_status experiment_validate(const struct experiment *e, moe_err *err);

/* What initial values, order of sequences, dropout and expert dropout are drawn from. */
uint64_t experiment_random_seed(const struct experiment *e);

/* Sequences (images) of an epoch, from the configuration alone; 0 if only a file's length tells. */
int64_t experiment_sequences(const struct experiment *e);

/* Optimizer steps of the whole run without early stopping, from the counts of tokens or images; 0 when they
 * depend on a file's length (data.train_tokens or data.train_images = 0 and no train.max_steps). */
int64_t experiment_planned_steps(const struct experiment *e);

/* Rebuilds the struct from the JSON that a run file or checkpoint carries: the same checks, and the same json
 * and sha256. */
moe_status experiment_from_json(const char *json, struct experiment **out_experiment, moe_err *err);

#endif
