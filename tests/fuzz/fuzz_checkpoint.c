/* fuzz_checkpoint.c - any bytes given as a checkpoint end in an error or in tensors that can all be read. */
#include <stdint.h>
#include <stdlib.h>

#include "model/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_everything(const struct safetensors *file) {
    for (int64_t i = 0; i < safetensors_count(file); i++) {
        const struct safetensors_tensor *tensor = safetensors_at(file, i);
        float *out = malloc((size_t)tensor->count * sizeof *out + 1);
        if (safetensors_find(file, tensor->name) != tensor) abort();
        if (out == NULL || safetensors_read_float(file, tensor, out, NULL) != MOE_OK) abort();
        free(out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const unsigned flags[] = {0, SAFETENSORS_CHECKSUM};
    for (int i = 0; i < 2; i++) {
        struct safetensors *file = NULL;
        moe_err err = {0};
        if (safetensors_open_memory("fuzz", data, size, flags[i], &file, &err) == MOE_OK)
            read_everything(file);
        else if (err.message[0] == 0)
            abort(); /* every refusal says why */
        safetensors_close(file);
    }
    return 0;
}
