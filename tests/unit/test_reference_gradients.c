/* test: rooms=device label=fast */
/* Every backward operation of the reference backend, in double, against finite differences of its forward
 * operation.
 *
 * A problem's loss is a fixed random linear form of what forward writes, so that its gradient with respect to
 * an input is what backward makes of that form. The five-point central difference is exact to about 1e-11
 * here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gradient_check.h"

/* ---- linear
 * ------------------------------------------------------------------------------------------------------ */

struct linear_problem {
    int64_t rows;
    int32_t in, out, experts; /* experts 0: plain linear */
    int32_t offsets[6];
    const int32_t *source;
    double x[MOST], w[MOST], b[MOST], dy[MOST];
};

static double linear_loss(const void *problem) {
    const struct linear_problem *p = problem;
    double y[MOST] = {0};
    if (p->experts == 0)
        ref_linear_forward(device, y, p->x, p->w, p->b, p->rows, p->in, p->out);
    else
        ref_grouped_linear_forward(device, y, p->x, p->source, p->w, p->b, p->offsets, p->experts, p->rows,
                                   p->in, p->out);
    return ref_dot(y, p->dy, p->rows * p->out);
}

static void linear_gradient(void **state) {
    (void)state;
    static struct linear_problem p = {.rows = 5, .in = 7, .out = 3};
    double dx[MOST], dw[MOST] = {0}, db[MOST] = {0}, twice[MOST] = {0};
    fill(p.x, MOST, 1);
    fill(p.w, MOST, 2);
    fill(p.b, MOST, 3);
    fill(p.dy, MOST, 4);
    ref_linear_backward(device, dx, dw, db, p.dy, p.x, p.w, p.rows, p.in, p.out, false);
    check("linear dx", linear_loss, &p, p.x, dx, p.rows * p.in, 1e-9);
    check("linear dw", linear_loss, &p, p.w, dw, (int64_t)p.in * p.out, 1e-9);
    check("linear dbias", linear_loss, &p, p.b, db, p.out, 1e-9);
    ref_linear_backward(device, twice, NULL, NULL, p.dy, p.x, p.w, p.rows, p.in, p.out, true);
    ref_linear_backward(device, twice, dw, db, p.dy, p.x, p.w, p.rows, p.in, p.out, true);
    for (int64_t i = 0; i < p.rows * p.in; i++)
        assert_true(fabs(twice[i] - 2.0 * dx[i]) < 1e-14);
    for (int64_t i = 0; i < p.in * p.out; i++)
        dw[i] *= 0.5; /* two calls have been added up */
    check("linear dw, accumulated", linear_loss, &p, p.w, dw, (int64_t)p.in * p.out, 1e-9);
}

static void grouped_linear_gradient(void **state) {
    (void)state;
    static struct linear_problem p = {
        .rows = 9, .in = 4, .out = 3, .experts = 5, .offsets = {0, 0, 3, 3, 7, 8}};
    double dx[MOST], dw[MOST] = {0}, db[MOST] = {0};
    const int32_t used = p.offsets[p.experts];
    fill(p.x, MOST, 5);
    fill(p.w, MOST, 6);
    fill(p.b, MOST, 7);
    fill(p.dy, MOST, 8);
    fill(dx, MOST, 9);
    const double untouched = dx[used * p.in];
    ref_grouped_linear_backward(device, dx, dw, db, p.dy, p.x, p.source, p.w, p.offsets, p.experts, p.rows,
                                p.in, p.out);
    assert_true(dx[used * p.in] == untouched);
    check("grouped linear dx", linear_loss, &p, p.x, dx, (int64_t)used * p.in, 1e-9);
    check("grouped linear dw", linear_loss, &p, p.w, dw, (int64_t)p.experts * p.in * p.out, 1e-9);
    check("grouped linear dbias", linear_loss, &p, p.b, db, (int64_t)p.experts * p.out, 1e-9);
    static const int32_t source[] = {2, 0, 4, 2, 1, 4, 0, 3};
    p.source = source;
    memset(dw, 0, sizeof dw);
    ref_grouped_linear_backward(device, NULL, dw, NULL, p.dy, p.x, p.source, p.w, p.offsets, p.experts,
                                p.rows, p.in, p.out);
    check("grouped linear dw, rows in place", linear_loss, &p, p.w, dw, (int64_t)p.experts * p.in * p.out,
          1e-9);
}

