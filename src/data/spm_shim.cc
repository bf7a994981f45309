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
#include <vector>

#include <sentencepiece_processor.h>

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
