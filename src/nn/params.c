#include "nn/params.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mathf.h"
#include "core/normal.h"

moe_status params_declare(struct params *p, const char *prefix, const char *suffix,
                          const struct param_declaration *declaration, int32_t *out_index, moe_err *err) {
    moe_status status = MOE_OK;
    if (p->count == p->room) {
        const int32_t room = p->room == 0 ? 64 : 2 * p->room;
        struct param *items = realloc(p->items, (size_t)room * sizeof *items);
        moe_check(items != NULL, err, MOE_ENOMEM, "no memory for %d parameter entries", room);
        p->items = items;
        p->room = room;
    }
    struct param *item = &p->items[p->count];
    memset(item, 0, sizeof *item);
    const int n = snprintf(item->name, sizeof item->name, "%s.%s", prefix, suffix);
    moe_check(n > 0 && n < PARAM_NAME_MAX, err, MOE_EARG, "parameter name %s.%s is too long", prefix, suffix);
    item->rank = declaration->rank;
    item->count = 1;
    for (int32_t i = 0; i < declaration->rank; i++) {
        item->shape[i] = declaration->shape[i];
        item->count *= declaration->shape[i];
    }
    item->offset = p->total;
    item->init = declaration->init;
    item->init_scale = declaration->init_scale;
    item->role = declaration->role;
    item->moe_layer = declaration->moe_layer;
    p->total += item->count;
    *out_index = p->count++;
out:
    return status;
}

moe_status params_allocate(struct params *p, struct device *dev, bool training, moe_err *err) {
    moe_status status = MOE_OK;
    const struct backend *be = dev->ops;
    const size_t bytes = (size_t)p->total * sizeof(float);
    p->dev = dev;
    moe_try(be->alloc(dev, bytes, (void **)&p->values, err));
    if (be->act_size == sizeof(float)) {
        p->compute = p->values;
    } else {
        moe_try(be->alloc(dev, (size_t)p->total * be->act_size, &p->compute, err));
    }
    if (training) {
        moe_try(be->alloc(dev, bytes, (void **)&p->grads, err));
        moe_try(be->alloc(dev, bytes, (void **)&p->m, err));
        moe_try(be->alloc(dev, bytes, (void **)&p->v, err));
    }
out:
    return status;
}

void params_free(struct params *p) {
    if (p->dev != NULL) {
        const struct backend *be = p->dev->ops;
        if (p->compute != (act_t *)p->values) be->release(p->dev, p->compute);
        be->release(p->dev, p->values);
        be->release(p->dev, p->grads);
        be->release(p->dev, p->m);
        be->release(p->dev, p->v);
    }
    free(p->items);
    memset(p, 0, sizeof *p);
}

/* One standard normal per half block of random words (Box and Muller 1958, the cosine branch). */
static double normal_at(struct rng_key key, int64_t i) {
    const struct rng_block b = rng_block_at(key, (uint64_t)i / 2);
    const int half = (int)(i % 2) * 2;
    const float u = (float)(((double)b.v[half] + 0.5) * 0x1p-32);
    return (double)sqrtf(-2.0f * mathf_log(u)) * normal_cosine_of_turn((double)b.v[half + 1] * 0x1p-32);
}

static void fill(const struct param *item, int32_t index, uint64_t seed, float *values) {
    const struct rng_key key = {.seed = seed, .stream = RNG_INIT, .step = (uint32_t)index};
    for (int64_t i = 0; i < item->count; i++) {
        switch (item->init) {
        case PARAM_UNIFORM:
            values[i] = item->init_scale * (2.0f * rng_uniform(key, (uint64_t)i) - 1.0f);
            break;
        case PARAM_NORMAL:
            values[i] = item->init_scale * (float)normal_at(key, i);
            break;
        case PARAM_CONSTANT:
            values[i] = item->init_scale;
            break;
        }
    }
}

moe_status params_initialize(struct params *p, uint64_t seed, moe_err *err) {
    moe_status status = MOE_OK;
    int64_t largest = 1;
    for (int32_t i = 0; i < p->count; i++) {
        if (p->items[i].count > largest) largest = p->items[i].count;
    }
    float *values = malloc((size_t)largest * sizeof *values);
    moe_check(values != NULL, err, MOE_ENOMEM, "no memory to initialise %lld parameters", (long long)largest);
    for (int32_t i = 0; i < p->count; i++) {
        fill(&p->items[i], i, seed, values);
        params_set(p, i, values);
    }
out:
    free(values);
    return status;
}

void params_get(const struct params *p, int32_t index, float *host_values) {
    const struct param *item = &p->items[index];
    p->dev->ops->download(p->dev, host_values, p->values + item->offset, (size_t)item->count * sizeof(float));
}

void params_set(struct params *p, int32_t index, const float *host_values) {
    const struct param *item = &p->items[index];
    p->dev->ops->upload(p->dev, p->values + item->offset, host_values, (size_t)item->count * sizeof(float));
    params_refresh(p, index);
}

void params_refresh(const struct params *p, int32_t index) {
    const struct param *item = &p->items[index];
    if (p->compute == (const act_t *)p->values) return;
    p->dev->ops->to_act(p->dev, (char *)p->compute + (size_t)item->offset * p->dev->ops->act_size,
                        p->values + item->offset, item->count);
}

int32_t params_find(const struct params *p, const char *name) {
    for (int32_t i = 0; i < p->count; i++) {
        if (strcmp(p->items[i].name, name) == 0) return i;
    }
    return -1;
}

const act_t *params_weight(const struct params *p, int32_t index) {
    if (index < 0) return NULL;
    return (const char *)p->compute + (size_t)p->items[index].offset * p->dev->ops->act_size;
}

float *params_grad(const struct params *p, int32_t index) {
    if (index < 0 || p->grads == NULL) return NULL;
    return p->grads + p->items[index].offset;
}
