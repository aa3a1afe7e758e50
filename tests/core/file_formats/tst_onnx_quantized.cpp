// SPDX-License-Identifier: GPL-3.0-or-later
// Weights that ONNX stores quantized, against the definition of each operator, element by element in double.
#include "tests/support/checkpoint_files.h"
#include "tests/support/onnx_file.h"
#include "tests/support/tensor_figures.h"

#include <QTest>

#include <array>
#include <cmath>
#include <random>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

constexpr const char* kRuntime = "com.microsoft";

struct Random {
    std::mt19937 engine {7};
    int below(int limit) { return int(engine() % unsigned(limit)); }
    /// Quarters: products with small integers are exact in float32.
    std::vector<float> scales(std::size_t count)
    {
        std::vector<float> values(count);
        for (auto& value : values)
            value = float(1 + below(64)) / 4.0F * (below(2) ? 1.0F : -1.0F);
        return values;
    }
    std::vector<int> codes(std::size_t count, int low, int high)
    {
        std::vector<int> values(count);
        for (auto& value : values)
            value = low + below(high - low + 1);
        return values;
    }
};

/// Codes of `bits` bits, the first in the lowest ones; every `row` codes begin a byte.
std::string packedCodes(const std::vector<int>& codes, int bits, std::size_t row)
{
    std::string bytes;
    const std::size_t perByte = std::size_t(8 / bits);
    for (std::size_t start = 0; start < codes.size(); start += row)
        for (std::size_t i = 0; i < row; i += perByte) {
            unsigned byte = 0;
            for (std::size_t j = 0; j < perByte && i + j < row; ++j)
                byte |= (unsigned(codes[start + i + j]) & ((1U << bits) - 1U)) << (unsigned(bits) * j);
            bytes.push_back(char(byte));
        }
    return bytes;
}

std::string int8Bytes(const std::vector<int>& codes)
{
    return packedCodes(codes, 8, codes.size());
}

}  // namespace

class TestOnnxQuantized : public QObject
{
    Q_OBJECT

    CheckpointFolder m_folder;
    Random m_random;

    /// The one tensor of a file; its decoded values must be `expected` and its rows must come out alike one by one.
    void check(const OnnxBuilder& builder, const std::vector<float>& expected, const char* description,
        std::uint64_t packedBytes) const
    {
        const auto model = openModel(m_folder.write("m.onnx", builder.file()));
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        QCOMPARE((*model)->tensors.size(), std::size_t(1));
        const auto& tensor = (*model)->tensors[0];
        QVERIFY(tensor.view.decoder);
        QCOMPARE(tensor.view.decoder->description(), std::string(description));
        QCOMPARE(tensor.bytes(), packedBytes);
        QVERIFY(tensor.quantizable());
        QCOMPARE(valuesOf(tensor.view), expected);
        const auto held = holdBytes(tensor.view, {});
        QVERIFY(held);
        const auto [rows, columns] = matrixShape(tensor.view);
        std::vector<float> row(columns);
        for (std::uint64_t i = 0; i < rows; ++i) {
            decodeRows(tensor.view, i, 1, row);
            QVERIFY(std::equal(row.begin(), row.end(), expected.begin() + std::ptrdiff_t(i * columns)));
        }
    }

private Q_SLOTS:
    void quantizeDequantize_data()
    {
        QTest::addColumn<int>("axis");
        QTest::addColumn<int>("block");  // 0: none
        QTest::addColumn<bool>("asymmetric");
        QTest::addColumn<bool>("transB");
        QTest::addColumn<QByteArray>("description");
        QTest::newRow("tensor") << -9 << 0 << false << false << QByteArray("QDQ int8:tensor");
        QTest::newRow("tensor, asymmetric") << -9 << 0 << true << true << QByteArray("QDQ int8:tensor:asym");
        QTest::newRow("columns") << 1 << 0 << false << false << QByteArray("QDQ int8:channel");
        QTest::newRow("negative axis") << -1 << 0 << true << false << QByteArray("QDQ int8:channel:asym");
        QTest::newRow("rows") << 0 << 0 << false << true << QByteArray("QDQ int8:channel");
        QTest::newRow("blocks down") << 0 << 4 << true << false << QByteArray("QDQ int8:g4:asym");
        QTest::newRow("blocks along") << 1 << 32 << true << true << QByteArray("QDQ int8:g32:asym");
    }

