/* test: rooms=train label=fast */
/* Folders of Hugging Face transformers: what is written is read back to the bit, what cannot be expressed is
 * refused by the option's name, and no folder does harm. */
#include "fixture_model.h"

#include <stdio.h>

#include <jansson.h>

#include "core/file.h"
#include "model/huggingface.h"
#include "model/safetensors.h"
#include "scratch_folder.h"

static const struct huggingface_tokens tokens = {1, 2};

static void export(const char *folder, struct weights *w) {
    moe_err err = {0};
    if (huggingface_export(folder, w, tokens, &err) != MOE_OK) fail_msg("%s", err.message);
}

/* Config and weights of a folder; *out_weights is NULL after a failure. */
static moe_status import(const char *folder, struct huggingface_model *from, struct weights **out_weights,
                         moe_err *err) {
    moe_status status = MOE_OK;
    struct experiment *e = NULL;
    *out_weights = NULL;
    moe_try(huggingface_config(folder, from, err));
    moe_try(experiment_imported("x", &from->model, &from->moe, NULL, &e, err));
    moe_try(weights_create(&e->model, &e->moe, out_weights, err));
    moe_try(huggingface_import(folder, from, *out_weights, err));
out:
    experiment_free(e);
    if (status != MOE_OK) {
        weights_free(*out_weights);
        *out_weights = NULL;
    }
    return status;
}

/* ---- the round trip ---------------------------------------------------------------------------------- */

static void round_trip(const struct model_config *model, const struct moe_config *moe,
                       enum huggingface_class kind) {
    moe_err err = {0};
    struct scratch scratch;
    struct huggingface_model from;
    struct weights *w = fixture_weights(model, moe), *again = NULL;
    char folder[128];
    const size_t size = (size_t)w->params.total * sizeof(float);
    float *before = malloc(size);
    scratch_open(&scratch);
    for (int32_t i = 0; i < w->params.count && kind != HF_LLAMA; i++) { /* those classes have no such bias */
        const struct param *p = &w->params.items[i];
        if (strstr(p->name, "attention.out.bias") != NULL)
            memset(w->values + p->offset, 0, (size_t)p->count * sizeof(float));
    }
    memcpy(before, w->values, size);
    export(scratch_path(&scratch, "out", folder), w);
    if (import(folder, &from, &again, &err) != MOE_OK) fail_msg("%s", err.message);
    assert_string_equal(huggingface_class_name(from.kind), huggingface_class_name(kind));
    assert_int_equal(again->params.total, w->params.total);
    assert_memory_equal(again->values, before, size);
    assert_int_equal(again->moe.num_layers, moe->num_layers);
    for (int32_t i = 0; i < moe->num_layers * moe->num_experts; i++)
        assert_true(again->bias[i] == w->bias[i]);
    assert_int_equal(again->moe.router, moe->router);
    assert_int_equal(again->moe.num_active_experts, moe->num_layers > 0 ? moe->num_active_experts : 1);
    assert_int_equal(again->moe.num_shared_experts, moe->num_shared_experts);
    if (moe->num_layers > 0) assert_int_equal(again->moe.renormalize, moe->renormalize);
    assert_memory_equal(again->moe.layers, moe->layers, sizeof moe->layers);
    assert_true(again->model.norm_eps == model->norm_eps && again->model.rope_theta == model->rope_theta);
    assert_true(again->moe.routed_scaling_factor == moe->routed_scaling_factor);
    assert_int_equal(again->model.head_dim, model->head_dim);
    weights_free(w);
    weights_free(again);
    free(before);
    scratch_close(&scratch);
}

static void dense_models(void **state) {
    (void)state;
    struct model_config model = fixture_dense();
    const struct moe_config none = fixture_moe(CONFIG_ROUTER_SOFTMAX, 3, 0);
    round_trip(&model, &none, HF_LLAMA);
    model.attention_bias = model.mlp_bias = true;
    model.rope_theta = 500000;
    round_trip(&model, &none, HF_LLAMA);
    model.mlp_bias = false;
    model.num_key_value_heads = 1;
    round_trip(&model, &none, HF_LLAMA);
}

