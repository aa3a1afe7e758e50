// SPDX-License-Identifier: GPL-3.0-or-later
// Small floats, code books and plain elements with scales, against the definition of the weight.
#include "tests/support/packed_files.h"

#include <QTest>

#include <array>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

const std::string kModule = "model.layers.3.mlp.down_proj";

/// The sixteen values of E2M1, written down.
constexpr float kFloat4[] = {
    0.0F, 0.5F, 1.0F, 1.5F, 2.0F, 3.0F, 4.0F, 6.0F, -0.0F, -0.5F, -1.0F, -1.5F, -2.0F, -3.0F, -4.0F, -6.0F};

/// E4M3 by its definition.
float float8(std::uint32_t code)
{
    const int exponent = int(code >> 3U & 15U), mantissa = int(code & 7U);
    const double size = exponent == 0 ? std::ldexp(mantissa / 8.0, -6) : std::ldexp(1.0 + mantissa / 8.0, exponent - 7);
    return static_cast<float>(code & 0x80U ? -size : size);
}

std::string nibbles(const std::vector<std::uint32_t>& codes, bool highFirst)
{
    BitField packed((codes.size() + 1) / 2);
    for (std::size_t i = 0; i < codes.size(); ++i)
        packed.put(i / 2 * 8 + ((i % 2 == 0) == highFirst ? 4 : 0), 4, codes[i]);
    return packed.bytes();
}

}  // namespace

