// SPDX-License-Identifier: GPL-3.0-or-later
// Packed layouts against the documents: golden words, and a naive unpacker that knows nothing of ours.
#include "checkpoint_fixture.h"

#include <QTest>

#include <algorithm>
#include <cmath>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

const std::string kWeight = "model.layers.0.mlp.up_proj.weight";
const std::string kModule = "model.layers.0.mlp.up_proj";

ModelPointer modelOf(const CheckpointFolder& folder, const std::vector<NamedMatrix>& tensors)
{
    folder.write("config.json", R"({"model_type": "llama", "hidden_size": 64, "torch_dtype": "float32"})");
    folder.write("tokenizer.json", "{}");
    const auto model = openModel(folder.write("model.safetensors", safetensorsOf(tensors)));
    return model ? *model : nullptr;
}

float half(std::uint16_t bits)
{
    float value = 0.0F;
    decodeElements(DType::F16, reinterpret_cast<const std::byte*>(&bits), 0, 1, 1, &value);
    return value;
}

}  // namespace

class TestPackedCheckpoints : public QObject
{
    Q_OBJECT
    CheckpointFolder m_source, m_target;

private Q_SLOTS:
    void packsAsTheDocumentSays()
    {
        // symf's scale is 7.5/7.5, by which the codes are 7 (8 has none) and −7 … −1; stored they begin at 0.
        const auto model = modelOf(m_source, {{kWeight, {1, 8}, {7.5F, -7, -6, -5, -4, -3, -2, -1}}});
        QVERIFY(model);
        const auto out = m_target.path() / "golden";
        const auto written =
            exportTo("compressed-tensors-checkpoint", requestFor(model, recipeOf("int4:g8:symf:s32")), out);
        QVERIFY2(written, written ? "" : qPrintable(QString::fromStdString(describe(written.error()))));
        const auto file = out / "model.safetensors";
        QCOMPARE(storedNumbers<std::uint32_t>(file, kModule + ".weight_packed"), std::vector {0x7654321FU});
        QCOMPARE(storedNumbers<std::int64_t>(file, kModule + ".weight_shape"), (std::vector<std::int64_t> {1, 8}));
        QCOMPARE(storedNumbers<float>(file, kModule + ".weight_scale"), std::vector {1.0F});
        const auto config = jsonAt(out / "config.json");
        QCOMPARE(config["hidden_size"].get<int>(), 64);
        QCOMPARE(config["quantization_config"]["format"].get<std::string>(), std::string("pack-quantized"));
        QVERIFY(std::filesystem::exists(out / "tokenizer.json"));
    }

    void packedWordsHoldTheCodes_data()
    {
        QTest::addColumn<QString>("scheme");
        QTest::addColumn<int>("bits");
        QTest::addColumn<int>("group");
        QTest::newRow("4 bits") << "int4:g16:symf:s32" << 4 << 16;
        QTest::newRow("4 bits, zero points") << "int4:g16:asym:s32" << 4 << 16;
        QTest::newRow("3 bits in a stream, zero points") << "int3:g16:asym:s32" << 3 << 16;
        QTest::newRow("8 bits by channel") << "int8:channel:sym:s32" << 8 << 64;
        QTest::newRow("5 bits in a stream, mse") << "int5:g16:symf:mse:s32" << 5 << 16;
    }
    void packedWordsHoldTheCodes()
    {
        QFETCH(QString, scheme);
        QFETCH(int, bits);
        QFETCH(int, group);
        constexpr std::size_t rows = 37, columns = 64;
        const auto matrix = randomMatrix(kWeight, {rows, columns}, 5);
        const auto model = modelOf(m_source, {matrix, randomMatrix("model.norm.weight", {64}, 1)});
        QVERIFY(model);
        const auto out = m_target.path() / QTest::currentDataTag();
        const auto written = exportTo(
            "compressed-tensors-checkpoint", requestFor(model, recipeOf(scheme.toStdString())), out, {.threads = 3});
        QVERIFY2(written, written ? "" : qPrintable(QString::fromStdString(describe(written.error()))));
        const auto file = out / "model.safetensors";
        const auto words = storedNumbers<std::uint32_t>(file, kModule + ".weight_packed");
        const auto zeros = storedNumbers<std::uint32_t>(file, kModule + ".weight_zero_point");
        const auto scales = storedNumbers<float>(file, kModule + ".weight_scale");
        const auto expected = fakeQuantized(scheme.toStdString(), matrix);
        const std::size_t wordsPerRow = (columns * std::size_t(bits) + 31) / 32;
        const auto groups = columns / std::size_t(group);
        QCOMPARE(words.size(), rows * wordsPerRow);
        QCOMPARE(scales.size(), rows * groups);
        // Code i of words `stride` apart.
        const auto take = [&](const std::vector<std::uint32_t>& from, std::size_t first, std::size_t stride,
                              std::size_t i) {
            std::uint32_t value = 0;
            for (std::size_t bit = 0; bit < std::size_t(bits); ++bit) {
                const auto at = i * std::size_t(bits) + bit;
                value |= (from[first + at / 32 * stride] >> at % 32 & 1U) << bit;
            }
            return int(value);
        };
        for (std::size_t row = 0; row < rows; ++row)
            for (std::size_t column = 0; column < columns; ++column) {
                const auto at = row * groups + column / std::size_t(group);
                const int zero =
                    zeros.empty() ? 1 << (bits - 1) : take(zeros, column / std::size_t(group), groups, row);
                const int code = take(words, row * wordsPerRow, 1, column);
                QCOMPARE(float(code - zero) * scales[at], expected[row * columns + column]);
            }
        // Where codes lie across words, the versions that read them otherwise are kept off.
        const bool straddles = 32 % bits != 0;
        QCOMPARE(jsonAt(out / "config.json")["quantization_config"]["version"].get<std::string>(),
            std::string(straddles ? "0.18.0" : "0.12.0"));
        const auto draft = findCheckpointTarget("compressed-tensors-checkpoint")
                               ->draft(requestFor(model, recipeOf(scheme.toStdString())));
        QVERIFY(draft);
        QCOMPARE(std::ranges::any_of(draft->warnings,
                     [](const std::string& warning) { return warning.find("from 0.18 on") != std::string::npos; }),
            straddles);
        // What stays keeps its bytes.
        QCOMPARE(storedNumbers<float>(file, "model.norm.weight"), randomWeights(64, 1));
    }

