#include "device/module.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"

static struct {
    const struct device_module *module;
    moe_status status;
    moe_err err;
} found;

/* moe_cuda.so in the folder of the running program; malloc'ed. */
static char *module_path(void) {
    char program[4096];
    const char *named = getenv("MOE_CUDA_MODULE");
    if (named != NULL && named[0] != '\0') return strdup(named);
    const ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length <= 0) return NULL;
    program[length] = '\0';
    char *folder = path_folder(program);
    char *path = folder != NULL ? path_join(folder, "moe_cuda.so") : NULL;
    free(folder);
    return path;
}

static moe_status load_module(const struct device_module **out_module, moe_err *err) {
    moe_status status = MOE_OK;
    void *library = NULL;
    char *path = module_path();
    moe_check(path != NULL, err, MOE_ENOTSUP, "cuda: the folder of the program cannot be found");
    moe_check(file_exists(path), err, MOE_ENOTSUP,
              "cuda: no module %s: this build has no CUDA backend (cmake -DMOE_CUDA=ON); use --device cpu",
              path);
    library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    moe_check(library != NULL, err, MOE_ENOTSUP, "cuda: the module cannot be opened: %s", dlerror());
    device_module_entry entry = NULL;
    void *symbol = dlsym(library, DEVICE_MODULE_SYMBOL);
    moe_check(symbol != NULL, err, MOE_ENOTSUP, "cuda: %s is not a module of this program", path);
    memcpy(&entry, &symbol, sizeof entry);
    const struct device_module *module = entry();
    moe_check(module->version == DEVICE_MODULE_VERSION && module->table_bytes == sizeof(struct backend), err,
              MOE_ENOTSUP, "cuda: %s is of another build; build program and module together", path);
    *out_module = module;
out:
    if (status != MOE_OK && library != NULL) dlclose(library);
    free(path);
    return status;
}

static void find_once(void) {
    found.status = load_module(&found.module, &found.err);
}

moe_status device_module_find(const struct device_module **out_module, moe_err *err) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find_once);
    *out_module = found.module;
    if (found.status != MOE_OK) return moe_fail(err, found.status, "%s", found.err.message);
    return MOE_OK;
}
