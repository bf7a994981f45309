/* marks.cu - times of work: an event of CUDA for every mark. In a pass that is recorded it becomes a node of
 * the graph, which records the event where it stands, each time that the graph runs. */
#include <cstdlib>

#include "cuda/cuda_operations.cuh"
#include "cuda/pass.cuh"

struct device_marks {
    int32_t count;
    cudaEvent_t *event; /* [count] */
};

moe_status cuda_alloc_marks(struct device *base, int32_t count, struct device_marks **out_marks,
                            moe_err *err) {
    moe_status status = MOE_OK;
    struct device_marks *marks = static_cast<struct device_marks *>(calloc(1, sizeof *marks));
    moe_check(marks != NULL, err, MOE_ENOMEM, "cuda: no memory for %d marks", count);
    marks->event = static_cast<cudaEvent_t *>(calloc(static_cast<size_t>(count) + 1, sizeof *marks->event));
    moe_check(marks->event != NULL, err, MOE_ENOMEM, "cuda: no memory for %d marks", count);
    for (; marks->count < count; marks->count++) {
        const cudaError_t result = cudaEventCreateWithFlags(&marks->event[marks->count], cudaEventDefault);
        if (result != cudaSuccess) (void)cudaGetLastError(); /* told here: no failure of the next launch */
        moe_check(result == cudaSuccess, err, MOE_ENOTSUP, "cuda: no events: %s", cudaGetErrorString(result));
    }
    *out_marks = marks;
    marks = NULL;
out:
    cuda_release_marks(base, marks);
    return status;
}

void cuda_release_marks(struct device *base, struct device_marks *marks) {
    struct cuda_device *dev = cuda_device_of(base);
    if (marks == NULL) return;
    cudaStreamSynchronize(dev->stream); /* what still records them */
    pass_forget(dev->pass);             /* what would record them again */
    for (int32_t i = 0; i < marks->count; i++)
        cudaEventDestroy(marks->event[i]);
    free(marks->event);
    free(marks);
}

void cuda_mark(struct device *base, struct device_marks *marks, int32_t at) {
    struct cuda_device *dev = cuda_device_of(base);
    if (dev->failure != cudaSuccess) return;
    const cudaError_t result =
        pass_is_recorded(dev->pass)
            ? cudaEventRecordWithFlags(marks->event[at], dev->stream, cudaEventRecordExternal)
            : cudaEventRecord(marks->event[at], dev->stream);
    cuda_note(dev, result, "mark");
}

double cuda_marked_seconds(struct device *base, const struct device_marks *marks, int32_t from, int32_t to) {
    struct cuda_device *dev = cuda_device_of(base);
    float milliseconds = 0;
    if (dev->failure != cudaSuccess) return 0;
    if (!cuda_note(dev, cudaEventElapsedTime(&milliseconds, marks->event[from], marks->event[to]),
                   "marked_seconds"))
        return 0;
    return 1e-3 * static_cast<double>(milliseconds);
}
