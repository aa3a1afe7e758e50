// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/requantize.h"
#include "tests/support/kernel_sweep.h"

using namespace quantloupe;
using kernels::FixedPointFactor;

namespace {

constexpr auto lowestInt = std::numeric_limits<std::int32_t>::min();
constexpr auto highestInt = std::numeric_limits<std::int32_t>::max();

/// The two roundings one after the other in numbers of 64 bits of fraction, where every step is exact.
long double slowly(std::int32_t x, FixedPointFactor factor)
{
    const int left = std::max(factor.shift, 0), right = std::max(-factor.shift, 0);
    const auto most = std::int64_t(highestInt >> left);
    const auto shifted = std::ldexp((long double)(std::clamp<std::int64_t>(x, -most - 1, most)), left);
    const auto high = std::floor(std::ldexp(shifted * (long double)(factor.multiplier), -31) + 0.5L);
    return std::round(std::ldexp(high, -right));
}

/// Sums whose products with powers of two end in one half, their neighbours, and the ends of the range.
std::vector<std::int32_t> awkwardSums()
{
    std::vector<std::int32_t> sums {0, lowestInt, lowestInt + 1, highestInt, highestInt - 1};
    for (int bit = 0; bit < 31; ++bit)
        for (const int odd : {1, 3, 5, 255})
            for (const int near : {-1, 0, 1})
                if (const auto value = (std::int64_t(odd) << bit) + near; value <= highestInt) {
                    sums.push_back(std::int32_t(value));
                    sums.push_back(std::int32_t(-value));
                }
    std::mt19937 random(5);
    for (int i = 0; i < 500; ++i)
        sums.push_back(std::int32_t(random()) >> (random() % 31));
    return sums;
}

std::vector<FixedPointFactor> awkwardFactors()
{
    std::vector<FixedPointFactor> factors {{0, 0}};
    for (int shift = -31; shift <= 30; ++shift)
        for (const std::int32_t multiplier : {1 << 30, highestInt, (1 << 30) + 1, 3 << 29, 1518500250})
            factors.push_back({multiplier, shift});
    return factors;
}

}  // namespace

class TestRequantize : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    /// As TensorFlow Lite's tests of its QuantizeMultiplier() have them.
    void factors_data()
    {
        QTest::addColumn<double>("factor");
        QTest::addColumn<int>("multiplier");
        QTest::addColumn<int>("shift");
        QTest::addRow("none") << 0.0 << 0 << 0;
        QTest::addRow("a quarter") << 0.25 << (1 << 30) << -1;
        QTest::addRow("a half") << 0.5 << (1 << 30) << 0;
        QTest::addRow("one") << 1.0 << (1 << 30) << 1;
        QTest::addRow("one and a quarter") << 1.25 << 1342177280 << 1;
        QTest::addRow("two") << 2.0 << (1 << 30) << 2;
        QTest::addRow("just below one") << 1.0 - 0x1p-40 << (1 << 30) << 1;
        QTest::addRow("smallest") << 0x1p-32 << (1 << 30) << -31;
        QTest::addRow("too small") << 0x1.8p-33 << 0 << 0;
        QTest::addRow("too large") << 0x1p40 << highestInt << 30;
    }
    void factors()
    {
        QFETCH(const double, factor);
        QFETCH(const int, multiplier);
        QFETCH(const int, shift);
        const auto found = kernels::fixedPointFactor(factor);
        QCOMPARE(found.multiplier, multiplier);
        QCOMPARE(found.shift, shift);
    }

    void nearestFactor()
    {
        std::mt19937_64 random(3);
        for (int i = 0; i < 2000; ++i) {
            const double factor = std::ldexp(1.0 + double(random() % 1000003) / 1000003.0, -int(random() % 30));
            const auto found = kernels::fixedPointFactor(factor);
            QVERIFY(found.multiplier >= 1 << 30);
            const double held = std::ldexp(double(found.multiplier), found.shift - 31);
            QVERIFY(std::abs(held - factor) <= factor * 0x1p-31);
        }
    }

    void roundsAsDefined()
    {
        const auto sums = awkwardSums();
        for (const auto& factor : awkwardFactors())
            for (const auto sum : sums)
                QCOMPARE((long double)(kernels::multiplyByFactor(sum, factor)), slowly(sum, factor));
    }

    /// Ties one by one: the product's go up, the shift's away from zero.
    void ties()
    {
        const FixedPointFactor half {1 << 30, 0}, quarter {1 << 30, -1};
        QCOMPARE(kernels::multiplyByFactor(1, half), 1);
        QCOMPARE(kernels::multiplyByFactor(-1, half), 0);
        QCOMPARE(kernels::multiplyByFactor(3, half), 2);
        QCOMPARE(kernels::multiplyByFactor(-3, half), -1);
        QCOMPARE(kernels::multiplyByFactor(2, quarter), 1);
        QCOMPARE(kernels::multiplyByFactor(-2, quarter), -1);
        QCOMPARE(kernels::multiplyByFactor(1, quarter), 1);  // 0.25, rounded to 0.5, rounded to 1
    }

    void withinOneOfTheProduct()
    {
        for (const auto& factor : awkwardFactors())
            for (const auto sum : awkwardSums()) {
                const auto exact = std::ldexp((long double)(sum) * (long double)(factor.multiplier), factor.shift - 31);
                if (std::abs(exact) >= (long double)(1 << 30))  // the shift to the left may have saturated
                    continue;
                QVERIFY(std::abs((long double)(kernels::multiplyByFactor(sum, factor)) - exact) <= 1.0L);
            }
    }

    void sameAsReference_data() { tests::addTargetRows({0, 1, 7, 8, 16, 33, 900}); }
    void sameAsReference()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const auto sums = awkwardSums();
        const auto factors = awkwardFactors();
        const auto columns = std::size_t(count);
        std::vector<std::int32_t> rows;
        std::vector<FixedPointFactor> own;
        for (std::size_t i = 0; i < 2 * columns + std::size_t(shift); ++i)
            rows.push_back(sums[i * 7 % sums.size()]);
        for (std::size_t i = 0; i < columns; ++i)
            own.push_back(factors[i * 11 % factors.size()]);
        const kernels::Matrix<const std::int32_t> matrix {rows.data() + shift, 2, columns, columns};
        const tests::TargetScope scope(target);
        std::vector<kernels::Requantization> wishes {
            {std::span(factors).subspan(100, 1), 5, -128, 127}, {std::span(factors).subspan(130, 1), -255, -127, 100}};
        if (count > 0)
            wishes.push_back({own, -7, -128, 127});
        for (const auto& wish : wishes) {
            std::vector<std::int8_t> found(2 * columns, 99), expected(2 * columns, 98);
            kernels::requantize(matrix, wish, found);
            kernels::requantizeReference(matrix, wish, expected);
            QVERIFY(found == expected);
        }
    }
};

QTEST_APPLESS_MAIN(TestRequantize)
#include "tst_requantize.moc"
