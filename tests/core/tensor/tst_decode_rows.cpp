// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/float_bits.h"
#include "core/tensor/tensor_view.h"
#include "tests/support/kernel_sweep.h"

#include <QTest>

#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>

using namespace quantloupe;
using quantloupe::tests::TargetScope;

namespace {

/// Value of a small float from its definition, in double.
double smallFloat(unsigned code, int exponentBits, int mantissaBits, int bias, bool ieee)
{
    const unsigned mantissa = code & ((1U << mantissaBits) - 1U);
    const unsigned exponent = (code >> mantissaBits) & ((1U << exponentBits) - 1U);
    const double sign = (code >> (mantissaBits + exponentBits)) & 1U ? -1.0 : 1.0;
    if (ieee && exponent == (1U << exponentBits) - 1U)
        return mantissa ? std::nan("") : sign * std::numeric_limits<double>::infinity();
    const double fraction = std::ldexp(static_cast<double>(mantissa), -mantissaBits);
    return sign * (exponent == 0 ? std::ldexp(fraction, 1 - bias) : std::ldexp(1.0 + fraction, int(exponent) - bias));
}

bool same(double expected, float actual)
{
    if (std::isnan(expected))
        return std::isnan(actual);
    return expected == static_cast<double>(actual) && std::signbit(expected) == std::signbit(actual);
}

template<class Stored>
TensorView viewOf(const std::vector<Stored>& values, DType dtype, Shape shape)
{
    return {dtype, std::move(shape), std::as_bytes(std::span(values)), nullptr, false};
}

}  // namespace