    void elementsHoldTheCodes_data()
    {
        QTest::addColumn<QString>("scheme");
        QTest::newRow("int8 with quantized inputs") << "int8:channel:sym:s32/int8:token";
        QTest::newRow("int8 with zero points") << "int8:channel:asym:s32/int8:token";
        QTest::newRow("int8 of the tensor") << "int8:tensor:symf:s32/int8:token";
        QTest::newRow("fp8 by channel") << "fp8_e4m3:channel:s32";
        QTest::newRow("fp8 by blocks") << "fp8_e4m3:b16x16:s32";
        QTest::newRow("mxfp4") << "mxfp4";
    }
    void elementsHoldTheCodes()
    {
        QFETCH(QString, scheme);
        const auto matrix = randomMatrix(kWeight, {48, 64}, 7);
        const auto model = modelOf(m_source, {matrix});
        QVERIFY(model);
        const auto out = m_target.path() / ("elements " + QString(QTest::currentDataTag())).toStdString();
        const auto written =
            exportTo("compressed-tensors-checkpoint", requestFor(model, recipeOf(scheme.toStdString())), out);
        QVERIFY2(written, written ? "" : qPrintable(QString::fromStdString(describe(written.error()))));
        const auto again = openModel(out);
        QVERIFY(again);
        const auto values = valuesIn(**again, kWeight);
        const auto weights = scheme.section('/', 0, 0).toStdString();
        if (!scheme.contains(":tensor") && !scheme.contains(":b16"))
            QCOMPARE(values, fakeQuantized(weights, matrix));
        QCOMPARE(values.size(), matrix.values.size());
        double error = 0.0, energy = 0.0;
        for (std::size_t i = 0; i < values.size(); ++i) {
            error += std::pow(double(values[i]) - double(matrix.values[i]), 2);
            energy += std::pow(double(matrix.values[i]), 2);
        }
        QVERIFY(error > 0.0 && error < 0.03 * energy);
        if (scheme.contains("int8"))
            QCOMPARE(storedNumbers<std::int8_t>(out / "model.safetensors", kWeight).size(), std::size_t(48 * 64));
    }