/* ---- embedding
 * --------------------------------------------------------------------------------------------------- */

enum { E_ROWS = 10, E_SEQ = 4, E_HIDDEN = 3, E_VOCAB = 5 };

struct embedding_problem {
    int32_t tokens[E_ROWS];
    double table[E_VOCAB * E_HIDDEN], positions[E_SEQ * E_HIDDEN], dy[E_ROWS * E_HIDDEN];
};

static double embedding_loss(const void *problem) {
    const struct embedding_problem *p = problem;
    double y[E_ROWS * E_HIDDEN];
    ref_embedding_forward(device, y, p->tokens, p->table, p->positions, E_ROWS, E_SEQ, E_HIDDEN);
    return ref_dot(y, p->dy, E_ROWS * E_HIDDEN);
}

static void embedding_gradient(void **state) {
    (void)state;
    struct embedding_problem p = {.tokens = {0, 4, 4, 1, 0, 2, 4, 4, 1, 0}};
    double dtable[E_VOCAB * E_HIDDEN] = {0}, dpositions[E_SEQ * E_HIDDEN] = {0};
    fill(p.table, COUNT(p.table), 10);
    fill(p.positions, COUNT(p.positions), 11);
    fill(p.dy, COUNT(p.dy), 12);
    ref_embedding_backward(device, dtable, dpositions, p.dy, p.tokens, E_ROWS, E_SEQ, E_HIDDEN, E_VOCAB);
    check("embedding dtable", embedding_loss, &p, p.table, dtable, COUNT(dtable), 1e-9);
    check("embedding dpositions", embedding_loss, &p, p.positions, dpositions, COUNT(dpositions), 1e-9);
}

/* ---- normalisation
 * ----------------------------------------------------------------------------------------------- */

enum { N_ROWS = 4, N_WIDTH = 6, N_X = 8, N_Y = 7 };

struct norm_problem {
    enum norm_kind kind;
    double x[N_ROWS * N_X], gamma[N_WIDTH], beta[N_WIDTH], dy[N_ROWS * N_Y];
};

static double norm_loss(const void *problem) {
    const struct norm_problem *p = problem;
    double y[N_ROWS * N_Y] = {0}, mean[N_ROWS], rstd[N_ROWS];
    ref_norm_forward(device, p->kind, y, mean, rstd, p->x, p->gamma, p->beta, N_ROWS, N_WIDTH, N_X, N_Y,
                     1e-2f);
    return ref_dot(y, p->dy, N_ROWS * N_Y);
}

static void norm_gradient(void **state) {
    (void)state;
    for (int kind = NORM_LAYER; kind <= NORM_RMS; kind++) {
        struct norm_problem p = {.kind = (enum norm_kind)kind};
        double dx[N_ROWS * N_X] = {0}, dgamma[N_WIDTH] = {0}, dbeta[N_WIDTH] = {0};
        double y[N_ROWS * N_Y], mean[N_ROWS], rstd[N_ROWS];
        fill(p.x, COUNT(p.x), 13);
        fill(p.gamma, COUNT(p.gamma), 14);
        fill(p.beta, COUNT(p.beta), 15);
        fill(p.dy, COUNT(p.dy), 16);
        ref_norm_forward(device, p.kind, y, mean, rstd, p.x, p.gamma, p.beta, N_ROWS, N_WIDTH, N_X, N_Y,
                         1e-2f);
        ref_norm_backward(device, p.kind, dx, dgamma, dbeta, p.dy, p.x, mean, rstd, p.gamma, N_ROWS, N_WIDTH,
                          N_X, N_Y, true);
        check(kind == NORM_LAYER ? "layer norm dx" : "rms norm dx", norm_loss, &p, p.x, dx, COUNT(dx), 1e-8);
        check(kind == NORM_LAYER ? "layer norm dgamma" : "rms norm dgamma", norm_loss, &p, p.gamma, dgamma,
              N_WIDTH, 1e-8);
        if (kind == NORM_LAYER) check("layer norm dbeta", norm_loss, &p, p.beta, dbeta, N_WIDTH, 1e-8);
    }
}

/* ---- attention
 * --------------------------------------------------------------------------------------------------- */

