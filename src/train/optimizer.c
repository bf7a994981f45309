#include "train/optimizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CELL_SHARED = -1, CELL_ROUTER = -2 };

enum { MARK_START, MARK_END, MARKS };

static float lr_scale_of(const struct optimizer *o, const struct param *p) {
    return p->role == PARAM_EXPERT ? o->expert_lr_scale : 1.0f;
}

static void build_segments(struct optimizer *o) {
    for (int32_t i = 0; i < o->params->count; i++) {
        const struct param *p = &o->params->items[i];
        const struct adamw_segment next = {
            .offset = p->offset,
            .count = p->count,
            .lr = lr_scale_of(o, p),
            .weight_decay = (float)o->train.weight_decay,
        };
        struct adamw_segment *last = o->segment_count > 0 ? &o->segments[o->segment_count - 1] : NULL;
        if (last != NULL && last->offset + last->count == next.offset && last->lr == next.lr) {
            last->count += next.count;
        } else {
            o->segments[o->segment_count++] = next;
        }
    }
}

static void build_spans(struct optimizer *o) {
    for (int32_t i = 0; i < o->params->count; i++) {
        const struct param *p = &o->params->items[i];
        const int64_t parts = p->role == PARAM_EXPERT ? p->shape[0] : 1;
        for (int64_t e = 0; e < parts; e++) {
            o->spans[o->span_count] =
                (struct span){.offset = p->offset + e * (p->count / parts), .count = p->count / parts};
            o->span_cell[o->span_count++] = p->role == PARAM_EXPERT   ? p->moe_layer * o->experts + (int32_t)e
                                            : p->role == PARAM_ROUTER ? CELL_ROUTER
                                                                      : CELL_SHARED;
        }
    }
}

static void take_report(const struct optimizer *o, struct optimizer_report *report, struct arena *arena) {
    report->squares = arena_array(arena, double, o->span_count);
}

static moe_status create_report(struct optimizer *o, struct device *dev, moe_err *err) {
    moe_status status = MOE_OK;
    struct arena measure = arena_measure();
    take_report(o, &o->out, &measure);
    moe_try(report_create(&o->report, dev, measure.peak, 1, MARKS, err));
    struct arena host = report_slot(&o->report, 0);
    take_report(o, &o->seen, &host);
    moe_try(dev->ops->alloc(dev, measure.peak + ARENA_ALIGN, &o->device_block, err));
    struct arena device = arena_over(o->device_block, measure.peak + ARENA_ALIGN);
    take_report(o, &o->out, &device);
    o->clip_scale = arena_array(&device, float, 1);
out:
    return status;
}

moe_status optimizer_create(struct optimizer *o, const struct experiment *e, struct params *params,
                            int32_t layers, int32_t experts, moe_err *err) {
    moe_status status = MOE_OK;
    *o = (struct optimizer){.train = e->train,
                            .expert_lr_scale = (float)e->moe.expert_lr_scale,
                            .params = params,
                            .experts = experts,
                            .moe_layers = layers};
    size_t spans = 0;
    for (int32_t i = 0; i < params->count; i++) {
        spans += params->items[i].role == PARAM_EXPERT ? (size_t)params->items[i].shape[0] : 1;
    }
    o->segments = calloc(spans, sizeof *o->segments); /* no more than spans */
    o->spans = calloc(spans, sizeof *o->spans);
    o->span_cell = calloc(spans, sizeof *o->span_cell);
    o->cell_squares = calloc((size_t)layers * (size_t)experts + 1, sizeof *o->cell_squares);
    moe_check(o->segments != NULL && o->spans != NULL && o->span_cell != NULL && o->cell_squares != NULL, err,
              MOE_ENOMEM, "no memory for the optimizer's tables");
    build_segments(o);
    build_spans(o);
    moe_try(create_report(o, params->dev, err));
out:
    if (status != MOE_OK) optimizer_free(o);
    return status;
}

void optimizer_free(struct optimizer *o) {
    free(o->segments);
    free(o->spans);
    free(o->span_cell);
    free(o->cell_squares);
    if (o->report.dev != NULL) o->report.dev->ops->release(o->report.dev, o->device_block);
    report_free(&o->report);
    memset(o, 0, sizeof *o);
}

/* Where the backward pass first came to a gradient that is not finite: parameters are declared in forward
 * order, so it is the last such one. Everything before it got its gradient through this layer. */
static const char *find_bad_gradient(const struct optimizer *o) {
    const struct params *params = o->params;
    for (int32_t i = params->count - 1; i >= 0; i--) {
        const struct param *p = &params->items[i];
        if (params->dev->ops->find_nonfinite(params->dev, params->grads + p->offset, p->count) >= 0)
            return p->name;
    }
    return "none (the sum of squares overflowed)";
}

void optimizer_give(struct optimizer *o, int64_t step, double lr) {
    const struct params *params = o->params;
    const struct backend *be = params->dev->ops;
    const struct train_config *t = &o->train;
    const struct adamw_step adamw = {
        .beta1 = (float)t->beta1,
        .beta2 = (float)t->beta2,
        .eps = (float)t->eps,
        .bias_correction1 = (float)(1.0 - pow(t->beta1, (double)step)),
        .bias_correction2 = (float)(1.0 - pow(t->beta2, (double)step)),
    };
    report_mark(&o->report, 0, MARK_START);
    be->sum_squares(params->dev, o->out.squares, params->grads, o->spans, o->span_count);
    be->clip_scale(params->dev, o->clip_scale, o->out.squares, o->span_count, t->clip);
    for (int32_t i = 0; i < o->segment_count; i++) {
        struct adamw_segment segment = o->segments[i];
        segment.lr = (float)(lr * (double)segment.lr);
        be->adamw(params->dev, params->values, params->compute, params->grads, params->m, params->v, &segment,
                  1, &adamw, o->clip_scale);
    }
    report_mark(&o->report, 0, MARK_END);
    report_fetch(&o->report, 0, o->out.squares);
}

static void expert_norms(const struct optimizer *o, float *norms) {
    const size_t cells = (size_t)o->moe_layers * (size_t)o->experts;
    memset(o->cell_squares, 0, cells * sizeof *o->cell_squares);
    for (int32_t i = 0; i < o->span_count; i++) {
        if (o->span_cell[i] >= 0) o->cell_squares[o->span_cell[i]] += o->seen.squares[i];
    }
    for (size_t c = 0; c < cells; c++)
        norms[c] = (float)sqrt(o->cell_squares[c]);
}

moe_status optimizer_finish(struct optimizer *o, int64_t step, struct gradient_norms *norms, moe_err *err) {
    moe_status status = MOE_OK;
    double total = 0, router = 0;
    for (int32_t i = 0; i < o->span_count; i++) {
        total += o->seen.squares[i];
        if (o->span_cell[i] == CELL_ROUTER) router += o->seen.squares[i];
    }
    norms->total = sqrt(total);
    norms->router = sqrt(router);
    norms->seconds = report_seconds(&o->report, 0, MARK_START, MARK_END);
    moe_check(
        isfinite(norms->total), err, MOE_ENUMERIC,
        "step %lld: the gradient is not finite; going backward from the loss, the first such tensor is %s. "
        "Lower train.lr or set train.clip",
        (long long)step, find_bad_gradient(o));
    if (norms->expert != NULL) expert_norms(o, norms->expert);
out:
    return status;
}