    void quantizeDequantize()
    {
        QFETCH(const int, axis);
        QFETCH(const int, block);
        QFETCH(const bool, asymmetric);
        QFETCH(const bool, transB);
        QFETCH(const QByteArray, description);
        constexpr std::size_t height = 10, width = 70;  // stored [10, 70]; blocks of 4 and 32 leave rests
        const bool down = axis == 0;
        const std::size_t span = block > 0 ? std::size_t(block) : 1;
        std::vector<std::int64_t> extents;
        std::size_t scaleWidth = 0;
        if (axis != -9 && block == 0)
            extents = {down ? 10 : 70};
        if (block > 0) {
            extents = down ? std::vector<std::int64_t> {3, 70} : std::vector<std::int64_t> {10, 3};
            scaleWidth = std::size_t(extents[1]);
        }
        std::size_t count = 1;
        for (const auto extent : extents)
            count *= std::size_t(extent);
        const auto codes = m_random.codes(height * width, -128, 127);
        const auto scales = m_random.scales(count);
        const auto zeros = m_random.codes(count, asymmetric ? -100 : 0, asymmetric ? 100 : 0);
        const auto expectedAt = [&](std::size_t i, std::size_t j) {
            const std::size_t scale = axis == -9 ? 0
                : block == 0                     ? (down ? i : j)
                                                 : (down ? i / span * scaleWidth + j : i * scaleWidth + j / span);
            return float((codes[i * width + j] - zeros[scale]) * double(scales[scale]));
        };
        std::vector<float> expected;
        if (transB)
            for (std::size_t i = 0; i < height; ++i)
                for (std::size_t j = 0; j < width; ++j)
                    expected.push_back(expectedAt(i, j));
        else
            for (std::size_t j = 0; j < width; ++j)
                for (std::size_t i = 0; i < height; ++i)
                    expected.push_back(expectedAt(i, j));
        OnnxBuilder builder;
        builder.tensor(onnxTensor("w_quantized", 3, {10, 70}, bytes(9, int8Bytes(codes))))
            .tensor("w_scale", 1, extents, scales)
            .tensor(onnxTensor("w_zero_point", 3, extents, bytes(9, int8Bytes(zeros))))
            .node("DequantizeLinear", {"w_quantized", "w_scale", "w_zero_point"}, "w",
                (axis == -9 ? "" : attribute("axis", axis)) + (block ? attribute("block_size", block) : ""))
            .node("Gemm", {"x", "w"}, "y", attribute("transB", transB));
        check(builder, expected, description.constData(), 700 + 4 * count + count);
    }

    void nibblesAndTypedScales()
    {
        // int4, symmetric, channels along axis 0 of a kernel; scales number by number.
        const auto codes = m_random.codes(3 * 5 * 3, -8, 7);
        const auto scales = m_random.scales(3);
        std::string typed;
        for (const auto scale : scales)
            typed += varint(4U << 3U | 5U) + raw(scale);
        std::vector<float> expected;
        for (std::size_t i = 0; i < codes.size(); ++i)
            expected.push_back(float(codes[i]) * scales[i / 15]);
        OnnxBuilder builder;
        builder.tensor(onnxTensor("w", 22, {3, 5, 3}, bytes(9, packedCodes(codes, 4, codes.size()))))
            .tensor(onnxTensor("s", 1, {3}, typed))
            .node("DequantizeLinear", {"w", "s"}, "d", attribute("axis", 0))
            .node("Conv", {"x", "d"}, "y");
        check(builder, expected, "QDQ int4:channel", 23 + 12);
    }

    void quantizedOperators()
    {
        const auto codes = m_random.codes(6, 0, 255);
        OnnxBuilder builder;
        builder.tensor(onnxTensor("b", 2, {2, 3}, bytes(9, int8Bytes(codes))))
            .tensor("s", 1, {3}, std::vector<float> {1, 2, 4})
            .tensor(onnxTensor("z", 2, {3}, bytes(9, "\x05\x06\x07")))
            .node("QLinearMatMul", {"x", "xs", "xz", "b", "s", "z", "ys", "yz"}, "y");
        const std::vector<float> expected {float(codes[0] - 5), float(codes[3] - 5), float(codes[1] - 6) * 2,
            float(codes[4] - 6) * 2, float(codes[2] - 7) * 4, float(codes[5] - 7) * 4};
        check(builder, expected, "QOperator int8:channel:asym", 6 + 12 + 3);
        OnnxBuilder dynamic;  // as ONNX Runtime's dynamic quantization names them
        dynamic.tensor(onnxTensor("w_quantized", 2, {2, 3}, bytes(9, int8Bytes(codes))))
            .tensor("w_scale", 1, {}, std::vector<float> {0.5F})
            .tensor(onnxTensor("w_zero_point", 2, {}, bytes(9, "\x05")))
            .node("MatMulInteger", {"x", "w_quantized", "xz", "w_zero_point"}, "y");
        std::vector<float> halves;
        for (const std::size_t i : {0U, 3U, 1U, 4U, 2U, 5U})
            halves.push_back(float(codes[i] - 5) * 0.5F);
        check(dynamic, halves, "MatMulInteger int8:tensor:asym", 6 + 4 + 1);
    }