    void gptqLayout_data()
    {
        QTest::addColumn<QString>("scheme");
        QTest::addColumn<int>("bits");
        QTest::newRow("4 bits") << "int4:g32:symf" << 4;
        QTest::newRow("4 bits, zero points") << "int4:g32:asym" << 4;
        QTest::newRow("3 bits in a stream") << "int3:g32:symf" << 3;
        QTest::newRow("2 bits by channel") << "int2:channel:asym" << 2;
        QTest::newRow("8 bits") << "int8:g64:sym" << 8;
    }
    void gptqLayout()
    {
        QFETCH(QString, scheme);
        QFETCH(int, bits);
        constexpr std::size_t rows = 288, columns = 64;  // more than one tile
        const auto matrix = randomMatrix(kWeight, {rows, columns}, 3);
        const auto model = modelOf(m_source, {matrix});
        QVERIFY(model);
        const auto out = m_target.path() / ("gptq " + QString(QTest::currentDataTag())).toStdString();
        const auto written = exportTo("gptq", requestFor(model, recipeOf(scheme.toStdString())), out);
        QVERIFY2(written, written ? "" : qPrintable(QString::fromStdString(describe(written.error()))));
        const auto file = out / "model.safetensors";
        const auto codes = storedNumbers<std::uint32_t>(file, kModule + ".qweight");
        const auto zeros = storedNumbers<std::uint32_t>(file, kModule + ".qzeros");
        const auto scales = storedNumbers<std::uint16_t>(file, kModule + ".scales");
        const auto index = storedNumbers<std::int32_t>(file, kModule + ".g_idx");
        const auto config = jsonAt(out / "quantize_config.json");
        const bool second = config["checkpoint_format"] == "gptq_v2";
        QCOMPARE(config["bits"].get<int>(), bits);
        QCOMPARE(second, !config["sym"].get<bool>());
        const auto groups = scales.size() / rows, width = std::size_t(bits);
        QCOMPARE(codes.size(), columns * width / 32 * rows);
        QCOMPARE(zeros.size(), groups * rows * width / 32);
        const auto number = [&](const std::vector<std::uint32_t>& words, std::size_t first, std::size_t stride,
                                std::size_t i) {
            std::uint32_t value = 0;
            for (std::size_t bit = 0; bit < width; ++bit)
                value |= (words[first + (i * width + bit) / 32 * stride] >> (i * width + bit) % 32 & 1U) << bit;
            return int(value);
        };
        const auto quantizer = *Quantizer::create(*Scheme::parse(scheme.toStdString()), columns);
        for (std::size_t row = 0; row < rows; ++row)
            for (std::size_t column = 0; column < columns; ++column) {
                const auto group = std::size_t(index[column]);
                QCOMPARE(group, column / (columns / groups));
                const int zero = number(zeros, group * rows * width / 32, 1, row) + (second ? 0 : 1);
                const float scale = half(scales[group * rows + row]);
                const float value = float(number(codes, row, rows, column) - zero) * scale;
                // Half a step, or one at an end that is clipped.
                QVERIFY(std::abs(value - matrix.values[row * columns + column]) <= 1.01F * scale);
            }
        if (!second && bits == 4)
            QCOMPARE(zeros.front(), 0x77777777U);
    }

    /// 48 codes of 3 bits take five words, in a stream or ten to a word.
    void refusesRowsThatReadTwoWays()
    {
        const auto model = modelOf(m_source, {randomMatrix(kWeight, {64, 48}, 2)});
        QVERIFY(model);
        const auto draft =
            findCheckpointTarget("compressed-tensors-checkpoint")->draft(requestFor(model, recipeOf("int3:channel")));
        QVERIFY(!draft);
        QVERIFY2(draft.error().reason.find("earlier versions") != std::string::npos, draft.error().reason.c_str());
    }

    void refusesWhatCannotBeHeld_data()
    {
        QTest::addColumn<QString>("target");
        QTest::addColumn<QString>("scheme");
        QTest::addColumn<QString>("reason");
        const auto row = [](const char* target, const char* scheme, const char* reason) {
            QTest::addRow("%s %s", target, scheme) << target << scheme << reason;
        };
        row("compressed-tensors-checkpoint", "int4:g32+hadamard", "when the model runs");
        row("compressed-tensors-checkpoint", "int4:g32:asymf", "zero points are integers");
        row("compressed-tensors-checkpoint", "int4:g48", "divide");
        row("compressed-tensors-checkpoint", "int8:tensor", "channels or groups");
        row("compressed-tensors-checkpoint", "int4:g32:se8m0", "s32, s16 or sbf16");
        row("compressed-tensors-checkpoint", "nf4", "stores integers");
        row("gptq", "int5:g32", "2, 3, 4 or 8");
        row("gptq", "int4:g32:s32", "FP16");
        row("gptq", "fp8_e4m3", "integers");
        row("gguf", "int4:g32+hadamard", "architecture");
    }
    void refusesWhatCannotBeHeld()
    {
        QFETCH(QString, target);
        QFETCH(QString, scheme);
        QFETCH(QString, reason);
        const auto model = modelOf(m_source, {randomMatrix(kWeight, {64, 64}, 2)});
        QVERIFY(model);
        const auto draft =
            findCheckpointTarget(target.toStdString())->draft(requestFor(model, recipeOf(scheme.toStdString())));
        QVERIFY(!draft);
        QCOMPARE(draft.error().code, ErrorCode::Unsupported);
        const auto text = QString::fromStdString(describe(draft.error()));
        QVERIFY2(text.contains(reason) || target == "gguf", qPrintable(text));
    }
};

QTEST_GUILESS_MAIN(TestPackedCheckpoints)
#include "tst_packed_checkpoints.moc"
