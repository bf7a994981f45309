// The only C++ of the configuration: toml++ behind plain functions. No exception leaves this file.
//
// Some malformed text ("[&") breaks a precondition inside toml++ (its issue 294): undefined behaviour in a
// release build, abort() in a debug build. Its assertions therefore stay on here, and throw.
#undef NDEBUG
namespace {
struct parser_confused {};
} // namespace
#define TOML_ASSERT(condition) ((condition) ? static_cast<void>(0) : throw parser_confused())
#define TOML_EXCEPTIONS        0
#define TOML_MAX_NESTED_VALUES 16
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wterminate" // accessors that are never reached by bad text
#endif
#include <toml++/toml.h>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#include <algorithm>
#include <cmath>
#include <new>
#include <string>
#include <string_view>
#include <vector>

extern "C" {
#include "core/file.h"
#include "core/toml_shim.h"
}

namespace {

// Owns a reference to a jansson value.
class json_ref {
  public:
    explicit json_ref(json_t *value) : value_(value) {
        if (value_ == nullptr) throw std::bad_alloc();
    }
    json_ref(const json_ref &) = delete;
    json_ref &operator=(const json_ref &) = delete;
    ~json_ref() {
        json_decref(value_);
    }
    json_t *get() const {
        return value_;
    }
    json_t *release() {
        json_t *value = value_;
        value_ = nullptr;
        return value;
    }

  private:
    json_t *value_;
};

// Something in the file that is TOML but not ours.
struct refusal {
    std::string message;
    unsigned line;
};

// Refuses beforehand what toml++ does not survive. It builds one table per part of a dotted key and frees
// them by recursion, so a key of 100,000 parts would overflow the stack; and its tables of Unicode letters
// end in undefined behaviour for some letters. This walks the text as a lexer would, skipping comments and
// strings, and refuses keys of more parts than any table here has levels, and bytes that TOML 1.0 allows in
// comments and strings only.
class text_scan {
  public:
    explicit text_scan(std::string_view text) : text_(text) {
    }

    void run() {
        if (text_.compare(0, 3, "\xef\xbb\xbf") == 0) at_ = 3; // a byte order mark is allowed at the start
        while (at_ < text_.size()) {
            const char c = text_[at_];
            if (c == '\n') line_++;
            if (c == '#') {
                skip_comment();
            } else if (c == '"' || c == '\'') {
                skip_string(c);
            } else {
                const unsigned char byte = static_cast<unsigned char>(c);
                if (byte >= 0x80 || byte == 0x7f || (byte < 0x20 && c != '\t' && c != '\n' && c != '\r'))
                    throw refusal{"only ASCII letters, digits, '_' and '-' may stand outside of quotes",
                                  line_};
                if (c == '.' && ++dots_ >= TOML_MAX_DEPTH)
                    throw refusal{"a key of more than " + std::to_string(TOML_MAX_DEPTH) + " parts", line_};
                if (std::string_view("=,\n[]{}").find(c) != std::string_view::npos) dots_ = 0;
                at_++;
            }
        }
    }

  private:
    void skip_comment() {
        while (at_ < text_.size() && text_[at_] != '\n')
            at_++;
    }

    void skip_string(char quote) {
        const std::string triple(3, quote);
        const bool multiline = text_.compare(at_, 3, triple) == 0;
        at_ += multiline ? 3 : 1;
        while (at_ < text_.size()) {
            const char c = text_[at_];
            if (c == '\n') {
                if (!multiline) return; // unterminated: the parser will say so
                line_++;
            }
            if (c == '\\' && quote == '"') {
                if (at_ + 1 < text_.size() && text_[at_ + 1] == '\n') line_++;
                at_ += 2;
                continue;
            }
            if (c == quote && (!multiline || text_.compare(at_, 3, triple) == 0)) {
                at_ += multiline ? 3 : 1;
                while (multiline && at_ < text_.size() && text_[at_] == quote)
                    at_++; // """ may follow up to two quotes
                return;
            }
            at_++;
        }
    }

    std::string_view text_;
    size_t at_ = 0;
    unsigned line_ = 1;
    int dots_ = 0;
};

class converter {
  public:
    explicit converter(json_t *lines) : lines_(lines) {
    }

    json_t *table(const toml::table &table, const std::string &path, int depth) {
        struct entry {
            const toml::key *key;
            const toml::node *node;
        };
        std::vector<entry> entries; // toml++ sorts by name; the order of the file is wanted
        for (auto &&[key, node] : table)
            entries.push_back({&key, &node});
        std::stable_sort(entries.begin(), entries.end(), [](const entry &a, const entry &b) {
            return a.key->source().begin < b.key->source().begin;
        });
        json_ref object(json_object());
        for (const entry &e : entries) {
            const std::string_view name = e.key->str();
            const unsigned line = e.key->source().begin.line;
            if (name.find('\0') != std::string_view::npos) throw refusal{"a NUL character in a key", line};
            const std::string inner = (path.empty() ? "" : path + ".") + std::string(name);
            put_line(inner, line);
            json_t *value = this->value(*e.node, inner, depth + 1, line);
            if (json_object_set_new(object.get(), std::string(name).c_str(), value) != 0)
                throw std::bad_alloc();
        }
        return object.release();
    }