    /// Codes that lie in the file as varints are put together when they are asked for, however many they are.
    void codesNumberByNumber()
    {
        const auto codes = m_random.codes(6, 0, 255);
        std::string varints;
        for (const int code : codes)
            varints += varint(std::uint64_t(code));
        const auto build = [&](const std::string& numbers) {
            OnnxBuilder builder;
            builder.tensor(onnxTensor("b", 2, {2, 3}, bytes(5, numbers)))
                .tensor("s", 1, {3}, std::vector<float> {1, 2, 4})
                .tensor(onnxTensor("z", 2, {3}, bytes(9, "\x05\x06\x07")))
                .node("QLinearMatMul", {"x", "xs", "xz", "b", "s", "z", "ys", "yz"}, "y");
            return builder;
        };
        const std::vector<float> expected {float(codes[0] - 5), float(codes[3] - 5), float(codes[1] - 6) * 2,
            float(codes[4] - 6) * 2, float(codes[2] - 7) * 4, float(codes[5] - 7) * 4};
        check(build(varints), expected, "QOperator int8:channel:asym", 6 + 12 + 3);
        const auto model = openModel(m_folder.path() / "m.onnx");
        QVERIFY(model && (*model)->tensors[0].view.deferred);
        varints.back() = char(varints.back() ^ 1);
        const auto other = openModel(m_folder.write("n.onnx", build(varints).file()));
        QVERIFY(other && (*other)->fingerprint != (*model)->fingerprint);
    }

    void matMulNBits_data()
    {
        QTest::addColumn<int>("bits");
        QTest::addColumn<int>("zeroPoints");  // 0: none, 1: packed, 2: floats
        for (const int bits : {2, 4, 8})
            for (const int zeroPoints : {0, 1, 2})
                QTest::addRow("%d bits, zero points %d", bits, zeroPoints) << bits << zeroPoints;
    }

    void matMulNBits()
    {
        QFETCH(const int, bits);
        QFETCH(const int, zeroPoints);
        constexpr std::size_t n = 7, k = 75, block = 16, blocks = 5, pitch = blocks * block;
        const int top = (1 << bits) - 1;
        const auto codes = m_random.codes(n * pitch, 0, top);
        const auto scales = m_random.scales(n * blocks);
        const auto zeros = m_random.codes(n * blocks, 0, top);
        std::vector<float> expected;
        for (std::size_t row = 0; row < n; ++row)
            for (std::size_t column = 0; column < k; ++column) {
                const auto scale = row * blocks + column / block;
                const double zero = zeroPoints == 0 ? 1 << (bits - 1) : zeros[scale] + (zeroPoints == 2 ? 0.5 : 0.0);
                expected.push_back(float((codes[row * pitch + column] - zero) * double(scales[scale])));
            }
        const auto stored = packedCodes(codes, bits, pitch);
        OnnxBuilder builder;
        builder.tensor(onnxTensor("w_Q4", 2, {7, 5, std::int64_t(block) * bits / 8}, bytes(9, stored)))
            .tensor("s", 1, {35}, scales);
        std::vector<std::string> inputs {"x", "w_Q4", "s"};
        std::size_t zeroBytes = 0;
        if (zeroPoints == 1) {
            const auto packed = packedCodes(zeros, bits, blocks);
            zeroBytes = packed.size();
            builder.tensor(onnxTensor("z", 2, {std::int64_t(zeroBytes)}, bytes(9, packed)));
        } else if (zeroPoints == 2) {
            std::vector<float> floats;
            for (const auto zero : zeros)
                floats.push_back(float(zero) + 0.5F);
            zeroBytes = 4 * floats.size();
            builder.tensor("z", 1, {35}, floats);
        }
        if (zeroPoints != 0)
            inputs.emplace_back("z");
        builder.node("MatMulNBits", inputs, "y",
            attribute("K", 75) + attribute("N", 7) + attribute("bits", bits) + attribute("block_size", 16), "n",
            kRuntime);
        const auto description =
            "MatMulNBits int" + std::to_string(bits) + ":g16:" + (zeroPoints == 0 ? "sym" : "asym");
        check(builder, expected, description.c_str(), stored.size() + 4 * scales.size() + zeroBytes);
    }

