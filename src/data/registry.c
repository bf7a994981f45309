#include "data/registry.h"

#include <stdio.h>
#include <string.h>

#include "core/text.h"

#define PYTORCH_WIKITEXT(commit, file)                                                                       \
    "https://raw.githubusercontent.com/pytorch/examples/" commit "/word_language_model/data/"                \
    "wikitext-2/" file
#define TINYSTORIES(file)                                                                                    \
    "https://huggingface.co/datasets/roneneldan/TinyStories/resolve/"                                        \
    "f54c09fd23315a6f9c86f9dc80f725de7d8f9c64/" file

/* clang-format off: addresses stay whole */

static const struct data_file wikitext2_files[] = {
    {.name = "wikitext2/wiki.train.head1MB.raw",
     .url = "https://raw.githubusercontent.com/kent-ai-dev/kent_apex/"
            "81c0d64eda685c9491958fee5222f75ccd29f4f4/data/wikitext2_train.txt",
     .sha256 = "202fe8b8c4853f1de79b459d8af874d7f043f8299995c769604ffde1b07eb860",
     .bytes = 1000000,
     .prefix = true},
    {.name = "wikitext2/wiki.train.tokens",
     .url = PYTORCH_WIKITEXT("acc295dc7b90714f1bf47f06004fc19a7fe235c4", "train.txt"),
     .sha256 = "9e9fa1ad55b1c2c95b08e37dd8e653f638fac2c6de904b79e813611eefbc985f"},
    {.name = "wikitext2/wiki.valid.tokens",
     .url = PYTORCH_WIKITEXT("37ce9402ff0cae48d764d7788810fd2ed8238b25", "valid.txt"),
     .sha256 = "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
     .bytes = 1121681},
    {.name = "wikitext2/wiki.test.tokens",
     .url = PYTORCH_WIKITEXT("acc295dc7b90714f1bf47f06004fc19a7fe235c4", "test.txt"),
     .sha256 = "d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0"},
};

static const struct data_file tinystories_files[] = {
    {.name = "tinystories/TinyStories-train.txt",
     .url = TINYSTORIES("TinyStories-train.txt"),
     .sha256 = "c5cf5e22ff13614e830afbe61a99fbcbe8bcb7dd72252b989fa1117a368d401f",
     .bytes = 1924281556},
    {.name = "tinystories/TinyStories-valid.txt",
     .url = TINYSTORIES("TinyStories-valid.txt"),
     .sha256 = "94e431816c4cce81ff71e4408ff8d3bda9a42e8d2663986697c3954288cb38b4",
     .bytes = 19447282},
};

static const struct data_file cifar10_archive = {
    .name = "cifar10/cifar-10-binary.tar.gz",
    .url = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    .sha256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    .md5 = "c32a1d4ab5d03f1284b67883e8d87530",
    .bytes = 170052171,
};

#define CIFAR10_IN(member_file) .archive = &cifar10_archive, .member = "cifar-10-batches-bin/" member_file
#define CIFAR10(file)           .name = "cifar10/" file, CIFAR10_IN(file)

static const struct data_file cifar10_files[] = {
    {CIFAR10("data_batch_1.bin"),
     .sha256 = "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5", .bytes = 30730000},
    {CIFAR10("data_batch_2.bin"),
     .sha256 = "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed", .bytes = 30730000},
    {CIFAR10("data_batch_3.bin"),
     .sha256 = "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67", .bytes = 30730000},
    {CIFAR10("data_batch_4.bin"),
     .sha256 = "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48", .bytes = 30730000},
    {CIFAR10("data_batch_5.bin"),
     .sha256 = "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add", .bytes = 30730000},
    {CIFAR10("test_batch.bin"), .sha256 = "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
     .bytes = 30730000},
    {.name = "cifar10/test_batch_first1000.bin",
     CIFAR10_IN("test_batch.bin"),
     .sha256 = "8314c96d7cd65618193bab23acdd5d4c4af15bf6dd00a1781d55beedf3be1ef5",
     .bytes = 3073000,
     .prefix = true},
    {CIFAR10("batches.meta.txt")},
};

