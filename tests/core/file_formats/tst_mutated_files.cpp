// SPDX-License-Identifier: GPL-3.0-or-later
// Small valid files, damaged thousands of times in random places: opening them must end in a model or in an error with
// a reason, never in a crash, and never ask for much memory.
#include "tests/support/checkpoint_files.h"
#include "tests/support/torch_files.h"

#include <QTest>

#include <atomic>
#include <cstdlib>
#include <new>
#include <random>

namespace {

std::atomic<std::size_t> largestRequest = 0;

void* allocate(std::size_t size)
{
    for (auto seen = largestRequest.load(); size > seen && !largestRequest.compare_exchange_weak(seen, size);) { }
    if (void* memory = std::malloc(size ? size : 1))
        return memory;
    throw std::bad_alloc();
}

}  // namespace

// Every allocation of core in this program comes through here, so that the test can see the largest.
void* operator new(std::size_t size)
{
    return allocate(size);
}
void* operator new[](std::size_t size)
{
    return allocate(size);
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept
try {
    return allocate(size);
} catch (const std::bad_alloc&) {
    return nullptr;
}
void* operator new[](std::size_t size, const std::nothrow_t& tag) noexcept
{
    return operator new(size, tag);
}
void operator delete(void* memory) noexcept
{
    std::free(memory);
}
void operator delete[](void* memory) noexcept
{
    std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept
{
    std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept
{
    std::free(memory);
}

using namespace quantloupe;
using tests::raw;

class TestMutatedFiles : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void staysCalm_data()
    {
        QTest::addColumn<QByteArray>("file");
        QTest::addColumn<QByteArray>("name");
        const auto row = [](const char* title, const std::string& file, const char* name) {
            QTest::newRow(title) << QByteArray(file.data(), qsizetype(file.size())) << QByteArray(name);
        };
        row("safetensors",
            tests::safetensorsFile(
                R"({"__metadata__":{"format":"pt"},)"
                R"("model.layers.0.mlp.experts.3.up_proj.weight":{"dtype":"BF16","shape":[4,8],"data_offsets":[0,64]},)"
                R"("h.0.attn.c_attn.weight":{"dtype":"F32","shape":[2,6],"data_offsets":[64,112]},)"
                R"("n":{"dtype":"F4","shape":[2,2,2],"data_offsets":[112,116]}})",
                116),
            "model.safetensors");
        const auto list =
            raw(std::uint32_t {8}) + raw(std::uint64_t {2}) + tests::ggufText("<s>") + tests::ggufText("</s>");
        row("GGUF",
            tests::GgufBuilder()
                .text("general.architecture", "llama")
                .u32("llama.block_count", 1)
                .u32("general.alignment", 32)
                .key("tokenizer.ggml.tokens", 9, list)
                .key("flag", 7, raw(std::uint8_t {1}))
                .tensor("token_embd.weight", {32, 2}, 8, 68)
                .tensor("blk.0.attn_q.weight", {4, 4}, 1, 32)
                .file(),
            "model.gguf");
        row("shard of a split GGUF",
            tests::GgufBuilder()
                .key("split.no", 2, raw(std::uint16_t {0}))
                .key("split.count", 2, raw(std::uint16_t {1}))
                .key("split.tensors.count", 5, raw(std::int32_t {1}))
                .tensor("token_embd.weight", {4, 4}, 0, 64)
                .file(),
            "m-00001-of-00001.gguf");
        row("index", R"({"metadata":{"total_size":4},"weight_map":{"w":"part.safetensors","v":"part.safetensors"}})",
            "model.safetensors.index.json");
        const tests::TorchBuilder torch {
            tests::pickle::dictionary(
                {{"model",
                     tests::pickle::dictionary(
                         {{"w",
                              tests::pickle::tensor(tests::pickle::storage("FloatStorage", "0", 6), 0, {2, 3}, {1, 2})},
                             {"v",
                                 tests::pickle::tensor(tests::pickle::storage("FloatStorage", "0", 6), 2, {4}, {1})}})},
                    {"epoch", tests::pickle::integer(3)}}),
            {{"0", std::string(24, '\1')}}};
        row("PyTorch", torch.archive().file(), "model.pt");
        row("PyTorch before archives", torch.stream(4), "model.pth");
        const auto array = "\x93NUMPY\1" + raw('\0') + raw(std::uint16_t {118})
            + "{'descr': '<f2', 'fortran_order': True, 'shape': (2, 3), }" + std::string(59, ' ') + "\n"
            + std::string(12, '\1');
        row("NumPy array", array, "model.npy");
        tests::ZipBuilder arrays;
        arrays.store("w.npy", array);
        arrays.deflate("v.npy", array);
        row("NumPy archive", arrays.file(), "model.npz");
        const auto llama = raw(std::uint32_t {0x616B3432}) + raw(2) + raw(4) + raw(4) + raw(1) + raw(2) + raw(1)
            + raw(4) + raw(4) + raw('\1') + raw(4) + std::string(215, '\0')
            + std::string(48 + 2 * (16 + 16 + 8 + 8 + 16 + 48), '\1');
        row("llama2.c", llama, "model.bin");
        row("config",
            R"({"model_type":"llama","hidden_size":64,"text_config":{"num_attention_heads":8},"tie_word_embeddings":true})",
            "config.json");
    }

    void staysCalm()
    {
        QFETCH(const QByteArray, file);
        QFETCH(const QByteArray, name);
        tests::CheckpointFolder folder;
        const auto part = tests::safetensorsFile(
            R"({"v":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"w":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
            4);
        folder.write("part.safetensors", part);
        const bool isConfig = name == "config.json";
        const auto opened = isConfig ? folder.path() / "part.safetensors" : folder.path() / name.toStdString();

        const std::string valid(file.constData(), std::size_t(file.size()));
        folder.write(name.toStdString(), valid);
        const auto unbroken = openModel(opened);
        QVERIFY2(unbroken, unbroken ? "" : describe(unbroken.error()).c_str());

        std::mt19937 random(20'240'601);
        const auto below = [&](std::size_t limit) { return std::size_t(random() % limit); };
        constexpr std::array<unsigned char, 8> kNasty {0x00, 0xFF, 0x7F, 0x80, '"', '{', '[', '9'};
        int refused = 0;
        for (int round = 0; round < 3'000; ++round) {
            auto broken = valid;
            const auto changes = 1 + below(4);
            for (std::size_t i = 0; i < changes && !broken.empty(); ++i) {
                auto& byte = broken[below(broken.size())];
                switch (below(6)) {
                case 0: byte = static_cast<char>(byte ^ char(1U << below(8))); break;
                case 1: byte = static_cast<char>(random()); break;
                case 2: byte = static_cast<char>(kNasty[below(kNasty.size())]); break;
                case 3: broken.resize(below(broken.size())); break;
                case 4: broken.insert(below(broken.size()), broken.substr(below(broken.size()), below(40))); break;
                default: broken.erase(below(broken.size()), below(9)); break;
                }
            }
            folder.write(name.toStdString(), broken);
            largestRequest = 0;
            const auto model = openModel(opened);
            QVERIFY2(largestRequest < 1'000'000,
                qPrintable(QString("round %1: %2 bytes at once").arg(round).arg(largestRequest.load())));
            if (!model) {
                ++refused;
                QVERIFY(!model.error().reason.empty());
                QVERIFY(!model.error().where.empty());
                QVERIFY(model.error().code != ErrorCode::Internal);
                continue;
            }
            // What is accepted must be sound: every byte of every tensor inside its file.
            for (const auto& tensor : (*model)->tensors) {
                const auto whole = tensor.view.owner->bytes();
                const auto& stored = tensor.view.bytes;
                QVERIFY(tensor.offset <= whole.size() && stored.size() <= whole.size() - tensor.offset);
                QVERIFY(stored.empty() || stored.data() == whole.data() + tensor.offset);
                const bool coded = tensor.view.decoder && !tensor.view.decoder->description().empty();
                QVERIFY(coded || byteCount(tensor.view.elements(), tensor.view.dtype) == tensor.bytes());
                const auto held = holdBytes(tensor.view, {});
                const auto matrix = matrixShape(tensor.view);
                if (!held || !tensor.view.decodable() || matrix.elements() > 10'000)
                    continue;
                std::vector<float> values(matrix.elements());
                decodeRows(tensor.view, 0, matrix.rows, values);
            }
        }
        QVERIFY2(isConfig ? refused == 0 : refused > 1'000, qPrintable(QString("%1 refused").arg(refused)));
    }
};

QTEST_APPLESS_MAIN(TestMutatedFiles)
#include "tst_mutated_files.moc"
