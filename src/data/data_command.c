#include "data/data_command.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "data/image_generator.h"
#include "data/stories.h"
#include "data/tokenizer_train.h"

struct arguments {
    const char *names[TOKENIZER_TRAIN_MAX_FILES + 1]; /* "train" and its files are the most */
    int num_names;
    const char *folder, *base_url, *out, *domain;
    uint64_t seed;
    int64_t count; /* -1 = not given */
    bool force;
    enum image_split split;
    struct tokenizer_training training;
};

static void print_bytes(FILE *out, int64_t bytes) {
    if (bytes == 0)
        fprintf(out, "%10s", "?");
    else if (bytes < 1000000)
        fprintf(out, "%7.1f kB", (double)bytes * 1e-3);
    else
        fprintf(out, "%7.1f MB", (double)bytes * 1e-6);
}

/* "there", "begun" (a .part file) or "-"; contents are not checked, that is what `fetch` does. */
static const char *presence(const char *folder, const struct data_file *file) {
    char path[2048];
    const char *separator = folder[0] == '\0' ? "" : "/";
    snprintf(path, sizeof path, "%s%s%s", folder, separator, file->name);
    if (file_exists(path)) return "there";
    snprintf(path, sizeof path, "%s%s%s.part", folder, separator, file->name);
    return file_exists(path) ? "begun" : "-";
}

void data_list(const char *folder, FILE *out) {
    for (int32_t i = 0; i < registry_count(); i++) {
        const struct data_set *set = registry_at(i);
        fprintf(out, "%s: %s\n", set->name, set->title);
        for (int32_t j = 0; j < set->num_files; j++) {
            print_bytes(out, set->files[j].bytes);
            fprintf(out, "  %-6s %s\n", presence(folder, &set->files[j]), set->files[j].name);
        }
    }
    fprintf(out, "\nFolder: %s. `moe data info NAME` tells more, `moe data fetch NAME` downloads.\n", folder);
}

static void print_file(const struct data_file *f, const char *folder, FILE *out) {
    fprintf(out, "\n%s (%s)\n", f->name, presence(folder, f));
    if (f->archive == NULL)
        fprintf(out, "  from    %s\n", f->url);
    else
        fprintf(out, "  from    %s in %s\n", f->member, f->archive->name);
    if (f->prefix) fprintf(out, "  part    the first %lld bytes of it\n", (long long)f->bytes);
    if (f->bytes > 0) fprintf(out, "  bytes   %lld\n", (long long)f->bytes);
    if (f->sha256 != NULL) fprintf(out, "  sha256  %s\n", f->sha256);
    if (f->md5 != NULL) fprintf(out, "  md5     %s\n", f->md5);
}

moe_status data_info(const char *name, const char *folder, FILE *out, moe_err *err) {
    moe_status status = MOE_OK;
    const struct data_set *set = NULL;
    const struct data_file *archive = NULL;
    moe_try(registry_find(name, &set, err));
    fprintf(out, "%s: %s\nhomepage  %s\nlicence   %s\ncite      %s\n", set->name, set->title, set->homepage,
            set->licence, set->citation);
    if (set->note != NULL) fprintf(out, "note      %s\n", set->note);
    for (int32_t i = 0; i < set->num_files; i++) {
        if (set->files[i].archive != NULL && set->files[i].archive != archive) {
            archive = set->files[i].archive;
            print_file(archive, folder, out);
        }
        print_file(&set->files[i], folder, out);
    }
out:
    return status;
}

moe_status data_fetch(const struct data_set *set, const struct fetch_options *options, FILE *out,
                      moe_err *err) {
    static const char *const how[] = {[FETCH_DOWNLOADED] = "downloaded",
                                      [FETCH_ALREADY_THERE] = "already there",
                                      [FETCH_UNPACKED] = "unpacked"};
    moe_status status = MOE_OK;
    for (int32_t i = 0; i < set->num_files; i++) {
        enum fetch_result result = FETCH_DOWNLOADED;
        moe_try(fetch_file(&set->files[i], options, &result, err));
        fprintf(out, "%s/%s: %s, checksum right\n", options->folder, set->files[i].name, how[result]);
        fflush(out);
    }
    if (set->note != NULL) fprintf(out, "%s: %s\n", set->name, set->note);
out:
    return status;
}