static void softmax_routers(void **state) {
    (void)state;
    struct model_config model = fixture_dense();
    struct moe_config moe = fixture_moe(CONFIG_ROUTER_SOFTMAX, 0, 0);
    round_trip(&model, &moe, HF_MIXTRAL);
    moe.renormalize = moe.renormalize_top1 = false;
    round_trip(&model, &moe, HF_QWEN2_MOE);
    moe = fixture_moe(CONFIG_ROUTER_SOFTMAX, 0, 2);
    round_trip(&model, &moe, HF_QWEN2_MOE);
    moe = fixture_moe(CONFIG_ROUTER_SOFTMAX, 1, 0);
    moe.layers[0] = 0, moe.layers[1] = 2; /* a dense layer between two others */
    model.attention_bias = true;
    round_trip(&model, &moe, HF_QWEN2_MOE);
    model.attention_bias = false;
    moe = fixture_moe(CONFIG_ROUTER_SOFTMAX, 0, 0);
    moe.num_active_experts = 1;
    round_trip(&model, &moe, HF_MIXTRAL); /* a weight of 1 always */
}

static void sigmoid_routers(void **state) {
    (void)state;
    struct model_config model = fixture_dense();
    for (int32_t first = 0; first < 3; first++) {
        for (int32_t shared = 0; shared < 3; shared++) {
            struct moe_config moe = fixture_moe(CONFIG_ROUTER_SIGMOID, first, shared);
            round_trip(&model, &moe, HF_GLM4_MOE);
        }
    }
    struct moe_config raw = fixture_moe(CONFIG_ROUTER_SIGMOID, 0, 1);
    raw.renormalize = raw.renormalize_top1 = false;
    raw.num_active_experts = 1;
    raw.routed_scaling_factor = 2.5;
    model.attention_bias = true;
    round_trip(&model, &raw, HF_GLM4_MOE);
}

/* One expert whose weight is renormalised only with renormalize_top1: the class follows. */
static void a_single_expert_is_weighed_as_the_options_say(void **state) {
    (void)state;
    const struct model_config model = fixture_dense();
    struct moe_config moe = fixture_moe(CONFIG_ROUTER_SOFTMAX, 0, 0);
    enum huggingface_class kind = HF_LLAMA;
    moe.num_active_experts = 1;
    moe.renormalize_top1 = false;
    struct weights *w = fixture_weights(&model, &moe);
    assert_int_equal(huggingface_class_of(w, &kind, NULL), MOE_OK);
    assert_int_equal(kind, HF_QWEN2_MOE);
    weights_free(w);
}

static void the_temperature_is_folded_into_the_router(void **state) {
    (void)state;
    const struct model_config model = fixture_dense();
    const struct moe_config moe = fixture_moe(CONFIG_ROUTER_SOFTMAX, 0, 0);
    moe_err err = {0};
    struct scratch scratch;
    struct huggingface_model from;
    struct weights *w = fixture_weights(&model, &moe), *again = NULL;
    char folder[128];
    scratch_open(&scratch);
    const struct param *router = &w->params.items[params_find(&w->params, "blocks.1.moe.router.weight")];
    const float before = w->values[router->offset + 3];
    w->temperature = 0.5f;
    export(scratch_path(&scratch, "out", folder), w);
    if (import(folder, &from, &again, &err) != MOE_OK) fail_msg("%s", err.message);
    assert_true(again->values[router->offset + 3] == 2 * before);
    weights_free(w);
    weights_free(again);
    scratch_close(&scratch);
}

/* ---- refusals ---------------------------------------------------------------------------------------- */

static void refused(const struct model_config *model, const struct moe_config *moe, const char *words) {
    moe_err err = {0};
    enum huggingface_class kind = HF_LLAMA;
    struct weights *w = fixture_weights(model, moe);
    fixture_failed(huggingface_class_of(w, &kind, &err), &err, MOE_ENOTSUP, words);
    weights_free(w);
}

