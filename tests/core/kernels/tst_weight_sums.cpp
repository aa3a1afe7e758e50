// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/weight_sums.h"
#include "tests/support/kernel_sweep.h"

using namespace quantloupe;
using namespace quantloupe::tests;

class TestWeightSums : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void matchesReference_data() { addTargetRows({0, 1, 3, 4, 5, 7, 8, 9, 100, 1000}); }
    void matchesReference()
    {
        QFETCH(const qint64, target);
        QFETCH(const int, count);
        QFETCH(const int, shift);
        const TargetScope scope(target);
        for (const Content content : {Content::Weights, Content::Awkward})
            for (const double pivot : {0.0, 0.013, -5.0}) {
                const Samples samples(count, shift, content);
                std::vector<float> columns(std::size_t(count), 0.01F), expectedColumns(columns);
                const auto sums = kernels::weightSums(samples.values(), pivot, columns);
                const auto expected = kernels::weightSumsReference(samples.values(), pivot, expectedColumns);
                QCOMPARE(sums.count, expected.count);
                QCOMPARE(sums.zeros, expected.zeros);
                QCOMPARE(sums.range, expected.range);
                QCOMPARE(firstDifference(columns, expectedColumns), -1);
                double sizes[4] = {};
                for (const float value : samples.values())
                    if (std::isfinite(value))
                        for (int power = 0; power < 4; ++power)
                            sizes[power] += std::pow(std::abs(double(value) - pivot), power + 1);
                const double pairs[4][2] = {{sums.sum1, expected.sum1}, {sums.sum2, expected.sum2},
                    {sums.sum3, expected.sum3}, {sums.sum4, expected.sum4}};
                for (int power = 0; power < 4; ++power)
                    QVERIFY(std::abs(pairs[power][0] - pairs[power][1]) <= double(count + 4) * 0x1p-53 * sizes[power]);
                const auto withoutColumns = kernels::weightSums(samples.values(), pivot, {});
                QCOMPARE(withoutColumns.sum4, sums.sum4);
            }
    }

    // Counts live in float lanes for a while: a row longer than 2²⁴ zeros is still counted to the last one.
    void manyZeros()
    {
        const std::vector<float> zeros((1U << 24U) + 12345U);
        const auto sums = kernels::weightSums(zeros, 1.0, {});
        QCOMPARE(sums.zeros, std::uint64_t(zeros.size()));
        QCOMPARE(sums.count, std::uint64_t(zeros.size()));
        QCOMPARE(sums.sum1, -double(zeros.size()));
    }
};

QTEST_APPLESS_MAIN(TestWeightSums)
#include "tst_weight_sums.moc"
