/* The error idiom is C and has C linkage. */
extern "C" {
#include "core/status.h"
}
#include "data/spm_shim.h"

#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <string>
#include <unordered_map>
#include <vector>

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

struct spm {
    sentencepiece::SentencePieceProcessor processor;
};

namespace {

moe_status copy_text(const std::string &text, char **out_text, moe_err *err) {
    char *copy = static_cast<char *>(std::malloc(text.size() + 1));
    if (copy == nullptr) return moe_fail(err, MOE_ENOMEM, "no memory for %zu bytes of text", text.size());
    std::memcpy(copy, text.c_str(), text.size() + 1);
    *out_text = copy;
    return MOE_OK;
}

/* What the trainer's refusal means; the library's own words stand behind it. */
moe_status explain(const std::string &why, int32_t vocab_size, size_t count, moe_err *err) {
    const bool many = why.find("too high") != std::string::npos;
    const bool few = why.find("smaller than required_chars") != std::string::npos;
    return moe_fail(err, MOE_ECONFIG, "a vocabulary of %d is %s %zu lines of text%s (SentencePiece: %s)",
                    vocab_size,
                    many  ? "too large for"
                    : few ? "too small for the characters of"
                          : "nothing that can be learned from",
                    count,
                    many  ? ": lower it, or use more text"
                    : few ? ": raise it"
                          : "",
                    why.c_str());
}

class sentence_walk : public sentencepiece::SentenceIterator {
  public:
    sentence_walk(const struct spm_sentence *sentences, size_t count)
        : at_(sentences), end_(sentences + count) {
        read();
    }
    bool done() const override {
        return at_ == end_;
    }
    void Next() override {
        at_++;
        read();
    }
    const std::string &value() const override {
        return value_;
    }
    sentencepiece::util::Status status() const override {
        return {};
    }

  private:
    void read() {
        if (at_ < end_) value_.assign(at_->text, at_->size);
    }
    const struct spm_sentence *at_, *end_;
    std::string value_;
};

} // namespace

moe_status spm_load(const void *bytes, size_t size, const char *name, struct spm **out_spm, moe_err *err) {
    try {
        auto loaded = new (std::nothrow) spm;
        if (loaded == nullptr) return moe_fail(err, MOE_ENOMEM, "%s: out of memory", name);
        const auto result =
            loaded->processor.LoadFromSerializedProto({static_cast<const char *>(bytes), size});
        if (!result.ok() || loaded->processor.GetPieceSize() <= 0) {
            const std::string why = result.ok() ? "it has no pieces" : result.ToString();
            delete loaded;
            return moe_fail(
                err, MOE_EFORMAT,
                "%s: not a SentencePiece model (%s); fetch it again or name another tokenizer_file", name,
                why.c_str());
        }
        *out_spm = loaded;
        return MOE_OK;
    } catch (const std::exception &e) {
        return moe_fail(err, MOE_EFORMAT, "%s: not a SentencePiece model (%s)", name, e.what());
    } catch (...) {
        return moe_fail(err, MOE_EFORMAT, "%s: not a SentencePiece model", name);
    }
}

void spm_free(struct spm *spm) {
    delete spm;
}

int32_t spm_size(const struct spm *spm) {
    return spm->processor.GetPieceSize();
}

int32_t spm_bos(const struct spm *spm) {
    return spm->processor.bos_id();
}

int32_t spm_eos(const struct spm *spm) {
    return spm->processor.eos_id();
}

int32_t spm_unk(const struct spm *spm) {
    return spm->processor.unk_id();
}

moe_status spm_encode(const struct spm *spm, const char *text, size_t size, struct token_buffer *out,
                      moe_err *err) {
    try {
        std::vector<int> ids;
        const auto result = spm->processor.Encode({text, size}, &ids);
        if (!result.ok()) {
            return moe_fail(err, MOE_EFORMAT, "SentencePiece cannot encode %zu bytes: %s", size,
                            result.ToString().c_str());
        }
        const moe_status status = token_buffer_reserve(out, static_cast<int64_t>(ids.size()), err);
        if (status != MOE_OK) return status;
        for (const int id : ids) {
            out->ids[out->count++] = id;
        }
        return MOE_OK;
    } catch (const std::exception &e) {
        return moe_fail(err, MOE_ENOMEM, "SentencePiece cannot encode %zu bytes: %s", size, e.what());
    } catch (...) {
        return moe_fail(err, MOE_EFORMAT, "SentencePiece cannot encode %zu bytes", size);
    }
}

moe_status spm_decode(const struct spm *spm, const int32_t *ids, int64_t count, char **out_text,
                      moe_err *err) {
    try {
        std::string text;
        const auto result = spm->processor.Decode(std::vector<int>(ids, ids + count), &text);
        if (!result.ok()) {
            return moe_fail(err, MOE_EFORMAT, "SentencePiece cannot decode %lld ids: %s",
                            static_cast<long long>(count), result.ToString().c_str());
        }
        return copy_text(text, out_text, err);
    } catch (const std::exception &e) {
        return moe_fail(err, MOE_ENOMEM, "SentencePiece cannot decode %lld ids: %s",
                        static_cast<long long>(count), e.what());
    } catch (...) {
        return moe_fail(err, MOE_EFORMAT, "SentencePiece cannot decode %lld ids",
                        static_cast<long long>(count));
    }
}

moe_status spm_train(const struct spm_sentence *sentences, size_t count, int32_t vocab_size, bool unigram,
                     unsigned char **out_model, size_t *out_size, moe_err *err) {
    try {
        const std::unordered_map<std::string, std::string> settings = {
            {"model_type", unigram ? "unigram" : "bpe"},
            {"vocab_size", std::to_string(vocab_size)},
            {"unk_id", "0"},
            {"bos_id", "1"},
            {"eos_id", "2"},
            {"pad_id", "-1"},
            {"unk_surface", " \xe2\x81\x87 "},
            {"byte_fallback", "true"},
            {"split_digits", "true"},
            {"allow_whitespace_only_pieces", "true"},
            {"character_coverage", "0.99995"},
            {"normalization_rule_name", "identity"},
            {"remove_extra_whitespaces", "false"},
            {"add_dummy_prefix", "true"},
            {"max_sentence_length", "1073741824"}, /* longer ones would be left out without a word */
            {"num_threads", "1"},
            {"minloglevel", "3"},
        };
        sentence_walk walk(sentences, count);
        std::string model;
        const auto result = sentencepiece::SentencePieceTrainer::Train(settings, &walk, &model);
        if (!result.ok()) return explain(result.ToString(), vocab_size, count, err);
        unsigned char *copy = static_cast<unsigned char *>(std::malloc(model.size() + 1));
        if (copy == nullptr)
            return moe_fail(err, MOE_ENOMEM, "no memory for a model of %zu bytes", model.size());
        std::memcpy(copy, model.data(), model.size());
        *out_model = copy;
        *out_size = model.size();
        return MOE_OK;
    } catch (const std::exception &e) {
        return moe_fail(err, MOE_ENOMEM, "SentencePiece cannot learn from %zu lines: %s", count, e.what());
    } catch (...) {
        return moe_fail(err, MOE_EFORMAT, "SentencePiece cannot learn from %zu lines", count);
    }
}