/* Rewrites one line of a terminal. */
static bool show_progress(void *user, const char *name, int64_t done, int64_t total) {
    FILE *out = user;
    if (total > 0)
        fprintf(out, "\r%s: %.1f of %.1f MB (%.0f %%)\x1b[K\r", name, (double)done * 1e-6,
                (double)total * 1e-6, 100 * (double)done / (double)total);
    else
        fprintf(out, "\r%s: %.1f MB\x1b[K\r", name, (double)done * 1e-6);
    fflush(out);
    return true;
}

static moe_status print_domain(const struct stories *s, int32_t domain, const struct data_stories *what,
                               FILE *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct token_buffer ids = {0};
    struct tokenizer *t = NULL;
    char *text = NULL;
    struct stories_entropy entropy;
    const struct rng_key key = {.seed = what->seed, .stream = RNG_DATA, .step = 0};
    struct story_stream stream = story_stream_at(key, domain);
    moe_try(stories_entropy(s, domain, &entropy, err));
    fprintf(out, "%s: %.6f nats per token, %.4f nats and %.4f tokens a story\n",
            stories_domain_name(s, domain), entropy.nats_per_token, entropy.nats_per_story,
            entropy.tokens_per_story);
    for (int32_t i = 0; i < what->count; i++) {
        moe_try(stories_write(s, &stream, &ids, NULL, err));
    }
    moe_try(stories_tokenizer(s, &t, err));
    moe_try(tokenizer_decode(t, ids.ids, ids.count, &text, err));
    fprintf(out, "%s", text);
out:
    free(text);
    tokenizer_free(t);
    token_buffer_free(&ids);
    return status;
}

moe_status data_stories(const struct data_stories *what, FILE *out, moe_err *err) {
    moe_status status = MOE_OK;
    struct stories *s = NULL;
    int32_t shown = 0;
    moe_try(stories_open(&s, err));
    fprintf(out, "%d ids\n", stories_vocab_size(s));
    for (int32_t i = 0; i < stories_domains(s); i++) {
        if (what->domain != NULL && strcmp(what->domain, stories_domain_name(s, i)) != 0) continue;
        moe_try(print_domain(s, i, what, out, err));
        shown++;
    }
    moe_check(shown > 0, err, MOE_ENOTFOUND, "there is no domain '%s'; `moe data stories` shows all",
              what->domain);
out:
    stories_close(s);
    return status;
}

moe_status data_images(const struct data_images *what, FILE *out, moe_err *err) {
    moe_status status = MOE_OK;
    char sha256[HASH_SHA256_HEX];
    moe_check(what->path != NULL, err, MOE_EUSAGE, "--out is missing: the file to write");
    moe_check(what->count > 0, err, MOE_EUSAGE, "--count 0: at least one image is expected");
    moe_check(what->force || !file_exists(what->path), err, MOE_EEXIST,
              "%s is there already; --force replaces it", what->path);
    moe_try(image_generator_write(what->seed, what->split, what->count, what->path, err));
    moe_try(hash_sha256_file(what->path, sha256, NULL, err));
    fprintf(out, "%s: %lld images of %d bytes, SHA-256 %s\n", what->path, (long long)what->count,
            IMAGE_RECORD, sha256);
    for (int i = 0; i < IMAGE_CLASSES; i++) {
        fprintf(out, "%s%d %s", i == 0 ? "classes: " : ", ", i, image_generator_class(i));
    }
    fprintf(out, "\n");
out:
    return status;
}

static moe_status parse_number(const char *option, const char *text, long long most, long long *out,
                               moe_err *err) {
    moe_status status = MOE_OK;
    char *end = NULL;
    const long long value = strtoll(text, &end, 10);
    moe_check(text[0] != '\0' && *end == '\0' && value >= 0 && value <= most, err, MOE_EUSAGE,
              "%s '%s': a whole number from 0 to %lld is expected", option, text, most);
    *out = value;
out:
    return status;
}

