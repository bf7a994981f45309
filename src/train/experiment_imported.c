/* experiment_imported.c - a configuration for a model that no suite describes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "train/model_file_weights.h"

enum { LONGEST_SEQUENCE = 1024 };

/* Defaults of the key table with the model laid over them. */
static moe_status fill(struct experiment *e, const struct model_config *model, const struct moe_config *moe,
                       const char *tokenizer_file, moe_err *err) {
    moe_status status = MOE_OK;
    struct config *none = NULL;
    moe_try(config_new(&none, err));
    moe_try(config_fill(none, &EXPERIMENT_KEYS, e, err));
    e->model = *model;
    e->moe = *moe;
    const int32_t positions = model->max_position_embeddings;
    e->data.source = DATA_UNIFORM;
    e->data.sequence_length = positions < LONGEST_SEQUENCE ? positions : LONGEST_SEQUENCE;
    e->train.batch_size = e->train.micro_batch_size = 1;
    if (tokenizer_file != NULL) {
        e->data.tokenizer = TOKENIZER_SENTENCEPIECE;
        moe_check(
            strlen(tokenizer_file) < sizeof e->data.tokenizer_file, err, MOE_ECONFIG,
            "%s: the name of the tokenizer's file is longer than %zu bytes: give the model a shorter name",
            tokenizer_file, sizeof e->data.tokenizer_file - 1);
        strcpy(e->data.tokenizer_file, tokenizer_file);
    }
out:
    config_free(none);
    return status;
}

moe_status experiment_imported(const char *name, const struct model_config *model,
                               const struct moe_config *moe, const char *tokenizer_file,
                               struct experiment **out_experiment, moe_err *err) {
    moe_status status = MOE_OK;
    static const char *const same[] = {"suite", "protocol", "tier"};
    json_t *values = NULL;
    char *text = NULL;
    struct experiment *draft = calloc(1, sizeof *draft);
    moe_check(draft != NULL, err, MOE_ENOMEM, "no memory for an experiment");
    moe_check(strlen(name) < sizeof draft->name, err, MOE_ECONFIG,
              "%s: a name of at most %zu bytes is needed", name, sizeof draft->name - 1);
    moe_try(fill(draft, model, moe, tokenizer_file, err));
    values = config_to_json(&EXPERIMENT_KEYS, draft);
    bool ok = values != NULL && json_object_set_new(values, "experiment", json_string(name)) == 0;
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++)
        ok = ok && json_object_set_new(values, same[i], json_string("imported")) == 0;
    moe_check(ok, err, MOE_ENOMEM, "no memory for a configuration (or %s is no UTF-8)", name);
    moe_try(config_canonical_json(values, &text, err));
    moe_try(experiment_from_json(text, out_experiment, err));
out:
    json_decref(values);
    free(text);
    free(draft);
    return status;
}
