/* test: rooms=device label=fast */
/* Noisy top-k gates and mixtures of the reference backend, in double: gradients against finite differences,
 * the load estimate against the frequency that it estimates, formulas against what they say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gradient_check.h"

enum { ROWS = 12, EXPERTS = 6, GATES = 3, CELLS = ROWS * EXPERTS, SUMS = GATE_SUMS * GATES * EXPERTS };

struct gate_problem {
    struct gate_shape shape;
    double clean[CELLS], spread[CELLS], scale[ROWS];
    double dweight[CELLS], dgates[CELLS], dsums[SUMS];
    bool scaled, from_weight, from_gates, from_sums;
    int32_t index[CELLS]; /* chosen without perturbation */
};

struct gate_outputs {
    double scores[CELLS], gates[CELLS], weight[CELLS], sums[SUMS], entropy[2 * GATES];
    int32_t index[CELLS], counts[GATE_COUNTS * GATES * EXPERTS];
};

static void gate_run(const struct gate_problem *p, struct gate_outputs *o) {
    memset(o, 0, sizeof *o);
    ref_gate_forward(device, o->scores, o->gates, o->index, o->weight, o->counts, o->sums, o->entropy,
                     p->clean, p->spread, p->scaled ? p->scale : NULL, &p->shape);
}

static double gate_loss(const void *problem) {
    const struct gate_problem *p = problem;
    const struct gate_shape *s = &p->shape;
    struct gate_outputs o;
    gate_run(p, &o);
    assert_memory_equal(o.index, p->index, sizeof o.index); /* the loss is smooth where we look */
    double loss = 0.0;
    if (p->from_weight) loss += ref_dot(o.weight, p->dweight, s->rows * s->top_k);
    if (p->from_gates) loss += ref_dot(o.gates, p->dgates, s->rows * s->experts);
    if (p->from_sums) loss += ref_dot(o.sums, p->dsums, GATE_SUMS * (int64_t)s->gates * s->experts);
    return loss;
}

static struct gate_problem gate_problem_of(enum gate_kind kind, int32_t experts, int32_t top_k, int32_t gates,
                                           bool noisy) {
    struct gate_problem p = {.shape = {.rows = ROWS,
                                       .experts = experts,
                                       .top_k = top_k,
                                       .gates = gates,
                                       .kind = kind,
                                       .noisy = noisy,
                                       .noise_scale = kind == GATE_TOP_K_SOFTMAX ? 1.0f : 0.75f,
                                       .noise_epsilon = kind == GATE_SOFTMAX_TOP_K ? 0.01f : 0.0f,
                                       .renormalize_eps = kind == GATE_SOFTMAX_TOP_K ? 1e-6f : 0.0f,
                                       .key = {.seed = 5, .stream = RNG_ROUTER_NOISE, .step = 2},
                                       .first = 1000},
                             .from_weight = true,
                             .from_sums = true};
    struct gate_outputs o;
    fill(p.clean, CELLS, 1);
    fill(p.spread, CELLS, 2);
    fill(p.scale, ROWS, 3);
    fill(p.dweight, CELLS, 4);
    fill(p.dgates, CELLS, 5);
    fill(p.dsums, SUMS, 6);
    for (int r = 0; r < ROWS; r++)
        p.scale[r] = 0.2 + fabs(p.scale[r]);
    gate_run(&p, &o);
    memcpy(p.index, o.index, sizeof o.index);
    return p;
}