static void models_that_no_class_expresses(void **state) {
    (void)state;
    const struct model_config good = fixture_dense();
    const struct moe_config dense = fixture_moe(CONFIG_ROUTER_SOFTMAX, 3, 0);
    struct moe_config moe = fixture_moe(CONFIG_ROUTER_SIGMOID, 0, 0);
    struct model_config model = good;
    model.norm = CONFIG_NORM_LAYERNORM;
    refused(&model, &dense, "model.norm = layernorm");
    model = good, model.norm_placement = NORM_SUBLAYER_OUTPUT;
    refused(&model, &dense, "model.norm_placement");
    model = good, model.positions = POSITIONS_LEARNED;
    refused(&model, &dense, "model.positions");
    model = good, model.ffn = FFN_GELU;
    refused(&model, &dense, "model.ffn");
    model = good, model.mlp_bias = true;
    refused(&model, &moe, "model.mlp_bias");
    model = good, model.attention_bias = true;
    refused(&model, &moe, "blocks.0.attention.out.bias");
    moe.layers[0] = 0, moe.layers[1] = 2, moe.num_layers = 2;
    refused(&good, &moe, "moe.layers");
    moe = fixture_moe(CONFIG_ROUTER_SOFTMAX, 0, 0);
    moe.routed_scaling_factor = 1.5;
    refused(&good, &moe, "moe.routed_scaling_factor");
    moe = fixture_moe(CONFIG_ROUTER_SIGMOID, 0, 0);
    moe.renormalize_eps = 1e-3;
    refused(&good, &moe, "moe.renormalize_eps");
    moe = fixture_moe(CONFIG_ROUTER_SIGMOID, 0, 0);
    moe.num_experts = moe.num_active_experts = 1;
    refused(&good, &moe, "moe.num_experts");
}

static void states_that_no_class_expresses(void **state) {
    (void)state;
    const struct model_config model = fixture_dense();
    const struct moe_config moe = fixture_moe(CONFIG_ROUTER_SOFTMAX, 0, 0);
    moe_err err = {0};
    enum huggingface_class kind = HF_LLAMA;
    struct weights *w = fixture_weights(&model, &moe);
    w->bias[4] = 0.1f;
    fixture_failed(huggingface_class_of(w, &kind, &err), &err, MOE_ENOTSUP, "selection bias");
    w->bias[4] = 0;
    w->dense = true;
    err = (moe_err){0};
    fixture_failed(huggingface_class_of(w, &kind, &err), &err, MOE_ENOTSUP, "dense epochs");
    weights_free(w);
}

static void nothing_is_overwritten(void **state) {
    (void)state;
    const struct model_config model = fixture_dense();
    const struct moe_config dense = fixture_moe(CONFIG_ROUTER_SOFTMAX, 3, 0);
    moe_err err = {0};
    struct scratch scratch;
    struct weights *w = fixture_weights(&model, &dense);
    char folder[128];
    scratch_open(&scratch);
    export(scratch_path(&scratch, "out", folder), w);
    fixture_failed(huggingface_export(folder, w, tokens, &err), &err, MOE_EEXIST, "config.json");
    weights_free(w);
    scratch_close(&scratch);
}

/* ---- damaged and foreign folders --------------------------------------------------------------------- */

/* A folder that can be read, its config to be changed, and its weights. */
struct folder {
    struct scratch scratch;
    char path[128], config[128], tensors[128];
    struct weights *w;
    json_t *root;
};

static void folder_open(struct folder *f, const struct moe_config *moe) {
    const struct model_config model = fixture_dense();
    scratch_open(&f->scratch);
    f->w = fixture_weights(&model, moe);
    export(scratch_path(&f->scratch, "in", f->path), f->w);
    scratch_path(&f->scratch, "in/config.json", f->config);
    scratch_path(&f->scratch, "in/model.safetensors", f->tensors);
    f->root = json_load_file(f->config, 0, NULL);
    assert_non_null(f->root);
}

static void folder_close(struct folder *f) {
    json_decref(f->root);
    weights_free(f->w);
    scratch_close(&f->scratch);
}

static void folder_expect(struct folder *f, moe_status want, const char *words) {
    moe_err err = {0};
    struct huggingface_model from;
    struct weights *w = NULL;
    const moe_status status = import(f->path, &from, &w, &err);
    weights_free(w);
    if (want == MOE_OK && status != MOE_OK) fail_msg("%s", err.message);
    if (want != MOE_OK) fixture_failed(status, &err, want, words);
}

/* config.json with KEY = VALUE (JSON text; NULL: without the key) is refused. */
static void folder_expect_key(struct folder *f, const char *key, const char *value, moe_status want,
                              const char *words) {
    json_t *root = json_copy(f->root);
    if (value == NULL) {
        json_object_del(root, key);
    } else {
        json_t *json = json_loads(value, JSON_DECODE_ANY, NULL);
        assert_non_null(json);
        json_object_set_new(root, key, json);
    }
    assert_int_equal(json_dump_file(root, f->config, 0), 0);
    folder_expect(f, want, words);
    assert_int_equal(json_dump_file(f->root, f->config, 0), 0);
    json_decref(root);
}

