/* runtime.cc - memory, copies, events: done at once, on the host. */
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <vector>

#include "tests/cuda_emulation/emulation.h"

typedef std::chrono::steady_clock::time_point moment;

struct emulation_event {
    bool timed, recorded, reached;
    moment when;
};

/* An event that a graph records: what stands before it was done by then. */
struct emulation_stop {
    cudaEvent_t event;
    moment when;
};

struct emulation_graph {
    std::vector<const void *> nodes;
    std::vector<struct emulation_stop> stops;
};

/* A copy to the host on its way. */
struct delivery {
    void *dst;
    std::vector<unsigned char> bytes;
};

cudaError_t emulation_last_error;
static bool recording;
static struct emulation_graph record;
static std::vector<struct delivery> deliveries;
static std::vector<cudaEvent_t> under_way; /* events recorded and not reached */

void emulation_record(const void *kind) {
    if (recording) record.nodes.push_back(kind);
}

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
    emulation_record(reinterpret_cast<const void *>(cudaMemcpyAsync));
    if (kind == cudaMemcpyDeviceToHost) {
        const unsigned char *from = static_cast<const unsigned char *>(src);
        deliveries.push_back({dst, std::vector<unsigned char>(from, from + bytes)});
    } else {
        memcpy(dst, src, bytes);
    }
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *dst, int value, size_t bytes, cudaStream_t) {
    emulation_record(reinterpret_cast<const void *>(cudaMemsetAsync));
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
    if (recording) return not_in_graphs();
    for (const struct delivery &d : deliveries)
        memcpy(d.dst, d.bytes.data(), d.bytes.size());
    deliveries.clear();
    for (cudaEvent_t event : under_way)
        event->reached = true;
    under_way.clear();
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags) {
    *out = new (std::nothrow) emulation_event();
    if (*out == NULL) return cudaErrorMemoryAllocation;
    (*out)->timed = (flags & cudaEventDisableTiming) == 0;
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    std::erase(under_way, event);
    delete event;
    return cudaSuccess;
}

static void record_at(cudaEvent_t event, moment when) {
    event->recorded = true;
    event->reached = false;
    event->when = when;
    under_way.push_back(event);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
    if (recording) return not_in_graphs();
    record_at(event, std::chrono::steady_clock::now());
    return cudaSuccess;
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags) {
    if (flags != cudaEventRecordExternal) return cudaEventRecord(event, stream);
    if (!recording) return cudaErrorInvalidValue;
    emulation_record(reinterpret_cast<const void *>(cudaEventRecordWithFlags));
    record.stops.push_back({event, std::chrono::steady_clock::now()});
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
    return event->recorded && !event->reached ? cudaErrorNotReady : cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t) {
    return cudaStreamSynchronize(NULL);
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t start, cudaEvent_t end) {
    for (const cudaEvent_t event : {start, end}) {
        if (!event->timed || !event->recorded) return cudaErrorInvalidResourceHandle;
        if (!event->reached) return cudaErrorNotReady;
    }
    *milliseconds = std::chrono::duration<float, std::milli>(end->when - start->when).count();
    return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t, cudaStreamCaptureMode) {
    if (recording) return cudaErrorStreamCaptureUnsupported;
    recording = true;
    record = {};
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t *out) {
    if (!recording) return cudaErrorInvalidValue;
    recording = false;
    *out = new (std::nothrow) emulation_graph(record);
    return *out != NULL ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *, size_t *count) {
    *count = graph->nodes.size();
    return cudaSuccess;
}

cudaError_t cudaGraphExecUpdate(cudaGraphExec_t last, cudaGraph_t graph, cudaGraphExecUpdateResultInfo *) {
    if (last->nodes != graph->nodes) return cudaErrorGraphExecUpdateFailure;
    last->stops = graph->stops;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long) {
    *out = new (std::nothrow) emulation_graph(*graph);
    return *out != NULL ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t) {
    if (recording) return not_in_graphs();
    for (const struct emulation_stop &stop : graph->stops)
        record_at(stop.event, stop.when);
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    delete graph;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
    delete graph;
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
    case cudaErrorInvalidResourceHandle:
        return "invalid resource handle";
    case cudaErrorNotReady:
        return "device not ready";
    case cudaErrorNotSupported:
        return "operation not supported";
    case cudaErrorGraphExecUpdateFailure:
        return "the graph update was not performed";
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
    if (attribute == cudaDevAttrMaxSharedMemoryPerBlockOptin)
        *value = static_cast<int>(emulation_most_shared());
    else
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
