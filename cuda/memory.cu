/* memory.cu - memory of the GPU, copies, and waiting for it */
#include "cuda/memory.cuh"

#include <cstdlib>
#include <cstring>

#include "cuda/cuda_operations.cuh"

/* An upload copies into one half, hands that to the stream and returns; a half is filled again once the
 * stream has read it. Two halves of this size hold the batches of many steps. */
#define STAGING_HALF ((size_t)4 << 20)

struct cuda_staging {
    unsigned char *block;
    cudaEvent_t read[2]; /* the stream has read the half */
    int half;            /* being filled */
    size_t used;         /* of that half */
};

moe_status staging_open(struct cuda_staging **out_staging, moe_err *err) {
    moe_status status = MOE_OK;
    struct cuda_staging *s = static_cast<struct cuda_staging *>(calloc(1, sizeof *s));
    moe_check(s != NULL, err, MOE_ENOMEM, "cuda: no memory for the device");
    *out_staging = s;
    moe_check(cudaMallocHost(reinterpret_cast<void **>(&s->block), 2 * STAGING_HALF) == cudaSuccess, err,
              MOE_ENOMEM, "cuda: no %zu bytes of page-locked memory", 2 * STAGING_HALF);
    for (int i = 0; i < 2; i++) {
        moe_check(cudaEventCreateWithFlags(&s->read[i], cudaEventDisableTiming) == cudaSuccess, err,
                  MOE_ENOTSUP, "cuda: no events");
    }
out:
    return status;
}

void staging_close(struct cuda_staging *s) {
    if (s == NULL) return;
    for (int i = 0; i < 2; i++) {
        if (s->read[i] != NULL) cudaEventDestroy(s->read[i]);
    }
    cudaFreeHost(s->block);
    free(s);
}

/* Zeroed. cudaMalloc aligns to 256 bytes. */
moe_status cuda_alloc(struct device *base, size_t bytes, void **out_ptr, moe_err *err) {
    moe_status status = MOE_OK;
    struct cuda_device *dev = cuda_device_of(base);
    const size_t room = bytes > 0 ? bytes : 1;
    cudaError_t result = cudaMalloc(out_ptr, room);
    if (result != cudaSuccess) (void)cudaGetLastError(); /* told here: no failure of the next launch */
    moe_check(result == cudaSuccess, err, MOE_ENOMEM, "cuda: no %.2f GiB of GPU memory: %s",
              static_cast<double>(room) * 0x1p-30, cudaGetErrorString(result));
    cuda_note(dev, cudaMemsetAsync(*out_ptr, 0, room, dev->stream), "alloc");
out:
    return status;
}

void cuda_release(struct device *base, void *ptr) {
    struct cuda_device *dev = cuda_device_of(base);
    if (ptr == NULL) return;
    cudaStreamSynchronize(dev->stream); /* what still reads it */
    cudaFree(ptr);
}

moe_status cuda_alloc_host(struct device *base, size_t bytes, void **out_ptr, moe_err *err) {
    moe_status status = MOE_OK;
    const size_t room = bytes > 0 ? bytes : 1;
    (void)base;
    const cudaError_t result = cudaMallocHost(out_ptr, room);
    if (result != cudaSuccess) (void)cudaGetLastError();
    moe_check(result == cudaSuccess, err, MOE_ENOMEM, "cuda: no %zu bytes of page-locked memory: %s", room,
              cudaGetErrorString(result));
    memset(*out_ptr, 0, room);
out:
    return status;
}

void cuda_release_host(struct device *base, void *ptr) {
    if (ptr == NULL) return;
    cudaStreamSynchronize(cuda_device_of(base)->stream); /* what still writes it */
    cudaFreeHost(ptr);
}

static void wait(struct cuda_device *dev, const char *where) {
    dev->base.counts.waits++;
    cuda_note(dev, cudaStreamSynchronize(dev->stream), where);
}

/* Room in the half being filled, at most `bytes`; turns to the other half when this one is full. */
static size_t staging_room(struct cuda_device *dev, size_t bytes) {
    struct cuda_staging *s = dev->staging;
    if (s->used == STAGING_HALF) {
        cuda_note(dev, cudaEventRecord(s->read[s->half], dev->stream), "upload");
        s->half = 1 - s->half;
        s->used = 0;
        if (cudaEventQuery(s->read[s->half]) != cudaSuccess) {
            (void)cudaGetLastError(); /* not ready: no failure */
            dev->base.counts.waits++;
            cuda_note(dev, cudaEventSynchronize(s->read[s->half]), "upload");
        }
    }
    const size_t room = STAGING_HALF - s->used;
    return bytes < room ? bytes : room;
}

void cuda_upload(struct device *base, void *dst, const void *host_src, size_t bytes) {
    struct cuda_device *dev = cuda_device_of(base);
    struct cuda_staging *s = dev->staging;
    for (size_t at = 0; at < bytes;) {
        const size_t part = staging_room(dev, bytes - at);
        unsigned char *room = s->block + static_cast<size_t>(s->half) * STAGING_HALF + s->used;
        if (dev->failure != cudaSuccess) return;
        memcpy(room, static_cast<const char *>(host_src) + at, part);
        cuda_note(dev, cudaMemcpyAsync(cuda_at(dst, at), room, part, cudaMemcpyHostToDevice, dev->stream),
                  "upload");
        at += part;
        s->used += part;
    }
}

void cuda_download(struct device *base, void *host_dst, const void *src, size_t bytes) {
    struct cuda_device *dev = cuda_device_of(base);
    if (bytes == 0 || dev->failure != cudaSuccess) return;
    cuda_note(dev, cudaMemcpyAsync(host_dst, src, bytes, cudaMemcpyDeviceToHost, dev->stream), "download");
    wait(dev, "download");
}

void cuda_fetch(struct device *base, void *host_dst, const void *src, size_t bytes) {
    struct cuda_device *dev = cuda_device_of(base);
    if (bytes == 0 || dev->failure != cudaSuccess) return;
    cuda_note(dev, cudaMemcpyAsync(host_dst, src, bytes, cudaMemcpyDeviceToHost, dev->stream), "fetch");
}

void cuda_copy(struct device *base, void *dst, const void *src, size_t bytes) {
    struct cuda_device *dev = cuda_device_of(base);
    if (bytes == 0 || dev->failure != cudaSuccess) return;
    cuda_note(dev, cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDeviceToDevice, dev->stream), "copy");
}

void cuda_zero(struct device *base, void *dst, size_t bytes) {
    struct cuda_device *dev = cuda_device_of(base);
    if (bytes == 0 || dev->failure != cudaSuccess) return;
    cuda_note(dev, cudaMemsetAsync(dst, 0, bytes, dev->stream), "zero");
}

moe_status cuda_synchronize(struct device *base, moe_err *err) {
    moe_status status = MOE_OK;
    struct cuda_device *dev = cuda_device_of(base);
    wait(dev, "synchronize");
    const cudaError_t failure = dev->failure;
    const char *where = dev->failed_at;
    dev->failure = cudaSuccess;
    dev->failed_at = NULL;
    if (failure != cudaSuccess)
        status = moe_fail(err, failure == cudaErrorMemoryAllocation ? MOE_ENOMEM : MOE_ENOTSUP,
                          "cuda: %s failed: %s", where, cudaGetErrorString(failure));
    return status;
}
