/* pass.cu - a pass is recorded as a graph, which updates the one of the pass before where both have the same
 * kernels (their arguments and grids may differ), and is then started at once. MOE_CUDA_GRAPHS=0 starts each
 * kernel by itself instead. */
#include "cuda/pass.cuh"

#include <cstdlib>
#include <cstring>

#include "cuda/cuda_operations.cuh"

struct cuda_pass {
    bool graphs;    /* wanted */
    bool warm;      /* a pass has been made: most kernels are loaded, most products planned */
    bool recording; /* between begin and end */
    cudaGraphExec_t last;
    cudaEvent_t marks[DEVICE_MARKS];
};

moe_status pass_open(struct cuda_pass **out_pass, moe_err *err) {
    moe_status status = MOE_OK;
    const char *wish = getenv("MOE_CUDA_GRAPHS");
    struct cuda_pass *pass = static_cast<struct cuda_pass *>(calloc(1, sizeof *pass));
    moe_check(pass != NULL, err, MOE_ENOMEM, "cuda: no memory for the device");
    *out_pass = pass;
    pass->graphs = wish == NULL || strcmp(wish, "0") != 0;
    for (int i = 0; i < DEVICE_MARKS; i++) {
        moe_check(cudaEventCreateWithFlags(&pass->marks[i], cudaEventDefault) == cudaSuccess, err,
                  MOE_ENOTSUP, "cuda: no events");
    }
out:
    return status;
}

void pass_close(struct cuda_pass *pass) {
    if (pass == NULL) return;
    if (pass->last != NULL) cudaGraphExecDestroy(pass->last);
    for (int i = 0; i < DEVICE_MARKS; i++) {
        if (pass->marks[i] != NULL) cudaEventDestroy(pass->marks[i]);
    }
    free(pass);
}

void cuda_pass_begin(struct device *base) {
    struct cuda_device *dev = cuda_device_of(base);
    const bool warm = dev->pass->warm;
    dev->pass->warm = true;
    if (!warm || !dev->pass->graphs || dev->failure != cudaSuccess) return;
    /* relaxed: a kernel that this pass is the first to launch is loaded while it is recorded */
    dev->pass->recording =
        cuda_note(dev, cudaStreamBeginCapture(dev->stream, cudaStreamCaptureModeRelaxed), "pass_begin");
}

/* Makes pass->last do what `graph` does. */
static cudaError_t renew(struct cuda_pass *pass, cudaGraph_t graph) {
    cudaGraphExecUpdateResultInfo info;
    if (pass->last != NULL && cudaGraphExecUpdate(pass->last, graph, &info) == cudaSuccess)
        return cudaSuccess;
    (void)cudaGetLastError(); /* another sequence of kernels: no failure */
    if (pass->last != NULL) cudaGraphExecDestroy(pass->last);
    pass->last = NULL;
    return cudaGraphInstantiate(&pass->last, graph, 0);
}

/* A failure on the way ends the recording too, and is told by synchronize(). */
void cuda_pass_end(struct device *base) {
    struct cuda_device *dev = cuda_device_of(base);
    struct cuda_pass *pass = dev->pass;
    cudaGraph_t graph = NULL;
    if (!pass->recording) return;
    pass->recording = false;
    const cudaError_t ended = cudaStreamEndCapture(dev->stream, &graph);
    if (cuda_note(dev, ended, "pass_end") && cuda_note(dev, renew(pass, graph), "pass_end"))
        cuda_note(dev, cudaGraphLaunch(pass->last, dev->stream), "pass_end");
    if (graph != NULL) cudaGraphDestroy(graph);
}

void cuda_mark(struct device *base, int32_t mark) {
    struct cuda_device *dev = cuda_device_of(base);
    const unsigned flags = dev->pass->recording ? cudaEventRecordExternal : cudaEventRecordDefault;
    if (dev->failure != cudaSuccess) return;
    cuda_note(dev, cudaEventRecordWithFlags(dev->pass->marks[mark], dev->stream, flags), "mark");
}

double cuda_elapsed(struct device *base, int32_t from, int32_t to) {
    struct cuda_device *dev = cuda_device_of(base);
    float milliseconds = 0.0f;
    if (dev->failure != cudaSuccess) return 0.0;
    cuda_note(dev, cudaEventSynchronize(dev->pass->marks[from]), "elapsed");
    cuda_note(dev, cudaEventSynchronize(dev->pass->marks[to]), "elapsed");
    cuda_note(dev, cudaEventElapsedTime(&milliseconds, dev->pass->marks[from], dev->pass->marks[to]),
              "elapsed");
    return static_cast<double>(milliseconds) * 1e-3;
}