static void keys_of_every_class(void **state) {
    (void)state;
    struct folder f;
    const struct moe_config dense = fixture_moe(CONFIG_ROUTER_SOFTMAX, 3, 0);
    folder_open(&f, &dense);
    folder_expect_key(&f, "hidden_size", NULL, MOE_EFORMAT, "hidden_size");
    folder_expect_key(&f, "hidden_size", "-1", MOE_EFORMAT, "hidden_size");
    folder_expect_key(&f, "hidden_size", "\"10\"", MOE_EFORMAT, "hidden_size");
    folder_expect_key(&f, "hidden_size", "1e99", MOE_EFORMAT, "hidden_size");
    folder_expect_key(&f, "hidden_size", "11", MOE_EMISMATCH, "expected [31, 11]");
    folder_expect_key(&f, "vocab_size", "4294967297", MOE_EFORMAT, "vocab_size");
    folder_expect_key(&f, "num_hidden_layers", "2", MOE_OK, NULL); /* layers behind the last are ignored */
    folder_expect_key(&f, "num_hidden_layers", "4", MOE_ENOTFOUND, "model.layers.3");
    folder_expect_key(&f, "num_hidden_layers", "100000", MOE_EFORMAT, "num_hidden_layers");
    folder_expect_key(&f, "num_key_value_heads", "3", MOE_ENOTSUP, "must divide");
    folder_expect_key(&f, "head_dim", "65536", MOE_EMISMATCH, "self_attn");
    folder_expect_key(&f, "head_dim", "7", MOE_ENOTSUP, "head_dim");
    folder_expect_key(&f, "rms_norm_eps", "0", MOE_ECONFIG, "norm_eps");
    folder_expect_key(&f, "rms_norm_eps", "[]", MOE_EFORMAT, "rms_norm_eps");
    folder_expect_key(&f, "hidden_act", "\"gelu\"", MOE_ENOTSUP, "hidden_act");
    folder_expect_key(&f, "attention_bias", "3", MOE_EFORMAT, "attention_bias");
    folder_expect_key(&f, "attention_bias", "true", MOE_ENOTFOUND, "self_attn.");
    folder_expect_key(&f, "tie_word_embeddings", "true", MOE_OK, NULL);
    folder_expect_key(&f, "model_type", "\"qwen3\"", MOE_ENOTSUP, "normalised");
    folder_expect_key(&f, "model_type", "\"deepseek_v3\"", MOE_ENOTSUP, "MLA");
    folder_expect_key(&f, "model_type", NULL, MOE_ENOTSUP, "model_type");
    folder_expect_key(&f, "quantization_config", "{}", MOE_ENOTSUP, "quantization_config");
    folder_expect_key(&f, "rope_parameters", "{\"rope_type\": \"yarn\", \"rope_theta\": 1e4}", MOE_ENOTSUP,
                      "rope_type");
    folder_expect_key(&f, "rope_parameters",
                      "{\"rope_type\": \"default\", \"rope_theta\": 1e4, \"partial_rotary_factor\": 0.5}",
                      MOE_ENOTSUP, "partial_rotary_factor");
    folder_expect_key(&f, "rope_parameters", "17", MOE_OK, NULL); /* rope_theta stands beside it */
    folder_expect_key(&f, "rope_parameters", NULL, MOE_OK, NULL);
    folder_expect_key(&f, "rope_parameters", "{\"rope_theta\": \"x\"}", MOE_EFORMAT, "rope_theta");
    folder_close(&f);
}

