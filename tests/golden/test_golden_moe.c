/* test: rooms=nn,model label=fast */
#include "golden.h"

#include "nn/moe.h"

/* The MoE layer against the sparse block of OLMoE and the MoE block of DeepSeek-V3, and the balance loss
 * against OLMoE's, as Hugging Face transformers computes them (make_moe_golden.py): chosen experts, combine
 * weights, output, every gradient. */

#define LIMIT_FORWARD  2e-6
#define LIMIT_GRADIENT 3e-6 /* transformers in float32 is off by up to 1e-6 on these blocks */
#define NOISE          1e-6 /* of a router's gradient that is rounding only, as a share of what it could be */

#define PREFIX "blocks.0.moe"
#define ROUTER PREFIX ".router.weight"

/* One block with the parameters of a file. */
struct layer {
    struct golden golden;
    struct params params;
    struct moe moe;
    struct routing routing;
    struct nn_pass pass;
    void *kept, *scratch;
    float *x, *y, *dx, *dy; /* [rows, D] */
};

static void plan(struct layer *l, struct nn_memory *memory) {
    moe_plan(&l->moe, memory, (struct nn_limits){.max_batch = l->pass.batch, .max_seq = l->pass.seq});
    routing_plan(&l->routing, memory);
}

static void plan_memory(struct layer *l) {
    const struct backend *be = l->golden.ops;
    struct nn_memory memory = {
        .kept = arena_measure(), .scratch = arena_measure(), .act_size = sizeof(float)};
    plan(l, &memory);
    const size_t kept = memory.kept.peak, scratch = memory.scratch.peak;
    assert_int_equal(be->alloc(l->golden.dev, kept, &l->kept, NULL), MOE_OK);
    assert_int_equal(be->alloc(l->golden.dev, scratch, &l->scratch, NULL), MOE_OK);
    memory.kept = arena_over(l->kept, kept);
    memory.scratch = arena_over(l->scratch, scratch);
    plan(l, &memory);
}

static void set_parameters(struct layer *l) {
    for (int32_t i = 0; i < l->params.count; i++) {
        const struct param *p = &l->params.items[i];
        const struct safetensors_tensor *tensor = golden_find(&l->golden, "param", p->name);
        assert_int_equal(tensor->rank, p->rank);
        assert_memory_equal(tensor->shape, p->shape, (size_t)p->rank * sizeof *p->shape);
        float *values = golden_floats(&l->golden, "param", p->name);
        params_set(&l->params, i, values);
        free(values);
    }
}

static void set_selection_bias(struct layer *l) {
    if (l->moe.set.router != ROUTER_SIGMOID) return;
    float *bias = golden_floats(&l->golden, "select_bias", NULL);
    memcpy(l->routing.host.bias, bias, (size_t)l->moe.set.experts * sizeof *bias);
    free(bias);
    l->routing.with_select = true;
    routing_select(&l->routing, l->golden.dev, 0.0f, 1, 1);
}

static void open_layer(struct layer *l, const char *file, const char *device, struct moe_settings settings) {
    const struct linear_init init = {.pytorch = true};
    memset(l, 0, sizeof *l);
    golden_open(&l->golden, file, device);
    settings.experts = (int32_t)golden_dim(&l->golden, "param", ROUTER, 0);
    settings.hidden = (int32_t)golden_dim(&l->golden, "x", NULL, 2);
    settings.intermediate = (int32_t)golden_dim(&l->golden, "param", PREFIX ".experts.fc2.weight", 2);
    settings.shared *= settings.intermediate;
    settings.shared_name = "shared";
    settings.shared_scale = 1;
    assert_int_equal(moe_declare(&l->moe, &l->params, PREFIX, &settings, init, NULL), MOE_OK);
    assert_int_equal(params_allocate(&l->params, l->golden.dev, true, NULL), MOE_OK);
    assert_int_equal(routing_create(&l->routing, 1, settings.experts, NULL), MOE_OK);
    l->pass = (struct nn_pass){
        .dev = l->golden.dev,
        .params = &l->params,
        .batch = golden_dim(&l->golden, "x", NULL, 0),
        .seq = golden_dim(&l->golden, "x", NULL, 1),
        .training = true,
    };
    l->pass.rows = l->pass.batch * l->pass.seq;
    plan_memory(l);
    set_parameters(l);
    set_selection_bias(l);
    l->x = golden_upload(&l->golden, "x", NULL);
    l->dy = golden_upload(&l->golden, "dy", NULL);
    l->y = golden_zeros(&l->golden, l->pass.rows * settings.hidden);
    l->dx = golden_zeros(&l->golden, l->pass.rows * settings.hidden);
}

