#include "analysis/claims_members.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"

#define DIGITS "0123456789"

char *member_fill(const char *text, const char *mark, const char *with) {
    struct text t = {0};
    char *result = NULL;
    for (const char *at = text;;) {
        const char *hit = strstr(at, mark);
        if (hit == NULL) {
            text_append(&t, "%s", at);
            break;
        }
        text_append(&t, "%.*s%s", (int)(hit - at), at, with);
        at = hit + strlen(mark);
    }
    return text_take(&t, &result, NULL) == MOE_OK ? result : NULL;
}

/* Bytes of a fraction as names of runs have it (1_8), 0 if there is none; `last` is the byte before it. */
static size_t fraction_at(const char *text, char last, size_t *out_above) {
    const size_t above = isalnum((unsigned char)last) || last == '_' ? 0 : strspn(text, DIGITS);
    if (above == 0 || text[above] != '_') return 0;
    const size_t length = above + 1 + strspn(text + above + 1, DIGITS);
    const char after = text[length];
    *out_above = above;
    return length > above + 1 && !isalnum((unsigned char)after) && after != '_' ? length : 0;
}

char *member_spelled(const char *member) {
    struct text t = {0};
    char *result = NULL, last = '\0';
    for (const char *c = member; *c != '\0'; last = c[-1]) {
        size_t above = 0;
        const size_t length = fraction_at(c, last, &above);
        if (length > 0)
            text_append(&t, "%.*s/%.*s", (int)above, c, (int)(length - above - 1), c + above + 1);
        else
            text_append(&t, *c == '=' ? " %c " : *c == ',' ? "%c " : "%c", *c);
        c += length > 0 ? length : 1;
    }
    return text_take(&t, &result, NULL) == MOE_OK ? result : NULL;
}

/* Keys that people read. */
static bool is_prose(const char *key) {
    static const char *const keys[] = {"statement", "place", "note", "says", "untested"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (strcmp(key, keys[i]) == 0) return true;
    return false;
}

static json_t *substitute_in(const json_t *value, const char *with, const char *spelled, bool prose) {
    if (json_is_string(value)) {
        char *text = member_fill(json_string_value(value), "{each}", prose ? spelled : with);
        json_t *copy = text != NULL ? json_string(text) : NULL;
        free(text);
        return copy;
    }
    if (json_is_array(value)) {
        json_t *copy = json_array();
        for (size_t i = 0; i < json_array_size(value); i++)
            json_array_append_new(copy, substitute_in(json_array_get(value, i), with, spelled, prose));
        return copy;
    }
    if (json_is_object(value)) {
        json_t *copy = json_object();
        const char *key;
        json_t *item;
        json_object_foreach((json_t *)value, key, item)
            json_object_set_new(copy, key, substitute_in(item, with, spelled, is_prose(key)));
        return copy;
    }
    return json_deep_copy(value);
}

json_t *member_substitute(const json_t *entry, const char *with) {
    char *spelled = member_spelled(with);
    json_t *copy = spelled != NULL ? substitute_in(entry, with, spelled, false) : NULL;
    free(spelled);
    return copy;
}
