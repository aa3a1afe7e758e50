// SPDX-License-Identifier: GPL-3.0-or-later
// GGUF files against those that other programs made of the same model, and against the codes that schemes choose.
#include "checkpoint_fixture.h"
#include "core/file_formats/gguf_header.h"
#include "tests/support/shared_data.h"

#include <QTest>

#include <algorithm>
#include <cmath>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace fs = std::filesystem;

namespace {

fs::path stories(const char* file)
{
    return corpus() / "llm" / "stories260K" / file;
}

struct OpenGguf {
    std::string bytes;
    GgufHeader header;
};

OpenGguf openHeader(const fs::path& path)
{
    OpenGguf file {bytesOf(path), {}};
    if (auto header = readGgufHeader(std::as_bytes(std::span<const char>(file.bytes)), path.string()))
        file.header = std::move(*header);
    return file;
}

Bytes dataOf(const OpenGguf& file, const GgufTensor& tensor)
{
    return std::as_bytes(std::span<const char>(file.bytes)).subspan(tensor.begin, tensor.bytes);
}

/// Eleven bits, the last of them worth 2⁻²⁴ at least; ties to even.
float nearestHalf(float value)
{
    int exponent = 0;
    std::frexp(value, &exponent);
    const float step = std::ldexp(1.0F, std::max(exponent - 11, -24));
    return std::nearbyint(value / step) * step;
}

QString messageOf(const Result<WrittenCheckpoint>& written)
{
    return written ? QString() : QString::fromStdString(describe(written.error()));
}

}  // namespace

class TestGgufCheckpoint : public QObject
{
    Q_OBJECT
    CheckpointFolder m_target;

private Q_SLOTS:
    /// Names, order of rows within heads, types and metadata: the file that llama.cpp's own converter makes.
    void folderBecomesWhatOthersMakeOfIt()
    {
        QUANTLOUPE_NEED(stories("hf"));
        const auto model = openModel(stories("hf"));
        QVERIFY(model);
        const auto out = m_target.path() / "float.gguf";
        const auto written = exportTo("gguf", requestFor(*model, recipeOf("fp32")), out);
        QVERIFY2(written, qPrintable(messageOf(written)));
        const auto ours = openHeader(out), theirs = openHeader(stories("gguf/stories260K-f32.gguf"));
        QCOMPARE(ours.header.tensors.size(), theirs.header.tensors.size());
        QVERIFY(!ours.header.tensors.empty());
        for (const auto& tensor : theirs.header.tensors) {
            const auto found = std::find_if(ours.header.tensors.begin(), ours.header.tensors.end(),
                [&](const GgufTensor& own) { return own.name == tensor.name; });
            QVERIFY2(found != ours.header.tensors.end(), tensor.name.c_str());
            QCOMPARE(found->shape, tensor.shape);
            QVERIFY2(std::ranges::equal(dataOf(ours, *found), dataOf(theirs, tensor)), tensor.name.c_str());
        }
        for (const auto* key : {"llama.block_count", "llama.embedding_length", "llama.feed_forward_length",
                 "llama.attention.head_count", "llama.attention.head_count_kv", "llama.rope.dimension_count",
                 "llama.context_length", "llama.attention.layer_norm_rms_epsilon", "llama.rope.freq_base",
                 "tokenizer.ggml.model", "tokenizer.ggml.tokens", "tokenizer.ggml.token_type",
                 "tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id"}) {
            const auto *own = ours.header.find(key), *other = theirs.header.find(key);
            QVERIFY2(own && other, key);
            QVERIFY2(std::ranges::equal(own->bytes, other->bytes), key);
        }
    }

