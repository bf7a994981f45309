/* rope.cu - rotary positions */
#include "cuda/cuda_operations.cuh"

/* A thread turns one pair of one row in all heads. The angle is made in double: that of a late
 * position needs more digits than float has. */
template <typename T>
static __global__ void rope_kernel(T *x, int64_t rows, int64_t seq, int64_t first, int heads, int head_dim,
                                   int64_t stride, double theta, bool interleaved, bool inverse) {
    const int half = head_dim / 2;
    const int64_t at = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (at >= rows * half) return;
    const int64_t row = at / half;
    const int pair = static_cast<int>(at % half);
    const double angle = static_cast<double>(first + row % seq) * pow(theta, -2.0 * pair / head_dim);
    const float c = static_cast<float>(cos(angle));
    const float s = static_cast<float>(inverse ? -sin(angle) : sin(angle));
    const int u_at = interleaved ? 2 * pair : pair, w_at = interleaved ? 2 * pair + 1 : pair + half;
    for (int h = 0; h < heads; h++) {
        T *head = x + row * stride + static_cast<int64_t>(h) * head_dim;
        const float u = act_load(head, u_at), w = act_load(head, w_at);
        act_store(head, u_at, u * c - w * s);
        act_store(head, w_at, u * s + w * c);
    }
}

void cuda_rope(struct device *dev, act_t *x, int64_t rows, int64_t seq, int64_t first, int32_t heads,
               int32_t head_dim, int64_t stride, float theta, bool interleaved, bool inverse) {
    cuda_for_act(dev, [&](auto act) {
        using T = decltype(act);
        cuda_launch(dev, "rope", rope_kernel<T>, dim3(cuda_pieces(rows * (head_dim / 2), 128)), 128, 0,
                    static_cast<T *>(x), rows, seq, first, heads, head_dim, stride,
                    static_cast<double>(theta), interleaved, inverse);
    });
}