/* Each way in which a loss may depend on a gate, for every kind; load estimates alone too. */
static void gate_gradient(void **state) {
    (void)state;
    static const struct {
        const char *name;
        enum gate_kind kind;
        int32_t experts, top_k, gates;
        bool noisy, scaled, weight, whole, sums;
    } cases[] = {
        {"top-k softmax, weights", GATE_TOP_K_SOFTMAX, 6, 3, 1, true, false, true, false, false},
        {"top-k softmax, load", GATE_TOP_K_SOFTMAX, 6, 3, 1, true, false, false, false, true},
        {"top-k softmax, all", GATE_TOP_K_SOFTMAX, 6, 2, 3, true, true, true, true, true},
        {"top-k softmax, k = E", GATE_TOP_K_SOFTMAX, 2, 2, 3, true, true, true, false, true},
        {"top-k softmax, no noise", GATE_TOP_K_SOFTMAX, 6, 3, 1, false, false, true, false, true},
        {"softmax top-k, weights", GATE_SOFTMAX_TOP_K, 6, 3, 1, true, false, true, false, false},
        {"softmax top-k, load", GATE_SOFTMAX_TOP_K, 6, 3, 1, true, false, false, false, true},
        {"softmax top-k, all", GATE_SOFTMAX_TOP_K, 6, 2, 3, true, true, true, true, true},
        {"softmax top-k, k = E", GATE_SOFTMAX_TOP_K, 2, 2, 3, true, true, true, false, true},
        {"softmax top-k, no noise", GATE_SOFTMAX_TOP_K, 6, 3, 1, false, false, true, false, true},
        {"by chance, all", GATE_BY_CHANCE, 6, 2, 1, true, false, true, true, true},
        {"by chance, scaled", GATE_BY_CHANCE, 2, 2, 3, true, true, true, false, true},
        {"by chance, no noise", GATE_BY_CHANCE, 6, 2, 1, false, false, true, false, true},
    };
    for (int i = 0; i < COUNT(cases); i++) {
        struct gate_problem p =
            gate_problem_of(cases[i].kind, cases[i].experts, cases[i].top_k, cases[i].gates, cases[i].noisy);
        struct gate_outputs o;
        double dclean[CELLS], dspread[CELLS], dscale[ROWS];
        p.scaled = cases[i].scaled;
        p.from_weight = cases[i].weight, p.from_gates = cases[i].whole, p.from_sums = cases[i].sums;
        gate_run(&p, &o);
        memcpy(p.index, o.index, sizeof o.index);
        ref_gate_backward(device, dclean, dspread, dscale, p.from_weight ? p.dweight : NULL,
                          p.from_gates ? p.dgates : NULL, p.from_sums ? p.dsums : NULL, o.scores, p.clean,
                          p.spread, p.scaled ? p.scale : NULL, &p.shape);
        const int64_t cells = p.shape.rows * p.shape.experts;
        print_message("%s\n", cases[i].name);
        check("    d clean", gate_loss, &p, p.clean, dclean, cells, 1e-8);
        if (p.shape.noisy && p.shape.kind != GATE_BY_CHANCE)
            check("    d spread", gate_loss, &p, p.spread, dspread, cells, 1e-8);
        else
            for (int64_t j = 0; j < cells; j++)
                assert_true(dspread[j] == 0.0);
        if (p.scaled) check("    d scale", gate_loss, &p, p.scale, dscale, p.shape.rows, 1e-8);
    }
}

/* A row of scale 0 is as good as absent. */
static void rows_of_scale_0_choose_nothing(void **state) {
    (void)state;
    struct gate_problem p = gate_problem_of(GATE_TOP_K_SOFTMAX, 6, 2, 1, true);
    struct gate_outputs with, without;
    double dclean[CELLS], dspread[CELLS], dscale[ROWS];
    p.scaled = true;
    p.scale[ROWS - 1] = 0.0;
    gate_run(&p, &with);
    p.shape.rows = ROWS - 1;
    gate_run(&p, &without);
    assert_memory_equal(with.counts, without.counts, sizeof with.counts);
    assert_memory_equal(with.sums, without.sums, sizeof with.sums);
    assert_memory_equal(with.entropy, without.entropy, sizeof with.entropy);
    p.shape.rows = ROWS;
    for (int64_t k = (ROWS - 1) * 2; k < ROWS * 2; k++) {
        assert_int_equal(with.index[k], -1);
        assert_true(with.weight[k] == 0.0);
    }
    ref_gate_backward(device, dclean, dspread, dscale, p.dweight, p.dgates, p.dsums, with.scores, p.clean,
                      p.spread, p.scale, &p.shape);
    for (int64_t i = (ROWS - 1) * 6; i < ROWS * 6; i++)
        assert_true(dclean[i] == 0.0 && dspread[i] == 0.0);
    assert_true(dscale[ROWS - 1] == 0.0);
}

