#include "analysis/audit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/claims_expr.h"
#include "core/file.h"
#include "core/text.h"
#include "core/toml_shim.h"

#define MAX_NESTING 8 /* audit numbers made of audit numbers */

struct audit {
    char *path;
    json_t *root;
    const struct published *published;
    struct audit_entry *entries;
    char (*names)[128];
    int32_t count;
};

/* One evaluation, which knows how deep it is. */
struct audit_scope {
    const struct audit *audit;
    int depth;
};

static moe_status evaluate(const struct audit *audit, const char *name, int depth, double *out, moe_err *err);

static moe_status resolve(void *context, const char *name, double **out_values, int32_t *out_count,
                          moe_err *err) {
    moe_status status = MOE_OK;
    const struct audit_scope *scope = context;
    double number = 0.0;
    if (strncmp(name, "audit.", 6) != 0) {
        double *array = NULL;
        if (published_array(scope->audit->published, name, &array, out_count, NULL) == MOE_OK) {
            *out_values = array;
            goto out;
        }
        moe_try(published_number(scope->audit->published, name, &number, err));
    } else {
        moe_try(evaluate(scope->audit, name + 6, scope->depth + 1, &number, err));
    }
    *out_values = malloc(sizeof **out_values);
    moe_check(*out_values != NULL, err, MOE_ENOMEM, "no memory for %s", name);
    **out_values = number;
    *out_count = 1;
out:
    return status;
}

static const struct audit_entry *find(const struct audit *audit, const char *name) {
    for (int32_t i = 0; i < audit->count; i++)
        if (strcmp(audit->entries[i].name, name) == 0) return &audit->entries[i];
    return NULL;
}

static moe_status not_found(const struct audit *audit, const char *name, moe_err *err) {
    const char *nearest = NULL;
    const char **names = calloc((size_t)audit->count + 1, sizeof *names);
    for (int32_t i = 0; names != NULL && i < audit->count; i++)
        names[i] = audit->entries[i].name;
    if (names != NULL) nearest = text_nearest(name, names, (size_t)audit->count);
    free(names);
    if (nearest == NULL) return moe_fail(err, MOE_ENOTFOUND, "%s: the audit has no %s", audit->path, name);
    return moe_fail(err, MOE_ENOTFOUND, "%s: the audit has no %s; did you mean %s?", audit->path, name,
                    nearest);
}

static moe_status evaluate(const struct audit *audit, const char *name, int depth, double *out,
                           moe_err *err) {
    moe_status status = MOE_OK;
    struct audit_scope scope = {audit, depth};
    const struct audit_entry *entry = find(audit, name);
    if (entry == NULL) return not_found(audit, name, err);
    moe_check(depth < MAX_NESTING, err, MOE_ECONFIG,
              "%s: made of audit numbers more than %d deep, or of itself", entry->place, MAX_NESTING);
    moe_try(expr_number(entry->value, entry->place, &(struct expr_scope){&scope, resolve}, out, err));
out:
    return status;
}

moe_status audit_number(const struct audit *audit, const char *name, double *out_value, moe_err *err) {
    return evaluate(audit, name, 0, out_value, err);
}

const struct audit_entry *audit_at(const struct audit *audit, int32_t index) {
    return index >= 0 && index < audit->count ? &audit->entries[index] : NULL;
}

static moe_status read_entry(struct audit *audit, const json_t *lines, const char *group, const char *key,
                             const json_t *table, moe_err *err) {
    moe_status status = MOE_OK;
    struct text place = {0};
    struct audit_entry *entry = &audit->entries[audit->count];
    char *name = audit->names[audit->count];
    const int length = snprintf(name, sizeof audit->names[0], "%s.%s", group, key);
    text_append(&place, "%s:%d: %s", audit->path, toml_line(lines, name), name);
    moe_try(text_take(&place, &entry->place, err));
    audit->count++;
    moe_check(length < (int)sizeof audit->names[0], err, MOE_ECONFIG, "%s: the name is too long",
              entry->place);
    moe_check(json_is_object(table), err, MOE_ECONFIG, "%s: expected a table with value, unit and says",
              entry->place);
    entry->name = name;
    entry->value = json_string_value(json_object_get(table, "value"));
    entry->unit = json_string_value(json_object_get(table, "unit"));
    entry->says = json_string_value(json_object_get(table, "says"));
    moe_check(entry->value != NULL && entry->unit != NULL && entry->says != NULL &&
                  json_object_size(table) == 3,
              err, MOE_ECONFIG, "%s: expected three strings: value, unit, says", entry->place);
    moe_try(expr_scan(entry->value, entry->place, NULL, NULL, err));
out:
    text_free(&place);
    return status;
}

moe_status audit_open(const char *paper_dir, const char *source, const struct published *published,
                      struct audit **out_audit, moe_err *err) {
    moe_status status = MOE_OK;
    json_t *lines = NULL;
    struct text path = {0};
    const char *group, *key;
    json_t *tables, *table;
    size_t count = 0;
    struct audit *audit = calloc(1, sizeof *audit);
    moe_check(audit != NULL, err, MOE_ENOMEM, "cannot allocate an audit");
    audit->published = published;
    text_append(&path, "%s/audit/%s.toml", paper_dir, source);
    moe_try(text_take(&path, &audit->path, err));
    moe_try(toml_parse_file(audit->path, &audit->root, &lines, err));
    json_object_foreach(audit->root, group, tables) {
        moe_check(json_is_object(tables), err, MOE_ECONFIG, "%s:%d: %s: expected a table of numbers",
                  audit->path, toml_line(lines, group), group);
        count += json_object_size(tables);
    }
    audit->entries = calloc(count + 1, sizeof *audit->entries);
    audit->names = calloc(count + 1, sizeof *audit->names);
    moe_check(audit->entries != NULL && audit->names != NULL, err, MOE_ENOMEM, "%s: no memory", audit->path);
    json_object_foreach(audit->root, group, tables) json_object_foreach(tables, key, table)
        moe_try(read_entry(audit, lines, group, key, table, err));
    *out_audit = audit;
    audit = NULL;
out:
    text_free(&path);
    json_decref(lines);
    audit_close(audit);
    return status;
}

void audit_close(struct audit *audit) {
    if (audit == NULL) return;
    for (int32_t i = 0; i < audit->count; i++)
        free(audit->entries[i].place);
    free(audit->entries);
    free(audit->names);
    json_decref(audit->root);
    free(audit->path);
    free(audit);
}
