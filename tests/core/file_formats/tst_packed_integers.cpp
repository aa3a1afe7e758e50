// SPDX-License-Identifier: GPL-3.0-or-later
// Random codes packed bit by bit as each format says, against the definition of the weight.
#include "tests/support/packed_files.h"

#include <QTest>

#include <algorithm>
#include <numeric>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

const std::string kModule = "model.layers.0.self_attn.q_proj";

}  // namespace

class TestPackedIntegers : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void gptq_data()
    {
        QTest::addColumn<unsigned>("bits");
        QTest::addColumn<unsigned>("group");
        QTest::addColumn<bool>("second");
        QTest::addColumn<bool>("actOrder");
        for (const unsigned bits : {2U, 3U, 4U, 8U})
            for (const bool second : {false, true})
                for (const bool actOrder : {false, true})
                    QTest::addRow("%u bits%s%s", bits, second ? ", v2" : "", actOrder ? ", act-order" : "")
                        << bits << 32U << second << actOrder;
        QTest::newRow("short last group") << 4U << 64U << false << false;
        QTest::newRow("one group") << 4U << 96U << false << false;
    }

    void gptq()
    {
        QFETCH(const unsigned, bits);
        QFETCH(const unsigned, group);
        QFETCH(const bool, second);
        QFETCH(const bool, actOrder);
        const std::uint64_t rows = 64, columns = 96, groups = (columns + group - 1) / group;
        Draw draw(bits);
        const auto codes = draw.codes(rows * columns, 1U << bits);       // [row][column]
        const auto zeros = draw.codes(groups * rows, (1U << bits) - 1);  // [group][row], stored
        const auto scales = draw.scales(groups * rows);
        std::vector<std::uint32_t> groupOf(columns);
        for (std::size_t i = 0; i < columns; ++i)
            groupOf[i] = static_cast<std::uint32_t>(i / group);
        if (actOrder)
            std::reverse(groupOf.begin(), groupOf.end());

        // Along the input dimension the words of one output channel are a stream of bits, word by word.
        BitField packed(columns * bits / 32 * rows * 4), packedZeros(groups * rows * bits / 8);
        for (std::uint64_t row = 0; row < rows; ++row)
            for (std::uint64_t column = 0; column < columns; ++column)
                for (unsigned b = 0; b < bits; ++b) {
                    const auto bit = column * bits + b;
                    packed.put((bit / 32 * rows + row) * 32 + bit % 32, 1, codes[row * columns + column] >> b & 1U);
                }
        for (std::uint64_t g = 0; g < groups; ++g)
            for (std::uint64_t row = 0; row < rows; ++row)
                packedZeros.put((g * rows + row) * bits, bits, zeros[g * rows + row]);

        SafetensorsBuilder file;
        file.add(kModule + ".qweight", "I32", {columns * bits / 32, rows}, packed.bytes());
        file.add(kModule + ".qzeros", "I32", {groups, rows * bits / 32}, packedZeros.bytes());
        file.add(kModule + ".scales", "F16", {groups, rows}, halves(scales));
        file.add(kModule + ".g_idx", "I32", {columns}, numbers<std::int32_t>(groupOf));
        file.add(kModule + ".bias", "F16", {rows}, std::string(2 * rows, '\0'));
        CheckpointFolder folder;
        folder.write("config.json",
            filled(R"({"model_type":"llama","quantization_config":{"quant_method":"gptq","bits":%,"group_size":%,)"
                   R"("sym":false,"checkpoint_format":"%"}})",
                {std::to_string(bits), std::to_string(group), second ? "gptq_v2" : "gptq"}));
        const auto model = openModel(folder.write("model.safetensors", file.file()));
        const auto text = "GPTQ int" + std::to_string(bits) + (groups == 1 ? ":channel" : ":g" + std::to_string(group))
            + ":asym" + (actOrder ? ", act-order" : "");
        QUANTLOUPE_COMPARE_WEIGHT(
            model, kModule + ".weight", Shape({rows, columns}), text, [&](std::uint64_t row, std::uint64_t column) {
                const auto g = groupOf[column];
                const auto zero = static_cast<float>(zeros[g * rows + row]) + (second ? 0.0F : 1.0F);
                return (static_cast<float>(codes[row * columns + column]) - zero) * scales[g * rows + row];
            });
        const auto& tensors = (*model)->tensors;
        QCOMPARE(tensors.size(), std::size_t(2));
        QCOMPARE(
            tensors[0].bytes(), rows * columns * bits / 8 + groups * rows * bits / 8 + 2 * groups * rows + 4 * columns);
        QVERIFY(tensors[0].parts.role == TensorRole::Query);
        QCOMPARE(tensors[1].name, kModule + ".bias");
        QCOMPARE((*model)->warnings.size(), std::size_t(1));
        QVERIFY((*model)->warnings[0].find(text + " (1)") != std::string::npos);
    }

    /// Where zero points count from is said in config.json, or in a file of its own, or not at all.
    void settingsBeside_data()
    {
        QTest::addColumn<QByteArray>("name");
        QTest::addColumn<QByteArray>("content");
        QTest::addColumn<float>("value");
        const QByteArray second(R"({"bits":4,"group_size":32,"checkpoint_format":"gptq_v2","sym":true})");
        QTest::newRow("config.json") << QByteArray("config.json") << "{\"quantization_config\":" + second + "}" << 0.0F;
        QTest::newRow("quantize_config.json") << QByteArray("quantize_config.json") << second << 0.0F;
        QTest::newRow("older") << QByteArray("quantize_config.json") << QByteArray(R"({"bits":4,"group_size":32})")
                               << -0.5F;
        QTest::newRow("not JSON") << QByteArray("quantize_config.json") << QByteArray("bits: 4") << -0.5F;
        QTest::newRow("nothing") << QByteArray("other.json") << QByteArray("{}") << -0.5F;
    }

    void settingsBeside()
    {
        QFETCH(const QByteArray, name);
        QFETCH(const QByteArray, content);
        QFETCH(const float, value);
        SafetensorsBuilder file;  // codes and stored zero points are 8 throughout
        file.add(kModule + ".qweight", "I32", {4, 32}, std::string(4 * 4 * 32, '\x88'));
        file.add(kModule + ".qzeros", "I32", {1, 4}, std::string(16, '\x88'));
        file.add(kModule + ".scales", "F32", {1, 32}, numbers<float>(std::vector<float>(32, 0.5F)));
        CheckpointFolder folder;
        folder.write(name.toStdString(), content.toStdString());
        const auto model = openModel(folder.write("model.safetensors", file.file()));
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        std::vector<float> values(32 * 32);
        decodeRows((*model)->tensors[0].view, 0, 32, values);
        QVERIFY(std::all_of(values.begin(), values.end(), [&](float one) { return one == value; }));
    }

    void awq()
    {
        const std::uint64_t rows = 24, columns = 64, group = 32, groups = 2;
        constexpr unsigned order[] = {0, 2, 4, 6, 1, 3, 5, 7};
        Draw draw(5);
        const auto codes = draw.codes(rows * columns, 16), zeros = draw.codes(groups * rows, 16);
        const auto scales = draw.scales(groups * rows);
        BitField packed(columns * rows / 2), packedZeros(groups * rows / 2);
        for (std::uint64_t word = 0; word < rows / 8; ++word)
            for (unsigned nibble = 0; nibble < 8; ++nibble) {
                const auto row = 8 * word + order[nibble];
                for (std::uint64_t column = 0; column < columns; ++column)
                    packed.put((column * rows / 8 + word) * 32 + 4 * nibble, 4, codes[row * columns + column]);
                for (std::uint64_t g = 0; g < groups; ++g)
                    packedZeros.put((g * rows / 8 + word) * 32 + 4 * nibble, 4, zeros[g * rows + row]);
            }
        SafetensorsBuilder file;
        file.add(kModule + ".qweight", "I32", {columns, rows / 8}, packed.bytes());
        file.add(kModule + ".qzeros", "I32", {groups, rows / 8}, packedZeros.bytes());
        file.add(kModule + ".scales", "F16", {groups, rows}, halves(scales));
        CheckpointFolder folder;
        folder.write("config.json",
            R"({"quantization_config":{"quant_method":"awq","bits":4,"group_size":32,"version":"gemm"}})");
        const auto model = openModel(folder.write("model.safetensors", file.file()));
        QUANTLOUPE_COMPARE_WEIGHT(model, kModule + ".weight", Shape({rows, columns}), "AWQ int4:g32:asym",
            [&](std::uint64_t row, std::uint64_t column) {
                const auto at = column / group * rows + row;
                return (static_cast<float>(codes[row * columns + column]) - static_cast<float>(zeros[at])) * scales[at];
            });
        // Shapes alone tell it from GPTQ.
        std::filesystem::remove(folder.path() / "config.json");
        const auto alone = openModel(folder.path());
        QVERIFY(alone);
        QCOMPARE((*alone)->tensors[0].packing(), std::string("AWQ int4:g32:asym"));
    }

    void compressedTensors_data()
    {
        QTest::addColumn<unsigned>("bits");
        QTest::addColumn<bool>("asymmetric");
        QTest::addColumn<bool>("actOrder");
        QTest::addColumn<bool>("streams");  ///< codes straddle words
        for (const unsigned bits : {2U, 3U, 4U, 7U, 8U})
            for (const bool asymmetric : {false, true})
                QTest::addRow("%u bits%s", bits, asymmetric ? ", zero points" : "")
                    << bits << asymmetric << false << false;
        QTest::newRow("act-order") << 4U << true << true << false;
        for (const unsigned bits : {3U, 5U, 6U, 7U})
            for (const bool asymmetric : {false, true})
                QTest::addRow("%u bits in a stream%s", bits, asymmetric ? ", zero points" : "")
                    << bits << asymmetric << false << true;
    }

    void compressedTensors()
    {
        QFETCH(const unsigned, bits);
        QFETCH(const bool, asymmetric);
        QFETCH(const bool, actOrder);
        QFETCH(const bool, streams);
        const std::uint64_t rows = 13, group = streams ? 48 : 35, groups = 2, columns = groups * group;
        const std::uint64_t perWord = 32 / bits;
        const auto bitOf = [&](std::uint64_t i) { return streams ? i * bits : i / perWord * 32 + i % perWord * bits; };
        const auto wordsOf = [&](std::uint64_t count) { return (bitOf(count - 1) + bits + 31) / 32; };
        const auto words = wordsOf(columns), zeroWords = wordsOf(rows);
        Draw draw(bits + 100);
        const auto codes = draw.codes(rows * columns, 1U << bits), zeros = draw.codes(rows * groups, 1U << bits);
        const auto scales = draw.scales(rows * groups);
        std::vector<std::uint32_t> groupOf(columns);
        for (std::size_t i = 0; i < columns; ++i)
            groupOf[i] = static_cast<std::uint32_t>(actOrder ? i % groups : i / group);
        BitField packed(rows * words * 4), packedZeros(zeroWords * groups * 4);
        for (std::uint64_t row = 0; row < rows; ++row) {
            for (std::uint64_t column = 0; column < columns; ++column)
                packed.put(row * words * 32 + bitOf(column), bits, codes[row * columns + column]);
            for (std::uint64_t g = 0; g < groups; ++g)
                for (unsigned bit = 0; bit < bits; ++bit) {
                    const auto at = bitOf(row) + bit;
                    packedZeros.put((at / 32 * groups + g) * 32 + at % 32, 1, zeros[row * groups + g] >> bit & 1U);
                }
        }
        SafetensorsBuilder file;
        file.add(kModule + ".weight_packed", "I32", {rows, words}, packed.bytes());
        file.add(kModule + ".weight_scale", "F16", {rows, groups}, halves(scales));
        file.add(kModule + ".weight_shape", "I64", {2}, numbers<std::int64_t>(Shape({rows, columns})));
        if (asymmetric)
            file.add(kModule + ".weight_zero_point", "I32", {zeroWords, groups}, packedZeros.bytes());
        if (actOrder)
            file.add(kModule + ".weight_g_idx", "I32", {columns}, numbers<std::int32_t>(groupOf));
        CheckpointFolder folder;
        folder.write("config.json",
            filled(R"({"quantization_config":{"quant_method":"compressed-tensors","format":"pack-quantized",)"
                   R"("config_groups":{"group_0":{"targets":["Linear"],"weights":{"num_bits":%,"type":"int",)"
                   R"("group_size":%,"strategy":"group"}}}}})",
                {std::to_string(bits), std::to_string(group)}));
        const auto model = openModel(folder.write("model.safetensors", file.file()));
        const auto text = "compressed-tensors int" + std::to_string(bits) + ":g" + std::to_string(group) + ":"
            + (asymmetric ? "asym" : "sym") + (actOrder ? ", act-order" : "");
        const auto middle = static_cast<float>(1U << (bits - 1));
        QUANTLOUPE_COMPARE_WEIGHT(
            model, kModule + ".weight", Shape({rows, columns}), text, [&](std::uint64_t row, std::uint64_t column) {
                const auto at = row * groups + groupOf[column];
                const auto zero = asymmetric ? static_cast<float>(zeros[at]) - middle : 0.0F;
                return (static_cast<float>(codes[row * columns + column]) - middle - zero) * scales[at];
            });
    }

    void mlx_data()
    {
        QTest::addColumn<unsigned>("bits");
        for (const unsigned bits : {2U, 3U, 4U, 5U, 6U, 8U})
            QTest::addRow("%u bits", bits) << bits;
    }

    void mlx()
    {
        QFETCH(const unsigned, bits);
        const std::uint64_t rows = 9, columns = 128, group = 32, groups = 4;
        Draw draw(bits + 200);
        const auto codes = draw.codes(rows * columns, 1U << bits);
        const auto scales = draw.scales(rows * groups), biases = draw.scales(rows * groups);
        BitField packed(rows * columns * bits / 8);
        for (std::size_t i = 0; i < codes.size(); ++i)
            packed.put(i * bits, bits, codes[i]);
        SafetensorsBuilder file;
        file.add(kModule + ".weight", "U32", {rows, columns * bits / 32}, packed.bytes());
        file.add(kModule + ".scales", "F16", {rows, groups}, halves(scales));
        file.add(kModule + ".biases", "F16", {rows, groups}, halves(biases));
        CheckpointFolder folder;
        // The module's own settings win over those of all.
        folder.write("config.json",
            filled(R"({"quantization":{"group_size":64,"bits":4,"%":{"group_size":32,"bits":%}}})",
                {kModule, std::to_string(bits)}));
        const auto model = openModel(folder.write("model.safetensors", file.file()));
        QUANTLOUPE_COMPARE_WEIGHT(model, kModule + ".weight", Shape({rows, columns}),
            "MLX int" + std::to_string(bits) + ":g32:asymf", [&](std::uint64_t row, std::uint64_t column) {
                const auto at = row * groups + column / group;
                return static_cast<float>(codes[row * columns + column]) * scales[at] + biases[at];
            });
    }

    void hqq_data()
    {
        QTest::addColumn<unsigned>("bits");
        QTest::addColumn<unsigned>("axis");
        for (const unsigned bits : {1U, 2U, 3U, 4U, 8U})
            for (const unsigned axis : {0U, 1U})
                QTest::addRow("%u bits, axis %u", bits, axis) << bits << axis;
    }

    void hqq()
    {
        QFETCH(const unsigned, bits);
        QFETCH(const unsigned, axis);
        const std::uint64_t rows = 16, columns = 48, group = 16, groups = rows * columns / group;
        const auto height = axis == 1 ? groups : group, width = axis == 1 ? group : groups;
        const std::uint64_t parts = bits == 3 ? 10 : 8 / bits, cellBits = bits == 3 ? 32 : 8;
        const auto packedRows = (height + parts - 1) / parts;
        Draw draw(bits + 300);
        const auto codes = draw.codes(rows * columns, 1U << bits);
        const auto scales = draw.scales(groups), zeros = draw.scales(groups);
        BitField packed(packedRows * width * cellBits / 8);
        for (std::uint64_t i = 0; i < codes.size(); ++i) {
            const auto r = i / width, c = i % width, part = r / packedRows;
            packed.put((r % packedRows * width + c) * cellBits + (parts - 1 - part) * bits, bits, codes[i]);
        }
        SafetensorsBuilder file;
        file.add(kModule + ".W_q", bits == 3 ? "I32" : "U8", {packedRows, width}, packed.bytes());
        file.add(kModule + ".scale", "F16", axis == 1 ? Shape {groups, 1} : Shape {1, groups}, halves(scales));
        file.add(kModule + ".zero", "F16", axis == 1 ? Shape {groups, 1} : Shape {1, groups}, halves(zeros));
        file.add(kModule + ".shape", "I64", {2}, numbers<std::int64_t>(Shape({rows, columns})));
        file.add(kModule + ".nbits", "I32", {}, raw(static_cast<std::int32_t>(bits)));
        file.add(kModule + ".axis", "I32", {}, raw(static_cast<std::int32_t>(axis)));
        file.add(kModule + ".group_size", "I32", {}, raw(std::int32_t {16}));
        file.add(kModule + ".packing", "U8", {7}, "4bit_u8");
        file.add(kModule + ".view_as_float", "U8", {}, std::string(1, '\0'));
        CheckpointFolder folder;
        const auto model = openModel(folder.write("model.safetensors", file.file()));
        QUANTLOUPE_COMPARE_WEIGHT(model, kModule + ".weight", Shape({rows, columns}),
            "HQQ int" + std::to_string(bits) + ":g16" + (axis == 1 ? "" : " along columns"),
            [&](std::uint64_t row, std::uint64_t column) {
                const auto i = row * columns + column, g = axis == 1 ? i / width : i % width;
                return (static_cast<float>(codes[i]) - zeros[g]) * scales[g];
            });
        QCOMPARE((*model)->tensors.size(), std::size_t(1));
    }

    void int8OfBitsAndBytes()
    {
        const std::uint64_t rows = 5, columns = 33;
        Draw draw(7);
        const auto codes = draw.codes(rows * columns, 256);
        const auto scales = draw.scales(rows);
        SafetensorsBuilder file;
        file.add(kModule + ".weight", "I8", {rows, columns}, numbers<std::int8_t>(codes));
        file.add(kModule + ".SCB", "F32", {rows}, numbers<float>(scales));
        file.add(kModule + ".weight_format", "U8", {}, std::string(1, '\0'));
        CheckpointFolder folder;
        const auto model = openModel(folder.write("model.safetensors", file.file()));
        QUANTLOUPE_COMPARE_WEIGHT(model, kModule + ".weight", Shape({rows, columns}), "bitsandbytes int8:channel",
            [&](std::uint64_t row, std::uint64_t column) {
                return static_cast<float>(static_cast<std::int8_t>(codes[row * columns + column]))
                    * (scales[row] / 127.0F);
            });
    }

    void bitNet_data()
    {
        QTest::addColumn<bool>("multiplies");
        QTest::newRow("bitlinear") << false;
        QTest::newRow("autobitlinear") << true;
    }

    void bitNet()
    {
        QFETCH(const bool, multiplies);
        const std::uint64_t rows = 12, columns = 20;
        Draw draw(8);
        const auto codes = draw.codes(rows * columns, 3);
        BitField packed(rows / 4 * columns);
        for (std::uint64_t row = 0; row < rows; ++row)
            for (std::uint64_t column = 0; column < columns; ++column)
                packed.put((row % (rows / 4) * columns + column) * 8 + 2 * (row / (rows / 4)), 2,
                    codes[row * columns + column]);
        const float scale = 2.5F;
        SafetensorsBuilder file;
        file.add(kModule + ".weight", "U8", {rows / 4, columns}, packed.bytes());
        file.add(kModule + ".weight_scale", "F32", {1}, raw(scale));
        CheckpointFolder folder;
        folder.write("config.json",
            filled(
                R"({"quantization_config":{"quant_method":"bitnet","linear_class":"%"}})", {QTest::currentDataTag()}));
        const auto model = openModel(folder.write("model.safetensors", file.file()));
        QUANTLOUPE_COMPARE_WEIGHT(model, kModule + ".weight", Shape({rows, columns}), "BitNet ternary:tensor",
            [&](std::uint64_t row, std::uint64_t column) {
                const auto t = static_cast<float>(codes[row * columns + column]) - 1.0F;
                return t * (multiplies ? scale : 1.0F / scale);
            });
    }
};

QTEST_APPLESS_MAIN(TestPackedIntegers)
#include "tst_packed_integers.moc"