struct attention_problem {
    struct attention_shape shape;
    struct dropout drop;
    double qkv[MOST], dout[MOST]; /* packed rows [q | k | v] */
};

static int64_t attention_outputs(const struct attention_problem *p) {
    return p->shape.batch * p->shape.seq * p->shape.heads * p->shape.head_dim;
}

static void attention_run(const struct attention_problem *p, double *out, double *lse) {
    const int64_t k = (int64_t)p->shape.heads * p->shape.head_dim,
                  v = k + (int64_t)p->shape.kv_heads * p->shape.head_dim;
    ref_attention_forward(device, out, lse, p->qkv, p->qkv + k, p->qkv + v, &p->shape, p->drop);
}

static double attention_loss(const void *problem) {
    const struct attention_problem *p = problem;
    double out[MOST], lse[MOST];
    attention_run(p, out, lse);
    return ref_dot(out, p->dout, attention_outputs(p));
}

static void attention_gradient(void **state) {
    (void)state;
    static const struct {
        const char *what;
        int32_t heads, kv_heads;
        float p;
    } cases[] = {{"attention dqkv", 2, 2, 0.0f},
                 {"grouped-query attention dqkv", 4, 2, 0.0f},
                 {"attention with dropout dqkv", 4, 1, 0.3f}};
    for (int i = 0; i < COUNT(cases); i++) {
        static struct attention_problem p;
        const int32_t width = 3 * (cases[i].heads + 2 * cases[i].kv_heads);
        p.shape = (struct attention_shape){2, 5, cases[i].heads, cases[i].kv_heads, 3, width, width, 0.9f};
        p.drop = dropout_make(cases[i].p, 8, 1, 2);
        fill(p.qkv, MOST, 17);
        fill(p.dout, MOST, 18);
        double out[MOST], lse[MOST], d[MOST];
        const int64_t k = 3 * cases[i].heads, v = k + 3 * cases[i].kv_heads;
        attention_run(&p, out, lse);
        ref_attention_backward(device, d, d + k, d + v, NULL, p.dout, out, lse, p.qkv, p.qkv + k, p.qkv + v,
                               &p.shape, p.drop);
        check(cases[i].what, attention_loss, &p, p.qkv, d, (int64_t)10 * width, 1e-8);
    }
}

struct rope_problem {
    bool interleaved;
    double x[2 * 5 * 14], c[2 * 5 * 14]; /* 2 sequences of 5, rows of 3 heads of 4 and a gap of 2 */
};

static double rope_loss(const void *problem) {
    const struct rope_problem *p = problem;
    double x[COUNT(p->x)];
    memcpy(x, p->x, sizeof x);
    ref_rope(device, x, 10, 5, 2, 3, 4, 14, 100.0f, p->interleaved, false);
    return ref_dot(x, p->c, COUNT(x));
}

static void rope_gradient(void **state) {
    (void)state;
    for (int interleaved = 0; interleaved <= 1; interleaved++) {
        struct rope_problem p = {.interleaved = interleaved};
        double d[COUNT(p.c)];
        fill(p.x, COUNT(p.x), 19);
        fill(p.c, COUNT(p.c), 20);
        memcpy(d, p.c, sizeof d);
        ref_rope(device, d, 10, 5, 2, 3, 4, 14, 100.0f, p.interleaved, true);
        check(interleaved ? "rope, interleaved" : "rope, halves", rope_loss, &p, p.x, d, COUNT(d), 1e-9);
    }
}

/* ---- element-wise
 * ------------------------------------------------------------------------------------------------ */

enum { A_ROWS = 3, A_WIDTH = 17 };

struct activation_problem {
    enum activation_kind kind;
    struct dropout drop;
    double x[2 * A_ROWS * A_WIDTH], dy[A_ROWS * A_WIDTH];
};

static double activation_loss(const void *problem) {
    const struct activation_problem *p = problem;
    double y[A_ROWS * A_WIDTH];
    ref_activation_forward(device, p->kind, y, p->x, A_ROWS, A_WIDTH, p->drop);
    return ref_dot(y, p->dy, COUNT(y));
}