    /// One constant that two nodes take, each its own way: rows are those of the packed layout, and none reads beyond.
    void oneConstantTwoWays()
    {
        const auto codes = m_random.codes(4 * 96, 0, 15);
        const auto scales = m_random.scales(4 * 3);
        const auto stored = packedCodes(codes, 4, 32);
        std::vector<float> expected;
        for (std::size_t i = 0; i < 4 * 90; ++i) {
            const auto row = i / 90, column = i % 90;
            expected.push_back(scales[row * 3 + column / 32] * float(codes[row * 96 + column] - 8));
        }
        OnnxBuilder builder;
        builder.tensor(onnxTensor("w", 2, {4, 3, 16}, bytes(9, stored)))
            .tensor("s", 1, {4, 3}, scales)
            .node("MatMul", {"x", "w"}, "first")
            .node("MatMulNBits", {"x", "w", "s"}, "y",
                attribute("K", 90) + attribute("N", 4) + attribute("bits", 4) + attribute("block_size", 32), "n",
                kRuntime);
        const auto model = openModel(m_folder.write("m.onnx", builder.file()));
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        QCOMPARE((*model)->tensors.size(), std::size_t(1));
        QCOMPARE(matrixShape((*model)->tensors[0].view), (MatrixShape {4, 90}));
        QCOMPARE(valuesOf((*model)->tensors[0].view), expected);
    }

    void matMulBnb4()
    {
        // Positive levels by code, of bitsandbytes' documentation: normal float, float 4.
        const std::array<float, 16> nf4 {-1.0F, -0.6961928F, -0.52507305F, -0.3949175F, -0.28444138F, -0.18477343F,
            -0.09105004F, 0, 0.0795803F, 0.1609302F, 0.2461123F, 0.33791524F, 0.44070983F, 0.562617F, 0.72295684F, 1};
        const std::array<double, 8> fp4 {0, 0.0625 / 12, 8.0 / 12, 1, 4.0 / 12, 6.0 / 12, 2.0 / 12, 3.0 / 12};
        for (const int type : {0, 1}) {
            const auto codes = m_random.codes(3 * 21, 0, 15);
            const auto scales = m_random.scales(4);  // blocks of 16 run on over rows of 21
            std::string stored;
            for (std::size_t i = 0; i < codes.size(); i += 2)
                stored.push_back(char(codes[i] << 4 | (i + 1 < codes.size() ? codes[i + 1] : 0)));
            const auto model = openModel(m_folder.write("m.onnx",
                OnnxBuilder()
                    .tensor(onnxTensor("w", 2, {32}, bytes(9, stored)))
                    .tensor("s", 1, {4}, scales)
                    .node("MatMulBnb4", {"x", "w", "s"}, "y",
                        attribute("K", 21) + attribute("N", 3) + attribute("block_size", 16)
                            + attribute("quant_type", type),
                        "n", kRuntime)
                    .file()));
            QVERIFY2(model, model ? "" : describe(model.error()).c_str());
            const auto& tensor = (*model)->tensors.at(0);
            QCOMPARE(tensor.view.decoder->description(),
                std::string(type ? "MatMulBnb4 nf4:g16" : "MatMulBnb4 fp4_bnb:g16"));
            QVERIFY((tensor.view.shape == Shape {3, 21}) && tensor.quantizable());
            const auto values = valuesOf(tensor.view);
            for (std::size_t i = 0; i < codes.size(); ++i) {
                const auto code = std::size_t(codes[i]);
                const double level = type ? double(nf4[code]) : fp4[code % 8] * (code < 8 ? 1 : -1);
                QVERIFY(std::abs(values[i] - level * double(scales[i / 16])) < 1e-6 * std::abs(double(scales[i / 16])));
            }
        }
    }