/* Shazeer et al. 2017, equations 3 to 5 and 8 to 9, for one row written out. */
static void the_formulas_are_those_of_the_paper(void **state) {
    (void)state;
    struct gate_problem p = gate_problem_of(GATE_TOP_K_SOFTMAX, 4, 2, 1, true);
    struct gate_outputs o;
    p.shape.rows = 1;
    gate_run(&p, &o);
    double h[4], sd[4], kept = 0.0;
    for (int e = 0; e < 4; e++) {
        sd[e] = log(1.0 + exp(p.spread[e]));
        h[e] = p.clean[e] + ref_gate_noise(&p.shape, 0, e) * sd[e];
        assert_true(fabs(h[e] - o.scores[e]) < 1e-14);
    }
    int rank[4];
    for (int e = 0; e < 4; e++) {
        rank[e] = 0;
        for (int j = 0; j < 4; j++)
            rank[e] += h[j] > h[e];
        if (rank[e] < 2) kept += exp(h[e]);
    }
    for (int e = 0; e < 4; e++) {
        double others[3];
        int n = 0;
        for (int j = 0; j < 4; j++)
            if (j != e) others[n++] = h[j];
        double second = -INFINITY; /* the 2nd largest of the others */
        for (int j = 0; j < 3; j++) {
            int above = 0;
            for (int i = 0; i < 3; i++)
                above += others[i] > others[j];
            if (above == 1) second = others[j];
        }
        const double z = (p.clean[e] - second) / sd[e];
        assert_true(fabs(o.gates[e] - (rank[e] < 2 ? exp(h[e]) / kept : 0.0)) < 1e-14);
        assert_true(fabs(o.sums[GATE_LOAD * 4 + e] - 0.5 * (1.0 + erf(z / sqrt(2.0)))) < 1e-14);
    }
}

/* What P(r, e) means: drawing e's noise again, the others' kept, e is among the K largest that often. */
static void the_load_is_the_frequency_of_being_chosen(void **state) {
    (void)state;
    enum { DRAWS = 40000 };
    struct gate_problem p = gate_problem_of(GATE_TOP_K_SOFTMAX, 6, 3, 1, true);
    const struct rng_key key = {.seed = 8, .stream = RNG_TEST, .step = 1};
    struct gate_outputs o;
    p.shape.rows = 1;
    gate_run(&p, &o);
    for (int e = 0; e < 6; e++) {
        const double sd = ref_gate_deviation(&p.shape, p.spread[e]);
        int chosen = 0;
        for (int i = 0; i < DRAWS; i++) {
            const uint64_t at = 2 * (uint64_t)(e * DRAWS + i);
            const double u = ((double)rng_u32(key, at) + 0.5) * 0x1p-32;
            const double h = p.clean[e] + sd * sqrt(-2.0 * log(u)) *
                                              cos(6.283185307179586 * rng_u32(key, at + 1) * 0x1p-32);
            int above = 0;
            for (int j = 0; j < 6; j++)
                above += j != e && o.scores[j] > h;
            chosen += above < 3;
        }
        assert_true(fabs((double)chosen / DRAWS - o.sums[GATE_LOAD * 6 + e]) < 5 * 0.5 / sqrt(DRAWS));
    }
}

/* Chances come true: the second choice is used in min(1, 2 g2) of many rows, and its gate is then g2. */
static void second_choices_are_used_as_often_as_they_weigh(void **state) {
    (void)state;
    struct gate_problem p = gate_problem_of(GATE_BY_CHANCE, 6, 2, 1, true);
    struct gate_outputs o;
    double expected = 0.0, used = 0.0;
    for (uint32_t draw = 0; draw < 2000; draw++) {
        p.shape.key.step = draw;
        p.shape.noisy = false;
        gate_run(&p, &o);
        struct gate_outputs sure = o;
        p.shape.noisy = true;
        gate_run(&p, &o);
        for (int r = 0; r < ROWS; r++) {
            assert_int_equal(o.index[2 * r], sure.index[2 * r]);
            assert_true(o.weight[2 * r] == sure.weight[2 * r]);
            if (o.index[2 * r + 1] >= 0) assert_true(o.weight[2 * r + 1] == sure.weight[2 * r + 1]);
            expected += 2.0 * sure.weight[2 * r + 1];
            used += o.index[2 * r + 1] >= 0;
        }
    }
    assert_true(fabs(used - expected) < 5 * sqrt(2000 * ROWS * 0.25));
}

