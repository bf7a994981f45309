/* test: rooms=train label=fast */
#include "golden.h"

#include "../unit/scratch_folder.h"
#include "model/huggingface.h"
#include "train/model_file.h"
#include "train/model_file_weights.h"

/* Folders that Hugging Face transformers saved (make_hf_golden.py): read, written as model files, opened as a
 * user would, and compared with the logits of transformers. Then written as folders again: equal to the bit.
 */

#define LARGEST_DIFFERENCE 1e-4

static struct weights *read_folder(const char *folder, struct huggingface_model *from) {
    moe_err err = {0};
    struct weights *w = NULL;
    if (huggingface_config(folder, from, &err) != MOE_OK ||
        weights_create(&from->model, &from->moe, &w, &err) != MOE_OK ||
        huggingface_import(folder, from, w, &err) != MOE_OK)
        fail_msg("%s", err.message);
    return w;
}

static void compare_logits(const char *name, const char *model_path) {
    moe_err err = {0};
    struct golden g;
    struct experiment *e = NULL;
    struct device *dev = NULL;
    struct decoder *decoder = NULL;
    char file[64];
    double worst = 0;
    snprintf(file, sizeof file, "hf_%s", name);
    golden_open(&g, file, "cpu");
    const int64_t batch = golden_dim(&g, "tokens", NULL, 0), seq = golden_dim(&g, "tokens", NULL, 1);
    const int64_t count = golden_find(&g, "logits", NULL)->count;
    int32_t *tokens = golden_ints(&g, "tokens", NULL);
    float *want = golden_floats(&g, "logits", NULL), *got = malloc((size_t)count * sizeof *got);
    if (model_file_config(model_path, &e, NULL, &err) != MOE_OK ||
        model_file_open(model_path, e, "cpu", 2, batch, seq, &dev, &decoder, &err) != MOE_OK ||
        decoder_logits(decoder, tokens, batch, seq, got, &err) != MOE_OK)
        fail_msg("%s", err.message);
    assert_int_equal(count, batch * seq * e->model.vocab_size);
    for (int64_t i = 0; i < count; i++)
        worst = fmax(worst, fabs((double)got[i] - (double)want[i]));
    print_message("             %-10s logits of rms %.2f, largest difference %.1e\n", name,
                  golden_rms(want, count), worst);
    assert_true(worst <= LARGEST_DIFFERENCE);
    free(tokens);
    free(want);
    free(got);
    decoder_destroy(decoder);
    device_close(dev);
    experiment_free(e);
    device_close(g.dev);
    safetensors_close(g.file);
}

/* The weights, written as a folder and read again. */
static void compare_again(const char *folder, struct weights *w, enum huggingface_class kind) {
    moe_err err = {0};
    struct huggingface_model from;
    const size_t size = (size_t)w->params.total * sizeof(float);
    float *before = malloc(size);
    memcpy(before, w->values, size);
    if (huggingface_export(folder, w, (struct huggingface_tokens){1, -1}, &err) != MOE_OK)
        fail_msg("%s", err.message);
    struct weights *again = read_folder(folder, &from);
    assert_int_equal(from.kind, kind);
    assert_int_equal(again->params.total, w->params.total);
    assert_memory_equal(again->values, before, size);
    if (w->bias != NULL)
        assert_memory_equal(again->bias, w->bias,
                            (size_t)w->moe.num_layers * (size_t)w->moe.num_experts * sizeof(float));
    weights_free(again);
    free(before);
}

static void check(const char *name, enum huggingface_class kind, int32_t moe_layers) {
    moe_err err = {0};
    struct huggingface_model from;
    struct experiment *e = NULL;
    struct scratch scratch;
    char folder[512], model_path[128], out_folder[128];
    scratch_open(&scratch);
    snprintf(folder, sizeof folder, "%s/tests/golden/data/hf_%s", MOE_SOURCE_DIR, name);
    struct weights *w = read_folder(folder, &from);
    assert_int_equal(from.kind, kind);
    assert_int_equal(from.moe.num_layers, moe_layers);
    if (experiment_imported(name, &from.model, &from.moe, NULL, &e, &err) != MOE_OK ||
        model_file_write(scratch_path(&scratch, "model.safetensors", model_path), e, w, 0, &err) != MOE_OK)
        fail_msg("%s", err.message);
    compare_logits(name, model_path);
    compare_again(scratch_path(&scratch, "folder", out_folder), w, kind);
    scratch_close(&scratch);
    weights_free(w);
    experiment_free(e);
}

static void llama_with_biases(void **state) {
    (void)state;
    check("llama", HF_LLAMA, 0);
}

static void tied_head_in_half_precision(void **state) {
    (void)state;
    check("tied", HF_LLAMA, 0);
}

static void several_files_in_bfloat16(void **state) {
    (void)state;
    check("sharded", HF_LLAMA, 0);
}

static void mixtral(void **state) {
    (void)state;
    check("mixtral", HF_MIXTRAL, 2);
}

static void qwen2_moe_with_shared_expert(void **state) {
    (void)state;
    check("qwen2_moe", HF_QWEN2_MOE, 1);
}

static void glm4_moe_with_selection_bias(void **state) {
    (void)state;
    check("glm4_moe", HF_GLM4_MOE, 1);
}

static void olmo2(void **state) {
    (void)state;
    check("olmo2", HF_OLMO2, 0);
}

static void flex_olmo(void **state) {
    (void)state;
    check("flex_olmo", HF_FLEX_OLMO, 2);
}

static void olmoe(void **state) {
    (void)state;
    check("olmoe", HF_OLMOE, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(llama_with_biases),
        cmocka_unit_test(tied_head_in_half_precision),
        cmocka_unit_test(several_files_in_bfloat16),
        cmocka_unit_test(mixtral),
        cmocka_unit_test(qwen2_moe_with_shared_expert),
        cmocka_unit_test(glm4_moe_with_selection_bias),
        cmocka_unit_test(olmo2),
        cmocka_unit_test(flex_olmo),
        cmocka_unit_test(olmoe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