static moe_status parse_option(const char *option, const char *value, struct arguments *a, moe_err *err) {
    moe_status status = MOE_OK;
    long long number = 0;
    if (strcmp(option, "--dir") == 0 || strcmp(option, "--data-dir") == 0) {
        a->folder = value;
    } else if (strcmp(option, "--base-url") == 0) {
        a->base_url = value;
    } else if (strcmp(option, "--domain") == 0) {
        a->domain = value;
    } else if (strcmp(option, "--seed") == 0) {
        moe_try(parse_number(option, value, INT64_MAX, &number, err));
        a->seed = (uint64_t)number;
    } else if (strcmp(option, "--count") == 0) {
        moe_try(parse_number(option, value, 1000000, &number, err));
        a->count = number;
    } else if (strcmp(option, "--vocab") == 0) {
        moe_try(parse_number(option, value, 1000000, &number, err));
        a->training.vocab_size = (int32_t)number;
    } else if (strcmp(option, "--out") == 0) {
        a->out = value;
    } else if (strcmp(option, "--split") == 0) {
        a->split = strcmp(value, "test") == 0 ? IMAGE_TEST : IMAGE_TRAIN;
        moe_check(a->split == IMAGE_TEST || strcmp(value, "train") == 0, err, MOE_EUSAGE,
                  "--split '%s': train or test is expected", value);
    } else if (strcmp(option, "--type") == 0) {
        a->training.unigram = strcmp(value, "unigram") == 0;
        moe_check(a->training.unigram || strcmp(value, "bpe") == 0, err, MOE_EUSAGE,
                  "--type '%s': bpe or unigram is expected", value);
    } else {
        moe_check(false, err, MOE_EUSAGE, "there is no option '%s'; see `moe data --help`", option);
    }
out:
    return status;
}

/* True for an option that takes no value. */
static bool parse_flag(const char *argument, struct arguments *a) {
    if (strcmp(argument, "--lower") == 0)
        a->training.lower = true;
    else if (strcmp(argument, "--force") == 0)
        a->force = true;
    else
        return false;
    return true;
}

/* Options take their value as the next argument or behind '='. */
static moe_status parse_arguments(int argc, char **argv, struct arguments *a, moe_err *err) {
    moe_status status = MOE_OK;
    for (int i = 2; i < argc; i++) {
        if (parse_flag(argv[i], a)) continue;
        char option[32];
        const char *equals = strchr(argv[i], '=');
        if (strncmp(argv[i], "--", 2) != 0) {
            moe_check(a->num_names < (int)(sizeof a->names / sizeof a->names[0]), err, MOE_EUSAGE,
                      "'%s' is one name too many", argv[i]);
            a->names[a->num_names++] = argv[i];
            continue;
        }
        const size_t length = equals != NULL ? (size_t)(equals - argv[i]) : strlen(argv[i]);
        moe_check(length < sizeof option, err, MOE_EUSAGE, "there is no option '%s'; see `moe data --help`",
                  argv[i]);
        memcpy(option, argv[i], length);
        option[length] = '\0';
        moe_check(equals != NULL || i + 1 < argc, err, MOE_EUSAGE, "option '%s' needs a value", option);
        moe_try(parse_option(option, equals != NULL ? equals + 1 : argv[++i], a, err));
    }
out:
    return status;
}

static moe_status run_fetch(const struct arguments *a, FILE *out, moe_err *err) {
    moe_status status = MOE_OK;
    const bool terminal = isatty(fileno(out)) == 1;
    const struct fetch_options options = {.folder = a->folder,
                                          .base_url = a->base_url,
                                          .progress = terminal ? show_progress : NULL,
                                          .user = out};
    moe_check(a->num_names > 0, err, MOE_EUSAGE,
              "fetch what? `moe data list` shows the names, 'all' is everything");
    for (int i = 0; i < a->num_names; i++) {
        const bool all = strcmp(a->names[i], "all") == 0;
        const struct data_set *set = NULL;
        if (!all) moe_try(registry_find(a->names[i], &set, err));
        for (int32_t j = 0; all && j < registry_count(); j++) {
            moe_try(data_fetch(registry_at(j), &options, out, err));
        }
        if (!all) moe_try(data_fetch(set, &options, out, err));
    }
out:
    return status;
}