/* ---- mixtures
 * ---------------------------------------------------------------------------------------------------- */

enum { M_ROWS = 7, M_CLASSES = 5 };

struct loss_problem {
    struct mixture_shape shape;
    double y[M_ROWS * M_CLASSES];
    int32_t targets[M_ROWS];
};

static double mixture_total(const void *problem) {
    const struct loss_problem *p = problem;
    double nll[M_ROWS], total = 0.0;
    int32_t correct[M_ROWS];
    ref_mixture_loss(device, nll, correct, NULL, p->y, p->targets, &p->shape);
    for (int r = 0; r < M_ROWS; r++)
        total += nll[r];
    return (double)p->shape.grad_scale * total;
}

static void mixture_gradient(void **state) {
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        struct loss_problem p = {.shape = {M_ROWS, M_CLASSES, (enum mixture_loss_kind)kind, 0.25f},
                                 .targets = {0, 4, -1, 2, 2, 1, 3}};
        double nll[M_ROWS], dy[M_ROWS * M_CLASSES];
        int32_t correct[M_ROWS];
        fill(p.y, COUNT(p.y), 7);
        ref_mixture_forward(device, p.y, p.y, p.y, NULL, NULL, M_ROWS, 1, M_CLASSES);
        ref_mixture_loss(device, nll, correct, dy, p.y, p.targets, &p.shape);
        check(kind == 0 ? "mixture, -ln p" : "mixture, softmax again", mixture_total, &p, p.y, dy, COUNT(dy),
              1e-8);
    }
}

enum { M_SLOTS = 3, M_ALL = M_ROWS * M_SLOTS };

/* Some slots are of no expert; single: rows are their own only slot. */
struct mix_problem {
    double logits[M_ALL * M_CLASSES], weight[M_ALL], dy[M_ROWS * M_CLASSES];
    int32_t position[M_ALL];
    bool single;
};

static double mix_form(const void *problem) {
    const struct mix_problem *p = problem;
    double y[M_ROWS * M_CLASSES], prob[M_ALL * M_CLASSES];
    ref_mixture_forward(device, y, prob, p->logits, p->single ? NULL : p->weight,
                        p->single ? NULL : p->position, M_ROWS, p->single ? 1 : M_SLOTS, M_CLASSES);
    return ref_dot(y, p->dy, COUNT(y));
}

static void mix_gradient(void **state) {
    (void)state;
    for (int single = 0; single < 2; single++) {
        struct mix_problem p = {.single = single == 1};
        double y[M_ROWS * M_CLASSES], prob[M_ALL * M_CLASSES] = {0};
        double dlogits[M_ALL * M_CLASSES] = {0}, dweight[M_ALL] = {0};
        fill(p.logits, COUNT(p.logits), 8);
        fill(p.weight, COUNT(p.weight), 10);
        fill(p.dy, COUNT(p.dy), 9);
        for (int32_t slot = 0, used = 0; slot < M_ALL; slot++)
            p.position[slot] = slot % 4 == 2 ? -1 : used++;
        const double *weight = p.single ? NULL : p.weight;
        const int32_t *position = p.single ? NULL : p.position, slots = p.single ? 1 : M_SLOTS;
        ref_mixture_forward(device, y, prob, p.logits, weight, position, M_ROWS, slots, M_CLASSES);
        ref_mixture_backward(device, dlogits, p.single ? NULL : dweight, p.dy, prob, weight, position, M_ROWS,
                             slots, M_CLASSES);
        check(p.single ? "softmax dlogits" : "mixture dlogits", mix_form, &p, p.logits, dlogits,
              COUNT(dlogits), 1e-8);
        if (!p.single) check("mixture dweight", mix_form, &p, p.weight, dweight, COUNT(dweight), 1e-8);
    }
}

