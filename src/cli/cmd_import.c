/* cmd_import.c - models of other programs into model files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "core/file.h"
#include "data/llama2c_tokenizer.h"
#include "data/spm_shim.h"
#include "model/huggingface.h"
#include "model/llama2c.h"
#include "train/model_file_weights.h"

enum { TOKENIZER_BYTES_MAX = 256 << 20 };

struct import_arguments {
    const char *source, *out, *tokenizer;
};

enum { KEY_OUT = 'o', KEY_TOKENIZER = 256 };

static const struct argp_option options[] = {
    {"out", KEY_OUT, "FILE", 0, "the model file to write, e.g. MODEL.safetensors (needed)", 0},
    {"tokenizer", KEY_TOKENIZER, "FILE", 0,
     "its tokenizer: a SentencePiece model, or one of llama2.c (.bin) (default: tokenizer.model in the "
     "folder, "
     "if there is one)",
     0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct import_arguments *a = state->input;
    switch (key) {
    case KEY_OUT:
        a->out = arg;
        return 0;
    case KEY_TOKENIZER:
        a->tokenizer = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0) argp_error(state, "one model at a time");
        a->source = arg;
        return 0;
    case ARGP_KEY_END:
        if (a->source == NULL)
            argp_error(state, "which model? a folder with config.json, or a .bin of llama2.c");
        if (a->out == NULL) argp_error(state, "--out FILE says where the model file goes");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- the tokenizer ---------------------------------------------------------------------------------- */

/* A serialised SentencePiece model that fits the vocabulary. */
struct import_tokenizer {
    unsigned char *bytes; /* NULL: none */
    size_t size;
    char *path; /* beside the model file */
};

static moe_status check_tokenizer(const struct import_tokenizer *t, const char *from, int32_t vocab,
                                  moe_err *err) {
    moe_status status = MOE_OK;
    struct spm *spm = NULL;
    moe_try(spm_load(t->bytes, t->size, from, &spm, err));
    moe_check(spm_size(spm) <= vocab, err, MOE_EMISMATCH,
              "%s: has %d pieces, but the model a vocabulary of %d: it is another model's tokenizer", from,
              spm_size(spm), vocab);
out:
    spm_free(spm);
    return status;
}

static moe_status read_tokenizer(const struct import_arguments *a, int32_t vocab, struct import_tokenizer *t,
                                 moe_err *err) {
    moe_status status = MOE_OK;
    char *found = a->tokenizer == NULL ? path_join(a->source, "tokenizer.model") : NULL;
    const char *from = a->tokenizer != NULL ? a->tokenizer : found;
    moe_check(from != NULL, err, MOE_ENOMEM, "no memory for a path");
    if (a->tokenizer == NULL && !file_exists(found)) goto out;
    t->path = model_file_tokenizer_beside(a->out);
    moe_check(t->path != NULL, err, MOE_ENOMEM, "no memory for a path");
    if (path_ends_with(from, ".bin")) {
        moe_try(llama2c_tokenizer_read(from, &t->bytes, &t->size, err));
    } else {
        moe_try(file_read_all(from, TOKENIZER_BYTES_MAX, &t->bytes, &t->size, err));
    }
    moe_try(check_tokenizer(t, from, vocab, err));
out:
    free(found);
    return status;
}

/* ---- the model -------------------------------------------------------------------------------------- */

static moe_status describe(const char *source, bool folder, struct huggingface_model *out, moe_err *err) {
    if (folder) return huggingface_config(source, out, err);
    return llama2c_config(source, &out->model, &out->moe, err);
}

/* Name of an experiment: the file's without folder and ending. */
static char *stem_of(const char *path) {
    char *stem = strdup(path_name(path));
    if (stem != NULL && path_ends_with(stem, ".safetensors"))
        stem[strlen(stem) - strlen(".safetensors")] = '\0';
    return stem;
}

static moe_status import(const struct import_arguments *a, moe_err *err) {
    moe_status status = MOE_OK;
    const bool folder = file_is_folder(a->source);
    struct huggingface_model from = {0};
    struct import_tokenizer tokenizer = {0};
    struct experiment *e = NULL;
    struct weights *w = NULL;
    char *name = stem_of(a->out);
    moe_check(name != NULL, err, MOE_ENOMEM, "no memory for a name");
    moe_check(!file_exists(a->out), err, MOE_EEXIST, "%s: is there already; delete it, or give another --out",
              a->out);
    moe_try(describe(a->source, folder, &from, err));
    moe_try(read_tokenizer(a, from.model.vocab_size, &tokenizer, err));
    moe_try(experiment_imported(name, &from.model, &from.moe,
                                tokenizer.bytes != NULL ? path_name(tokenizer.path) : NULL, &e, err));
    moe_try(weights_create(&e->model, &e->moe, &w, err));
    if (folder) {
        moe_try(huggingface_import(a->source, &from, w, err));
    } else {
        moe_try(llama2c_import(a->source, w, err));
    }
    if (tokenizer.bytes != NULL) {
        moe_try(file_make_parents(tokenizer.path, err));
        moe_try(file_write_atomic(tokenizer.path, tokenizer.bytes, tokenizer.size, err));
    }
    moe_try(model_file_write(a->out, e, w, 0, err));
    printf("%s: %s, %lld parameters, %s\n", a->out,
           folder ? huggingface_class_name(from.kind) : "a model of llama2.c", (long long)w->params.total,
           tokenizer.bytes != NULL ? path_name(tokenizer.path) : "no tokenizer");
out:
    weights_free(w);
    experiment_free(e);
    free(tokenizer.bytes);
    free(tokenizer.path);
    free(name);
    return status;
}

moe_status cmd_import(int argc, char **argv, moe_err *err) {
    moe_status status = MOE_OK;
    struct import_arguments a = {0};
    const struct argp argp = {
        options,
        parse,
        "FOLDER|FILE.bin",
        "Turns a model of another program into a model file that `moe generate` and `moe export` read.\v"
        "FOLDER holds config.json and safetensors as Hugging Face transformers writes them, of the classes "
        "Llama, Mixtral, Qwen2Moe, Glm4Moe, Olmo2, FlexOlmo and Olmoe; FILE.bin is a model of llama2.c.",
        NULL,
        NULL,
        NULL};
    moe_try(cli_parse(&argp, argc, argv, &a, err));
    moe_try(import(&a, err));
out:
    return status;
}