class TestDecodeRows : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void everyCodeOfSmallFloats()
    {
        for (unsigned code = 0; code < 65536; ++code)
            QVERIFY2(same(smallFloat(code, 5, 10, 15, true), halfToFloat(static_cast<std::uint16_t>(code))),
                qPrintable(QString::number(code, 16)));
        for (unsigned code = 0; code < 256; ++code) {
            const auto byte = static_cast<std::uint8_t>(code);
            const bool nan = (code & 0x7fU) == 0x7fU;
            QVERIFY(same(nan ? std::nan("") : smallFloat(code, 4, 3, 7, false), float8E4M3ToFloat(byte)));
            QVERIFY(same(smallFloat(code, 5, 2, 15, true), float8E5M2ToFloat(byte)));
            QVERIFY(same(code == 255 ? std::nan("") : std::ldexp(1.0, int(code) - 127), float8E8M0ToFloat(byte)));
        }
        for (unsigned code = 0; code < 16; ++code)
            QVERIFY(same(smallFloat(code, 2, 1, 1, false), float4ToFloat(static_cast<std::uint8_t>(code))));
    }

    void numbers()
    {
        const std::vector<std::int16_t> values {-32768, -1, 0, 1, 2, 32767};
        std::vector<float> out(4);
        decodeRows(viewOf(values, DType::I16, {3, 2}), 1, 2, out);
        QCOMPARE(out, (std::vector<float> {0, 1, 2, 32767}));
        const std::vector<double> doubles {0.1, 1e300, -1e-300};
        out.resize(3);
        decodeRows(viewOf(doubles, DType::F64, {3}), 0, 1, out);
        QCOMPARE(out[0], 0.1F);
        QVERIFY(std::isinf(out[1]));
        QCOMPARE(out[2], -0.0F);
    }

    void transposedGivesOutputChannelsAsRows()
    {
        std::vector<float> values(6);
        std::iota(values.begin(), values.end(), 0.0F);  // stored [in = 2, out = 3]
        auto view = viewOf(values, DType::F32, {2, 3});
        view.transposed = true;
        QCOMPARE(matrixShape(view), (MatrixShape {3, 2}));
        std::vector<float> out(4);
        decodeRows(view, 1, 2, out);
        QCOMPARE(out, (std::vector<float> {1, 4, 2, 5}));
    }

    void unalignedSource()
    {
        std::vector<std::byte> bytes(1 + 8);
        const float values[] = {1.5F, -2.5F};
        std::memcpy(bytes.data() + 1, values, 8);
        const TensorView view {DType::F32, {2}, Bytes(bytes).subspan(1), nullptr, false};
        std::vector<float> out(2);
        decodeRows(view, 0, 1, out);
        QCOMPARE(out, (std::vector<float> {1.5F, -2.5F}));
    }

    // Every code at once, at an odd address and with a ragged tail: vectors must do as the scalar functions do.
    void everyHalfInOneRow_data()
    {
        QTest::addColumn<qint64>("target");
        for (const auto target : hwy::SupportedAndGeneratedTargets())
            QTest::addRow("%s", hwy::TargetName(target)) << qint64(target);
    }
    void everyHalfInOneRow()
    {
        QFETCH(const qint64, target);
        const TargetScope scope(target);
        // All of them, and some more that fill no vector.
        constexpr std::uint32_t count = 65'536 + 5;
        std::vector<std::byte> bytes(1 + std::size_t(2 * count));
        for (std::uint32_t code = 0; code < count; ++code)
            std::memcpy(bytes.data() + 1 + 2 * code, &code, 2);
        std::vector<float> out(count);
        for (const auto dtype : {DType::F16, DType::BF16}) {
            decodeRows({dtype, {count}, Bytes(bytes).subspan(1), nullptr, false}, 0, 1, out);
            for (std::uint32_t code = 0; code < count; ++code) {
                const auto half = static_cast<std::uint16_t>(code);
                const float expected = dtype == DType::F16 ? halfToFloat(half) : bfloat16ToFloat(half);
                QVERIFY2(std::bit_cast<quint32>(out[code]) == std::bit_cast<quint32>(expected),
                    qPrintable(QString::number(code, 16)));
            }
        }
    }

    void rowsLieWhereTheyAreOrAreDecoded()
    {
        std::vector<float> values(6), buffer;
        std::iota(values.begin(), values.end(), 0.0F);
        auto view = viewOf(values, DType::F32, {3, 2});
        QCOMPARE(rowsOf(view, 1, 2, buffer).data(), values.data() + 2);
        QCOMPARE(rowsOf(view, 1, 2, buffer).size(), std::size_t(4));
        QVERIFY(buffer.empty());
        view.transposed = true;
        const auto decoded = rowsOf(view, 1, 1, buffer);
        QCOMPARE(decoded.data(), static_cast<const float*>(buffer.data()));
        QCOMPARE(buffer, (std::vector<float> {1, 3, 5}));
        std::vector<std::byte> bytes(1 + 4);
        std::memcpy(bytes.data() + 1, values.data() + 3, 4);
        const auto odd = rowsOf({DType::F32, {1}, Bytes(bytes).subspan(1), nullptr, false}, 0, 1, buffer);
        QCOMPARE(odd.data(), static_cast<const float*>(buffer.data()));
        QCOMPARE(odd[0], 3.0F);
    }

    void packedPairs()
    {
        const std::vector<std::uint8_t> values {0x21, 0x7f};  // first element in the low nibble
        std::vector<float> out(2);
        decodeRows(viewOf(values, DType::F4, {2, 2}), 0, 1, out);
        QCOMPARE(out, (std::vector<float> {0.5F, 1.0F}));
        decodeRows(viewOf(values, DType::F4, {2, 2}), 1, 1, out);
        QCOMPARE(out, (std::vector<float> {-6.0F, 6.0F}));
    }

    void shapes_data()
    {
        QTest::addColumn<QList<quint64>>("shape");
        QTest::addColumn<quint64>("rows");
        QTest::addColumn<quint64>("columns");
        QTest::addRow("scalar") << QList<quint64> {} << quint64(1) << quint64(1);
        QTest::addRow("vector") << QList<quint64> {7} << quint64(1) << quint64(7);
        QTest::addRow("matrix") << QList<quint64> {3, 5} << quint64(3) << quint64(5);
        QTest::addRow("stack") << QList<quint64> {2, 3, 5} << quint64(6) << quint64(5);
        QTest::addRow("empty") << QList<quint64> {3, 0} << quint64(0) << quint64(0);
    }
    void shapes()
    {
        QFETCH(const QList<quint64>, shape);
        QFETCH(const quint64, rows);
        QFETCH(const quint64, columns);
        const TensorView view {DType::F32, Shape(shape.begin(), shape.end()), {}, nullptr, false};
        QCOMPARE(matrixShape(view), (MatrixShape {rows, columns}));
    }

    void countsThatOverflow()
    {
        QCOMPARE(elementCount({}), std::optional<std::uint64_t>(1));
        QCOMPARE(elementCount({1ULL << 33U, 1ULL << 33U}), std::nullopt);
        QCOMPARE(elementCount({0, 1ULL << 33U, 1ULL << 33U}), std::nullopt);
        QCOMPARE(byteCount(33, DType::Q4_0), std::nullopt);
        QCOMPARE(byteCount(64, DType::Q4_0), std::optional<std::uint64_t>(36));
        QCOMPARE(byteCount(1ULL << 62U, DType::F64), std::nullopt);
        QCOMPARE(bitsPerElement(DType::Q4_K), 4.5);
    }
};

QTEST_APPLESS_MAIN(TestDecodeRows)
#include "tst_decode_rows.moc"