static void activation_gradient(void **state) {
    (void)state;
    static const char *const names[] = {"gelu dx", "relu dx", "silu dx", "swiglu dx"};
    for (int kind = ACTIVATION_GELU; kind <= ACTIVATION_SWIGLU; kind++) {
        struct activation_problem p = {.kind = (enum activation_kind)kind,
                                       .drop = dropout_make(0.25f, 5, 6, 7)};
        double dx[2 * A_ROWS * A_WIDTH];
        fill(p.x, COUNT(p.x), 21);
        fill(p.dy, COUNT(p.dy), 22);
        for (int i = 0; i < COUNT(p.x); i++)
            p.x[i] = 4.0 * p.x[i] + (p.x[i] > 0.0 ? 1e-3 : -1e-3); /* away from the kink of ReLU */
        ref_activation_backward(device, p.kind, dx, p.dy, p.x, A_ROWS, A_WIDTH, p.drop);
        check(names[kind], activation_loss, &p, p.x, dx,
              A_ROWS * A_WIDTH * (kind == ACTIVATION_SWIGLU ? 2 : 1), 1e-8);
    }
}

struct dropout_problem {
    struct dropout drop;
    double x[40], residual[40], dy[40];
};

static double dropout_loss(const void *problem) {
    const struct dropout_problem *p = problem;
    double y[40];
    ref_residual_dropout(device, y, p->residual, p->x, 40, p->drop);
    ref_add_scaled(device, y, p->x, 0.5f, 40);
    return ref_dot(y, p->dy, 40);
}

static void dropout_gradient(void **state) {
    (void)state;
    struct dropout_problem p = {.drop = dropout_make(0.4f, 1, 2, 3)};
    double dx[40];
    fill(p.x, 40, 23);
    fill(p.residual, 40, 24);
    fill(p.dy, 40, 25);
    ref_dropout(device, dx, p.dy, 40, p.drop);
    ref_add_scaled(device, dx, p.dy, 0.5f, 40);
    check("dropout dx", dropout_loss, &p, p.x, dx, 40, 1e-9);
    check("residual", dropout_loss, &p, p.residual, p.dy, 40, 1e-9);
}

/* ---- head
 * -------------------------------------------------------------------------------------------------------- */

enum { H_ROWS = 6, H_HIDDEN = 4, H_VOCAB = 9 };

struct head_problem {
    struct head_shape shape;
    int32_t targets[H_ROWS];
    double x[H_ROWS * H_HIDDEN], w[H_VOCAB * H_HIDDEN];
};

static double head_loss_total(const void *problem) {
    const struct head_problem *p = problem;
    double nll[H_ROWS], lse[H_ROWS], mean[H_ROWS], total = 0.0;
    ref_head_loss(device, nll, lse, mean, NULL, NULL, NULL, p->x, p->w, p->targets, &p->shape, NULL);
    const double eps = (double)p->shape.label_smoothing, z = (double)p->shape.z_coeff;
    for (int r = 0; r < H_ROWS; r++)
        total += (1.0 - eps) * nll[r] + eps * (lse[r] - mean[r]) + z * lse[r] * lse[r];
    return (double)p->shape.grad_scale * total;
}

static void head_gradient(void **state) {
    (void)state;
    static const struct {
        const char *dx, *dw;
        float smoothing, z;
    } cases[] = {{"cross-entropy dx", "cross-entropy dw", 0.0f, 0.0f},
                 {"label smoothing dx", "label smoothing dw", 0.1f, 0.0f},
                 {"smoothing and z-loss dx", "smoothing and z-loss dw", 0.1f, 0.05f}};
    for (int i = 0; i < COUNT(cases); i++) {
        struct head_problem p = {.shape = {H_ROWS, H_HIDDEN, H_VOCAB, cases[i].smoothing, cases[i].z, 0.2f},
                                 .targets = {3, 0, -1, 8, 3, 5}};
        double nll[H_ROWS], lse[H_ROWS], mean[H_ROWS], dx[H_ROWS * H_HIDDEN], dw[H_VOCAB * H_HIDDEN] = {0};
        fill(p.x, COUNT(p.x), 26);
        fill(p.w, COUNT(p.w), 27);
        ref_head_loss(device, nll, lse, mean, NULL, dx, dw, p.x, p.w, p.targets, &p.shape, NULL);
        check(cases[i].dx, head_loss_total, &p, p.x, dx, COUNT(dx), 1e-8);
        check(cases[i].dw, head_loss_total, &p, p.w, dw, COUNT(dw), 1e-8);
    }
}