  private:
    json_t *value(const toml::node &node, const std::string &path, int depth, unsigned line) {
        if (depth > TOML_MAX_DEPTH)
            throw refusal{"more than " + std::to_string(TOML_MAX_DEPTH) + " levels of tables and arrays",
                          line};
        if (const auto *t = node.as_table()) return table(*t, path, depth);
        if (const auto *a = node.as_array()) return array(*a, path, depth);
        if (const auto *s = node.as_string()) {
            if (s->get().find('\0') != std::string::npos) throw refusal{"a NUL character in a string", line};
            return made(json_stringn(s->get().data(), s->get().size()));
        }
        if (const auto *i = node.as_integer()) return made(json_integer(i->get()));
        if (const auto *b = node.as_boolean()) return made(json_boolean(b->get()));
        if (const auto *f = node.as_floating_point()) {
            if (!std::isfinite(f->get())) throw refusal{path + ": NaN and infinity are not used here", line};
            return made(json_real(f->get()));
        }
        throw refusal{path + ": dates and times are not used here; write a string", line};
    }

    json_t *array(const toml::array &array, const std::string &path, int depth) {
        json_ref list(json_array());
        for (size_t i = 0; i < array.size(); i++) {
            const std::string inner = path + "[" + std::to_string(i) + "]";
            const unsigned line = array.get(i)->source().begin.line;
            put_line(inner, line);
            if (json_array_append_new(list.get(), value(*array.get(i), inner, depth + 1, line)) != 0)
                throw std::bad_alloc();
        }
        return list.release();
    }

    void put_line(const std::string &path, unsigned line) {
        if (lines_ != nullptr && json_object_set_new(lines_, path.c_str(), made(json_integer(line))) != 0)
            throw std::bad_alloc();
    }

    static json_t *made(json_t *value) {
        if (value == nullptr) throw std::bad_alloc();
        return value;
    }

    json_t *lines_;
};

// The line that confuses the parser: the last one of the shortest run of lines, from the first on, that does.
unsigned confusing_line(std::string_view text) {
    std::vector<size_t> ends;
    for (size_t i = 0; i < text.size(); i++)
        if (text[i] == '\n' || i + 1 == text.size()) ends.push_back(i + 1);
    size_t low = 0, high = ends.empty() ? 0 : ends.size() - 1;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        try {
            (void)toml::parse(text.substr(0, ends[middle]));
            low = middle + 1;
        } catch (const parser_confused &) {
            high = middle;
        }
    }
    return static_cast<unsigned>(low) + 1;
}

moe_status parse(std::string_view text, const char *name, json_t **out_root, json_t **out_lines,
                 moe_err *err) {
    text_scan(text).run();
    const toml::parse_result result = toml::parse(text);
    if (!result) {
        const std::string what(result.error().description());
        return moe_fail(err, MOE_ECONFIG, "%s:%u: %s", name, result.error().source().begin.line,
                        what.c_str());
    }
    json_ref lines(json_object());
    json_ref root(converter(out_lines != nullptr ? lines.get() : nullptr).table(result.table(), "", 0));
    *out_root = root.release();
    if (out_lines != nullptr) *out_lines = lines.release();
    return MOE_OK;
}

} // namespace

extern "C" moe_status toml_parse(const char *text, size_t size, const char *name, json_t **out_root,
                                 json_t **out_lines, moe_err *err) {
    if (size > TOML_MAX_BYTES)
        return moe_fail(err, MOE_ECONFIG, "%s: %zu bytes; a configuration has at most %d", name, size,
                        TOML_MAX_BYTES);
    try {
        return parse(std::string_view(text, size), name, out_root, out_lines, err);
    } catch (const parser_confused &) {
        return moe_fail(err, MOE_ECONFIG, "%s:%u: malformed key, value or table header", name,
                        confusing_line(std::string_view(text, size)));
    } catch (const refusal &r) {
        return moe_fail(err, MOE_ECONFIG, "%s:%u: %s", name, r.line, r.message.c_str());
    } catch (const std::bad_alloc &) {
        return moe_fail(err, MOE_ENOMEM, "%s: no memory to parse it", name);
    } catch (const std::exception &e) {
        return moe_fail(err, MOE_ECONFIG, "%s: %s", name, e.what());
    }
}

extern "C" moe_status toml_parse_file(const char *path, json_t **out_root, json_t **out_lines, moe_err *err) {
    unsigned char *text = nullptr;
    size_t size = 0;
    moe_status status = file_read_all(path, TOML_MAX_BYTES, &text, &size, err);
    if (status == MOE_OK)
        status = toml_parse(reinterpret_cast<const char *>(text), size, path, out_root, out_lines, err);
    free(text);
    return status;
}

extern "C" int toml_line(const json_t *lines, const char *path) {
    return static_cast<int>(json_integer_value(json_object_get(lines, path)));
}