static void close_layer(struct layer *l, const char *title) {
    l->golden.ops->release(l->golden.dev, l->kept);
    l->golden.ops->release(l->golden.dev, l->scratch);
    routing_free(&l->routing);
    params_free(&l->params);
    golden_close(&l->golden, title);
}

/* A router whose only weight is divided by itself learns nothing: its gradient is zero but for rounding, in
 * transformers as here, and held to the size it has when the weight is not divided. */
static void expect_noise(struct layer *l, const char *case_name, const float *device_gradient) {
    struct golden *g = &l->golden;
    char first[32];
    snprintf(first, sizeof first, "%s.grad", case_name);
    const int64_t count = golden_find(g, first, ROUTER)->count;
    float *theirs = golden_floats(g, first, ROUTER), *raw = golden_floats(g, "k1_raw.grad", ROUTER);
    float *ours = malloc((size_t)count * sizeof *ours);
    g->ops->download(g->dev, ours, device_gradient, (size_t)count * sizeof *ours);
    assert_true(golden_rms(raw, count) > 0.1);
    assert_true(golden_rms(theirs, count) < NOISE * golden_rms(raw, count));
    assert_true(golden_rms(ours, count) < NOISE * golden_rms(raw, count));
    free(ours);
    free(raw);
    free(theirs);
}

static void check_gradients(struct layer *l, const char *case_name, bool router_learns) {
    char first[32];
    snprintf(first, sizeof first, "%s.grad", case_name);
    for (int32_t i = 0; i < l->params.count; i++) {
        const char *name = l->params.items[i].name;
        if (i == l->moe.router && !router_learns)
            expect_noise(l, case_name, params_grad(&l->params, i));
        else
            golden_expect(&l->golden, first, name, params_grad(&l->params, i), LIMIT_GRADIENT);
    }
}

static void run_case(const char *file, const char *device, const char *case_name,
                     struct moe_settings settings) {
    struct layer l;
    char title[64];
    snprintf(title, sizeof title, "%s %s", file, case_name);
    open_layer(&l, file, device, settings);
    moe_forward(&l.moe, &l.pass, &l.routing, l.y, l.x, false);
    golden_expect_ints(&l.golden, case_name, "index", l.moe.index);
    golden_expect_ints(&l.golden, case_name, "load", l.routing.load);
    golden_expect(&l.golden, case_name, "weight", l.moe.weight, LIMIT_FORWARD);
    golden_expect(&l.golden, case_name, "y", l.y, LIMIT_FORWARD);
    moe_backward(&l.moe, &l.pass, &l.routing, 1.0, l.dx, l.dy, l.x, false);
    golden_expect(&l.golden, case_name, "dx", l.dx, LIMIT_GRADIENT);
    check_gradients(&l, case_name, !settings.renormalize || settings.top_k > 1);
    close_layer(&l, title);
}