/* ---- router
 * ------------------------------------------------------------------------------------------------------ */

enum { R_ROWS = 7, R_HIDDEN = 5, R_EXPERTS = 6 };

struct router_problem {
    struct router_shape shape;
    double x[R_ROWS * R_HIDDEN], w[R_EXPERTS * R_HIDDEN], select_bias[R_EXPERTS];
    double dweight[R_ROWS * R_EXPERTS], prob_grad[R_EXPERTS];
    float z_grad;
    int32_t index[R_ROWS * R_EXPERTS]; /* chosen without perturbation */
};

struct router_outputs {
    double logits[R_ROWS * R_EXPERTS], prob[R_ROWS * R_EXPERTS], weight[R_ROWS * R_EXPERTS];
    int32_t index[R_ROWS * R_EXPERTS], load[R_EXPERTS];
    double mass[R_EXPERTS], entropy, z;
};

static void router_run(const struct router_problem *p, struct router_outputs *o) {
    ref_router_forward(device, o->logits, o->prob, o->index, o->weight, o->load, o->mass, &o->entropy, &o->z,
                       p->x, p->w, p->select_bias, &p->shape);
}

/* The three terms of router_backward's loss, from what router_forward reports. */
static double router_loss(const void *problem) {
    const struct router_problem *p = problem;
    const int64_t slots = p->shape.rows * p->shape.top_k;
    struct router_outputs o;
    router_run(p, &o);
    assert_memory_equal(o.index, p->index,
                        (size_t)slots * sizeof *o.index); /* the loss is smooth where we look */
    return ref_dot(o.weight, p->dweight, slots) + ref_dot(o.mass, p->prob_grad, R_EXPERTS) +
           (double)p->z_grad * o.z;
}

struct router_gradient_case {
    const char *dx, *dw;
    enum router_kind kind;
    int32_t top_k;
    float temperature;
    bool renormalize;
    float eps, balance, z;
    double limit;
};

static void router_gradient(void **state) {
    (void)state;
    static const struct router_gradient_case cases[] = {
        {"router softmax top-1 dx", "router softmax top-1 dw", ROUTER_SOFTMAX, 1, 1.0f, false, 0.0f, 0.0f,
         0.0f, 1e-8},
        {"router softmax top-2 renorm. dx", "router softmax top-2 renorm. dw", ROUTER_SOFTMAX, 2, 0.7f, true,
         1e-6f, 0.0f, 0.0f, 1e-8},
        {"router softmax, balance and z dx", "router softmax, balance and z dw", ROUTER_SOFTMAX, 3, 0.5f,
         false, 0.0f, 1.0f, 0.1f, 1e-8},
        {"router sigmoid top-3 renorm. dx", "router sigmoid top-3 renorm. dw", ROUTER_SIGMOID, 3, 1.0f, true,
         1e-2f, 1.0f, 0.1f, 1e-8},
        {"router sigmoid, balance only dx", "router sigmoid, balance only dw", ROUTER_SIGMOID, 6, 1.3f, false,
         0.0f, 1.0f, 0.0f, 1e-8},
        /* gradients of the size of eps: the differences themselves keep six digits */
        {"router sigmoid top-1 renorm. dx", "router sigmoid top-1 renorm. dw", ROUTER_SIGMOID, 1, 1.0f, true,
         1e-6f, 0.0f, 0.0f, 1e-5},
        {"router softmax top-1 renorm. dx", "router softmax top-1 renorm. dw", ROUTER_SOFTMAX, 1, 1.0f, true,
         1e-6f, 0.0f, 0.0f, 1e-5},
    };
    for (int i = 0; i < COUNT(cases); i++) {
        const struct router_gradient_case *c = &cases[i];
        struct router_problem p = {.shape = {R_ROWS, R_HIDDEN, R_EXPERTS, c->top_k, c->kind, c->temperature,
                                             c->renormalize, c->eps, 1.7f},
                                   .z_grad = c->z};
        struct router_outputs o;
        double dx[R_ROWS * R_HIDDEN] = {0}, dw[R_EXPERTS * R_HIDDEN] = {0}, dlogits[R_ROWS * R_EXPERTS];
        fill(p.x, COUNT(p.x), 28);
        fill(p.w, COUNT(p.w), 29);
        fill(p.select_bias, R_EXPERTS, 30);
        fill(p.dweight, COUNT(p.dweight), 31);
        fill(p.prob_grad, R_EXPERTS, 32);
        for (int e = 0; e < R_EXPERTS; e++)
            p.prob_grad[e] *= (double)c->balance;
        router_run(&p, &o);
        memcpy(p.index, o.index, sizeof o.index);
        ref_router_backward(device, dx, dw, dlogits, p.dweight, c->balance != 0.0f ? p.prob_grad : NULL,
                            p.z_grad, o.logits, o.prob, o.index, p.x, p.w, &p.shape);
        check(c->dx, router_loss, &p, p.x, dx, COUNT(dx), c->limit);
        check(c->dw, router_loss, &p, p.w, dw, COUNT(dw), c->limit);
    }
}