class TestPackedFloats : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void bitsAndBytes_data()
    {
        QTest::addColumn<QByteArray>("kind");
        QTest::addColumn<bool>("nested");
        QTest::newRow("nf4") << QByteArray("nf4") << false;
        QTest::newRow("nf4, double quantization") << QByteArray("nf4") << true;
        QTest::newRow("fp4") << QByteArray("fp4") << false;
    }

    void bitsAndBytes()
    {
        QFETCH(const QByteArray, kind);
        QFETCH(const bool, nested);
        const auto type = kind.toStdString();
        const std::uint64_t rows = 7, columns = 45, block = 64, nestedBlock = 2;  // blocks run across rows
        const auto weights = rows * columns, blocks = (weights + block - 1) / block;
        const auto nestedBlocks = (blocks + nestedBlock - 1) / nestedBlock;
        Draw draw(21);
        const auto codes = draw.codes(weights, 16), scaleCodes = draw.codes(blocks, 256);
        const auto levels = draw.scales(16), scales = draw.scales(blocks), nestedLevels = draw.scales(256),
                   nestedScales = draw.scales(nestedBlocks);
        const std::string at = kModule + ".weight";
        SafetensorsBuilder file;
        file.add(at, "U8", {(weights + 1) / 2, 1}, nibbles(codes, true));
        file.add(at + ".quant_map", "F32", {16}, numbers<float>(levels));
        auto state = filled(R"({"quant_type":"%","blocksize":64,"dtype":"bfloat16","shape":[7,45])", {type});
        if (nested) {
            file.add(at + ".absmax", "U8", {blocks}, numbers<std::uint8_t>(scaleCodes));
            file.add(at + ".nested_absmax", "F32", {nestedBlocks}, numbers<float>(nestedScales));
            file.add(at + ".nested_quant_map", "F32", {256}, numbers<float>(nestedLevels));
            state += R"(,"nested_blocksize":2,"nested_dtype":"float32","nested_offset":0.125)";
        } else {
            file.add(at + ".absmax", "F32", {blocks}, numbers<float>(scales));
        }
        state += "}";
        file.add(at + ".quant_state.bitsandbytes__" + type, "U8", {state.size()}, state);
        CheckpointFolder folder;
        const auto model = openModel(folder.write("model.safetensors", file.file()));
        QUANTLOUPE_COMPARE_WEIGHT(model, at, Shape({rows, columns}),
            "bitsandbytes " + type + ":g64" + (nested ? ", scales quantized in turn" : ""),
            [&](std::uint64_t row, std::uint64_t column) {
                const auto i = row * columns + column, b = i / block;
                const float scale =
                    nested ? nestedLevels[scaleCodes[b]] * nestedScales[b / nestedBlock] + 0.125F : scales[b];
                return levels[codes[i]] * scale;
            });
        QCOMPARE((*model)->tensors.size(), std::size_t(1));
    }

    /// Weights of more than two extents: one scale for all that lies below a step along the first ones.
    void scaledStacks_data()
    {
        QTest::addColumn<QList<int>>("weight");
        QTest::addColumn<QList<int>>("scales");
        QTest::addColumn<int>("below");  ///< weights that share a scale
        QTest::addColumn<QByteArray>("packing");
        QTest::newRow("stack, one number") << QList {3, 4, 8} << QList<int> {} << 96 << QByteArray("fp8_e4m3:tensor");
        QTest::newRow("stack, one number in brackets")
            << QList {3, 4, 8} << QList {1} << 96 << QByteArray("fp8_e4m3:tensor");
        QTest::newRow("stack, by matrix") << QList {3, 4, 8} << QList {3} << 32 << QByteArray("fp8_e4m3:tensor");
        QTest::newRow("stack, by matrix, of full rank")
            << QList {3, 4, 8} << QList {3, 1, 1} << 32 << QByteArray("fp8_e4m3:tensor");
        QTest::newRow("stack, by row") << QList {3, 4, 8} << QList {3, 4} << 8 << QByteArray("fp8_e4m3:channel");
        QTest::newRow("stack, by row, of full rank")
            << QList {3, 4, 8} << QList {3, 4, 1} << 8 << QByteArray("fp8_e4m3:channel");
        QTest::newRow("kernel, by row") << QList {2, 2, 2, 64} << QList {2, 2, 1, 1} << 128
                                        << QByteArray("fp8_e4m3:tensor");
        QTest::newRow("kernel, by output channel")
            << QList {4, 2, 3, 3} << QList {4, 1, 1, 1} << 18 << QByteArray("fp8_e4m3:tensor");
    }

    void scaledStacks()
    {
        QFETCH(const QList<int>, weight);
        QFETCH(const QList<int>, scales);
        QFETCH(const int, below);
        QFETCH(const QByteArray, packing);
        const auto shapeOf = [](const QList<int>& extents) { return Shape(extents.begin(), extents.end()); };
        const auto elements = std::size_t(*elementCount(shapeOf(weight)));
        std::vector<float> figures;
        for (std::size_t i = 0; i < elements / std::size_t(below); ++i)
            figures.push_back(1.0F + float(i));
        SafetensorsBuilder file;
        file.add("x.weight", "F8_E4M3", shapeOf(weight), std::string(elements, '\x38'));  // ones
        file.add("x.weight_scale", "F32", shapeOf(scales), numbers<float>(figures));
        CheckpointFolder folder;
        const auto model = openModel(folder.write("model.safetensors", file.file()));
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        const auto index = (*model)->find("x.weight");
        QVERIFY(index);
        const auto& tensor = (*model)->tensors[*index];
        const auto [rows, columns] = matrixShape(tensor.view);
        std::vector<float> values(rows * columns);
        decodeRows(tensor.view, 0, rows, values);
        QCOMPARE(QByteArray::fromStdString(tensor.packing()), packing);
        for (std::size_t i = 0; i < values.size(); ++i)
            QCOMPARE(values[i], 1.0F + float(i / std::size_t(below)));
    }

    /// From the format's documentation: eight bytes, one scale, results in bfloat16.
    void goldenBytes()
    {
        constexpr std::array<float, 16> levels {-1.0F, -0.6961928009986877F, -0.5250730514526367F,
            -0.39491748809814453F, -0.28444138169288635F, -0.18477343022823334F, -0.09105003625154495F, 0.0F,
            0.07958029955625534F, 0.16093020141124725F, 0.24611230194568634F, 0.33791524171829224F,
            0.44070982933044434F, 0.5626170039176941F, 0.7229568362236023F, 1.0F};
        constexpr std::array expected {-0.002838F, 0.022583F, -0.005768F, 0.007690F, -0.005768F, 0.002487F, -0.016357F,
            0.013794F, 0.022583F, -0.008911F, 0.007690F, -0.012329F, -0.031250F, 0.005035F, -0.021729F, 0.005035F};
        const std::vector<int> bytes {110, 90, 88, 44, 228, 163, 9, 25};
        SafetensorsBuilder file;
        file.add("a.weight", "U8", {8, 1}, numbers<std::uint8_t>(bytes));
        file.add("a.weight.absmax", "F32", {1}, raw(0.03125F));
        file.add("a.weight.quant_map", "F32", {16}, numbers<float>(levels));
        const std::string state = R"({"quant_type":"nf4","blocksize":64,"dtype":"bfloat16","shape":[2,8]})";
        file.add("a.weight.quant_state.bitsandbytes__nf4", "U8", {state.size()}, state);
        CheckpointFolder folder;
        const auto model = openModel(folder.write("model.safetensors", file.file()));
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        std::vector<float> values(16);
        decodeRows((*model)->tensors[0].view, 0, 2, values);
        for (std::size_t i = 0; i < 16; ++i)
            QVERIFY2(std::abs(values[i] - expected[i]) <= std::abs(expected[i]) * 0x1p-8F, std::to_string(i).c_str());
    }

    void scaledElements_data()
    {
        QTest::addColumn<bool>("integers");
        QTest::addColumn<QByteArray>("suffix");
        QTest::addColumn<QList<int>>("scaleShape");
        QTest::addColumn<QList<int>>("block");
        QTest::addColumn<bool>("zeros");
        QTest::addColumn<QByteArray>("packing");
        const QByteArray own(".weight_scale"), inverse(".weight_scale_inv");
        QTest::newRow("int8 per channel")
            << true << own << QList {300, 1} << QList {1, 200} << false << QByteArray("int8:channel");
        QTest::newRow("int8 with zeros") << true << own << QList {300, 1} << QList {1, 200} << true
                                         << QByteArray("int8:channel:asym");
        QTest::newRow("int8 groups") << true << own << QList {300, 5} << QList {1, 40} << false
                                     << QByteArray("int8:g40");
        QTest::newRow("fp8 tensor") << false << own << QList {1} << QList {300, 200} << false
                                    << QByteArray("fp8_e4m3:tensor");
        QTest::newRow("fp8 scalar") << false << own << QList<int> {} << QList {300, 200} << false
                                    << QByteArray("fp8_e4m3:tensor");
        QTest::newRow("fp8 channel") << false << own << QList {300} << QList {1, 200} << false
                                     << QByteArray("fp8_e4m3:channel");
        QTest::newRow("fp8 blocks") << false << inverse << QList {3, 2} << QList {128, 128} << false
                                    << QByteArray("fp8_e4m3:b128x128");
    }

    void scaledElements()
    {
        QFETCH(const bool, integers);
        QFETCH(const QByteArray, suffix);
        QFETCH(const QList<int>, scaleShape);
        QFETCH(const QList<int>, block);
        QFETCH(const bool, zeros);
        QFETCH(const QByteArray, packing);
        const std::uint64_t rows = 300, columns = 200;
        Draw draw(31);
        auto codes = draw.codes(rows * columns, 256);
        for (auto& code : codes)
            if (!integers && (code & 0x7FU) == 0x7FU)  // NaN
                code = 0;
        Shape shape;
        std::size_t count = 1;
        for (const int extent : scaleShape) {
            shape.push_back(std::uint64_t(extent));
            count *= std::size_t(extent);
        }
        const auto scales = draw.scales(count);
        const auto zeroCodes = draw.codes(count, 256);
        SafetensorsBuilder file;
        file.add(kModule + ".weight", integers ? "I8" : "F8_E4M3", {rows, columns}, numbers<std::uint8_t>(codes));
        file.add(kModule + suffix.toStdString(), "F32", shape, numbers<float>(scales));
        if (zeros)
            file.add(kModule + ".weight_zero_point", "I8", shape, numbers<std::uint8_t>(zeroCodes));
        file.add(kModule + ".input_scale", "F32", {1}, raw(1.0F));
        CheckpointFolder folder;
        folder.write("config.json", R"({"quantization_config":{"quant_method":"fp8","weight_block_size":[128,128]}})");
        const auto model = openModel(folder.write("model.safetensors", file.file()));
        const auto across = (columns + std::uint64_t(block[1]) - 1) / std::uint64_t(block[1]);
        QUANTLOUPE_COMPARE_WEIGHT(model, kModule + ".weight", Shape({rows, columns}), "fp8 " + packing.toStdString(),
            [&](std::uint64_t row, std::uint64_t column) {
                const auto at = row / std::uint64_t(block[0]) * across + column / std::uint64_t(block[1]);
                const auto code = codes[row * columns + column];
                const float value = integers ? static_cast<float>(static_cast<std::int8_t>(code)) : float8(code);
                const float zero = zeros ? static_cast<float>(static_cast<std::int8_t>(zeroCodes[at])) : 0.0F;
                return (value - zero) * scales[at];
            });
        QCOMPARE((*model)->tensors.size(), std::size_t(2));  // the scale of inputs is no part of the weight
    }

    void nvfp4_data()
    {
        QTest::addColumn<bool>("divides");
        QTest::newRow("compressed-tensors") << true;
        QTest::newRow("ModelOpt") << false;
    }

    void nvfp4()
    {
        QFETCH(const bool, divides);
        const std::uint64_t rows = 6, columns = 48;
        Draw draw(41);
        const auto codes = draw.codes(rows * columns, 16), scales = draw.codes(rows * columns / 16, 0x7F);
        const float global = divides ? 300.0F : 0.003F;
        SafetensorsBuilder file;
        file.add(kModule + (divides ? ".weight_packed" : ".weight"), "U8", {rows, columns / 2}, nibbles(codes, false));
        file.add(kModule + ".weight_scale", "F8_E4M3", {rows, columns / 16}, numbers<std::uint8_t>(scales));
        file.add(kModule + (divides ? ".weight_global_scale" : ".weight_scale_2"), "F32", {1}, raw(global));
        CheckpointFolder folder;
        const auto model = openModel(folder.write("model.safetensors", file.file()));
        QUANTLOUPE_COMPARE_WEIGHT(model, kModule + ".weight", Shape({rows, columns}),
            std::string(QTest::currentDataTag()) + " nvfp4", [&](std::uint64_t row, std::uint64_t column) {
                const float block = float8(scales[row * columns / 16 + column / 16]);
                return kFloat4[codes[row * columns + column]] * (divides ? block / global : block * global);
            });
        QCOMPARE((*model)->tensors[0].bytes(), rows * columns / 2 + rows * columns / 16 + 4);
    }

    void mxfp4_data()
    {
        QTest::addColumn<QByteArray>("layout");
        for (const auto* layout : {"compressed-tensors mxfp4", "mxfp4", "MLX mxfp4"})
            QTest::newRow(layout) << QByteArray(layout);
    }

    void mxfp4()
    {
        QFETCH(const QByteArray, layout);
        const std::uint64_t experts = 3, rows = 4, columns = 64;
        const auto weights = experts * rows * columns;
        Draw draw(51);
        const auto codes = draw.codes(weights, 16);
        auto exponents = draw.codes(weights / 32, 40);
        for (auto& exponent : exponents)
            exponent += 107;
        const auto packed = nibbles(codes, false), scales = numbers<std::uint8_t>(exponents);
        SafetensorsBuilder file;
        std::string name = kModule + ".weight";
        Shape shape {experts * rows, columns};
        if (layout == "mxfp4") {
            name = "model.layers.0.mlp.experts.gate_up_proj";
            shape = {experts, rows, columns};
            file.add(name + "_blocks", "U8", {experts, rows, columns / 32, 16}, packed);
            file.add(name + "_scales", "U8", {experts, rows, columns / 32}, scales);
        } else if (layout == "MLX mxfp4") {
            file.add(name, "U32", {experts * rows, columns / 8}, packed);
            file.add(kModule + ".scales", "U8", {experts * rows, columns / 32}, scales);
        } else {
            file.add(kModule + ".weight_packed", "U8", {experts * rows, columns / 2}, packed);
            file.add(kModule + ".weight_scale", "U8", {experts * rows, columns / 32}, scales);
        }
        CheckpointFolder folder;
        const auto model = openModel(folder.write("model.safetensors", file.file()));
        QUANTLOUPE_COMPARE_WEIGHT(
            model, name, shape, layout.toStdString(), [&](std::uint64_t row, std::uint64_t column) {
                const auto i = row * columns + column;
                return kFloat4[codes[i]] * static_cast<float>(std::ldexp(1.0, int(exponents[i / 32]) - 127));
            });
        QVERIFY(layout != "mxfp4" || (*model)->tensors[0].parts.role == TensorRole::GateUp);
    }

    /// Plain tensors stay what they are.
    void nothingToJoin()
    {
        SafetensorsBuilder file;
        file.add("a.weight", "F8_E4M3", {2, 2}, std::string(4, '\x38'));
        file.add("b.weight", "U8", {2, 2}, std::string(4, '\1'));
        file.add("scales", "F32", {1}, raw(1.0F));
        CheckpointFolder folder;
        folder.write("config.json", R"({"quantization_config":{"quant_method":"exl2"}})");
        const auto model = openModel(folder.write("model.safetensors", file.file()));
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        QCOMPARE((*model)->tensors.size(), std::size_t(3));
        QVERIFY(!(*model)->tensors[0].view.decoder);
        QVERIFY((*model)->warnings[0].find("exl2") != std::string::npos);
    }
};

QTEST_APPLESS_MAIN(TestPackedFloats)
#include "tst_packed_floats.moc"