static void keys_of_moe_classes(void **state) {
    (void)state;
    struct folder f;
    struct moe_config moe = fixture_moe(CONFIG_ROUTER_SIGMOID, 1, 1);
    folder_open(&f, &moe);
    folder_expect(&f, MOE_OK, NULL);
    folder_expect_key(&f, "use_qk_norm", "true", MOE_ENOTSUP, "use_qk_norm");
    folder_expect_key(&f, "routed_scaling_factor", "0", MOE_EFORMAT, "routed_scaling_factor");
    folder_expect_key(&f, "n_group", "2", MOE_ENOTSUP, "n_group");
    folder_expect_key(&f, "n_routed_experts", "1", MOE_EFORMAT, "n_routed_experts");
    folder_expect_key(&f, "n_routed_experts", "6", MOE_ENOTFOUND, "mlp.experts.5");
    folder_expect_key(&f, "n_shared_experts", "4096", MOE_EMISMATCH, "shared_experts");
    folder_expect_key(&f, "num_experts_per_tok", "6", MOE_EFORMAT, "num_experts_per_tok");
    folder_expect_key(&f, "first_k_dense_replace", "0", MOE_ENOTSUP, "has no place");
    folder_expect_key(&f, "first_k_dense_replace", "9", MOE_ENOTSUP, "has no place");
    folder_close(&f);
    moe = fixture_moe(CONFIG_ROUTER_SOFTMAX, 1, 1);
    folder_open(&f, &moe);
    folder_expect(&f, MOE_OK, NULL);
    folder_expect_key(&f, "shared_expert_intermediate_size", "7", MOE_ENOTSUP, "no multiple");
    folder_expect_key(&f, "shared_expert_intermediate_size", NULL, MOE_EFORMAT, "shared_expert");
    folder_expect_key(&f, "mlp_only_layers", "7", MOE_EFORMAT, "mlp_only_layers");
    folder_expect_key(&f, "mlp_only_layers", "[]", MOE_ENOTSUP, "has no place");
    folder_expect_key(&f, "decoder_sparse_step", "0", MOE_EFORMAT, "decoder_sparse_step");
    folder_close(&f);
    moe = fixture_moe(CONFIG_ROUTER_SOFTMAX, 0, 0);
    folder_open(&f, &moe);
    folder_expect_key(&f, "sliding_window", "8", MOE_ENOTSUP, "sliding_window");
    folder_expect_key(&f, "sliding_window", "4096", MOE_OK, NULL);
    folder_expect_key(&f, "num_local_experts", "4", MOE_ENOTSUP, "has no place");
    folder_close(&f);
}

/* Cut at every length: refused or read, but never more. */
static void configs_cut_short(void **state) {
    (void)state;
    struct folder f;
    const struct moe_config moe = fixture_moe(CONFIG_ROUTER_SIGMOID, 1, 1);
    unsigned char *bytes = NULL;
    size_t size = 0;
    folder_open(&f, &moe);
    assert_int_equal(file_read_all(f.config, 1 << 20, &bytes, &size, NULL), MOE_OK);
    for (size_t n = 0; n + 1 < size; n += 7) {
        moe_err err = {0};
        struct huggingface_model from;
        scratch_write(f.config, bytes, n);
        assert_int_equal(huggingface_config(f.path, &from, &err), MOE_EFORMAT);
        assert_non_null(strstr(err.message, "config.json"));
    }
    free(bytes);
    folder_close(&f);
}

/* The folder's tensors with one of them changed. */
static void rewrite(struct folder *f, const char *name, const char *rename, enum safetensors_dtype dtype,
                    int64_t rows) {
    struct safetensors *file = NULL;
    moe_err err = {0};
    assert_int_equal(safetensors_open(f->tensors, 0, &file, &err), MOE_OK);
    const int64_t count = safetensors_count(file);
    struct safetensors_source *sources = calloc((size_t)count, sizeof *sources);
    for (int64_t i = 0; i < count; i++) {
        const struct safetensors_tensor *t = safetensors_at(file, i);
        const bool chosen = strcmp(t->name, name) == 0;
        float *data = calloc((size_t)t->count + 64, sizeof *data);
        assert_int_equal(safetensors_read_float(file, t, data, &err), MOE_OK);
        sources[i] = (struct safetensors_source){.name = chosen && rename != NULL ? rename : t->name,
                                                 .dtype = chosen ? dtype : SAFETENSORS_F32,
                                                 .rank = t->rank,
                                                 .data = data};
        memcpy(sources[i].shape, t->shape, sizeof t->shape);
        if (chosen) sources[i].shape[0] += rows;
    }
    if (safetensors_write(f->tensors, sources, count, NULL, 0, 0, &err) != MOE_OK)
        fail_msg("%s", err.message);
    for (int64_t i = 0; i < count; i++)
        free((void *)(uintptr_t)sources[i].data);
    free(sources);
    safetensors_close(file);
}