/* ---- gather and combine
 * ------------------------------------------------------------------------------------------ */

enum { M_ROWS = 6, M_K = 2, M_EXPERTS = 3, M_HIDDEN = 4, M_SLOTS = M_ROWS * M_K };

struct mixture_problem {
    int32_t offsets[M_EXPERTS + 1], position[M_SLOTS], source[M_SLOTS];
    double x[M_ROWS * M_HIDDEN], y[M_SLOTS * M_HIDDEN], weight[M_SLOTS], dout[M_SLOTS * M_HIDDEN];
};

static double gather_loss(const void *problem) {
    const struct mixture_problem *p = problem;
    double y[M_SLOTS * M_HIDDEN] = {0};
    ref_gather(device, y, p->x, p->source, p->offsets, M_EXPERTS, M_SLOTS, M_HIDDEN);
    return ref_dot(y, p->dout, COUNT(y));
}

static double combine_loss(const void *problem) {
    const struct mixture_problem *p = problem;
    double out[M_ROWS * M_HIDDEN];
    ref_combine(device, out, p->y, p->weight, p->position, M_ROWS, M_K, M_HIDDEN, false);
    return ref_dot(out, p->dout, COUNT(out));
}

static void gather_and_combine_gradient(void **state) {
    (void)state;
    struct mixture_problem p = {0};
    static const int32_t index[M_SLOTS] = {0, 1, 0, 2, 0, 1, 1, 0, 2, 0, 0, 2};
    const struct route_shape shape = {M_ROWS, M_EXPERTS, M_K, 3, DROP_BY_WEIGHT};
    int32_t dropped[M_EXPERTS];
    double dx[M_ROWS * M_HIDDEN], dy[M_SLOTS * M_HIDDEN] = {0}, dweight[M_SLOTS];
    fill(p.x, COUNT(p.x), 33);
    fill(p.y, COUNT(p.y), 34);
    fill(p.weight, M_SLOTS, 35);
    fill(p.dout, COUNT(p.dout), 36);
    ref_route(device, p.offsets, p.position, p.source, dropped, index, p.weight, p.weight, &shape);
    assert_int_equal(dropped[0],
                     3); /* six slots of expert 0, three places: dropped slots are part of the problem */
    ref_gather_backward(device, dx, p.dout, p.position, M_ROWS, M_K, M_HIDDEN, false);
    check("gather dx", gather_loss, &p, p.x, dx, COUNT(dx), 1e-9);
    ref_combine_backward(device, dy, dweight, p.dout, p.y, p.weight, p.position, M_ROWS, M_K, M_HIDDEN);
    check("combine dy", combine_loss, &p, p.y, dy, COUNT(dy), 1e-9);
    check("combine dweight", combine_loss, &p, p.weight, dweight, M_SLOTS, 1e-9);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_gradient),
        cmocka_unit_test(grouped_linear_gradient),
        cmocka_unit_test(embedding_gradient),
        cmocka_unit_test(norm_gradient),
        cmocka_unit_test(attention_gradient),
        cmocka_unit_test(rope_gradient),
        cmocka_unit_test(activation_gradient),
        cmocka_unit_test(dropout_gradient),
        cmocka_unit_test(head_gradient),
        cmocka_unit_test(router_gradient),
        cmocka_unit_test(gather_and_combine_gradient),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