/* The least that a second softmax leaves: ln(e + 9) - 1 for ten classes, however sure the first is. */
static void a_second_softmax_has_a_floor(void **state) {
    (void)state;
    const struct mixture_shape shape = {1, 10, MIXTURE_SOFTMAX, 1.0f};
    const double sure[10] = {1.0};
    const int32_t target = 0;
    double nll = 0.0;
    int32_t correct = 0;
    ref_mixture_loss(device, &nll, &correct, NULL, sure, &target, &shape);
    assert_true(fabs(nll - (log(exp(1.0) + 9.0) - 1.0)) < 1e-14);
    assert_int_equal(correct, 1);
}

/* ---- balance losses
 * -------------------------------------------------------------------------------------- */

enum { OUTER = GATE_SUMS * GATES };

struct balance_problem {
    struct gate_balance balance;
    bool joint;
    double sums[SUMS], group_sums[OUTER];
    int32_t counts[GATE_COUNTS * GATES * EXPERTS];
};

static double balance_loss(const void *problem) {
    const struct balance_problem *p = problem;
    double loss[2] = {0}, dsums[SUMS] = {0}, group_dsums[OUTER] = {0};
    if (p->joint)
        ref_gate_balance_joint(device, group_dsums, dsums, loss, p->group_sums, p->sums, p->counts,
                               &p->balance);
    else
        ref_gate_balance(device, dsums, loss, p->sums, p->counts, &p->balance);
    return p->balance.importance * loss[0] + p->balance.load * loss[1];
}

static void balance_gradient(void **state) {
    (void)state;
    static const enum gate_kind kinds[] = {GATE_TOP_K_SOFTMAX, GATE_SOFTMAX_TOP_K, GATE_BY_CHANCE};
    for (int i = 0; i < 4; i++) {
        struct balance_problem p = {
            .balance = {GATES, EXPERTS, i < 3 ? kinds[i] : GATE_TOP_K_SOFTMAX, 0.7, 0.3, 2}, .joint = i == 3};
        double loss[2] = {0}, dsums[SUMS] = {0}, group_dsums[OUTER] = {0};
        p.balance.load = p.balance.kind == GATE_BY_CHANCE ? 0.0 : p.balance.load;
        fill(p.sums, SUMS, 11);
        fill(p.group_sums, OUTER, 12);
        for (int j = 0; j < SUMS; j++)
            p.sums[j] += 2.0;
        for (int j = 0; j < OUTER; j++)
            p.group_sums[j] += 2.0;
        for (int j = 0; j < COUNT(p.counts); j++)
            p.counts[j] = j / EXPERTS % GATES == 1 && p.joint ? 0 : 1 + j * 5 % 7; /* a group without rows */
        if (p.joint) {
            ref_gate_balance_joint(device, group_dsums, dsums, loss, p.group_sums, p.sums, p.counts,
                                   &p.balance);
            check("balance of two levels, groups", balance_loss, &p, p.group_sums, group_dsums, OUTER, 1e-9);
        } else {
            ref_gate_balance(device, dsums, loss, p.sums, p.counts, &p.balance);
        }
        check("balance", balance_loss, &p, p.sums, dsums, SUMS, 1e-9);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gate_gradient),
        cmocka_unit_test(balance_gradient),
        cmocka_unit_test(rows_of_scale_0_choose_nothing),
        cmocka_unit_test(the_formulas_are_those_of_the_paper),
        cmocka_unit_test(the_load_is_the_frequency_of_being_chosen),
        cmocka_unit_test(second_choices_are_used_as_often_as_they_weigh),
        cmocka_unit_test(mixture_gradient),
        cmocka_unit_test(mix_gradient),
        cmocka_unit_test(a_second_softmax_has_a_floor),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
