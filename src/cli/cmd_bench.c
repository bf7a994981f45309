#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "device/backend.h"
#include "train/bench.h"
#include "train/bench_gpu.h"

#define MAX_SETS 32

enum { KEY_DEVICE = 512, KEY_TIER, KEY_EXPERIMENT, KEY_SET, KEY_MATRIX };

struct bench_arguments {
    const char *what;
    long long threads, rounds, matrix;
    bool json;
    const char *device, *tier;
    const char *experiments[BENCH_GPU_MODELS], *sets[MAX_SETS];
    int32_t experiment_count, set_count;
    moe_err *err;
};

static const struct argp_option options[] = {
    {"threads", 'j', "N", 0, "CPU threads (default: all cores)", 0},
    {"rounds", 'r', "N", 0, "rounds, of one step of every model each (default: 7)", 0},
    {"format", 'f', "text|json", 0, "how to print (default: text)", 0},
    {NULL, 0, NULL, 0, "Of gpu:", 1},
    {"device", KEY_DEVICE, "NAME", 0, "cuda, cuda:fp32 or cpu (default: cuda)", 1},
    {"tier", KEY_TIER, "NAME", 0, "size of the models (default: full)", 1},
    {"experiment", KEY_EXPERIMENT, "SUITE/NAME", 0,
     "a model to train, a suite's dense one first; may be repeated (default: sources A's and D's)", 1},
    {"set", KEY_SET, "KEY=VALUE", 0, "override one configuration key; may be repeated", 1},
    {"matrix", KEY_MATRIX, "N", 0, "edge of the square products that are the yardstick (default: 8192)", 1},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
    struct bench_arguments *a = state->input;
    switch (key) {
    case 'j':
        return cli_integer("--threads", arg, 1, 1024, &a->threads, a->err) == MOE_OK ? 0 : EINVAL;
    case 'r':
        return cli_integer("--rounds", arg, 1, BENCH_MAX_ROUNDS, &a->rounds, a->err) == MOE_OK ? 0 : EINVAL;
    case 'f':
        if (strcmp(arg, "json") != 0 && strcmp(arg, "text") != 0)
            argp_error(state, "--format is text or json");
        a->json = strcmp(arg, "json") == 0;
        return 0;
    case KEY_DEVICE:
        a->device = arg;
        return 0;
    case KEY_TIER:
        a->tier = arg;
        return 0;
    case KEY_EXPERIMENT:
        if (a->experiment_count == BENCH_GPU_MODELS)
            argp_error(state, "at most %d experiments", BENCH_GPU_MODELS);
        a->experiments[a->experiment_count++] = arg;
        return 0;
    case KEY_SET:
        if (a->set_count == MAX_SETS) argp_error(state, "at most %d --set", MAX_SETS);
        a->sets[a->set_count++] = arg;
        return 0;
    case KEY_MATRIX:
        return cli_integer("--matrix", arg, 64, 65536, &a->matrix, a->err) == MOE_OK ? 0 : EINVAL;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0 ||
            (strcmp(arg, "gemm") != 0 && strcmp(arg, "step") != 0 && strcmp(arg, "gpu") != 0)) {
            argp_error(state, "gemm, step or gpu");
        }
        a->what = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void print_gemms(const struct bench_gemms *g, bool json) {
    if (json) printf("{\"threads\":%d,\"fma_gflops\":%.1f,\"products\":[", g->threads, g->fma_gflops);
    if (!json) {
        printf("%s, %d threads; fused multiply-add peak %.0f GFLOP/s\n\n", device_cpu_blas(), g->threads,
               g->fma_gflops);
        printf("%-24s %6s %6s %6s %9s %8s\n", "product", "m", "n", "k", "GFLOP/s", "of peak");
    }
    for (int i = 0; i < g->count; i++) {
        const struct bench_gemm *x = &g->items[i];
        printf(json ? "%s{\"what\":\"%s\",\"m\":%lld,\"n\":%lld,\"k\":%lld,\"gflops\":%.1f,\"of_fma\":%.3f}"
                    : "%s%-24s %6lld %6lld %6lld %9.0f %7.0f%%\n",
               json && i > 0 ? "," : "", x->what, (long long)x->m, (long long)x->n, (long long)x->k,
               x->gflops, json ? x->of_fma : 100 * x->of_fma);
    }
    printf(json ? "],\"total_gflops\":%.1f}\n" : "\nall products of a dense step: %.0f GFLOP/s\n",
           g->total_gflops);
}

static void print_steps_json(const struct bench_steps *s) {
    printf("{\"threads\":%d,\"rounds\":%d,\"blas\":\"%s\",\"fma_gflops\":%.1f,\"sgemm_gflops\":%.1f,"
           "\"dense_of_sgemm\":%.4f,\"statistics_share\":%.5f",
           s->threads, s->rounds, device_cpu_blas(), s->fma_gflops, s->sgemm_gflops, s->dense_of_sgemm,
           s->statistics_share);
    for (int i = 0; i < s->model_count; i++) {
        const struct bench_model *m = &s->models[i];
        printf(",\"%s\":{\"parameters\":%lld,\"active\":%lld,\"flops_per_token\":%.0f,\"tokens_per_second\":%"
               ".1f,"
               "\"gflops\":%.1f,\"of_dense\":%.4f,\"flops_ratio\":%.4f,\"forward\":%.4f,\"backward\":%.4f,"
               "\"optimizer\":%.4f}",
               m->name, (long long)m->parameters, (long long)m->active, m->flops_per_token,
               m->tokens_per_second, m->gflops, m->of_dense, m->flops_ratio, m->forward, m->backward,
               m->optimizer);
    }
    printf("}\n");
}

static void print_steps_text(const struct bench_steps *s) {
    printf("%s, %d threads, medians of %d rounds; source A's model, batch 16 x 256\n", device_cpu_blas(),
           s->threads, s->rounds);
    printf("fused multiply-add peak %.0f GFLOP/s; sgemm over a dense step's products %.0f GFLOP/s\n\n",
           s->fma_gflops, s->sgemm_gflops);
    printf("%-10s %11s %9s %8s %9s %10s %8s %8s %9s\n", "model", "parameters", "tokens/s", "GFLOP/s",
           "of dense", "FLOPs say", "forward", "backward", "optimizer");
    for (int i = 0; i < s->model_count; i++) {
        const struct bench_model *m = &s->models[i];
        printf("%-10s %11lld %9.0f %8.0f %9.3f %10.3f %7.3fs %7.3fs %8.3fs\n", m->name,
               (long long)m->parameters, m->tokens_per_second, m->gflops, m->of_dense, m->flops_ratio,
               m->forward, m->backward, m->optimizer);
    }
    printf("\ndense step / sgemm: %.3f; routing statistics: %.2f %% of a top-1 step\n", s->dense_of_sgemm,
           100 * s->statistics_share);
}

static void print_gpu_json(const struct bench_gpu *b, const char *device) {
    printf("{\"device\":\"%s\",\"rounds\":%d,\"matrix\":%d,\"matrix_tflops\":%.3f,\"models\":[", device,
           b->rounds, b->matrix, b->matrix_tflops);
    for (int i = 0; i < b->count; i++) {
        const struct bench_gpu_model *m = &b->models[i];
        printf("%s{\"name\":\"%s\",\"experts\":%d,\"top_k\":%d,\"parameters\":%lld,\"active\":%lld,"
               "\"flops_per_token\":%.0f,\"tokens\":%lld,\"tokens_per_second\":%.1f,\"tflops\":%.4f,"
               "\"of_matrix\":%.4f,\"forward\":%.6f,\"backward\":%.6f,\"optimizer\":%.6f,"
               "\"waits\":%g,\"passes\":%lld,\"plans\":%lld",
               i > 0 ? "," : "", m->name, m->experts, m->top_k, (long long)m->parameters,
               (long long)m->active, m->flops_per_token, (long long)m->tokens, m->tokens_per_second,
               m->tflops, m->of_matrix, m->forward, m->backward, m->optimizer, m->waits, (long long)m->passes,
               (long long)m->plans);
        if (m->of_dense == m->of_dense)
            printf(",\"of_dense\":%.4f,\"flops_ratio\":%.4f", m->of_dense, m->flops_ratio);
        printf("}");
    }
    printf("]}\n");
}

static void print_gpu_text(const struct bench_gpu *b, const char *device) {
    printf("device %s; medians of %d steps; square products of %d: %.3g TFLOP/s\n\n", device, b->rounds,
           b->matrix, b->matrix_tflops);
    printf("%-26s %6s %11s %11s %10s %8s %9s %9s %10s %8s %8s %9s %6s %13s\n", "model", "E:K", "parameters",
           "active", "tokens/s", "TFLOP/s", "of matrix", "of dense", "FLOPs say", "forward", "backward",
           "optimizer", "waits", "plans/passes");
    for (int i = 0; i < b->count; i++) {
        const struct bench_gpu_model *m = &b->models[i];
        char ratio[32] = "dense", of_dense[16] = "-", flops[16] = "-";
        if (m->experts > 0) snprintf(ratio, sizeof ratio, "%d:%d", m->experts, m->top_k);
        if (m->of_dense == m->of_dense) {
            snprintf(of_dense, sizeof of_dense, "%.3f", m->of_dense);
            snprintf(flops, sizeof flops, "%.3f", m->flops_ratio);
        }
        printf(
            "%-26s %6s %11lld %11lld %10.0f %8.3g %8.1f%% %9s %10s %7.3fs %7.3fs %8.3fs %6.3g %6lld/%-6lld\n",
            m->name, ratio, (long long)m->parameters, (long long)m->active, m->tokens_per_second, m->tflops,
            100 * m->of_matrix, of_dense, flops, m->forward, m->backward, m->optimizer, m->waits,
            (long long)m->plans, (long long)m->passes);
    }
}

static moe_status bench_gpu(const struct bench_arguments *a, moe_err *err) {
    moe_status status = MOE_OK;
    struct bench_gpu bench;
    const struct bench_gpu_options gpu = {
        .suites_dir = cli_suites_dir(),
        .device = a->device,
        .tier = a->tier,
        .experiments = a->experiments,
        .experiment_count = a->experiment_count,
        .sets = a->sets,
        .set_count = a->set_count,
        .threads = (int)a->threads,
        .rounds = (int)a->rounds,
        .matrix = (int32_t)a->matrix,
    };
    moe_try(bench_gpu_run(&gpu, &bench, err));
    if (a->json)
        print_gpu_json(&bench, a->device);
    else
        print_gpu_text(&bench, a->device);
out:
    return status;
}

moe_status cmd_bench(int argc, char **argv, moe_err *err) {
    moe_status status = MOE_OK;
    struct bench_arguments a = {
        .what = "step", .rounds = 7, .matrix = 8192, .device = "cuda", .tier = "full", .err = err};
    const struct argp argp = {
        options,
        parse,
        "[gemm|step|gpu]",
        "Measures this machine: gemm, the matrix products of a training step; step (the default), whole "
        "training steps of dense and MoE models against each other and against sgemm; gpu, training steps of "
        "the suites' models at full size as a share of what the GPU's matrix units reach.",
        NULL,
        NULL,
        NULL};
    moe_try(cli_parse(&argp, argc, argv, &a, err));
    const struct bench_options bench = {.threads = (int)a.threads, .rounds = (int)a.rounds};
    if (strcmp(a.what, "gpu") == 0) {
        moe_try(bench_gpu(&a, err));
    } else if (strcmp(a.what, "gemm") == 0) {
        struct bench_gemms gemms;
        moe_try(bench_gemms_run(&bench, &gemms, err));
        print_gemms(&gemms, a.json);
    } else {
        struct bench_steps steps;
        moe_try(bench_steps_run(&bench, &steps, err));
        if (a.json) {
            print_steps_json(&steps);
        } else {
            print_steps_text(&steps);
        }
    }
out:
    return status;
}
