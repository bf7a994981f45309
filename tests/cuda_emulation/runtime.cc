/* runtime.cc - memory, copies, events: done at once, on the host. */
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "tests/cuda_emulation/emulation.h"

struct emulation_event {
    std::chrono::steady_clock::time_point at;
};

cudaError_t emulation_last_error;
static bool recording;

static cudaError_t not_in_graphs(void) {
    return recording ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}

cudaError_t cudaMalloc(void **out, size_t bytes) {
    if (recording) return not_in_graphs();
    const size_t room = (bytes + 255) / 256 * 256;
    *out = aligned_alloc(256, room);
    if (*out == NULL) return cudaErrorMemoryAllocation;
    memset(*out, 0xff, room);
    return cudaSuccess;
}

cudaError_t cudaFree(void *block) {
    free(block);
    return cudaSuccess;
}

cudaError_t cudaMallocHost(void **out, size_t bytes) {
    *out = malloc(bytes);
    return *out != NULL ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaFreeHost(void *block) {
    free(block);
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t bytes, cudaMemcpyKind kind, cudaStream_t) {
    if (kind != cudaMemcpyDeviceToDevice && recording) return not_in_graphs();
    memcpy(dst, src, bytes);
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *dst, int value, size_t bytes, cudaStream_t) {
    memset(dst, value, bytes);
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned) {
    *out = reinterpret_cast<cudaStream_t>(out); /* any address: nothing is kept in a stream */
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t) {
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t) {
    return not_in_graphs();
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned) {
    *out = new (std::nothrow) emulation_event;
    return *out != NULL ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
    event->at = std::chrono::steady_clock::now();
    return cudaSuccess;
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags) {
    if (recording != (flags == cudaEventRecordExternal)) return cudaErrorInvalidValue;
    return cudaEventRecord(event, stream);
}

cudaError_t cudaEventSynchronize(cudaEvent_t) {
    return not_in_graphs();
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t from, cudaEvent_t to) {
    *milliseconds = std::chrono::duration<float, std::milli>(to->at - from->at).count();
    return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t, cudaStreamCaptureMode) {
    if (recording) return cudaErrorStreamCaptureUnsupported;
    recording = true;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t *out) {
    if (!recording) return cudaErrorInvalidValue;
    recording = false;
    *out = reinterpret_cast<cudaGraph_t>(&recording); /* any address: nothing is kept */
    return cudaSuccess;
}

cudaError_t cudaGraphExecUpdate(cudaGraphExec_t, cudaGraph_t, cudaGraphExecUpdateResultInfo *) {
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t, unsigned long long) {
    *out = reinterpret_cast<cudaGraphExec_t>(&recording);
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t, cudaStream_t) {
    return not_in_graphs();
}

cudaError_t cudaGraphDestroy(cudaGraph_t) {
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t) {
    return cudaSuccess;
}

cudaError_t cudaGetLastError(void) {
    const cudaError_t last = emulation_last_error;
    emulation_last_error = cudaSuccess;
    return last;
}

const char *cudaGetErrorString(cudaError_t error) {
    switch (error) {
    case cudaSuccess:
        return "no error";
    case cudaErrorInvalidValue:
        return "invalid value";
    case cudaErrorMemoryAllocation:
        return "out of memory";
    case cudaErrorInvalidConfiguration:
        return "invalid configuration";
    case cudaErrorStreamCaptureUnsupported:
        return "operation not permitted when stream is capturing";
    default:
        return "unknown error";
    }
}

cudaError_t cudaGetDeviceCount(int *count) {
    *count = 1;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int) {
    memset(properties, 0, sizeof *properties);
    snprintf(properties->name, sizeof properties->name, "emulation on the host, for tests");
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int) {
    *value = attribute == cudaDevAttrComputeCapabilityMajor ? 8 : 2;
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version) {
    *version = 13000;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version) {
    *version = 13000;
    return cudaSuccess;
}
