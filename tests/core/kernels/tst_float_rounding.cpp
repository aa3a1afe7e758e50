// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/float_rounding.h"
#include "tests/support/kernel_sweep.h"

using namespace quantloupe;
using namespace quantloupe::tests;
using kernels::FloatKind;

namespace {
constexpr FloatKind kinds[] = {FloatKind::Half, FloatKind::BrainHalf, FloatKind::E4M3, FloatKind::E5M2};
}

class TestFloatRounding : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void matchesReference_data() { addTargetRows({1, 7, 8, 9, 32, 33, 100, 2000}); }
    void matchesReference()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const TargetScope scope(target);
        const auto columns = std::size_t(count);
        const Samples samples(count * 2, shift, Content::Awkward);
        const std::span<const float> weights = samples.values();
        const UnitGrid choices[] = {
            {1.0F, 1.0F}, {0.5F, 2.0F}, {1.0F / 8371.3F, 8371.3F}, {1e-36F, 1e36F}, {1e30F, 1e-30F}};
        std::mt19937 random(3);
        for (const FloatKind kind : kinds)
            for (const bool shared : {false, true}) {
                const kernels::UnitShape shape {columns, std::min<std::size_t>(32, columns), shared};
                std::vector<UnitGrid> grids(shared ? 1 : 2 * shape.unitsPerRow());
                for (UnitGrid& grid : grids)
                    grid = choices[random() % std::size(choices)];
                std::vector<float> out(weights.size()), expected(weights.size()), decoded(weights.size());
                std::vector<std::uint32_t> codes(weights.size()), expectedCodes(weights.size());
                QCOMPARE(kernels::floatFakeQuantize(kind, weights, shape, grids, out),
                    kernels::floatFakeQuantizeReference(kind, weights, shape, grids, expected));
                QCOMPARE(firstDifference(out, expected), -1);
                kernels::floatEncode(kind, weights, shape, grids, codes);
                kernels::floatEncodeReference(kind, weights, shape, grids, expectedCodes);
                QVERIFY(codes == expectedCodes);
                kernels::floatDecode(kind, codes, shape, grids, decoded);
                QCOMPARE(firstDifference(decoded, out), -1);  // the law
            }
    }

    // Every code that is a number rounds to itself, and the float halfway to its neighbour goes to the even one.
    void everyCode_data()
    {
        QTest::addColumn<int>("kind");
        QTest::addColumn<int>("mantissaBits");
        QTest::addColumn<int>("codes");
        QTest::newRow("fp16") << int(FloatKind::Half) << 10 << 0x7C00;
        QTest::newRow("bf16") << int(FloatKind::BrainHalf) << 7 << 0x7F80;
        QTest::newRow("e4m3") << int(FloatKind::E4M3) << 3 << 0x7F;
        QTest::newRow("e5m2") << int(FloatKind::E5M2) << 2 << 0x7C;
    }
    void everyCode()
    {
        QFETCH(const int, kind);
        QFETCH(const int, codes);
        const auto format = FloatKind(kind);
        const UnitGrid grid {1.0F, 1.0F};
        std::vector<float> values, ties;
        std::vector<std::uint32_t> valueCodes, tieCodes;
        for (std::uint32_t code = 0; code < std::uint32_t(codes); ++code) {
            const float value = kernels::floatOfCode(format, code);
            values.push_back(value);
            valueCodes.push_back(code);
            if (code + 1 < std::uint32_t(codes)) {
                const double next = double(kernels::floatOfCode(format, code + 1));
                const double middle = (double(value) + next) / 2.0;
                if (double(float(middle)) == middle) {
                    ties.push_back(float(middle));
                    tieCodes.push_back(code + (code & 1U));
                    ties.push_back(std::nextafter(float(middle), 0.0F));
                    tieCodes.push_back(code);
                    ties.push_back(std::nextafter(float(middle), HUGE_VALF));
                    tieCodes.push_back(code + 1);
                }
            }
        }
        QVERIFY(ties.size() > values.size());
        const auto encode = [&](const std::vector<float>& x) {
            std::vector<std::uint32_t> result(x.size());
            kernels::floatEncode(format, x, {x.size(), x.size()}, {&grid, 1}, result);
            return result;
        };
        QVERIFY(encode(values) == valueCodes);
        QVERIFY(encode(ties) == tieCodes);
        for (float& value : values)
            value = -value;
        const std::uint32_t sign = format == FloatKind::E4M3 || format == FloatKind::E5M2 ? 0x80U : 0x8000U;
        for (std::uint32_t& code : valueCodes)
            code |= sign;
        QVERIFY(encode(values) == valueCodes);
    }

    // Computed with exact rational arithmetic; fp16 and bf16 from the definition.
    void samples_data()
    {
        QTest::addColumn<int>("kind");
        QTest::addColumn<float>("value");
        QTest::addColumn<quint32>("code");
        const auto rows = [](const char* name, FloatKind kind, std::initializer_list<std::pair<float, quint32>> list) {
            for (const auto& [value, code] : list)
                QTest::addRow("%s %g", name, double(value)) << int(kind) << value << code;
        };
        rows("e4m3", FloatKind::E4M3,
            {{0.0009765625F, 0x00}, {0.0029296875F, 0x02}, {0.015625F, 0x08}, {0.1F, 0x1D}, {0.3F, 0x2A}, {1, 0x38},
                {1.0625F, 0x38}, {1.1875F, 0x3A}, {3.3F, 0x45}, {17, 0x58}, {18, 0x59}, {19, 0x5A}, {240, 0x77},
                {248, 0x78}, {432, 0x7E}, {464, 0x7E}, {1000, 0x7E}, {-0.0625F, 0x98}, {-7.75F, 0xD0},
                {HUGE_VALF, 0x7E}, {-HUGE_VALF, 0xFE}});
        rows("e5m2", FloatKind::E5M2,
            {{0.0009765625F, 0x14}, {0.0029296875F, 0x1A}, {0.015625F, 0x24}, {0.1F, 0x2E}, {0.3F, 0x35}, {1, 0x3C},
                {1.0625F, 0x3C}, {1.1875F, 0x3D}, {3.3F, 0x43}, {17, 0x4C}, {19, 0x4D}, {240, 0x5C}, {480, 0x60},
                {1000, 0x64}, {-0.0625F, 0xAC}, {-7.75F, 0xC8}, {1e6F, 0x7B}, {HUGE_VALF, 0x7B}});
        rows("fp16", FloatKind::Half,
            {{1, 0x3C00}, {-2, 0xC000}, {65504, 0x7BFF}, {65519, 0x7BFF}, {65520, 0x7C00}, {-1e9F, 0xFC00},
                {0x1p-24F, 1}, {0x1p-25F, 0}, {0x1.8p-25F, 1}, {0x1p-14F, 0x0400}, {0.1F, 0x2E66},
                {HUGE_VALF, 0x7C00}});
        rows("bf16", FloatKind::BrainHalf,
            {{1, 0x3F80}, {1.00390625F, 0x3F80}, {1.01171875F, 0x3F82}, {-0.1F, 0xBDCD}, {3.4028235e38F, 0x7F80},
                {3.3895e38F, 0x7F7F}, {1e-45F, 0}, {9.2e-41F, 1}});
    }
    void samples()
    {
        QFETCH(const int, kind);
        QFETCH(const float, value);
        QFETCH(const quint32, code);
        const UnitGrid grid {1.0F, 1.0F};
        std::uint32_t actual = 0;
        kernels::floatEncode(FloatKind(kind), {&value, 1}, {1, 1}, {&grid, 1}, {&actual, 1});
        QCOMPARE(actual, code);
    }

    void notNumbers()
    {
        const UnitGrid grid {1.0F, 1.0F};
        const auto code = [&](FloatKind kind, float value) {
            std::uint32_t result = 0;
            kernels::floatEncode(kind, {&value, 1}, {1, 1}, {&grid, 1}, {&result, 1});
            return result;
        };
        QCOMPARE(code(FloatKind::E4M3, std::nanf("")), 0U);
        QCOMPARE(code(FloatKind::E5M2, std::nanf("")), 0U);
        QVERIFY(std::isnan(kernels::floatOfCode(FloatKind::Half, code(FloatKind::Half, std::nanf("")))));
        QVERIFY(std::isnan(kernels::floatOfCode(FloatKind::BrainHalf, code(FloatKind::BrainHalf, -std::nanf("")))));
        // A signalling NaN with its bit at the very end must not become infinity.
        const float signalling = std::bit_cast<float>(0x7F800001U);
        QVERIFY(std::isnan(kernels::floatOfCode(FloatKind::Half, code(FloatKind::Half, signalling))));
        QVERIFY(std::isnan(kernels::floatOfCode(FloatKind::BrainHalf, code(FloatKind::BrainHalf, signalling))));
        QVERIFY(std::isnan(kernels::floatOfCode(FloatKind::E4M3, 0x7F))
            && std::isnan(kernels::floatOfCode(FloatKind::E4M3, 0xFF)));
        QVERIFY(std::isnan(kernels::floatOfCode(FloatKind::E5M2, 0x7D))
            && std::isinf(kernels::floatOfCode(FloatKind::E5M2, 0xFC)));
    }
};

QTEST_APPLESS_MAIN(TestFloatRounding)
#include "tst_float_rounding.moc"
