/* pass.cu - a pass is recorded as a graph, which updates an earlier one with the same kernels (their
 * arguments and grids may differ), and is then started at once. MOE_CUDA_GRAPHS=0 starts each kernel by
 * itself instead. */
#include "cuda/pass.cuh"

#include <cstdlib>
#include <cstring>

#include "cuda/cuda_operations.cuh"

/* Different sequences of kernels that are kept ready: a run turns among a few, such as passes with and
 * without histograms, and a last batch that is smaller, for which the library may choose another way. */
#define PLANS 6

struct plan {
    cudaGraphExec_t graph;
    size_t nodes;
    int64_t last; /* number of the pass that used it last */
};

struct cuda_pass {
    bool graphs;    /* wanted */
    bool warm;      /* a pass has been made: most kernels are loaded, most products planned */
    bool recording; /* between begin and end */
    struct plan plan[PLANS];
};

moe_status pass_open(struct cuda_pass **out_pass, moe_err *err) {
    moe_status status = MOE_OK;
    const char *wish = getenv("MOE_CUDA_GRAPHS");
    struct cuda_pass *pass = static_cast<struct cuda_pass *>(calloc(1, sizeof *pass));
    moe_check(pass != NULL, err, MOE_ENOMEM, "cuda: no memory for the device");
    *out_pass = pass;
    pass->graphs = wish == NULL || strcmp(wish, "0") != 0;
out:
    return status;
}

void pass_forget(struct cuda_pass *pass) {
    for (int i = 0; i < PLANS; i++) {
        if (pass->plan[i].graph != NULL) cudaGraphExecDestroy(pass->plan[i].graph);
        pass->plan[i].graph = NULL;
    }
}

void pass_close(struct cuda_pass *pass) {
    if (pass == NULL) return;
    pass_forget(pass);
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

/* A plan of as many nodes, or else one that is free, or else the one that has waited longest. */
static struct plan *choose_plan(struct cuda_pass *pass, size_t nodes) {
    struct plan *oldest = &pass->plan[0];
    for (int i = 0; i < PLANS; i++) {
        if (pass->plan[i].graph != NULL && pass->plan[i].nodes == nodes) return &pass->plan[i];
        if (pass->plan[i].last < oldest->last) oldest = &pass->plan[i];
    }
    return oldest;
}

/* *out_graph = a graph ready to start that does what `graph` does. */
static cudaError_t make_ready(struct cuda_device *dev, cudaGraph_t graph, cudaGraphExec_t *out_graph) {
    cudaGraphExecUpdateResultInfo info;
    size_t nodes = 0;
    cudaError_t result = cudaGraphGetNodes(graph, NULL, &nodes);
    if (result != cudaSuccess) return result;
    struct plan *plan = choose_plan(dev->pass, nodes);
    plan->last = ++dev->base.counts.passes;
    if (plan->graph == NULL || plan->nodes != nodes ||
        cudaGraphExecUpdate(plan->graph, graph, &info) != cudaSuccess) {
        (void)cudaGetLastError(); /* other kernels: no failure */
        if (plan->graph != NULL) cudaGraphExecDestroy(plan->graph);
        plan->graph = NULL;
        plan->nodes = nodes;
        dev->base.counts.plans++;
        result = cudaGraphInstantiate(&plan->graph, graph, 0);
    }
    *out_graph = plan->graph;
    return result;
}

/* A failure on the way ends the recording too, and is told by synchronize(). */
void cuda_pass_end(struct device *base) {
    struct cuda_device *dev = cuda_device_of(base);
    cudaGraph_t graph = NULL;
    cudaGraphExec_t ready = NULL;
    if (!dev->pass->recording) return;
    dev->pass->recording = false;
    const cudaError_t ended = cudaStreamEndCapture(dev->stream, &graph);
    if (cuda_note(dev, ended, "pass_end") && cuda_note(dev, make_ready(dev, graph, &ready), "pass_end"))
        cuda_note(dev, cudaGraphLaunch(ready, dev->stream), "pass_end");
    if (graph != NULL) cudaGraphDestroy(graph);
}

bool pass_is_recorded(const struct cuda_pass *pass) {
    return pass->recording;
}
