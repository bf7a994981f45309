#include "nn/ffn.h"

#include <stdio.h>

int32_t ffn_pre_width(enum activation_kind activation, int32_t intermediate) {
    return activation == ACTIVATION_SWIGLU ? 2 * intermediate : intermediate;
}

moe_status ffn_declare(struct ffn *f, struct params *params, const char *prefix,
                       const struct ffn_settings *settings, struct linear_init init, moe_err *err) {
    moe_status status = MOE_OK;
    char name[PARAM_NAME_MAX];
    *f = (struct ffn){.set = *settings};
    snprintf(name, sizeof name, "%s.fc1", prefix);
    moe_try(linear_declare(&f->fc1, params, name, settings->hidden,
                           ffn_pre_width(settings->activation, settings->intermediate), settings->bias, init,
                           err));
    snprintf(name, sizeof name, "%s.fc2", prefix);
    moe_try(linear_declare(&f->fc2, params, name, settings->intermediate, settings->hidden, settings->bias,
                           init, err));
out:
    return status;
}

void ffn_plan(struct ffn *f, struct nn_memory *memory, struct nn_limits limits) {
    const int64_t rows = limits.max_batch * limits.max_seq;
    const int32_t pre_width = ffn_pre_width(f->set.activation, f->set.intermediate);
    f->pre = nn_kept(memory, rows * pre_width);
    f->mid = nn_kept(memory, rows * f->set.intermediate);
    const size_t mark = arena_mark(&memory->scratch);
    f->d_mid = nn_scratch(memory, rows * f->set.intermediate);
    f->d_pre = pre_width == f->set.intermediate ? f->d_mid : nn_scratch(memory, rows * pre_width);
    arena_rewind(&memory->scratch, mark);
}

void ffn_forward(const struct ffn *f, const struct nn_pass *pass, act_t *y, const act_t *x) {
    linear_forward(&f->fc1, pass, f->pre, x);
    pass->dev->ops->activation_forward(pass->dev, f->set.activation, f->mid, f->pre, pass->rows,
                                       f->set.intermediate, nn_dropout(pass, f->set.dropout, f->set.site));
    linear_forward(&f->fc2, pass, y, f->mid);
}

void ffn_backward(const struct ffn *f, const struct nn_pass *pass, act_t *dx, const act_t *dy, const act_t *x,
                  bool accumulate_dx) {
    linear_backward(&f->fc2, pass, f->d_mid, dy, f->mid, false);
    pass->dev->ops->activation_backward(pass->dev, f->set.activation, f->d_pre, f->d_mid, f->pre, pass->rows,
                                        f->set.intermediate, nn_dropout(pass, f->set.dropout, f->set.site));
    linear_backward(&f->fc1, pass, dx, f->d_pre, x, accumulate_dx);
}