static moe_status run_tokenizer(struct arguments *a, FILE *out, moe_err *err) {
    moe_status status = MOE_OK;
    moe_check(a->num_names > 0 && strcmp(a->names[0], "train") == 0, err, MOE_EUSAGE,
              "`moe data tokenizer train FILE...` is expected; see `moe data --help`");
    moe_check(a->training.vocab_size > 0, err, MOE_EUSAGE, "--vocab is missing: how many pieces");
    a->training.out = a->out;
    a->training.force = a->force;
    a->training.num_files = a->num_names - 1;
    memcpy(a->training.files, a->names + 1, (size_t)a->training.num_files * sizeof a->names[0]);
    moe_try(tokenizer_train(&a->training, out, err));
out:
    return status;
}

static const char usage[] =
    "usage: moe data list [--dir DIR]\n"
    "       moe data info NAME [--dir DIR]\n"
    "       moe data fetch NAME... [--dir DIR] [--base-url URL]\n"
    "       moe data stories [--seed N] [--count N] [--domain D]\n"
    "       moe data images --out FILE [--split train|test] [--seed N] [--count N] [--force]\n"
    "       moe data tokenizer train FILE... --vocab N --out MODEL [--type bpe|unigram] [--lower] "
    "[--force]\n\n"
    "  list     every data set, its files, and which of them are there\n"
    "  info     addresses, checksums, licence and citation of one\n"
    "  fetch    download what is missing, check it, continue what was cut off; 'all' is every data set\n"
    "  stories  the embedded story generator: samples and the exact entropy of each domain\n"
    "  images   pictures of ten classes from the embedded generator, written in CIFAR-10's binary format\n"
    "  tokenizer train\n"
    "           learn a SentencePiece model from text files and write it to MODEL\n\n"
    "  --dir       (or --data-dir) where data sets lie (default: $MOE_DATA_DIR, else data)\n"
    "  --base-url  take the files, as `list` names them, from below this address\n"
    "  --count     stories of each domain (2), or images (10000)\n"
    "  --vocab     pieces of the model, 3 marks and 256 bytes among them\n"
    "  --type      byte-pair merges (bpe, the default) or a unigram model\n"
    "  --lower     learn from the text with A-Z made a-z, for corpora that are in lower case\n"
    "  --force     replace a file that is there\n";

moe_status data_command(int argc, char **argv, FILE *out, moe_err *err) {
    moe_status status = MOE_OK;
    const char *folder = getenv("MOE_DATA_DIR");
    struct arguments a = {.folder = folder != NULL ? folder : "data", .count = -1};
    const char *command = argc > 1 ? argv[1] : "";
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(usage, out);
            goto out;
        }
    }
    moe_try(parse_arguments(argc, argv, &a, err));
    if (strcmp(command, "list") == 0) {
        data_list(a.folder, out);
    } else if (strcmp(command, "info") == 0) {
        moe_check(a.num_names == 1, err, MOE_EUSAGE, "info about what? `moe data list` shows the names");
        moe_try(data_info(a.names[0], a.folder, out, err));
    } else if (strcmp(command, "fetch") == 0) {
        moe_try(run_fetch(&a, out, err));
    } else if (strcmp(command, "stories") == 0) {
        const struct data_stories what = {
            .seed = a.seed, .count = a.count < 0 ? 2 : (int32_t)a.count, .domain = a.domain};
        moe_try(data_stories(&what, out, err));
    } else if (strcmp(command, "images") == 0) {
        const struct data_images what = {.path = a.out,
                                         .split = a.split,
                                         .seed = a.seed,
                                         .count = a.count < 0 ? 10000 : a.count,
                                         .force = a.force};
        moe_try(data_images(&what, out, err));
    } else if (strcmp(command, "tokenizer") == 0) {
        moe_try(run_tokenizer(&a, out, err));
    } else {
        moe_check(false, err, MOE_EUSAGE,
                  "'%s': list, info, fetch, stories, images or tokenizer is expected; see `moe data --help`",
                  command);
    }
    moe_check(fflush(out) == 0 && !ferror(out), err, MOE_EIO, "cannot write the output");
out:
    return status;
}