static void run_cases(const char *file, struct moe_settings settings) {
    static const struct {
        const char *name;
        int32_t top_k;
        bool renormalize;
    } cases[] = {
        {"k1_raw", 1, false}, {"k1_sum1", 1, true}, {"k2_raw", 2, false},
        {"k2_sum1", 2, true}, {"k4_raw", 4, false}, {"k4_sum1", 4, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        settings.top_k = cases[i].top_k;
        settings.renormalize = cases[i].renormalize;
        run_case(file, "reference", cases[i].name, settings);
        run_case(file, "cpu", cases[i].name, settings);
    }
}

static void olmoe_block(void **state) {
    (void)state;
    run_cases("moe_block_olmoe", (struct moe_settings){.activation = ACTIVATION_SWIGLU,
                                                       .router = ROUTER_SOFTMAX,
                                                       .weight_scale = 1.0f});
}

static void deepseek_v3_block(void **state) {
    (void)state;
    run_cases("moe_block_deepseek", (struct moe_settings){.activation = ACTIVATION_SWIGLU,
                                                          .router = ROUTER_SIGMOID,
                                                          .shared = 2,
                                                          .renormalize_eps = 1e-20f,
                                                          .weight_scale = 1.0f});
}

/* Routers of several layers and nothing else, for the balance loss over all of them. */
#define BALANCE_LAYERS 3

struct routers {
    struct golden golden;
    struct routing routing;
    void *kept;
    struct router_shape shape;
    float *x[BALANCE_LAYERS], *w[BALANCE_LAYERS];         /* [rows, D], [E, D] */
    float *logits[BALANCE_LAYERS], *prob[BALANCE_LAYERS]; /* [rows, E] */
    int32_t *index[BALANCE_LAYERS];                       /* [rows, K] */
    float *weight, *d_weight, *d_logits;                  /* [rows, K] twice, [rows, E] */
};

static const char *const layer_names[BALANCE_LAYERS] = {"0", "1", "2"};

static void open_routers(struct routers *r, const char *device, int32_t top_k) {
    struct golden *g = &r->golden;
    memset(r, 0, sizeof *r);
    golden_open(g, "moe_balance", device);
    r->shape = (struct router_shape){
        .rows = golden_dim(g, "x", "0", 0),
        .hidden = (int32_t)golden_dim(g, "x", "0", 1),
        .experts = (int32_t)golden_dim(g, "w", "0", 0),
        .top_k = top_k,
        .kind = ROUTER_SOFTMAX,
        .temperature = 1,
        .weight_scale = 1,
    };
    const int64_t rows = r->shape.rows, experts = r->shape.experts;
    for (int l = 0; l < BALANCE_LAYERS; l++) {
        r->x[l] = golden_upload(g, "x", layer_names[l]);
        r->w[l] = golden_upload(g, "w", layer_names[l]);
        r->logits[l] = golden_zeros(g, rows * experts);
        r->prob[l] = golden_zeros(g, rows * experts);
        r->index[l] = golden_zeros(g, rows * top_k);
    }
    r->weight = golden_zeros(g, rows * top_k);
    r->d_weight = golden_zeros(g, rows * top_k);
    r->d_logits = golden_zeros(g, rows * experts);
    struct nn_memory memory = {
        .kept = arena_measure(), .scratch = arena_measure(), .act_size = sizeof(float)};
    assert_int_equal(routing_create(&r->routing, BALANCE_LAYERS, (int32_t)experts, NULL), MOE_OK);
    r->routing.group[0].top_k = top_k;
    routing_plan(&r->routing, &memory);
    const size_t kept = memory.kept.peak;
    assert_int_equal(g->ops->alloc(g->dev, kept, &r->kept, NULL), MOE_OK);
    memory.kept = arena_over(r->kept, kept);
    routing_plan(&r->routing, &memory);
}

static void route_all_layers(struct routers *r) {
    const struct routing *routing = &r->routing;
    for (int l = 0; l < BALANCE_LAYERS; l++) {
        const int32_t at = l * r->shape.experts;
        r->golden.ops->router_forward(r->golden.dev, r->logits[l], r->prob[l], r->index[l], r->weight,
                                      routing->load + at, routing->prob_mass + at, routing->entropy + l,
                                      routing->z + l, r->x[l], r->w[l], NULL, &r->shape);
    }
    routing_download(&r->routing, r->golden.dev);
}

/* The balance loss in transformers' scale: there f_e is a share of tokens and adds up to K, here of slots. */
static double balance(struct routers *r, bool pooled) {
    const struct balance_settings settings = {.lb_coeff = (float)r->shape.top_k, .pooled = pooled};
    routing_balance_gradient(&r->routing, r->golden.dev, &settings, r->shape.rows, 1.0);
    return routing_balance(&r->routing, &settings, r->shape.rows).aux;
}

static void run_balance(const char *device, const char *case_name, int32_t top_k) {
    struct routers r;
    char title[32], dx_name[16], dw_name[16];
    open_routers(&r, device, top_k);
    struct golden *g = &r.golden;
    route_all_layers(&r);
    golden_expect_double(g, case_name, "per_layer", balance(&r, false), LIMIT_FORWARD);
    golden_expect_double(g, case_name, "pooled", balance(&r, true), LIMIT_FORWARD);
    snprintf(title, sizeof title, "balance %s", case_name);
    snprintf(dx_name, sizeof dx_name, "%s.dx", case_name);
    snprintf(dw_name, sizeof dw_name, "%s.dw", case_name);
    for (int l = 0; l < BALANCE_LAYERS; l++) {
        float *dx = golden_zeros(g, r.shape.rows * r.shape.hidden);
        float *dw = golden_zeros(g, (int64_t)r.shape.experts * r.shape.hidden);
        g->ops->router_backward(g->dev, dx, dw, r.d_logits, r.d_weight,
                                r.routing.prob_grad + l * r.shape.experts, 0.0f, r.logits[l], r.prob[l],
                                r.index[l], r.x[l], r.w[l], &r.shape);
        golden_expect(g, dx_name, layer_names[l], dx, LIMIT_GRADIENT);
        golden_expect(g, dw_name, layer_names[l], dw, LIMIT_GRADIENT);
    }
    g->ops->release(g->dev, r.kept);
    routing_free(&r.routing);
    golden_close(g, title);
}

static void balance_loss(void **state) {
    (void)state;
    static const char *const devices[] = {"reference", "cpu"};
    for (int i = 0; i < 2; i++) {
        run_balance(devices[i], "k1", 1);
        run_balance(devices[i], "k2", 2);
        run_balance(devices[i], "k4", 4);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(olmoe_block),
        cmocka_unit_test(deepseek_v3_block),
        cmocka_unit_test(balance_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
