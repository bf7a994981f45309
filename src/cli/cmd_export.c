/* cmd_export.c - model files into folders that Hugging Face transformers loads. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "core/file.h"
#include "data/spm_shim.h"
#include "model/huggingface.h"
#include "train/model_file.h"
#include "train/model_file_weights.h"

enum { TOKENIZER_BYTES_MAX = 256 << 20 };

struct export_arguments {
    const char *model, *out, *data_dir;
    bool without_tokenizer;
};

enum { KEY_OUT = 'o', KEY_DATA_DIR = 256, KEY_NO_TOKENIZER };

static const struct argp_option options[] = {
    {"out", KEY_OUT, "FOLDER", 0, "the folder to write (needed)", 0},
    {"data-dir", KEY_DATA_DIR, "DIR", 0, "where its tokenizer may lie (default: $MOE_DATA_DIR, else data)",
     0},
    {"no-tokenizer", KEY_NO_TOKENIZER, NULL, 0, "write no tokenizer.model, whether it is found or not", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct export_arguments *a = state->input;
    switch (key) {
    case KEY_OUT:
        a->out = arg;
        return 0;
    case KEY_DATA_DIR:
        a->data_dir = arg;
        return 0;
    case KEY_NO_TOKENIZER:
        a->without_tokenizer = true;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0) argp_error(state, "one model at a time");
        a->model = arg;
        return 0;
    case ARGP_KEY_END:
        if (a->model == NULL) argp_error(state, "which model? a model file, or a checkpoint (RUN.h5.ckpt)");
        if (a->out == NULL) argp_error(state, "--out FOLDER says where it goes");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- the tokenizer ---------------------------------------------------------------------------------- */

struct export_tokenizer {
    char *path; /* NULL: the model has none */
    unsigned char *bytes;
    size_t size;
    struct huggingface_tokens ids;
};

static moe_status read_tokenizer(const struct export_arguments *a, const struct experiment *e,
                                 struct export_tokenizer *t, moe_err *err) {
    moe_status status = MOE_OK;
    struct spm *spm = NULL;
    t->ids = (struct huggingface_tokens){-1, -1};
    if (a->without_tokenizer) goto out;
    moe_try(model_file_tokenizer(a->model, e, a->data_dir, cli_suites_dir(), &t->path, err));
    if (t->path == NULL) goto out;
    moe_try(file_read_all(t->path, TOKENIZER_BYTES_MAX, &t->bytes, &t->size, err));
    moe_try(spm_load(t->bytes, t->size, t->path, &spm, err));
    t->ids = (struct huggingface_tokens){spm_bos(spm), spm_eos(spm)};
out:
    spm_free(spm);
    return status;
}

static moe_status write_file(const char *folder, const char *name, const void *bytes, size_t size,
                             moe_err *err) {
    moe_status status = MOE_OK;
    char *path = path_join(folder, name);
    moe_check(path != NULL, err, MOE_ENOMEM, "no memory for a path");
    moe_try(file_write_atomic(path, bytes, size, err));
out:
    free(path);
    return status;
}

/* Which class expresses the model; the refusal names its file. */
static moe_status find_class(const char *path, const struct weights *w, enum huggingface_class *out_kind,
                             moe_err *err) {
    moe_status status = MOE_OK;
    moe_err inner = {0};
    status = huggingface_class_of(w, out_kind, &inner);
    moe_check(status == MOE_OK, err, inner.status, "%s %s", path, inner.message);
out:
    return status;
}

/* ---- the model -------------------------------------------------------------------------------------- */

static moe_status export(const struct export_arguments *a, moe_err *err) {
    moe_status status = MOE_OK;
    static const char tokenizer_config[] = "{\n  \"tokenizer_class\": \"LlamaTokenizer\",\n"
                                           "  \"add_bos_token\": true,\n  \"add_eos_token\": false,\n"
                                           "  \"legacy\": false\n}\n";
    enum huggingface_class kind = HF_LLAMA;
    struct export_tokenizer tokenizer = {0};
    struct experiment *e = NULL;
    struct weights *w = NULL;
    moe_try(model_file_config(a->model, &e, NULL, err));
    moe_try(weights_create(&e->model, &e->moe, &w, err));
    moe_try(find_class(a->model, w, &kind, err)); /* what the options alone rule out needs no reading */
    moe_try(read_tokenizer(a, e, &tokenizer, err));
    moe_try(model_file_read(a->model, e, w, err));
    moe_try(find_class(a->model, w, &kind, err));
    moe_try(huggingface_export(a->out, w, tokenizer.ids, err));
    if (tokenizer.bytes != NULL) {
        moe_try(write_file(a->out, "tokenizer.model", tokenizer.bytes, tokenizer.size, err));
        moe_try(
            write_file(a->out, "tokenizer_config.json", tokenizer_config, sizeof tokenizer_config - 1, err));
    }
    printf("%s: %s, %lld parameters, %s\n", a->out, huggingface_class_name(kind), (long long)w->params.total,
           tokenizer.bytes != NULL ? "tokenizer.model" : "no tokenizer");
out:
    weights_free(w);
    experiment_free(e);
    free(tokenizer.path);
    free(tokenizer.bytes);
    return status;
}

moe_status cmd_export(int argc, char **argv, moe_err *err) {
    moe_status status = MOE_OK;
    const char *env_data = getenv("MOE_DATA_DIR");
    struct export_arguments a = {.data_dir = env_data != NULL ? env_data : "data"};
    const struct argp argp = {
        options,
        parse,
        "MODEL",
        "Writes config.json, model.safetensors and tokenizer.model for Hugging Face transformers.\v"
        "MODEL is a model file (MODEL.safetensors, of --keep-model or `moe import`) or a checkpoint "
        "(RUN.h5.ckpt). The class is LlamaForCausalLM for dense models; for softmax routers "
        "MixtralForCausalLM or Qwen2MoeForCausalLM; for sigmoid routers Glm4MoeForCausalLM; with "
        "model.qk_norm Olmo2-, FlexOlmo- or OlmoeForCausalLM. A model that "
        "none "
        "of them expresses exactly is refused.",
        NULL,
        NULL,
        NULL};
    moe_try(cli_parse(&argp, argc, argv, &a, err));
    moe_try(export(&a, err));
out:
    return status;
}