static const struct data_file shakespeare_files[] = {
    {.name = "shakespeare/input.txt",
     .url = "https://raw.githubusercontent.com/karpathy/char-rnn/eb529b8cedd47710cf0f911cd5f62939b164f23c/"
            "data/tinyshakespeare/input.txt",
     .sha256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
     .bytes = 1115394},
};

static const struct data_file llama2_tokenizer_files[] = {
    {.name = "tokenizer/tokenizer.model",
     .url = "https://raw.githubusercontent.com/karpathy/llama2.c/5b161abb9a043a132e290c549f2c1682e9bfb097/"
            "tokenizer.model",
     .sha256 = "9e556afd44213b6bd1be2b850ebbbd98f5481437a8021afaf58ee7fb1818d347",
     .bytes = 499723},
};

/* clang-format on */

#define FILES(files) files, sizeof(files) / sizeof((files)[0])

static const struct data_set sets[] = {
    {"wikitext2",
     "Wikipedia articles, tokenized, rare words as <unk>; and the start of the raw training text",
     FILES(wikitext2_files),
     "https://www.salesforce.com/blog/the-wikitext-long-term-dependency-language-modeling-dataset/",
     "CC BY-SA 3.0 (text of Wikipedia)",
     "S. Merity, C. Xiong, J. Bradbury, R. Socher: Pointer Sentinel Mixture Models. ICLR 2017.", NULL},
    {"tinystories", "short stories in the words of small children, written by language models",
     FILES(tinystories_files), "https://huggingface.co/datasets/roneneldan/TinyStories", "CDLA-Sharing-1.0",
     "R. Eldan, Y. Li: TinyStories: How Small Can Language Models Be and Still Speak Coherent English? "
     "arXiv:2305.07759, 2023.",
     "1.9 GB"},
    {"cifar10", "60,000 colour images of 32 x 32 pixels in ten classes, binary version", FILES(cifar10_files),
     "https://www.cs.toronto.edu/~kriz/cifar.html", "none stated by the authors; they ask to be cited",
     "A. Krizhevsky: Learning Multiple Layers of Features from Tiny Images. University of Toronto, 2009.",
     "they come out of cifar-10-binary.tar.gz (170 MB), which may be deleted afterwards"},
    {"shakespeare", "a megabyte of plays", FILES(shakespeare_files), "https://github.com/karpathy/char-rnn",
     "public domain (text), MIT (repository)",
     "A. Karpathy: The Unreasonable Effectiveness of Recurrent Neural Networks. 2015.", NULL},
    {"llama2-tokenizer", "the SentencePiece model of Llama 2, 32,000 pieces", FILES(llama2_tokenizer_files),
     "https://github.com/karpathy/llama2.c", "Llama 2 Community Licence (model file), MIT (repository)",
     "H. Touvron et al.: Llama 2: Open Foundation and Fine-Tuned Chat Models. arXiv:2307.09288, 2023.", NULL},
};

enum { SETS = sizeof sets / sizeof sets[0] };

int32_t registry_count(void) {
    return SETS;
}

const struct data_set *registry_at(int32_t i) {
    return &sets[i];
}

const struct data_set *registry_holding(const char *file) {
    for (int32_t i = 0; i < SETS; i++)
        for (int32_t k = 0; k < sets[i].num_files; k++)
            if (strcmp(sets[i].files[k].name, file) == 0) return &sets[i];
    return NULL;
}

moe_status registry_find(const char *name, const struct data_set **out_set, moe_err *err) {
    const char *names[SETS];
    char all[256] = "";
    for (int32_t i = 0; i < SETS; i++) {
        names[i] = sets[i].name;
        if (strcmp(sets[i].name, name) == 0) {
            *out_set = &sets[i];
            return MOE_OK;
        }
        const size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s%s", i == 0 ? "" : ", ", sets[i].name);
    }
    const char *nearest = text_nearest(name, names, SETS);
    return moe_fail(err, MOE_ENOTFOUND, "there is no data set '%s'%s%s%s; there are %s", name,
                    nearest == NULL ? "" : " (did you mean ", nearest == NULL ? "" : nearest,
                    nearest == NULL ? "" : "?)", all);
}