    /// q8_0 and the K types fall back as llama-quantize does; the bytes are those of a file it wrote.
    void typesAreThoseOfOthers()
    {
        QUANTLOUPE_NEED(stories("gguf"));
        const auto model = openModel(stories("gguf/stories260K-f32.gguf"));
        QVERIFY(model);
        const auto out = m_target.path() / "q4k.gguf";
        const auto theirs = openHeader(stories("gguf/stories260K-direct-Q4_K_M.gguf"));
        // The recipe that its types amount to.
        auto recipe = recipeOf("fp16");
        for (const auto& tensor : theirs.header.tensors)
            if (isBlockType(tensor.dtype)) {
                auto name = std::string(nameOf(tensor.dtype));
                std::ranges::transform(name, name.begin(), [](char c) { return char(std::tolower(c)); });
                recipe.rules.push_back({tensor.name, *LayerPlan::parse(name)});
            }
        QVERIFY(recipe.rules.size() > 20);
        const auto written = exportTo("gguf", requestFor(*model, recipe), out, {.threads = 2});
        QVERIFY2(written, qPrintable(messageOf(written)));
        const auto ours = openHeader(out);
        for (const auto& tensor : theirs.header.tensors) {  // in another order
            const auto found = std::ranges::find(ours.header.tensors, tensor.name, &GgufTensor::name);
            QVERIFY2(found != ours.header.tensors.end(), tensor.name.c_str());
            QCOMPARE(found->dtype, tensor.dtype);
            QVERIFY2(std::ranges::equal(dataOf(ours, *found), dataOf(theirs, tensor)), tensor.name.c_str());
        }
        // All that the source says is still said.
        const auto source = openHeader(stories("gguf/stories260K-f32.gguf"));
        for (const auto& entry : source.header.metadata)
            if (entry.key != "general.file_type" && entry.key != "general.quantization_version") {
                const auto* own = ours.header.find(entry.key);
                QVERIFY2(own && std::ranges::equal(own->bytes, entry.value.bytes), entry.key.c_str());
            }
        QCOMPARE(wholeNumber(*ours.header.find("general.quantization_version")), std::optional<std::uint64_t>(2));
    }