    void gatherBlockQuantized()
    {
        const auto codes = m_random.codes(3 * 40, 0, 15);
        const auto scales = m_random.scales(3 * 3);
        const auto zeros = m_random.codes(3 * 3, 0, 15);
        std::vector<float> plain, shifted;
        for (std::size_t i = 0; i < codes.size(); ++i) {
            const auto scale = i / 40 * 3 + i % 40 / 16;
            plain.push_back(float(codes[i] - 8) * scales[scale]);
            shifted.push_back(float(codes[i] - zeros[scale]) * scales[scale]);
        }
        const auto attributes = attribute("block_size", 16) + attribute("quantize_axis", 1);
        OnnxBuilder bytesOfTwo;
        bytesOfTwo.tensor(onnxTensor("e", 2, {3, 20}, bytes(9, packedCodes(codes, 4, 40))))
            .tensor("s", 1, {3, 3}, scales)
            .node("GatherBlockQuantized", {"e", "ids", "s"}, "y", attributes, "n", kRuntime);
        check(bytesOfTwo, plain, "GatherBlockQuantized int4:g16:sym", 60 + 36);
        bytesOfTwo = {};
        bytesOfTwo.tensor(onnxTensor("e", 2, {3, 20}, bytes(9, packedCodes(codes, 4, 40))))
            .tensor("s", 1, {3, 3}, scales)
            .tensor(onnxTensor("z", 2, {3, 2}, bytes(9, packedCodes(zeros, 4, 3))))
            .node("GatherBlockQuantized", {"e", "ids", "s", "z"}, "y", attributes, "n", kRuntime);
        check(bytesOfTwo, shifted, "GatherBlockQuantized int4:g16:asym", 60 + 36 + 6);
        OnnxBuilder nibbles;
        nibbles.tensor(onnxTensor("e", 21, {3, 40}, bytes(9, packedCodes(codes, 4, 120))))
            .tensor("s", 1, {3, 3}, scales)
            .tensor(onnxTensor("z", 21, {3, 3}, bytes(9, packedCodes(zeros, 4, 9))))
            .node("GatherBlockQuantized", {"e", "ids", "s", "z"}, "y", attributes, "n", kRuntime);
        check(nibbles, shifted, "GatherBlockQuantized int4:g16:asym", 60 + 36 + 5);
    }

    void scalesThatDoNotFit_data()
    {
        QTest::addColumn<QByteArray>("graph");
        const auto row = [](const char* title, const OnnxBuilder& builder) {
            QTest::newRow(title) << QByteArray(builder.graph.data(), qsizetype(builder.graph.size()));
        };
        const auto qdq = [](const std::vector<std::int64_t>& scales, const std::string& attributes) {
            std::size_t count = 1;
            for (const auto extent : scales)
                count *= std::size_t(extent);
            OnnxBuilder builder;
            builder.tensor(onnxTensor("w", 3, {4, 6}, bytes(9, std::string(24, 'c'))))
                .tensor("s", 1, scales, std::vector<float>(count, 1.0F))
                .node("DequantizeLinear", {"w", "s"}, "d", attributes);
            return builder;
        };
        row("too few channels", qdq({5}, attribute("axis", 1)));
        row("the other axis", qdq({6}, attribute("axis", 0)));
        row("no such axis", qdq({6}, attribute("axis", 2)));
        row("axis below the first", qdq({6}, attribute("axis", std::numeric_limits<std::int64_t>::min())));
        row("blocks", qdq({3, 6}, attribute("axis", 0) + attribute("block_size", 4)));
        const auto nBits = [](std::int64_t n, std::int64_t k, std::int64_t bits, std::int64_t block) {
            OnnxBuilder builder;
            builder.tensor(onnxTensor("w", 2, {2, 1, 8}, bytes(9, std::string(16, 'c'))))
                .tensor("s", 1, {2}, std::vector<float> {1, 2})
                .node("MatMulNBits", {"x", "w", "s"}, "y",
                    attribute("K", k) + attribute("N", n) + attribute("bits", bits) + attribute("block_size", block),
                    "n", kRuntime);
            return builder;
        };
        const auto huge = std::numeric_limits<std::int64_t>::max();
        row("N too large", nBits(3, 16, 4, 16));
        row("K too large", nBits(2, 17, 4, 16));
        row("negative N", nBits(-2, 16, 4, 16));
        row("N overflows", nBits(huge, huge, 4, 16));
        row("block overflows", nBits(2, huge, 4, huge));
        row("no block", nBits(2, 16, 4, 0));
        row("5 bits", nBits(2, 16, 5, 16));
        row("shift of nothing", nBits(2, 16, -1, 16));
    }

    void scalesThatDoNotFit()
    {
        QFETCH(const QByteArray, graph);
        OnnxBuilder builder;
        builder.graph = graph.toStdString();
        const auto model = openModel(m_folder.write("m.onnx", builder.file()));
        QVERIFY(!model);
        QVERIFY(model.error().code == ErrorCode::Malformed || model.error().code == ErrorCode::Unsupported);
        QVERIFY2(model.error().reason.find("'w'") != std::string::npos, model.error().reason.c_str());
    }
};

QTEST_APPLESS_MAIN(TestOnnxQuantized)
#include "tst_onnx_quantized.moc"
