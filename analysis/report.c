#include "analysis/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

moe_status report_open(const struct run_selection *selection, const char *paper_dir,
                       struct report **out_report, moe_err *err) {
    moe_status status = MOE_OK;
    struct report *report = calloc(1, sizeof *report);
    moe_check(report != NULL, err, MOE_ENOMEM, "cannot allocate a report");
    report->paper_dir = paper_dir;
    moe_try(run_list_open(selection, &report->runs, err));
    *out_report = report;
    report = NULL;
out:
    report_close(report);
    return status;
}

void report_close(struct report *report) {
    if (report == NULL) return;
    for (int i = 0; i < 4; i++)
        published_close(report->published[i]);
    run_list_close(report->runs);
    free(report);
}

moe_status report_published(struct report *report, const char *source, struct published **out_published,
                            moe_err *err) {
    moe_status status = MOE_OK;
    char *directory = NULL;
    const int index = source[0] - 'A';
    moe_check(index >= 0 && index < 4 && source[1] == '\0', err, MOE_EARG,
              "source \"%s\": expected A, B, C or D", source);
    if (report->published[index] == NULL) {
        directory = malloc(strlen(report->paper_dir) + sizeof "/published");
        moe_check(directory != NULL, err, MOE_ENOMEM, "no memory for a path");
        strcpy(directory, report->paper_dir);
        strcat(directory, "/published");
        moe_try(published_open(directory, source, &report->published[index], err));
    }
    *out_published = report->published[index];
out:
    free(directory);
    return status;
}

/* A value of a run's configuration by "section.key". */
static moe_status config_value(struct report *report, const struct run_file *file, const char *name,
                               const json_t **out_value, moe_err *err) {
    moe_status status = MOE_OK;
    const json_t *config, *counts;
    char section[64];
    const size_t length = strcspn(name, ".");
    moe_check(length < sizeof section && name[length] == '.', err, MOE_EARG, "\"%s\": expected section.key",
              name);
    memcpy(section, name, length);
    section[length] = '\0';
    moe_try(run_list_json(report->runs, file, &config, &counts, err));
    *out_value = json_object_get(json_object_get(config, section), name + length + 1);
out:
    return status;
}

moe_status report_config_number(struct report *report, const struct run_file *file, const char *name,
                                double *out_value, moe_err *err) {
    moe_status status = MOE_OK;
    const json_t *value = NULL;
    moe_try(config_value(report, file, name, &value, err));
    moe_check(json_is_number(value), err, MOE_ENOTFOUND, "%s: the configuration has no number %s", file->path,
              name);
    *out_value = json_number_value(value);
out:
    return status;
}

moe_status report_config_is(struct report *report, const struct run_file *file, const char *name,
                            const char *word, bool *out_is, moe_err *err) {
    moe_status status = MOE_OK;
    const json_t *value = NULL;
    moe_try(config_value(report, file, name, &value, err));
    const char *text = json_is_true(value)    ? "true"
                       : json_is_false(value) ? "false"
                                              : json_string_value(value);
    *out_is = text != NULL && strcmp(text, word) == 0;
out:
    return status;
}

moe_status report_entropy_floor(struct report *report, const struct run_file *file, double *out_value,
                                moe_err *err) {
    moe_status status = MOE_OK;
    struct run_reader *reader = NULL;
    const json_t *config, *counts;
    *out_value = NAN;
    moe_try(run_list_reader(report->runs, file, &reader, err));
    moe_try(run_list_json(report->runs, file, &config, &counts, err));
    const char *all = run_reader_domain(reader, 0);
    const json_t *value = json_object_get(json_object_get(counts, "entropy_floor"), all);
    if (json_is_number(value)) *out_value = json_number_value(value);
out:
    return status;
}