static void tensors_that_do_not_fit(void **state) {
    (void)state;
    struct folder f;
    const struct moe_config moe = fixture_moe(CONFIG_ROUTER_SIGMOID, 1, 1);
    static const char gate[] = "model.layers.1.mlp.gate.weight";
    folder_open(&f, &moe);
    rewrite(&f, gate, NULL, SAFETENSORS_F32, 1);
    folder_expect(&f, MOE_EMISMATCH, gate);
    rewrite(&f, gate, NULL, SAFETENSORS_F32, -1);
    folder_expect(&f, MOE_OK, NULL);
    rewrite(&f, gate, NULL, SAFETENSORS_I32, 0);
    folder_expect(&f, MOE_ENOTSUP, "floating-point");
    rewrite(&f, gate, "model.layers.1.self_attn.q_norm.weight", SAFETENSORS_F32, 0);
    folder_expect(&f, MOE_ENOTSUP, "q_norm");
    rewrite(&f, "model.layers.1.self_attn.q_norm.weight", "model.layers.1.self_attn.rotary_emb.inv_freq",
            SAFETENSORS_F32, 0);
    folder_expect(&f, MOE_ENOTFOUND, gate);
    assert_int_equal(file_remove(f.tensors, NULL), MOE_OK);
    folder_expect(&f, MOE_ENOTFOUND, "model.safetensors");
    folder_close(&f);
}

/* A shared expert behind a gate that weighs is another model. */
static void a_gate_of_the_shared_expert(void **state) {
    (void)state;
    struct folder f;
    const struct moe_config moe = fixture_moe(CONFIG_ROUTER_SOFTMAX, 0, 1);
    static const char gate[] = "model.layers.1.mlp.shared_expert_gate.weight";
    folder_open(&f, &moe);
    struct safetensors *file = NULL;
    assert_int_equal(safetensors_open(f.tensors, 0, &file, NULL), MOE_OK);
    const int64_t at = safetensors_find(file, gate)->offset;
    safetensors_close(file);
    FILE *out = fopen(f.tensors, "r+b");
    const float half = 0.5f;
    assert_int_equal(fseek(out, (long)at + 8, SEEK_SET), 0);
    assert_int_equal(fwrite(&half, sizeof half, 1, out), 1);
    assert_int_equal(fclose(out), 0);
    folder_expect(&f, MOE_ENOTSUP, gate);
    folder_close(&f);
}

static void indexes_of_many_files(void **state) {
    (void)state;
    struct folder f;
    char index[128];
    const struct moe_config dense = fixture_moe(CONFIG_ROUTER_SOFTMAX, 3, 0);
    static const struct {
        const char *text;
        moe_status want;
        const char *words;
    } cases[] = {
        {"{\"weight_map\": {\"a\": \"model.safetensors\"}}", MOE_OK, NULL},
        {"{\"weight_map\": {\"a\": \"../in/model.safetensors\"}}", MOE_EFORMAT, "plain file name"},
        {"{\"weight_map\": {\"a\": 7}}", MOE_EFORMAT, "plain file name"},
        {"{\"weight_map\": {\"a\": \"none.safetensors\"}}", MOE_ENOTFOUND, "none.safetensors"},
        {"{\"weight_map\": {}}", MOE_EFORMAT, "empty"},
        {"{\"weight_map\": []}", MOE_EFORMAT, "weight_map"},
        {"{", MOE_EFORMAT, "not JSON"},
    };
    folder_open(&f, &dense);
    scratch_path(&f.scratch, "in/model.safetensors.index.json", index);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        scratch_write(index, cases[i].text, strlen(cases[i].text));
        folder_expect(&f, cases[i].want, cases[i].words);
    }
    folder_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dense_models),
        cmocka_unit_test(softmax_routers),
        cmocka_unit_test(sigmoid_routers),
        cmocka_unit_test(a_single_expert_is_weighed_as_the_options_say),
        cmocka_unit_test(the_temperature_is_folded_into_the_router),
        cmocka_unit_test(models_that_no_class_expresses),
        cmocka_unit_test(states_that_no_class_expresses),
        cmocka_unit_test(nothing_is_overwritten),
        cmocka_unit_test(keys_of_every_class),
        cmocka_unit_test(keys_of_moe_classes),
        cmocka_unit_test(configs_cut_short),
        cmocka_unit_test(tensors_that_do_not_fit),
        cmocka_unit_test(a_gate_of_the_shared_expert),
        cmocka_unit_test(indexes_of_many_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
