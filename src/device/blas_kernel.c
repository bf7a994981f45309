#include "device/blas_kernel.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cblas.h>

#include "device/backend.h"

static char blas_text[64];

/* openblas_get_config() begins "OpenBLAS 0.3.21 ..."; a build for many processors has no fixed kernel in it.
 */
static void make_blas_text(void) {
    char name[24] = "OpenBLAS", version[16] = "unknown";
    if (sscanf(openblas_get_config(), "%23s %15s", name, version) < 1) strcpy(name, "OpenBLAS");
    snprintf(blas_text, sizeof blas_text, "%s %s %.20s", name, version, openblas_get_corename());
}

const char *device_cpu_blas(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_blas_text);
    return blas_text;
}

#if defined(__x86_64__)
static bool processor_has_avx512(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#else
static bool processor_has_avx512(void) {
    return false;
}
#endif

static bool kernel_has_avx512(const char *kernel) {
    return strcasecmp(kernel, "SkylakeX") == 0 || strcasecmp(kernel, "Cooperlake") == 0 ||
           strcasecmp(kernel, "SapphireRapids") == 0;
}

const char *blas_preferred_kernel(void) {
    if (getenv("OPENBLAS_CORETYPE") != NULL) return NULL;
    if (strstr(openblas_get_config(), "DYNAMIC_ARCH") == NULL) return NULL;
    if (!processor_has_avx512() || kernel_has_avx512(openblas_get_corename())) return NULL;
    return "SkylakeX";
}