    void codesOfIntegersAreCarried_data()
    {
        QTest::addColumn<QString>("scheme");
        QTest::addColumn<QString>("type");
        QTest::newRow("int4") << "int4:g32:sym"
                              << "q4_0";
        QTest::newRow("int4 in longer groups") << "int4:g64:symf:mse"
                                               << "q4_0";
        QTest::newRow("int4 with a minimum") << "int4:g32:asymf"
                                             << "q4_1";
        QTest::newRow("int5 by channel") << "int5:channel:sym"
                                         << "q5_0";
        QTest::newRow("int5 with a minimum") << "int5:g64:asymf"
                                             << "q5_1";
        QTest::newRow("int8 of the tensor") << "int8:tensor:sym"
                                            << "q8_0";
        QTest::newRow("int7") << "int7:g32:symf"
                              << "q8_0";
        QTest::newRow("mxfp4") << "mxfp4"
                               << "mxfp4";
    }
    void codesOfIntegersAreCarried()
    {
        QFETCH(QString, scheme);
        QFETCH(QString, type);
        CheckpointFolder source;
        source.write("config.json", R"({"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 1,
            "intermediate_size": 96, "num_attention_heads": 4, "max_position_embeddings": 128})");
        const auto matrix = randomMatrix("model.layers.0.mlp.up_proj.weight", {96, 64}, 4);
        const auto model = openModel(source.write("model.safetensors",
            safetensorsOf({matrix, randomMatrix("model.layers.0.input_layernorm.weight", {64}, 6)})));
        QVERIFY(model);
        const auto out = m_target.path() / (std::string(QTest::currentDataTag()) + ".gguf");
        const auto written = exportTo("gguf", requestFor(*model, recipeOf(scheme.toStdString())), out);
        QVERIFY2(written, qPrintable(messageOf(written)));
        const auto again = openModel(out);
        QVERIFY(again);
        const auto& stored = (*again)->tensors[*(*again)->find("blk.0.ffn_up.weight")];
        QCOMPARE(QString::fromStdString(stored.storedAs()), type);
        // What fits the grids with scales in FP16 beside them: the values that the packed matrix stands for.
        if (!scheme.contains("tensor")) {
            const auto quantizer = *Quantizer::create(*Scheme::parse(scheme.toStdString()), 64);
            std::vector<UnitGrid> grids(quantizer.gridCount(96));
            quantizer.fit(matrix.values, 96, grids);
            for (auto& grid : grids)
                if (scheme != "mxfp4") {
                    grid.scale = nearestHalf(grid.scale);
                    if (scheme.contains("asymf"))
                        grid.zero = nearestHalf(grid.zero);
                }
            std::vector<float> expected(matrix.values.size());
            quantizer.fakeQuantize(matrix.values, 96, grids, expected);
            QCOMPARE(valuesOf(stored.view), expected);
        }
        QCOMPARE(valuesIn(**again, "blk.0.attn_norm.weight"), randomWeights(64, 6));
    }

    void expertsAreStacked()
    {
        CheckpointFolder source;
        source.write("config.json", R"({"model_type": "mixtral", "hidden_size": 64, "num_hidden_layers": 1,
            "intermediate_size": 32, "num_attention_heads": 4, "max_position_embeddings": 128,
            "num_local_experts": 3, "num_experts_per_tok": 2})");
        std::vector<NamedMatrix> tensors;
        const std::string prefix("model.layers.0.block_sparse_moe.experts.");
        for (const unsigned expert : {0U, 1U, 2U})
            tensors.push_back(randomMatrix(prefix + std::to_string(expert) + ".w1.weight", {32, 64}, expert));
        const auto model = openModel(source.write("model.safetensors", safetensorsOf(tensors)));
        QVERIFY(model);
        auto recipe = recipeOf("q4_0");
        recipe.rules.push_back({prefix + "1.w1.weight", *LayerPlan::parse("q8_0")});
        const auto request = requestFor(*model, recipe);
        const auto draft = findCheckpointTarget("gguf")->draft(request);
        QVERIFY(draft);
        QCOMPARE(draft->changes.size(), std::size_t(2));  // the other two take the wider type
        const auto out = m_target.path() / "experts.gguf";
        QVERIFY(exportTo("gguf", request, out));
        const auto again = openModel(out);
        QVERIFY(again);
        const auto& stack = (*again)->tensors[*(*again)->find("blk.0.ffn_gate_exps.weight")];
        QCOMPARE(stack.view.shape, (Shape {3, 32, 64}));
        QCOMPARE(stack.view.dtype, DType::Q8_0);
        std::vector<float> expected;
        for (const auto& tensor : tensors) {
            const auto part = fakeQuantized("q8_0", tensor);
            expected.insert(expected.end(), part.begin(), part.end());
        }
        QCOMPARE(valuesOf(stack.view), expected);
    }

    void quantizedTwiceOnlyOnWish()
    {
        QUANTLOUPE_NEED(stories("gguf"));
        const auto model = openModel(stories("gguf/stories260K-ff192-Q8_0.gguf"));
        QVERIFY(model);
        auto request = requestFor(*model, recipeOf("q4_0"));
        const auto refused = findCheckpointTarget("gguf")->draft(request);
        QVERIFY(!refused);
        QVERIFY(refused.error().reason.find("quantized already") != std::string::npos);
        request.requantize = true;
        QVERIFY(findCheckpointTarget("gguf")->draft(request));
        // What has the type already is copied.
        const auto same = findCheckpointTarget("gguf")->draft(requestFor(*model, recipeOf("q8_0")));
        QVERIFY(same);
        for (const auto& tensor : same->tensors)
            QVERIFY(!tensor.scheme);
    }
};

QTEST_GUILESS_MAIN(TestGgufCheckpoint)
#include "tst_gguf_checkpoint.moc"
