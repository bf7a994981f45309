#include "nn/pass.h"

#include <string.h>

/* bf16 is the upper half of a float. The halves come into the end of `host` and are spread from its beginning
 * on: a float is never written over one that is still to be read. */
void nn_download(const struct nn_pass *pass, float *host, const act_t *x, int64_t n) {
    const struct backend *be = pass->dev->ops;
    const size_t count = (size_t)n, bytes = count * be->act_size;
    unsigned char *halves = (unsigned char *)host + count * sizeof(float) - bytes;
    be->download(pass->dev, halves, x, bytes);
    for (size_t i = 0; be->act_size == 2 && i < count; i++) {
        uint16_t half;
        memcpy(&half, halves + 2 * i, sizeof half);
        const uint32_t bits = (uint32_t)half << 16;
        memcpy(&host[i], &bits, sizeof bits);
    }
}
